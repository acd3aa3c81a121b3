//! What a seed brings about, and when.

use std::collections::BTreeSet;

use raft_core::NodeId;

use super::{Act, Kind, Plan, Planned, Recovery, Who};
use crate::rng::Rng;
use crate::scenario::{Fault, Scenario};
use crate::word::{Salt, Span};

/// What the operator wishes for, and how often.
const WISHES: &[Kind] = &[
    Kind::AddLearner,
    Kind::AddVoter,
    Kind::AddVoter,
    Kind::Remove,
    Kind::Remove,
    Kind::RemoveLeader,
    Kind::Promote,
    Kind::Demote,
    Kind::Replace,
    Kind::Replace,
    Kind::Anything,
];

impl Plan {
    /// What `seed` means.
    pub fn draw(seed: u64) -> Self {
        Self::of(Scenario::draw(seed))
    }

    /// What happens in a scenario, by its seed.
    pub fn of(scenario: Scenario) -> Self {
        let mut nemesis = Rng::stream(scenario.seed, "nemesis");
        let mut acts = Vec::new();
        mishaps(&scenario, &mut nemesis, &mut acts);
        wishes(&scenario, &mut acts);
        acts.sort_by_key(|planned| planned.at);
        let recovery = if nemesis.chance(500) {
            Recovery::Majority { salt: Salt(nemesis.draw()), down: nemesis.chance(500) }
        } else {
            Recovery::All
        };
        Self { scenario, acts, recovery }
    }
}

/// Calls `draw` with times that are `gap_us` apart on average.
fn each(rng: &mut Rng, scenario: &Scenario, gap_us: u64, mut draw: impl FnMut(&mut Rng, u64)) {
    let mut at_us = gap_us;
    while at_us < scenario.faults_us {
        draw(rng, at_us);
        at_us += rng.between(gap_us / 10, gap_us * 2).max(1);
    }
}

fn mishaps(scenario: &Scenario, rng: &mut Rng, acts: &mut Vec<Planned>) {
    let classes: Vec<Fault> =
        scenario.faults.iter().copied().filter(|fault| !fault.is_constant()).collect();
    if classes.is_empty() {
        return;
    }
    let ids = scenario.ids();
    each(rng, scenario, scenario.fault_gap_us, |rng, at_us| {
        let fault = rng.pick(&classes);
        if fault == Fault::Swizzle {
            return swizzle(rng, &ids, at_us, acts);
        }
        let act = mishap(rng, scenario, &ids, fault);
        // A new disk may be too small for a while.
        let small = match act {
            Some(Act::DiskLost { who, .. }) if scenario.has(Fault::Full) && rng.chance(400) => {
                Some(Act::Full { who, room: 0, lasts: Span(rng.between(500_000, 3_000_000)) })
            }
            _ => None,
        };
        acts.extend(act.into_iter().chain(small).map(|act| Planned { at: Span(at_us), act }));
    });
}

fn mishap(rng: &mut Rng, scenario: &Scenario, ids: &[NodeId], fault: Fault) -> Option<Act> {
    let someone = |rng: &mut Rng| Who::Node(rng.pick(ids));
    let who = if rng.chance(400) { Who::Leader } else { someone(rng) };
    let span = |rng: &mut Rng, low, high| Span(rng.between(low, high));
    let while_down = |rng: &mut Rng| span(rng, 1_000, 1_500_000);
    let while_cut = |rng: &mut Rng| span(rng, 50_000, 2_000_000);
    Some(match fault {
        Fault::Power => Act::Power { who, down: while_down(rng) },
        Fault::Kill => Act::Kill { who, down: while_down(rng) },
        Fault::AllDown => Act::AllDown { salt: Salt(rng.draw()) },
        Fault::Fuse => Act::Fuse { who, changes: rng.between(0, 12) },
        Fault::SyncError => Act::SyncError { who, stays: rng.chance(500) },
        Fault::WriteError => Act::WriteError { who, after: rng.between(0, 12) },
        Fault::ReadError => Act::ReadError { who, after: rng.between(0, 40) },
        Fault::Full => {
            let room = rng.pick(&[0, 0, 600, 10_000, 40_000]);
            Act::Full { who, room, lasts: span(rng, 100_000, 3_000_000) }
        }
        Fault::Rot => Act::Rot { who, salt: Salt(rng.draw()) },
        Fault::DiskLost => Act::DiskLost { who, down: while_down(rng) },
        Fault::Pause => Act::Pause { who, lasts: span(rng, 10_000, 1_500_000) },
        Fault::Partition => {
            let side = ids.iter().copied().filter(|_| rng.chance(500)).collect();
            Act::Partition { side, lasts: while_cut(rng) }
        }
        Fault::Cut if rng.chance(500) => Act::CutOff { who, lasts: while_cut(rng) },
        Fault::Cut => {
            let other = someone(rng);
            let (from, to) = if rng.chance(500) { (who, other) } else { (other, who) };
            Act::Cut { from, to, lasts: while_cut(rng) }
        }
        Fault::Clog => Act::Clog { who, lasts: span(rng, 10_000, 1_500_000) },
        Fault::SlowDisk => {
            let times = rng.pick(&[5, 20, 100]);
            Act::Slow { who, times, lasts: span(rng, 100_000, 1_000_000) }
        }
        Fault::Stall => Act::Stall { who, lasts: span(rng, 10_000, scenario.election_us() * 4) },
        Fault::FalseHint => Act::FalseHint { told: someone(rng), of: who },
        Fault::Swizzle | Fault::Loss | Fault::Reorder | Fault::Drift => return None,
    })
}

/// Clogs some of them one after the other, and lets them go in any order.
fn swizzle(rng: &mut Rng, ids: &[NodeId], at_us: u64, acts: &mut Vec<Planned>) {
    let some: BTreeSet<NodeId> = ids.iter().copied().filter(|_| rng.chance(600)).collect();
    let mut at_us = at_us;
    let from_us = at_us + 1_000_000;
    for id in some {
        let until_us = from_us + rng.between(0, 1_500_000);
        let lasts = Span(until_us.saturating_sub(at_us).max(1_000));
        acts.push(Planned { at: Span(at_us), act: Act::Clog { who: Who::Node(id), lasts } });
        at_us += rng.between(10_000, 400_000);
    }
}

fn wishes(scenario: &Scenario, acts: &mut Vec<Planned>) {
    let mut rng = Rng::stream(scenario.seed, "operator");
    let habits = scenario.habits;
    each(&mut rng, scenario, habits.gap_us, |rng, at_us| {
        let salt = Salt(rng.draw());
        let act = if rng.chance(300) {
            habits.transfers.then_some(Act::Lead { salt })
        } else if !habits.changes {
            None
        } else if rng.chance(250) {
            Some(Act::PutAway { salt })
        } else {
            Some(Act::Wish { kind: rng.pick(WISHES), salt })
        };
        acts.extend(act.map(|act| Planned { at: Span(at_us), act }));
    });
}
