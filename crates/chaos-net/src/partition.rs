//! Which links to cut: the shapes of partitions, as sets of links, and nothing else.
//!
//! The link from A to B carries what A tells B, so cutting it makes B deaf to A and to nobody else.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

use crate::net::Link;

/// Nodes that see each other.
pub type Group = BTreeSet<u64>;

/// Where a node goes when the nodes are halved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Wherever chance puts everybody.
    Anywhere,
    /// This node is with the fewer.
    Minority(u64),
    /// This node is with the more.
    Majority(u64),
}

/// Why a list of groups is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupsError {
    /// Something that is no number.
    #[error("`{0}` is no node: groups look like 1,2/3,4,5")]
    Malformed(String),
    /// A node that is not among those there are.
    #[error("there is no node {0}")]
    Unknown(u64),
    /// A node that is named twice.
    #[error("node {0} is named twice")]
    Twice(u64),
    /// A node that is in no group.
    #[error("node {0} is in no group")]
    Missing(u64),
    /// All in one group.
    #[error("one group is no partition")]
    One,
}

/// Every link among the nodes.
pub fn all(nodes: &Group) -> BTreeSet<Link> {
    filtered(nodes, |_| true)
}

/// Every link between nodes of different groups. A node in no group is cut off from all.
pub fn between(nodes: &Group, groups: &[Group]) -> BTreeSet<Link> {
    let together = |link: Link| {
        groups.iter().any(|group| group.contains(&link.from) && group.contains(&link.to))
    };
    filtered(nodes, |link| !together(link))
}

/// Reads groups, as in `1,2/3,4,5`: every node in exactly one.
pub fn groups(text: &str, nodes: &Group) -> Result<Vec<Group>, GroupsError> {
    let (mut groups, mut seen) = (Vec::new(), Group::new());
    for part in text.split('/') {
        let mut group = Group::new();
        for name in part.split(',').map(str::trim) {
            let number = name.parse().ok().filter(|_| name.bytes().all(|it| it.is_ascii_digit()));
            let node: u64 = number.ok_or_else(|| GroupsError::Malformed(name.to_owned()))?;
            if !nodes.contains(&node) {
                return Err(GroupsError::Unknown(node));
            }
            if !seen.insert(node) {
                return Err(GroupsError::Twice(node));
            }
            group.insert(node);
        }
        groups.push(group);
    }
    if let Some(node) = nodes.difference(&seen).next() {
        return Err(GroupsError::Missing(*node));
    }
    if groups.len() < 2 { Err(GroupsError::One) } else { Ok(groups) }
}

/// One node from all others, both ways.
pub fn isolate(nodes: &Group, node: u64) -> BTreeSet<Link> {
    filtered(nodes, |link| link.from == node || link.to == node)
}

/// One node hears nobody, and is heard.
pub fn deaf(nodes: &Group, node: u64) -> BTreeSet<Link> {
    filtered(nodes, |link| link.to == node)
}

/// One node is heard by nobody, and hears.
pub fn mute(nodes: &Group, node: u64) -> BTreeSet<Link> {
    filtered(nodes, |link| link.from == node)
}

/// Two halves, drawn by chance: the fewer first. Of an even number neither has a majority.
pub fn halves(nodes: &Group, place: Place, seed: u64) -> [Group; 2] {
    let mut order = shuffled(nodes, seed);
    let few = order.len() / 2;
    match place {
        Place::Anywhere => (),
        Place::Minority(node) => bring(&mut order, node, 0),
        Place::Majority(node) => bring(&mut order, node, few),
    }
    let more = order.split_off(few);
    [order.into_iter().collect(), more.into_iter().collect()]
}

/// Two halves, drawn by chance, that only one node sees both of. It is in neither.
pub fn bridge(nodes: &Group, bridge: u64, seed: u64) -> BTreeSet<Link> {
    let others: Group = nodes.iter().copied().filter(|node| *node != bridge).collect();
    let mut groups = halves(&others, Place::Anywhere, seed);
    for group in &mut groups {
        group.insert(bridge);
    }
    between(nodes, &groups)
}

/// A ring, drawn by chance, in which every node hears a majority, itself included, and no two hear
/// the same one. Of five nodes each sees its two neighbours. Where a majority is an even number,
/// as of three, one neighbour more is heard before than after, so that not all who are heard hear.
pub fn ring(nodes: &Group, seed: u64) -> BTreeSet<Link> {
    let order = shuffled(nodes, seed);
    let (count, majority) = (order.len(), order.len() / 2 + 1);
    let mut cut = BTreeSet::new();
    for (at, to) in order.iter().enumerate() {
        for step in majority..count {
            // The window of those heard begins majority / 2 places before the node itself.
            let from = order[(at + count - majority / 2 + step) % count];
            cut.insert(Link::new(from, *to));
        }
    }
    cut
}

/// Links that are cut one by one and healed one by one, in another order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swizzle {
    /// In the order in which they are cut.
    pub cut: Vec<Link>,
    /// The same, in the order in which they are healed.
    pub heal: Vec<Link>,
}

/// Some of the links, at least one if there is any, in two orders, all drawn by chance.
pub fn swizzle(links: &BTreeSet<Link>, seed: u64) -> Swizzle {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut cut: Vec<Link> = links.iter().copied().collect();
    cut.shuffle(&mut chance);
    if !cut.is_empty() {
        cut.truncate(rand::RngExt::random_range(&mut chance, 1..=cut.len()));
    }
    let mut heal = cut.clone();
    heal.shuffle(&mut chance);
    Swizzle { cut, heal }
}

fn filtered(nodes: &Group, is_cut: impl Fn(Link) -> bool) -> BTreeSet<Link> {
    let from = nodes.iter().flat_map(|from| nodes.iter().map(|to| Link::new(*from, *to)));
    from.filter(|link| link.from != link.to && is_cut(*link)).collect()
}

fn shuffled(nodes: &Group, seed: u64) -> Vec<u64> {
    let mut order: Vec<u64> = nodes.iter().copied().collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order
}

fn bring(order: &mut [u64], node: u64, to: usize) {
    if let Some(at) = order.iter().position(|it| *it == node) {
        order.swap(at, to);
    }
}
