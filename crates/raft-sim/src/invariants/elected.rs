//! A leader was elected: a majority of the voters it knows of said yes to it in its term, in a joint
//! configuration a majority of each half (§5.2, §6). It is one of them itself, or was before what its
//! log ends with and is not known to be committed.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{Body, Index, Message, NodeId, RoleName, Term};

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
        // Nobody knows yet whether what its log ends with is committed.
        let mut possible = (node.commit_index().0..=node.last().index.0).map(Index);
        if !possible.any(|index| node.membership_at(index).is_voter(view.id)) {
            return Err(format!("{} leads term {term} and is no voter of {members}", view.id));
        }
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
