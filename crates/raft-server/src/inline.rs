//! When the driver writes to the log itself.
//!
//! The log's thread lets a node go on with everything else while the disk works. It costs two wake-ups
//! on another processor, each a fraction of a sync on a good disk. A node with one thing to do at a time
//! has nothing to go on with, and spares them. Nothing depends on it but time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::driver::STALL_MAX;
use crate::stages::Moment;

/// How writes to the log and arrivals have followed each other lately, in the driver's eyes.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Writes in a row that were quick, and beside which nothing else came to be done.
    alone: u32,
    /// When the first of those under way began.
    began: Option<Moment>,
    /// When the driver last ended one itself.
    ended_here: Option<Moment>,
}

/// After so many, the next one is expected to be like them.
const ALONE_MIN: u32 = 32;

/// A disk that takes longer makes up for every wake-up; and one that might stall is not to hold up the
/// driver, which has a heart to beat.
const QUICK_MAX: Duration = Duration::from_millis(2);

/// What is there so soon after a write had come before it was over.
const AT_ONCE: Duration = Duration::from_micros(30);

impl Pace {
    /// Whether to write without the thread.
    pub(crate) fn is_slow(&self) -> bool {
        ALONE_MIN <= self.alone
    }

    /// A write begins.
    pub(crate) fn begin(&mut self) {
        self.began.get_or_insert_with(Moment::now);
    }

    /// Everything that had begun is written; by the driver itself, or not.
    pub(crate) fn end(&mut self, here: bool) {
        let now = Moment::now();
        let took = self.began.take().map(|began| now.saturating_duration_since(began));
        self.alone = if took.is_some_and(|took| took <= QUICK_MAX) {
            self.alone.saturating_add(1)
        } else {
            0
        };
        if self.alone == ALONE_MIN {
            tracing::debug!("writes to the log without its thread: nothing else waits");
        }
        self.ended_here = here.then_some(now);
    }

    /// Something came that another write, or another client, may want to wait for.
    pub(crate) fn note_work(&mut self, beside_others: bool) {
        let at_once = |ended: Moment| ended.elapsed() <= AT_ONCE;
        if beside_others || self.began.is_some() || self.ended_here.take().is_some_and(at_once) {
            self.alone = 0;
        }
    }
}

/// How often the driver has begun and ended to wait for the disk itself.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Waits {
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of the wait that is under way.
    fn current(&self) -> Option<u64> {
        let begun = self.begun.load(Ordering::Relaxed);
        (self.ended.load(Ordering::Relaxed) != begun).then_some(begun)
    }
}

/// Notices, on the log's thread, that the driver does not come back from the disk: it cannot notice
/// itself. Time during which the process did not run does not count.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The wait seen last, and since when.
    seen: Option<(u64, Duration)>,
    looked: Option<Moment>,
}

/// How often to look. What lies much further apart was not spent running.
pub(crate) const WATCH_STEP: Duration = Duration::from_secs(1);

impl Watch {
    /// Whether the disk has stopped working.
    pub(crate) fn is_stalled(&mut self, now: Moment, waits: &Waits) -> bool {
        let since = self.looked.replace(now).map_or(Duration::ZERO, |looked| {
            now.saturating_duration_since(looked).min(WATCH_STEP + WATCH_STEP / 2)
        });
        self.seen = waits.current().map(|current| match self.seen {
            Some((seen, stalled)) if seen == current => (seen, stalled + since),
            Some(_) | None => (current, Duration::ZERO),
        });
        self.seen.is_some_and(|(_, stalled)| STALL_MAX <= stalled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes alone make the driver write itself; whatever comes beside one ends that.
    #[test]
    fn a_slow_pace_is_one_thing_at_a_time() {
        let mut pace = Pace::default();
        let write = |pace: &mut Pace| {
            pace.note_work(false);
            pace.begin();
            pace.end(false);
        };
        let slow = |pace: &mut Pace| {
            (0..ALONE_MIN).for_each(|_| write(pace));
            pace.is_slow()
        };
        (1..ALONE_MIN).for_each(|_| write(&mut pace));
        assert!(!pace.is_slow());
        write(&mut pace);
        assert!(pace.is_slow());

        pace.note_work(true);
        assert!(!pace.is_slow(), "another client waits");
        assert!(slow(&mut pace));
        pace.begin();
        pace.note_work(false);
        pace.end(false);
        assert!(!pace.is_slow(), "something came while it was written");
        assert!(slow(&mut pace));
        pace.begin();
        pace.end(true);
        pace.note_work(false);
        assert!(!pace.is_slow(), "something had come while the driver wrote");
        assert!(slow(&mut pace));
        pace.begin();
        pace.began = pace.began.and_then(|began| began.checked_sub(2 * QUICK_MAX));
        pace.end(true);
        assert!(!pace.is_slow(), "the disk is slow");
    }

    /// A driver that does not come back is noticed, one that does is not, nor a suspended process.
    #[test]
    fn a_wait_without_an_end_is_noticed() {
        let (waits, mut watch) = (Waits::default(), Watch::default());
        let start = Moment::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!((0..10).all(|second| !watch.is_stalled(at(second), &waits)));
        for second in 10..20 {
            waits.begin();
            assert!(!watch.is_stalled(at(second), &waits));
            waits.end();
        }
        waits.begin();
        assert!(!watch.is_stalled(at(20), &waits));
        assert!(!watch.is_stalled(at(3600), &waits), "suspended");
        assert!((3601..3604).all(|second| !watch.is_stalled(at(second), &waits)));
        assert!(watch.is_stalled(at(3604), &waits));
    }
}
