//! The owner of the replica.
//!
//! Everything that happens to a node arrives here and is put into one order. The driver waits for
//! the first arrival, takes whatever else has gathered, lets the replica make of it what it will,
//! and then carries out the resulting turn in the order of its fields. It waits for nothing else:
//! not for the disk, not for a peer, not for a client.

mod ending;
mod events;
mod requests;
mod watchdog;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use raft_core::{
    Body, Event, Index, Instant, MembershipChange, Message, NodeId, Persist, RoleName,
};
use raft_replica::{Replica, Request, SnapshotDone, SnapshotJob, StateMachine, Turn};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use self::ending::Stopping;
pub(crate) use self::events::Counters;
use self::events::Reporter;
use self::requests::{Requests, tell};
pub(crate) use self::watchdog::STALL_MAX;
use self::watchdog::Watchdog;
use crate::clock::{Clock, wall_ms};
use crate::fatal;
use crate::handle::{Asker, ClientRequest, Declined, Ends, Inquiry, View, Wish};
use crate::inline::Pace;
use crate::queue::Queue;
use crate::roster::Rosters;
use crate::stages::{Moment, Stages};
use crate::transport::Peers;
use crate::writer::{self, Origin, Space, Writer};

/// The owner of the replica.
pub(crate) struct Driver<S: StateMachine> {
    me: NodeId,
    replica: Replica<S>,
    inbox: Inbox<S>,
    outlets: Outlets<S>,
    clock: Clock,
    /// Fires no later than the next deadline; see [`Driver::arm`].
    timer: Pin<Box<Sleep>>,
    timer_at: Instant,
    view: View,
    reporter: Reporter,
    counters: Arc<Counters>,
    requests: Requests,
    /// Proposals of this turn, on their way into the log together.
    proposals: Vec<Request>,
    /// What the log's writer gets after this turn, and whether messages go out before.
    unwritten: Vec<(Persist, Origin)>,
    sends: bool,
    /// Whom to tell the state after this turn.
    inquirers: Vec<Inquiry>,
    watchdog: Watchdog,
    pace: Pace,
    /// When the first entries of this turn came from a leader, if some did.
    followed: Option<Moment>,
    /// What was committed before this turn.
    committed: Index,
    stop: CancellationToken,
    /// Cancelled once leadership is handed over: then clients are no longer served.
    leave: CancellationToken,
    /// How the process is ending, if it is.
    stopping: Option<Stopping>,
    /// Whether leadership is being handed over: requests wait for the next leader.
    handing_over: bool,
    /// Whether another was asked to lead because there is no space here.
    asked_to_lead_elsewhere: bool,
}

/// Where things arrive.
pub(crate) struct Inbox<S: StateMachine> {
    pub(crate) ends: Ends,
    /// Batches from peers. Full: the peer's stream is not read, and its window fills.
    pub(crate) peers: mpsc::Receiver<Vec<Message>>,
    /// What the disk's threads have finished. Full: the thread waits.
    pub(crate) completions: mpsc::Receiver<Completion<S>>,
    /// Peers whose processes were found gone. Full: forgotten.
    pub(crate) gone: mpsc::Receiver<NodeId>,
}

/// Where things go.
pub(crate) struct Outlets<S: StateMachine> {
    pub(crate) peers: Peers,
    pub(crate) jobs: Arc<Queue<writer::Job>>,
    pub(crate) writer: Arc<Mutex<Writer<S>>>,
    pub(crate) snapshots: Arc<Queue<SnapshotJob<S>>>,
    pub(crate) rosters: Arc<Rosters>,
    pub(crate) stages: Arc<Stages>,
}

/// What one of the disk's threads has finished.
pub(crate) enum Completion<S: StateMachine> {
    /// All jobs of the log's writer up to this one.
    Persisted { seq: u64 },
    /// What space the log has, whenever that changes.
    Space(Space),
    /// A job on snapshots.
    Snapshot(Box<SnapshotDone<S>>),
}

/// Arrivals of one kind taken in one turn, at most, so that a flood of one kind does not keep the
/// others waiting.
const ARRIVALS_MAX: usize = 1024;

/// With so many jobs unfinished at the log's writer, clients are kept waiting. Peers are not: what
/// they send is bounded by the protocol's flow control, and heartbeats must go on.
const BACKLOG_MAX: usize = 1024;

/// Turns take microseconds, or milliseconds under the greatest load.
const TURN_LONG: Duration = Duration::from_millis(100);

