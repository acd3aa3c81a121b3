//! States are compared through the log: a replica whose state has diverged says so and does nothing
//! any more, the others go on; and nothing but that makes a replica stop. Three replicas in one
//! thread, each on a disk in memory, with messages that arrive at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    Config, Incarnation, Index, Instant, Membership, Message, NodeId, RoleName, Token,
};
use raft_replica::{
    Disk, Image, Invalid, Opened, Options, Outcome, Replica, Request, RequestKind, SnapshotStore,
    StateMachine, Turn, Wal, open,
};

use crate::machine::options;
use crate::mem_disk::MemDisk;
use crate::support::root;

/// Counts its commands; one that is broken counts the command "break" twice.
#[derive(Clone, Debug)]
struct Counter {
    count: u64,
    is_broken: bool,
}

impl StateMachine for Counter {
    type Image = Self;

    fn apply(&mut self, command: &Bytes) -> Bytes {
        self.count += 1 + u64::from(self.is_broken && command == "break");
        Bytes::copy_from_slice(&self.count.to_le_bytes())
    }

    fn query(&self, _: &[u8]) -> Result<Bytes, Invalid> {
        Ok(Bytes::copy_from_slice(&self.count.to_le_bytes()))
    }

    fn image(&self) -> Self {
        self.clone()
    }

    fn restore(source: &mut dyn Read) -> io::Result<Self> {
        let mut count = [0; 8];
        source.read_exact(&mut count)?;
        Ok(Self { count: u64::from_le_bytes(count), is_broken: false })
    }

    fn len(&self) -> u64 {
        1
    }
}

impl Image for Counter {
    fn write_to(&self, sink: &mut dyn Write) -> io::Result<()> {
        sink.write_all(&self.count.to_le_bytes())
    }
}

/// A process.
struct Process {
    replica: Replica<Counter>,
    wal: Wal,
    snapshots: SnapshotStore,
}

/// Three machines and the network between them.
struct Cluster {
    disks: BTreeMap<NodeId, MemDisk>,
    processes: BTreeMap<NodeId, Process>,
    broken: BTreeSet<NodeId>,
    distrust: BTreeSet<NodeId>,
    check_entries: u64,
    snapshot_entries: u64,
    now: Instant,
    tokens: u64,
    answers: BTreeMap<Token, Outcome>,
}

impl Cluster {
    /// States are compared after every so many entries; these nodes cannot count.
    fn new(check_entries: u64, broken: &[u64]) -> Self {
        let mut cluster = Self {
            disks: (1..=3).map(|id| (NodeId(id), MemDisk::new())).collect(),
            processes: BTreeMap::new(),
            broken: broken.iter().copied().map(NodeId).collect(),
            distrust: BTreeSet::new(),
            check_entries,
            snapshot_entries: 1_000,
            now: Instant(0),
            tokens: 0,
            answers: BTreeMap::new(),
        };
        for id in 1..=3 {
            cluster.start(id);
        }
        cluster
    }

    fn start(&mut self, id: u64) {
        let id = NodeId(id);
        let incarnation = Incarnation(id.0);
        let base = options();
        let options = Options {
            id,
            bootstrap: Membership::of_voters([1, 2, 3].map(NodeId)),
            fresh_incarnation: incarnation,
            core: Config {
                trailing_entries: 2,
                seed: id.0,
                ..Config::new(base.cluster, id, incarnation)
            },
            check_entries: self.check_entries,
            distrust: self.distrust.clone(),
            snapshot_entries: self.snapshot_entries,
            ..base
        };
        let disk: Arc<dyn Disk> = Arc::new(self.disks[&id].clone());
        let is_broken = self.broken.contains(&id);
        let empty = || Counter { count: 0, is_broken };
        let Opened { replica, wal, snapshots, .. } =
            open(&disk, root(), options, empty, self.now).unwrap();
        self.processes.insert(id, Process { replica, wal, snapshots });
    }

    /// Ends the process; its disk stays as it is.
    fn stop(&mut self, id: u64) {
        self.processes.remove(&NodeId(id));
    }

    fn replica(&self, id: u64) -> &Replica<Counter> {
        &self.processes[&NodeId(id)].replica
    }

