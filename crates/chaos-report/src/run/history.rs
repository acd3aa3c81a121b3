//! `history.jsonl`, counted into bins of time as it is read.
//!
//! Bins are of the instant at which the client knew the outcome; of an operation whose outcome it
//! never knew, of the instant at which it gave up, or else called.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::latency::Latencies;
use super::lines;
use super::results::Fault;
use super::span::Span;

/// The width of a bin near a fault.
pub(crate) const FINE_US: u64 = 10_000;

/// Fine bins in which answers are looked for, at most: a day. Silences beyond are not found.
const FINE_MAX: u64 = 24 * 3600 * 100;

/// How the operations of a stretch of time ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
}

impl Ended {
    pub(crate) fn not_ok(self) -> u64 {
        self.failed + self.unknown
    }
}

/// A fault seen from near.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) from_us: u64,
    pub(crate) bins: Vec<Ended>,
}

impl Window {
    /// From shortly before the fault until well after the gap that it made, four seconds at most.
    pub(crate) fn around(fault: &Fault, span: Span) -> Self {
        let before_us = 250_000;
        let gaps_us = fault.gap_us.saturating_add(fault.gap_us / 2);
        let after_us = gaps_us.clamp(750_000, 4_000_000 - before_us);
        let at_us = span.held(fault.at_mono_us);
        let from_us = at_us.saturating_sub(before_us).max(span.from_us);
        let bins = (at_us - from_us + after_us).div_ceil(FINE_US);
        let bins = usize::try_from(bins.min(400)).expect("at most 400");
        Self { from_us, bins: vec![Ended::default(); bins] }
    }

    fn bin(&mut self, mono_us: u64) -> Option<&mut Ended> {
        let bin = mono_us.checked_sub(self.from_us)? / FINE_US;
        self.bins.get_mut(usize::try_from(bin).ok()?)
    }
}

/// One bin of the whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bin {
    pub(crate) ended: Ended,
    /// Of those that were answered.
    pub(crate) latencies: Latencies,
}

/// What the clients saw.
pub(crate) struct History {
    pub(crate) bins: Vec<Bin>,
    pub(crate) windows: Vec<Window>,
    /// All, also those outside the span.
    pub(crate) total: Ended,
    pub(crate) outside: u64,
    pub(crate) tally: lines::Tally,
    /// Whether anything was answered, for each fine bin of the span.
    answered: Vec<bool>,
}

#[derive(Deserialize)]
struct Operation {
    called_ns: u64,
    #[serde(default)]
    returned_ns: Option<u64>,
    outcome: Outcome,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Ok(IgnoredAny),
    Fail,
    Unknown,
}

impl History {
    /// `zero_us` is what the times in the file count from, on the monotonic clock.
    pub(crate) fn read(
        path: &Path,
        zero_us: u64,
        span: Span,
        windows: Vec<Window>,
    ) -> Result<Self, String> {
        let fine = span.length_us.div_ceil(FINE_US).min(FINE_MAX);
        let mut history = Self {
            answered: vec![false; usize::try_from(fine).expect("at most FINE_MAX")],
            bins: vec![Bin::default(); span.bins()],
            windows,
            total: Ended::default(),
            outside: 0,
            tally: lines::Tally::default(),
        };
        history.tally = lines::each(path, |operation: Operation| {
            history.count(&operation, zero_us, span);
        })?;
        let total = history.total;
        if total.ok + total.not_ok() == 0 {
            return Err("history.jsonl has no operation that can be read".to_owned());
        }
        Ok(history)
    }

    fn count(&mut self, operation: &Operation, zero_us: u64, span: Span) {
        let ended_ns = operation.returned_ns.unwrap_or(operation.called_ns);
        let mono_us = zero_us.saturating_add(ended_ns / 1_000);
        let add = |ended: &mut Ended| match operation.outcome {
            Outcome::Ok(_) => ended.ok += 1,
            Outcome::Fail => ended.failed += 1,
            Outcome::Unknown => ended.unknown += 1,
        };
        add(&mut self.total);
        for window in &mut self.windows {
            if let Some(ended) = window.bin(mono_us) {
                add(ended);
            }
        }
        let Some(bin) = span.bin(mono_us) else {
            self.outside += 1;
            return;
        };
        let bin = &mut self.bins[bin];
        add(&mut bin.ended);
        if matches!(operation.outcome, Outcome::Ok(_)) {
            bin.latencies.add(ended_ns.saturating_sub(operation.called_ns) / 1_000);
            let fine = usize::try_from((mono_us - span.from_us) / FINE_US).unwrap_or(usize::MAX);
            if let Some(answered) = self.answered.get_mut(fine) {
                *answered = true;
            }
        }
    }

    /// The longest time in which nothing was answered, between the first answer and the last one:
    /// when it began, after the begin, and how long it was, both to a hundredth of a second.
    pub(crate) fn silence(&self) -> Option<(u64, u64)> {
        let answers = self.answered.iter().enumerate().filter(|(_, answered)| **answered);
        let (mut longest, mut last): ((u64, u64), Option<u64>) = ((0, 0), None);
        for (place, _) in answers {
            let place = place as u64;
            if let Some(last) = last
                && longest.1 < place - last - 1
            {
                longest = (last + 1, place - last - 1);
            }
            last = Some(place);
        }
        let (at, length) = longest;
        (0 < length).then_some((at * FINE_US, length * FINE_US))
    }
}