/// From here on clients notice.
const TURN_NOTABLE: Duration = Duration::from_millis(10);

impl<S: StateMachine> Driver<S> {
    /// A driver that ends some time after `stop` is called.
    pub(crate) fn new(
        (replica, me): (Replica<S>, NodeId),
        inbox: Inbox<S>,
        outlets: Outlets<S>,
        (clock, counters, way_back): (Clock, Arc<Counters>, String),
        (stop, leave): (CancellationToken, CancellationToken),
    ) -> Self {
        let view = *inbox.ends.view.borrow();
        outlets.rosters.learn(replica.node().membership());
        Self {
            me,
            replica,
            inbox,
            outlets,
            clock,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            timer_at: Instant::default(),
            view,
            reporter: Reporter::new(me, Arc::clone(&counters), way_back),
            counters,
            requests: Requests::default(),
            proposals: Vec::new(),
            unwritten: Vec::new(),
            sends: false,
            inquirers: Vec::new(),
            watchdog: Watchdog::default(),
            pace: Pace::default(),
            followed: None,
            committed: Index(0),
            stop,
            leave,
            stopping: None,
            handing_over: false,
            asked_to_lead_elsewhere: false,
        }
    }

    /// Runs until the process ends. By then every request has been answered.
    pub(crate) async fn run(mut self) {
        while !self.is_done() {
            self.arrival().await;
            let before = self.clock.now();
            self.gather();
            self.turn();
            if self.knows_whom_to_ask() && self.unpark() {
                self.turn();
            }
            if self.leave_if_handed_over() {
                self.turn();
            }
            self.note_length(before);
            while self.write().await {
                if !self.pace.is_slow() {
                    // It took long: a leader that spoke meanwhile is heard before it is missed.
                    tokio::task::yield_now().await;
                    self.gather();
                }
                self.turn();
            }
        }
        self.requests.stop_all();
        self.inbox.ends.requests.close();
        while let Ok(request) = self.inbox.ends.requests.try_recv() {
            request.asker.tell(Err(Declined::Stopping));
        }
    }

    /// Nothing in a turn waits, so one that took long means that this node has more to do than its
    /// processor can, and that its heartbeats suffer.
    fn note_length(&self, before: Instant) {
        let length = self.clock.now().since(before);
        if TURN_LONG <= length {
            tracing::warn!(node = %self.me, ms = length.as_millis(), "a turn took long");
        } else if TURN_NOTABLE <= length {
            tracing::debug!(node = %self.me, ms = length.as_millis(), "a turn took a while");
        }
    }

    /// Whether requests have somewhere to go, or will have nowhere to go here: a node that was
    /// removed hears of no leader any more, even if a restart has made it forget that its removal
    /// was committed.
    fn knows_whom_to_ask(&self) -> bool {
        let node = self.replica.node();
        let left = node.is_removed() || !node.membership().contains(self.me);
        let settled = self.view.leader.is_some() || left;
        settled && !self.handing_over
    }

    /// Waits for the first arrival or deadline.
    async fn arrival(&mut self) {
        self.arm();
        let clients_may = self.clients_may();
        let ends = &mut self.inbox.ends;
        tokio::select! {
            biased;
            () = self.stop.cancelled(), if self.stopping.is_none() => self.on_stop(),
            Some(done) = self.inbox.completions.recv() => self.on_completion(done),
            Some(batch) = self.inbox.peers.recv() => self.on_messages(batch),
            Some(peer) = self.inbox.gone.recv() => self.on_gone(peer),
            Some(inquiry) = ends.inquiries.recv() => self.inquirers.push(inquiry),
            Some(request) = ends.requests.recv(), if clients_may => self.on_request(request),
            () = &mut self.timer => self.timer_at = Instant(u64::MAX),
        }
    }

    /// Takes whatever else has arrived.
    fn gather(&mut self) {
        for _ in 0..ARRIVALS_MAX {
            let Ok(done) = self.inbox.completions.try_recv() else { break };
            self.on_completion(done);
        }
        for _ in 0..ARRIVALS_MAX {
            let Ok(batch) = self.inbox.peers.try_recv() else { break };
            self.on_messages(batch);
        }
        for _ in 0..ARRIVALS_MAX {
            let Ok(inquiry) = self.inbox.ends.inquiries.try_recv() else { break };
            self.inquirers.push(inquiry);
        }
        let requests = if self.clients_may() { ARRIVALS_MAX } else { 0 };
        for _ in 0..requests {
            let Ok(request) = self.inbox.ends.requests.try_recv() else { break };
            self.on_request(request);
        }
    }

