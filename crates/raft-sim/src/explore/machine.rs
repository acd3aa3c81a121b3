//! One node by itself: the real [`Node`], its disk, and its clock.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    Apply, ClusterId, Config, Entry, HardState, Incarnation, Index, Input, Instant, LogId,
    Membership, Message, Node, NodeId, Persist, Proposal, Restored, SeatId, Token,
};

use super::Bounds;
use super::fingerprint::Times;

// Lengths of time, in microseconds. A clock stands still, but for one microsecond with every turn, until
// a timer is said to run out. Each length is far longer than all shorter ones that can come together
// within any bounds, so that nothing runs out by itself.
const HEARTBEAT_US: u64 = 1 << 20;
const FAILOVER_STAGGER_US: u64 = 1 << 40;
pub(super) const TIMEOUT_US: u64 = 1 << 50;
const JITTER_US: u64 = 1 << 55;

/// A node, its disk and its clock.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    id: NodeId,
    now: Instant,
    /// How often the process has started again.
    starts: u64,
    pub(super) node: Node,
    pub(super) disk: Disk,
}

/// What a disk holds, and what is to be written to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    /// Term, vote and known peers, durably.
    pub(super) hard: HardState,
    /// The log, durably.
    pub(super) entries: Vec<Entry>,
    /// Writes that are not durable yet, oldest first.
    pub(super) writing: VecDeque<Persist>,
    /// Writes that are durable and of which the node has not heard, oldest first.
    pub(super) synced: VecDeque<Synced>,
}

/// A write that is durable.
#[derive(Clone, Debug)]
pub(super) struct Synced {
    seq: u64,
}

/// What can happen to a node by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// A message arrives.
    Deliver(Box<Message>),
    /// A follower's or candidate's time has run out; a leader has not heard from a majority for an
    /// election timeout.
    Timeout,
    /// A follower has not heard its leader for an election timeout, and its time has not run out.
    Lapse,
    /// A follower learns that its leader's process is gone, which may be wrong.
    Hint,
    /// A leader's next heartbeat is due.
    Beat,
    /// The oldest write is durable; what was to be sent after it leaves.
    Sync,
    /// The node hears of the oldest write that is durable.
    Told,
    /// The process ends, with all it has not written, and starts again.
    Crash,
    /// A client wants a command in the log.
    Propose(u8),
    /// A client wants to read.
    Read(u8),
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Consequences {
    /// Messages that left.
    pub(super) sent: Vec<Message>,
    /// Entries handed out to be applied.
    pub(super) applied: Vec<Entry>,
    /// Reads that may be served, and from where on.
    pub(super) reads: Vec<(Token, Index)>,
    /// Requests that came to nothing.
    pub(super) refused: Vec<Token>,
}

impl Machine {
    /// A node that has heard of the others and of nothing else.
    pub(super) fn new(id: NodeId, bounds: &Bounds) -> Self {
        let others = bounds.ids().filter(|&other| other != id);
        let seat = |node| SeatId { node, since: LogId::ZERO };
        let peers = others.map(|other| (seat(other), INCARNATION)).collect();
        let disk = Disk { hard: HardState { peers, ..HardState::default() }, ..Disk::default() };
        let now = Instant(0);
        let node = start(config(id, 0, bounds), bounds, now, &disk);
        Self { id, now, starts: 0, node, disk }
    }

    /// Its id.
    pub(super) fn id(&self) -> NodeId {
        self.id
    }

    /// What its points in time are compared with.
    pub(super) fn times(&self) -> Times {
        Times { now: self.now, deadline: self.node.next_deadline() }
    }

    /// Lets something happen.
    pub(super) fn happen(&mut self, happening: Happening, bounds: &Bounds) -> Consequences {
        match happening {
            Happening::Deliver(message) => self.step(Input::Message(*message)),
            Happening::Timeout if !self.is_leader() => self.wait(self.node.next_deadline()),
            Happening::Timeout | Happening::Lapse => self.wait(Instant(self.now.0 + TIMEOUT_US)),
            Happening::Beat => self.wait(self.node.next_deadline()),
            Happening::Hint => match self.node.leader() {
                Some(peer) => self.step(Input::PeerDown { peer }),
                None => Consequences::default(),
            },
            Happening::Sync => self.sync(bounds),
            Happening::Told => self.hear_of_write(),
            Happening::Crash => {
                self.disk.writing.clear();
                self.disk.synced.clear();
                self.starts += 1;
                let config = config(self.id, self.starts, bounds);
                self.node = start(config, bounds, self.now, &self.disk);
                Consequences::default()
            }
            Happening::Propose(number) => {
                let data = Bytes::copy_from_slice(&[number]);
                self.step(Input::Propose(vec![Proposal { token: token(number), data }]))
            }
            Happening::Read(number) => self.step(Input::Read(token(number))),
        }
    }

    fn is_leader(&self) -> bool {
        self.node.role() == raft_core::RoleName::Leader
    }

