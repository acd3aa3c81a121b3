//! When a client had nothing answered, laid beside what was done to the cluster.

use crate::load::{BenchResult, Gap};

/// A stretch of time, on the monotonic clock in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from_us: u64,
    pub(crate) to_us: u64,
}

/// A client's gaps: begin and end, on the same clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    gaps: Vec<(u64, u64)>,
}

impl Timeline {
    /// The times without an acknowledged write that a load has recorded.
    pub(crate) fn of(load: &BenchResult) -> Self {
        Self::from(load, &load.gaps)
    }

    /// The times without an answered read.
    pub(crate) fn of_reads(load: &BenchResult) -> Self {
        Self::from(load, &load.read_gaps)
    }

    /// The times in which the load stood still itself.
    pub(crate) fn of_stalls(load: &BenchResult) -> Self {
        Self::from(load, &load.stalls)
    }

    fn from(load: &BenchResult, gaps: &[Gap]) -> Self {
        let gaps = gaps.iter().map(|gap| {
            let begin = load.started_mono_us + gap.at_us;
            (begin, begin + gap.length_us)
        });
        Self { gaps: gaps.collect() }
    }

    /// How long the longest gap was that reached into this window, with what lies outside it: a
    /// silence that a fault makes begins a little before or after it, and may outlast it.
    pub(crate) fn longest(&self, window: Window) -> Option<u64> {
        let Window { from_us, to_us } = window;
        let inside = self.gaps.iter().filter(|(begin, end)| *begin < to_us && from_us < *end);
        inside.map(|(begin, end)| end - begin).max()
    }

    /// The same, without gaps that lasted beyond the window: those are the next fault's.
    pub(crate) fn longest_ended(&self, window: Window) -> Option<u64> {
        let Window { from_us, to_us } = window;
        let inside = self.gaps.iter().filter(|(_, end)| from_us < *end && *end <= to_us);
        inside.map(|(begin, end)| end - begin).max()
    }
}

/// Four figures that stand for many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Spread {
    pub(crate) count: usize,
    pub(crate) min_us: u64,
    pub(crate) median_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) max_us: u64,
}

impl Spread {
    /// `None` if there are none. A quantile is the smallest value that is not below that part of
    /// all; of two in the middle the upper one is the median.
    pub(crate) fn of(values: impl IntoIterator<Item = u64>) -> Option<Self> {
        let mut sorted: Vec<u64> = values.into_iter().collect();
        sorted.sort_unstable();
        let count = sorted.len();
        let at = |place: usize| sorted.get(place.min(count.saturating_sub(1))).copied();
        Some(Self {
            count,
            min_us: at(0)?,
            median_us: at(count / 2)?,
            p90_us: at((count * 9).div_ceil(10).saturating_sub(1))?,
            max_us: at(count - 1)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_for_every_window_it_reaches_into() {
        let gap = |at_us, length_us| Gap { at_us, length_us };
        let gaps = vec![gap(100, 50), gap(400, 5), gap(500, 300)];
        let load = BenchResult { started_mono_us: 1000, gaps, ..BenchResult::default() };
        let timeline = Timeline::of(&load);
        let longest = |from_us, to_us| timeline.longest(Window { from_us, to_us });
        assert_eq!(longest(1000, 1100), None, "it begins where this ends");
        assert_eq!(longest(1120, 1130), Some(50));
        assert_eq!(longest(1150, 1450), Some(5));
        assert_eq!(longest(1300, 1501), Some(300));
        assert_eq!(longest(1800, 9000), None);
        let ended = |from_us, to_us| timeline.longest_ended(Window { from_us, to_us });
        assert_eq!(ended(1300, 1501), Some(5), "the last one goes on");
        assert_eq!(ended(1120, 1800), Some(300));
    }

    #[test]
    fn many_values_in_four() {
        assert_eq!(Spread::of([]), None);
        let spread = Spread::of((1..=30).rev()).unwrap();
        let expected = Spread { count: 30, min_us: 1, median_us: 16, p90_us: 27, max_us: 30 };
        assert_eq!(spread, expected);
        let one = Spread::of([7]).unwrap();
        assert_eq!([one.min_us, one.median_us, one.p90_us, one.max_us], [7; 4]);
    }
}
