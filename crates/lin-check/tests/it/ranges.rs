//! Shows that what a range of keys found is judged: as one instant of the whole store by the
//! certificate, and as a read of each key by the search, which never passes it.

use lin_check::{Budget, History, Input, Method, OpId, Output, Process, Verdict, certify, judge};

/// Two keys, written one after the other, at the indexes 1 and 2.
fn two_keys() -> History {
    let mut history = History::new();
    for (index, key) in [(1, "a"), (2, "b")] {
        let put = history.invoke(Process(1), key, Input::put("1"), 10 * index);
        history.ok(put, Output::Done, 10 * index + 5);
        history.place(put, index);
    }
    history
}

fn pairs(found: &[(&str, &str)], complete: bool) -> Output {
    let own = |(key, value): &(&str, &str)| (String::from(*key), String::from(*value));
    Output::Pairs { found: found.iter().map(own).collect(), complete }
}

/// Asks from `start` on, after all that was asked before.
fn range(
    history: &mut History,
    (start, end, limit): (&str, Option<&str>, Option<u32>),
    output: Output,
    index: u64,
) -> OpId {
    let input = Input::Range { end: end.map(String::from), limit };
    let op = history.invoke(Process(2), start, input, 0);
    history.ok(op, output, 0);
    history.place(op, index);
    op
}

#[test]
fn it_must_show_the_store_as_it_was() {
    let all: &[(&str, &str)] = &[("a", "1"), ("b", "1")];
    let table = [
        (("", None, None), pairs(all, true), true),
        (("a", Some("c"), Some(2)), pairs(all, true), true),
        (("a", Some("b"), None), pairs(&all[..1], true), true),
        (("b", None, None), pairs(&all[1..], true), true),
        (("c", None, None), pairs(&[], true), true),
        (("b", Some("a"), None), pairs(&[], true), true),
        // A bound of the servers may cut it short, but not to nothing, and not without a word.
        (("", None, None), pairs(&all[..1], false), true),
        (("", None, Some(1)), pairs(&all[..1], false), true),
        (("", None, None), pairs(&[], false), false),
        (("", None, None), pairs(&all[..1], true), false),
        (("", None, None), pairs(all, false), false),
        (("", None, Some(1)), pairs(all, true), false),
        (("", None, None), pairs(&[("b", "1"), ("a", "1")], true), false),
        (("", None, None), pairs(&[("a", "1"), ("b", "2")], true), false),
        (("", None, None), pairs(&[("a", "1"), ("b", "1"), ("c", "1")], true), false),
        (("b", None, None), pairs(all, true), false),
    ];
    for (asked, output, right) in table {
        let mut history = two_keys();
        let told = format!("{asked:?} {output:?}");
        range(&mut history, asked, output, 2);
        assert_eq!(certify(&history).is_ok(), right, "{told}");
        let judgement = judge(&history, Budget::default());
        assert_eq!(judgement.verdict.is_pass(), right, "{told}");
        assert_eq!(judgement.method == Method::Certificate, right, "{told}");
    }
}

#[test]
fn the_search_sees_a_stale_range_but_passes_none() {
    let mut history = two_keys();
    range(&mut history, ("", None, None), pairs(&[("a", "1")], true), 1);
    let judgement = judge(&history, Budget::default());
    let Verdict::Violation(violation) = judgement.verdict else { panic!("{judgement}") };
    assert_eq!(violation.key, "b");
    assert!(violation.in_words().ends_with("acknowledged, and does not show it"), "{violation}");
}

#[test]
fn what_each_key_allows_and_all_together_do_not_is_undecided() {
    // Both writes and both ranges are in flight at once; one range sees only the first write, the other only the second.
    let mut history = History::new();
    for (process, key) in [(1, "a"), (2, "b")] {
        history.invoke(Process(process), key, Input::put("1"), 0);
    }
    let ranges = [(3, "a"), (4, "b")].map(|(process, key)| {
        let input = Input::Range { end: None, limit: None };
        (history.invoke(Process(process), "", input, 10), process, key)
    });
    for (op, process, key) in ranges {
        history.ok(op, pairs(&[(key, "1")], true), 20);
        history.place(op, process);
    }
    let judgement = judge(&history, Budget::default());
    assert_eq!(judgement.verdict, Verdict::Undecided { keys: Vec::new(), across: 2 });
    assert_eq!(
        judgement.verdict.to_string(),
        "undecided: 2 operations are on several keys, and no search knows"
    );
}

#[test]
fn an_unanswered_write_that_a_range_saw_finds_its_place() {
    let mut history = two_keys();
    let put = history.invoke(Process(3), "b", Input::put("2"), 50);
    let before = range(&mut history, ("", None, None), pairs(&[("a", "1"), ("b", "1")], true), 2);
    let after = range(&mut history, ("", None, None), pairs(&[("a", "1"), ("b", "2")], true), 3);
    let order = certify(&history).unwrap().order;
    assert_eq!(order, [OpId(0), OpId(1), before, put, after]);
}

#[test]
fn it_survives_the_file() {
    let mut history = two_keys();
    range(&mut history, ("a", Some("c"), Some(1)), pairs(&[("a", "1")], false), 2);
    let mut file = Vec::new();
    history.write(&mut file).unwrap();
    let text = String::from_utf8(file).unwrap();
    let input = r#""key":"a","input":{"range":{"end":"c","limit":1}}"#;
    let answer = r#"{"ok":{"pairs":{"found":[["a","1"]],"complete":false}}}"#;
    assert!(text.contains(input) && text.contains(answer), "{text}");
    assert_eq!(History::read(text.as_bytes()).unwrap().operations(), history.operations());
}