    fn wait(&mut self, until: Instant) -> Consequences {
        self.now = self.now.max(until);
        self.step(Input::Tick)
    }

    fn step(&mut self, input: Input) -> Consequences {
        self.node.step(self.now, input);
        // A write begins after the deadline was drawn that it may have to be in time for.
        self.now = Instant(self.now.0 + 1);
        self.node.step(self.now, Input::Tick);
        let effects = self.node.take_effects();
        let mut sent = effects.send;
        if let Some(persist) = effects.persist {
            self.disk.write(persist, &mut sent);
        }
        assert!(effects.snapshots.is_empty(), "there are no snapshots here");
        let entries = |apply| match apply {
            Apply::Entries(committed) => committed.entries.to_vec(),
            Apply::Install(meta) => panic!("there are no snapshots here: {meta:?}"),
        };
        Consequences {
            sent,
            applied: effects.apply.into_iter().flat_map(entries).collect(),
            reads: effects.reads.into_iter().map(|ready| (ready.token, ready.index)).collect(),
            refused: effects.refused.into_iter().map(|(token, _)| token).collect(),
        }
    }

    fn hear_of_write(&mut self) -> Consequences {
        match self.disk.synced.pop_front() {
            Some(Synced { seq }) => self.step(Input::Persisted { seq }),
            None => Consequences::default(),
        }
    }

    fn sync(&mut self, bounds: &Bounds) -> Consequences {
        let at_once = self.disk.hears_at_once() && bounds.reduced;
        let Some(persist) = self.disk.writing.pop_front() else { return Consequences::default() };
        let disk = &mut self.disk;
        disk.synced.push_back(Synced { seq: persist.seq });
        if let Some(from) = persist.truncate_from {
            disk.entries.retain(|entry| entry.id.index < from);
        }
        disk.entries.extend_from_slice(&persist.entries);
        if let Some(hard) = persist.hard_state {
            disk.hard = hard;
        }
        if at_once {
            return self.hear_of_write();
        }
        Consequences { sent: persist.then_send, ..Consequences::default() }
    }
}

impl Disk {
    /// Numbers of the writes under way.
    pub(super) fn writes(&self) -> Vec<u64> {
        let synced = self.synced.iter().map(|synced| synced.seq);
        synced.chain(self.writing.iter().map(|persist| persist.seq)).collect()
    }

    /// Whether the node may as well hear at once that the oldest write is durable: nobody but a
    /// process that starts again could see the moment in between, and would see less of what was sent.
    pub(super) fn hears_at_once(&self) -> bool {
        let sends = |persist: &Persist| !persist.then_send.is_empty();
        self.synced.is_empty() && !self.writing.front().is_some_and(sends)
    }

    /// Takes a write. One that holds nothing but messages joins the one before it, as a writer may
    /// merge them: that its messages could leave later on their own adds nothing, as any message may
    /// take its time.
    fn write(&mut self, persist: Persist, sent: &mut Vec<Message>) {
        let Persist { seq, then_send, .. } = &persist;
        let messages = Persist { seq: *seq, then_send: then_send.clone(), ..Persist::default() };
        match (persist == messages, self.writing.back_mut(), self.synced.back_mut()) {
            (true, Some(last), _) => {
                last.seq = persist.seq;
                let held = |message: &Message| !last.then_send.contains(message);
                let fresh: Vec<_> = persist.then_send.into_iter().filter(held).collect();
                last.then_send.extend(fresh);
            }
            (true, None, Some(last)) => {
                last.seq = persist.seq;
                sent.extend(persist.then_send);
            }
            _ => self.writing.push_back(persist),
        }
    }
}

/// All nodes have the same one: nobody loses a disk here, and nodes can be renamed.
const INCARNATION: Incarnation = Incarnation(1);

fn token(number: u8) -> Token {
    Token(u64::from(number))
}

fn config(id: NodeId, seed: u64, bounds: &Bounds) -> Config {
    Config {
        // It matters to who asks for reads: an answer to an earlier process must not be mistaken.
        seed: if bounds.reads == 0 { 0 } else { seed },
        heartbeat: Duration::from_micros(HEARTBEAT_US),
        election_timeout: Duration::from_micros(TIMEOUT_US),
        election_jitter: Duration::from_micros(if bounds.lapses { JITTER_US } else { 0 }),
        failover_stagger: Duration::from_micros(FAILOVER_STAGGER_US),
        append_entries_max: bounds.append_entries,
        ..Config::new(ClusterId(1), id, INCARNATION)
    }
}

fn start(config: Config, bounds: &Bounds, now: Instant, disk: &Disk) -> Node {
    let restored = Restored {
        hard_state: disk.hard.clone(),
        bootstrap: Membership::of_voters(bounds.ids()),
        snapshot: None,
        base: LogId::ZERO,
        entries: disk.entries.clone(),
    };
    Node::restore(config, restored, now).expect("what a node wrote in order can be read")
}
