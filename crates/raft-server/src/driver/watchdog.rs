//! Notices a disk that has stopped working.

use std::collections::VecDeque;
use std::time::Duration;

use raft_core::Instant;

/// Notices a disk that has stopped working. A slow disk only delays acknowledgements; one that does
/// not finish a job in [`STALL_MAX`] is taken for dead, and the process ends so that whoever runs it
/// sees that.
///
/// Time during which the process itself did not run does not count: a process that was suspended
/// and wakes has a healthy disk.
#[derive(Debug, Default)]
pub(super) struct Watchdog {
    /// Numbers of the jobs the writer has not finished.
    unfinished: VecDeque<u64>,
    /// How long the first of them has been worked on.
    stalled: Duration,
    checked: Instant,
    /// The writer waits for space, which may take any time.
    paused: bool,
}

/// No disk that works takes this long for one job.
pub(crate) const STALL_MAX: Duration = Duration::from_secs(5);

/// How often to look, while there are jobs; what lies further apart was not spent running.
const STEP: Duration = Duration::from_secs(1);

impl Watchdog {
    /// A job was given to the writer.
    pub(super) fn started(&mut self, now: Instant, seq: u64) {
        if self.unfinished.is_empty() {
            self.stalled = Duration::ZERO;
            self.checked = now;
        }
        self.unfinished.push_back(seq);
    }

    /// The writer finished everything up to `seq`.
    pub(super) fn finished(&mut self, now: Instant, seq: u64) {
        let before = self.unfinished.len();
        while self.unfinished.front().is_some_and(|&first| first <= seq) {
            self.unfinished.pop_front();
        }
        if self.unfinished.len() < before {
            self.stalled = Duration::ZERO;
            self.checked = now;
        }
    }

    /// Whether the writer waits for something else than the disk.
    pub(super) fn pause(&mut self, now: Instant, paused: bool) {
        self.paused = paused;
        self.stalled = Duration::ZERO;
        self.checked = now;
    }

    /// Whether the disk has stopped working.
    pub(super) fn is_stalled(&mut self, now: Instant) -> bool {
        if self.paused {
            return false;
        }
        self.stalled += now.since(self.checked).min(STEP + STEP / 2);
        self.checked = now;
        !self.unfinished.is_empty() && STALL_MAX <= self.stalled
    }

    /// Number of jobs the writer has not finished.
    pub(super) fn backlog(&self) -> usize {
        self.unfinished.len()
    }

    /// When to look again.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        (!self.unfinished.is_empty() && !self.paused).then(|| self.checked.after(STEP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::default().after(Duration::from_secs(seconds))
    }

    /// A job that takes too long is noticed; each finished job starts the count anew.
    #[test]
    fn notices_a_stall() {
        let mut watchdog = Watchdog::default();
        watchdog.started(at(10), 1);
        watchdog.started(at(10), 2);
        assert!((11..15).all(|second| !watchdog.is_stalled(at(second))));
        watchdog.finished(at(14), 1);
        assert!((15..19).all(|second| !watchdog.is_stalled(at(second))));
        assert!(watchdog.is_stalled(at(19)));
        watchdog.finished(at(19), 2);
        assert!(!watchdog.is_stalled(at(100)));
        assert_eq!(watchdog.next_deadline(), None);
    }

    /// A full disk is no dead one, however long it is full.
    #[test]
    fn does_not_count_while_it_is_paused() {
        let mut watchdog = Watchdog::default();
        watchdog.started(at(10), 1);
        watchdog.pause(at(11), true);
        assert!((11..100).all(|second| !watchdog.is_stalled(at(second))));
        assert_eq!(watchdog.next_deadline(), None);
        watchdog.pause(at(100), false);
        assert!((101..105).all(|second| !watchdog.is_stalled(at(second))));
        assert!(watchdog.is_stalled(at(105)));
    }

    /// A suspended process does not blame its disk.
    #[test]
    fn does_not_count_a_suspension() {
        let mut watchdog = Watchdog::default();
        watchdog.started(at(10), 1);
        assert!(!watchdog.is_stalled(at(3600)));
        assert!(!watchdog.is_stalled(at(3601)));
    }
}
