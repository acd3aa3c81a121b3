//! Shows what the recorder keeps and refuses, and how bad files are reported.

use lin_check::{Budget, History, Input, Malformed, Outcome, Output, Process, ReadError, check};

const ONE: Process = Process(1);
const TWO: Process = Process(2);

fn value(value: &str) -> Output {
    Output::Value(Some(String::from(value)))
}

#[test]
fn the_order_of_recording_is_the_order_of_events_even_if_the_clock_stands_still() {
    let mut history = History::new();
    let put = history.invoke(ONE, "x", Input::put("a"), 0);
    history.ok(put, Output::Done, 0);
    let get = history.invoke(TWO, "x", Input::Get, 0);
    history.ok(get, Output::Value(None), 0);
    // With the times as given, the two would overlap and anything would go.
    assert!(!check(&history, Budget::default()).is_pass());
    let times: Vec<_> =
        history.operations().iter().map(|op| (op.called_ns, op.returned_ns)).collect();
    assert_eq!(times, [(0, Some(1)), (2, Some(3))]);
}

#[test]
fn an_operation_in_flight_may_have_taken_effect() {
    let mut history = History::new();
    history.invoke(ONE, "x", Input::put("a"), 0);
    let get = history.invoke(TWO, "x", Input::Get, 10);
    history.ok(get, value("a"), 20);
    assert!(check(&history, Budget::default()).is_pass());
    assert_eq!(history.operations()[0].outcome, Outcome::Unknown);
}

#[test]
fn a_failed_operation_has_not() {
    let mut history = History::new();
    let put = history.invoke(ONE, "x", Input::put("a"), 0);
    history.fail(put);
    let get = history.invoke(ONE, "x", Input::Get, 10);
    history.ok(get, value("a"), 20);
    assert!(!check(&history, Budget::default()).is_pass());
}

#[test]
#[should_panic(expected = "process 1 calls OpId(1) while OpId(0) is in flight")]
fn a_process_does_one_thing_at_a_time() {
    let mut history = History::new();
    history.invoke(ONE, "x", Input::Get, 0);
    history.invoke(ONE, "y", Input::Get, 1);
}

#[test]
#[should_panic(expected = "the output does not answer this kind of input")]
fn an_answer_to_another_question_is_a_bug_of_the_recorder() {
    let mut history = History::new();
    let get = history.invoke(ONE, "x", Input::Get, 0);
    history.ok(get, Output::Swapped, 1);
}

#[test]
#[should_panic(expected = "process 1 has another operation in flight")]
fn an_operation_ends_once() {
    let mut history = History::new();
    let get = history.invoke(ONE, "x", Input::Get, 0);
    history.unknown(get);
    history.ok(get, Output::Value(None), 1);
}

#[test]
fn every_kind_of_operation_survives_the_file() {
    let mut history = History::new();
    let answers = [
        (Input::put("a"), Output::Done),
        (Input::put("\u{0}\n\"ü"), Output::Put { replaced: true }),
        (Input::Delete, Output::Deleted { existed: true }),
        (Input::cas(None, Some("b")), Output::Swapped),
        (Input::cas(Some("c"), None), Output::Differs),
        (Input::cas(Some("c"), None), Output::DiffersFrom(Some(String::from("b")))),
        (Input::Get, Output::Value(None)),
    ];
    for (index, (input, output)) in (1..).zip(answers) {
        let op = history.invoke(ONE, "x", input, 10 * index);
        history.ok(op, output, 10 * index + 5);
        history.place(op, index);
    }
    let op = history.invoke(ONE, "", Input::Delete, u64::MAX - 1);
    history.fail(op);
    history.invoke(ONE, "x", Input::Get, u64::MAX);

    let mut file = Vec::new();
    history.write(&mut file).unwrap();
    let again = History::read(file.as_slice()).unwrap();
    assert_eq!(again.operations(), history.operations());
}

fn error(text: &str) -> ReadError {
    History::read(text.as_bytes()).expect_err("the text is no history")
}

#[test]
fn bad_lines_are_named() {
    let good = r#"{"process":1,"key":"x","input":"get","called_ns":5,"outcome":"unknown"}"#;
    assert_eq!(History::read(good.as_bytes()).unwrap().operations().len(), 1);

    let torn = format!("{good}\n\n{}", &good[..40]);
    let message = error(&torn).to_string();
    assert!(message.starts_with("line 3 of the history is not an operation: EOF"), "{message}");

    let strange = good.replace("called_ns", "when");
    let message = error(&strange).to_string();
    assert!(message.contains("unknown field `when`"), "{message}");

    let backwards = good.replace(r#""outcome""#, r#""returned_ns":4,"outcome""#);
    let malformed = Malformed::ReturnsBeforeCall { called_ns: 5, returned_ns: 4 };
    assert!(matches!(
        error(&backwards),
        ReadError::Malformed { line: 1, source } if source == malformed
    ));

    let endless = good.replace(r#""unknown""#, r#"{"ok":{"value":null}}"#);
    assert_eq!(
        error(&endless).to_string(),
        "line 1 of the history: an operation that was answered needs `returned_ns`"
    );

    let confused = good.replace(r#""unknown""#, r#"{"ok":"swapped"},"returned_ns":9"#);
    assert_eq!(
        error(&confused).to_string(),
        "line 1 of the history: the output does not answer this kind of input"
    );

    let not_text = History::read(&b"\xff\xfe\n"[..]).expect_err("not UTF-8");
    assert!(matches!(not_text, ReadError::Io { line: 1, .. }));
}
