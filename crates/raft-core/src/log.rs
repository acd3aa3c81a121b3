//! The log's tail in memory: everything after `base`. What lies at or before `base` is covered by a
//! snapshot. The file on disk is never read while running, so there is no storage to ask.

use alloc::collections::VecDeque;

use crate::entries::Entries;
use crate::types::{Entry, Index, LogId, Term};

/// The log after `base`.
///
/// Invariants: indexes are contiguous from `base.index + 1`; terms never decrease; `marks` has one
/// for each entry in `stretches`, and no stretch is empty.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    base: LogId,
    /// The last entry, or `base`: what is asked most often of all.
    last: LogId,
    /// Bytes of all entries ever appended up to and including `base`.
    base_bytes: u64,
    marks: VecDeque<Mark>,
    /// What came together, together.
    stretches: VecDeque<Stretch>,
}

/// Entries that came together.
#[derive(Clone, Debug)]
struct Stretch {
    /// The index of the first one: entries so old have left the processor's cache.
    first: Index,
    entries: Entries,
}

/// What is asked most often about an entry.
#[derive(Clone, Copy, Debug)]
struct Mark {
    term: Term,
    /// Bytes of all entries ever appended up to and including this one, so that the size of any
    /// stretch is a subtraction and no counter can leak (etcd-raft #54, cockroach #31618).
    end_bytes: u64,
}

impl Log {
    /// A log that holds nothing after `base`.
    pub(crate) fn new(base: LogId) -> Self {
        let (marks, stretches) = (VecDeque::new(), VecDeque::new());
        Self { base, last: base, base_bytes: 0, marks, stretches }
    }

    /// The entry just before the first one held.
    pub(crate) fn base(&self) -> LogId {
        self.base
    }

    /// The last entry, or `base` if none is held.
    pub(crate) fn last(&self) -> LogId {
        self.last
    }

