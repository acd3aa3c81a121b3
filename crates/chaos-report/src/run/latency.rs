//! Latencies of a bin, counted so that a quantile can be told within 3 %.

/// Buckets for every doubling.
const STEPS: u64 = 16;

/// Doublings that are told apart: beyond 2^31 µs, 36 minutes, all is one.
const DOUBLINGS: u64 = 32;

/// How many operations took how long. Empty until something is counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latencies {
    buckets: Vec<u32>,
    count: u64,
    /// Exact.
    pub(crate) max_us: u64,
}

impl Latencies {
    pub(crate) fn add(&mut self, us: u64) {
        if self.buckets.is_empty() {
            let size = usize::try_from(STEPS * DOUBLINGS).expect("a few hundred");
            self.buckets = vec![0; size];
        }
        let place = bucket(us).min(self.buckets.len() - 1);
        self.buckets[place] = self.buckets[place].saturating_add(1);
        self.count += 1;
        self.max_us = self.max_us.max(us);
    }

    /// The value that so many of a thousand do not exceed, if there is any.
    pub(crate) fn quantile(&self, per_mille: u64) -> Option<u64> {
        let rank = (self.count * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (place, count) in self.buckets.iter().enumerate() {
            seen += u64::from(*count);
            if rank <= seen {
                return Some(middle(place).min(self.max_us));
            }
        }
        None
    }
}

/// Below `STEPS` exact, above so many to a doubling.
fn bucket(us: u64) -> usize {
    let place = match us.checked_ilog2() {
        Some(log) if u64::from(log) >= 4 => {
            (u64::from(log) - 3) * STEPS + (us >> (log - 4)) - STEPS
        }
        _ => us,
    };
    usize::try_from(place).expect("a few hundred")
}

/// A value in the middle of a bucket.
fn middle(place: usize) -> u64 {
    let place = place as u64;
    let doubling = place / STEPS;
    if doubling == 0 {
        return place;
    }
    let width = 1 << (doubling - 1);
    (STEPS + place % STEPS) * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_near_the_middle_of_its_bucket() {
        let mut us: u64 = 0;
        while us < 1 << 31 {
            let shown = middle(bucket(us));
            assert!(us.abs_diff(shown) * 32 <= us, "{us} is shown as {shown}");
            us += 1 + us / 37;
        }
    }

    #[test]
    fn quantiles_by_rank() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(500), None);
        for us in 1..=10 {
            latencies.add(us);
        }
        let quantiles = [0, 500, 900, 990, 1000].map(|it| latencies.quantile(it).unwrap());
        assert_eq!(quantiles, [1, 5, 9, 10, 10]);
        latencies.add(u64::MAX);
        assert_eq!(latencies.max_us, u64::MAX);
        assert!(latencies.quantile(1000).is_some(), "what is too long is counted as the longest");
    }
}
