//! One seed from its beginning to its verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lin_check::{
    Budget, History, Input, Judgement, OpId, Outcome, Output, Process, Verdict, judge,
};
use raft_core::{Instant, Payload};
use raft_kv::{Answer, Query};
use raft_replica::StateMachine as _;

use crate::client::text;
use crate::host::Host;
use crate::invariants::Violation;
use crate::plan::Plan;
use crate::sometimes::{Mark, Sometimes};
use crate::trace::Trace;
use crate::world::World;

/// What came of a seed.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The hash of all that happened.
    pub hash: u64,
    /// How many things happened.
    pub events: u64,
    /// How long it took, in simulated microseconds.
    pub simulated_us: u64,
    /// What happened how often.
    pub sometimes: Sometimes,
    /// What should never have happened, if it did.
    pub violation: Option<Violation>,
    /// The last lines of the trace.
    pub recent: Vec<String>,
}

/// Carries out a plan; every line of its trace also goes to `out`.
pub fn run(plan: Plan, out: Option<Box<dyn io::Write>>) -> Report {
    let seed = plan.scenario.seed;
    let mut world = World::new(plan, Trace::new(out));
    let ran = catch_unwind(AssertUnwindSafe(|| {
        world.run()?;
        judge_history(&mut world)
    }));
    let violation = match ran {
        Ok(result) => result.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let what = text.unwrap_or_else(|| "a panic without a message".to_owned());
            Some(Violation::named("no assertion fails")(what))
        }
    };
    Report {
        seed,
        hash: world.env.witness.trace.hash(),
        events: world.env.witness.trace.events(),
        simulated_us: world.env.now_us,
        sometimes: world.env.witness.sometimes,
        violation,
        recent: world.env.witness.trace.recent(),
    }
}

/// Whether what the clients saw is what one copy of the data would have shown them.
fn judge_history(world: &mut World) -> Result<(), Violation> {
    read_the_end(world);
    place_the_unknown(world);
    let Judgement { verdict, refusal, .. } = judge(&world.history, Budget::default());
    let (now_us, witness) = (world.env.now_us, &mut world.env.witness);
    match verdict {
        Verdict::Linearizable => {
            match refusal {
                None => {
                    witness.sometimes.hit(Mark::Certified);
                    let proof = "the history is linearizable: in the order of its indexes";
                    witness.trace.note(now_us, format_args!("{proof}"));
                }
                // A command may be in the log without effect, if its session had expired.
                Some(other) => witness.trace.note(
                    now_us,
                    format_args!(
                        "the history is linearizable: an order was searched for, and found, because \
                         that of the indexes is not one ({other})"
                    ),
                ),
            }
            Ok(())
        }
        Verdict::Violation(violation) => {
            Err(Violation::named("linearizability")(violation.to_string()))
        }
        Verdict::Undecided { .. } => Err(Violation::named("linearizability")(verdict.to_string())),
    }
}

/// Every member has applied everything by now: what each holds is what a reader would get.
fn read_the_end(world: &mut World) {
    for id in world.env.witness.ledger.membership().members() {
        let Some(replica) = world.hosts.get(&id).and_then(Host::replica) else { continue };
        let applied = replica.status(Instant(0)).applied;
        for number in 1..=world.env.scenario.keys {
            let key = format!("k{number}");
            let query = Query::Get { key: key.clone().into() }.encode();
            let answer = replica.machine().query(&query).expect("a sound query");
            let Ok(Answer::Value(value)) = Answer::decode(&answer) else {
                panic!("the store did not answer with a value");
            };
            let now_ns = world.env.now_us * 1_000;
            let op = world.history.invoke(Process(1_000 + id.0), key, Input::Get, now_ns);
            world.history.ok(op, Output::Value(value.as_ref().map(text)), now_ns);
            world.history.place(op, applied.0);
        }
    }
}

