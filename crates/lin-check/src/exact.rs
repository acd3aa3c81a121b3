//! Finds a place for the writes that nobody was answered, where [`crate::complete`] found none.
//!
//! The places of the answered operations are taken from the servers as before, so that nothing but the
//! unanswered is searched for: each answered operation takes place at the instant of its number in the
//! order, each unanswered one at any instant from which nothing follows that returned before it was called.
//! So what this does not find is not there, unless the budget ran out, and then the servers' order is wrong.

use std::collections::BTreeMap;

use crate::complete::deadlines;
use crate::history::{History, OpId, Operation, Outcome};
use crate::model::{Input, Output, Register};
use crate::replay::Keys;
use crate::search::{Answer, Budget, Call, Found, search};

/// For each key. Most steps are spent on placing what has its place already.
const STEPS_MAX: u64 = 500_000;

/// The order of `known`, with unanswered writes in between. None if there is no such order, as far as the
/// budget allows to say that, or if there are operations on several keys.
pub(crate) fn complete_exactly(
    history: &History,
    keys: &Keys<'_>,
    known: &[OpId],
) -> Option<Vec<OpId>> {
    let operations = history.operations();
    let of_one_key = |operation: &Operation| !matches!(operation.input, Input::Range { .. });
    if !operations.iter().all(of_one_key) {
        return None;
    }
    let mut moves: Vec<Vec<OpId>> = vec![Vec::new(); known.len()];
    for calls in by_key(operations, keys, known).into_values() {
        if calls.iter().all(|(.., call)| call.answer.is_some()) {
            continue;
        }
        let (placed, only): (Vec<_>, Vec<_>) =
            calls.into_iter().map(|(op, place, call)| ((op, place), call)).unzip();
        let mut budget = Budget::steps(STEPS_MAX);
        let Found::Linearization(order) = search::<Register<'_>>(&only, &mut budget) else {
            return None;
        };
        let mut waiting = Vec::new();
        for position in order {
            let (op, place) = placed[position];
            waiting.push(op);
            if only[position].answer.is_some() {
                moves[place].append(&mut waiting);
            }
        }
    }
    let mut order = Vec::with_capacity(operations.len());
    for (op, moved) in known.iter().zip(moves) {
        let answered = operations[op.0].answer().is_some();
        // A key without unanswered writes was left alone.
        if moved.is_empty() && answered {
            order.push(*op);
        }
        order.extend(moved);
    }
    Some(order)
}

type Placed<'h> = (OpId, usize, Call<&'h Input, &'h Output>);

/// The calls on each key, with their places instead of times.
fn by_key<'h>(
    operations: &'h [Operation],
    keys: &Keys<'_>,
    known: &[OpId],
) -> BTreeMap<usize, Vec<Placed<'h>>> {
    let deadlines = deadlines(operations, known);
    let mut calls: BTreeMap<usize, Vec<Placed<'h>>> = BTreeMap::new();
    let mut add = |op: OpId, place: usize| {
        let operation = &operations[op.0];
        let at = place as u64;
        let answer = operation.answer().map(|(output, _)| Answer { output, returned_ns: at });
        let call = Call { input: &operation.input, called_ns: at, answer };
        calls.entry(keys.of_operation(op)).or_default().push((op, place, call));
    };
    for (place, op) in known.iter().enumerate() {
        if operations[op.0].answer().is_some() {
            add(*op, place);
        }
    }
    for (position, operation) in operations.iter().enumerate() {
        let first = deadlines.partition_point(|deadline_ns| *deadline_ns < operation.called_ns);
        let writes = !operation.input.is_read();
        if operation.outcome == Outcome::Unknown && writes && first < known.len() {
            add(OpId(position), first);
        }
    }
    calls
}
