//! Holds `scripts/verify_certificate.py`, which anyone can read and run without this project, against
//! the judge of this crate: on right orders and on every way to falsify a run they must agree.

use std::cell::Cell;
use std::path::Path;
use std::process::{Command, Stdio};

use lin_check::{Certificate, History, OpId, Operation, Outcome, Refusal, certify};
use proptest::prelude::*;
use proptest::sample::Index;

use super::metamorphic::{altered, carry_out, history, plans_with_ranges};

/// What somebody did to a run after it was proven.
#[derive(Clone, Debug)]
enum Tampering {
    Nothing,
    OrderSwapped(Index, Index),
    OrderShortened(Index),
    OrderRepeated(Index),
    OrderBeyond,
    LineRemoved(Index),
    LinesSwapped(Index, Index),
    AnswerTaken(Index, Index),
    CallDelayed(Index, u64),
}

fn tamperings() -> impl Strategy<Value = Tampering> {
    let pair = || any::<(Index, Index)>();
    prop_oneof![
        Just(Tampering::Nothing),
        pair().prop_map(|(one, other)| Tampering::OrderSwapped(one, other)),
        any::<Index>().prop_map(Tampering::OrderShortened),
        any::<Index>().prop_map(Tampering::OrderRepeated),
        Just(Tampering::OrderBeyond),
        any::<Index>().prop_map(Tampering::LineRemoved),
        pair().prop_map(|(one, other)| Tampering::LinesSwapped(one, other)),
        pair().prop_map(|(one, other)| Tampering::AnswerTaken(one, other)),
        (any::<Index>(), 1..200_u64).prop_map(|(one, by)| Tampering::CallDelayed(one, by)),
    ]
}

fn tamper(how: &Tampering, operations: &mut Vec<Operation>, order: &mut Vec<OpId>) {
    let (lines, placed) = (operations.len(), order.len());
    match how {
        Tampering::OrderBeyond => order.push(OpId(lines)),
        Tampering::OrderSwapped(one, other) if 0 < placed => {
            order.swap(one.index(placed), other.index(placed));
        }
        Tampering::OrderShortened(one) if 0 < placed => drop(order.remove(one.index(placed))),
        Tampering::OrderRepeated(one) if 0 < placed => order.push(order[one.index(placed)]),
        Tampering::LineRemoved(one) => drop(operations.remove(one.index(lines))),
        Tampering::LinesSwapped(one, other) => {
            operations.swap(one.index(lines), other.index(lines));
        }
        Tampering::AnswerTaken(one, other) => {
            let outcome = operations[other.index(lines)].outcome.clone();
            let operation = &mut operations[one.index(lines)];
            let fits = matches!(&outcome, Outcome::Ok(it) if operation.input.is_answered_by(it));
            if fits && matches!(operation.outcome, Outcome::Ok(_)) {
                operation.outcome = outcome;
            }
        }
        Tampering::CallDelayed(one, by) => {
            let operation = &mut operations[one.index(lines)];
            operation.called_ns += by;
            operation.returned_ns = operation.returned_ns.map(|at| at.max(operation.called_ns));
        }
        Tampering::Nothing
        | Tampering::OrderSwapped(..)
        | Tampering::OrderShortened(_)
        | Tampering::OrderRepeated(_) => (),
    }
}

