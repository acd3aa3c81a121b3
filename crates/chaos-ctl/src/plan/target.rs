//! Whom a fault hits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::NodeId;

/// Whom: by what they are at that moment, or by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// Any node.
    Any,
    /// Whoever leads.
    Leader,
    /// Any node but the leader.
    Follower,
    /// As many nodes as can be missed, chosen at random.
    Minority,
    /// As many as are too many to be missed, chosen at random.
    Majority,
    /// All nodes.
    All,
    /// One node after the other, from fault to fault, in the order of their ids.
    Next,
    /// These.
    Nodes(BTreeSet<NodeId>),
}

/// One kind of target, or several, of which one is drawn by weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Aim {
    /// Always this one.
    One(Target),
    /// One of these: `{leader: 60, follower: 40}`.
    Weighted(BTreeMap<Target, u32>),
}

impl From<Target> for Aim {
    fn from(target: Target) -> Self {
        Self::One(target)
    }
}

impl Aim {
    /// The target that a random number stands for.
    pub(crate) fn pick(&self, random: u64) -> Target {
        match self {
            Self::One(target) => target.clone(),
            Self::Weighted(weights) => {
                let weights: Vec<u32> = weights.values().copied().collect();
                let place = weighted(&weights, random);
                self.nth(place).unwrap_or(Target::Any)
            }
        }
    }

    fn nth(&self, place: Option<usize>) -> Option<Target> {
        match self {
            Self::One(target) => Some(target.clone()),
            Self::Weighted(weights) => weights.keys().nth(place?).cloned(),
        }
    }

