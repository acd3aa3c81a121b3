//! Holds the search against judges that others wrote: the testers of `stateright` and of `todc-utils`.
//! Neither forgets, partitions or gives up, so that the histories are short.

use std::cell::Cell;
use std::collections::BTreeMap;

use lin_check::{Budget, History, Input, Operation, Outcome, Output, Verdict, check};
use proptest::prelude::*;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use todc_utils::{Action, Specification, WGLChecker};

use super::metamorphic::altered;

/// The whole store, as the other judges want it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Store(BTreeMap<String, String>);

impl Store {
    /// Lets a question take effect, and says all that may be answered.
    fn answers(&mut self, key: &str, input: &Input) -> Vec<Output> {
        let Store(values) = self;
        let before = values.get(key).cloned();
        let (after, answers) = match input {
            Input::Range { .. } => panic!("there are no ranges here"),
            Input::Get => (before.clone(), vec![Output::Value(before.clone())]),
            Input::Put { value } => {
                let replaced = before.is_some();
                (Some(value.clone()), vec![Output::Put { replaced }, Output::Done])
            }
            Input::Delete => {
                let existed = before.is_some();
                (None, vec![Output::Deleted { existed }, Output::Done])
            }
            Input::Cas { expected, value } if *expected == before => {
                (value.clone(), vec![Output::Swapped])
            }
            Input::Cas { .. } => {
                (before.clone(), vec![Output::DiffersFrom(before.clone()), Output::Differs])
            }
        };
        match after {
            Some(value) => values.insert(String::from(key), value),
            None => values.remove(key),
        };
        answers
    }
}

impl SequentialSpec for Store {
    type Op = (String, Input);
    type Ret = Output;

    fn invoke(&mut self, (key, input): &Self::Op) -> Output {
        self.answers(key, input).swap_remove(0)
    }

    fn is_valid_step(&mut self, (key, input): &Self::Op, output: &Output) -> bool {
        self.answers(key, input).contains(output)
    }
}

impl Specification for Store {
    type State = Store;
    type Operation = (String, Input, Option<Output>);

    fn init() -> Store {
        Store::default()
    }

    fn apply((key, input, output): &Self::Operation, state: &Store) -> (bool, Store) {
        let mut after = state.clone();
        let answers = after.answers(key, input);
        (output.as_ref().is_none_or(|output| answers.contains(output)), after)
    }
}

/// Whether an operation could have mattered.
fn matters(operation: &Operation) -> bool {
    match operation.outcome {
        Outcome::Ok(_) => true,
        Outcome::Fail => false,
        Outcome::Unknown => !operation.input.is_read(),
    }
}

/// Calls and returns in the order of time, calls first: the position of the operation, and whether it
/// returns.
fn events(operations: &[&Operation]) -> Vec<(usize, bool)> {
    let mut events = Vec::new();
    for (position, operation) in operations.iter().enumerate() {
        events.push((operation.called_ns, false, position));
        if matches!(operation.outcome, Outcome::Ok(_)) {
            events.push((operation.returned_ns.unwrap(), true, position));
        }
    }
    events.sort_unstable();
    events.into_iter().map(|(_, returns, position)| (position, returns)).collect()
}

fn stateright_passes(operations: &[&Operation]) -> bool {
    let mut tester = LinearizabilityTester::new(Store::default());
    for (thread, returns) in events(operations) {
        let Operation { key, input, outcome, .. } = operations[thread];
        match outcome {
            Outcome::Ok(output) if returns => tester.on_return(thread, output.clone()).unwrap(),
            _ => tester.on_invoke(thread, (key.clone(), input.clone())).unwrap(),
        };
    }
    tester.is_consistent()
}

/// It knows no operations without an answer: each choice of those that took effect is a history of its
/// own, in which they return at the end.
fn todc_passes(operations: &[&Operation]) -> bool {
    let answered = |operation: &&Operation| matches!(operation.outcome, Outcome::Ok(_));
    let (known, unknown): (Vec<&Operation>, Vec<&Operation>) =
        operations.iter().copied().partition(answered);
    (0..1_u32 << unknown.len()).any(|choice| {
        let chosen = unknown.iter().enumerate().filter(|(bit, _)| choice >> bit & 1 == 1);
        let chosen: Vec<&Operation> =
            known.iter().copied().chain(chosen.map(|(_, operation)| *operation)).collect();
        let action = |position: usize| {
            let Operation { key, input, outcome, .. } = chosen[position];
            let output = match outcome {
                Outcome::Ok(output) => Some(output.clone()),
                Outcome::Fail | Outcome::Unknown => None,
            };
            (key.clone(), input.clone(), output)
        };
        let mut actions: Vec<_> = events(&chosen)
            .into_iter()
            .map(|(position, returns)| {
                let kind = if returns { Action::Response } else { Action::Call };
                (position, kind(action(position)))
            })
            .collect();
        for position in known.len()..chosen.len() {
            actions.push((position, Action::Response(action(position))));
        }
        let is_empty = actions.is_empty();
        is_empty || WGLChecker::<Store>::is_linearizable(todc_utils::History::from_actions(actions))
    })
}

type Judge = fn(&[&Operation]) -> bool;

/// Compares the judges on histories of at most so many operations that matter.
fn compare(most: usize, cases: u32, others: &[(&str, Judge)]) {
    let (passes, violations) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(mut operations in altered())| {
        operations.retain(matters);
        operations.truncate(most);
        let mut history = History::new();
        for operation in &operations {
            history.push(operation.clone()).unwrap();
        }
        let verdict = check(&history, Budget::default());
        prop_assert!(!matches!(verdict, Verdict::Undecided { .. }), "{}", verdict);
        let operations: Vec<&Operation> = operations.iter().collect();
        for (name, passes) in others {
            prop_assert_eq!(verdict.is_pass(), passes(&operations), "{} says other than: {}", name, verdict);
        }
        let seen = if verdict.is_pass() { &passes } else { &violations };
        seen.set(seen.get() + 1);
    });
    let (passes, violations) = (passes.get(), violations.get());
    assert!(cases / 50 < passes && cases / 50 < violations, "{passes} pass, {violations} do not");
}

#[test]
fn short_histories_are_judged_as_by_stateright_and_todc() {
    compare(7, 3_000, &[("stateright", stateright_passes), ("todc-utils", todc_passes)]);
}

#[test]
fn longer_histories_are_judged_as_by_todc() {
    compare(18, 500, &[("todc-utils", todc_passes)]);
}
