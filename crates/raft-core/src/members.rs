//! Which configuration is active: the latest in the log, committed or not (dissertation §4.1), so
//! that it is rolled back when its entry is.

use alloc::vec::Vec;

use crate::types::{Index, Membership};

/// The configurations of the log, oldest first. Never empty; indexes grow.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    history: Vec<(Index, Membership)>,
    active: Membership,
}

impl Members {
    /// The configuration as of `index`: a snapshot's, or the one the cluster began with.
    pub(crate) fn new(index: Index, membership: Membership) -> Self {
        Self { history: alloc::vec![(index, membership.clone())], active: membership }
    }

    /// The active configuration.
    pub(crate) fn active(&self) -> &Membership {
        &self.active
    }

    /// The configuration as of `index`.
    pub(crate) fn at(&self, index: Index) -> &Membership {
        let held = self.history.iter().rev().find(|(since, _)| *since <= index);
        held.map_or(&self.active, |(_, membership)| membership)
    }

    /// A configuration was appended.
    pub(crate) fn push(&mut self, index: Index, membership: Membership) {
        self.history.push((index, membership.clone()));
        self.active = membership;
    }

    /// Entries from `index` on were cut. Answers whether that changed the active configuration.
    pub(crate) fn truncate_from(&mut self, index: Index) -> bool {
        let before = self.history.len();
        // The first one is a snapshot's or the cluster's own: it is committed and stays.
        while 1 < self.history.len()
            && self.history.last().is_some_and(|(since, _)| index <= *since)
        {
            self.history.pop();
        }
        if let Some((_, membership)) = self.history.last() {
            self.active = membership.clone();
        }
        self.history.len() != before
    }

    /// Nothing before `index` will be asked for again.
    pub(crate) fn compact(&mut self, index: Index) {
        let older = self.history.iter().filter(|(since, _)| *since <= index).count();
        self.history.drain(..older.saturating_sub(1));
    }
}
