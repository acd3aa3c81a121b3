//! A run: started, watched, and brought to its summary.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::cost::{Meter, calibrate};
use super::etcd::Etcd;
use super::failover::FaultEvent;
use super::history::{Journal, Record, Span};
use super::lane::{Lane, Task};
use super::operation::{Kind, Outcome};
use super::pace::{Alarm, Schedule};
use super::queue::Queue;
use super::recorder::{Frame, Miss, Recorder, Success};
use super::silence::Reign;
use super::stall;
use super::summary::{Cluster, Summary, Verification};
use super::target::{Answered, Raft, Reads, Target};
use super::verify::{self, Doubt};
use super::workload::{Sharing, Workload};
use super::{Brake, GRACE, Plan, System};
use crate::{Client, ClientError, Consistency, Counters, Observer, Options, ReadFrom};

/// How long a run goes on after the last fault that it waits for.
const AFTERMATH: Duration = Duration::from_secs(1);

/// How often it is looked whether that is so.
const LOOK: Duration = Duration::from_millis(100);

/// A run: started, watched, and brought to its summary.
#[derive(Debug)]
pub struct Bench {
    pub(super) shared: Arc<Shared>,
    pub(super) cluster: Cluster,
    pub(super) counters_before: Counters,
    /// What processor time had been used before.
    pub(super) meter: Meter,
    lanes: Vec<Lane>,
    /// How long the warm-up should take and how long it took, if that is much longer.
    overrun: Option<(Duration, Duration)>,
}

/// The last operations of a warm-up may take so long without a word about it.
const OVERRUN: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) target: Target,
    pub(super) plan: Plan,
    /// Nanoseconds of requests that the leader answered at once.
    pub(super) empty_trips: Option<Histogram<u64>>,
    workload: Workload,
    recorder: Arc<Mutex<Recorder>>,
    journal: Option<Journal>,
    pub(super) started: Instant,
    /// The same moment on the machine's monotonic clock.
    pub(super) started_mono_us: u64,
    /// No new operations.
    pub(super) stop: CancellationToken,
    /// Not even those that are under way.
    abort: CancellationToken,
    /// Whether what was written is being read back.
    reading_back: Arc<AtomicBool>,
    /// No reading back any more.
    leave: CancellationToken,
    /// Whether the run was stopped because all the faults were seen that it waited for.
    pub(super) saw_faults: AtomicBool,
}

/// A part of a run: the warm-up, or what is measured.
#[derive(Debug)]
struct Phase {
    started: Instant,
    duration: Option<Duration>,
    requests: Option<u64>,
    begun: AtomicU64,
    /// Operations that are due, in an open loop.
    queue: Option<Queue>,
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Since the start.
    pub elapsed: Duration,
    /// Operations that were done.
    pub ok: u64,
    /// Operations that are not done.
    pub failed: u64,
    /// Writes that may be done.
    pub unknown: u64,
    /// Operations that nobody had the time to send.
    pub dropped: u64,
    /// Attempts that followed a failed one.
    pub retries: u64,
    /// Operations under way.
    pub in_flight: u64,
    /// The leader of the latest term that was seen, and that term.
    pub leader: Option<(u64, u64)>,
    /// For how long nothing has been done.
    pub silence: Duration,
    /// Nanoseconds of the operations done in the last whole interval, of the kind that comes first
    /// in the mix: half of them, 99 % of them, and all of them were as fast or faster.
    pub recent: Option<[u64; 3]>,
    /// Operations done in each tenth of a second since the start.
    pub slots: Vec<u32>,
    /// Nothing new is begun: it waits for what is under way.
    pub ending: bool,
    /// All is done, and is read back.
    pub reading_back: bool,
}