/// Whether there is a Python to run the script with.
fn has_python() -> bool {
    let mut command = Command::new("python3");
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The script's exit code, and what it said.
fn run_script(dir: &Path, certificate: &Certificate, history: &History) -> (Option<i32>, String) {
    let (proof, lines) = (dir.join("certificate.json"), dir.join("history.jsonl"));
    std::fs::write(&proof, serde_json::to_vec(certificate).unwrap()).unwrap();
    history.write(std::fs::File::create(&lines).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/verify_certificate.py");
    let output = Command::new("python3").arg(script).args([proof, lines]).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// What the script is to exit with. Of nothing it does not say that it is proven.
fn expected(judged: &Result<(), Refusal>, history: &History) -> i32 {
    match judged {
        _ if history.operations().is_empty() => 2,
        Ok(()) => 0,
        Err(_) => 5,
    }
}

#[test]
fn the_script_agrees_with_the_judge() {
    if !has_python() {
        return eprintln!("skipped: there is no python3 here");
    }
    let dir = tempfile::tempdir().unwrap();
    let (proofs, refused) = (Cell::new(0), Cell::new(0));
    let config =
        ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(plans in plans_with_ranges(), how in tamperings())| {
        let mut operations = carry_out(&plans);
        let mut order = certify(&history(&operations)).unwrap().order;
        tamper(&how, &mut operations, &mut order);
        let (certificate, history) = (Certificate { order }, history(&operations));
        let judged = certificate.verify(&history);
        let (code, said) = run_script(dir.path(), &certificate, &history);
        prop_assert_eq!(code, Some(expected(&judged, &history)), "{:?}: {}", judged, said);
        let seen = if judged.is_ok() { &proofs } else { &refused };
        seen.set(seen.get() + 1);
    });
    let (proofs, refused) = (proofs.get(), refused.get());
    assert!(2 < proofs && 2 < refused, "{proofs} proofs, {refused} refused");
}

#[test]
fn the_script_believes_no_order_of_a_history_that_has_none() {
    if !has_python() {
        return eprintln!("skipped: there is no python3 here");
    }
    let dir = tempfile::tempdir().unwrap();
    let config =
        ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(operations in altered())| {
        let answered = |(_, operation): &(usize, &Operation)| operation.index.is_some();
        let order = operations.iter().enumerate().filter(answered).map(|(at, _)| OpId(at)).collect();
        let (certificate, history) = (Certificate { order }, history(&operations));
        let judged = certificate.verify(&history);
        let (code, said) = run_script(dir.path(), &certificate, &history);
        prop_assert_eq!(code, Some(expected(&judged, &history)), "{:?}: {}", judged, said);
    });
}

#[test]
fn files_that_cannot_be_read_are_an_error_of_their_own() {
    if !has_python() {
        return eprintln!("skipped: there is no python3 here");
    }
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/verify_certificate.py");
    let run = |args: &[&str]| {
        Command::new("python3").arg(&script).args(args).current_dir(&dir).output().unwrap()
    };
    std::fs::write(dir.path().join("empty.jsonl"), "").unwrap();
    std::fs::write(dir.path().join("torn.json"), "{\"order\":[0").unwrap();
    std::fs::write(dir.path().join("other.json"), "[]").unwrap();
    let table: [&[&str]; 4] = [
        &[],
        &["gone.json", "empty.jsonl"],
        &["torn.json", "empty.jsonl"],
        &["other.json", "empty.jsonl"],
    ];
    for args in table {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
    }
}

/// Lines that no client wrote. Neither the judge nor the script takes them for operations.
#[test]
fn what_is_no_operation_proves_nothing() {
    if !has_python() {
        return eprintln!("skipped: there is no python3 here");
    }
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/verify_certificate.py");
    let good = r#"{"process":1,"key":"k","input":"get","called_ns":10,"returned_ns":20,"outcome":{"ok":{"value":null}}}"#;
    let deep = "[".repeat(100_000);
    let changes = [
        ("10", "NaN"),
        ("20", "Infinity"),
        ("20", "1e999"),
        ("20", "9"),
        ("20", "null"),
        ("10", "-10"),
        ("10", "true"),
        (r#"{"ok":{"value":null}}"#, r#"{"ok":null}"#),
        (r#"{"ok":{"value":null}}"#, r#""done""#),
        (r#"{"ok":{"value":null}}"#, r#"{"ok":{"value":null},"fail":1}"#),
        (r#""key":"k""#, r#""key":5"#),
        (r#""key":"k""#, r#""key":"k","key":"j""#),
        (r#""key":"k""#, r#""key":"k","kye":"j""#),
        (r#""get""#, r#"{"get":{},"delete":{}}"#),
        (good, ""),
        (good, &deep),
    ];
    let certificate = dir.path().join("certificate.json");
    let lines = dir.path().join("history.jsonl");
    let run = |text: &str| {
        std::fs::write(&lines, text).unwrap();
        let output = Command::new("python3").arg(&script).args([&certificate, &lines]).output();
        output.unwrap()
    };
    std::fs::write(&certificate, r#"{"order":[0]}"#).unwrap();
    assert_eq!(run(good).status.code(), Some(0));
    for (from, to) in changes {
        let text = good.replacen(from, to, 1);
        let judged = History::read(text.as_bytes());
        assert!(judged.is_err() || judged.unwrap().operations().is_empty(), "{text}");
        let output = run(&text);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{from} -> {to}: {said}");
        assert!(said.starts_with("error: ") && said.lines().count() == 1, "{said}");
    }
}
