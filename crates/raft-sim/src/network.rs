//! The network: each link in each direction has a delay, losses and randomness of its own, and may
//! be cut.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::NodeId;

use crate::rng::Rng;
use crate::scenario::{Fault, Scenario};
use crate::sometimes::{Mark, Sometimes};

/// All links.
pub struct Network {
    links: BTreeMap<(NodeId, NodeId), Link>,
    cut: BTreeSet<(NodeId, NodeId)>,
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
            cut: BTreeSet::new(),
            delay_us: scenario.delay_us,
            loss_permille: if scenario.has(Fault::Loss) { scenario.loss_permille } else { 0 },
            reorders: scenario.has(Fault::Reorder),
        }
    }

    /// When a message that leaves now arrives: never, once, or twice.
    pub fn arrivals(
        &mut self,
        now_us: u64,
        (from, to): (NodeId, NodeId),
        sometimes: &mut Sometimes,
    ) -> Vec<u64> {
        let Some(link) = self.links.get_mut(&(from, to)) else { return Vec::new() };
        let lost = link.rng.chance(self.loss_permille);
        if lost || self.cut.contains(&(from, to)) {
            sometimes.hit(Mark::MessageLost);
            return Vec::new();
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
            let mut at = now_us + link.rng.between(low, high);
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
        self.cut.contains(&(from, to))
    }

    /// Cuts a link in one direction.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.cut.insert((from, to));
    }

    /// Cuts all links between the two sides.
    pub fn partition(&mut self, side: &BTreeSet<NodeId>) {
        let crossing =
            self.links.keys().filter(|(from, to)| side.contains(from) != side.contains(to));
        self.cut.extend(crossing);
    }

    /// Mends all cuts.
    pub fn mend(&mut self) {
        self.cut.clear();
    }

    /// From now on nothing is lost, late or out of order.
    pub fn heal(&mut self) {
        self.mend();
        self.loss_permille = 0;
        self.reorders = false;
    }
}
