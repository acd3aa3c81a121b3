//! What is known of all nodes together: the one log of all that was ever committed, and what each
//! disk must hold.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{
    Entry, Incarnation, Index, LogId, Membership, NodeId, Payload, Persist, SeatId, Term,
};

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
    /// The committed memberships, ascending, from the one the cluster began with.
    memberships: Vec<(LogId, Membership)>,
    /// Memberships that were appended somewhere, and may yet be committed.
    appended: BTreeMap<LogId, Membership>,
    /// What each disk must hold.
    pub disks: BTreeMap<NodeId, DiskModel>,
    /// Members whose disk is gone, and what it held. They may never be counted on again.
    pub lost: BTreeMap<NodeId, (SeatId, DiskModel)>,
    /// Whose disk is another one than when it was last a member.
    renewed: BTreeSet<NodeId>,
    /// Whose disk was ever replaced.
    wiped: BTreeSet<NodeId>,
}

/// What a disk must hold, by what its log's writer was told and has reported done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskModel {
    /// The term.
    pub term: Term,
    /// The vote in it.
    pub vote: Option<NodeId>,
    /// Who it knows under which incarnation.
    pub peers: BTreeMap<SeatId, Incarnation>,
    /// The newest snapshot the log names.
    pub snapshot: Option<LogId>,
    /// The entries: term and checksum.
    pub entries: BTreeMap<Index, (Term, u64)>,
    /// What it holds if a write that was cut short got through after all.
    pub perhaps: Option<Box<DiskModel>>,
}

impl Ledger {
    /// Nothing yet.
    pub fn new(ids: &[NodeId], bootstrap: &Membership) -> Self {
        Self {
            committed: Vec::new(),
            memberships: vec![(LogId::ZERO, bootstrap.clone())],
            appended: BTreeMap::new(),
            disks: ids.iter().map(|&id| (id, DiskModel::default())).collect(),
            lost: BTreeMap::new(),
            renewed: BTreeSet::new(),
            wiped: BTreeSet::new(),
        }
    }

    /// The committed memberships, ascending, from the one the cluster began with.
    pub fn memberships(&self) -> &[(LogId, Membership)] {
        &self.memberships
    }

    /// The last committed membership.
    pub fn membership(&self) -> &Membership {
        let (_, membership) = self.memberships.last().expect("the first one is always there");
        membership
    }

    /// All memberships that may decide something from now on: the last committed one, and those
    /// that may follow it.
    pub fn possible(&self) -> impl Iterator<Item = &Membership> {
        std::iter::once(self.membership()).chain(self.appended.values())
    }

    /// Whether this member's disk is gone.
    pub fn is_lost(&self, membership: &Membership, id: NodeId) -> bool {
        self.lost.get(&id).is_some_and(|(seat, _)| membership.seat_id(id) == Some(*seat))
    }

    /// Whether this member's disk holds, or held when it was lost, an entry.
    pub(super) fn attests(&self, membership: &Membership, id: NodeId, entry: LogId) -> bool {
        let lost = self.lost.get(&id).filter(|_| self.is_lost(membership, id));
        let held = lost.map(|(_, disk)| disk).or_else(|| self.disks.get(&id));
        held.is_some_and(|disk| disk.holds(entry))
    }

    /// Whether a node has another disk than when it was last a member.
    pub(super) fn is_renewed(&self, id: NodeId) -> bool {
        self.renewed.contains(&id)
    }

    /// Whether a node's disk was ever replaced.
    pub fn was_wiped(&self, id: NodeId) -> bool {
        self.wiped.contains(&id)
    }

    /// A disk is replaced by an empty one. Its node may be a member, or none any more.
    pub fn wipe(&mut self, id: NodeId) {
        let disk = std::mem::take(self.disk(id));
        self.renewed.insert(id);
        self.wiped.insert(id);
        match self.membership().seat_id(id) {
            Some(seat) if !self.is_lost(self.membership(), id) => {
                self.lost.insert(id, (seat, disk));
            }
            Some(_) => (),
            None => drop(self.lost.remove(&id)),
        }
    }

    /// A node has appended this.
    pub(super) fn on_membership(&mut self, id: LogId, membership: &Membership) {
        if self.commit() < id.index {
            self.appended.insert(id, membership.clone());
        }
    }

    /// The committed entry at `index`.
    pub fn committed(&self, index: Index) -> Option<&Committed> {
        let position = index.0.checked_sub(1).and_then(|position| usize::try_from(position).ok());
        position.and_then(|position| self.committed.get(position))
    }

    /// Whether another entry is committed at the place of this one.
    pub fn contradicts(&self, id: LogId) -> bool {
        self.committed(id.index).is_some_and(|committed| committed.entry.id != id)
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
            if let Payload::Config(membership) = &entry.payload {
                self.on_committed(entry.id, membership);
            }
            let check = checksum(&entry.payload);
            self.committed.push(Committed { entry: entry.clone(), check, in_term: node.term() });
        }
        let commit = self.commit();
        self.appended.retain(|id, _| commit < id.index);
        Ok(())
    }

    fn on_committed(&mut self, id: LogId, membership: &Membership) {
        for gone in self.membership().members().difference(&membership.members()) {
            if !self.lost.contains_key(gone) {
                self.renewed.remove(gone);
            }
        }
        self.memberships.push((id, membership.clone()));
    }
}

/// Whether these are a majority of the voters, in a joint configuration one of each half.
pub fn has_quorum(membership: &Membership, holds: impl Fn(NodeId) -> bool) -> bool {
    let holds = |half: &BTreeSet<NodeId>| half.iter().filter(|&&id| holds(id)).count();
    let most = |half: &BTreeSet<NodeId>| half.len() < 2 * holds(half);
    most(&membership.voters) && (membership.outgoing.is_empty() || most(&membership.outgoing))
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
            // An older one than was installed in the same write says nothing new.
            self.snapshot = self.snapshot.max(Some(compact.snapshot.last));
        }
        if let Some(from) = persist.truncate_from {
            drop(self.entries.split_off(&from));
        }
        if let Some(hard_state) = &persist.hard_state {
            (self.term, self.vote) = (hard_state.term, hard_state.vote);
            self.peers.clone_from(&hard_state.peers);
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
