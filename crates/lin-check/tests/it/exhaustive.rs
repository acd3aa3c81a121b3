//! Holds the search against brute force, on all small histories of two processes: every sequence
//! of operations of an alphabet, dealt to the processes in every way, with their calls and returns
//! interleaved in every way. The reference tries every order of every subset of the unknown
//! operations, and shares nothing with the search, not even what the operations mean. The certificate is
//! held against it too, with the indexes of the answered operations in every order.

use lin_check::{
    Budget, History, Input, Operation, Outcome, Output, Process, Verdict, Violation, certify, check,
};

type Letter = (Input, Outcome);

fn value(value: Option<&str>) -> Outcome {
    Outcome::Ok(Output::Value(value.map(String::from)))
}

/// Two values, written surely or perhaps, and read.
fn puts_and_gets() -> Vec<Letter> {
    vec![
        (Input::put("a"), Outcome::Ok(Output::Done)),
        (Input::put("b"), Outcome::Ok(Output::Done)),
        (Input::put("a"), Outcome::Unknown),
        (Input::Get, value(None)),
        (Input::Get, value(Some("a"))),
        (Input::Get, value(Some("b"))),
    ]
}

/// All kinds of questions and answers.
fn everything() -> Vec<Letter> {
    let swap = Input::cas(Some("a"), Some("b"));
    let remove = Input::cas(Some("b"), None);
    let create = Input::cas(None, Some("a"));
    let found = |value: &str| Outcome::Ok(Output::DiffersFrom(Some(String::from(value))));
    vec![
        (Input::put("a"), Outcome::Ok(Output::Put { replaced: false })),
        (Input::put("b"), Outcome::Ok(Output::Put { replaced: true })),
        (Input::put("b"), Outcome::Unknown),
        (Input::put("b"), Outcome::Fail),
        (Input::Delete, Outcome::Ok(Output::Deleted { existed: true })),
        (Input::Delete, Outcome::Ok(Output::Deleted { existed: false })),
        (Input::Delete, Outcome::Unknown),
        (swap.clone(), Outcome::Ok(Output::Swapped)),
        (swap.clone(), Outcome::Ok(Output::Differs)),
        (swap, Outcome::Unknown),
        (remove.clone(), Outcome::Ok(Output::Swapped)),
        (remove, found("a")),
        (create.clone(), Outcome::Unknown),
        (create, found("b")),
        (Input::Get, value(None)),
        (Input::Get, value(Some("b"))),
        (Input::Get, Outcome::Unknown),
    ]
}

/// Calls `judge` with every history of `count` operations, and returns how many there were.
fn for_all(alphabet: &[Letter], count: usize, judge: &mut impl FnMut(&[Operation])) -> usize {
    let mut histories = 0;
    let words = alphabet.len().pow(u32::try_from(count).unwrap());
    // The processes are alike, so that the first operation may as well be of process 0.
    for deal in (0..1_usize << count).step_by(2) {
        let mut timings = Vec::new();
        interleave(deal, count, &mut Vec::new(), &mut timings);
        for (word, times) in (0..words).flat_map(|word| timings.iter().map(move |t| (word, t))) {
            let mut rest = word;
            let mut operations = Vec::new();
            for (position, (called_ns, returned_ns)) in times.iter().enumerate() {
                let (input, outcome) = alphabet[rest % alphabet.len()].clone();
                rest /= alphabet.len();
                operations.push(Operation {
                    process: Process(u64::from(deal >> position & 1 == 1)),
                    key: String::from("x"),
                    input,
                    called_ns: *called_ns,
                    returned_ns: (outcome != Outcome::Unknown).then_some(*returned_ns),
                    outcome,
                    index: None,
                    node: None,
                    term: None,
                });
            }
            judge(&operations);
            histories += 1;
        }
    }
    histories
}

