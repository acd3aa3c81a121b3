//! What the machine itself allows: how long a disk takes to make a write durable, and loopback to bring
//! an answer. One write by one client takes at least two round trips, to the leader and from there to
//! a follower, and one sync: that is the floor, and latencies are told as multiples of it.

mod disk;
mod loopback;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raft_replica::DiskError;

pub(crate) use self::disk::{BLOCK_BYTES_MAX, syncs};
pub(crate) use self::loopback::{
    MESSAGE_BYTES, Placement, answer_on_stdin, between_processes, between_threads,
};

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// The directory is none, or nothing can be made in it.
    #[error("cannot probe {}: {source}", dir.display())]
    Dir {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file in it cannot be written or synced.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There was no answer over loopback.
    #[error("no round trip over loopback: {0}")]
    Loopback(io::Error),
    /// Somebody does not want to know any more.
    #[error("stopped")]
    Stopped,
}

/// Set from outside, looked at before every sync and round trip.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicBool);

/// How long one thing took, of many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
    /// Of all that were at it together.
    pub(crate) per_s: f64,
}

impl Stop {
    pub(crate) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), ProbeError> {
        if self.0.load(Ordering::Relaxed) { Err(ProbeError::Stopped) } else { Ok(()) }
    }
}

impl Figures {
    /// `took` is not empty, and all of it was done in `whole`.
    fn of(mut took: Vec<Duration>, whole: Duration) -> Self {
        took.sort_unstable();
        let count = took.len();
        // The smallest that is not below that part of all.
        let at = |percent: usize| took[(count * percent).div_ceil(100).clamp(1, count) - 1];
        #[expect(clippy::cast_precision_loss, reason = "there are not that many")]
        let per_s = count as f64 / whole.as_secs_f64();
        Self { p50: at(50), p99: at(99), max: at(100), per_s }
    }
}

fn cannot_probe(dir: &Path) -> impl FnOnce(io::Error) -> ProbeError {
    move |source| ProbeError::Dir { dir: dir.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_that_was_measured() {
        let millis = Duration::from_millis;
        let figures = Figures::of((1..=200).rev().map(millis).collect(), millis(400));
        let expected =
            Figures { p50: millis(100), p99: millis(198), max: millis(200), per_s: 500.0 };
        assert_eq!(figures, expected);
        let one = Figures::of(vec![millis(4)], millis(4));
        assert_eq!(one, Figures { p50: millis(4), p99: millis(4), max: millis(4), per_s: 250.0 });
    }
}
