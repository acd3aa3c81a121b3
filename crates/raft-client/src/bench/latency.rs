//! Latencies as percentiles and as bins.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Percentiles, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Number of values.
    pub count: u64,
    /// Half of all were as fast or faster; and so on.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p99_9: u64,
    /// 99.99 %.
    pub p99_99: u64,
    /// The slowest.
    pub max: u64,
    /// The arithmetic mean.
    pub mean: u64,
}

/// The percentiles of a report: name, value and the part of all values that lies above.
pub(super) type Quantile = (&'static str, u64, f64);

impl Latency {
    pub(super) fn of(nanos: &Histogram<u64>) -> Self {
        if nanos.is_empty() {
            return Self::default();
        }
        let at = |quantile| nanos.value_at_quantile(quantile) / 1000;
        Self {
            count: nanos.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: nanos.max() / 1000,
            mean: mean_micros(nanos),
        }
    }

    pub(super) fn quantiles(&self) -> [Quantile; 5] {
        [
            ("p50", self.p50, 0.5),
            ("p90", self.p90, 0.1),
            ("p99", self.p99, 0.01),
            ("p99.9", self.p99_9, 0.001),
            ("p99.99", self.p99_99, 0.0001),
        ]
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of latencies is far below 2^53 ns and not negative"
)]
fn mean_micros(nanos: &Histogram<u64>) -> u64 {
    (nanos.mean() / 1000.0).round() as u64
}

/// Values between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bin {
    /// The lower bound in microseconds, inclusive.
    pub from_us: u64,
    /// The upper one, exclusive.
    pub to_us: u64,
    /// Number of values.
    pub count: u64,
}

/// Bounds in microseconds, each about 1.6 times the one before: five to a power of ten. Bins of one
/// width would show everything in the first one as soon as there was an outage.
const DECADE: [u64; 5] = [10, 16, 25, 40, 63];

/// The values in bins, from the first that is not empty to the last.
pub(super) fn bins(nanos: &Histogram<u64>) -> Vec<Bin> {
    let mut bounds = vec![0];
    let mut scale = 1;
    while *bounds.last().unwrap_or(&0) <= nanos.max() / 1000 {
        bounds.extend(DECADE.iter().map(|step| step * scale));
        scale *= 10;
    }
    let bins = bounds.windows(2).map(|pair| {
        let (from, to) = (pair[0], pair[1]);
        // A value stands for the whole of its place in the histogram, up to three digits.
        let count = nanos.count_between(from * 1000, to * 1000 - 1);
        Bin { from_us: from, to_us: to, count }
    });
    let bins: Vec<Bin> = bins.collect();
    let first = bins.iter().position(|bin| 0 < bin.count).unwrap_or(0);
    let last = bins.iter().rposition(|bin| 0 < bin.count).map_or(0, |last| last + 1);
    bins.get(first..last).map(<[Bin]>::to_vec).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::intervals::histogram;
    use super::*;

    #[test]
    fn bins_hold_every_value_once() {
        let mut latencies = histogram();
        let mut nanos = 3_000;
        let mut all = 0;
        while nanos < 3_000_000_000 {
            latencies.record(nanos).unwrap();
            nanos += nanos / 7 + 1;
            all += 1;
        }
        let bins = bins(&latencies);
        let counted: u64 = bins.iter().map(|bin| bin.count).sum();
        assert!(counted.abs_diff(all) <= 2, "{counted} of {all}, up to places on a bound");
        assert_eq!((bins[0].from_us, bins[0].to_us), (0, 10));
        assert!(bins.windows(2).all(|pair| pair[0].to_us == pair[1].from_us));
        assert_eq!(super::bins(&histogram()), []);
    }
}
