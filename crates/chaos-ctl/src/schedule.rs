//! When which node is taken down, and for how long: a pure function of the seed.
//!
//! The stream is `ChaCha8`, seeded with `seed_from_u64(seed)`. Every fault takes three numbers from
//! it, whatever the target is: the delay before it, the downtime, and the lot that picks among the
//! nodes that qualify. So the same seed gives the same delays, downtimes and lots, on every
//! machine, however the run went. Who leads at that moment is the cluster's business.

use std::time::Duration;

use raft_api::units::DurationRange;
use rand::Rng as _;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;

use crate::NodeId;

/// Who may be hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// Any node.
    Any,
    /// Whoever leads at that moment.
    Leader,
    /// Anybody but the leader.
    Follower,
}

/// What is done to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Act {
    /// SIGKILL, and a new start after the downtime.
    Kill,
    /// SIGSTOP, and SIGCONT after the downtime.
    Pause,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Who may be hit.
    pub target: Target,
    /// From the moment the cluster is whole to the next fault.
    pub interval: DurationRange,
    /// From a kill to the restart.
    pub downtime: DurationRange,
    /// The delay before the first fault, if it is not to be drawn.
    pub first: Option<Duration>,
    /// What is done, one of these drawn each time; SIGKILL if there are none.
    pub acts: Vec<Act>,
    /// How many faults, if there is an end to them.
    pub most: Option<u64>,
}

/// The next fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Its number, from 1.
    pub number: u64,
    /// How long to wait once the cluster is whole.
    pub delay: Duration,
    /// How long the node stays down.
    pub downtime: Duration,
    /// Picks one of the nodes that qualify: lot modulo their number.
    pub lot: u64,
}

/// The faults of a run, one after the other, without end.
#[derive(Debug)]
pub struct Schedule {
    plan: Plan,
    stream: ChaCha8Rng,
    drawn: u64,
    done: u64,
}

impl Schedule {
    /// The faults that follow from a plan.
    pub fn new(plan: Plan) -> Self {
        let stream = ChaCha8Rng::seed_from_u64(plan.seed);
        Self { plan, stream, drawn: 0, done: 0 }
    }

    /// What was asked for.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// One more was done. A fault that is drawn may never come.
    pub fn count(&mut self) {
        self.done += 1;
    }

    /// Whether all faults that were asked for have been done.
    pub fn is_over(&self) -> bool {
        self.plan.most.is_some_and(|most| most <= self.done)
    }

    /// What a draw does.
    pub fn act(&self, draw: &Draw) -> Act {
        let acts = &self.plan.acts;
        // The lower half of the lot picks the node.
        let count = u64::try_from(acts.len()).unwrap_or(u64::MAX);
        let place = (draw.lot >> 32).checked_rem(count).unwrap_or(0);
        usize::try_from(place).ok().and_then(|place| acts.get(place)).copied().unwrap_or(Act::Kill)
    }

    /// The delay before the first fault.
    pub fn first_delay(&self) -> Duration {
        Self::new(self.plan.clone()).draw().delay
    }

    /// Draws the next fault.
    pub fn draw(&mut self) -> Draw {
        let delay = within(self.plan.interval, self.stream.next_u64());
        let downtime = within(self.plan.downtime, self.stream.next_u64());
        let lot = self.stream.next_u64();
        self.drawn += 1;
        let first = self.plan.first.filter(|_| self.drawn == 1);
        Draw { number: self.drawn, delay: first.unwrap_or(delay), downtime, lot }
    }
}

/// The point of a range that a random number stands for, to the microsecond. Both ends belong to it.
fn within(range: DurationRange, random: u64) -> Duration {
    let width = range.width().as_micros();
    let offset = (u128::from(random) * (width + 1)) >> 64;
    range.min() + Duration::from_micros(u64::try_from(offset).unwrap_or(u64::MAX))
}

/// Picks the node to hit, of all nodes in the order of their ids. `None` if nobody qualifies:
/// without a leader there is no telling who is one, and who is not.
pub fn choose(
    target: Target,
    lot: u64,
    nodes: &[NodeId],
    leader: Option<NodeId>,
) -> Option<NodeId> {
    let qualify: Vec<NodeId> = match target {
        Target::Any => nodes.to_vec(),
        Target::Leader => leader.into_iter().collect(),
        Target::Follower => {
            let leader = leader?;
            nodes.iter().copied().filter(|&node| node != leader).collect()
        }
    };
    let count = u64::try_from(qualify.len()).expect("a cluster is small");
    let place = usize::try_from(lot.checked_rem(count)?).expect("below the number of nodes");
    qualify.get(place).copied()
}

