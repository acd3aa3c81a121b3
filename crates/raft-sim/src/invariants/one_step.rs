//! A membership becomes another one in steps that cannot split it (§6): voters change by way of both
//! majorities, one change at a time, and not before the leader has committed something of its own
//! term. Who stays keeps its seat; who comes gets a new one.

use raft_core::{Index, LogId, Membership, Payload, RoleName};

use super::{Invariant, Ledger, View};

#[derive(Default)]
pub(super) struct OneStep;

impl Invariant for OneStep {
    fn name(&self) -> &'static str {
        "memberships change by safe steps"
    }

    fn on_membership(&mut self, _: &Ledger, view: &View<'_>, id: LogId) -> Result<(), String> {
        let node = view.node();
        let (before, after) = (node.membership_at(id.index.prev()), node.membership_at(id.index));
        let fault = |what: &str| {
            let describe = format!("{} holds {id}: {before} becomes {after}", view.id);
            Err(format!("{describe}: {what}"))
        };
        // A newcomer learns what came before it arrived from a snapshot, or not at all.
        if before.is_empty() {
            return Ok(());
        }
        if !is_step(before, after) {
            return fault("not by way of both majorities");
        }
        for member in after.members() {
            let Some(seat) = after.seat_id(member) else { continue };
            let stays = before.seat_id(member).is_none_or(|kept| kept == seat);
            if !stays || before.seat_id(member).is_none() && seat.since != id {
                return fault("somebody has another's seat");
            }
        }
        if node.role() != RoleName::Leader || node.term() != id.term {
            return Ok(());
        }
        let earlier = last_membership(view, id.index.prev());
        if earlier.is_some_and(|earlier| node.commit_index() < earlier) {
            return fault("the one before is not committed");
        }
        let opened = node.id_at(node.commit_index()).is_some_and(|commit| commit.term == id.term);
        if opened { Ok(()) } else { fault("nothing of the own term is committed") }
    }
}

/// Whether one may follow the other.
fn is_step(before: &Membership, after: &Membership) -> bool {
    if before.is_joint() {
        // The joint one is left, and nothing else.
        return !after.is_joint()
            && after.voters == before.voters
            && after.learners == before.learners;
    }
    let same = !after.is_joint() && after.voters == before.voters;
    let joint = after.outgoing == before.voters;
    !after.voters.is_empty() && (same || joint)
}

/// The last configuration in a node's log at `index` or before, of those it holds.
fn last_membership(view: &View<'_>, index: Index) -> Option<Index> {
    let node = view.node();
    let held = |&index: &u64| {
        let entry = node.entry(Index(index));
        entry.is_some_and(|entry| matches!(entry.payload, Payload::Config(_)))
    };
    (node.first_index().0..=index.0).rev().find(held).map(Index)
}
