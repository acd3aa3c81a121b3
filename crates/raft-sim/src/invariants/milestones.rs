//! What the committed memberships show that has happened.

use raft_core::{NodeId, RoleName};

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
