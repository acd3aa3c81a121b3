//! Election safety (§5.2): at most one leader per term, by role and by what is on the wire.

use std::collections::BTreeMap;

use raft_core::{Body, Incarnation, Message, NodeId, RoleName, Term};

use super::{Invariant, Ledger, View};

#[derive(Default)]
pub(super) struct ElectionSafety {
    leaders: BTreeMap<Term, (NodeId, Incarnation)>,
}

impl ElectionSafety {
    fn leads(&mut self, id: (NodeId, Incarnation), term: Term) -> Result<(), String> {
        let leader = *self.leaders.entry(term).or_insert(id);
        if leader == id {
            return Ok(());
        }
        let ((leader, first), (id, second)) = (leader, id);
        Err(format!("{leader} ({first}) and {id} ({second}) both lead term {term}"))
    }
}

impl Invariant for ElectionSafety {
    fn name(&self) -> &'static str {
        "election safety"
    }

    fn on_turn(&mut self, _: &Ledger, view: &View<'_>) -> Result<(), String> {
        match view.node().role() {
            RoleName::Leader => {
                self.leads((view.id, view.node().incarnation()), view.node().term())
            }
            RoleName::Follower | RoleName::PreCandidate | RoleName::Candidate => Ok(()),
        }
    }

    fn on_send(&mut self, message: &Message) -> Result<(), String> {
        match message.body {
            Body::Append(_) | Body::Heartbeat(_) | Body::SnapshotChunk(_) => {
                self.leads((message.from, message.incarnation), message.term)
            }
            _ => Ok(()),
        }
    }
}
