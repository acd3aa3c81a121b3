//! Which links make which partition.

use std::collections::BTreeSet;

use chaos_net::Link;
use chaos_net::partition::{
    Group, GroupsError, Place, all, between, bridge, deaf, groups, halves, isolate, mute, ring,
    swizzle,
};

fn nodes(count: u64) -> Group {
    (1..=count).collect()
}

/// Whom a node hears, itself included.
fn hears(nodes: &Group, cut: &BTreeSet<Link>, to: u64) -> Group {
    nodes.iter().copied().filter(|from| !cut.contains(&Link::new(*from, to))).collect()
}

#[test]
fn one_node() {
    let five = nodes(5);
    assert_eq!(all(&five).len(), 20);
    assert_eq!(isolate(&five, 3).len(), 8);
    assert_eq!(hears(&five, &deaf(&five, 3), 3), Group::from([3]));
    assert_eq!(hears(&five, &deaf(&five, 3), 1), five);
    assert_eq!(hears(&five, &mute(&five, 3), 3), five);
    assert_eq!(hears(&five, &mute(&five, 3), 1), Group::from([1, 2, 4, 5]));
    let both: BTreeSet<Link> = &deaf(&five, 3) | &mute(&five, 3);
    assert_eq!(both, isolate(&five, 3));
}

#[test]
fn halves_put_a_node_where_it_is_wanted() {
    for count in 1..=9 {
        for seed in 0..50 {
            let all = nodes(count);
            let node = seed % count + 1;
            let [few, more] = halves(&all, Place::Majority(node), seed);
            assert!(more.contains(&node));
            assert_eq!((few.len() as u64, more.len() as u64), (count / 2, count.div_ceil(2)));
            assert_eq!(&few | &more, all);
            let [few, _] = halves(&all, Place::Minority(node), seed);
            assert!(few.contains(&node) || count == 1);
        }
    }
    let five = nodes(5);
    let draws: BTreeSet<_> = (0..200).map(|seed| halves(&five, Place::Anywhere, seed)).collect();
    assert_eq!(draws.len(), 10, "every pair is drawn at last");
    assert_eq!(halves(&five, Place::Anywhere, 3), halves(&five, Place::Anywhere, 3));
}

#[test]
fn everybody_in_a_ring_hears_another_majority() {
    for count in 3..=9_u64 {
        for seed in 0..20 {
            let all = nodes(count);
            let cut = ring(&all, seed);
            let heard: BTreeSet<Group> = all.iter().map(|node| hears(&all, &cut, *node)).collect();
            assert_eq!(heard.len() as u64, count, "all different");
            for node in &all {
                let heard = hears(&all, &cut, *node);
                assert!(heard.contains(node));
                assert_eq!(heard.len() as u64, count / 2 + 1);
            }
        }
    }
    assert!(ring(&nodes(2), 1).is_empty());
}

#[test]
fn a_bridge_sees_both_halves() {
    let five = nodes(5);
    for seed in 0..20 {
        let cut = bridge(&five, 2, seed);
        assert_eq!(hears(&five, &cut, 2), five);
        for node in [1, 3, 4, 5] {
            assert_eq!(hears(&five, &cut, node).len(), 3);
        }
        assert!(cut.iter().all(|link| cut.contains(&Link::new(link.to, link.from))));
    }
}

#[test]
fn groups_are_read() {
    let five = nodes(5);
    let read = groups("1,2/3, 4,5", &five).unwrap();
    assert_eq!(read, [Group::from([1, 2]), Group::from([3, 4, 5])]);
    let cut = between(&five, &read);
    assert_eq!(cut.len(), 12);
    assert_eq!(hears(&five, &cut, 1), Group::from([1, 2]));
    for (text, error) in [
        ("1,2/3,4", GroupsError::Missing(5)),
        ("1,2/2,3,4,5", GroupsError::Twice(2)),
        ("1,2/3,4,5,6", GroupsError::Unknown(6)),
        ("1,2,3,4,5", GroupsError::One),
        ("1,2//3,4,5", GroupsError::Malformed(String::new())),
        ("n1/2,3,4,5", GroupsError::Malformed("n1".to_owned())),
        ("+1/2,3,4,5", GroupsError::Malformed("+1".to_owned())),
        ("99999999999999999999/1", GroupsError::Malformed("99999999999999999999".to_owned())),
    ] {
        assert_eq!(groups(text, &five), Err(error), "{text}");
    }
}

#[test]
fn swizzling_heals_what_it_cut() {
    let links = all(&nodes(5));
    let mut sizes = BTreeSet::new();
    for seed in 0..500 {
        let drawn = swizzle(&links, seed);
        assert_eq!(drawn, swizzle(&links, seed));
        let cut: BTreeSet<Link> = drawn.cut.iter().copied().collect();
        assert_eq!(cut.len(), drawn.cut.len(), "each once");
        assert_eq!(cut, drawn.heal.iter().copied().collect());
        assert_eq!(drawn.cut.len(), drawn.heal.len());
        sizes.insert(cut.len());
    }
    assert_eq!(sizes.len(), 20, "from one to all");
    assert!(swizzle(&BTreeSet::new(), 1).cut.is_empty());
}
