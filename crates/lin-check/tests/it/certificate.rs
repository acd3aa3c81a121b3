//! Shows that an order by index is a proof where it is right, and that every way for it to be wrong
//! is refused.

use lin_check::{
    Budget, Certificate, History, Input, OpId, Output, Process, Refusal, Verdict, certify, judge,
};

fn value(value: Option<&str>) -> Output {
    Output::Value(value.map(String::from))
}

/// Records an operation from start to end, at an index.
fn record(history: &mut History, input: Input, output: Output, index: u64) -> OpId {
    let op = history.invoke(Process(1), "x", input, 0);
    history.ok(op, output, 0);
    history.place(op, index);
    op
}

fn put_and_get() -> History {
    let mut history = History::new();
    record(&mut history, Input::put("a"), Output::Put { replaced: false }, 5);
    record(&mut history, Input::Get, value(Some("a")), 5);
    history
}

#[test]
fn a_right_order_is_a_proof() {
    let mut history = put_and_get();
    // On another key, and unknown: once it took effect, and once it never did.
    let taken = history.invoke(Process(1), "y", Input::put("b"), 0);
    history.unknown(taken);
    history.place(taken, 6);
    let get = history.invoke(Process(2), "y", Input::Get, 0);
    history.ok(get, value(Some("b")), 0);
    history.place(get, 9);
    let never = history.invoke(Process(1), "y", Input::Delete, 0);
    history.unknown(never);

    let judgement = judge(&history, Budget::steps(0));
    assert_eq!(judgement.verdict, Verdict::Linearizable);
    let certificate = judgement.certificate.unwrap();
    assert_eq!(certificate.order, [OpId(0), OpId(1), taken, get]);
    let text = serde_json::to_string(&certificate).unwrap();
    assert_eq!(text, r#"{"order":[0,1,2,3]}"#);
    assert_eq!(serde_json::from_str::<Certificate>(&text).unwrap(), certificate);
}

#[test]
fn a_wrong_hint_proves_nothing_but_is_no_violation_either() {
    let mut history = put_and_get();
    history.place(OpId(1), 4);
    let judgement = judge(&history, Budget::default());
    assert_eq!(judgement.refusal, Some(Refusal::WrongAnswer(OpId(1))));
    assert_eq!(judgement.wrong_hint(), judgement.refusal.as_ref());
    assert_eq!(judgement.verdict, Verdict::Linearizable);
    // Nor does a search that gives up turn a refusal into a pass.
    assert!(!judge(&history, Budget::steps(0)).verdict.is_pass());
}

#[test]
fn servers_that_lie_consistently_are_caught_by_the_clock() {
    let mut history = put_and_get();
    let put = record(&mut history, Input::put("b"), Output::Put { replaced: true }, 6);
    let stale = record(&mut history, Input::Get, value(Some("a")), 5);
    record(&mut history, Input::Get, value(Some("b")), 7);
    let judgement = judge(&history, Budget::default());
    let refusal = Refusal::AgainstTime { first: stale, second: put };
    assert_eq!(judgement.refusal, Some(refusal));
    assert!(matches!(judgement.verdict, Verdict::Violation(_)));
}

#[test]
fn a_write_of_unknown_outcome_has_no_deadline_but_a_start() {
    let mut history = History::new();
    let late = history.invoke(Process(1), "x", Input::put("a"), 0);
    history.unknown(late);
    history.place(late, 2);
    let before = history.invoke(Process(2), "x", Input::Get, 0);
    history.ok(before, value(None), 0);
    history.place(before, 1);
    let after = history.invoke(Process(2), "x", Input::Get, 0);
    history.ok(after, value(Some("a")), 0);
    history.place(after, 2);
    assert_eq!(certify(&history).unwrap().order, [before, late, after]);

    let mut history = History::new();
    let early = record(&mut history, Input::Get, value(Some("a")), 2);
    let lost = history.invoke(Process(1), "x", Input::put("a"), 0);
    history.place(lost, 1);
    let refusal = Refusal::AgainstTime { first: lost, second: early };
    assert_eq!(certify(&history), Err(refusal));
}

#[test]
fn every_answer_needs_an_index_of_its_own() {
    let mut history = put_and_get();
    let put = record(&mut history, Input::put("b"), Output::Put { replaced: true }, 5);
    let shared = Refusal::SharedIndex { first: OpId(0), second: put, index: 5 };
    assert_eq!(certify(&history), Err(shared));

    let get = history.invoke(Process(1), "x", Input::Get, 0);
    history.ok(get, value(Some("b")), 0);
    assert_eq!(certify(&history), Err(Refusal::NoIndex(get)));
}

/// Servers that count changes, as etcd does, give a refused write the index of the change before it.
#[test]
fn writes_that_changed_nothing_share_an_index_as_reads_do() {
    let mut history = put_and_get();
    let differs = || Output::DiffersFrom(Some("a".to_owned()));
    let nothing = Output::Deleted { existed: false };
    let first = record(&mut history, Input::cas(Some("b"), Some("c")), differs(), 5);
    let second = record(&mut history, Input::cas(None, Some("d")), Output::Differs, 5);
    let swap = record(&mut history, Input::cas(Some("a"), None), Output::Swapped, 6);
    let deleted = record(&mut history, Input::Delete, nothing.clone(), 6);
    let again = record(&mut history, Input::Delete, nothing, 6);
    let order = [OpId(0), OpId(1), first, second, swap, deleted, again];
    assert_eq!(certify(&history).unwrap().order, order);

    // What it saw still counts: at this index the key held something else.
    let wrong = record(&mut history, Input::cas(Some("b"), Some("c")), differs(), 6);
    assert_eq!(certify(&history), Err(Refusal::WrongAnswer(wrong)));
}

#[test]
fn an_order_must_hold_each_answered_operation_once() {
    let mut history = put_and_get();
    let failed = history.invoke(Process(1), "x", Input::Delete, 0);
    history.fail(failed);
    let verify = |order: &[usize]| {
        let order = order.iter().copied().map(OpId).collect();
        Certificate { order }.verify(&history)
    };
    assert_eq!(verify(&[0, 1]), Ok(()));
    assert_eq!(verify(&[0]), Err(Refusal::Missing(OpId(1))));
    assert_eq!(verify(&[0, 1, 1]), Err(Refusal::Misplaced(OpId(1))));
    assert_eq!(verify(&[0, 1, 2]), Err(Refusal::Misplaced(failed)));
    assert_eq!(verify(&[0, 1, 3]), Err(Refusal::Misplaced(OpId(3))));
    assert_eq!(verify(&[1, 0]), Err(Refusal::WrongAnswer(OpId(1))));
}
