//! What went wrong on the way, attempt by attempt.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::FaultKind;

/// Counts of a client since it was made. Attempts that failed are counted even when a later one
/// succeeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Attempts of operations that followed a failed one.
    pub retries: u64,
    /// Answers that were those of an earlier attempt: writes that would have been applied twice.
    pub duplicates: u64,
    /// Failed attempts by kind; kinds that did not occur are left out.
    pub faults: Vec<(FaultKind, u64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    retries: AtomicU64,
    duplicates: AtomicU64,
    faults: [AtomicU64; FaultKind::ALL.len()],
}

impl Tally {
    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn duplicate(&self) {
        self.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fault(&self, kind: FaultKind) {
        self.faults[kind.position()].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counters {
        let count = |kind: &FaultKind| self.faults[kind.position()].load(Ordering::Relaxed);
        let faults = FaultKind::ALL.iter().map(|kind| (*kind, count(kind)));
        Counters {
            retries: self.retries.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            faults: faults.filter(|(_, count)| 0 < *count).collect(),
        }
    }
}
