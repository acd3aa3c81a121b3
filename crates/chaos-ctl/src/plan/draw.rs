//! What a seed makes of a scenario.
//!
//! The stream is `ChaCha8`, seeded with `seed_from_u64(seed)`. Every fault takes six numbers from
//! it, whatever it is, in this order: the delay, the fault, the kind of target, the victim, how
//! long it lasts, and its shape. So a seed means the same on every machine, however the run went.

use std::time::Duration;

use raft_api::units::DurationRange;
use rand::Rng as _;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;

use super::fault::Fault;
use super::scenario::{Condition, Scenario, Step};
use super::target::weighted;

/// The next fault.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draw {
    /// Its number, from 0.
    pub(crate) number: u32,
    /// How long to wait for it.
    pub(crate) delay: Duration,
    /// What; nothing about it is left to chance but the victim.
    pub(crate) fault: Fault,
    /// What ends it before its time.
    pub(crate) until: Option<Condition>,
    /// Picks the victim among the nodes that qualify.
    pub(crate) lot: u64,
}

/// The faults that follow from a seed, without end if there are random ones.
#[derive(Debug)]
pub(crate) struct Plan {
    scenario: Scenario,
    stream: ChaCha8Rng,
    drawn: u32,
}

impl Plan {
    /// The faults of a scenario for a seed.
    pub(crate) fn new(scenario: Scenario, seed: u64) -> Self {
        Self { scenario, stream: ChaCha8Rng::seed_from_u64(seed), drawn: 0 }
    }

    /// The next of the random faults, if there are more.
    pub(crate) fn draw(&mut self) -> Option<Draw> {
        let random = self.scenario.random.clone()?;
        if self.scenario.rounds.is_some_and(|rounds| rounds <= self.drawn) {
            return None;
        }
        let delay = within(random.every, self.stream.next_u64());
        let weights: Vec<u32> = random.faults.iter().map(|step| step.weight).collect();
        let place = weighted(&weights, self.stream.next_u64())?;
        let step = random.faults.into_iter().nth(place)?;
        Some(self.settle(delay, step))
    }

    /// The faults of the schedule, in the order of their times.
    pub(crate) fn schedule(&mut self) -> Vec<Draw> {
        let mut steps = self.scenario.schedule.clone();
        steps.sort_by_key(|step| step.at);
        let mut draws = Vec::new();
        for step in steps {
            let (_delay, _kind) = (self.stream.next_u64(), self.stream.next_u64());
            let at = step.at.unwrap_or_default();
            draws.push(self.settle(at, step));
        }
        self.drawn = 0; // Only random faults count as rounds.
        draws
    }

    fn settle(&mut self, delay: Duration, step: Step) -> Draw {
        let (aim, lot) = (self.stream.next_u64(), self.stream.next_u64());
        let (time, shape) = (self.stream.next_u64(), self.stream.next_u64());
        let mut fault = step.fault;
        if let Some(target) = fault.target().map(|target| target.pick(aim)) {
            fault = fault.aimed_at(target.into());
        }
        if let Some(range) = fault.lasts() {
            fault = fault.lasting(within(range, time));
        }
        if let Fault::Partition(partition) = &mut fault {
            let count = u64::try_from(partition.shape.len()).unwrap_or(1);
            let place = usize::try_from(shape.checked_rem(count).unwrap_or(0)).unwrap_or_default();
            partition.shape = partition.shape.get(place).copied().into_iter().collect();
        }
        let number = self.drawn;
        self.drawn += 1;
        Draw { number, delay, fault, until: step.until, lot }
    }
}

/// The point of a range that a random number stands for, to the microsecond. Both ends belong to it.
pub(super) fn within(range: DurationRange, random: u64) -> Duration {
    let width = range.width().as_micros();
    let offset = (u128::from(random) * (width + 1)) >> 64;
    range.min() + Duration::from_micros(u64::try_from(offset).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIX: &str = "
version: 1
name: mix
shows: A mix.
rounds: 200
random:
  every: 1-2s
  faults:
    - {weight: 3, kill: {target: {leader: 1, follower: 1}, downtime: 1-5s}}
    - {weight: 1, partition: {shape: [isolate, ring, bridge], for: 3-10s}}
schedule:
  - {at: 9s, pause: {for: 1-4s}}
  - {at: 3s, pause: {for: 1-4s}}
";

    fn all(seed: u64) -> Vec<Draw> {
        let mut plan = Plan::new(Scenario::parse(MIX).unwrap(), seed);
        let mut all = plan.schedule();
        all.extend(std::iter::from_fn(|| plan.draw()));
        all
    }

    #[test]
    fn a_seed_means_one_plan() {
        assert_eq!(all(7), all(7));
        assert_ne!(all(7), all(8));
    }

    /// Pins the stream: a recorded seed must mean the same run in every later version.
    #[test]
    fn the_plan_of_a_seed_never_changes() {
        let draws = all(7);
        let seen: Vec<_> = draws[..4]
            .iter()
            .map(|draw| (draw.delay.as_micros(), draw.fault.kind(), draw.lot % 3))
            .collect();
        assert_eq!(
            seen,
            [
                (3_000_000, "pause", 0),
                (9_000_000, "pause", 1),
                (1_521_250, "partition", 2),
                (1_322_893, "kill", 1)
            ]
        );
    }

    #[test]
    fn rounds_weights_and_ranges_are_kept() {
        let draws = all(3);
        assert_eq!(draws.len(), 202);
        let random = &draws[2..];
        let kills = random.iter().filter(|draw| draw.fault.kind() == "kill").count();
        assert!((120..180).contains(&kills), "{kills} of 200 at 3 in 4");
        for draw in random {
            assert!(
                (1..=2).contains(&(draw.delay.as_micros() / 1_000_001))
                    || draw.delay.as_secs() == 1
            );
            let lasts = draw.fault.lasts().unwrap();
            assert_eq!(lasts.min(), lasts.max(), "nothing is left open");
            if let Fault::Partition(partition) = &draw.fault {
                assert_eq!(partition.shape.len(), 1);
            }
        }
        let numbers: Vec<u32> = random.iter().map(|draw| draw.number).collect();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    }
}
