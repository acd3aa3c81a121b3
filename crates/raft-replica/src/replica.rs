//! The replica: a node of the core, its state machine, and the order in which things must happen.
//!
//! It owns no thread and touches no file. Each turn, its driver passes in what arrived, takes a
//! [`Turn`], and walks its fields from top to bottom: messages that promise nothing leave at once;
//! the persist goes to the one [`crate::Wal`], which hands back the messages that had to wait for
//! it. What is durable before what is said is decided here and in the core, nowhere else, and the
//! simulator drives this very code.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use raft_core::pack::Packer;
use raft_core::record::Recorded;
use raft_core::{
    Apply, Effects, Event, Index, Input, Instant, LogId, MembershipChange, Message, Node, NodeId,
    Persist, Proposal, Refusal, SnapshotMeta, Token, mutant,
};

use crate::cadence;
use crate::check::{CheckPolicy, Checks, Divergence};
use crate::envelope::{Content, Envelope};
use crate::jobs::{Done, Job, SnapshotDone, SnapshotJob};
use crate::recording::RecordSink;
use crate::request::{Answer, Consistency, Outcome, Refused, Request, RequestKind};
use crate::state::State;
use crate::state_machine::{Invalid, StateMachine};
use crate::status::Status;

/// When the log is shortened, and how long sessions live.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// A snapshot is taken after this many entries, or a little before: see [`cadence`]...
    pub(crate) snapshot_entries: u64,
    /// ...or after about this many bytes of them, but not before the log outweighs the last snapshot.
    pub(crate) snapshot_bytes: u64,
    /// How long an idle session lives, in milliseconds of log time.
    pub(crate) session_ttl_ms: u64,
    /// When states are compared.
    pub(crate) check: CheckPolicy,
}

/// The replica's own proposals; no client's token comes near it.
const CHECK_TOKEN: Token = Token(u64::MAX);

/// How long after a snapshot that found no space the next one is tried, and how often that is doubled.
const SPACE_PAUSE: Duration = Duration::from_secs(1);
const SPACE_PAUSE_DOUBLED_MAX: u32 = 6;

/// What the driver must do after a turn, in the order of the fields.
#[derive(Debug)]
pub struct Turn<S: StateMachine> {
    /// Messages to send now.
    pub send: Vec<Message>,
    /// A job for the log's writer; its messages leave when it is durable.
    pub persist: Option<Persist>,
    /// Answers to requests.
    pub answers: Vec<Answer>,
    /// Work on snapshot files, to be done in order, beside the log's writer.
    pub snapshots: Vec<SnapshotJob<S>>,
    /// What happened.
    pub events: Vec<Event>,
}

/// One member of the cluster.
#[derive(Debug)]
pub struct Replica<S: StateMachine> {
    node: Recorded<RecordSink>,
    state: State<S>,
    policy: Policy,
    /// Queries that wait for their place in the order.
    queries: BTreeMap<Token, Bytes>,
    /// Queries that may be answered once the index is applied.
    ready: VecDeque<(Index, Token)>,
    /// A snapshot that is being loaded; what is to be applied waits behind it, in order.
    loading: Option<SnapshotMeta>,
    backlog: VecDeque<Apply>,
    /// Whether a snapshot is being built.
    building: bool,
    /// The snapshot whose marker is being written, and by which persist: until that is durable the
    /// one before it is still needed.
    marking: Option<(u64, SnapshotMeta)>,
    /// The last entry of the snapshot before the newest.
    previous: Option<LogId>,
    /// Whether there is too little space to take anything in.
    short_of_space: bool,
    /// No snapshot is built before then: there was no space for one, so many times in a row.
    no_snapshot_before: Instant,
    snapshots_given_up: u32,
    duplicates: u64,
    /// Where commands lie that came here first.
    packer: Packer,
    turn: Turn<S>,
}

impl<S: StateMachine> Replica<S> {
    /// Puts the parts together: a node and the state as of its snapshot.
    pub(crate) fn new(node: Recorded<RecordSink>, mut state: State<S>, policy: Policy) -> Self {
        state.checks = Checks::new(policy.check.clone());
        state.checks.restart(state.applied, state.hash);
        Self {
            node,
            state,
            policy,
            queries: BTreeMap::new(),
            ready: VecDeque::new(),
            loading: None,
            backlog: VecDeque::new(),
            building: false,
            marking: None,
            previous: None,
            short_of_space: false,
            no_snapshot_before: Instant::default(),
            snapshots_given_up: 0,
            duplicates: 0,
            packer: Packer::default(),
            turn: Turn::default(),
        }
    }

    /// A message from a peer arrived.
    pub fn receive(&mut self, now: Instant, message: Message) {
        self.node.step(now, Input::Message(message));
    }