impl Bench {
    /// Gets everything ready: finds the cluster within `wait`, opens the session, makes the
    /// connections and warms up. The clock starts when this returns.
    pub async fn prepare(
        options: Options,
        plan: Plan,
        wait: Duration,
    ) -> Result<Self, ClientError> {
        let mut frame = Frame {
            started: Instant::now(),
            reign: None,
            mix: plan.shape.mix.clone(),
            gap_min: plan.gap_min,
            interval: plan.interval,
            open_loop: plan.pace.is_some(),
        };
        let recorder = Arc::new(Mutex::new(Recorder::new(frame.clone())));
        let witness = Arc::clone(&recorder);
        let observer = Observer::new(move |attempt| {
            if attempt.fault.is_some() {
                lock(&witness).fault(Instant::now(), attempt.write, attempt.term);
            }
        });
        let target = match plan.system {
            System::Raft => {
                let client = Client::new(Options { observer: Some(observer), ..options });
                Target::Raft(Raft { client, reads: plan.reads })
            }
            System::Etcd => Target::Etcd(Box::new(Etcd::new(options, plan.reads))),
        };
        let cluster = target.ready(wait).await?;
        let (leader, term) = (cluster.leader, cluster.term);
        frame.reign = (leader != 0).then_some(Reign { leader, term });
        let empty_trips = calibrate(&target, plan.lanes(), plan.calibration).await;
        let mut shared = Shared {
            workload: plan.workload(),
            target,
            empty_trips,
            journal: None,
            recorder,
            started: frame.started,
            started_mono_us: 0,
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            reading_back: Arc::default(),
            leave: CancellationToken::new(),
            saw_faults: AtomicBool::new(false),
            plan,
        };
        let mut lanes: Vec<Lane> = (0..shared.plan.lanes()).map(Lane::new).collect();
        let (warmup, mut overrun) = (shared.plan.warmup, None);
        if !warmup.is_zero() {
            let arc = Arc::new(shared);
            let began = Instant::now();
            lanes = Self::warm_up(&arc, lanes, warmup).await;
            let took = began.elapsed();
            overrun = (warmup + OVERRUN < took).then_some((warmup, took));
            shared = Arc::into_inner(arc).expect("the workers have ended");
            frame.reign = shared.recorder().reign().or(frame.reign);
        }
        let counters_before = shared.target.counters();
        let meter = shared.target.meter().await;
        (frame.started, shared.started_mono_us) = (Instant::now(), monotonic_us());
        shared.started = frame.started;
        *shared.recorder() = Recorder::new(frame);
        Ok(Self { shared: Arc::new(shared), cluster, counters_before, meter, lanes, overrun })
    }

    /// Opens the file of the history, if the plan wants one.
    pub fn open_history(&mut self) -> io::Result<()> {
        let Some(path) = self.shared.plan.history.clone() else { return Ok(()) };
        let journal = Journal::create(&path)?;
        let shared = Arc::get_mut(&mut self.shared).expect("the run has not begun");
        shared.journal = Some(journal);
        Ok(())
    }

    async fn warm_up(shared: &Arc<Shared>, lanes: Vec<Lane>, lasts: Duration) -> Vec<Lane> {
        let phase = Arc::new(Phase {
            started: Instant::now(),
            duration: Some(lasts),
            requests: None,
            begun: AtomicU64::new(0),
            queue: None,
        });
        Self::work(shared, &phase, lanes).await
    }

    /// Lets every worker work until the phase is over.
    async fn work(shared: &Arc<Shared>, phase: &Arc<Phase>, lanes: Vec<Lane>) -> Vec<Lane> {
        let mut workers = JoinSet::new();
        for mut lane in lanes {
            let (shared, phase) = (Arc::clone(shared), Arc::clone(phase));
            workers.spawn(async move {
                shared.work(&phase, &mut lane).await;
                lane
            });
        }
        let mut lanes = workers.join_all().await;
        lanes.sort_by_key(|lane| lane.worker);
        lanes
    }

    /// How long the warm-up should take and how long it took, if operations held it up.
    pub fn overrun(&self) -> Option<(Duration, Duration)> {
        self.overrun
    }

    /// Endpoints that are no member's, and are not read from, if that is not left to the leader.
    pub fn strange_endpoints(&self) -> Vec<String> {
        match &self.shared.target {
            Target::Raft(Raft { client, reads }) if reads.from != ReadFrom::Leader => {
                client.strange_endpoints()
            }
            Target::Raft(_) | Target::Etcd(_) => Vec::new(),
        }
    }

