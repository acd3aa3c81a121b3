//! One vote per term (§5.2): a node that has said yes to one candidate never says yes to another in
//! the same term, not even after it has lost its memory, and neither does a leader, who said yes to
//! itself.

use std::collections::BTreeMap;

use raft_core::{Body, Incarnation, Message, NodeId, RoleName, Term};

use super::{Invariant, Ledger, View};

/// A node with another disk is another one.
type Voter = (NodeId, Incarnation);

#[derive(Default)]
pub(super) struct OneVote {
    votes: BTreeMap<(Voter, Term), NodeId>,
}

impl OneVote {
    fn votes(&mut self, voter: Voter, term: Term, candidate: NodeId) -> Result<(), String> {
        let first = *self.votes.entry((voter, term)).or_insert(candidate);
        if first == candidate {
            Ok(())
        } else {
            let (voter, _) = voter;
            Err(format!("{voter} voted for {first} and for {candidate} in term {term}"))
        }
    }
}

impl Invariant for OneVote {
    fn name(&self) -> &'static str {
        "one vote per term"
    }

    fn on_turn(&mut self, _: &Ledger, view: &View<'_>) -> Result<(), String> {
        match view.node().role() {
            RoleName::Leader => {
                let voter = (view.id, view.node().incarnation());
                self.votes(voter, view.node().term(), view.id)
            }
            RoleName::Follower | RoleName::PreCandidate | RoleName::Candidate => Ok(()),
        }
    }

    fn on_send(&mut self, message: &Message) -> Result<(), String> {
        match &message.body {
            Body::VoteReply(reply) if reply.granted => {
                self.votes((message.from, message.incarnation), reply.asked, message.to)
            }
            _ => Ok(()),
        }
    }
}
