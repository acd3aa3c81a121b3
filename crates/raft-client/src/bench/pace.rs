//! When operations are due, if that does not depend on when the ones before ended: an open loop.
//!
//! A closed loop asks less of a cluster that is slow: who waits for an answer sends nothing else,
//! and an outage of a second is seen by as many operations as there are workers. Users do not
//! wait for each other. So with a rate each operation has its own time at which it is due, and its
//! latency counts from then, however late it could be sent ("coordinated omission", Tene).

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// How arrivals follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Arrivals {
    /// Always the same time apart.
    #[default]
    Constant,
    /// As those of many users who know nothing of each other: with exponential distances.
    Poisson,
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
        })
    }
}

/// A rate at which operations are due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Operations per second, above 0.
    pub rate: f64,
    /// How they follow each other.
    pub arrivals: Arrivals,
}

/// The times at which operations are due, one after the other.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    made: u64,
    at: Duration,
    chance: SmallRng,
}

impl Schedule {
    pub(super) fn new(pace: Pace, seed: u64) -> Self {
        let chance = SmallRng::seed_from_u64(seed);
        Self { pace, made: 0, at: Duration::ZERO, chance }
    }

    /// When the next one is due, counted from the start.
    #[expect(clippy::cast_precision_loss, reason = "exact for 2^53 operations")]
    pub(super) fn next(&mut self) -> Duration {
        let at = match self.pace.arrivals {
            Arrivals::Constant => Duration::from_secs_f64(self.made as f64 / self.pace.rate),
            Arrivals::Poisson => self.at,
        };
        self.made += 1;
        // In (0, 1], of which the logarithm is finite.
        let chance = 1.0 - self.chance.random::<f64>();
        self.at += Duration::from_secs_f64(-chance.ln() / self.pace.rate);
        at
    }
}

/// Waits to the microsecond: the runtime's own timers count in milliseconds, and what they are late
/// would be added to every latency.
#[derive(Debug)]
pub(super) struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(deprecated, reason = "an owned descriptor stays what it is until it is dropped")]
        Ok(Self(AsyncFd::new(timer)?))
    }

    /// Returns at that moment, or at once if it has passed.
    pub(super) async fn at(&self, moment: Instant) -> io::Result<()> {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let span = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
        let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        let once = Itimerspec {
            it_interval: span(0, 0),
            it_value: span(seconds, i64::from(left.subsec_nanos())),
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        let mut ready = self.0.readable().await?;
        match rustix::io::read(self.0.get_ref(), &mut [0; 8]) {
            Ok(_) | Err(Errno::AGAIN) => ready.clear_ready(),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_arrivals_do_not_drift() {
        let mut schedule = Schedule::new(Pace { rate: 3.0, arrivals: Arrivals::Constant }, 1);
        let last = (0..=3_000_000).map(|_| schedule.next()).last().unwrap();
        assert_eq!(last, Duration::from_secs(1_000_000));
    }

    /// The distances of 20 000 arrivals: mean and standard deviation are the same, as they are of
    /// an exponential distribution.
    #[test]
    fn poisson_arrivals_have_exponential_distances() {
        let pace = Pace { rate: 1000.0, arrivals: Arrivals::Poisson };
        let mut schedule = Schedule::new(pace, 7);
        let times: Vec<f64> = (0..=20_000).map(|_| schedule.next().as_secs_f64()).collect();
        let distances: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = distances.iter().sum::<f64>() / 20_000.0;
        let variance = distances.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((0.000_97..0.001_03).contains(&mean), "{mean}");
        assert!((0.000_95..0.001_05).contains(&variance.sqrt()), "{}", variance.sqrt());
    }
}
