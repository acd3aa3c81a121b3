//! Shows that a falsified run does not pass, neither here nor in the standalone script, and that a harness
//! that does its own work badly is noticed.
//!
//! The run is one that went well: 4000 operations on 10 keys, every value written once and every tenth
//! write unanswered, as a load generator makes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use lin_check::{
    Budget, Certificate, History, Input, Judgement, Method, Operation, Outcome, Output, Process,
    Verdict, judge,
};

const CLIENTS: u64 = 8;

/// A run that went well.
fn run() -> Vec<Operation> {
    let mut held = BTreeMap::<u64, Option<String>>::new();
    let mut operations = Vec::new();
    for number in 0..4_000_u64 {
        let word = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23) >> 7;
        let (key, unanswered) = (word % 10, word / 10 % 20 == 0);
        let state = held.entry(key).or_default();
        let fresh = Some(format!("{}:{number}", number % CLIENTS));
        let (input, output, after) = match word / 200 % 5 {
            0..3 => (Input::Get, Output::Value(state.clone()), state.clone()),
            3 => (
                Input::Put { value: format!("{}:{number}", number % CLIENTS) },
                Output::Done,
                fresh,
            ),
            _ => {
                let input = Input::Cas { expected: state.clone(), value: fresh.clone() };
                (input, Output::Swapped, fresh)
            }
        };
        // Half of the unanswered writes take effect.
        if !unanswered || word / 1_000 % 2 == 0 {
            *state = after;
        }
        let instant_ns = 1_000_000 + 10_000 * number;
        operations.push(Operation {
            process: Process(if unanswered { 1_000 + number } else { number % CLIENTS }),
            key: format!("k{key}"),
            input,
            called_ns: instant_ns - word / 2_000 % 40_000,
            returned_ns: Some(instant_ns + word / 80_000_000 % 40_000),
            outcome: if unanswered { Outcome::Unknown } else { Outcome::Ok(output) },
            index: (!unanswered).then_some(number + 1),
            node: None,
            term: None,
        });
    }
    operations
}

fn history(operations: &[Operation]) -> History {
    let mut history = History::new();
    for operation in operations {
        history.push(operation.clone()).unwrap();
    }
    history
}

fn judged(operations: &[Operation]) -> Judgement {
    judge(&history(operations), Budget::default())
}

fn found(operation: &Operation) -> Option<&str> {
    match &operation.outcome {
        Outcome::Ok(Output::Value(Some(value))) => Some(value),
        _ => None,
    }
}

fn is_read(operation: &Operation) -> bool {
    found(operation).is_some()
}

/// A read that shows what an earlier read of the key showed long before.
fn changed_read(operations: &mut [Operation]) {
    let late = (3_000..4_000).find(|at| is_read(&operations[*at])).unwrap();
    let key = operations[late].key.clone();
    let early = operations[..2_000].iter().rfind(|it| is_read(it) && it.key == key).unwrap();
    operations[late].outcome = early.outcome.clone();
}

/// The position of an acknowledged write that was read.
fn write_that_was_read(operations: &[Operation]) -> usize {
    let read = operations.iter().rfind(|it| {
        let wrote = |writer: &&Operation| match &writer.input {
            Input::Put { value } => found(it) == Some(value) && writer.outcome != Outcome::Unknown,
            _ => false,
        };
        is_read(it) && operations.iter().any(|writer| wrote(&writer))
    });
    let value = found(read.unwrap()).unwrap();
    operations.iter().position(|it| it.input == Input::put(value)).unwrap()
}

/// The results of two reads of one key, far from each other, change places.
fn swapped_results(operations: &mut [Operation]) {
    let one = (500..2_000).find(|at| is_read(&operations[*at])).unwrap();
    let differs =
        |it: &Operation| it.key == operations[one].key && found(it) != found(&operations[one]);
    let other =
        (3_000..4_000).find(|at| is_read(&operations[*at]) && differs(&operations[*at])).unwrap();
    let outcome = operations[one].outcome.clone();
    operations[one].outcome = std::mem::replace(&mut operations[other].outcome, outcome);
}

type Falsify = fn(&mut Vec<Operation>);

