//! What became of every fault: what it was, whom it hit, and what shows that it bit.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::NodeId;
use crate::events::{Event, grouped};

/// What became of a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It bit: something shows it.
    Installed,
    /// It was not tried.
    Skipped,
    /// It was tried, and nothing shows that it bit.
    #[default]
    Indeterminate,
}

impl Outcome {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::Skipped => "skipped",
            Self::Indeterminate => "indeterminate",
        }
    }
}

/// Why a fault was not tried: the scenario did not permit it, for as long as it was waited for.
pub(crate) const NO_ROOM: &str = "the guards left no room for it";
/// Why no bit was flipped.
pub(crate) const NO_FILE: &str = "there was nothing to flip a bit in";

/// When the cluster was whole again after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    /// Not so far.
    NotYet,
    /// Then, on the monotonic clock in microseconds.
    At(u64),
    /// Nobody can tell: the next fault came first.
    Overtaken,
}

/// One fault of a run.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) number: u32,
    pub(crate) kind: &'static str,
    /// What was done, and to whom, in words.
    pub(crate) what: String,
    pub(crate) nodes: BTreeSet<NodeId>,
    /// When it began and when its own effect was over, on the monotonic clock in microseconds.
    /// While it lasts, the end is not known.
    pub(crate) at_us: u64,
    pub(crate) until_us: Option<u64>,
    /// Whether it was done to the leader.
    pub(crate) led: bool,
    /// Leader and term before and after, as far as they were seen.
    pub(crate) before: Option<(NodeId, u64)>,
    pub(crate) after: Option<(NodeId, u64)>,
    /// How the election came about, if there was one.
    pub(crate) election: String,
    pub(crate) whole: Whole,
    pub(crate) outcome: Outcome,
    /// Why it was skipped, or is in doubt.
    pub(crate) reason: String,
    /// What shows that it bit: names and counts.
    pub(crate) evidence: BTreeMap<&'static str, u64>,
    /// How long a node took to end, or a change to be done, in microseconds.
    pub(crate) took_us: Option<u64>,
}

impl Record {
    /// Adds to a count.
    pub(crate) fn count(&mut self, what: &'static str, more: u64) {
        if 0 < more {
            *self.evidence.entry(what).or_default() += more;
        }
    }

    /// It bit if there is evidence; else it is in doubt, and this is why.
    pub(crate) fn conclude(&mut self, doubt: &str) {
        if self.outcome == Outcome::Skipped {
            return;
        }
        if self.evidence.is_empty() {
            self.outcome = Outcome::Indeterminate;
            if self.reason.is_empty() {
                doubt.clone_into(&mut self.reason);
            }
        } else {
            self.outcome = Outcome::Installed;
        }
    }

    /// The evidence in words, or why there is none.
    pub(crate) fn shown(&self) -> String {
        if self.outcome != Outcome::Installed {
            return self.reason.clone();
        }
        let words = self.evidence.iter().map(|(what, count)| format!("{what} {}", grouped(*count)));
        words.collect::<Vec<_>>().join(", ")
    }

    /// Who leads after it, and how that came about, if that is what there was to wait for.
    pub(crate) fn follow(&mut self, leader: (NodeId, u64), how: &str) {
        let new_term = self.before.is_none_or(|(_, term)| term < leader.1);
        if new_term {
            how.clone_into(&mut self.election);
        }
        if new_term || !self.led {
            self.after = Some(leader);
        }
    }

    /// The event that tells of its end.
    pub(crate) fn over(&self) -> Event {
        let (number, fault) = (self.number, self.kind);
        Event::Over { number, fault, outcome: self.outcome.word(), evidence: self.shown() }
    }
}

/// The cluster is whole: what was done last is over.
pub(crate) fn note_whole(records: &mut [Record], now: u64) {
    for record in records.iter_mut().filter(|record| record.whole == Whole::NotYet) {
        record.whole = Whole::At(now);
        record.until_us.get_or_insert(now);
    }
}

/// A new fault begins: those before it that the cluster has not recovered from will not be told apart
/// from it any more.
pub(crate) fn note_next(records: &mut [Record]) {
    for record in records.iter_mut().filter(|record| record.whole == Whole::NotYet) {
        record.whole = Whole::Overtaken;
    }
}

/// Some ids as people read them: `n1 n2`.
pub(crate) fn names(ids: &BTreeSet<NodeId>) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
