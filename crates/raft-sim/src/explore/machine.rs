//! One node by itself: the real [`Node`], its disk, and its clock.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    Apply, Body, ClusterId, Config, Entry, HardState, Incarnation, Index, Input, Instant, LogId,
    Membership, Message, Node, NodeId, Persist, Proposal, Restored, RoleName, SeatId, Term, Token,
};

use super::fingerprint::Times;
use super::sabotage::Sabotage;
use super::{Bounds, Reduction};

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
    /// The leader it hears: in this term, and since neither its time ran out nor it was told that the
    /// leader's process is gone.
    pub(super) hears: Option<NodeId>,
    /// What it takes for committed if its rules are broken on purpose.
    pub(super) claims: Index,
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
    /// Whether it keeps nothing any more until the process ends: what the node does from here on, it
    /// will have forgotten then.
    pub(super) doomed: bool,
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

/// A message, and what the disk held when it left.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) message: Message,
    pub(super) term: Term,
    pub(super) vote: Option<NodeId>,
    pub(super) held: Index,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Consequences {
    /// Messages that left.
    pub(super) sent: Vec<Sent>,
    /// Whether something is to be written, other than what only lets messages wait.
    pub(super) wrote: bool,
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
        let (hears, claims) = (None, Index(0));
        Self { id, now, starts: 0, hears, claims, node, disk }
    }

    /// Its id.
    pub(super) fn id(&self) -> NodeId {
        self.id
    }

    /// What its points in time are compared with.
    pub(super) fn times(&self) -> Times {
        Times { now: self.now, deadline: self.node.next_deadline() }
    }

    /// Lets something happen. What is written from then on is lost in a crash to come, if `loses`.
    pub(super) fn happen(
        &mut self,
        happening: Happening,
        loses: bool,
        bounds: &Bounds,
    ) -> Consequences {
        self.disk.doomed |= loses;
        if matches!(
            happening,
            Happening::Timeout | Happening::Lapse | Happening::Hint | Happening::Crash
        ) {
            self.hears = None;
        }
        let mut done = Consequences::default();
        match happening {
            Happening::Deliver(message) => {
                let (from, term) = (message.from, message.term);
                let is_leaders = matches!(message.body, Body::Append(_) | Body::Heartbeat(_));
                let before = self.node.term();
                self.step(Input::Message(*message), bounds, &mut done);
                if is_leaders && self.node.term() == term {
                    self.hears = Some(from);
                } else if self.node.term() != before {
                    self.hears = None;
                }
            }
            Happening::Timeout if !self.is_leader() => {
                self.wait(self.node.next_deadline(), bounds, &mut done);
            }
            Happening::Timeout | Happening::Lapse => {
                self.wait(Instant(self.now.0 + TIMEOUT_US), bounds, &mut done);
            }
            Happening::Beat => self.wait(self.node.next_deadline(), bounds, &mut done),
            Happening::Hint => {
                if let Some(peer) = self.node.leader() {
                    self.step(Input::PeerDown { peer }, bounds, &mut done);
                }
            }
            Happening::Sync => self.sync(&mut done),
            Happening::Told => self.hear_of_write(bounds, &mut done),
            Happening::Crash => {
                self.disk.writing.clear();
                self.disk.synced.clear();
                self.disk.doomed = false;
                self.starts += 1;
                self.claims = Index(0);
                if bounds.sabotage == Some(Sabotage::ForgottenVotes) {
                    self.disk.hard.vote = None;
                }
                let config = config(self.id, self.starts, bounds);
                self.node = start(config, bounds, self.now, &self.disk);
            }
            Happening::Propose(number) => {
                let data = Bytes::copy_from_slice(&[number]);
                let proposal = Proposal { token: token(number), data };
                self.step(Input::Propose(vec![proposal]), bounds, &mut done);
            }
            Happening::Read(number) => self.step(Input::Read(token(number)), bounds, &mut done),
        }
        done
    }

    fn is_leader(&self) -> bool {
        self.node.role() == RoleName::Leader
    }

    fn wait(&mut self, until: Instant, bounds: &Bounds, done: &mut Consequences) {
        self.now = self.now.max(until);
        self.step(Input::Tick, bounds, done);
    }

    fn step(&mut self, input: Input, bounds: &Bounds, done: &mut Consequences) {
        if let Some(before) = bounds.sabotage.and_then(|it| it.before(&self.node, &input)) {
            self.node.step(self.now, before);
        }
        self.node.step(self.now, input);
        // A write begins after the deadline was drawn that it may have to be in time for.
        self.now = Instant(self.now.0 + 1);
        self.node.step(self.now, Input::Tick);
        let effects = self.node.take_effects();
        if let Some(sabotage) = bounds.sabotage {
            self.claims = self.claims.max(sabotage.committed(&self.node));
        }
        self.send(effects.send, done);
        if let Some(persist) = effects.persist {
            self.write(persist, bounds, done);
        }
        assert!(effects.snapshots.is_empty(), "there are no snapshots here");
        let entries = |apply| match apply {
            Apply::Entries(committed) => committed.entries.to_vec(),
            Apply::Install(meta) => panic!("there are no snapshots here: {meta:?}"),
        };
        done.applied.extend(effects.apply.into_iter().flat_map(entries));
        done.reads.extend(effects.reads.into_iter().map(|ready| (ready.token, ready.index)));
        done.refused.extend(effects.refused.into_iter().map(|(token, _)| token));
        if self.hears_at_once(bounds) && !self.disk.synced.is_empty() {
            self.hear_of_write(bounds, done);
        }
    }

    fn send(&self, messages: Vec<Message>, done: &mut Consequences) {
        let Disk { hard: HardState { term, vote, .. }, ref entries, .. } = self.disk;
        let held = Index(u64::try_from(entries.len()).unwrap_or(u64::MAX));
        let sent = messages.into_iter().map(|message| Sent { message, term, vote, held });
        done.sent.extend(sent);
    }

    /// A write begins. A reduced exploration knows its fate: it is durable at once, or never.
    fn write(&mut self, persist: Persist, bounds: &Bounds, done: &mut Consequences) {
        let merged = self.disk.merge(&persist);
        done.wrote |= merged.is_none() && !is_only_messages(&persist);
        match merged {
            _ if self.disk.doomed => self.lose(persist, bounds, done),
            Some(messages) => self.send(messages, done),
            None => {
                self.disk.writing.push_back(persist);
                if bounds.reduction != Reduction::Nothing {
                    self.sync(done);
                }
            }
        }
    }

    /// A write that will never be durable.
    fn lose(&mut self, persist: Persist, bounds: &Bounds, done: &mut Consequences) {
        match bounds.sabotage {
            Some(Sabotage::EarlyPromises) => self.send(persist.then_send, done),
            Some(Sabotage::LyingDisks) => self.disk.synced.push_back(Synced { seq: persist.seq }),
            _ => (),
        }
    }

    fn sync(&mut self, done: &mut Consequences) {
        if let Some(messages) = self.disk.sync() {
            self.send(messages, done);
        }
    }

    fn hear_of_write(&mut self, bounds: &Bounds, done: &mut Consequences) {
        if let Some(Synced { seq }) = self.disk.synced.pop_front() {
            self.step(Input::Persisted { seq }, bounds, done);
        }
    }

    /// Whether it makes no difference when the node hears of what is durable: see [`super`].
    fn hears_at_once(&self, bounds: &Bounds) -> bool {
        let is_asked = 0 < bounds.heartbeats || 0 < bounds.reads;
        bounds.reduction != Reduction::Nothing && !is_asked && 1 < bounds.nodes && !self.is_leader()
    }
}