    /// Time passed.
    pub fn tick(&mut self, now: Instant) {
        self.node.step(now, Input::Tick);
    }

    /// Clients want something in the log. `clock_ms` is the wall clock in milliseconds; it goes
    /// into the entries, and only there has it a say.
    pub fn propose(&mut self, now: Instant, clock_ms: u64, requests: Vec<Request>) {
        if self.short_of_space {
            for Request { token, .. } in requests {
                self.answer(token, Outcome::Refused(Refused::DiskFull));
            }
            return;
        }
        let mut proposals = Vec::with_capacity(requests.len());
        for Request { token, kind } in requests {
            let content = match kind {
                RequestKind::OpenSession => {
                    Content::OpenSession { ttl_ms: self.policy.session_ttl_ms }
                }
                RequestKind::Command { session, command } => {
                    if let Err(Invalid(text)) = self.state.machine.validate(&command) {
                        self.answer(token, Outcome::Refused(Refused::Invalid(text)));
                        continue;
                    }
                    Content::Command { session, command }
                }
            };
            let mut token = token;
            // A put of the shipped store, and what it comes to: other writes have other answers.
            let is_put =
                matches!(&content, Content::Command { command, .. } if command.first() == Some(&1));
            if mutant!("a write is acknowledged when it is proposed") && is_put && self.is_leader()
            {
                let id = LogId::new(self.node.term(), self.node.last().index.next());
                let result = Bytes::from_static(&[1, 0]);
                self.answer(token, Outcome::Applied { id, result, duplicate: false });
                token = CHECK_TOKEN; // Nobody asks any more.
            }
            let data = Envelope { clock_ms, content }.encode(&mut self.packer);
            proposals.push(Proposal { token, data });
        }
        self.node.step(now, Input::Propose(proposals));
    }

    /// A client wants to read.
    pub fn query(&mut self, now: Instant, token: Token, query: Bytes, consistency: Consistency) {
        match consistency {
            Consistency::Stale => self.answer_query(token, &query),
            Consistency::Linearizable => {
                self.queries.insert(token, query);
                self.node.step(now, Input::Read(token));
            }
        }
    }

    /// Whether the space that is left is too little for more than the node's own promises: while it
    /// is, whatever clients and operators want in the log is refused. Nothing else changes: a leader
    /// goes on leading and serving reads unless its driver has it hand over.
    pub fn set_short_of_space(&mut self, short: bool) {
        if self.short_of_space && !short {
            // Before the log takes all there is: a snapshot is how it gives some back.
            self.no_snapshot_before = Instant::default();
        }
        self.short_of_space = short;
    }

    /// An operator wants another membership.
    pub fn change_membership(&mut self, now: Instant, change: MembershipChange) {
        if self.short_of_space {
            return self.answer(change.token, Outcome::Refused(Refused::DiskFull));
        }
        self.node.step(now, Input::ChangeMembership(change));
    }

    /// The leader is to hand over, to `to` or to whoever is furthest along.
    pub fn transfer(&mut self, now: Instant, token: Token, to: Option<NodeId>) {
        self.node.step(now, Input::Transfer { token, to });
    }

    /// The process of a peer is gone: see [`Input::PeerDown`].
    pub fn peer_down(&mut self, now: Instant, peer: NodeId) {
        self.node.step(now, Input::PeerDown { peer });
    }

    /// Every persist up to `seq` is durable.
    pub fn persisted(&mut self, now: Instant, seq: u64) {
        if let Some((_, marked)) = self.marking.take_if(|(marker, _)| *marker <= seq) {
            // The previous one stays, for a transfer that is about to begin, and so do those that are
            // on their way: a peer that takes longer than a snapshot lasts would never get one whole.
            let previous = self.previous.replace(marked.last);
            let needed = previous.into_iter().chain(self.node.snapshots_being_sent()).collect();
            self.turn.snapshots.push(SnapshotJob(Job::Forget { newest: marked, needed }));
        }
        self.node.step(now, Input::Persisted { seq });
    }

    /// A write or a sync failed: the replica is finished.
    pub fn persist_failed(&mut self, now: Instant) {
        self.node.step(now, Input::PersistFailed);
    }

