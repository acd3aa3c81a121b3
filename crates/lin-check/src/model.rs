//! What the operations mean: the sequential specification that a history is held against.
//!
//! The [`Register`] is the specification of one key of a key-value store. Keys are independent of
//! each other, so that a history is linearizable if and only if it is for every key alone (Herlihy
//! and Wing call this locality). A range of keys breaks that: it is a question that only a replay of
//! the whole store answers, and no register knows.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::demand::{Demand, demand};

/// A sequential specification: the states, and the steps between them.
pub trait Model {
    /// All that a later step depends on.
    type State: Clone + Eq + Hash;
    /// What was asked.
    type Input: Clone;
    /// What was answered.
    type Output: Clone;

    /// The state before any operation.
    fn initial() -> Self::State;

    /// The state after `input` took effect in `state`, or `None` if it could not have been answered
    /// with `output` there. Without an output nothing was observed, and the step always exists.
    fn step(
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// Whether `input` changes no state whatsoever. If its answer is not known either, then it
    /// cannot matter.
    fn is_read(input: &Self::Input) -> bool;

    /// An answer that says less: whatever explains `output` explains it too. `None`: there is none.
    fn vaguer(output: &Self::Output) -> Option<Self::Output> {
        let _ = output;
        None
    }

    /// Which of the inputs that nobody was answered may help to explain these answers: without the
    /// others there is an order if and only if there is one with them. All, if that is not easily said.
    fn helpful(answers: &[(Self::Input, Self::Output)], unanswered: &[Self::Input]) -> Vec<bool> {
        let _ = answers;
        vec![true; unanswered.len()]
    }
}

/// What a client asked of one key, or of the keys from one on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Input {
    /// Read the value.
    Get,
    /// Set the value, whatever it was.
    Put {
        /// The new value.
        value: String,
    },
    /// Remove the value, whatever it was.
    Delete,
    /// Replace the value if it is the expected one. `None` stands for no value on both sides.
    Cas {
        /// What the key must hold.
        expected: Option<String>,
        /// What it holds afterwards.
        value: Option<String>,
    },
    /// Read the keys from this one on, in their order, with their values.
    Range {
        /// The first key that is not asked for. None: to the end.
        end: Option<String>,
        /// At most this many pairs. None: as many as the servers give.
        limit: Option<u32>,
    },
}

impl Input {
    /// A put of `value`.
    pub fn put(value: impl Into<String>) -> Input {
        Input::Put { value: value.into() }
    }

    /// A compare-and-swap from `expected` to `value`.
    pub fn cas(expected: Option<&str>, value: Option<&str>) -> Input {
        Input::Cas { expected: expected.map(String::from), value: value.map(String::from) }
    }

    /// Whether it changes nothing, whatever it finds.
    pub fn is_read(&self) -> bool {
        matches!(self, Input::Get | Input::Range { .. })
    }

    /// What the key holds after this write took effect and changed it. None: it is no write.
    #[expect(clippy::option_option, reason = "no write, or a write that leaves no value")]
    pub(crate) fn leaves(&self) -> Option<Option<&str>> {
        match self {
            Input::Get | Input::Range { .. } => None,
            Input::Put { value } => Some(Some(value)),
            Input::Delete => Some(None),
            Input::Cas { value, .. } => Some(value.as_deref()),
        }
    }

    /// Whether `output` is an answer to this kind of question.
    pub fn is_answered_by(&self, output: &Output) -> bool {
        match output {
            Output::Done => matches!(self, Input::Put { .. } | Input::Delete),
            Output::Put { .. } => matches!(self, Input::Put { .. }),
            Output::Deleted { .. } => matches!(self, Input::Delete),
            Output::Swapped | Output::Differs | Output::DiffersFrom(_) => {
                matches!(self, Input::Cas { .. })
            }
            Output::Value(_) => matches!(self, Input::Get),
            Output::Pairs { .. } => matches!(self, Input::Range { .. }),
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Get => write!(f, "get"),
            Input::Put { value } => write!(f, "put {value:?}"),
            Input::Delete => write!(f, "delete"),
            Input::Cas { expected, value } => {
                write!(f, "cas {} to {}", Shown(expected.as_deref()), Shown(value.as_deref()))
            }
            Input::Range { end, limit } => {
                match end {
                    Some(end) => write!(f, "range to {end:?}")?,
                    None => write!(f, "range to the end")?,
                }
                limit.map_or(Ok(()), |limit| write!(f, ", {limit} at most"))
            }
        }
    }
}

