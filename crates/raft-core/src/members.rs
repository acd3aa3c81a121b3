//! Which configuration is active: the latest in the log, committed or not (dissertation §4.1), so
//! that it is rolled back when its entry is.

use alloc::vec::Vec;

use crate::membership::Membership;
use crate::types::{Index, LogId};

/// The configurations of the log, oldest first. Never empty; indexes grow.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    history: Vec<(LogId, Membership)>,
    active: Membership,
    since: LogId,
}

impl Members {
    /// The configuration as of `since`: a snapshot's, or the one the cluster began with.
    pub(crate) fn new(since: LogId, membership: Membership) -> Self {
        Self { history: alloc::vec![(since, membership.clone())], active: membership, since }
    }

    /// The active configuration.
    pub(crate) fn active(&self) -> &Membership {
        &self.active
    }

    /// The entry that made it active, or a later one that a snapshot ends with.
    pub(crate) fn since(&self) -> LogId {
        self.since
    }

    /// All that may yet become active again, or are.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Membership> {
        self.history.iter().map(|(_, membership)| membership)
    }

    /// The configuration as of `commit`, and what follows it: each of them may turn out to be the one
    /// that decides.
    pub(crate) fn unsettled(&self, commit: Index) -> impl Iterator<Item = &Membership> {
        let settled = self.history.iter().rposition(|(since, _)| since.index <= commit);
        self.history.iter().skip(settled.unwrap_or(0)).map(|(_, membership)| membership)
    }

    /// The configuration as of `index`.
    pub(crate) fn at(&self, index: Index) -> &Membership {
        let held = self.history.iter().rev().find(|(since, _)| since.index <= index);
        held.map_or(&self.active, |(_, membership)| membership)
    }

    /// A configuration was appended.
    pub(crate) fn push(&mut self, since: LogId, membership: Membership) {
        self.history.push((since, membership.clone()));
        self.active = membership;
        self.since = since;
    }

    /// Entries from `index` on were cut. Answers whether that changed the active configuration.
    pub(crate) fn truncate_from(&mut self, index: Index) -> bool {
        let before = self.history.len();
        // The first one is a snapshot's or the cluster's own: it is committed and stays.
        while 1 < self.history.len()
            && self.history.last().is_some_and(|(since, _)| index <= since.index)
        {
            self.history.pop();
        }
        if let Some((since, membership)) = self.history.last() {
            self.active = membership.clone();
            self.since = *since;
        }
        self.history.len() != before
    }

    /// Nothing before `index` will be asked for again.
    pub(crate) fn compact(&mut self, index: Index) {
        let older = self.history.iter().filter(|(since, _)| since.index <= index).count();
        self.history.drain(..older.saturating_sub(1));
    }
}
