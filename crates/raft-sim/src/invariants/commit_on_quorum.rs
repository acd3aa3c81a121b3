//! Committed means durable on a majority of the disks (§5.3): counted at the moment a node first
//! says so, by what the disks hold and not by what anybody claims.

use raft_core::Index;

use super::{Invariant, Ledger, View};

#[derive(Default)]
pub(super) struct CommitOnQuorum {
    counted: Index,
}

impl Invariant for CommitOnQuorum {
    fn name(&self) -> &'static str {
        "committed on a durable majority"
    }

    fn on_turn(&mut self, ledger: &Ledger, view: &View<'_>) -> Result<(), String> {
        while self.counted < ledger.commit() {
            self.counted = self.counted.next();
            let Some(committed) = ledger.committed(self.counted) else { break };
            let id = committed.entry.id;
            let holders: Vec<_> =
                ledger.disks.iter().filter(|(_, disk)| disk.holds(id)).map(|(id, _)| id).collect();
            if holders.len() * 2 <= ledger.disks.len() {
                let voters = ledger.disks.len();
                return Err(format!(
                    "{} takes {id} for committed; of {voters} disks only {holders:?} hold it",
                    view.id
                ));
            }
        }
        Ok(())
    }
}
