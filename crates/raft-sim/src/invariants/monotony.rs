//! What only grows: a process' term, commit and applied index; and across its restarts the term it
//! has answered in.

use std::collections::BTreeMap;

use raft_core::{Body, Incarnation, Index, Instant, Message, NodeId, Term};
use raft_replica::OpenReport;

use super::{Invariant, Ledger, View};
use crate::agenda::Life;

#[derive(Default)]
pub(super) struct Monotony {
    last: BTreeMap<NodeId, (Life, [u64; 3])>,
    /// The latest term each node has promised something in, on each of its disks.
    promised: BTreeMap<(NodeId, Incarnation), Term>,
}

impl Invariant for Monotony {
    fn name(&self) -> &'static str {
        "terms and indexes only grow"
    }

    fn on_turn(&mut self, _: &Ledger, view: &View<'_>) -> Result<(), String> {
        let node = view.node();
        let Index(applied) = view.replica.status(Instant(0)).applied;
        let now = [node.term().0, node.commit_index().0, applied];
        let (life, last) = self.last.insert(view.id, (view.life, now)).unwrap_or_default();
        if life == view.life && last.iter().zip(&now).any(|(last, now)| now < last) {
            return Err(format!("{} went from {last:?} to {now:?}", view.id));
        }
        Ok(())
    }

    fn on_send(&mut self, message: &Message) -> Result<(), String> {
        if let Body::VoteReply(_) | Body::AppendReply(_) = message.body {
            let promised = self.promised.entry((message.from, message.incarnation)).or_default();
            if message.term < *promised {
                let (from, term) = (message.from, message.term);
                return Err(format!("{from} answers in term {term} after term {promised}"));
            }
            *promised = message.term;
        }
        Ok(())
    }

    fn on_start(&mut self, _: &mut Ledger, view: &View<'_>, _: &OpenReport) -> Result<(), String> {
        let disk = (view.id, view.node().incarnation());
        let promised = self.promised.get(&disk).copied().unwrap_or_default();
        if view.node().term() < promised {
            let term = view.node().term();
            return Err(format!("{} starts in term {term}, promised {promised}", view.id));
        }
        Ok(())
    }
}
