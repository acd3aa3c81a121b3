//! State-machine safety (§5.4.3): what is committed stays as it is, on every node, forever; nothing
//! but that is applied; and equal numbers of applied entries mean equal states.

use std::collections::BTreeMap;

use raft_core::{Index, Instant, NodeId};

use super::ledger::checksum;
use super::{Invariant, Ledger, View};
use crate::agenda::Life;

#[derive(Default)]
pub(super) struct StateMachineSafety {
    /// The hash of the state that has applied so much.
    states: BTreeMap<Index, u64>,
    /// Up to where each process' committed entries have been compared.
    compared: BTreeMap<NodeId, (Life, Index)>,
}

impl Invariant for StateMachineSafety {
    fn name(&self) -> &'static str {
        "state-machine safety"
    }

    fn on_turn(&mut self, ledger: &Ledger, view: &View<'_>) -> Result<(), String> {
        let node = view.node();
        let (life, compared) = self.compared.entry(view.id).or_default();
        if *life != view.life {
            (*life, *compared) = (view.life, Index(0));
        }
        let mut index = (*compared).max(node.first_index().prev());
        while index < node.commit_index() {
            index = index.next();
            let (Some(own), Some(known)) = (node.entry(index), ledger.committed(index)) else {
                return Err(format!("{} knows {index} to be committed and lacks it", view.id));
            };
            if own.id != known.entry.id || checksum(&own.payload) != known.check {
                return Err(format!(
                    "{} holds {} where {} is committed",
                    view.id, own.id, known.entry.id
                ));
            }
        }
        *compared = node.commit_index();
        let status = view.replica.status(Instant(0));
        if node.commit_index() < status.applied {
            return Err(format!("{} applied {}, uncommitted", view.id, status.applied));
        }
        let hash = *self.states.entry(status.applied).or_insert(status.state_hash);
        if hash != status.state_hash {
            return Err(format!(
                "{} at {} has state {:016x}, another one {hash:016x}",
                view.id, status.applied, status.state_hash
            ));
        }
        Ok(())
    }
}
