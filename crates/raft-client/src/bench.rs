//! Load generator: a closed loop of workers, each with one write under way.
//!
//! Made to be run through failovers. Losing every connection does not end a run: workers try each
//! write until its deadline, and the time without an acknowledged write is part of the result. The
//! clock starts when the leader is found, the session open and the connections made.

mod recorder;
mod report;
mod summary;
mod verify;
mod workload;

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use raft_kv::Reply;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub use report::text;
pub use summary::{Cluster, GapSummary, Latency, Summary, Verification};
pub use verify::Verdict;
pub use workload::Kind;

use crate::{Applied, Client, ClientError, Counters, LeaderInfo};
use recorder::{Recorder, Reign};
use verify::{Doubt, Record};
use workload::Workload;

/// Writes under way when a run's time is up get this long, or what is left of their own time.
pub const GRACE: Duration = Duration::from_secs(2);

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Workers.
    pub concurrency: usize,
    /// Writes in all; `None`: as many as fit into the duration.
    pub requests: Option<u64>,
    /// How long new writes are begun; `None`: until all are made. Those under way then get
    /// [`GRACE`].
    pub duration: Option<Duration>,
    /// Which command.
    pub kind: Kind,
    /// Bytes of each payload.
    pub value_size: usize,
    /// Number of keys that puts choose from.
    pub keys: u64,
    /// Determines payloads and the choice of keys.
    pub seed: u64,
    /// How long one write is tried.
    pub operation_timeout: Duration,
    /// The run ends when nothing has been acknowledged for so long: the cluster is not coming back.
    pub give_up: Duration,
    /// A time without an acknowledged write is listed if it is so long.
    pub gap_min: Duration,
}

/// A run: started, watched, and brought to its summary.
#[derive(Debug)]
pub struct Bench {
    shared: Arc<Shared>,
    cluster: Cluster,
    counters_before: Counters,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    plan: Plan,
    workload: Workload,
    recorder: Mutex<Recorder>,
    /// Writes begun.
    begun: AtomicU64,
    started: Instant,
    /// The same moment on the machine's monotonic clock.
    started_mono_us: u64,
    /// No new writes.
    stop: CancellationToken,
    /// Not even those that are under way.
    abort: CancellationToken,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Since the start.
    pub elapsed: Duration,
    /// Acknowledged writes.
    pub ok: u64,
    /// Writes that are not done.
    pub failed: u64,
    /// Writes that may be done.
    pub unknown: u64,
    /// Attempts that followed a failed one.
    pub retries: u64,
    /// The leader that acknowledged last, and its term.
    pub leader: Option<(u64, u64)>,
    /// For how long nothing has been acknowledged.
    pub silence: Duration,
}

/// How to end a run early.
#[derive(Clone, Debug)]
pub struct Brake {
    stop: CancellationToken,
    abort: CancellationToken,
}

impl Brake {
    /// Begins no new writes and waits for those under way.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Gives up those under way as well: their outcome is unknown.
    pub fn abort(&self) {
        self.stop.cancel();
        self.abort.cancel();
    }
}

impl Bench {
    /// Gets everything ready: finds the cluster within `wait`, opens the session, makes the
    /// connections. The clock starts when this returns.
    pub async fn prepare(client: Client, plan: Plan, wait: Duration) -> Result<Self, ClientError> {
        let leader = client.ready(wait).await?;
        let cluster = Cluster::look(&client, &leader).await;
        let (started, started_mono_us) = (Instant::now(), monotonic_us());
        let LeaderInfo { node, term, .. } = leader;
        let workload = Workload {
            kind: plan.kind,
            value_size: plan.value_size,
            keys: plan.keys,
            seed: plan.seed,
            run: rand::random(),
        };
        let shared = Shared {
            recorder: Mutex::new(Recorder::new(
                started,
                Reign { leader: node, term },
                plan.gap_min,
            )),
            workload,
            begun: AtomicU64::new(0),
            started,
            started_mono_us,
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
            plan,
            client,
        };
        let counters_before = shared.client.counters();
        Ok(Self { shared: Arc::new(shared), cluster, counters_before })
    }

    /// What was found of the cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// To end the run early.
    pub fn brake(&self) -> Brake {
        let Shared { stop, abort, .. } = &*self.shared;
        Brake { stop: stop.clone(), abort: abort.clone() }
    }

