//! What the connections of a link have in common, one way: its rate and its pauses.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use crate::shape::{Shape, Stall};

/// The rate and the pauses of one way of a link.
#[derive(Debug)]
pub(crate) struct Weather {
    chance: ChaCha8Rng,
    /// The order that the rest began with: another one begins anew.
    generation: u64,
    bucket: Bucket,
    pause_next: Option<Instant>,
    pause_until: Instant,
}

/// Why bytes have to wait, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Rate(Instant),
    Pause(Instant),
}

impl Weather {
    pub(crate) fn new(seed: u64, now: Instant) -> Self {
        let chance = ChaCha8Rng::seed_from_u64(seed);
        Self { chance, generation: 0, bucket: Bucket::new(now), pause_next: None, pause_until: now }
    }

    /// How many of `want` bytes may go at once, at least one; or why none.
    pub(crate) fn permit(
        &mut self,
        now: Instant,
        (generation, shape): (u64, &Shape),
        want: usize,
    ) -> Result<usize, Wait> {
        if self.generation != generation {
            (self.generation, self.bucket) = (generation, Bucket::new(now));
            (self.pause_next, self.pause_until) = (None, now);
        }
        if let Some(stall) = shape.stall.filter(|stall| stall.per_second > 0.0) {
            self.pause(now, stall);
            if now < self.pause_until {
                return Err(Wait::Pause(self.pause_until));
            }
        }
        let Some(rate) = shape.rate else { return Ok(want) };
        self.bucket.take(now, rate.get(), want).map_err(Wait::Rate)
    }

    /// Takes back the permission for bytes that did not go after all.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.bucket.tokens += as_f64(bytes);
    }

    /// Draws the pauses that have begun until now.
    fn pause(&mut self, now: Instant, stall: Stall) {
        let mut next = match self.pause_next {
            Some(next) => next,
            None => now + interval(&mut self.chance, stall.per_second),
        };
        while next <= now {
            self.pause_until = next + stall.length;
            next = self.pause_until + interval(&mut self.chance, stall.per_second);
        }
        self.pause_next = Some(next);
    }
}

/// The time to the next of events that come `per_second` times in a second on average, by chance.
pub(crate) fn interval(chance: &mut ChaCha8Rng, per_second: f64) -> Duration {
    let seconds = -(1.0 - chance.random::<f64>()).ln() / per_second;
    // Not under a microsecond, so that whoever draws interval after interval gets on.
    Duration::from_secs_f64(seconds.clamp(1e-6, 1e6))
}

/// A bucket of tokens, one for each byte: as many as fit are there at once, more come by the rate.
#[derive(Debug)]
struct Bucket {
    /// When the tokens were counted last.
    at: Instant,
    tokens: f64,
}

/// A full bucket is worth this many seconds of the rate.
const BURST_SECONDS: f64 = 0.02;

impl Bucket {
    fn new(now: Instant) -> Self {
        Self { at: now, tokens: 1.0 }
    }

    fn take(&mut self, now: Instant, rate: u64, want: usize) -> Result<usize, Instant> {
        #[expect(clippy::cast_precision_loss, reason = "a rate of 2^53 is no limit")]
        let rate = rate as f64;
        let full = (rate * BURST_SECONDS).max(1.0);
        let came = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        (self.at, self.tokens) = (now, (self.tokens + came).min(full));
        let need = as_f64(want).min(full);
        if self.tokens < need {
            let seconds = ((need - self.tokens) / rate).clamp(1e-6, 3600.0);
            return Err(now + Duration::from_secs_f64(seconds));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 < it <= want"
        )]
        let granted = (self.tokens.floor() as usize).clamp(1, want);
        self.tokens -= as_f64(granted);
        Ok(granted)
    }
}

#[expect(clippy::cast_precision_loss, reason = "the sizes of chunks")]
fn as_f64(bytes: usize) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However bytes are asked for, no more pass than the rate allows, and a full bucket.
    #[test]
    fn a_bucket_keeps_the_rate() {
        for (rate, want) in [(1_u32, 1), (10, 7), (100_000, 16_384), (3_000_000, 900)] {
            let begin = Instant::now();
            let (mut now, mut bucket, mut passed) = (begin, Bucket::new(begin), 0_usize);
            for _ in 0..2000 {
                match bucket.take(now, u64::from(rate), want) {
                    Ok(bytes) => passed += bytes,
                    Err(until) => {
                        assert!(now < until, "it has to get on");
                        now = until;
                    }
                }
            }
            let per_second = f64::from(rate);
            let allowed = (now - begin).as_secs_f64() * per_second;
            let full = (per_second * BURST_SECONDS).max(1.0) + 1.0;
            let passed = as_f64(passed);
            assert!(passed <= allowed + full, "{passed} of {allowed} at {rate}");
            assert!(allowed - as_f64(want) <= passed, "{passed} of {allowed} at {rate}");
        }
    }

    /// The same seed gives the same pauses, and something passes between them.
    #[test]
    fn pauses_come_and_go() {
        let begin = Instant::now();
        let stall = Stall { length: Duration::from_millis(30), per_second: 10.0 };
        let shape = Shape { stall: Some(stall), ..Shape::default() };
        let run = |seed| {
            let mut weather = Weather::new(seed, begin);
            let at = |ms| weather.permit(begin + Duration::from_millis(ms), (1, &shape), 1).is_ok();
            (0..10_000).map(at).collect::<Vec<bool>>()
        };
        let passes = run(7).iter().filter(|it| **it).count();
        // 100 ms between pauses of 30 ms: 77 of 100 pass.
        assert!((7000..8400).contains(&passes), "{passes}");
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
