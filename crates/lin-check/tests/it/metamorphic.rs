//! Shows that changes whose effect on the verdict is known have that effect, on random histories:
//! legal by construction (every operation takes effect at a chosen instant within its interval), or
//! the same with answers altered at random.

use std::collections::BTreeMap;

use lin_check::{
    Budget, History, Input, Method, Operation, Outcome, Output, Process, Verdict, certify, check,
    judge, judge_twice,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// How one operation goes: what, when, how long before and after it takes effect it is called and
/// returns, and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    input: Input,
    key: &'static str,
    before_ns: u64,
    after_ns: u64,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Answered,
    TookEffectUnknown,
    NeverHappenedUnknown,
    Failed,
}

fn inputs() -> impl Strategy<Value = Input> {
    let value = || select(vec!["a", "b", "c"]);
    let held = || proptest::option::of(value());
    prop_oneof![
        3 => Just(Input::Get),
        3 => value().prop_map(Input::put),
        1 => Just(Input::Delete),
        2 => (held(), held()).prop_map(|(expected, value)| Input::cas(expected, value)),
    ]
}

/// Some questions about both keys among them.
pub(crate) fn plans_with_ranges() -> impl Strategy<Value = Vec<Plan>> {
    let range = (proptest::option::of(select(vec!["x", "y", "z"])), proptest::option::of(1..3_u32))
        .prop_map(|(end, limit)| Input::Range { end: end.map(String::from), limit });
    plans_of(prop_oneof![3 => inputs(), 1 => range])
}

pub(crate) fn plans() -> impl Strategy<Value = Vec<Plan>> {
    plans_of(inputs())
}

fn plans_of(inputs: impl Strategy<Value = Input>) -> impl Strategy<Value = Vec<Plan>> {
    let fate = prop_oneof![
        8 => Just(Fate::Answered),
        1 => Just(Fate::TookEffectUnknown),
        1 => Just(Fate::NeverHappenedUnknown),
        1 => Just(Fate::Failed),
    ];
    let plan = (inputs, select(vec!["x", "x", "y"]), 0..40_u64, 0..40_u64, fate).prop_map(
        |(input, key, before_ns, after_ns, fate)| Plan { input, key, before_ns, after_ns, fate },
    );
    proptest::collection::vec(plan, 1..25)
}

/// Carries out the plans, one every ten nanoseconds, with the place of each as its index.
pub(crate) fn carry_out(plans: &[Plan]) -> Vec<Operation> {
    let mut state = Held::new();
    let mut operations = Vec::new();
    for (number, plan) in (1_u64..).zip(plans) {
        let now_ns = 100 + 10 * number;
        let happens = matches!(plan.fate, Fate::Answered | Fate::TookEffectUnknown);
        let output =
            if happens { take_effect(plan.key, &plan.input, &mut state) } else { Output::Done };
        operations.push(Operation {
            process: Process(number),
            key: String::from(plan.key),
            input: plan.input.clone(),
            called_ns: now_ns - plan.before_ns,
            returned_ns: (plan.fate == Fate::Answered).then_some(now_ns + plan.after_ns),
            outcome: match plan.fate {
                Fate::Answered => Outcome::Ok(output),
                Fate::TookEffectUnknown | Fate::NeverHappenedUnknown => Outcome::Unknown,
                Fate::Failed => Outcome::Fail,
            },
            index: happens.then_some(number),
            node: None,
            term: None,
        });
    }
    operations
}

type Held = BTreeMap<&'static str, Option<String>>;

fn take_effect(key: &'static str, input: &Input, store: &mut Held) -> Output {
    if let Input::Range { end, limit } = input {
        let within = |name: &str| key <= name && end.as_deref().is_none_or(|end| name < end);
        let mut found: Vec<(String, String)> = store
            .iter()
            .filter(|(name, _)| within(name))
            .filter_map(|(name, value)| Some((String::from(*name), value.clone()?)))
            .collect();
        let all = found.len();
        found.truncate(limit.map_or(all, |limit| limit as usize));
        return Output::Pairs { complete: found.len() == all, found };
    }
    let held = store.entry(key).or_default();
    let before = held.clone();
    match input {
        Input::Range { .. } => unreachable!("answered above"),
        Input::Get => Output::Value(before),
        Input::Put { value } => {
            *held = Some(value.clone());
            Output::Put { replaced: before.is_some() }
        }
        Input::Delete => {
            *held = None;
            Output::Deleted { existed: before.is_some() }
        }
        Input::Cas { expected, value } if *expected == before => {
            held.clone_from(value);
            Output::Swapped
        }
        Input::Cas { .. } => Output::DiffersFrom(before),
    }
}

/// The same history, but some answers are those of other operations of the kind.
fn alter(operations: &mut [Operation], swaps: &[(Index, Index)]) {
    for (one, other) in swaps {
        let (one, other) = (one.index(operations.len()), other.index(operations.len()));
        let outcome = operations[other].outcome.clone();
        let fits =
            matches!(&outcome, Outcome::Ok(output) if operations[one].input.is_answered_by(output));
        if fits && matches!(operations[one].outcome, Outcome::Ok(_)) {
            operations[one].outcome = outcome;
        }
    }
}

pub(crate) fn altered() -> impl Strategy<Value = Vec<Operation>> {
    (plans(), proptest::collection::vec(any::<(Index, Index)>(), 0..4)).prop_map(
        |(plans, swaps)| {
            let mut operations = carry_out(&plans);
            alter(&mut operations, &swaps);
            operations
        },
    )
}

