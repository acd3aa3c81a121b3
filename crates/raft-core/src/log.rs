//! The log's tail in memory: everything after `base`. What lies at or before `base` is covered by a
//! snapshot. The file on disk is never read while running, so there is no storage to ask.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::types::{Entry, Index, LogId, Term};

/// The log after `base`.
///
/// Invariants: indexes are contiguous from `base.index + 1`; terms never decrease.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    base: LogId,
    /// Bytes of all entries ever appended up to and including `base`.
    base_bytes: u64,
    slots: VecDeque<Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    entry: Entry,
    /// Bytes of all entries ever appended up to and including this one, so that the size of any
    /// stretch is a subtraction and no counter can leak (etcd-raft #54, cockroach #31618).
    end_bytes: u64,
}

impl Log {
    /// A log that holds nothing after `base`.
    pub(crate) fn new(base: LogId) -> Self {
        Self { base, base_bytes: 0, slots: VecDeque::new() }
    }

    /// The entry just before the first one held.
    pub(crate) fn base(&self) -> LogId {
        self.base
    }

    /// The last entry, or `base` if none is held.
    pub(crate) fn last(&self) -> LogId {
        self.slots.back().map_or(self.base, |slot| slot.entry.id)
    }

    /// The term of the entry at `index`, if it is held or is `base`.
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.slot(index).map(|slot| slot.entry.id.term)
    }

    /// The id of the entry at `index`, if it is held or is `base`.
    pub(crate) fn id_at(&self, index: Index) -> Option<LogId> {
        self.term_at(index).map(|term| LogId { term, index })
    }

    /// Whether this very entry is held or is `base`.
    pub(crate) fn contains(&self, id: LogId) -> bool {
        self.term_at(id.index) == Some(id.term)
    }

    /// The entry at `index`, if it is held.
    pub(crate) fn get(&self, index: Index) -> Option<&Entry> {
        self.slot(index).map(|slot| &slot.entry)
    }

    /// The entries from `from` on: as many as fit, but at least one if there is one.
    pub(crate) fn slice(&self, from: Index, bytes_max: usize, entries_max: usize) -> Vec<Entry> {
        let Some(start) = self.position(from) else { return Vec::new() };
        let mut bytes = 0_usize;
        let fits = |slot: &&Slot| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(slot.entry.size());
            first || bytes <= bytes_max
        };
        // Counted first, so that memory is asked for once.
        let count = self.slots.range(start..).take(entries_max).take_while(fits).count();
        self.slots.range(start..).take(count).map(|slot| slot.entry.clone()).collect()
    }

    /// The held entries in `(after, upto]`.
    pub(crate) fn between(&self, after: Index, upto: Index) -> impl Iterator<Item = &Entry> {
        let first = after.max(self.base.index).next();
        let start = self.position(first).unwrap_or(self.slots.len());
        self.slots
            .range(start..)
            .map(|slot| &slot.entry)
            .take_while(move |entry| entry.id.index <= upto)
    }

    /// Bytes of the held entries in `(after, upto]`.
    pub(crate) fn bytes_between(&self, after: Index, upto: Index) -> u64 {
        self.end_bytes(upto).saturating_sub(self.end_bytes(after))
    }

    /// The first index from which on, up to `upto`, there are at most `bytes_max`; `from` or later.
    pub(crate) fn first_within(&self, from: Index, upto: Index, bytes_max: u64) -> Index {
        let (mut low, mut high) = (from.0, upto.0.saturating_add(1));
        while low < high {
            let middle = low.midpoint(high);
            if self.bytes_between(Index(middle).prev(), upto) <= bytes_max {
                high = middle;
            } else {
                low = middle.saturating_add(1);
            }
        }
        Index(low)
    }

    /// The last place, at `index` or before, whose term is at most `term`. None if everything held
    /// is of a later term.
    pub(crate) fn last_at_most(&self, term: Term, index: Index) -> Option<LogId> {
        let end = index.min(self.last().index);
        let held = self.position(end).map_or(0, |position| position.saturating_add(1));
        // Terms never decrease, so those that qualify are a prefix.
        let (mut low, mut high) = (0, held);
        while low < high {
            let middle = low.midpoint(high);
            match self.slots.get(middle) {
                Some(slot) if slot.entry.id.term <= term => low = middle.saturating_add(1),
                _ => high = middle,
            }
        }
        match low.checked_sub(1).and_then(|position| self.slots.get(position)) {
            Some(slot) => Some(slot.entry.id),
            None if self.base.term <= term && self.base.index <= index => Some(self.base),
            None => None,
        }
    }

    /// Appends an entry.
    ///
    /// # Panics
    ///
    /// If it does not follow the last one.
    pub(crate) fn append(&mut self, entry: Entry) {
        let last = self.last();
        assert_eq!(entry.id.index, last.index.next(), "gap after {last}: {}", entry.id);
        assert!(last.term <= entry.id.term, "term goes back after {last}: {}", entry.id);
        let size = u64::try_from(entry.size()).unwrap_or(u64::MAX);
        let end_bytes = self.end_bytes(last.index).saturating_add(size);
        self.slots.push_back(Slot { entry, end_bytes });
    }

    /// Cuts everything from `index` on.
    ///
    /// # Panics
    ///
    /// If that would cut into what a snapshot covers.
    pub(crate) fn truncate_from(&mut self, index: Index) {
        assert!(self.base.index < index, "cannot cut {index} at base {}", self.base);
        if let Some(position) = self.position(index) {
            self.slots.truncate(position);
        }
    }

    /// Gives up everything before `first_kept`, which becomes the first entry held.
    pub(crate) fn compact(&mut self, first_kept: Index) {
        while let Some(slot) = self.slots.front()
            && slot.entry.id.index < first_kept
        {
            self.base = slot.entry.id;
            self.base_bytes = slot.end_bytes;
            self.slots.pop_front();
        }
    }

    /// Gives up everything: the log now begins after `base`.
    pub(crate) fn reset(&mut self, base: LogId) {
        self.slots.clear();
        self.base = base;
    }

    fn position(&self, index: Index) -> Option<usize> {
        let offset = index.0.checked_sub(self.base.index.0)?.checked_sub(1)?;
        usize::try_from(offset).ok().filter(|&position| position < self.slots.len())
    }

    fn slot(&self, index: Index) -> Option<&Slot> {
        self.position(index).and_then(|position| self.slots.get(position))
    }

    fn end_bytes(&self, index: Index) -> u64 {
        match self.slot(index) {
            Some(slot) => slot.end_bytes,
            None if index <= self.base.index => self.base_bytes,
            None => self.slots.back().map_or(self.base_bytes, |slot| slot.end_bytes),
        }
    }
}

#[cfg(test)]
mod tests;