fn script_accepts(dir: &Path) -> Option<bool> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/verify_certificate.py");
    let mut command = Command::new("python3");
    command.arg(script).args(["certificate.json", "history.jsonl"]).current_dir(dir);
    match command.output().ok()?.status.code() {
        Some(0) => Some(true),
        Some(5) => Some(false),
        other => panic!("the script ended with {other:?}"),
    }
}

#[test]
fn the_run_is_proven() {
    let judgement = judged(&run());
    assert_eq!(
        (&judgement.verdict, judgement.method),
        (&Verdict::Linearizable, Method::Certificate)
    );
    let counts = judgement.counts;
    assert_eq!((counts.operations, counts.keys), (4_000, 10));
    let took_effect = counts.took_effect.unwrap();
    assert!(10 < took_effect && took_effect + 10 < counts.unknown_writes, "{counts:?}");
}

#[test]
fn what_was_falsified_is_found_here_and_by_the_script() {
    let dir = tempfile::tempdir().unwrap();
    let certificate: Certificate = judged(&run()).certificate.unwrap();
    certificate.save(dir.path().join("certificate.json")).unwrap();
    history(&run()).save(dir.path().join("history.jsonl")).unwrap();
    if script_accepts(dir.path()).is_none() {
        return eprintln!("skipped: there is no python3 here");
    }
    assert_eq!(script_accepts(dir.path()), Some(true));

    let ways: [(&str, Falsify); 3] = [
        ("a changed read", |operations| changed_read(operations)),
        ("a removed write", |operations| drop(operations.remove(write_that_was_read(operations)))),
        ("two swapped results", |operations| swapped_results(operations)),
    ];
    for (name, falsify) in ways {
        let mut operations = run();
        falsify(&mut operations);
        let judgement = judged(&operations);
        assert!(matches!(judgement.verdict, Verdict::Violation(_)), "{name}: {judgement}");
        assert_eq!(judgement.certificate, None, "{name}");
        history(&operations).save(dir.path().join("history.jsonl")).unwrap();
        assert_eq!(script_accepts(dir.path()), Some(false), "{name}");
    }
}

/// A judge that always says yes would not tell these apart; neither would one that always says no.
#[test]
fn not_every_history_is_judged_alike() {
    let mut operations = run();
    assert!(judged(&operations).verdict.is_pass());
    swapped_results(&mut operations);
    assert!(!judged(&operations).verdict.is_pass());
}

/// A recorder that loses one operation of a thousand: of several writes, one is missed sooner or later.
#[test]
fn a_history_with_holes_does_not_pass() {
    let noticed = |first: usize| {
        let mut operations = run();
        let mut position = 0;
        operations.retain(|_| {
            position += 1;
            position % 1_000 != first
        });
        !judged(&operations).verdict.is_pass()
    };
    // A read that is missing is missed by nobody.
    let times = (0..6).filter(|first| noticed(*first)).count();
    assert!(3 < times, "noticed {times} times of 6");
}

/// A recorder that takes the return for the call makes no sense; one that mixes up the operations' times
/// claims an order that the answers contradict.
#[test]
fn swapped_times_are_noticed() {
    let mut operations = run();
    let Operation { called_ns, returned_ns, .. } = operations[100];
    operations[100].called_ns = returned_ns.unwrap();
    operations[100].returned_ns = Some(called_ns);
    assert!(History::new().push(operations[100].clone()).is_err());

    let mut operations = run();
    let (one, other) = (1_000, write_that_was_read(&operations));
    let times = |it: &Operation| (it.called_ns, it.returned_ns);
    let (early, late) = (times(&operations[one]), times(&operations[other]));
    assert!(early.1 < Some(late.0), "they are far from each other");
    (operations[other].called_ns, operations[other].returned_ns) = early;
    (operations[one].called_ns, operations[one].returned_ns) = late;
    assert!(!judged(&operations).verdict.is_pass());
}

/// A client that takes a timeout for a failure: what took effect after all came from nowhere.
#[test]
fn an_unknown_outcome_recorded_as_a_failure_is_noticed() {
    let mut operations = run();
    for operation in &mut operations {
        if operation.outcome == Outcome::Unknown {
            operation.outcome = Outcome::Fail;
        }
    }
    let judgement = judged(&operations);
    let Verdict::Violation(violation) = &judgement.verdict else { panic!("{judgement}") };
    assert!(!violation.failed.is_empty(), "{judgement}");
    assert!(judgement.to_string().contains("certainly failed"), "{judgement}");
}
