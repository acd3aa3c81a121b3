//! Pauses between attempts.

use std::time::Duration;

use crate::Options;

/// Doubling pauses with jitter: many clients that failed together do not come back together.
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(options: &Options) -> Self {
        Self { next: options.backoff_min, max: options.backoff_max }
    }

    /// The pause to make now: between half of the current step and all of it.
    pub(crate) fn pause(&mut self) -> Duration {
        let step = self.next.min(self.max);
        self.next = (step * 2).min(self.max);
        step.mul_f64(rand::random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_bound() {
        let mut backoff = Backoff::new(&Options::new(["127.0.0.1:1"]));
        for step in [5, 10, 20, 40, 80, 100, 100] {
            let pause = backoff.pause();
            let step = Duration::from_millis(step);
            assert!(step / 2 <= pause && pause <= step, "{pause:?} for a step of {step:?}");
        }
    }
}
