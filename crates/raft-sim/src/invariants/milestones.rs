//! What the committed memberships show that has happened.

use std::collections::BTreeSet;

use raft_core::{LogId, NodeId, RoleName};

use super::{Ledger, View, has_quorum};
use crate::sometimes::{Mark, Sometimes};

/// Counts what the memberships committed since the ledger knew `known` of them stand for. The node
/// in view is the one that committed them.
pub(super) fn count(ledger: &Ledger, known: usize, view: &View<'_>, marks: &mut Sometimes) {
    let node = view.node();
    let next = ledger.commit().next();
    if node.role() == RoleName::Leader
        && node.commit_index() == ledger.commit()
        && let Some(id) = node.id_at(next).filter(|id| id.term < node.term())
        && has_quorum(node.membership(), |it| ledger.attests(node.membership(), it, id))
    {
        marks.hit(Mark::HeldNotCommitted);
    }
    let memberships = ledger.memberships();
    for position in known..memberships.len() {
        let (before_id, before) = &memberships[position - 1];
        let (id, after) = &memberships[position];
        for id in after.members().difference(&before.members()) {
            if memberships[..position].iter().any(|(_, earlier)| earlier.contains(*id)) {
                let renewed = ledger.is_renewed(*id);
                marks.hit(if renewed { Mark::ReAddedWiped } else { Mark::ReAddedKept });
            }
        }
        if after.is_joint() {
            continue;
        }
        let first = if before.is_joint() { &before.outgoing } else { &before.voters };
        marks.hit(Mark::MembershipChanged);
        if before.is_joint() && before_id.term != id.term {
            marks.hit(Mark::JointInherited);
        }
        if first.contains(&view.id) && !after.is_voter(view.id) && id.term == view.node().term() {
            let listens = after.learners.contains(&view.id);
            let mark = if listens { Mark::LeaderDemotedItself } else { Mark::LeaderRemovedItself };
            marks.hit(mark);
        }
        let promoted = |id: &&NodeId| !first.contains(id);
        let demoted = first.intersection(&after.learners).count();
        // Newcomers listen first, unless they are forced in.
        marks.add(Mark::LearnerPromoted, after.voters.iter().filter(promoted).count() as u64);
        marks.add(Mark::VoterDemoted, demoted as u64);
        if first.is_disjoint(&after.voters) {
            marks.hit(Mark::AllReplaced);
        }
    }
}

/// Notices joint configurations that one half alone would have committed.
#[derive(Default)]
pub(super) struct Halves {
    /// The configuration that a majority of one half holds, and none of the other.
    waiting: Option<LogId>,
}

impl Halves {
    /// Looks at a node after a turn.
    pub(super) fn count(&mut self, ledger: &Ledger, view: &View<'_>, marks: &mut Sometimes) {
        let (node, members) = (view.node(), view.node().membership());
        if let Some(committed) = self.waiting.and_then(|id| ledger.committed(id.index)) {
            marks.add(Mark::BothHalvesNeeded, u64::from(self.waiting == Some(committed.entry.id)));
            self.waiting = None;
        }
        let as_of = node.membership_as_of();
        if node.role() == RoleName::Leader
            && members.is_joint()
            && as_of.term == node.term()
            && ledger.commit() < as_of.index
        {
            let most = |half: &BTreeSet<NodeId>| {
                let held = half.iter().filter(|&&id| ledger.attests(members, id, as_of)).count();
                half.len() < 2 * held
            };
            if most(&members.voters) != most(&members.outgoing) {
                self.waiting = Some(as_of);
            }
        }
    }
}
