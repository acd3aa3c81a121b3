//! A leader was elected: a majority of the voters it knows of said yes to it in its term, in a joint
//! configuration a majority of each half (§5.2, §6). Its own voice counts only where it is one of them.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{Body, Message, NodeId, RoleName, Term};

use super::ledger::has_quorum;
use super::{Invariant, Ledger, View};

#[derive(Default)]
pub(super) struct Elected {
    /// Who said yes to whom.
    votes: BTreeMap<(Term, NodeId), BTreeSet<NodeId>>,
    examined: BTreeSet<(Term, NodeId)>,
}

impl Invariant for Elected {
    fn name(&self) -> &'static str {
        "elected by a majority"
    }

    fn on_turn(&mut self, _: &Ledger, view: &View<'_>) -> Result<(), String> {
        let node = view.node();
        let office = (node.term(), view.id);
        if node.role() != RoleName::Leader || !self.examined.insert(office) {
            return Ok(());
        }
        let (term, members) = (node.term(), node.membership());
        // One that is no voter may lead, for those who lack what it has. Its own voice is none then.
        let nobody = BTreeSet::new();
        let votes = self.votes.get(&office).unwrap_or(&nobody);
        if has_quorum(members, |id| id == view.id || votes.contains(&id)) {
            Ok(())
        } else {
            let id = view.id;
            Err(format!("{id} leads term {term}, elected by itself and {votes:?} of {members}"))
        }
    }

    fn on_send(&mut self, message: &Message) -> Result<(), String> {
        match &message.body {
            Body::VoteReply(reply) if reply.granted => {
                self.votes.entry((reply.asked, message.to)).or_default().insert(message.from);
            }
            _ => (),
        }
        Ok(())
    }
}