    /// What was found of the cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// To end the run early.
    pub fn brake(&self) -> Brake {
        let Shared { stop, abort, leave, reading_back, .. } = &*self.shared;
        Brake {
            stop: stop.clone(),
            abort: abort.clone(),
            leave: leave.clone(),
            reading_back: Arc::clone(reading_back),
        }
    }

    /// To watch the run from beside it.
    pub fn watch(&self) -> impl Fn() -> Progress + Send + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.progress()
    }

    /// Runs until all is done, reads back what was acknowledged if the plan says so, and sums up.
    pub async fn run(mut self) -> Summary {
        let plan = &self.shared.plan;
        let phase = Arc::new(Phase {
            started: self.shared.started,
            duration: plan.duration,
            requests: plan.requests,
            begun: AtomicU64::new(0),
            queue: plan.pace.map(|_| Queue::new()),
        });
        let lanes = std::mem::take(&mut self.lanes);
        let lanes = tokio::select! {
            lanes = Self::work(&self.shared, &phase, lanes) => lanes,
            never = self.shared.give_up() => match never {},
            never = self.shared.count_faults() => match never {},
            never = self.shared.give_out(&phase) => match never {},
            never = self.shared.watch_itself() => match never {},
        };
        self.shared.recorder().finish();
        let cpu = self.meter.read();
        let events = self.shared.plan.events.as_ref();
        let elapsed = self.shared.recorder().elapsed();
        let events =
            events.map(|path| FaultEvent::read(path, self.shared.started_mono_us, elapsed));
        let mut summary = self.summarise(events.unwrap_or_default(), cpu);
        if self.shared.plan.final_reads {
            self.shared.read_all(lanes.len()).await;
        }
        if let Some(journal) = &self.shared.journal {
            summary.history_error = journal.finish().err().map(|error| error.to_string());
        }
        if let Some(wait) = self.shared.plan.verify {
            self.shared.reading_back.store(true, Ordering::Relaxed);
            summary.verify = Some(tokio::select! {
                verdict = self.verify(lanes, wait) => verdict,
                () = self.shared.leave.cancelled() => {
                    summary.interrupted = true;
                    Verification::Undone("interrupted while it was read back".to_owned())
                }
            });
        }
        summary
    }

    async fn verify(&self, lanes: Vec<Lane>, wait: Duration) -> Verification {
        let Target::Raft(Raft { client, .. }) = &self.shared.target else {
            return Verification::Undone("only a cluster of this project is read back".to_owned());
        };
        // The deadlines of the writes are none of the reads': those may be tiny on purpose.
        let client = client.patient(wait);
        let checked = verify::verify(&client, &self.shared.workload, lanes).await;
        checked.map_or_else(|error| Verification::Undone(error.to_string()), Verification::Done)
    }
}

/// Keys that are read at the same time in the end.
const FINAL_READERS: usize = 8;

impl Plan {
    /// Operations that can be under way at once: each worker has so many lanes.
    pub(super) fn lanes(&self) -> usize {
        let needed = usize::try_from(self.requests.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        self.concurrency.saturating_mul(self.pipeline.max(1)).min(needed)
    }

    fn workload(&self) -> Workload {
        let sharing = match (self.verify.is_some(), self.history.is_some()) {
            (true, _) => Sharing::Nobody,
            (false, true) => Sharing::Workers,
            (false, false) => Sharing::Runs,
        };
        Workload::new(self.shape.clone(), self.lanes(), sharing, rand::random())
    }
}

impl Shared {
    /// One worker's operations, one after the other.
    async fn work(&self, phase: &Phase, lane: &mut Lane) {
        match &phase.queue {
            None => {
                while let Some(now) = self.claim(phase) {
                    self.operate(phase, lane, now, now).await;
                }
            }
            Some(queue) => {
                while let Some(wanted) = queue.take().await {
                    let now = Instant::now();
                    if wanted + self.plan.operation_timeout < now {
                        self.recorder().dropped += 1;
                        continue;
                    }
                    self.operate(phase, lane, wanted, now).await;
                }
            }
        }
    }