    /// Lets the replica work, and carries out what it wants, in the order it wants it.
    fn turn(&mut self) {
        let now = self.clock.now();
        self.requests.expire(now);
        if self.watchdog.is_stalled(now) {
            fatal::end(stalled());
        }
        if !self.proposals.is_empty() {
            let proposals = std::mem::take(&mut self.proposals);
            self.requests.proposed(Moment::now(), &self.outlets.stages);
            self.replica.propose(now, wall_ms(), proposals);
        }
        if self.replica.next_deadline() <= now {
            self.replica.tick(now);
        }
        let began = Moment::now();
        let Turn { send, persist, answers, snapshots, events } = self.replica.take();
        let took = self.note_taken(began);
        if let Some(divergence) = self.replica.divergence() {
            fatal::end(format_args!("{divergence}; {}", divergence.hint(self.me)));
        }
        self.sends |= !send.is_empty();
        self.outlets.peers.send(send);
        if let Some(persist) = persist {
            self.watchdog.started(now, persist.seq);
            self.pace.begin();
            let origin = Origin { wanted: took.1, followed: self.followed };
            self.unwritten.push((persist, origin));
        }
        self.followed = None;
        for answer in answers {
            self.requests.answer(answer, took, &self.outlets.stages);
        }
        for job in snapshots {
            self.counters.count_received(job.received_bytes());
            assert!(
                self.outlets.snapshots.push(job).is_ok(),
                "one snapshot is built and one piece per peer is on its way at a time"
            );
        }
        self.publish(events);
        for inquiry in self.inquirers.drain(..) {
            tell(inquiry, self.replica.status(now));
        }
    }

    /// From when to when the replica worked; applied, if something was committed.
    fn note_taken(&mut self, began: Moment) -> (Moment, Moment) {
        let (ended, committed) = (Moment::now(), self.replica.node().commit_index());
        if self.committed != committed {
            self.committed = committed;
            self.outlets.stages.apply.record_between(began, ended);
        }
        (began, ended)
    }

    /// Hands what is to be durable to the log's writer. Messages go first, as far as the network: the
    /// others write meanwhile, and a commit waits for one of them at least. Returns whether it is durable
    /// already.
    async fn write(&mut self) -> bool {
        if std::mem::take(&mut self.sends) && !self.unwritten.is_empty() {
            // Back when every task that has something to do has done it.
            tokio::task::yield_now().await;
        }
        let alone = self.is_alone();
        for (persist, origin) in std::mem::take(&mut self.unwritten) {
            let writer = Arc::clone(&self.outlets.writer);
            let free = if alone { writer.try_lock().ok() } else { None };
            if let Some(mut free) = free.filter(|writer| writer.has_room(&persist)) {
                let seq = free.write_here(persist, origin);
                drop(free);
                self.finished(seq, true);
                return true;
            }
            if self.outlets.jobs.push(writer::Job::Persist(persist, origin)).is_err() {
                fatal::end("the disk is too far behind: the queue of the log's writer is full");
            }
        }
        false
    }

    /// Whether nothing is left to do but one write to the log, and nothing else is expected meanwhile. The
    /// log's thread has nothing to do as long as every job but this one is finished.
    fn is_alone(&self) -> bool {
        self.pace.is_slow()
            && self.watchdog.backlog() == 1
            && self.unwritten.len() == 1
            && self.inbox.peers.is_empty()
            && self.inbox.ends.requests.is_empty()
    }

    fn finished(&mut self, seq: u64, here: bool) {
        let now = self.clock.now();
        self.watchdog.finished(now, seq);
        if self.watchdog.backlog() == 0 {
            self.pace.end(here);
        }
        self.replica.persisted(now, seq);
    }

    fn publish(&mut self, events: Vec<Event>) {
        if events.is_empty() {
            return;
        }
        for event in &events {
            match event {
                Event::Transferring { .. } => self.handing_over = true,
                Event::TransferFailed { .. } | Event::Became { .. } => self.handing_over = false,
                Event::MembershipChanged { membership } => self.outlets.rosters.learn(membership),
                _ => (),
            }
        }
        let view = self.reporter.report(self.view, events);
        self.view = view.among_members(self.replica.node());
        let view = self.view;
        self.inbox.ends.view.send_if_modified(|published| {
            let changed = *published != view;
            *published = view;
            changed
        });
    }

