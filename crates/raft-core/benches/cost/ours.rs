//! Three nodes of this crate, driven as the crate's documentation says.

use std::time::Duration;

use raft_core::{
    Apply, ClusterId, Config, Effects, Incarnation, Index, Input, Instant, Membership, Message,
    Node, NodeId, Payload, Proposal, Restored, RoleName, SnapshotMeta, Token,
};

use crate::work::{
    APPEND_BYTES_MAX, Applied, Cluster, ENTRIES_KEPT, HEARTBEATS_PER_ELECTION,
    INFLIGHT_MESSAGES_MAX, NODES,
};

/// How often a leader says that it is alive.
const HEARTBEAT: Duration = Duration::from_millis(50);

struct Member {
    node: Node,
    inbox: Vec<Message>,
    applied: Applied,
    applied_index: Index,
}

/// The cluster. All nodes share one clock.
pub(crate) struct Ours {
    members: Vec<Member>,
    leader: usize,
    now: Instant,
    /// The last request's name.
    token: u64,
    /// What is to be done for the node whose turn it is; only the memory stays.
    effects: Effects,
}

impl Cluster for Ours {
    fn elect() -> Self {
        let mut members: Vec<Member> = ids().map(Member::start).collect();
        let first = members.iter_mut().enumerate().min_by_key(|(_, it)| it.node.next_deadline());
        let (leader, member) = first.expect("there are members");
        let now = member.node.next_deadline();
        member.node.step(now, Input::Tick);
        let mut cluster = Self { members, leader, now, token: 0, effects: Effects::default() };
        cluster.turn(leader);
        cluster.settle();
        assert_eq!(cluster.members[leader].node.role(), RoleName::Leader);
        cluster
    }

    fn propose(&mut self, commands: Vec<Vec<u8>>) {
        let mut proposals = Vec::with_capacity(commands.len());
        for command in commands {
            self.token += 1;
            proposals.push(Proposal { token: Token(self.token), data: command.into() });
        }
        self.members[self.leader].node.step(self.now, Input::Propose(proposals));
        self.turn(self.leader);
        self.settle();
    }

    fn pass_heartbeat(&mut self) {
        self.now = self.now.after(HEARTBEAT);
        for at in 0..NODES {
            self.members[at].node.step(self.now, Input::Tick);
            self.turn(at);
        }
        self.settle();
    }

    fn compact(&mut self) {
        for at in 0..NODES {
            let Member { node, applied_index, .. } = &mut self.members[at];
            let last = node.id_at(*applied_index).expect("it is held");
            let membership = node.membership_at(last.index).clone().into();
            let meta = SnapshotMeta { last, membership, size: 0, checksum: 0 };
            node.step(self.now, Input::SnapshotBuilt(meta));
            self.turn(at);
        }
        self.settle();
    }

    fn applied(&self) -> [Applied; NODES] {
        std::array::from_fn(|at| self.members[at].applied)
    }
}

impl Ours {
    /// Gives every node its turn until no message is on its way.
    fn settle(&mut self) {
        while self.members.iter().any(|member| !member.inbox.is_empty()) {
            for at in 0..NODES {
                if !self.members[at].inbox.is_empty() {
                    self.turn(at);
                }
            }
        }
    }

    fn turn(&mut self, at: usize) {
        let Member { node, inbox, applied, applied_index } = &mut self.members[at];
        for message in inbox.drain(..) {
            node.step(self.now, Input::Message(message));
        }
        let effects = &mut self.effects;
        node.take_effects_into(effects);
        if let Some(persist) = &effects.persist {
            node.step(self.now, Input::Persisted { seq: persist.seq });
        }
        let before = *applied_index;
        for apply in &effects.apply {
            let Apply::Entries(committed) = apply else { continue };
            for (entry, _) in committed.iter() {
                *applied_index = entry.id.index;
                if let Payload::Data(command) = &entry.payload {
                    applied.count(command);
                }
            }
        }
        if before < *applied_index {
            node.step(self.now, Input::Applied { index: *applied_index });
        }
        let promises = effects.persist.as_mut().map(|persist| &mut persist.then_send);
        for messages in [&mut effects.send].into_iter().chain(promises) {
            for message in messages.drain(..) {
                let to = usize::try_from(message.to.0 - 1).expect("one of three");
                self.members[to].inbox.push(message);
            }
        }
    }
}

impl Member {
    fn start(id: NodeId) -> Self {
        let incarnation = Incarnation(id.0);
        let config = Config {
            heartbeat: HEARTBEAT,
            election_timeout: HEARTBEAT * HEARTBEATS_PER_ELECTION,
            append_bytes_max: APPEND_BYTES_MAX,
            inflight_messages_max: INFLIGHT_MESSAGES_MAX,
            trailing_entries: ENTRIES_KEPT,
            ..Config::new(ClusterId(1), id, incarnation)
        };
        let restored = Restored { bootstrap: Membership::of_voters(ids()), ..Restored::default() };
        let node = Node::restore(config, restored, Instant(0)).expect("an empty disk");
        Self { node, inbox: Vec::new(), applied: Applied::default(), applied_index: Index(0) }
    }
}

fn ids() -> impl Iterator<Item = NodeId> {
    (1_u64..).map(NodeId).take(NODES)
}