    /// Reads every key that there may be, for the history alone, and linearizable however it was read
    /// before. Readers are processes of their own
    /// there: the workers have come to their end, whatever that was.
    async fn read_all(&self, workers: usize) {
        let keys = self.workload.shape.keys;
        let owners = if self.workload.is_owned() { workers } else { 1 };
        let numbers = (0..owners).flat_map(|owner| (0..keys).map(move |key| (owner, key)));
        let tasks = numbers.map(|(owner, key)| Task::read(&self.workload, owner, key));
        let readers = Mutex::new((workers..workers + FINAL_READERS).collect::<Vec<_>>());
        let target = self.target.reading(Reads::default());
        let lock = || readers.lock().unwrap_or_else(PoisonError::into_inner);
        let reads = tasks.map(async |task| {
            let reader = lock().pop().expect("there are as many as read at the same time");
            let within = self.plan.operation_timeout;
            let called = self.since_start(Instant::now());
            let ended = target.carry_out(&task.operation, within, &self.abort).await;
            let span = Span { called, returned: self.since_start(Instant::now()) };
            if let Some(journal) = &self.journal {
                journal.add(&self.workload, &Record { worker: reader, task: &task, span }, &ended);
            }
            lock().push(reader);
        });
        stream::iter(reads).buffer_unordered(FINAL_READERS).for_each(async |()| ()).await;
    }

    /// Nanoseconds from the start.
    fn since_start(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.started);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// One operation, from its choice to its record.
    async fn operate(&self, phase: &Phase, lane: &mut Lane, wanted: Instant, sent: Instant) {
        let task = lane.next(&self.workload);
        let kind = task.kind();
        let highest = {
            let mut recorder = self.recorder();
            recorder.begin(kind, wanted, sent);
            recorder.highest
        };
        let within = self.time_for_one(phase, wanted, sent);
        let ended = self.target.carry_out(&task.operation, within, &self.abort).await;
        let now = Instant::now();
        if let Some(journal) = &self.journal {
            let span = Span { called: self.since_start(sent), returned: self.since_start(now) };
            journal.add(&self.workload, &Record { worker: lane.worker, task: &task, span }, &ended);
        }
        match ended {
            Ok(Answered { outcome, reign, attempts, index, .. }) => {
                let in_vain = matches!(outcome, Outcome::Value(None) | Outcome::Mismatch(_));
                let success = Success { wanted, sent, attempts, reign, in_vain };
                let fresh = self.plan.reads.consistency == Consistency::Linearizable;
                let is_fresh = fresh || kind != Kind::Get;
                {
                    let mut recorder = self.recorder();
                    recorder.done(now, kind, &success);
                    if is_fresh {
                        recorder.index(now, highest, index.unwrap_or(0));
                    }
                }
                if is_fresh {
                    lane.done(&self.workload, &task, &outcome);
                }
            }
            Err(miss) => {
                let unknown = matches!(miss, Miss::Unknown(_));
                let doubt = if unknown { Doubt::Unknown } else { Doubt::Failed };
                lane.doubt(&self.workload, &task, doubt);
                self.recorder().missed(now, kind, sent, miss);
            }
        }
    }

    /// How long an operation that is sent now is tried: it must not hold up the end of the run.
    fn time_for_one(&self, phase: &Phase, wanted: Instant, now: Instant) -> Duration {
        let all = self.plan.operation_timeout;
        let left = (wanted + all).saturating_duration_since(now);
        phase.duration.map_or(left, |duration| {
            let end = phase.started + duration + GRACE.min(all);
            left.min(end.saturating_duration_since(now))
        })
    }