    fn on_completion(&mut self, done: Completion<S>) {
        let now = self.clock.now();
        match done {
            Completion::Persisted { seq } => self.finished(seq, false),
            Completion::Space(space) => self.on_space(now, space),
            Completion::Snapshot(done) => self.replica.snapshot_done(now, *done),
        }
    }

    /// Without space, clients are refused, and somebody else may lead: asked for once, because it may
    /// have no more. Followers go on until they are out of it; what they cannot store they do not
    /// acknowledge.
    fn on_space(&mut self, now: Instant, space: Space) {
        self.watchdog.pause(now, space == Space::Out);
        self.replica.set_short_of_space(space != Space::Enough);
        if space == Space::Enough {
            tracing::info!(node = %self.me, "takes writes again");
            self.asked_to_lead_elsewhere = false;
            return;
        }
        tracing::warn!(node = %self.me, "takes no writes: the disk is full");
        let others = 1 < self.replica.node().membership().voters.len();
        if self.view.role == RoleName::Leader && others && !self.asked_to_lead_elsewhere {
            self.asked_to_lead_elsewhere = true;
            let (answer, _) = oneshot::channel();
            let asker = Asker::Waits(answer);
            self.submit(ClientRequest::new(Wish::Transfer { to: None }, asker));
        }
    }

    fn on_messages(&mut self, batch: Vec<Message>) {
        let now = self.clock.now();
        for message in batch {
            if matches!(&message.body, Body::Append(append) if !append.entries.is_empty()) {
                self.followed.get_or_insert_with(Moment::now);
                self.pace.note_work(false);
            }
            self.replica.receive(now, message);
        }
    }

    fn on_gone(&mut self, peer: NodeId) {
        // What it said before it went comes first: it would be taken for a sign of life.
        while let Ok(batch) = self.inbox.peers.try_recv() {
            self.on_messages(batch);
        }
        self.replica.peer_down(self.clock.now(), peer);
    }

    fn on_request(&mut self, request: ClientRequest) {
        if self.stopping.is_some_and(|stopping| stopping.hands_over.is_none()) {
            return request.asker.tell(Err(Declined::Stopping));
        }
        if request.asker.is_gone() {
            return; // The client is gone, and nothing has been done for it.
        }
        if !self.knows_whom_to_ask() && request.wish.needs_leader() {
            return self.requests.park(self.clock.now(), request);
        }
        self.pace.note_work(!self.requests.is_empty());
        self.submit(request);
    }

    fn submit(&mut self, request: ClientRequest) {
        let (token, wish) = self.requests.admit(request);
        match wish {
            Wish::Propose(kind) => self.proposals.push(Request { token, kind }),
            Wish::Query { query, consistency } => {
                self.replica.query(self.clock.now(), token, query, consistency);
            }
            Wish::ChangeMembership(change) => {
                let change = MembershipChange { token, ..*change };
                self.replica.change_membership(self.clock.now(), change);
            }
            Wish::Transfer { to } => self.replica.transfer(self.clock.now(), token, to),
        }
    }

    /// Submits the requests that waited for a leader. Returns whether there were any.
    fn unpark(&mut self) -> bool {
        let mut any = false;
        while let Some(request) = self.requests.unpark() {
            any = true;
            self.submit(request);
        }
        any
    }

    fn clients_may(&self) -> bool {
        self.watchdog.backlog() < BACKLOG_MAX
    }

    /// Sets the timer. It is only ever moved forward in time: a deadline that moves away, as most
    /// do with every message, costs one idle wake-up at the old one instead of a change each time.
    fn arm(&mut self) {
        let stop_at = self.stopping.map(|Stopping { until, hands_over, .. }| {
            hands_over.map_or(until, |again| again.min(until))
        });
        let others = [self.requests.next_deadline(), self.watchdog.next_deadline(), stop_at];
        let deadline =
            others.into_iter().flatten().fold(self.replica.next_deadline(), Instant::min);
        if deadline < self.timer_at {
            self.timer_at = deadline;
            self.timer.as_mut().reset(self.clock.timer(deadline));
        }
    }
}

/// Why a process ends whose disk does.
pub(crate) fn stalled() -> String {
    format!("the disk has not finished a write in {} s", STALL_MAX.as_secs())
}
