//! What is claimed of messages and nodes when they are left out of a search, tried out: in every state
//! of a node that the search met, with every message it met.

use std::collections::BTreeMap;

use raft_core::RoleName;

use super::Violation;
use super::action::{Action, Kind};
use super::bits::Bits;
use super::search::Search;
use super::spent::Campaigns;
use super::tables::{Number, Tables};

/// Tries out all claims. Answers how many there were.
pub(super) fn audit(search: &mut Search) -> Result<u64, Violation> {
    let tables = &mut search.tables;
    let (machines, ..) = tables.sizes();
    let machines = 0..Number::try_from(machines).expect("numbers are small");
    let (mut tried, mut answers) = (0, BTreeMap::new());
    for machine in machines {
        tried += try_spent(tables, machine, &mut answers)?;
        tried += try_doomed(tables, machine)?;
    }
    for (before, action, outcome) in tables.happenings() {
        tried += try_step(tables, before, action, outcome)?;
    }
    Ok(tried)
}

/// A spent message changes nothing, and its answer is the same in all states.
fn try_spent(
    tables: &mut Tables,
    machine: Number,
    answers: &mut BTreeMap<Number, Vec<Number>>,
) -> Result<u64, Violation> {
    let mut claims = tables.said(machine, Campaigns::AreOver);
    claims.extend(&tables.said(machine, Campaigns::MayBegin));
    let mut tried = 0;
    for message in claims.iter() {
        let (after, sent) = deliver(tables, machine, message)?;
        let is_heard = !tables.sight(machine).is_doomed;
        if after != machine {
            return Err(wrong(tables, "a spent message changes a node", machine, message));
        }
        if is_heard && *answers.entry(message).or_insert_with(|| sent.clone()) != sent {
            return Err(wrong(tables, "a spent message has a new answer", machine, message));
        }
        tried += 1;
    }
    Ok(tried)
}

/// A node that keeps nothing any more, and neither leads nor asks for an election, says nothing.
fn try_doomed(tables: &mut Tables, machine: Number) -> Result<u64, Violation> {
    let is_mute = |tables: &Tables, machine| {
        let sight = tables.sight(machine);
        sight.is_doomed && matches!(sight.role, RoleName::Follower | RoleName::Candidate)
    };
    if !is_mute(tables, machine) {
        return Ok(0);
    }
    let mut tried = 0;
    for message in messages_to(tables, machine).iter() {
        let (after, sent) = deliver(tables, machine, message)?;
        if !sent.is_empty() || !is_mute(tables, after) {
            return Err(wrong(tables, "a node without a disk is heard", machine, message));
        }
        tried += 1;
    }
    Ok(tried)
}

/// What is spent stays so after anything that can happen.
fn try_step(
    tables: &mut Tables,
    before: Number,
    action: Action,
    outcome: Number,
) -> Result<u64, Violation> {
    let outcome = tables.outcome(outcome);
    let (after, said) = (outcome.machine, outcome.sent.clone());
    let mut tried = 0;
    for campaigns in [Campaigns::MayBegin, Campaigns::AreOver] {
        if campaigns == Campaigns::AreOver && action.kind == Kind::Timeout {
            continue;
        }
        let (claims, still) = (tables.said(before, campaigns), tables.said(after, campaigns));
        for message in claims.iter() {
            if !still.has(message) {
                return Err(wrong(tables, "a spent message comes to life", after, message));
            }
            tried += 1;
        }
    }
    // Unless the node crashes.
    if action.kind != Kind::Crash && !tables.sight(after).is_doomed {
        for message in tables.held(before).clone().iter() {
            let (_, known) = deliver(tables, before, message)?;
            let (_, answers) = deliver(tables, after, message)?;
            if answers.iter().any(|answer| !known.contains(answer) && !said.contains(answer)) {
                return Err(wrong(tables, "what is held has a new answer", after, message));
            }
            if !tables.held(after).has(message) {
                return Err(wrong(tables, "what is held comes to life", after, message));
            }
            tried += 1;
        }
    }
    Ok(tried)
}

fn messages_to(tables: &Tables, machine: Number) -> Bits {
    let place = super::spent::place(tables.sight(machine).id);
    tables.to(place).clone()
}

fn deliver(
    tables: &mut Tables,
    machine: Number,
    message: Number,
) -> Result<(Number, Vec<Number>), Violation> {
    let place = super::spent::place(tables.sight(machine).id);
    let at = u8::try_from(place).expect("nodes are few");
    let outcome = tables.try_out(machine, Action::new(Kind::Deliver, at, message))?;
    let outcome = tables.outcome(outcome);
    Ok((outcome.machine, outcome.sent.clone()))
}

fn wrong(tables: &Tables, property: &'static str, machine: Number, message: Number) -> Violation {
    let (node, message) = (&tables.machine(machine).it.machine.node, &tables.message(message).it);
    Violation { property, what: format!("{message:?} at {node:?}") }
}