    /// Does all there is to do, without letting time pass.
    fn settle(&mut self) {
        let mut messages = VecDeque::new();
        loop {
            let mut idle = true;
            for process in self.processes.values_mut() {
                idle &= process.turn(self.now, &mut messages, &mut self.answers);
            }
            while let Some(message) = messages.pop_front() {
                let Message { to, .. } = message;
                if let Some(process) = self.processes.get_mut(&to) {
                    process.replica.receive(self.now, message);
                }
                idle = false;
            }
            if idle {
                return;
            }
        }
    }

    /// Lets time pass until somebody leads, and everybody there follows.
    fn leader(&mut self) -> u64 {
        for _ in 0..1_000 {
            self.settle();
            let alive = || self.processes.values().filter(|one| one.replica.divergence().is_none());
            let mut leaders: Vec<_> = alive().map(|one| one.replica.node().leader()).collect();
            leaders.dedup();
            if let [Some(leader)] = leaders[..]
                && self.replica(leader.0).node().role() == RoleName::Leader
            {
                return leader.0;
            }
            self.now = self.now.after(Duration::from_millis(10));
        }
        panic!("nobody is elected");
    }

    /// Makes this node the leader.
    fn elect(&mut self, id: u64) {
        let leader = self.leader();
        if leader != id {
            let now = self.now;
            let process = self.processes.get_mut(&NodeId(leader)).unwrap();
            process.replica.transfer(now, Token(0), Some(NodeId(id)));
        }
        assert_eq!(self.leader(), id);
    }

    /// Writes, and lets everybody apply it. None if nobody says what came of it.
    fn write(&mut self, leader: u64, command: &'static str) -> Option<Outcome> {
        self.tokens += 1;
        let token = Token(self.tokens);
        let command = Bytes::from_static(command.as_bytes());
        let kind = RequestKind::Command { session: None, command };
        let now = self.now;
        let process = self.processes.get_mut(&NodeId(leader)).unwrap();
        process.replica.propose(now, 1_000, vec![Request { token, kind }]);
        self.settle();
        // Followers learn from the next message that it is committed.
        self.now = self.now.after(Duration::from_millis(50));
        self.settle();
        self.answers.remove(&token)
    }

    fn write_all(&mut self, leader: u64, count: u64) {
        for _ in 0..count {
            let outcome = self.write(leader, "count");
            assert!(matches!(outcome, Some(Outcome::Applied { .. })), "{outcome:?}");
        }
    }

    /// Which nodes have stopped.
    fn fenced(&self) -> Vec<u64> {
        let fenced = self.processes.iter().filter(|(_, one)| one.replica.divergence().is_some());
        fenced.map(|(id, _)| id.0).collect()
    }
}

impl Process {
    /// Takes a turn. Returns whether there was nothing to do.
    fn turn(
        &mut self,
        now: Instant,
        messages: &mut VecDeque<Message>,
        answers: &mut BTreeMap<Token, Outcome>,
    ) -> bool {
        if self.replica.next_deadline() <= now {
            self.replica.tick(now);
        }
        let Turn { send, persist, answers: said, snapshots, .. } = self.replica.take();
        let idle = send.is_empty() && persist.is_none() && snapshots.is_empty();
        messages.extend(send);
        if let Some(persist) = persist {
            let durable = self.wal.run(vec![persist]).unwrap();
            messages.extend(durable.then_send);
            self.replica.persisted(now, durable.seq);
        }
        for job in snapshots {
            let done = self.snapshots.run(job).unwrap();
            self.replica.snapshot_done(now, done);
        }
        for answer in said {
            assert!(answer.token.0 < 1_000, "its own proposals are nobody's request");
            answers.insert(answer.token, answer.outcome);
        }
        idle
    }
}

/// The one whose state is another stops; the other two do not even notice.
#[test]
fn a_follower_that_differs_stops_and_the_others_go_on() {
    let mut cluster = Cluster::new(8, &[2]);
    cluster.elect(1);
    cluster.write_all(1, 20);
    assert!(cluster.fenced().is_empty(), "it counts well so far");
    assert!(Index(16) <= cluster.replica(2).checked());
    cluster.write(1, "break").unwrap();
    cluster.write_all(1, 20);
    assert_eq!(cluster.fenced(), [2]);
    let found = *cluster.replica(2).divergence().unwrap();
    assert_eq!((found.by, found.index.0 % 8), (NodeId(1), 0));
    assert_ne!(found.own, found.theirs);
    assert!(Index(40) <= cluster.replica(3).checked());
    let said = format!("{found}; {}", found.hint(NodeId(2)));
    assert!(said.contains("has diverged: after entry") && said.contains("--remove 2"), "{said}");
}