    /// To watch the run from beside it.
    pub fn watch(&self) -> impl Fn() -> Progress + Send + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.progress()
    }

    /// Runs until all is done, and sums up. With a limit, then reads back what was acknowledged:
    /// for this long the cluster may be away.
    pub async fn run(self, verify_wait: Option<Duration>) -> Summary {
        let mut workers = JoinSet::new();
        let needed = self.shared.plan.requests.unwrap_or(u64::MAX);
        let count = self.shared.plan.concurrency.min(usize::try_from(needed).unwrap_or(usize::MAX));
        for worker in 0..count {
            let shared = Arc::clone(&self.shared);
            workers.spawn(async move { (worker, shared.work(worker).await) });
        }
        let mut records = vec![Record::default(); count];
        let mut watching = std::pin::pin!(self.shared.give_up());
        loop {
            let ended = tokio::select! {
                ended = workers.join_next() => ended,
                never = &mut watching => match never {},
            };
            let Some(ended) = ended else { break };
            let (worker, record) = ended.expect("workers do not panic and are not cancelled");
            records[worker] = record;
        }
        self.shared.recorder().finish();
        let mut summary = self.summarise();
        if let Some(wait) = verify_wait {
            summary.verify = Some(self.verify(&records, wait).await);
        }
        summary
    }

    async fn verify(&self, records: &[Record], wait: Duration) -> Verification {
        // The deadlines of the writes are none of the reads': those may be tiny on purpose.
        let client = self.shared.client.patient(wait);
        let checked = verify::verify(&client, &self.shared.workload, records).await;
        checked.map_or_else(|error| Verification::Undone(error.to_string()), Verification::Done)
    }
}

impl Shared {
    /// One worker's writes, one after the other.
    async fn work(&self, worker: usize) -> Record {
        let mut record = Record::default();
        while self.claim() {
            let number = record.made;
            record.made += 1;
            let command = self.workload.command(worker, number);
            let started = Instant::now();
            let within = self.time_for_a_write(started);
            let outcome = self.client.propose_until(command, within, self.abort.cancelled()).await;
            let now = Instant::now();
            let mut recorder = self.recorder();
            match outcome {
                Ok(Applied { result, receipt }) => match Reply::decode(&result) {
                    Ok(Reply::Invalid(why)) => {
                        recorder.refused(now, format!("the store refused the write: {why}"));
                        record.doubtful.insert(number, Doubt::Failed);
                    }
                    Ok(_) => recorder.acknowledged(now, now - started, &receipt),
                    Err(why) => {
                        recorder
                            .senseless(now, format!("the store's answer makes no sense: {why}"));
                        record.doubtful.insert(number, Doubt::Unknown);
                    }
                },
                Err(error) => {
                    let doubt = match error {
                        ClientError::Failed(_) => Doubt::Failed,
                        ClientError::Unknown(_) => Doubt::Unknown,
                    };
                    record.doubtful.insert(number, doubt);
                    recorder.missed(now, &error);
                }
            }
        }
        record
    }

    /// How long a write that begins now is tried: it must not hold up the end of the run.
    fn time_for_a_write(&self, now: Instant) -> Duration {
        let all = self.plan.operation_timeout;
        self.plan.duration.map_or(all, |duration| {
            let end = self.started + duration + GRACE.min(all);
            all.min(end.saturating_duration_since(now))
        })
    }

    /// Ends the run, with the writes under way, when nothing has been acknowledged for too long.
    async fn give_up(&self) -> Infallible {
        loop {
            let silence = self.recorder().silence(Instant::now());
            let left = self.plan.give_up.saturating_sub(silence);
            if left.is_zero() {
                self.recorder().gave_up = true;
                self.abort.cancel();
                return std::future::pending().await;
            }
            sleep(left).await;
        }
    }

    /// Takes the right to one more write, if there is one.
    fn claim(&self) -> bool {
        let over = self.plan.duration.is_some_and(|limit| limit <= self.started.elapsed());
        if over || self.stop.is_cancelled() || self.recorder().gave_up {
            return false;
        }
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        self.plan.requests.is_none_or(|requests| number < requests)
    }

    fn progress(&self) -> Progress {
        let retries = self.client.counters().retries;
        let recorder = self.recorder();
        Progress {
            elapsed: self.started.elapsed(),
            ok: recorder.ok,
            failed: recorder.failed,
            unknown: recorder.unknown,
            retries,
            leader: recorder.reign.map(|reign| (reign.leader, reign.term)),
            silence: recorder.silence(Instant::now()),
        }
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn monotonic_us() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
