//! When this program itself stood still: stopped by a signal, starved of processor time, or asleep
//! with its machine. What it did not see then is not the cluster's doing.
//!
//! A timer of its own looks at the clock all the time; whoever comes later than it ever should finds
//! that nothing ran in between.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tokio::time::Instant;

use super::summary::micros;

/// How often the clock is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// So late nothing comes that runs.
const STALL_MIN: Duration = Duration::from_millis(250);

/// Stalls that are kept.
const STALLS_MAX: usize = 1000;

/// A time in which this program did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Stall {
    /// When it began, from the start of the run.
    #[serde(rename = "at_us", serialize_with = "micros")]
    pub at: Duration,
    /// How long it was.
    #[serde(rename = "length_us", serialize_with = "micros")]
    pub length: Duration,
    /// Whether the machine slept: its monotonic clock, by which all else is measured, stood too.
    pub asleep: bool,
}

/// Watches whether this program runs.
#[derive(Debug)]
pub(super) struct Pulse {
    started: Instant,
    /// When it was last seen to run.
    last: Instant,
    /// For how long the machine had slept by then, since it was started.
    slept: Duration,
    pub(super) stalls: Vec<Stall>,
    /// All stalls together that the monotonic clock knows of.
    pub(super) total: Duration,
}

impl Pulse {
    pub(super) fn new(started: Instant, slept: Duration) -> Self {
        Self { started, last: started, slept, stalls: Vec::new(), total: Duration::ZERO }
    }

    /// It runs now. Tells for how long it had not, if that is too long.
    pub(super) fn beat(&mut self, now: Instant) -> Option<Duration> {
        let late = now.saturating_duration_since(self.last);
        let began = self.last;
        self.last = self.last.max(now);
        if late < STALL_MIN {
            return None;
        }
        self.total += late;
        self.note(began, late, false);
        Some(late)
    }

    /// By now the machine has slept for so long since it was started.
    pub(super) fn slept(&mut self, now: Instant, slept: Duration) {
        let more = slept.saturating_sub(self.slept);
        self.slept = slept;
        if STALL_MIN <= more {
            self.note(now, more, true);
        }
    }

    fn note(&mut self, began: Instant, length: Duration, asleep: bool) {
        if self.stalls.len() < STALLS_MAX {
            let at = began.saturating_duration_since(self.started);
            self.stalls.push(Stall { at, length, asleep });
        }
    }

    /// From one moment to another, without the stalls between them.
    pub(super) fn awake(&self, from: Instant, to: Instant) -> Duration {
        let span = to.saturating_duration_since(from);
        let (from, to) = (from.saturating_duration_since(self.started), to - self.started);
        let mut still = Duration::ZERO;
        for Stall { at, length, .. } in self.stalls.iter().rev().filter(|stall| !stall.asleep) {
            let end = *at + *length;
            if end <= from {
                break;
            }
            still += end.min(to).saturating_sub((*at).max(from));
        }
        span.saturating_sub(still)
    }
}

/// For how long the machine has slept since it was started.
pub(super) fn machine_slept() -> Duration {
    let read = |clock| clock_gettime(clock).map(Duration::from).unwrap_or_default();
    // In this order a pause between the two readings is no sleep.
    let boot = read(ClockId::CLOCK_BOOTTIME);
    boot.saturating_sub(read(ClockId::CLOCK_MONOTONIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_pulse_that_misses_is_noticed_and_taken_off() {
        let start = Instant::now();
        let at = |millis| start + ms(millis);
        let mut pulse = Pulse::new(start, ms(7));
        assert_eq!([50, 100, 340].map(|now| pulse.beat(at(now))), [None; 3]);
        assert_eq!(pulse.beat(at(3340)), Some(ms(3000)));
        pulse.slept(at(3350), ms(7));
        assert_eq!(pulse.beat(at(3390)), None);
        pulse.slept(at(3400), ms(9007));
        let stalls = pulse.stalls.iter().map(|it| (it.at, it.length, it.asleep));
        let expected = [(ms(340), ms(3000), false), (ms(3400), ms(9000), true)];
        assert_eq!(stalls.collect::<Vec<_>>(), expected);
        assert_eq!(pulse.total, ms(3000), "the monotonic clock does not know of sleep");
        assert_eq!(pulse.awake(at(300), at(3345)), ms(45));
        assert_eq!(pulse.awake(at(1000), at(2000)), ms(0));
        assert_eq!(pulse.awake(at(3340), at(3345)), ms(5));
        assert_eq!(pulse.awake(at(10), at(340)), ms(330));
    }
}
