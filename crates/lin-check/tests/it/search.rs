//! Shows that the search copes with long histories and with unknown outcomes, that a budget which
//! runs out is never a pass, and that a linearization it returns is one.

use lin_check::{
    Answer, Budget, Call, Found, History, Input, Model, Output, Process, Register, Verdict, check,
    search,
};

fn value(value: &str) -> Output {
    Output::Value(Some(String::from(value)))
}

/// `rounds` times `clients` puts at once, and then as many gets at once that all see the last put.
fn rounds(rounds: usize, clients: u64) -> History {
    let mut history = History::new();
    for round in 0..rounds {
        let written = |client: u64| format!("{round}.{client}");
        let puts: Vec<_> = (0..clients)
            .map(|client| history.invoke(Process(client), "x", Input::put(written(client)), 0))
            .collect();
        for put in puts {
            history.ok(put, Output::Done, 0);
        }
        let gets: Vec<_> = (0..clients)
            .map(|client| history.invoke(Process(client), "x", Input::Get, 0))
            .collect();
        for get in gets {
            history.ok(get, value(&written(0)), 0);
        }
    }
    history
}

#[test]
fn a_long_history_takes_about_as_many_steps_as_it_has_operations() {
    let history = rounds(2_000, 5);
    let operations = u64::try_from(history.operations().len()).unwrap();
    assert_eq!(operations, 20_000);
    assert_eq!(check(&history, Budget::steps(20 * operations)), Verdict::Linearizable);
}

#[test]
fn a_spent_budget_is_not_a_pass_and_names_the_keys() {
    let history = rounds(2, 5);
    for steps in 0..20 {
        let verdict = check(&history, Budget::steps(steps));
        assert_eq!(verdict, Verdict::Undecided { keys: vec![String::from("x")], across: 0 });
        assert!(!verdict.is_pass());
    }
}

#[test]
fn a_violation_on_one_key_outweighs_a_spent_budget_on_another() {
    let mut history = rounds(2, 5);
    let get = history.invoke(Process(0), "y", Input::Get, 0);
    history.ok(get, value("from nowhere"), 0);
    let Verdict::Violation(violation) = check(&history, Budget::steps(3)) else {
        panic!("three steps are enough for key y");
    };
    assert_eq!(violation.key, "y");
}

#[test]
fn nothing_is_linearizable_even_without_a_budget() {
    assert_eq!(check(&History::new(), Budget::steps(0)), Verdict::Linearizable);
}

#[test]
fn unknown_writes_that_nobody_saw_cost_little() {
    // Tried in every combination, they would outlast us all.
    let mut history = History::new();
    for number in 0..40 {
        let lost = Input::put(format!("lost {number}"));
        history.invoke(Process(1_000 + number), "x", lost, 0);
        let put = history.invoke(Process(1), "x", Input::put(format!("{number}")), 0);
        history.ok(put, Output::Put { replaced: 0 < number }, 0);
        let get = history.invoke(Process(1), "x", Input::Get, 0);
        history.ok(get, value(&format!("{number}")), 0);
    }
    assert_eq!(check(&history, Budget::default()), Verdict::Linearizable);

    let get = history.invoke(Process(1), "x", Input::Get, 0);
    history.ok(get, value("0"), 0);
    let Verdict::Violation(violation) = check(&history, Budget::default()) else {
        panic!("the last read is stale");
    };
    // A later answer that rules value 0 out, and the read that saw it again.
    assert!(violation.conflict.len() <= 3, "{violation}");
    assert_eq!(violation.conflict.last().map(|(op, _)| *op), Some(get));
}

#[test]
fn an_unknown_write_takes_effect_whenever_it_is_needed_but_not_twice_nor_before_its_call() {
    let read = |history: &mut History, seen: &str| {
        let get = history.invoke(Process(2), "x", Input::Get, 0);
        history.ok(get, value(seen), 0);
    };
    let mut late = History::new();
    let put = late.invoke(Process(1), "x", Input::put("a"), 0);
    late.ok(put, Output::Done, 0);
    let mut early = late.clone();
    let lost = late.invoke(Process(1), "x", Input::put("b"), 0);
    late.unknown(lost);
    for seen in ["a", "a", "b", "b"] {
        read(&mut late, seen);
        assert!(check(&late, Budget::default()).is_pass());
    }
    let put = late.invoke(Process(1), "x", Input::put("c"), 0);
    late.ok(put, Output::Done, 0);
    read(&mut late, "c");
    assert!(check(&late, Budget::default()).is_pass());
    read(&mut late, "b");
    assert!(!check(&late, Budget::default()).is_pass());

    read(&mut early, "b");
    early.invoke(Process(1), "x", Input::put("b"), 0);
    assert!(!check(&early, Budget::default()).is_pass());
}

#[test]
fn the_linearization_explains_the_answers_in_time() {
    let history = rounds(3, 3);
    let calls: Vec<Call<&Input, Output>> = history
        .operations()
        .iter()
        .map(|operation| {
            let lin_check::Outcome::Ok(output) = &operation.outcome else {
                panic!("all operations are answered");
            };
            let returned_ns = operation.returned_ns.unwrap();
            let answer = Some(Answer { output: output.clone(), returned_ns });
            Call { input: &operation.input, called_ns: operation.called_ns, answer }
        })
        .collect();
    let calls: Vec<Call<&Input, &Output>> = calls
        .iter()
        .map(|call| {
            let answer = call
                .answer
                .as_ref()
                .map(|a| Answer { output: &a.output, returned_ns: a.returned_ns });
            Call { input: call.input, called_ns: call.called_ns, answer }
        })
        .collect();
    let Found::Linearization(order) = search::<Register<'_>>(&calls, &mut Budget::default()) else {
        panic!("the history is linearizable");
    };
    let mut state = Register::initial();
    let mut latest_call_ns = 0;
    for position in &order {
        let answer = calls[*position].answer.as_ref().unwrap();
        state = Register::step(&state, &calls[*position].input, Some(&answer.output)).unwrap();
        latest_call_ns = latest_call_ns.max(calls[*position].called_ns);
        assert!(latest_call_ns <= answer.returned_ns);
    }
    let mut sorted = order;
    sorted.sort_unstable();
    assert_eq!(sorted, (0..calls.len()).collect::<Vec<_>>());
}

/// A counter: another specification than the register, for the search takes any.
struct Counter;

impl Model for Counter {
    type State = u64;
    type Input = ();
    type Output = u64;

    fn initial() -> u64 {
        0
    }

    fn step(state: &u64, (): &(), output: Option<&u64>) -> Option<u64> {
        output.is_none_or(|output| *output == state + 1).then_some(state + 1)
    }

    fn is_read((): &()) -> bool {
        false
    }
}

#[test]
fn any_model_will_do() {
    let call = |called_ns, returned_ns, output| Call {
        input: (),
        called_ns,
        answer: Some(Answer { output, returned_ns }),
    };
    let mut budget = Budget::default();
    let overlapping = [call(0, 5, 2), call(1, 6, 1), call(7, 8, 3)];
    let found = search::<Counter>(&overlapping, &mut budget);
    assert_eq!(found, Found::Linearization(vec![1, 0, 2]));
    let twice = [call(0, 1, 1), call(2, 3, 1), call(4, 5, 2)];
    assert_eq!(search::<Counter>(&twice, &mut budget), Found::Nothing { blocked: 1 });
}
