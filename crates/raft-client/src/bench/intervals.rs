//! The run in slices of time: how many operations ended how, and how long they took.
//!
//! Each slice keeps its own histograms, in their compact serialised form, so that those of the whole
//! run, or of any part of it, are their exact sum: percentiles cannot be averaged.

use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer as _, V2Serializer};

use super::operation::Kind;
use super::silence::Reign;

/// Nanoseconds in an hour. No operation's deadline is later.
pub(super) const LATENCY_MAX: u64 = 3_600_000_000_000;

/// An empty histogram of nanoseconds, exact to three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(LATENCY_MAX, 3).expect("bounds and digits are allowed")
}

/// One kind of operation in one slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) unknown: u64,
    /// Attempts after the first ones, of operations that ended in this slice.
    pub(super) retries: u64,
    /// Nanoseconds.
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
    /// The latencies of those that were done, serialised.
    latencies: Vec<u8>,
}

/// A slice of time.
#[derive(Clone, Debug)]
pub(super) struct Interval {
    /// When it began, counted from the start.
    pub(super) at: Duration,
    pub(super) length: Duration,
    /// One for each kind of the mix, in its order.
    pub(super) rows: Vec<Row>,
    /// Operations under way at its end.
    pub(super) in_flight: u64,
    /// Who led at its end.
    pub(super) reign: Option<Reign>,
}

impl Row {
    pub(super) fn histogram(&self) -> Histogram<u64> {
        if self.latencies.is_empty() {
            return histogram();
        }
        Deserializer::new()
            .deserialize(&mut &self.latencies[..])
            .expect("was serialised by this process")
    }
}

/// The slices so far, and the one under way.
#[derive(Debug)]
pub(super) struct Intervals {
    pub(super) every: Duration,
    pub(super) kinds: Vec<Kind>,
    pub(super) done: Vec<Interval>,
    /// When the one under way began.
    at: Duration,
    rows: Vec<(Row, Histogram<u64>)>,
}

impl Intervals {
    pub(super) fn new(every: Duration, kinds: Vec<Kind>) -> Self {
        let rows = kinds.iter().map(|_| (Row::default(), histogram())).collect();
        let done = Vec::new();
        Self { every, kinds, done, at: Duration::ZERO, rows }
    }

    /// The slice that a moment belongs to, after those before it are closed. Slices in which
    /// nothing happened are there all the same.
    pub(super) fn roll(&mut self, now: Duration, in_flight: u64, reign: Option<Reign>) {
        while self.at + self.every <= now {
            self.close(self.every, in_flight, reign);
        }
    }

    /// The counts of this kind in the slice under way.
    pub(super) fn row(&mut self, kind: Kind) -> &mut Row {
        &mut self.entry(kind).0
    }

    pub(super) fn record(&mut self, kind: Kind, nanos: u64) {
        let (row, latencies) = self.entry(kind);
        row.ok += 1;
        latencies.saturating_record(nanos);
    }

    fn entry(&mut self, kind: Kind) -> &mut (Row, Histogram<u64>) {
        let place = self.kinds.iter().position(|it| *it == kind);
        &mut self.rows[place.expect("only kinds of the mix are drawn")]
    }

    /// Ends the last slice, at the end of the run.
    pub(super) fn finish(&mut self, end: Duration, reign: Option<Reign>) {
        self.roll(end, 0, reign);
        let rest = end.saturating_sub(self.at);
        if !rest.is_zero() {
            self.close(rest, 0, reign);
        }
    }

    fn close(&mut self, length: Duration, in_flight: u64, reign: Option<Reign>) {
        let mut rows = Vec::with_capacity(self.rows.len());
        let mut serializer = V2Serializer::new();
        for (row, latencies) in &mut self.rows {
            let mut row = std::mem::take(row);
            if !latencies.is_empty() {
                row.p50 = latencies.value_at_quantile(0.5);
                row.p90 = latencies.value_at_quantile(0.9);
                row.p99 = latencies.value_at_quantile(0.99);
                row.max = latencies.max();
                serializer.serialize(latencies, &mut row.latencies).expect("a vector takes all");
                row.latencies.shrink_to_fit();
                latencies.reset();
            }
            rows.push(row);
        }
        self.done.push(Interval { at: self.at, length, rows, in_flight, reign });
        self.at += length;
    }

    /// The latencies of this kind in all slices that are chosen.
    pub(super) fn sum(&self, kind: Kind, chosen: impl Fn(&Interval) -> bool) -> Histogram<u64> {
        let mut sum = histogram();
        let Some(place) = self.kinds.iter().position(|it| *it == kind) else { return sum };
        for interval in self.done.iter().filter(|interval| chosen(interval)) {
            if !interval.rows[place].latencies.is_empty() {
                sum.add(interval.rows[place].histogram()).expect("both have the same bounds");
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_add_up_to_the_whole() {
        let second = Duration::from_secs(1);
        let mut intervals = Intervals::new(second, vec![Kind::Put, Kind::Get]);
        let mut whole = histogram();
        for number in 0..1000_u64 {
            let nanos = 1_000_000 + number * 7919;
            intervals.roll(Duration::from_millis(number * 5), 3, None);
            intervals.record(Kind::Put, nanos);
            whole.record(nanos).unwrap();
        }
        intervals.row(Kind::Get).unknown += 1;
        intervals.roll(Duration::from_millis(7500), 3, None);
        intervals.finish(Duration::from_millis(7700), None);
        assert_eq!(intervals.sum(Kind::Put, |_| true), whole);
        assert!(intervals.sum(Kind::Get, |_| true).is_empty());
        let ok: Vec<u64> = intervals.done.iter().map(|it| it.rows[0].ok).collect();
        assert_eq!(ok, [200, 200, 200, 200, 200, 0, 0, 0]);
        assert_eq!(intervals.done[4].rows[1].unknown, 1);
        assert_eq!(intervals.done[7].length, Duration::from_millis(700));
        let third = intervals.sum(Kind::Put, |interval| interval.at == 2 * second);
        assert_eq!((third.len(), third.max()), (200, intervals.done[2].rows[0].max));
    }
}
