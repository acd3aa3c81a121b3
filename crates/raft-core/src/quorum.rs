//! Majorities. A joint configuration needs one of each half (§6), always over sets of ids, so that
//! nobody counts twice (openraft #1802).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::membership::Membership;
use crate::types::NodeId;

/// Where an election stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    /// A quorum is for the candidate.
    Won,
    /// A quorum is out of reach.
    Lost,
    /// Neither.
    Open,
}

/// The greatest value that a quorum has reached, when each voter has reached `value(voter)`.
pub(crate) fn reached<T: Ord + Copy + Default>(
    membership: &Membership,
    value: impl Fn(NodeId) -> T,
) -> T {
    if mutant!("learners count") && !membership.learners.is_empty() {
        return reached_by_majority(&(&membership.voters | &membership.learners), &value);
    } else if mutant!("a joint configuration is counted as one") {
        return reached_by_majority(&(&membership.voters | &membership.outgoing), &value);
    }
    let incoming = reached_by_majority(&membership.voters, &value);
    if membership.outgoing.is_empty()
        || mutant!("only the new half of a joint configuration counts")
    {
        incoming
    } else {
        incoming.min(reached_by_majority(&membership.outgoing, &value))
    }
}

/// Counts votes.
pub(crate) fn tally(membership: &Membership, votes: &BTreeMap<NodeId, bool>) -> Tally {
    // A voter is "at 2" when it agreed, "at 1" when it is silent, "at 0" when it refused: a quorum
    // at 2 has won, a quorum that cannot even reach 1 has lost.
    let stand = reached(membership, |id| match votes.get(&id) {
        Some(true) => 2_u8,
        None => 1,
        Some(false) => 0,
    });
    match stand {
        2 => Tally::Won,
        1 => Tally::Open,
        _ => Tally::Lost,
    }
}

fn reached_by_majority<T: Ord + Copy + Default>(
    voters: &BTreeSet<NodeId>,
    value: impl Fn(NodeId) -> T,
) -> T {
    // Asked at every step of a leader: a cluster of common size must not cost an allocation.
    let mut few = [T::default(); 9];
    let mut many = Vec::new();
    let values = if let Some(values) = few.get_mut(..voters.len()) {
        values
    } else {
        many.resize(voters.len(), T::default());
        many.as_mut_slice()
    };
    for (held, &id) in values.iter_mut().zip(voters) {
        *held = value(id);
    }
    if !mutant!("a majority is counted without sorting") {
        values.sort_unstable();
    }
    // Of n values in ascending order, a majority is at or above the one at ⌈n/2⌉ - 1. Without voters
    // there is no majority, and nothing is reached.
    let position = values.len().div_ceil(2).checked_sub(1);
    let position = mutant!("half is a majority", Some(values.len() / 2), position);
    position.and_then(|position| values.get(position)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every subset that contains a majority of each half.
    fn is_quorum(membership: &Membership, agree: &BTreeSet<NodeId>) -> bool {
        [&membership.voters, &membership.outgoing].into_iter().all(|half| {
            half.is_empty() && !membership.voters.is_empty()
                || 2 * half.intersection(agree).count() > half.len()
        })
    }

    fn sets() -> impl Strategy<Value = BTreeSet<NodeId>> {
        proptest::collection::btree_set((1_u64..8).prop_map(NodeId), 0..8)
    }

    proptest! {
        /// Against brute force: a value is reached when those at or above it form a quorum.
        #[test]
        fn reached_is_the_greatest_value_of_a_quorum(
            (voters, outgoing, learners) in (sets(), sets(), sets()),
            values in proptest::collection::btree_map((1_u64..8).prop_map(NodeId), 1_u64..6, 0..8),
        ) {
            let membership = Membership { voters, outgoing, learners, ..Membership::default() };
            let value = |id: NodeId| values.get(&id).copied().unwrap_or(0);
            let at_least = |bound: u64| {
                membership.members().into_iter().filter(|&id| bound <= value(id)).collect()
            };
            let brute = (0..=6).rev().find(|&bound| is_quorum(&membership, &at_least(bound)));
            prop_assert_eq!(reached(&membership, value), brute.unwrap_or(0));
        }

        /// Against brute force: won when the agreeing are a quorum, lost when the agreeing and the
        /// silent together are none.
        #[test]
        fn tally_agrees_with_brute_force(
            (voters, outgoing) in (sets(), sets()),
            votes in proptest::collection::btree_map(
                (1_u64..8).prop_map(NodeId), any::<bool>(), 0..8),
        ) {
            prop_assume!(!voters.is_empty());
            let membership = Membership { voters, outgoing, ..Membership::default() };
            let with = |wanted: &dyn Fn(Option<&bool>) -> bool| -> BTreeSet<NodeId> {
                membership.members().into_iter().filter(|id| wanted(votes.get(id))).collect()
            };
            let expected = if is_quorum(&membership, &with(&|vote| vote == Some(&true))) {
                Tally::Won
            } else if is_quorum(&membership, &with(&|vote| vote != Some(&false))) {
                Tally::Open
            } else {
                Tally::Lost
            };
            prop_assert_eq!(tally(&membership, &votes), expected);
        }
    }
}