    /// The nodes that it names.
    pub(crate) fn named(&self) -> BTreeSet<NodeId> {
        let targets: Vec<&Target> = match self {
            Self::One(target) => vec![target],
            Self::Weighted(weights) => weights.keys().collect(),
        };
        let named = targets.into_iter().filter_map(|target| match target {
            Target::Nodes(nodes) => Some(nodes),
            _ => None,
        });
        named.flatten().copied().collect()
    }

    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Weighted(weights) if weights.values().all(|weight| *weight == 0) => {
                Err("no target has a weight above 0".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// The place of the weight that a random number falls on; nothing if all are 0.
pub(crate) fn weighted(weights: &[u32], random: u64) -> Option<usize> {
    let total: u64 = weights.iter().copied().map(u64::from).sum();
    let mut left = random.checked_rem(total)?;
    for (place, weight) in weights.iter().copied().map(u64::from).enumerate() {
        if left < weight {
            return Some(place);
        }
        left -= weight;
    }
    None
}

/// Who there is to choose from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    /// The nodes that qualify, in the order of their ids.
    pub(crate) nodes: &'a [NodeId],
    /// Who leads, if that is known.
    pub(crate) leader: Option<NodeId>,
    /// Which of the faults this is, from 0.
    pub(crate) turn: u64,
    /// Decides what is left to chance.
    pub(crate) lot: u64,
}

impl Target {
    /// The nodes that it means. Empty if nobody qualifies: without a leader there is no telling who
    /// is one, and who is not.
    pub(crate) fn resolve(&self, choice: &Choice<'_>) -> BTreeSet<NodeId> {
        let Choice { nodes, leader, turn, lot } = *choice;
        let one = |from: &[NodeId], number: u64| {
            let count = u64::try_from(from.len()).unwrap_or(u64::MAX);
            let place = number.checked_rem(count).and_then(|place| usize::try_from(place).ok());
            place.and_then(|place| from.get(place)).copied().into_iter().collect()
        };
        match self {
            Self::Any => one(nodes, lot),
            Self::Next => one(nodes, turn),
            Self::Leader => leader.into_iter().filter(|leader| nodes.contains(leader)).collect(),
            Self::Follower => match leader {
                Some(leader) => {
                    let rest: Vec<NodeId> =
                        nodes.iter().copied().filter(|node| *node != leader).collect();
                    one(&rest, lot)
                }
                None => BTreeSet::new(),
            },
            Self::Minority => some(nodes, nodes.len().saturating_sub(1) / 2, lot),
            Self::Majority => some(nodes, nodes.len() / 2 + 1, lot),
            Self::All => nodes.iter().copied().collect(),
            Self::Nodes(named) => {
                nodes.iter().copied().filter(|node| named.contains(node)).collect()
            }
        }
    }
}

/// So many of the nodes, as the lot decides.
fn some(nodes: &[NodeId], count: usize, lot: u64) -> BTreeSet<NodeId> {
    let mut left = nodes.to_vec();
    let mut lot = lot;
    let mut chosen = BTreeSet::new();
    while chosen.len() < count && !left.is_empty() {
        let length = u64::try_from(left.len()).unwrap_or(u64::MAX);
        let place = usize::try_from(lot % length).unwrap_or_default();
        lot /= length;
        chosen.insert(left.remove(place));
    }
    chosen
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Leader => f.write_str("leader"),
            Self::Follower => f.write_str("follower"),
            Self::Minority => f.write_str("minority"),
            Self::Majority => f.write_str("majority"),
            Self::All => f.write_str("all"),
            Self::Next => f.write_str("next"),
            Self::Nodes(nodes) => {
                let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
                f.write_str(&names.join(","))
            }
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.trim() {
            "any" => Self::Any,
            "leader" => Self::Leader,
            "follower" => Self::Follower,
            "minority" => Self::Minority,
            "majority" => Self::Majority,
            "all" => Self::All,
            "next" => Self::Next,
            list => {
                let parts = list.split(',').map(str::trim);
                let ids = parts.map(|part| {
                    let digits = part.strip_prefix('n').unwrap_or(part);
                    digits.parse::<u64>().ok().filter(|id| 0 < *id).map(NodeId).ok_or_else(|| {
                        format!(
                            "`{part}` is no target: write leader, follower, any, minority, majority, \
                             all, next, or nodes as in 1,3 or n1"
                        )
                    })
                });
                Self::Nodes(ids.collect::<Result<_, _>>()?)
            }
        })
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(u64),
            Text(String),
        }
        let text = match Raw::deserialize(deserializer)? {
            Raw::Number(number) => number.to_string(),
            Raw::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u64]) -> BTreeSet<NodeId> {
        numbers.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn targets_read_what_they_show() {
        let all = ["any", "leader", "follower", "minority", "majority", "all", "next", "n1,n3"];
        for text in all {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!("1, n3".parse(), Ok(Target::Nodes(ids(&[1, 3]))));
        for wrong in ["", "n0", "first", "1,,2", "n-1"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn targets_are_who_they_say() {
        let nodes: Vec<NodeId> = (1..=5).map(NodeId).collect();
        for lot in 0..200 {
            let choice = |leader: Option<u64>| Choice {
                nodes: &nodes,
                leader: leader.map(NodeId),
                turn: lot,
                lot,
            };
            let led = choice(Some(2));
            assert_eq!(Target::Leader.resolve(&led), ids(&[2]));
            assert_eq!(Target::Leader.resolve(&choice(None)), ids(&[]));
            assert_eq!(Target::Follower.resolve(&choice(None)), ids(&[]));
            assert!(!Target::Follower.resolve(&led).contains(&NodeId(2)));
            assert_eq!(Target::Follower.resolve(&led).len(), 1);
            assert_eq!(Target::Minority.resolve(&led).len(), 2);
            assert_eq!(Target::Majority.resolve(&led).len(), 3);
            assert_eq!(Target::All.resolve(&led).len(), 5);
            assert_eq!(Target::Next.resolve(&led), ids(&[lot % 5 + 1]));
        }
        let minorities: BTreeSet<_> = (0..200)
            .map(|lot| {
                Target::Minority.resolve(&Choice { nodes: &nodes, leader: None, turn: 0, lot })
            })
            .collect();
        assert_eq!(minorities.len(), 10, "every pair of five is drawn");
    }

    #[test]
    fn weights_are_shares() {
        let aim: Aim = serde_yaml::from_str("{leader: 60, follower: 40}").unwrap();
        let leaders = (0..100).filter(|random| aim.pick(*random) == Target::Leader).count();
        assert_eq!(leaders, 60);
        assert!(serde_yaml::from_str::<Aim>("{leader: 0}").unwrap().check().is_err());
        assert_eq!(serde_yaml::from_str::<Aim>("3").unwrap(), Target::Nodes(ids(&[3])).into());
    }
}