    /// The term of the entry at `index`, if it is held or is `base`.
    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.mark(index).map(|mark| mark.term)
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
        let stretch = self.stretches.get(self.stretch_of(index)?)?;
        stretch.entries.get(stretch.place(index))
    }

    /// The entries from `from` on: as many as fit, but at least one if there is one.
    pub(crate) fn slice(&self, from: Index, bytes_max: usize, entries_max: usize) -> Entries {
        let Some(start) = self.position(from) else { return Entries::default() };
        let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let bound = self.end_bytes(from.prev()).saturating_add(bytes_max);
        let most = start.saturating_add(entries_max).min(self.marks.len());
        // Bytes only grow, so those that fit are a prefix.
        let (mut low, mut high) = (start.saturating_add(1), most);
        while low < high {
            let middle = low.midpoint(high).saturating_add(1).min(high);
            let fits = middle.checked_sub(1).and_then(|last| self.marks.get(last));
            if fits.is_some_and(|mark| mark.end_bytes <= bound) {
                low = middle;
            } else {
                high = middle.saturating_sub(1);
            }
        }
        let more = u64::try_from(low.saturating_sub(start)).unwrap_or(0);
        let last = Index(from.0.saturating_add(more)).prev();
        let first = self.stretch(from.prev(), last);
        match first.last() {
            Some(entry) if entry.id.index < last => {
                let rest = self.stretches_between(entry.id.index, last);
                Entries::concat(&mut core::iter::once(first.clone()).chain(rest).collect())
            }
            _ => first, // Mostly what is sent came together, and is shared.
        }
    }

    /// The held entries in `(after, upto]`.
    pub(crate) fn between(&self, after: Index, upto: Index) -> impl Iterator<Item = &Entry> {
        let first = after.max(self.base.index).next();
        let start = self.stretch_of(first).unwrap_or(self.stretches.len());
        let wanted = move |entry: &&Entry| first <= entry.id.index;
        self.stretches
            .range(start..)
            .flat_map(|stretch| stretch.entries.iter())
            .skip_while(move |entry| !wanted(entry))
            .take_while(move |entry| entry.id.index <= upto)
    }

    /// The same, as they came.
    pub(crate) fn stretches_between(
        &self,
        mut after: Index,
        upto: Index,
    ) -> impl Iterator<Item = Entries> {
        core::iter::from_fn(move || {
            let stretch = self.stretch(after, upto);
            after = stretch.last()?.id.index;
            Some(stretch)
        })
    }

    /// The first of the held entries in `(after, upto]`: as many as came together.
    pub(crate) fn stretch(&self, after: Index, upto: Index) -> Entries {
        let first = after.max(self.base.index).next();
        let place = if first <= upto { self.stretch_of(first) } else { None };
        let Some(stretch) = place.and_then(|place| self.stretches.get(place)) else {
            return Entries::default();
        };
        let part = stretch.place(first)..stretch.place(upto.next());
        // Mostly all of it.
        if part.start == 0 && stretch.entries.count() <= part.end {
            stretch.entries.clone()
        } else {
            stretch.entries.part(part)
        }
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

    /// The last index, after `after` and up to `upto`, before which there are fewer than `bytes_max`.
    pub(crate) fn last_within(&self, after: Index, upto: Index, bytes_max: usize) -> Index {
        let bytes_max = u64::try_from(bytes_max).unwrap_or(u64::MAX);
        let (mut low, mut high) = (after.next().0, upto.0);
        while low < high {
            let middle = low.midpoint(high);
            if bytes_max <= self.bytes_between(after, Index(middle)) {
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
        let end = index.min(self.last.index);
        let held = self.position(end).map_or(0, |position| position.saturating_add(1));
        // Terms never decrease, so those that qualify are a prefix.
        let (mut low, mut high) = (0, held);
        while low < high {
            let middle = low.midpoint(high);
            match self.marks.get(middle) {
                Some(mark) if mark.term <= term => low = middle.saturating_add(1),
                _ => high = middle,
            }
        }
        let held = u64::try_from(low).unwrap_or(u64::MAX);
        let last = Index(self.base.index.0.saturating_add(held));
        match low.checked_sub(1).and_then(|position| self.marks.get(position)) {
            Some(mark) => Some(LogId { term: mark.term, index: last }),
            None if self.base.term <= term && self.base.index <= index => Some(self.base),
            None => None,
        }
    }

    /// Appends entries.
    ///
    /// # Panics
    ///
    /// If they do not follow the last one, and each other.
    pub(crate) fn append(&mut self, entries: Entries) {
        let mut last = self.last;
        let mut end_bytes = self.marks.back().map_or(self.base_bytes, |mark| mark.end_bytes);
        let first = last.index.next();
        for entry in &entries {
            let id = entry.id;
            assert_eq!(id.index, last.index.next(), "gap after {last}: {id}");
            assert!(last.term <= id.term, "term goes back after {last}: {id}");
            let size = u64::try_from(entry.size()).unwrap_or(u64::MAX);
            end_bytes = end_bytes.saturating_add(size);
            self.marks.push_back(Mark { term: id.term, end_bytes });
            last = id;
        }
        self.last = last;
        if first <= last.index {
            self.stretches.push_back(Stretch { first, entries });
        }
    }

    /// Cuts everything from `index` on.
    ///
    /// # Panics
    ///
    /// If that would cut into what a snapshot covers.
    pub(crate) fn truncate_from(&mut self, index: Index) {
        assert!(self.base.index < index, "cannot cut {index} at base {}", self.base);
        if let Some(position) = self.position(index) {
            self.last = self.id_at(index.prev()).expect("held, or the base");
            self.marks.truncate(position);
            while self.stretches.pop_back_if(|stretch| index <= stretch.first).is_some() {}
            if let Some(stretch) = self.stretches.back_mut() {
                stretch.entries = stretch.entries.part(0..stretch.place(index));
            }
        }
    }

    /// Gives up everything before `first_kept`, which becomes the first entry held.
    pub(crate) fn compact(&mut self, first_kept: Index) {
        let gone = Index(first_kept.0.saturating_sub(1).min(self.last.index.0));
        let Some(position) = self.position(gone) else { return };
        let base = self.id_at(gone).expect("it is held");
        self.base_bytes = self.end_bytes(gone);
        self.marks.drain(..=position);
        self.base = base;
        // Counted, not looked at: entries so old have left the processor's cache.
        let mut gone = position.saturating_add(1);
        let is_gone = |stretch: &mut Stretch, gone: usize| stretch.entries.count() <= gone;
        while let Some(stretch) = self.stretches.pop_front_if(|it| is_gone(it, gone)) {
            gone = gone.saturating_sub(stretch.entries.count());
        }
        if let Some(stretch) = self.stretches.front_mut() {
            stretch.entries = stretch.entries.part(gone..usize::MAX);
            stretch.first = base.index.next();
        }
    }

    /// Gives up everything: the log now begins after `base`.
    pub(crate) fn reset(&mut self, base: LogId) {
        self.marks.clear();
        self.stretches.clear();
        self.base = base;
        self.last = base;
    }

    fn position(&self, index: Index) -> Option<usize> {
        self.offset(index).filter(|&position| position < self.marks.len())
    }

    fn mark(&self, index: Index) -> Option<&Mark> {
        self.marks.get(self.offset(index)?)
    }

    /// How many places after the first one held; none if it is before that.
    fn offset(&self, index: Index) -> Option<usize> {
        let offset = index.0.checked_sub(self.base.index.0)?.checked_sub(1)?;
        usize::try_from(offset).ok()
    }

    /// Which stretch holds the entry at `index`, if it is held.
    fn stretch_of(&self, index: Index) -> Option<usize> {
        let before = self.position(index)?;
        // No stretch is empty, so from neither end there are more stretches on the way to the entry
        // than there are entries. Mostly that says it all: what is asked for is close to the end.
        let behind = self.marks.len().saturating_sub(before);
        let mut low = self.stretches.len().saturating_sub(behind);
        let mut high = self.stretches.len().min(before.saturating_add(1));
        while low.saturating_add(1) < high {
            let middle = low.midpoint(high);
            if self.stretches.get(middle).is_some_and(|stretch| stretch.first <= index) {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(low)
    }

    fn end_bytes(&self, index: Index) -> u64 {
        match self.mark(index) {
            Some(mark) => mark.end_bytes,
            None if index <= self.base.index => self.base_bytes,
            None => self.marks.back().map_or(self.base_bytes, |mark| mark.end_bytes),
        }
    }
}

impl Stretch {
    /// How many entries lie before `index`, if there are that many.
    fn place(&self, index: Index) -> usize {
        usize::try_from(index.0.saturating_sub(self.first.0)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests;