/// All ways to order the calls and returns of operations dealt to processes by the bits of `deal`.
/// `events` are the processes that had the word so far: for a call and a return in turn.
fn interleave(
    deal: usize,
    count: usize,
    events: &mut Vec<usize>,
    timings: &mut Vec<Vec<(u64, u64)>>,
) {
    if events.len() == 2 * count {
        let instants = |process: usize| {
            (0_u64..).zip(&*events).filter(move |(_, who)| **who == process).map(|(now, _)| now)
        };
        let mut of = [instants(0), instants(1)];
        let times = (0..count).map(|position| {
            let mine = &mut of[deal >> position & 1];
            (mine.next().unwrap(), mine.next().unwrap())
        });
        timings.push(times.collect());
        return;
    }
    for process in 0..2 {
        let dealt = (0..count).filter(|position| deal >> position & 1 == process).count();
        if events.iter().filter(|who| **who == process).count() < 2 * dealt {
            events.push(process);
            interleave(deal, count, events, timings);
            events.pop();
        }
    }
}

/// Whether some order of the answered operations and of some unknown ones explains all answers.
fn brute_force(operations: &[Operation]) -> bool {
    explains(operations, &mut vec![false; operations.len()], None)
}

fn explains<'a>(operations: &'a [Operation], used: &mut [bool], state: Option<&'a str>) -> bool {
    let answered = |operation: &Operation| matches!(operation.outcome, Outcome::Ok(_));
    if (0..used.len()).all(|position| used[position] || !answered(&operations[position])) {
        return true;
    }
    for next in 0..operations.len() {
        let operation = &operations[next];
        let overdue = operations.iter().zip(&*used).any(|(other, used)| {
            !used && answered(other) && other.returned_ns < Some(operation.called_ns)
        });
        if used[next] || operation.outcome == Outcome::Fail || overdue {
            continue;
        }
        if let Some(after) = outcome_of(operation, state) {
            used[next] = true;
            if explains(operations, used, after) {
                return true;
            }
            used[next] = false;
        }
    }
    false
}

/// The state after the operation: it says what it would answer, and that must be what was answered.
#[expect(clippy::option_option, reason = "no state after, or the state of having no value")]
fn outcome_of<'a>(operation: &'a Operation, state: Option<&'a str>) -> Option<Option<&'a str>> {
    let (after, answers): (Option<&str>, Vec<Output>) = match &operation.input {
        Input::Range { .. } => panic!("there is one key"),
        Input::Get => (state, vec![Output::Value(state.map(String::from))]),
        Input::Put { value } => {
            (Some(value), vec![Output::Done, Output::Put { replaced: state.is_some() }])
        }
        Input::Delete => (None, vec![Output::Done, Output::Deleted { existed: state.is_some() }]),
        Input::Cas { expected, value } if expected.as_deref() == state => {
            (value.as_deref(), vec![Output::Swapped])
        }
        Input::Cas { .. } => {
            (state, vec![Output::Differs, Output::DiffersFrom(state.map(String::from))])
        }
    };
    match &operation.outcome {
        Outcome::Ok(output) => answers.contains(output).then_some(after),
        Outcome::Fail | Outcome::Unknown => Some(after),
    }
}

fn history(operations: &[Operation]) -> History {
    let mut history = History::new();
    for operation in operations {
        history.push(operation.clone()).unwrap();
    }
    history
}

/// The operations with the answers of all but some forgotten.
fn weakened(
    operations: &[Operation],
    violation: &Violation,
    forget: Option<usize>,
) -> Vec<Operation> {
    let held = |position: usize| {
        violation.conflict.iter().any(|(op, _)| op.0 == position) && forget != Some(position)
    };
    let mut weakened = operations.to_vec();
    for (position, operation) in weakened.iter_mut().enumerate() {
        if !held(position) && operation.outcome != Outcome::Fail {
            operation.outcome = Outcome::Unknown;
            operation.returned_ns = None;
        }
    }
    weakened
}