    /// Puts operations into the queue of an open loop as they become due, and waits for the end.
    async fn give_out(&self, phase: &Phase) -> Infallible {
        if let (Some(queue), Some(pace)) = (&phase.queue, self.plan.pace) {
            let mut schedule = Schedule::new(pace, self.plan.shape.seed);
            let alarm = Alarm::new().expect("a timer costs one file descriptor");
            let mut made = 0;
            loop {
                let at = schedule.next();
                let over = phase.duration.is_some_and(|limit| limit <= at)
                    || phase.requests.is_some_and(|requests| requests <= made);
                if over {
                    break;
                }
                let due = phase.started + at;
                tokio::select! {
                    biased;
                    () = self.stop.cancelled() => break,
                    waited = alarm.at(due) => waited.expect("a timer can be waited for"),
                }
                queue.add(due);
                made += 1;
            }
            if let Some(limit) = phase.duration
                && !self.stop.is_cancelled()
                && phase.requests.is_none_or(|requests| made < requests)
            {
                let end = alarm.at(phase.started + limit);
                tokio::select! {
                    () = self.stop.cancelled() => (),
                    waited = end => waited.expect("a timer can be waited for"),
                }
            }
            if self.stop.is_cancelled() || phase.requests.is_none_or(|requests| made < requests) {
                let left = queue.discard();
                self.recorder().dropped += left;
            } else {
                queue.close();
                self.stop.cancelled().await;
                let left = queue.discard();
                self.recorder().dropped += left;
            }
        }
        std::future::pending().await
    }

    /// Sees whether this program runs all the time.
    async fn watch_itself(&self) -> Infallible {
        loop {
            let now = Instant::now();
            self.recorder().look(now, stall::machine_slept());
            sleep(stall::LOOK).await;
        }
    }

    /// Ends the run, with what is under way, when nothing has been done for too long.
    async fn give_up(&self) -> Infallible {
        loop {
            let silence = self.recorder().silence(Instant::now());
            let left = self.plan.give_up.saturating_sub(silence);
            if left.is_zero() {
                self.recorder().gave_up = true;
                self.abort.cancel();
                self.stop.cancel();
                return std::future::pending().await;
            }
            sleep(left).await;
        }
    }

    /// Ends the run when it has seen the faults that it waited for.
    async fn count_faults(&self) -> Infallible {
        let Some(wanted) = self.plan.faults else { return std::future::pending().await };
        loop {
            sleep(LOOK).await;
            let seen = self.recorder().primary().changes.len() as u64;
            if wanted <= seen {
                sleep(AFTERMATH).await;
                self.saw_faults.store(true, Ordering::Relaxed);
                self.stop.cancel();
                return std::future::pending().await;
            }
        }
    }

    /// Takes the right to one more operation, if there is one. Tells what time it is.
    fn claim(&self, phase: &Phase) -> Option<Instant> {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(phase.started);
        if phase.duration.is_some_and(|limit| limit <= elapsed) || self.stop.is_cancelled() {
            return None;
        }
        let number = phase.begun.fetch_add(1, Ordering::Relaxed);
        phase.requests.is_none_or(|requests| number < requests).then_some(now)
    }

    fn progress(&self) -> Progress {
        let mut recorder = self.recorder();
        let now = Instant::now();
        recorder.roll(now);
        let silence = recorder.silence(now);
        let last = recorder.intervals.done.last();
        let row = last.and_then(|interval| interval.rows.first());
        Progress {
            elapsed: now.saturating_duration_since(self.started),
            ok: recorder.sum(|tally| tally.ok),
            failed: recorder.sum(|tally| tally.failed),
            unknown: recorder.sum(|tally| tally.unknown),
            dropped: recorder.dropped,
            retries: recorder.retries,
            in_flight: recorder.in_flight,
            leader: recorder.reign().map(|reign| (reign.leader, reign.term)),
            silence,
            recent: row.filter(|row| 0 < row.ok).map(|row| [row.p50, row.p99, row.max]),
            slots: recorder.slots.clone(),
            ending: self.stop.is_cancelled(),
            reading_back: self.reading_back.load(Ordering::Relaxed),
        }
    }

    pub(super) fn recorder(&self) -> MutexGuard<'_, Recorder> {
        lock(&self.recorder)
    }
}

fn lock(recorder: &Mutex<Recorder>) -> MutexGuard<'_, Recorder> {
    recorder.lock().unwrap_or_else(PoisonError::into_inner)
}

fn monotonic_us() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
