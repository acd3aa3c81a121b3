//! What a client is told was applied is committed, at the very place the answer names.

use raft_replica::{Answer, Outcome};

use super::{Invariant, Ledger};

#[derive(Default)]
pub(super) struct Acknowledged;

impl Invariant for Acknowledged {
    fn name(&self) -> &'static str {
        "acknowledged means committed"
    }

    fn on_answer(&mut self, ledger: &Ledger, answer: &Answer) -> Result<(), String> {
        let (Outcome::Applied { id, .. } | Outcome::SessionOpened { id, .. }) = &answer.outcome
        else {
            return Ok(());
        };
        match ledger.committed(id.index) {
            Some(committed) if committed.entry.id == *id => Ok(()),
            Some(committed) => {
                Err(format!("{id} is acknowledged, {} is there", committed.entry.id))
            }
            None => Err(format!("{id} is acknowledged, and nobody committed it")),
        }
    }
}
