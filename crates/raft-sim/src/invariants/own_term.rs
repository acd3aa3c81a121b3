//! A leader commits by counting only what is of its own term: a majority that holds an entry of an
//! earlier one may yet lose it (§5.4.2, Figure 8).

use std::collections::BTreeMap;

use raft_core::{Index, NodeId, RoleName, Term};

use super::{Invariant, Ledger, View};
use crate::agenda::Life;

#[derive(Default)]
pub(super) struct OwnTerm {
    /// Who led after its last turn: which process, in which term, and what was committed.
    led: BTreeMap<NodeId, (Life, Term, Index)>,
}

impl Invariant for OwnTerm {
    fn name(&self) -> &'static str {
        "only entries of the own term are counted"
    }

    fn on_turn(&mut self, _: &Ledger, view: &View<'_>) -> Result<(), String> {
        let node = view.node();
        if node.role() != RoleName::Leader {
            self.led.remove(&view.id);
            return Ok(());
        }
        let (term, commit) = (node.term(), node.commit_index());
        let before = self.led.insert(view.id, (view.life, term, commit));
        // What it committed in the turn that made it a leader it may have been told before that.
        let Some((_, _, known)) = before.filter(|&(life, led, _)| (life, led) == (view.life, term))
        else {
            return Ok(());
        };
        let of = node.id_at(commit).map(|id| id.term);
        if known < commit && of.is_some_and(|of| of != term) {
            return Err(format!(
                "{} leads term {term} and takes {commit} for committed, an entry of term {of:?}",
                view.id
            ));
        }
        Ok(())
    }
}
