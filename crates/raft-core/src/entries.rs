//! Stretches of the log, shared between all who need them: the log itself, the write to the disk, the
//! messages to the peers, and the state machine. No entry is copied on the way.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, Range};

use crate::types::{Entry, Index};

/// Entries that follow one another in the log. Cheap to clone and to cut: all that came into the log
/// together stays one piece of memory. Reads like a slice.
#[derive(Clone, Default)]
pub struct Entries {
    shared: Option<Arc<[Entry]>>,
    range: Range<usize>,
}

impl Entries {
    /// The part of these entries at the positions `range`, cut to what there is.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        if start == end {
            return Self::default();
        }
        let first = self.range.start;
        let range = first.saturating_add(start)..first.saturating_add(end);
        Self { shared: self.shared.clone(), range }
    }

    /// How many there are, without a look at them.
    pub(crate) fn count(&self) -> usize {
        self.range.end.saturating_sub(self.range.start)
    }

    /// Those with an index up to `last`.
    #[must_use]
    pub(crate) fn upto(&self, last: Index) -> Self {
        self.part(0..self.partition_point(|entry| entry.id.index <= last))
    }

    /// Those with an index after `last`.
    #[must_use]
    pub(crate) fn after(&self, last: Index) -> Self {
        self.part(self.partition_point(|entry| entry.id.index <= last)..self.len())
    }

    /// Takes all of them out, one after the other. They are copied, unless there is but one stretch.
    pub(crate) fn concat(stretches: &mut Vec<Self>) -> Self {
        if stretches.len() < 2 {
            return stretches.pop().unwrap_or_default();
        }
        let mut all = Vec::with_capacity(stretches.iter().map(|stretch| stretch.len()).sum());
        for stretch in stretches.drain(..) {
            all.extend_from_slice(&stretch);
        }
        all.into()
    }
}

impl Deref for Entries {
    type Target = [Entry];

    #[inline]
    fn deref(&self) -> &[Entry] {
        let all = self.shared.as_deref().unwrap_or_default();
        all.get(self.range.clone()).unwrap_or_default()
    }
}

impl From<Vec<Entry>> for Entries {
    fn from(entries: Vec<Entry>) -> Self {
        entries.into_iter().collect()
    }
}

impl FromIterator<Entry> for Entries {
    fn from_iter<T: IntoIterator<Item = Entry>>(entries: T) -> Self {
        let shared: Arc<[Entry]> = entries.into_iter().collect();
        let range = 0..shared.len();
        Self { shared: Some(shared).filter(|shared| !shared.is_empty()), range }
    }
}

impl<'a> IntoIterator for &'a Entries {
    type Item = &'a Entry;
    type IntoIter = core::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Entries {}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
