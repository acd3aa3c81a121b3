//! The time that the page covers, and how it is cut into bins.

use super::results::Results;

/// Points of a series, at most.
pub(crate) const POINTS_MAX: u64 = 4_000;

/// Widths of bins, the finest first.
const BINS_MS: [u64; 13] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 120_000, 300_000, 600_000,
    3_600_000,
];

/// From the begin of the run to its end, on the machine's monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_field_names, reason = "all are microseconds, and say so")]
pub(crate) struct Span {
    pub(crate) from_us: u64,
    pub(crate) length_us: u64,
    pub(crate) bin_us: u64,
}

impl Span {
    /// As the results say. If they say nothing that makes sense, then as far as faults are known.
    pub(crate) fn of(results: &Results) -> Self {
        let known = results.faults.iter().flat_map(|it| [Some(it.at_mono_us), it.until_mono_us]);
        let known: Vec<u64> = known.flatten().collect();
        let first = known.iter().min().copied().unwrap_or_default();
        let last = known.iter().max().copied().unwrap_or_default();
        let (mut from_us, mut to_us) = (results.begun_mono_us, results.ended_mono_us);
        if to_us <= from_us {
            (from_us, to_us) = (first.saturating_sub(1_000_000), last.saturating_add(5_000_000));
        }
        Self::new(from_us, to_us - from_us)
    }

    pub(crate) fn new(from_us: u64, length_us: u64) -> Self {
        let longest_us = POINTS_MAX * 3_600_000 * 1_000;
        let length_us = length_us.clamp(1_000, longest_us);
        let fits = |bin_ms: &u64| length_us.div_ceil(bin_ms * 1_000) <= POINTS_MAX;
        let bin_ms = BINS_MS.into_iter().find(fits).unwrap_or(3_600_000);
        // Far from the end of numbers: so that what follows may add.
        let from_us = from_us.min(u64::MAX / 2);
        Self { from_us, length_us, bin_us: bin_ms * 1_000 }
    }

    /// How many bins there are.
    pub(crate) fn bins(self) -> usize {
        usize::try_from(self.length_us.div_ceil(self.bin_us)).expect("at most POINTS_MAX")
    }

    /// Microseconds after the begin, held within the span.
    pub(crate) fn offset(self, mono_us: u64) -> u64 {
        mono_us.saturating_sub(self.from_us).min(self.length_us)
    }

    /// The same instant, held within the span.
    pub(crate) fn held(self, mono_us: u64) -> u64 {
        self.from_us + self.offset(mono_us)
    }

    /// In which bin an instant lies, unless it lies outside.
    pub(crate) fn bin(self, mono_us: u64) -> Option<usize> {
        let offset = mono_us.checked_sub(self.from_us)?;
        let bin = usize::try_from(offset / self.bin_us).ok()?;
        (bin < self.bins()).then_some(bin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_the_run_the_wider_the_bins() {
        let minute = 60_000_000;
        let table =
            [(minute, 100_000, 600), (60 * minute, 1_000_000, 3600), (5 * minute, 100_000, 3000)];
        for (length_us, bin_us, bins) in table {
            let span = Span::new(7, length_us);
            assert_eq!((span.bin_us, span.bins()), (bin_us, bins));
        }
        let endless = Span::new(0, u64::MAX);
        assert_eq!(endless.bins(), 4_000);
        let short = Span::new(1_000_000, 250_000);
        let bins = [999_999, 1_000_000, 1_249_999, 1_299_999, 1_300_000].map(|us| short.bin(us));
        assert_eq!(bins, [None, Some(0), Some(2), Some(2), None], "the last bin is not cut");
    }
}
