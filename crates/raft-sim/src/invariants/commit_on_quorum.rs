//! Committed means durable on a majority of the voters' disks, in a joint configuration on a majority
//! of each half (§5.3, §6): counted at the moment a node first says so, by what the disks hold and
//! not by what anybody claims.

use std::collections::BTreeMap;

use raft_core::{Index, Membership, NodeId};

use super::ledger::has_quorum;
use super::{Invariant, Ledger, View};
use crate::agenda::Life;

#[derive(Default)]
pub(super) struct CommitOnQuorum {
    counted: Index,
    /// The membership that was active in each process after its last turn.
    active: BTreeMap<NodeId, (Life, Membership)>,
}

impl Invariant for CommitOnQuorum {
    fn name(&self) -> &'static str {
        "committed on a durable majority"
    }

    fn on_turn(&mut self, ledger: &Ledger, view: &View<'_>) -> Result<(), String> {
        let active = view.node().membership();
        let before = self.active.get(&view.id).filter(|(life, _)| *life == view.life);
        while self.counted < ledger.commit() {
            self.counted = self.counted.next();
            let Some(committed) = ledger.committed(self.counted) else { break };
            let entry = committed.entry.id;
            // A turn may have appended the next membership after it counted by the one before.
            let counts = |membership: &&Membership| {
                has_quorum(membership, |id| ledger.attests(membership, id, entry))
            };
            let mut either = before.map(|(_, before)| before).into_iter().chain([active]);
            if !either.any(|membership| counts(&membership)) {
                let disks = ledger.disks.iter();
                let holders: Vec<_> =
                    disks.filter(|(_, disk)| disk.holds(entry)).map(|(id, _)| id).collect();
                return Err(format!(
                    "{} takes {entry} for committed; only {holders:?} hold it, of {active}",
                    view.id
                ));
            }
        }
        if before.is_none_or(|(_, before)| before != active) {
            self.active.insert(view.id, (view.life, active.clone()));
        }
        Ok(())
    }
}
