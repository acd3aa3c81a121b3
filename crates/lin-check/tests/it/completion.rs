//! Shows that writes without an answer find their place in the certificate, from nothing but what
//! others saw of them: first the stories, then random runs whose values are written only once, as a
//! load generator writes them, with many writes unanswered. Those always pass without a search.

use std::collections::BTreeMap;

use lin_check::{History, Input, OpId, Operation, Outcome, Output, Process, certify};
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn value(value: Option<&str>) -> Output {
    Output::Value(value.map(String::from))
}

/// A history of one key, with an operation every ten nanoseconds.
#[derive(Default)]
struct Story {
    history: History,
    now_ns: u64,
}

impl Story {
    /// Answered at an index.
    fn answered(&mut self, input: Input, output: Output, index: u64) -> OpId {
        let op = self.unanswered(input);
        self.history.ok(op, output, self.now_ns + 5);
        self.history.place(op, index);
        op
    }

    /// Still in flight when the recording stops.
    fn unanswered(&mut self, input: Input) -> OpId {
        self.now_ns += 10;
        self.history.invoke(Process(self.now_ns), "x", input, self.now_ns)
    }

    fn is_proven_by(&self, order: &[OpId]) {
        assert_eq!(certify(&self.history).map(|proof| proof.order).as_deref(), Ok(order));
    }
}

#[test]
fn a_write_is_put_before_the_first_who_saw_it() {
    let mut story = Story::default();
    let lost = story.unanswered(Input::put("lost"));
    let late = story.unanswered(Input::put("late"));
    let before = story.answered(Input::put("a"), Output::Done, 1);
    let reads = story.answered(Input::Get, value(Some("a")), 1);
    let sees = story.answered(Input::Get, value(Some("late")), 4);
    let again = story.answered(Input::Get, value(Some("late")), 4);
    story.is_proven_by(&[before, reads, late, sees, again]);
    assert_eq!(story.history.operations()[lost.0].outcome, Outcome::Unknown);
}

#[test]
fn a_chain_of_unanswered_swaps_is_followed_back() {
    let mut story = Story::default();
    let third = story.unanswered(Input::cas(Some("b"), Some("c")));
    let second = story.unanswered(Input::cas(Some("a"), Some("b")));
    let first = story.unanswered(Input::put("a"));
    let never = story.unanswered(Input::cas(Some("z"), Some("y")));
    let swap = story.answered(Input::cas(Some("c"), Some("d")), Output::Swapped, 9);
    story.is_proven_by(&[first, second, third, swap]);
    assert_eq!(story.history.operations()[never.0].index, None);
}

#[test]
fn a_delete_shows_by_what_is_gone() {
    let mut story = Story::default();
    let put = story.answered(Input::put("a"), Output::Put { replaced: false }, 1);
    let delete = story.unanswered(Input::Delete);
    let unused = story.unanswered(Input::Delete);
    let gone = story.answered(Input::Delete, Output::Deleted { existed: false }, 5);
    let swap = story.answered(Input::cas(None, Some("b")), Output::Swapped, 6);
    let remove = story.unanswered(Input::cas(Some("b"), None));
    let other = story.answered(Input::cas(Some("b"), Some("c")), Output::DiffersFrom(None), 8);
    story.is_proven_by(&[put, delete, gone, swap, remove, other]);
    assert_eq!(story.history.operations()[unused.0].outcome, Outcome::Unknown);
}

#[test]
fn a_write_that_only_showed_as_something_is_not_one_that_was_seen_elsewhere() {
    let mut story = Story::default();
    let seen = story.unanswered(Input::put("seen"));
    let spare = story.unanswered(Input::put("spare"));
    let over = story.answered(Input::put("a"), Output::Put { replaced: true }, 3);
    let get = story.answered(Input::Get, value(Some("seen")), 5);
    story.is_proven_by(&[spare, over, seen, get]);
}

#[test]
fn what_was_called_too_late_explains_nothing() {
    let mut story = Story::default();
    story.answered(Input::Get, value(Some("a")), 4);
    story.unanswered(Input::put("a"));
    assert!(certify(&story.history).is_err());
}

/// One step of a random run on two keys.
#[derive(Clone, Debug)]
struct Step {
    kind: u8,
    key: &'static str,
    /// Whether a swap names what is there.
    fits: bool,
    answered: bool,
    takes_effect: bool,
    before_ns: u64,
    after_ns: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let flags = (select(vec!["x", "y"]), any::<bool>(), 0..3_u8, any::<bool>());
    let step = (0..9_u8, flags, 0..60_u64, 0..60_u64).prop_map(
        |(kind, (key, fits, answered, takes_effect), before_ns, after_ns)| Step {
            kind,
            key,
            fits,
            answered: 0 < answered,
            takes_effect,
            before_ns,
            after_ns,
        },
    );
    proptest::collection::vec(step, 1..80)
}

/// Carries out the steps, every write with a value of its own. Nobody says where the unanswered took
/// effect, or whether.
fn run(steps: &[Step]) -> Vec<Operation> {
    let mut held = BTreeMap::<&str, Option<String>>::new();
    let mut operations = Vec::new();
    for (number, step) in (1_u64..).zip(steps) {
        let now_ns = 1000 + 10 * number;
        let state = held.entry(step.key).or_default();
        let fresh = Some(format!("v{number}"));
        let expected = if step.fits { state.clone() } else { Some(String::from("v0")) };
        let (input, output, after) = match step.kind {
            0..=2 => (Input::Get, Output::Value(state.clone()), state.clone()),
            3 => (Input::put(format!("v{number}")), Output::Done, fresh),
            4 => {
                let output = Output::Put { replaced: state.is_some() };
                (Input::put(format!("v{number}")), output, fresh)
            }
            5 => (Input::Delete, Output::Deleted { existed: state.is_some() }, None),
            kind => {
                let value = if kind == 6 { None } else { fresh };
                let (output, after) = match (expected == *state, kind) {
                    (true, _) => (Output::Swapped, value.clone()),
                    (false, 7) => (Output::Differs, state.clone()),
                    (false, _) => (Output::DiffersFrom(state.clone()), state.clone()),
                };
                (Input::Cas { expected, value }, output, after)
            }
        };
        if step.answered || step.takes_effect {
            *state = after;
        }
        operations.push(Operation {
            process: Process(number),
            key: String::from(step.key),
            input,
            called_ns: now_ns - step.before_ns,
            returned_ns: Some(now_ns + step.after_ns),
            outcome: if step.answered { Outcome::Ok(output) } else { Outcome::Unknown },
            index: step.answered.then_some(number),
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_really_happened_is_proven_without_a_search(steps in steps()) {
        let history = history(&run(&steps));
        let proof = certify(&history);
        prop_assert!(proof.is_ok(), "{:?}", proof);
        prop_assert_eq!(proof.unwrap().verify(&history), Ok(()));
    }

    #[test]
    fn a_value_that_nobody_wrote_is_never_explained(steps in steps(), one in any::<Index>()) {
        let mut operations = run(&steps);
        let one = one.index(operations.len());
        if operations[one].input == Input::Get && operations[one].index.is_some() {
            operations[one].outcome = Outcome::Ok(value(Some("v0")));
            prop_assert!(certify(&history(&operations)).is_err());
        }
    }
}
