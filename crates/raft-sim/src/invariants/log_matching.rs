//! Log matching (§5.3): if two logs hold an entry of the same index and term, they are identical up
//! to it. By induction that is so if an index and a term always stand for the same payload after the
//! same predecessor, which is what is checked, once for each entry of each node.

use std::collections::BTreeMap;

use raft_core::{Index, LogId, NodeId, Term};

use super::ledger::checksum;
use super::{Invariant, Ledger, View};
use crate::agenda::Life;

#[derive(Default)]
pub(super) struct LogMatching {
    /// What stands at an index of a term, and what stands before it.
    entries: BTreeMap<LogId, (LogId, u64)>,
    /// What of each process' log has been compared.
    compared: BTreeMap<NodeId, (Life, BTreeMap<Index, Term>)>,
}

impl Invariant for LogMatching {
    fn name(&self) -> &'static str {
        "log matching"
    }

    fn on_turn(&mut self, _: &Ledger, view: &View<'_>) -> Result<(), String> {
        let node = view.node();
        let (life, compared) = self.compared.entry(view.id).or_default();
        if *life != view.life {
            (*life, *compared) = (view.life, BTreeMap::new());
        }
        drop(compared.split_off(&node.last().index.next()));
        let mut index = node.last().index;
        while let Some(entry) = node.entry(index)
            && compared.get(&index) != Some(&entry.id.term)
        {
            let Some(before) = node.id_at(index.prev()) else {
                return Err(format!("{} holds {} after nothing", view.id, entry.id));
            };
            let found = (before, checksum(&entry.payload));
            let known = *self.entries.entry(entry.id).or_insert(found);
            if known != found {
                return Err(format!(
                    "{} holds {} after {before} with checksum {:x}, another one after {} with {:x}",
                    view.id, entry.id, found.1, known.0, known.1
                ));
            }
            compared.insert(index, entry.id.term);
            index = index.prev();
        }
        Ok(())
    }
}
