//! Leader completeness (§5.4.3): a leader holds all that was committed in earlier terms.

use std::collections::BTreeSet;

use raft_core::{NodeId, RoleName, Term};

use super::{Invariant, Ledger, View};

#[derive(Default)]
pub(super) struct LeaderCompleteness {
    examined: BTreeSet<(Term, NodeId)>,
}

impl Invariant for LeaderCompleteness {
    fn name(&self) -> &'static str {
        "leader completeness"
    }

    fn on_turn(&mut self, ledger: &Ledger, view: &View<'_>) -> Result<(), String> {
        let node = view.node();
        if node.role() != RoleName::Leader || !self.examined.insert((node.term(), view.id)) {
            return Ok(());
        }
        for committed in ledger.all_committed() {
            let id = committed.entry.id;
            let held = id.index < node.first_index() || node.id_at(id.index) == Some(id);
            if committed.in_term < node.term() && !held {
                return Err(format!(
                    "{} leads term {} without {id}, committed in term {}",
                    view.id,
                    node.term(),
                    committed.in_term
                ));
            }
        }
        Ok(())
    }
}
