//! The network: each link in each direction has a delay, losses and randomness of its own, and may
//! be cut.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::NodeId;

use crate::rng::Rng;
use crate::scenario::{Fault, Scenario};
use crate::sometimes::{Mark, Sometimes};

/// From where to where.
pub type Path = (NodeId, NodeId);

/// All links.
pub struct Network {
    links: BTreeMap<Path, Link>,
    /// How many cuts there are of each link that has any.
    cut: BTreeMap<Path, u64>,
    /// Until when what a node sends and is sent has to wait.
    clogged_until: BTreeMap<NodeId, u64>,
    delay_us: (u64, u64),
    loss_permille: u64,
    reorders: bool,
}

struct Link {
    rng: Rng,
    /// When the last message arrives.
    last_us: u64,
}

impl Network {
    /// The links between all nodes.
    pub fn new(scenario: &Scenario) -> Self {
        let ids = scenario.ids();
        let link = |from, to| {
            let rng = Rng::stream(scenario.seed, &format!("link {from} {to}"));
            ((from, to), Link { rng, last_us: 0 })
        };
        Self {
            links: ids
                .iter()
                .flat_map(|&from| ids.iter().map(move |&to| (from, to)))
                .map(|(from, to)| link(from, to))
                .collect(),
            cut: BTreeMap::new(),
            clogged_until: BTreeMap::new(),
            delay_us: scenario.delay_us,
            loss_permille: if scenario.has(Fault::Loss) { scenario.loss_permille } else { 0 },
            reorders: scenario.has(Fault::Reorder),
        }
    }

    /// When a message that leaves now arrives: never, once, or twice.
    pub fn arrivals(
        &mut self,
        now_us: u64,
        (from, to): Path,
        sometimes: &mut Sometimes,
    ) -> Vec<u64> {
        let Some(link) = self.links.get_mut(&(from, to)) else { return Vec::new() };
        let lost = link.rng.chance(self.loss_permille);
        if lost || self.cut.contains_key(&(from, to)) {
            sometimes.hit(Mark::MessageLost);
            return Vec::new();
        }
        let clogged = [from, to].iter().filter_map(|id| self.clogged_until.get(id)).max();
        let passes_us = clogged.copied().unwrap_or_default();
        if now_us < passes_us {
            sometimes.hit(Mark::MessageHeldUp);
        }
        let copies = if link.rng.chance(self.loss_permille) { 2 } else { 1 };
        if copies == 2 {
            sometimes.hit(Mark::MessageDuplicated);
        }
        let mut arrivals = Vec::with_capacity(copies);
        for _ in 0..copies {
            let (low, high) = self.delay_us;
            // Most messages are quick; some are late by much.
            let high = if link.rng.chance(100) { high * 4 } else { high };
            let mut at = now_us.max(passes_us) + link.rng.between(low, high);
            if self.reorders {
                if at < link.last_us {
                    sometimes.hit(Mark::MessageReordered);
                }
            } else {
                at = at.max(link.last_us);
            }
            link.last_us = link.last_us.max(at);
            arrivals.push(at);
        }
        arrivals
    }

    /// Whether nothing gets from one to the other.
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.contains_key(&(from, to))
    }

    /// Cuts these links.
    pub fn cut(&mut self, links: &[Path]) {
        for &link in links {
            *self.cut.entry(link).or_default() += 1;
        }
    }

    /// Mends a cut of each of these links. One that was cut twice is still cut.
    pub fn mend(&mut self, links: &[Path]) {
        for link in links {
            if let Some(cuts) = self.cut.get_mut(link) {
                *cuts -= 1;
            }
        }
        self.cut.retain(|_, cuts| 0 < *cuts);
    }

    /// All links between the two sides.
    pub fn crossing(&self, side: &BTreeSet<NodeId>) -> Vec<Path> {
        let crosses = |(from, to): &&Path| side.contains(from) != side.contains(to);
        self.links.keys().filter(crosses).copied().collect()
    }

    /// What a node sends and is sent arrives after `until_us`.
    pub fn clog(&mut self, id: NodeId, until_us: u64) {
        let until = self.clogged_until.entry(id).or_default();
        *until = until_us.max(*until);
    }

    /// From now on nothing is lost, late or out of order.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.clogged_until.clear();
        self.loss_permille = 0;
        self.reorders = false;
    }
}