/// What a client was answered. The more an answer says, the more is checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Output {
    /// The put or delete took effect; nothing was said of what was there before.
    Done,
    /// The put took effect.
    Put {
        /// Whether there was a value before.
        replaced: bool,
    },
    /// The delete took effect.
    Deleted {
        /// Whether there was a value before.
        existed: bool,
    },
    /// The compare-and-swap found what it expected, and swapped.
    Swapped,
    /// The compare-and-swap found something else, and changed nothing.
    Differs,
    /// The compare-and-swap found this instead, and changed nothing.
    DiffersFrom(Option<String>),
    /// The get found this.
    Value(Option<String>),
    /// The range found these.
    Pairs {
        /// Keys and values, in ascending order of the keys.
        found: Vec<(String, String)>,
        /// Whether there are no more. The servers may give fewer than they were asked for, but at
        /// least one, and must say so.
        complete: bool,
    },
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Output::Done => write!(f, "done"),
            Output::Put { replaced: true } => write!(f, "done, replaced a value"),
            Output::Put { replaced: false } => write!(f, "done, there was none before"),
            Output::Deleted { existed: true } => write!(f, "done, removed a value"),
            Output::Deleted { existed: false } => write!(f, "done, there was none"),
            Output::Swapped => write!(f, "swapped"),
            Output::Differs => write!(f, "not swapped"),
            Output::DiffersFrom(value) => {
                write!(f, "not swapped, found {}", Shown(value.as_deref()))
            }
            Output::Value(value) => write!(f, "{}", Shown(value.as_deref())),
            Output::Pairs { found, complete } => {
                write!(f, "{} pairs{}", found.len(), if *complete { "" } else { " and more" })
            }
        }
    }
}

/// A value in a message.
struct Shown<'a>(Option<&'a str>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => write!(f, "{value:?}"),
            None => write!(f, "nothing"),
        }
    }
}

/// One key: a value or none, starting with none. Borrows its values from the history, so that a
/// state is as cheap to copy and compare as its value.
#[derive(Debug)]
pub struct Register<'a>(PhantomData<&'a str>);

impl<'a> Model for Register<'a> {
    type State = Option<&'a str>;
    type Input = &'a Input;
    type Output = &'a Output;

    fn initial() -> Self::State {
        None
    }

    fn step(
        state: &Self::State,
        input: &Self::Input,
        output: Option<&Self::Output>,
    ) -> Option<Self::State> {
        let swaps = matches!(input, Input::Cas { expected, .. } if expected.as_deref() == *state);
        let explained = match output {
            Some(output) if !input.is_answered_by(output) => false,
            None | Some(Output::Done) => true,
            Some(Output::Put { replaced }) => *replaced == state.is_some(),
            Some(Output::Deleted { existed }) => *existed == state.is_some(),
            Some(Output::Swapped) => swaps,
            Some(Output::Differs) => !swaps,
            Some(Output::DiffersFrom(actual)) => !swaps && actual.as_deref() == *state,
            Some(Output::Value(value)) => value.as_deref() == *state,
            Some(Output::Pairs { .. }) => false, // No register knows.
        };
        explained.then_some(match input {
            Input::Put { value } => Some(value),
            Input::Delete => None,
            Input::Cas { value, .. } if swaps => value.as_deref(),
            Input::Get | Input::Range { .. } | Input::Cas { .. } => *state,
        })
    }

    fn is_read(input: &Self::Input) -> bool {
        Input::is_read(input)
    }

    fn vaguer(output: &Self::Output) -> Option<Self::Output> {
        matches!(output, Output::Put { .. } | Output::Deleted { .. }).then_some(&Output::Done)
    }

    /// A write helps if somebody saw what it leaves, or if a swap that helps needs it. Any other can be
    /// taken out of an order: nobody looks before the next write.
    fn helpful(answers: &[(Self::Input, Self::Output)], unanswered: &[Self::Input]) -> Vec<bool> {
        let mut seen = HashSet::new();
        for (input, output) in answers {
            match demand(input, output) {
                Demand::Anything => (),
                Demand::Exactly(value) => {
                    seen.insert(value);
                }
                Demand::AnythingBut(_) => return vec![true; unanswered.len()],
            }
        }
        loop {
            let before = seen.len();
            for input in unanswered {
                if let Input::Cas { expected, value } = input
                    && seen.contains(&value.as_deref())
                {
                    seen.insert(expected.as_deref());
                }
            }
            if seen.len() == before {
                break;
            }
        }
        let helps = |input: &&Input| input.leaves().is_some_and(|left| seen.contains(&left));
        unanswered.iter().map(helps).collect()
    }
}