    /// A job on snapshot files is done.
    pub fn snapshot_done(&mut self, now: Instant, done: SnapshotDone<S>) {
        match done.0 {
            Done::Input(input) | Done::Full { error: _, answer: Some(input) } => {
                self.node.step(now, input);
            }
            Done::Built(meta) => {
                self.building = false;
                self.snapshots_given_up = 0;
                self.node.step(now, Input::SnapshotBuilt(meta));
            }
            Done::Loaded(meta, state) => {
                assert_eq!(self.loading.take(), Some(meta), "loaded what was not asked for");
                let checks = std::mem::take(&mut self.state.checks);
                let old = std::mem::replace(&mut self.state, State { checks, ..*state });
                // To take it apart may take as long as to build it.
                self.turn.snapshots.push(SnapshotJob(Job::Discard(Box::new(old))));
                self.state.checks.restart(self.state.applied, self.state.hash);
                while self.loading.is_none()
                    && let Some(apply) = self.backlog.pop_front()
                {
                    self.apply(apply);
                }
                self.note_applied();
            }
            Done::Nothing => (),
            Done::Full { error: _, answer: None } => {
                self.building = false;
                // A while later, or each turn would try again in vain. Not some entries later: what keeps
                // the log from growing may be that nothing was removed from it.
                let pause =
                    SPACE_PAUSE * (1 << self.snapshots_given_up.min(SPACE_PAUSE_DOUBLED_MAX));
                self.no_snapshot_before = now.after(pause);
                self.snapshots_given_up += 1;
            }
        }
    }

    /// Takes what is to be done since the last call: nothing, once the state has diverged.
    pub fn take(&mut self) -> Turn<S> {
        self.propose_check();
        let Effects { send, persist, apply, reads, done, refused, snapshots, events } =
            self.node.take_effects();
        self.turn.send = send;
        if let Some(persist) = &persist {
            self.note_marker(persist);
        }
        self.turn.persist = persist;
        if !apply.is_empty() {
            for item in apply {
                self.apply(item);
            }
            self.note_applied();
        }
        self.ready.extend(reads.into_iter().map(|read| (read.index, read.token)));
        self.answer_ready();
        self.refuse_stranded();
        for token in done {
            self.answer(token, Outcome::Done);
        }
        // A check that is refused is made at the next occasion.
        for (token, refusal) in refused.into_iter().filter(|(token, _)| *token != CHECK_TOKEN) {
            self.queries.remove(&token);
            self.answer(token, Outcome::Refused(refusal.into()));
        }
        self.turn.snapshots.extend(snapshots.into_iter().map(|job| SnapshotJob(Job::Core(job))));
        self.turn.events = events;
        self.build_snapshot_if_due();
        let turn = std::mem::take(&mut self.turn);
        // Whatever it would say or write now may come from a state that is wrong.
        if self.divergence().is_some() { Turn::default() } else { turn }
    }

    /// Why this replica does nothing any more, if its state is not the one the leader has: its process
    /// must end.
    pub fn divergence(&self) -> Option<&Divergence> {
        self.state.checks.divergence()
    }

    /// The last entry after which the state was seen to be the same as the leader's.
    pub fn checked(&self) -> Index {
        self.state.checks.agreed()
    }

    /// When the replica wants a turn again, at the latest.
    pub fn next_deadline(&self) -> Instant {
        if self.divergence().is_some() {
            return Instant(u64::MAX);
        }
        if self.state.checks.is_due() && self.is_leader() {
            return Instant::default();
        }
        self.node.next_deadline()
    }

    /// How it is.
    pub fn status(&self, now: Instant) -> Status {
        Status {
            applied: self.state.applied.index,
            state_hash: self.state.hash,
            checked: self.checked(),
            items: self.state.machine.len(),
            sessions: self.state.sessions.len(),
            duplicates: self.duplicates,
            ..Status::of_node(&self.node, now)
        }
    }

    /// The consensus state, to look at.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The state machine, to look at.
    pub fn machine(&self) -> &S {
        &self.state.machine
    }

    fn is_leader(&self) -> bool {
        self.node.leader() == Some(self.node.id())
    }

    fn apply(&mut self, item: Apply) {
        if self.loading.is_some() {
            self.backlog.push_back(item);
            return;
        }
        match item {
            Apply::Install(meta) => {
                self.turn.snapshots.push(SnapshotJob(Job::Load(meta.clone())));
                self.loading = Some(meta);
            }
            Apply::Entries(committed) => {
                for (entry, token) in committed.iter() {
                    if self.divergence().is_some() {
                        return;
                    }
                    let outcome = self.state.apply(entry);
                    if mutant!("only who is asked remembers its answers") && token.is_none() {
                        self.state.sessions.forget_answers();
                    }
                    if mutant!("sessions expire by the local clock") {
                        self.state.sessions.hurry(self.node.id().0 * 500);
                    }
                    if let Outcome::Applied { duplicate: true, .. } = &outcome {
                        self.duplicates += 1;
                    }
                    if let Some(token) = token.filter(|token| *token != CHECK_TOKEN) {
                        self.answer(token, outcome);
                    }
                }
            }
        }
    }

    /// A leader says what its state hashes to, once it has come so far.
    fn propose_check(&mut self) {
        if !self.is_leader() {
            return;
        }
        if let Some(check) = self.state.checks.take_due(self.node.id()) {
            let data =
                Envelope { clock_ms: 0, content: Content::Check(check) }.encode(&mut self.packer);
            let proposal = Proposal { token: CHECK_TOKEN, data };
            // Not an arrival: no time has passed.
            self.node.step(Instant::default(), Input::Propose(vec![proposal]));
        }
    }

