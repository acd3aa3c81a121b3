//! Whatever happens, in whatever order: messages lost, repeated and overtaken, crashes, slow disks,
//! changes of membership, transfers, hints, snapshots. After each step the properties of the protocol
//! hold; and once all is healed, the cluster goes on, with everything that was acknowledged.
//!
//! `RANDOM_WALKS=from..to cargo test -p raft-core random` walks with other seeds.

use std::collections::BTreeSet;

use raft_core::{Input, Membership, MembershipChange, Node, NodeId, Proposal, RoleName, Token};

use crate::cluster::{Cluster, Settings};

const WALKS: u64 = 60;
const STEPS: u64 = 600;
const NODES: u64 = 5;

struct Walk {
    cluster: Cluster,
    random: u64,
    tokens: u64,
    /// Which troubles there are in this walk: all at once would leave nothing else.
    troubles: [bool; 4],
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut walk =
            Self { cluster: Cluster::default(), random: seed, tokens: 0, troubles: [false; 4] };
        let settings = Settings {
            trailing: walk.below(4),
            append_entries: [1, 3, 4096][walk.pick(3)],
            inflight: [1, 8][walk.pick(2)],
            inflight_bytes: [80, 1 << 20][walk.pick(2)],
            uncommitted_bytes: [200, 1 << 20][walk.pick(2)],
            apply_bytes: [80, 1 << 20][walk.pick(2)],
            fast_failover: walk.below(4) != 0,
            ..Settings::default()
        };
        walk.cluster.settings = settings;
        walk.cluster.hush();
        for trouble in 0..4 {
            walk.troubles[trouble] = walk.below(2) == 0;
        }
        for id in walk.cluster.membership().members() {
            walk.cluster.start(id);
        }
        for id in 4..=NODES {
            walk.cluster.join(NodeId(id));
        }
        walk
    }

    /// A number below `bound` (`SplitMix64`).
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn pick(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("small")
    }

    fn anybody(&mut self) -> NodeId {
        NodeId(1 + self.below(NODES))
    }

    /// The leader more often than not, if there is one.
    fn somebody_up(&mut self) -> Option<NodeId> {
        let leads = |node: &&Node| node.role() == RoleName::Leader;
        let leader = self.cluster.nodes.values().filter(leads).max_by_key(|node| node.term());
        match leader.map(Node::id) {
            Some(leader) if self.below(4) != 0 => Some(leader),
            _ => Some(self.anybody()).filter(|id| self.cluster.nodes.contains_key(id)),
        }
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        self.cluster.ask(Token(self.tokens));
        Token(self.tokens)
    }

    fn step(&mut self) {
        match self.below(100) {
            0..70 => {
                for _ in 0..=self.below(6) {
                    self.cluster.deliver_first();
                }
            }
            70..78 => self.pass_time(),
            78..88 => self.request(),
            88..92 => self.operate(),
            92..95 if self.troubles[0] => self.disturb_wires(),
            95..97 if self.troubles[1] => self.crash_or_start(),
            97..99 if self.troubles[2] => self.disturb_disk(),
            99 if self.troubles[3] => self.disturb_links(),
            _ => (),
        }
        self.cluster.check();
        self.cluster.take_output();
    }

    fn disturb_wires(&mut self) {
        let waiting = self.cluster.wires.len();
        if waiting == 0 {
            return;
        }
        let at = self.pick(waiting);
        match self.below(3) {
            0 => drop(self.cluster.wires.remove(at)),
            1 => self.cluster.wires.push_back(self.cluster.wires[at].clone()),
            _ => self.cluster.wires.swap(0, at),
        }
    }

    fn pass_time(&mut self) {
        let most = [2_000, 30_000, 30_000, 400_000][self.pick(4)];
        let elapsed = self.below(most);
        for id in (1..=NODES).map(NodeId) {
            // Clocks do not run alike.
            let drift = self.below(1 + elapsed / 10);
            self.cluster.advance(id, elapsed + drift);
            if self.cluster.nodes.contains_key(&id) && self.below(8) != 0 {
                self.cluster.step(id, Input::Tick);
            }
        }
    }

    fn request(&mut self) {
        let Some(id) = self.somebody_up() else { return };
        if self.below(2) == 0 {
            let token = self.token();
            self.cluster.step(id, Input::Read(token));
        } else {
            let count = 1 + self.below(3);
            let proposals: Vec<Proposal> = (0..count)
                .map(|_| {
                    let token = self.token();
                    Proposal { token, data: format!("c{}", token.0).into() }
                })
                .collect();
            self.cluster.step(id, Input::Propose(proposals));
        }
    }

    /// What operators do, and what the driver finds.
    fn operate(&mut self) {
        let Some(id) = self.somebody_up() else { return };
        match self.below(4) {
            0 => {
                let (token, target) = (self.token(), self.draw_membership());
                let force = self.below(8) == 0;
                let change = MembershipChange { token, target, from: None, force };
                self.cluster.step(id, Input::ChangeMembership(change));
            }
            1 => {
                let to = Some(self.anybody()).filter(|_| self.below(2) == 0);
                let token = self.token();
                self.cluster.step(id, Input::Transfer { token, to });
            }
            2 => {
                let peer = self.anybody();
                self.cluster.step(id, Input::PeerDown { peer });
            }
            _ => {
                if self.cluster.stands(id) == self.cluster.nodes[&id].commit_index() {
                    self.cluster.snapshot(id);
                }
            }
        }
    }

    fn draw_membership(&mut self) -> Membership {
        let mut membership = Membership::default();
        for id in (1..=NODES).map(NodeId) {
            match self.below(4) {
                0 | 1 => drop(membership.voters.insert(id)),
                2 => drop(membership.learners.insert(id)),
                _ => (),
            }
        }
        membership
    }

    fn crash_or_start(&mut self) {
        let id = self.anybody();
        if !self.cluster.nodes.contains_key(&id) {
            self.cluster.start(id);
        } else if self.below(3) == 0 {
            self.cluster.crash(id);
        }
    }

    fn disturb_disk(&mut self) {
        let id = self.anybody();
        match self.below(4) {
            0 => self.cluster.slow_disk(id, true),
            1 | 2 if self.cluster.nodes.contains_key(&id) => self.cluster.persist(id, 1),
            _ => self.cluster.slow_disk(id, false),
        }
    }

    fn disturb_links(&mut self) {
        let (id, other) = (self.anybody(), self.anybody());
        if self.below(3) == 0 {
            self.cluster.cuts.clear();
        } else {
            self.cluster.cuts.insert((id, other));
        }
    }

    /// All is well again: somebody must lead, and nothing acknowledged is missing.
    fn heal(&mut self) {
        self.cluster.cuts.clear();
        for id in (1..=NODES).map(NodeId) {
            self.cluster.slow_disk(id, false);
            if !self.cluster.nodes.contains_key(&id) {
                self.cluster.start(id);
            }
            self.cluster.persist(id, usize::MAX);
        }
        self.cluster.live(20_000_000);
        let leads = |node: &&Node| node.role() == RoleName::Leader;
        let leaders: Vec<NodeId> =
            self.cluster.nodes.values().filter(leads).map(Node::id).collect();
        assert_eq!(leaders.len(), 1, "{leaders:?} lead");
        let leader = leaders[0];
        let token = self.token();
        let proposal = Proposal { token, data: "at the end".into() };
        self.cluster.step(leader, Input::Propose(vec![proposal]));
        self.cluster.live(1_000_000);
        let applied = format!("#{} applied", token.0);
        let done = self.cluster.requests().any(|line| line.starts_with(&applied));
        assert!(done, "{leader} does not get a write done");
        let membership = self.cluster.nodes[&leader].membership().clone();
        assert!(!membership.is_joint(), "{membership} is left joint");
        let stands: BTreeSet<_> =
            membership.members().into_iter().map(|id| self.cluster.stands(id)).collect();
        assert_eq!(stands.len(), 1, "members of {membership} stand at {stands:?}");
        for id in membership.members() {
            assert_eq!(*self.cluster.nodes[&id].membership(), membership, "{id} disagrees");
        }
        self.cluster.check_acknowledged(leader);
    }
}

/// Which seeds to walk with.
fn seeds() -> std::ops::Range<u64> {
    let Ok(range) = std::env::var("RANDOM_WALKS") else { return 0..WALKS };
    let (from, to) = range.split_once("..").expect("from..to");
    from.parse().expect("a number")..to.parse().expect("a number")
}

#[test]
fn whatever_happens_the_protocol_holds() {
    for seed in seeds() {
        let walk = std::panic::catch_unwind(|| {
            let mut walk = Walk::new(seed);
            for _ in 0..STEPS {
                walk.step();
            }
            walk.heal();
        });
        assert!(walk.is_ok(), "seed {seed}");
    }
}
