//! What is known of all nodes together: the one log of all that was ever committed, and what each
//! disk must hold.

use std::collections::BTreeMap;

use raft_core::{Entry, Index, LogId, NodeId, Payload, Persist, Term};

use super::View;
use crate::rng::{FNV_START, fnv};

/// An entry that some node knew to be committed.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The entry.
    pub entry: Entry,
    /// A checksum of what it carries.
    pub check: u64,
    /// The term of the node that said so first: that of the leader that committed it.
    pub in_term: Term,
}

/// What is known of all nodes together.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// All that was ever committed; entry `i` is at `i - 1`.
    committed: Vec<Committed>,
    /// What each disk must hold.
    pub disks: BTreeMap<NodeId, DiskModel>,
}

/// What a disk must hold, by what its log's writer was told and has reported done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskModel {
    /// The term.
    pub term: Term,
    /// The vote in it.
    pub vote: Option<NodeId>,
    /// The newest snapshot the log names.
    pub snapshot: Option<LogId>,
    /// The entries: term and checksum.
    pub entries: BTreeMap<Index, (Term, u64)>,
    /// What it holds if a write that was cut short got through after all.
    pub perhaps: Option<Box<DiskModel>>,
}

impl Ledger {
    /// Nothing yet.
    pub fn new(ids: &[NodeId]) -> Self {
        let disks = ids.iter().map(|&id| (id, DiskModel::default())).collect();
        Self { committed: Vec::new(), disks }
    }

    /// The committed entry at `index`.
    pub fn committed(&self, index: Index) -> Option<&Committed> {
        let position = index.0.checked_sub(1).and_then(|position| usize::try_from(position).ok());
        position.and_then(|position| self.committed.get(position))
    }

    /// All committed entries.
    pub fn all_committed(&self) -> &[Committed] {
        &self.committed
    }

    /// The last index known to be committed.
    pub fn commit(&self) -> Index {
        Index(self.committed.len() as u64)
    }

    /// The disk of a node.
    pub fn disk(&mut self, id: NodeId) -> &mut DiskModel {
        self.disks.entry(id).or_default()
    }

    /// Enters what a node knows to be committed and nobody knew before.
    pub(super) fn on_turn(&mut self, view: &View<'_>) -> Result<(), String> {
        let node = view.node();
        while self.commit() < node.commit_index() {
            let index = self.commit().next();
            let Some(entry) = node.entry(index) else {
                return Err(format!(
                    "{} has {index} in a snapshot, and nobody committed it",
                    view.id
                ));
            };
            let check = checksum(&entry.payload);
            self.committed.push(Committed { entry: entry.clone(), check, in_term: node.term() });
        }
        Ok(())
    }
}

impl DiskModel {
    /// These are about to be written.
    pub fn begin(&mut self, persists: &[Persist]) {
        let mut after = Self { perhaps: None, ..self.clone() };
        for persist in persists {
            after.apply(persist);
        }
        self.perhaps = Some(Box::new(after));
    }

    /// What was begun is durable.
    pub fn finish(&mut self) {
        if let Some(after) = self.perhaps.take() {
            *self = *after;
        }
    }

    /// Whether this entry is there, or a snapshot covers it.
    pub fn holds(&self, id: LogId) -> bool {
        self.snapshot.is_some_and(|last| id.index <= last.index)
            || self.entries.get(&id.index).is_some_and(|&(term, _)| term == id.term)
    }

    /// In the order that raft-core documents.
    fn apply(&mut self, persist: &Persist) {
        if let Some(meta) = &persist.install {
            let continues =
                self.entries.get(&meta.last.index).is_some_and(|&(term, _)| term == meta.last.term);
            let kept = self.entries.split_off(&meta.last.index.next());
            self.entries = if continues { kept } else { BTreeMap::new() };
            self.snapshot = Some(meta.last);
        }
        if let Some(compact) = &persist.compact {
            self.entries = self.entries.split_off(&compact.first_kept);
            self.snapshot = Some(compact.snapshot.last);
        }
        if let Some(from) = persist.truncate_from {
            drop(self.entries.split_off(&from));
        }
        if let Some(hard_state) = &persist.hard_state {
            (self.term, self.vote) = (hard_state.term, hard_state.vote);
        }
        for entry in &persist.entries {
            self.entries.insert(entry.id.index, (entry.id.term, checksum(&entry.payload)));
        }
    }
}

/// A checksum of what an entry carries.
pub(crate) fn checksum(payload: &Payload) -> u64 {
    match payload {
        Payload::Noop => 1,
        Payload::Data(data) => fnv(FNV_START, data),
        Payload::Config(membership) => fnv(FNV_START, format!("{membership:?}").as_bytes()),
    }
}
