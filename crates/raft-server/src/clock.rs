//! The process's clocks, and the only place that reads them for the replica.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use raft_core::Instant;

/// The monotonic clock, counted from the start of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: tokio::time::Instant,
}

impl Clock {
    /// Starts counting.
    pub(crate) fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }

    /// The present moment.
    pub(crate) fn now(self) -> Instant {
        Instant::default().after(self.start.elapsed())
    }

    /// The timer's name for a moment.
    pub(crate) fn timer(self, at: Instant) -> tokio::time::Instant {
        /// As good as never. The end of time itself would overflow the timer.
        const FAR: Duration = Duration::from_hours(365 * 24);
        self.start + at.since(Instant::default()).min(FAR)
    }
}

/// Milliseconds since 1970. A leader stamps it into entries, and sessions expire by those stamps.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
