//! Load generator, made to be run through failovers.
//!
//! Losing every connection does not end a run: each operation is tried until its deadline, and the
//! time in which nothing was done is part of the result. The clock starts when the leader is found,
//! the session open, the connections made and the warm-up over.
//!
//! Without a rate the loop is closed: workers, each with one operation under way. With one it is
//! open: operations are due at times of their own, and their latencies count from then (see
//! [`Pace`]).

mod compare;
mod cost;
mod etcd;
mod expect;
mod failover;
mod files;
mod history;
mod intervals;
mod keys;
mod lane;
mod latency;
mod operation;
mod pace;
mod queue;
mod recorder;
mod registers;
mod report;
mod run;
mod silence;
mod stall;
mod summary;
mod target;
mod verify;
mod workload;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use compare::{CompareError, Comparison, Ending, Run};
pub use cost::{Cpu, NodeCpu};
pub use expect::{Expectation, Judged, Kept};
pub use failover::{Failover, FaultEvent};
pub use files::write_whole;
pub use keys::{KeyChoice, Sizes};
pub use latency::{Bin, Latency};
pub use operation::{Kind, Mix, MixError};
pub use pace::{Arrivals, Pace};
pub use report::{sparkline, text};
pub use run::{Bench, Progress};
pub use stall::Stall;
pub use summary::{Cluster, GapSummary, Load, OpSummary, Service, Summary, Verification};
pub use target::Reads;
pub use verify::Verdict;
pub use workload::Shape;

/// Operations under way when a run's time is up get this long, or what is left of their own time.
pub const GRACE: Duration = Duration::from_secs(2);

/// Whose cluster is pressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// This project's.
    #[default]
    Raft,
    /// etcd's, v3. For put, get and cas; it has no sessions, so that a write whose answer is lost is
    /// unknown.
    Etcd,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose cluster is pressed.
    pub system: System,
    /// Workers.
    pub concurrency: usize,
    /// Operations that each of them has under way. More than one: writes go over streams.
    pub pipeline: usize,
    /// Operations in all; `None`: as many as fit into the duration.
    pub requests: Option<u64>,
    /// How long new operations are begun; `None`: until all are made. Those under way then get
    /// [`GRACE`].
    pub duration: Option<Duration>,
    /// What the operations are.
    pub shape: Shape,
    /// How gets are made.
    pub reads: Reads,
    /// When operations are due; `None`: when those before have ended.
    pub pace: Option<Pace>,
    /// For how long the load runs before anything is measured.
    pub warmup: Duration,
    /// For how long requests are sent before that which the leader answers at once, to know what
    /// the way costs.
    pub calibration: Duration,
    /// How long one operation is tried.
    pub operation_timeout: Duration,
    /// The run ends when nothing has been done for so long: the cluster is not coming back.
    pub give_up: Duration,
    /// The run ends a second after so many changes of the leader, or of its term, were seen.
    pub faults: Option<u64>,
    /// A time in which nothing was done is listed if it is so long.
    pub gap_min: Duration,
    /// The slices in which the run is recorded.
    pub interval: Duration,
    /// How writes are read back afterwards: for this long the cluster may be away. `None`: they are
    /// not.
    pub verify: Option<Duration>,
    /// Where every operation is written down.
    pub history: Option<PathBuf>,
    /// Whether every key is read once more when all else is done, for the history.
    pub final_reads: bool,
    /// The record of a chaos run that may be disturbing the cluster meanwhile.
    pub events: Option<PathBuf>,
}

/// Why a plan cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Nothing remains of a proposal that could be read back.
    #[error("a proposal leaves nothing that could be read back: --verify is for the other kinds")]
    ProposalsVerified,
    /// Their keys would be each other's.
    #[error("--verify reads back either appends or puts and swaps, not both in one run")]
    ListsAndKeys,
    /// Two short values are easily the same.
    #[error("--verify and --history tell values apart only if they have 16 bytes or more")]
    ValuesTooShort,
    /// It cannot be asked for.
    #[error("etcd knows put, get and cas: no {0}")]
    NotOfEtcd(&'static str),
    /// A write is not repeated there, and what is unknown stays so.
    #[error("--verify is for clusters of this project: etcd has no sessions")]
    EtcdVerified,
    /// A history is one of keys that are set and read.
    #[error("--history is for put, get and cas")]
    NoHistory,
    /// What is written before would be read by those that are written down.
    #[error("--history is of every operation: it goes without --warmup")]
    HistoryAfterWarmup,
}

/// The smallest value that names its author.
const NAMED_VALUE: usize = 16;

impl Plan {
    /// Whether it can be run.
    pub fn check(&self) -> Result<(), PlanError> {
        let Shape { mix, sizes, .. } = &self.shape;
        let (lists, keys) = (mix.has(Kind::Append), mix.has(Kind::Put) || mix.has(Kind::Cas));
        let verified = self.verify.is_some();
        if self.system == System::Etcd {
            self.check_for_etcd()?;
        }
        if verified && mix.has(Kind::Propose) {
            return Err(PlanError::ProposalsVerified);
        }
        if verified && lists && keys {
            return Err(PlanError::ListsAndKeys);
        }
        if self.history.is_some() && (lists || mix.has(Kind::Propose)) {
            return Err(PlanError::NoHistory);
        }
        if self.history.is_some() && !self.warmup.is_zero() {
            return Err(PlanError::HistoryAfterWarmup);
        }
        if sizes.min < NAMED_VALUE && (self.history.is_some() || verified && keys) {
            return Err(PlanError::ValuesTooShort);
        }
        Ok(())
    }

    fn check_for_etcd(&self) -> Result<(), PlanError> {
        let mix = &self.shape.mix;
        let unknown = [Kind::Append, Kind::Propose].into_iter().find(|kind| mix.has(*kind));
        let streams = (1 < self.pipeline).then_some("--pipeline");
        if let Some(name) = unknown.map(Kind::name).or(streams) {
            return Err(PlanError::NotOfEtcd(name));
        }
        if self.verify.is_some() {
            return Err(PlanError::EtcdVerified);
        }
        Ok(())
    }
}

/// How to end a run early.
#[derive(Clone, Debug)]
pub struct Brake {
    stop: CancellationToken,
    abort: CancellationToken,
    leave: CancellationToken,
    reading_back: Arc<AtomicBool>,
}

impl Brake {
    /// Begins nothing new and waits for what is under way.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether all is done and is read back. To stop is then of no use any more.
    pub fn is_reading_back(&self) -> bool {
        self.reading_back.load(Ordering::Relaxed)
    }

    /// Gives up reading back.
    pub fn leave(&self) {
        self.leave.cancel();
    }

    /// Gives up what is under way as well: the outcome of writes is unknown.
    pub fn abort(&self) {
        self.stop.cancel();
        self.abort.cancel();
    }
}