impl Disk {
    /// Numbers of the writes under way.
    pub(super) fn writes(&self) -> Vec<u64> {
        let synced = self.synced.iter().map(|synced| synced.seq);
        synced.chain(self.writing.iter().map(|persist| persist.seq)).collect()
    }

    /// One that holds nothing but messages joins the one before it, as a writer may merge them: that
    /// its messages could leave later on their own adds nothing, as any message may take its time.
    /// Answers which messages may leave at once; none if it is a write of its own.
    fn merge(&mut self, persist: &Persist) -> Option<Vec<Message>> {
        if self.doomed || !is_only_messages(persist) {
            return None;
        }
        if let Some(last) = self.writing.back_mut() {
            last.seq = persist.seq;
            let held = |message: &&Message| !last.then_send.contains(message);
            let fresh: Vec<_> = persist.then_send.iter().filter(held).cloned().collect();
            last.then_send.extend(fresh);
            return Some(Vec::new());
        }
        let last = self.synced.back_mut()?;
        last.seq = persist.seq;
        Some(persist.then_send.clone())
    }

    /// The oldest write becomes durable. Answers what may leave then.
    fn sync(&mut self) -> Option<Vec<Message>> {
        let persist = self.writing.pop_front()?;
        self.synced.push_back(Synced { seq: persist.seq });
        if let Some(from) = persist.truncate_from {
            self.entries.retain(|entry| entry.id.index < from);
        }
        self.entries.extend_from_slice(&persist.entries);
        if let Some(hard) = persist.hard_state {
            self.hard = hard;
        }
        Some(persist.then_send)
    }
}

/// Whether a write lets messages wait for those before it, and nothing else.
fn is_only_messages(persist: &Persist) -> bool {
    let Persist { seq, then_send, .. } = persist;
    *persist == Persist { seq: *seq, then_send: then_send.clone(), ..Persist::default() }
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
