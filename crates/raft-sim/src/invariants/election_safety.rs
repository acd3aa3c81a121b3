//! Election safety (§5.2): at most one leader per term, by role and by what is on the wire.

use std::collections::BTreeMap;

use raft_core::{Body, Message, NodeId, RoleName, Term};

use super::{Invariant, Ledger, View};

#[derive(Default)]
pub(super) struct ElectionSafety {
    leaders: BTreeMap<Term, NodeId>,
}

impl ElectionSafety {
    fn leads(&mut self, id: NodeId, term: Term) -> Result<(), String> {
        let leader = *self.leaders.entry(term).or_insert(id);
        if leader == id { Ok(()) } else { Err(format!("{leader} and {id} both lead term {term}")) }
    }
}

impl Invariant for ElectionSafety {
    fn name(&self) -> &'static str {
        "election safety"
    }

    fn on_turn(&mut self, _: &Ledger, view: &View<'_>) -> Result<(), String> {
        match view.node().role() {
            RoleName::Leader => self.leads(view.id, view.node().term()),
            RoleName::Follower | RoleName::PreCandidate | RoleName::Candidate => Ok(()),
        }
    }

    fn on_send(&mut self, message: &Message) -> Result<(), String> {
        match message.body {
            Body::Append(_) | Body::Heartbeat(_) | Body::SnapshotChunk(_) => {
                self.leads(message.from, message.term)
            }
            _ => Ok(()),
        }
    }
}