    /// Tells the core how far the state machine has come: it hands out no more than that keeps up with.
    fn note_applied(&mut self) {
        if self.loading.is_none() {
            let index = self.state.applied.index;
            // Not an arrival: no time has passed.
            self.node.step(Instant::default(), Input::Applied { index });
        }
    }

    fn answer_ready(&mut self) {
        let applied = self.state.applied.index;
        let applied =
            mutant!("a read does not wait for what it must see", Index(u64::MAX), applied);
        while let Some((_, token)) = self.ready.pop_front_if(|(index, _)| *index <= applied) {
            if let Some(query) = self.queries.remove(&token) {
                self.answer_query(token, &query);
            }
        }
    }

    /// Without a leader nobody says what is committed: a node that is cut off, or no member any more,
    /// may never get as far as its reads have to wait for.
    fn refuse_stranded(&mut self) {
        let commit = self.node.commit_index();
        if self.node.leader().is_some() || self.ready.is_empty() {
            return;
        }
        for (index, token) in std::mem::take(&mut self.ready) {
            if index <= commit {
                self.ready.push_back((index, token));
            } else if self.queries.remove(&token).is_some() {
                self.answer(token, Outcome::Refused(Refused::NotLeader { leader: None }));
            }
        }
    }

    fn answer_query(&mut self, token: Token, query: &[u8]) {
        let applied = self.state.applied.index;
        let outcome = match self.state.machine.query(query) {
            Ok(result) => Outcome::Read { applied, result },
            Err(Invalid(text)) => Outcome::Refused(Refused::Invalid(text)),
        };
        self.answer(token, outcome);
    }

    fn answer(&mut self, token: Token, outcome: Outcome) {
        self.turn.answers.push(Answer { token, outcome });
    }

    fn note_marker(&mut self, persist: &Persist) {
        let compacted = persist.compact.as_ref().map(|compact| &compact.snapshot);
        if let Some(meta) = compacted.or(persist.install.as_ref()) {
            self.marking = Some((persist.seq, meta.clone()));
        }
    }

    /// How far behind the snapshot of that size up to `last` the next one comes, in entries and in bytes
    /// of them.
    fn distance_of_snapshots(&self, last: Index, size: u64) -> (u64, u64) {
        let voters = &self.node.membership().voters;
        let rank = voters.iter().take_while(|&&voter| voter < self.node.id()).count();
        let place = (rank as u64, voters.len() as u64);
        let entries = cadence::distance(self.policy.snapshot_entries, last, place);
        let bytes = self.policy.snapshot_bytes.max(size);
        (entries, cadence::distance_in_bytes(bytes, entries, self.policy.snapshot_entries))
    }

    /// Freezes the state once enough has been applied since the last snapshot. A level, not an edge:
    /// what cannot be done now is done at the next turn.
    fn build_snapshot_if_due(&mut self) {
        let applied = self.state.applied;
        let (last, size) =
            self.node.snapshot().map_or((Index(0), 0), |meta| (meta.last.index, meta.size));
        let entries = applied.index.0.saturating_sub(last.0);
        let (distance, bytes) = self.distance_of_snapshots(last, size);
        let due = distance <= entries || bytes <= self.node.log_bytes_after(last);
        // A snapshot must not be ahead of the own log file: the log continues it.
        let possible = 0 < entries
            && self.no_snapshot_before <= self.node.now()
            && !self.building
            && self.loading.is_none()
            && applied.index <= self.node.durable_index();
        if due && possible {
            let membership = self.node.membership_at(applied.index).clone();
            if membership.is_empty() {
                return; // A newcomer that has not yet read so far as to know the cluster.
            }
            self.building = true;
            let mut image = Box::new(self.state.image());
            if mutant!("a snapshot is labelled with the log's end") {
                image.applied = self.node.last();
            }
            self.turn.snapshots.push(SnapshotJob(Job::Build { membership, image }));
        }
    }
}

impl<S: StateMachine> Default for Turn<S> {
    fn default() -> Self {
        Self {
            send: Vec::new(),
            persist: None,
            answers: Vec::new(),
            snapshots: Vec::new(),
            events: Vec::new(),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotLeader { leader } => Self::NotLeader { leader },
            Refusal::Overloaded => Self::Overloaded,
            Refusal::Unknown => Self::OutcomeUnknown,
            Refusal::Transferring { to } => Self::Transferring { to },
            Refusal::Membership(refusal) => Self::Membership(refusal),
            Refusal::Transfer(refusal) => Self::Transfer(refusal),
        }
    }
}
