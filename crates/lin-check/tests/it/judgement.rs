//! Shows what a judgement says besides the verdict: how it was found, from how much, and what is wrong
//! with the servers' hints; and that a run's files are read and written whole or not at all.

use lin_check::{
    Budget, Certificate, Counts, FileError, History, Input, Judgement, Method, OpId, Output,
    Process, Refusal, Verdict, judge, judge_twice,
};

fn value(value: &str) -> Output {
    Output::Value(Some(String::from(value)))
}

/// Three writes that nobody was answered, of which one was seen, and a read that nobody was answered.
fn run() -> History {
    let mut history = History::new();
    let put = history.invoke(Process(1), "x", Input::put("a"), 0);
    history.ok(put, Output::Done, 10);
    history.place(put, 1);
    for (process, key, input) in [
        (2, "x", Input::put("b")),
        (3, "x", Input::put("c")),
        (4, "y", Input::Delete),
        (5, "y", Input::Get),
    ] {
        history.invoke(Process(process), key, input, 20);
    }
    let refused = history.invoke(Process(6), "x", Input::Delete, 30);
    history.fail(refused);
    let get = history.invoke(Process(6), "x", Input::Get, 40);
    history.ok(get, value("c"), 50);
    history.place(get, 3);
    history.answered_by(get, 2, 7);
    history
}

#[test]
fn it_says_how_much_was_judged_and_how() {
    let judgement = judge(&run(), Budget::steps(0));
    assert_eq!(judgement.method, Method::Certificate);
    let counts = Counts {
        operations: 7,
        keys: 2,
        answered: 2,
        failed: 1,
        unknown_writes: 3,
        took_effect: Some(1),
        unknown_reads: 1,
    };
    assert_eq!(judgement.counts, counts);
    assert_eq!(judgement.wrong_hint(), None);
    assert_eq!(
        judgement.to_string(),
        "linearizable: 7 operations on 2 keys, proven by certificate; 3 writes of unknown outcome: \
         1 took effect, 2 did not as far as anybody saw"
    );
    assert_eq!(judge_twice(&run(), Budget::default()).method, Method::Both);
    assert_eq!(judge_twice(&run(), Budget::steps(0)).method, Method::Certificate);
}

#[test]
fn a_wrong_hint_is_a_finding_of_its_own() {
    let mut history = run();
    history.place(OpId(0), 4);
    let judgement = judge(&history, Budget::default());
    assert_eq!((&judgement.verdict, judgement.method), (&Verdict::Linearizable, Method::Search));
    assert_eq!(judgement.wrong_hint(), judgement.refusal.as_ref());
    assert!(
        judgement.to_string().contains("; but the servers' indexes are wrong: "),
        "{judgement}"
    );
    // The search's order proves it nevertheless.
    assert_eq!(judgement.certificate.unwrap().verify(&history), Ok(()));

    let mut silent = History::new();
    let get = silent.invoke(Process(1), "x", Input::Get, 0);
    silent.ok(get, Output::Value(None), 1);
    let Judgement { refusal, .. } = judge(&silent, Budget::default());
    assert_eq!(refusal, Some(Refusal::NoIndex(get)));
    assert_eq!(judge(&silent, Budget::default()).wrong_hint(), None);
}

#[test]
fn a_violation_is_told_in_words() {
    let mut history = run();
    let get = history.invoke(Process(8), "x", Input::Get, 60);
    history.ok(get, value("a"), 70);
    history.place(get, 1);
    let judgement = judge(&history, Budget::default());
    assert_eq!(judgement.certificate, None);
    assert_eq!(
        judgement.to_string(),
        "client 1 wrote x=a (acknowledged at 0.000000010 s, index 1); client 6 read x=c from \
         0.000000040 to 0.000000050 s, node 2, term 7, index 3; client 8 read x=a from 0.000000060 to \
         0.000000070 s, index 1: the last read began after another had been answered, and shows an \
         older state again"
    );
}

#[test]
fn files_are_read_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let (lines, proof) = (dir.path().join("history.jsonl"), dir.path().join("certificate.json"));
    let history = run();
    let certificate = judge(&history, Budget::default()).certificate.unwrap();
    history.save(&lines).unwrap();
    certificate.save(&proof).unwrap();
    let again = History::load(&lines).unwrap();
    assert_eq!(again.operations(), history.operations());
    assert_eq!(Certificate::load(&proof).unwrap(), certificate);
}

#[test]
fn a_damaged_file_is_named_with_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.jsonl");
    run().save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
    let error = History::load(&path).unwrap_err().to_string();
    let expected = format!("{}: line 7 of the history is not an operation: EOF", path.display());
    assert!(error.starts_with(&expected), "{error}");

    let error = Certificate::load(&path).unwrap_err();
    assert!(matches!(error, FileError::Certificate { .. }), "{error}");
    let gone = History::load(dir.path().join("gone")).unwrap_err();
    assert!(matches!(gone, FileError::Io { .. }) && gone.to_string().contains("gone: "), "{gone}");
    assert!(certificate_into(&dir.path().join("no/such/folder")).is_err());
}

fn certificate_into(path: &std::path::Path) -> Result<(), FileError> {
    Certificate { order: Vec::new() }.save(path)
}

/// However long a history is, what contradicts itself in it is told in a few operations.
#[test]
fn a_violation_in_a_long_history_is_told_in_short() {
    let mut history = History::new();
    for number in 0..2_000_u64 {
        let now_ns = 100 * number;
        let put = history.invoke(Process(1), "x", Input::put(number.to_string()), now_ns);
        history.ok(put, Output::Put { replaced: 0 < number }, now_ns + 10);
        let get = history.invoke(Process(2), "x", Input::Get, now_ns + 20);
        let seen = if number == 1_500 { 1_490 } else { number };
        history.ok(get, value(&seen.to_string()), now_ns + 30);
        // Nobody was answered, and nobody saw it.
        let process = Process(3 + number);
        history.invoke(process, "x", Input::put(format!("lost {number}")), now_ns + 40);
    }
    let Verdict::Violation(violation) = judge(&history, Budget::default()).verdict else {
        panic!("a stale read is a violation");
    };
    assert!(violation.conflict.len() <= 3, "{violation}");
}