/// It answers nothing any more, not even from what it holds, and neither writes nor sends.
#[test]
fn who_has_stopped_says_nothing() {
    let mut cluster = Cluster::new(4, &[3]);
    cluster.elect(1);
    cluster.write(1, "break").unwrap();
    cluster.write_all(1, 8);
    assert_eq!(cluster.fenced(), [3]);
    let now = cluster.now;
    let stopped = &mut cluster.processes.get_mut(&NodeId(3)).unwrap().replica;
    let applied = stopped.status(now).applied;
    stopped.query(now, Token(900), Bytes::new(), raft_replica::Consistency::Stale);
    stopped.tick(now.after(Duration::from_secs(9)));
    let Turn { send, persist, answers, snapshots, events } = stopped.take();
    assert!(send.is_empty() && persist.is_none() && answers.is_empty());
    assert!(snapshots.is_empty() && events.is_empty());
    assert_eq!(stopped.next_deadline(), Instant(u64::MAX));
    cluster.write_all(1, 8);
    assert_eq!(cluster.replica(3).status(now).applied, applied);
}

/// It is no matter of leading: the one that is wrong hears it from the next leader.
#[test]
fn a_leader_that_differs_is_left_alone() {
    let mut cluster = Cluster::new(8, &[2]);
    cluster.elect(2);
    cluster.write(2, "break").unwrap();
    cluster.elect(1);
    cluster.write_all(1, 20);
    assert_eq!(cluster.fenced(), [2]);
}

/// If it goes on leading, the others stop instead of following: nobody serves what is wrong. Told
/// whom not to believe, they go on without it, and it is the one to stop.
#[test]
fn the_others_can_be_told_whom_not_to_believe() {
    let mut cluster = Cluster::new(8, &[2]);
    cluster.elect(2);
    cluster.write(2, "break").unwrap();
    for _ in 0..10 {
        cluster.write(2, "count");
    }
    assert_eq!(cluster.fenced(), [1, 3]);
    for id in [1, 2, 3] {
        cluster.stop(id);
    }
    // The check is in their logs: without a word from above, whoever leads comes to it and stops again.
    cluster.start(1);
    cluster.start(3);
    for _ in 0..200 {
        cluster.settle();
        cluster.now = cluster.now.after(Duration::from_millis(10));
    }
    assert!(!cluster.fenced().is_empty());
    cluster.distrust.insert(NodeId(2));
    cluster.start(1);
    cluster.start(3);
    let leader = cluster.leader();
    cluster.write_all(leader, 10);
    cluster.start(2);
    cluster.elect(leader);
    cluster.write_all(leader, 10);
    assert_eq!(cluster.fenced(), [2]);
}

/// Leaders come and go, nodes restart from their logs and from snapshots, and get snapshots from
/// others: no alarm, and states go on being compared.
#[test]
fn nothing_else_makes_a_replica_stop() {
    for check_entries in [1, 2, 5, 8] {
        let mut cluster = Cluster::new(check_entries, &[]);
        cluster.snapshot_entries = 7;
        for round in 0..12 {
            let (leader, away) = (round % 3 + 1, (round + 1) % 3 + 1);
            cluster.stop(away);
            cluster.elect(leader);
            cluster.write_all(leader, 5 + round);
            cluster.start(away);
            cluster.elect(leader);
            cluster.write_all(leader, 9);
            assert!(cluster.fenced().is_empty(), "every {check_entries}, round {round}");
            for id in 1..=3 {
                let status = cluster.replica(id).status(cluster.now);
                assert!(
                    status.applied.0 <= status.checked.0 + check_entries + 2,
                    "node {id}, every {check_entries}: {status:?}"
                );
            }
        }
    }
}

/// A cluster that has nothing to do writes nothing, however often it compares.
#[test]
fn an_idle_cluster_stays_idle() {
    let mut cluster = Cluster::new(1, &[]);
    let leader = cluster.leader();
    cluster.write_all(leader, 3);
    let last = cluster.replica(leader).node().last();
    for _ in 0..100 {
        cluster.settle();
        cluster.now = cluster.now.after(Duration::from_millis(20));
    }
    assert_eq!(cluster.replica(leader).node().last(), last);
}
