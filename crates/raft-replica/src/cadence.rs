//! When the members of a cluster take their snapshots: in turn.
//!
//! All members apply the same entries, so members that counted alike would all write out their whole
//! state at the same time, and a write would find no majority whose disks are free. Each has its own
//! places in the log instead, which divide the way from one of its snapshots to the next evenly among
//! the members. They come from nothing but the log and the membership: nobody asks anybody.

use raft_core::Index;

/// How far it is from a snapshot to the next, in entries: `policy`, except where that leads to no place
/// of this member (the `rank`-th of `members`), as after its first start or a snapshot from a leader. It
/// is less then, and soon `policy` again.
pub(crate) fn distance(policy: u64, last: Index, (rank, members): (u64, u64)) -> u64 {
    if members <= 1 {
        return policy;
    }
    let own = u128::from(policy) * u128::from(rank % members) / u128::from(members);
    // This member's places are those that leave this remainder when divided by `policy`.
    let own = u64::try_from(own).expect("less than the policy");
    let Some(beyond) = last.0.checked_add(policy).and_then(|end| end.checked_sub(own)) else {
        return policy;
    };
    let to_place = policy - beyond.checked_rem(policy).unwrap_or(0);
    if to_place < policy / 4 {
        // That would be a whole state for a few entries: half way to the place after it.
        to_place.midpoint(policy)
    } else {
        to_place
    }
}

/// The same for a distance in bytes, of which nobody knows where in the log it ends: less than `policy`
/// by up to three eighths, and by something else at each member.
pub(crate) fn distance_in_bytes(policy: u64, entries: u64, entries_policy: u64) -> u64 {
    let part = u128::from(policy) * u128::from(entries) / u128::from(entries_policy.max(1));
    policy.midpoint(u64::try_from(part).unwrap_or(policy).min(policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The snapshots of a member that has none.
    fn places(policy: u64, rank: u64, members: u64, start: u64) -> Vec<u64> {
        let next = |last: &u64| Some(last + distance(policy, Index(*last), (rank, members)));
        std::iter::successors(Some(start), next).skip(1).take(50).collect()
    }

    /// After a round or two, members that began at the same place are apart by equal parts of the way,
    /// and none goes further than it was told.
    #[test]
    fn members_take_turns() {
        for members in 2..=7 {
            for start in [0, 1, 123, 999, 1000, 54_321] {
                let mut settled = Vec::new();
                for rank in 0..members {
                    let places = places(1000, rank, members, start);
                    let steps: Vec<u64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
                    assert!(places[0] - start <= 1000 && 250 <= places[0] - start, "{places:?}");
                    assert!(steps.iter().all(|step| (250..=1000).contains(step)), "{steps:?}");
                    assert!(steps[2..].iter().all(|&step| step == 1000), "{steps:?}");
                    settled.push(places[10] % 1000);
                }
                settled.sort_unstable();
                let expected: Vec<u64> = (0..members).map(|rank| 1000 * rank / members).collect();
                assert_eq!(settled, expected, "{members} members from {start}");
            }
        }
    }

    /// Three members are apart from the first snapshot on, and one alone does as it is told.
    #[test]
    fn a_new_cluster_begins_apart() {
        assert_eq!([0, 1, 2].map(|rank| places(900, rank, 3, 0)[0]), [900, 300, 600]);
        assert_eq!(places(900, 0, 1, 0)[..2], [900, 1800]);
    }

    /// The smallest and the greatest policies make no exception.
    #[test]
    fn extremes() {
        assert_eq!(distance(1, Index(7), (2, 3)), 1);
        assert_eq!(distance(u64::MAX, Index(7), (0, 3)), u64::MAX);
        assert_eq!(distance_in_bytes(u64::MAX, 1, 1), u64::MAX);
        assert_eq!(distance_in_bytes(800, 250, 1000), 500);
        assert_eq!(distance_in_bytes(800, 1000, 1000), 800);
    }
}