/// The log knows which of the writes nobody heard about may have taken effect, and where. A command
/// stands at the end of its entry, behind a head of one of two lengths. It may stand there without
/// effect, if its session had expired: what nobody has seen anything of is left out. If this guesses
/// wrong, the certificate fails, and the search decides without it.
fn place_the_unknown(world: &mut World) {
    const HEADS: [usize; 2] = [9, 33];
    let seen = seen_values(&world.history);
    let (mut in_log, mut unseen) = (BTreeSet::new(), Vec::new());
    for committed in world.env.witness.ledger.all_committed() {
        let Payload::Data(data) = &committed.entry.payload else { continue };
        let command = |head: &usize| data.get(*head..).map(|_| data.slice(*head..));
        let op = HEADS.iter().filter_map(command).find_map(|command| world.commands.get(&command));
        let Some(&op) = op else { continue };
        let operation = &world.history.operations()[op.0];
        if operation.outcome == Outcome::Unknown && in_log.insert(op) {
            world.env.witness.sometimes.hit(Mark::UnknownTookEffect);
            let index = committed.entry.id.index.0;
            if written(&operation.input).is_some_and(|value| seen.contains(value)) {
                world.history.place(op, index);
            } else {
                unseen.push((index, op));
            }
        }
    }
    place_the_first(&mut world.history, &unseen);
    let unknown =
        |it: &&lin_check::Operation| it.outcome == Outcome::Unknown && it.input != Input::Get;
    let unknown = world.history.operations().iter().filter(unknown).count();
    let vain = unknown.saturating_sub(in_log.len());
    world.env.witness.sometimes.add(Mark::UnknownWithoutEffect, vain as u64);
}

/// Somebody may have found a key to hold something, without seeing what: a write that nobody saw came
/// before that. Which one of them does not matter.
fn place_the_first(history: &mut History, unseen: &[(u64, OpId)]) {
    let mut first: BTreeMap<&str, (u64, bool)> = BTreeMap::new();
    for operation in history.operations() {
        let found = match &operation.outcome {
            Outcome::Ok(Output::Put { replaced }) => *replaced,
            Outcome::Ok(Output::Swapped) | Outcome::Unknown => false,
            Outcome::Ok(_) | Outcome::Fail => continue,
        };
        if let Some(index) = operation.index.filter(|_| operation.input != Input::Get) {
            let earliest = first.entry(&operation.key).or_insert((index, found));
            *earliest = (index, found).min(*earliest);
        }
    }
    let came_before = |&&(index, op): &&(u64, OpId)| {
        let key = &*history.operations()[op.0].key;
        first.get(key).is_some_and(|&(earliest, found)| found && index < earliest)
    };
    let mut last: BTreeMap<String, (u64, OpId)> = BTreeMap::new();
    for &(index, op) in unseen.iter().filter(came_before) {
        last.insert(history.operations()[op.0].key.clone(), (index, op));
    }
    for (index, op) in last.into_values() {
        history.place(op, index);
    }
}

/// What a write leaves behind. No two write the same.
fn written(input: &Input) -> Option<&String> {
    match input {
        Input::Put { value } => Some(value),
        Input::Cas { value, .. } => value.as_ref(),
        Input::Get | Input::Range { .. } | Input::Delete => None,
    }
}

/// All values that must have been there at some time, because somebody has seen them or what followed
/// from them.
fn seen_values(history: &History) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for operation in history.operations() {
        match (&operation.input, &operation.outcome) {
            (_, Outcome::Ok(Output::Value(Some(value)) | Output::DiffersFrom(Some(value))))
            | (Input::Cas { expected: Some(value), .. }, Outcome::Ok(Output::Swapped)) => {
                seen.insert(value.clone());
            }
            _ => (),
        }
    }
    // A swap that took effect found what it expected.
    loop {
        let before = seen.len();
        for operation in history.operations() {
            if let Input::Cas { expected: Some(expected), value: Some(value) } = &operation.input
                && operation.outcome == Outcome::Unknown
                && seen.contains(value)
            {
                seen.insert(expected.clone());
            }
        }
        if seen.len() == before {
            return seen;
        }
    }
}
