//! A vote goes to a log that lacks nothing the voter has: a later last term, or the same one and as
//! many entries (§5.4.1).

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{Body, LogId, Message, NodeId, Term};

use super::{Invariant, Ledger, View};
use crate::agenda::Life;

#[derive(Default)]
pub(super) struct Worthy {
    /// The best that each candidate said of its log in a term.
    pleas: BTreeMap<(Term, NodeId), LogId>,
    /// Whose vote in which term has been looked at.
    examined: BTreeSet<(Term, NodeId)>,
    /// Where each process' log ended after its last turn.
    ends: BTreeMap<NodeId, (Life, LogId)>,
}

impl Invariant for Worthy {
    fn name(&self) -> &'static str {
        "votes go to logs that lack nothing"
    }

    fn on_turn(&mut self, _: &Ledger, view: &View<'_>) -> Result<(), String> {
        let node = view.node();
        let end = (view.life, node.last());
        // One that was asked late may have heard the elected in the same turn, and have got its entries.
        let grew = self.ends.insert(view.id, end) != Some(end);
        let Some(candidate) = node.vote().filter(|&it| it != view.id) else { return Ok(()) };
        if !self.examined.insert((node.term(), view.id)) {
            return Ok(());
        }
        let Some(plea) = self.pleas.get(&(node.term(), candidate)) else { return Ok(()) };
        if !grew && *plea < node.last() {
            return Err(format!(
                "{} has {} and votes for {candidate}, which ends at {plea}",
                view.id,
                node.last()
            ));
        }
        Ok(())
    }

    fn on_send(&mut self, message: &Message) -> Result<(), String> {
        if let Body::Vote(request) = &message.body {
            let best = self.pleas.entry((message.term, message.from)).or_insert(request.last);
            *best = request.last.max(*best);
        }
        Ok(())
    }
}