/// How many of so many nodes may be down while the others still are a majority.
pub fn down_max(nodes: usize) -> usize {
    nodes.saturating_sub(1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(min: u64, max: u64) -> DurationRange {
        DurationRange::new(Duration::from_secs(min), Duration::from_secs(max)).unwrap()
    }

    fn plan(seed: u64, target: Target) -> Plan {
        let (interval, downtime) = (seconds(15, 30), seconds(1, 5));
        Plan { seed, target, interval, downtime, first: None, acts: Vec::new(), most: None }
    }

    #[test]
    fn every_act_is_drawn_and_the_faults_end() {
        let acts = vec![Act::Kill, Act::Pause];
        let mut schedule = Schedule::new(Plan { acts, most: Some(2), ..plan(7, Target::Any) });
        let draws = first(Schedule::new(plan(7, Target::Any)), 100);
        let pauses = draws.iter().filter(|draw| schedule.act(draw) == Act::Pause).count();
        assert!((30..70).contains(&pauses), "{pauses}");
        let killing = Schedule::new(plan(7, Target::Any));
        assert!(draws.iter().all(|draw| killing.act(draw) == Act::Kill));
        for over in [false, false, true] {
            assert_eq!(schedule.is_over(), over);
            schedule.count();
        }
    }

    fn first(schedule: Schedule, count: usize) -> Vec<Draw> {
        let mut schedule = schedule;
        (0..count).map(|_| schedule.draw()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_seed_gives_others() {
        let once = first(Schedule::new(plan(7, Target::Any)), 100);
        let again = first(Schedule::new(plan(7, Target::Leader)), 100);
        let other = first(Schedule::new(plan(8, Target::Any)), 100);
        assert_eq!(once, again);
        assert_ne!(once, other);
    }

    /// Pins the stream: a recorded seed must mean the same run in every later version.
    #[test]
    fn the_stream_of_a_seed_never_changes() {
        let draws = first(Schedule::new(plan(7, Target::Any)), 2);
        let seen: Vec<_> = draws
            .iter()
            .map(|d| (d.delay.as_micros(), d.downtime.as_micros(), d.lot % 3))
            .collect();
        assert_eq!(seen, [(17_366_941, 1_671_957, 0), (25_901_120, 3_405_036, 2)]);
    }

    #[test]
    fn draws_stay_in_their_ranges_and_reach_all_of_them() {
        for seed in 0..50 {
            let draws = first(Schedule::new(plan(seed, Target::Any)), 200);
            let (least, most) = (Duration::from_secs(15), Duration::from_secs(30));
            assert!(draws.iter().all(|draw| least <= draw.delay && draw.delay <= most));
            assert!(draws.iter().any(|draw| draw.delay < Duration::from_secs(17)));
            assert!(draws.iter().any(|draw| Duration::from_secs(28) < draw.delay));
            assert!(draws.iter().all(|draw| draw.downtime <= Duration::from_secs(5)));
        }
    }

    #[test]
    fn the_ends_of_a_range_belong_to_it() {
        let range = seconds(2, 4);
        assert_eq!(within(range, 0), Duration::from_secs(2));
        assert_eq!(within(range, u64::MAX), Duration::from_secs(4));
        assert_eq!(within(seconds(3, 3), u64::MAX / 2), Duration::from_secs(3));
    }

    #[test]
    fn a_given_first_delay_replaces_the_first_draw_and_no_other() {
        let drawn = first(Schedule::new(plan(7, Target::Any)), 3);
        let given = Plan { first: Some(Duration::from_secs(5)), ..plan(7, Target::Any) };
        let given = first(Schedule::new(given), 3);
        assert_eq!(given[0], Draw { delay: Duration::from_secs(5), ..drawn[0].clone() });
        assert_eq!(given[1..], drawn[1..]);
    }

    #[test]
    fn targets_are_who_they_say() {
        let nodes = [NodeId(1), NodeId(2), NodeId(3)];
        let leader = Some(NodeId(2));
        for lot in 0..30 {
            assert_eq!(choose(Target::Leader, lot, &nodes, leader), leader);
            assert_ne!(choose(Target::Follower, lot, &nodes, leader), leader);
            assert!(choose(Target::Any, lot, &nodes, None).is_some());
            assert_eq!(choose(Target::Leader, lot, &nodes, None), None);
            assert_eq!(choose(Target::Follower, lot, &nodes, None), None);
        }
        let picked = (0..3).filter_map(|lot| choose(Target::Any, lot, &nodes, None));
        assert_eq!(picked.collect::<Vec<_>>(), nodes);
    }

    #[test]
    fn a_majority_always_stays() {
        let allowed = [(0, 0), (1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (7, 3)];
        for (nodes, down) in allowed {
            assert_eq!(down_max(nodes), down, "of {nodes}");
        }
    }
}