/// Judges all histories of an alphabet both ways. The explanation of a violation must itself be one,
/// and nothing of it may be superfluous.
fn compare(alphabet: &[Letter], count: usize) -> usize {
    let (mut passes, mut violations) = (0, 0);
    let histories = for_all(alphabet, count, &mut |operations| match check(
        &history(operations),
        Budget::default(),
    ) {
        Verdict::Linearizable => {
            assert!(brute_force(operations), "wrongly passed: {operations:#?}");
            passes += 1;
        }
        Verdict::Violation(violation) => {
            assert!(!brute_force(operations), "false alarm: {operations:#?}");
            assert!(!brute_force(&weakened(operations, &violation, None)), "{violation}");
            for (op, _) in &violation.conflict {
                let fewer = weakened(operations, &violation, Some(op.0));
                assert!(brute_force(&fewer), "{op:?} is superfluous: {violation}");
            }
            violations += 1;
        }
        Verdict::Undecided { .. } => panic!("out of budget: {operations:#?}"),
    });
    assert!(0 < passes && 0 < violations, "{passes} passes, {violations} violations");
    histories
}

#[test]
fn all_histories_of_up_to_four_puts_and_gets() {
    let histories: usize = (1..=4).map(|count| compare(&puts_and_gets(), count)).sum();
    // Words times (interleavings of all deals).
    assert_eq!(histories, 6 + 36 * (1 + 6) + 216 * (1 + 3 * 15) + 1296 * (1 + 4 * 28 + 3 * 70));
}

#[test]
fn all_histories_of_up_to_three_operations_of_any_kind() {
    let histories: usize = (1..=3).map(|count| compare(&everything(), count)).sum();
    assert_eq!(histories, 17 + 17 * 17 * (1 + 6) + 17 * 17 * 17 * (1 + 3 * 15));
}

/// What certificates have to get right: everything that is answered differently by what unanswered writes
/// did.
fn guesses() -> Vec<Letter> {
    vec![
        (Input::put("a"), Outcome::Ok(Output::Put { replaced: false })),
        (Input::put("b"), Outcome::Ok(Output::Put { replaced: true })),
        (Input::put("a"), Outcome::Unknown),
        (Input::put("b"), Outcome::Unknown),
        (Input::Delete, Outcome::Ok(Output::Deleted { existed: false })),
        (Input::Delete, Outcome::Unknown),
        (Input::cas(Some("a"), Some("b")), Outcome::Ok(Output::Swapped)),
        (Input::cas(Some("a"), Some("b")), Outcome::Unknown),
        (Input::cas(Some("b"), None), Outcome::Unknown),
        (Input::cas(None, Some("a")), Outcome::Ok(Output::Differs)),
        (Input::Get, value(None)),
        (Input::Get, value(Some("b"))),
    ]
}

/// All orders of so many things.
fn orders(count: usize) -> Vec<Vec<u64>> {
    let Some(fewer) = count.checked_sub(1) else { return vec![Vec::new()] };
    let insert = |order: Vec<u64>| {
        (0..count).map(move |place| {
            let mut order = order.clone();
            order.insert(place, fewer as u64);
            order
        })
    };
    orders(fewer).into_iter().flat_map(insert).collect()
}

/// A certificate is a proof; and a history of which there is one is proven by some order of the indexes,
/// whatever its unanswered writes did.
fn certificates(alphabet: &[Letter], count: usize) -> usize {
    let (mut proofs, mut histories) = (0, 0);
    for_all(alphabet, count, &mut |operations| {
        let answered: Vec<usize> =
            (0..count).filter(|at| matches!(operations[*at].outcome, Outcome::Ok(_))).collect();
        let mut proven = 0;
        for order in orders(answered.len()) {
            let mut placed = operations.to_vec();
            for (at, index) in answered.iter().zip(order) {
                placed[*at].index = Some(index);
            }
            let history = history(&placed);
            if let Ok(certificate) = certify(&history) {
                assert_eq!(certificate.verify(&history), Ok(()));
                proven += 1;
            }
        }
        assert_eq!(0 < proven, brute_force(operations), "{operations:#?}");
        proofs += proven;
        histories += 1;
    });
    assert!(0 < proofs && proofs < 6 * histories, "{proofs} proofs of {histories} histories");
    proofs
}

#[test]
fn certificates_of_all_histories_of_up_to_three_operations() {
    let proofs: usize = (1..=3).map(|count| certificates(&guesses(), count)).sum();
    assert!(10_000 < proofs, "{proofs}");
}