pub(crate) fn history(operations: &[Operation]) -> History {
    let mut history = History::new();
    for operation in operations {
        history.push(operation.clone()).unwrap();
    }
    history
}

fn verdict(operations: &[Operation]) -> Verdict {
    check(&history(operations), Budget::default())
}

/// Whether the history is linearizable. Small ones are always decided.
fn passes(operations: &[Operation]) -> bool {
    let verdict = verdict(operations);
    assert!(!matches!(verdict, Verdict::Undecided { .. }), "{verdict}");
    verdict.is_pass()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_really_happened_passes(plans in plans()) {
        let operations = carry_out(&plans);
        prop_assert!(passes(&operations), "{}", verdict(&operations));
        let history = history(&operations);
        prop_assert!(certify(&history).is_ok());
        prop_assert_eq!(judge_twice(&history, Budget::default()).method, Method::Both);
    }

    #[test]
    fn a_run_with_ranges_passes_by_certificate_alone(plans in plans_with_ranges()) {
        let operations = carry_out(&plans);
        let history = history(&operations);
        let proof = certify(&history);
        prop_assert!(proof.is_ok(), "{:?}", proof);
        let ranges = |it: &Operation| matches!(it.outcome, Outcome::Ok(Output::Pairs { .. }));
        let verdict = check(&history, Budget::default());
        prop_assert!(!matches!(verdict, Verdict::Violation(_)), "{}", verdict);
        prop_assert_eq!(verdict.is_pass(), !operations.iter().any(ranges), "{}", verdict);
    }

    #[test]
    fn what_the_search_finds_is_a_certificate_as_well(operations in altered()) {
        let mut unplaced = operations.clone();
        for operation in &mut unplaced {
            operation.index = None;
        }
        let history = history(&unplaced);
        let judgement = judge(&history, Budget::default());
        prop_assert_eq!(judgement.certificate.is_some(), judgement.verdict.is_pass());
        if let Some(certificate) = judgement.certificate {
            prop_assert_eq!(certificate.verify(&history), Ok(()));
        }
    }

    #[test]
    fn a_certificate_is_never_contradicted_by_the_search(
        mut operations in altered(), moved in any::<Index>(), to in 1..25_u64,
    ) {
        let moved = moved.index(operations.len());
        operations[moved].index = operations[moved].index.map(|_| to);
        prop_assert!(certify(&history(&operations)).is_err() || passes(&operations));
    }

    #[test]
    fn wider_intervals_keep_a_legal_history_legal(
        operations in altered(), widths in proptest::collection::vec((0..100_u64, 0..50_u64), 25),
    ) {
        let mut wider = operations.clone();
        for (operation, (before_ns, after_ns)) in wider.iter_mut().zip(widths) {
            operation.called_ns = operation.called_ns.saturating_sub(before_ns);
            operation.returned_ns = operation.returned_ns.map(|at| at + after_ns);
        }
        prop_assert!(!passes(&operations) || passes(&wider));
    }

    #[test]
    fn forgetting_an_answer_keeps_a_legal_history_legal(
        operations in altered(), forgotten in any::<Index>(),
    ) {
        let mut fewer = operations.clone();
        let forgotten = forgotten.index(fewer.len());
        if fewer[forgotten].outcome != Outcome::Fail {
            fewer[forgotten].outcome = Outcome::Unknown;
        }
        prop_assert!(!passes(&operations) || passes(&fewer));
    }

    #[test]
    fn dropping_an_unknown_operation_keeps_an_illegal_history_illegal(operations in altered()) {
        let mut fewer = operations.clone();
        fewer.retain(|operation| operation.outcome != Outcome::Unknown);
        prop_assert!(passes(&operations) || !passes(&fewer));
    }

    #[test]
    fn an_unknown_read_or_a_failed_operation_changes_nothing(
        operations in altered(), input in inputs(), called_ns in 0..400_u64,
    ) {
        let mut more = operations.clone();
        let outcome = if input == Input::Get { Outcome::Unknown } else { Outcome::Fail };
        more.push(Operation {
            process: Process(99),
            key: String::from("x"),
            input,
            called_ns,
            returned_ns: None,
            outcome,
            index: None,
            node: None,
            term: None,
        });
        prop_assert_eq!(passes(&operations), passes(&more));
    }

    #[test]
    fn neither_the_start_nor_the_pace_of_the_clock_matters(
        operations in altered(), shift_ns in 0..1_u64 << 60, pace in 1..1000_u64,
    ) {
        let mut shifted = operations.clone();
        for operation in &mut shifted {
            operation.called_ns = operation.called_ns * pace + shift_ns;
            operation.returned_ns = operation.returned_ns.map(|at| at * pace + shift_ns);
        }
        prop_assert_eq!(verdict_shape(&operations), verdict_shape(&shifted));
    }

    #[test]
    fn neither_the_order_nor_the_names_in_the_file_matter(operations in altered()) {
        let mut renamed = operations.clone();
        renamed.reverse();
        for operation in &mut renamed {
            operation.process = Process(1000 - operation.process.0);
            operation.key.push('!');
        }
        prop_assert_eq!(passes(&operations), passes(&renamed));
    }
}

/// The verdict without its times: which operations contradict each other.
fn verdict_shape(operations: &[Operation]) -> Option<Vec<usize>> {
    match verdict(operations) {
        Verdict::Violation(violation) => {
            Some(violation.conflict.iter().map(|(op, _)| op.0).collect())
        }
        Verdict::Linearizable | Verdict::Undecided { .. } => None,
    }
}
