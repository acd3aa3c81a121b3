//! Judges a history of registers, key by key, and puts a violation into words.
//!
//! Keys are judged alone: a history is linearizable if and only if it is for each key (Herlihy and
//! Wing, 1990; used against the blow-up by Horn and Kroening, "Faster linearizability checking via
//! P-compositionality", 2015).

use std::fmt;

use crate::conflict::conflict;
use crate::history::{History, OpId, Operation, Outcome};
use crate::model::{Input, Output, Register};
use crate::search::{Answer, Budget, Call, Found, search};

/// The judgement on a history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// There is an order of the operations that explains all answers.
    Linearizable,
    /// There is none, and this is why.
    Violation(Violation),
    /// The budget ran out on these keys; no other shows a violation. Not a pass.
    Unknown {
        /// The keys in question, never none.
        keys: Vec<String>,
    },
}

impl Verdict {
    /// Whether the history is proven linearizable.
    pub fn is_pass(&self) -> bool {
        matches!(self, Verdict::Linearizable)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Linearizable => write!(f, "linearizable"),
            Verdict::Violation(violation) => write!(f, "{violation}"),
            Verdict::Unknown { keys } => {
                write!(f, "unknown: the budget ran out on {}", keys.join(", "))
            }
        }
    }
}

/// Why a history is not linearizable: one key, and the operations on it that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The key.
    pub key: String,
    /// The operations whose answers no order explains, however the others on this key went. By the
    /// time of their call.
    pub conflict: Vec<(OpId, Operation)>,
    /// Other operations that could have written what those saw, to rule out that it came from
    /// nowhere. By the time of their call.
    pub sources: Vec<(OpId, Operation)>,
}

/// More than these say nothing new.
const SOURCES_SHOWN_MAX: usize = 8;

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {:?} is not linearizable: no order explains", self.key)?;
        for (_, operation) in &self.conflict {
            write!(f, "\n  {operation}")?;
        }
        if !self.sources.is_empty() {
            write!(f, "\nwhenever these took effect, if they did")?;
        }
        for (_, operation) in self.sources.iter().take(SOURCES_SHOWN_MAX) {
            write!(f, "\n  {operation}")?;
        }
        match self.sources.len().saturating_sub(SOURCES_SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

/// Judges a history without believing a word of the servers. The budget is for each key, and again
/// for the explanation if there is a violation.
pub fn check(history: &History, budget: Budget) -> Verdict {
    let mut unknown = Vec::new();
    for (key, operations) in history.by_key() {
        let operations: Vec<(OpId, &Operation)> = operations
            .into_iter()
            .filter(|(_, operation)| operation.outcome != Outcome::Fail)
            .collect();
        let calls: Vec<_> = operations.iter().map(|(_, operation)| call(operation)).collect();
        match search::<Register<'_>>(&calls, &mut budget.clone()) {
            Found::Linearization(_) => (),
            Found::Nothing { blocked } => {
                let held = conflict::<Register<'_>>(&calls, blocked, budget);
                return Verdict::Violation(violation(key, &operations, &held));
            }
            Found::GaveUp => unknown.push(String::from(key)),
        }
    }
    if unknown.is_empty() { Verdict::Linearizable } else { Verdict::Unknown { keys: unknown } }
}

fn call(operation: &Operation) -> Call<&Input, &Output> {
    let answer = operation.answer().map(|(output, returned_ns)| Answer { output, returned_ns });
    Call { input: &operation.input, called_ns: operation.called_ns, answer }
}

/// The explanation: the operations that are `held`, and where the values they saw may come from.
fn violation(key: &str, operations: &[(OpId, &Operation)], held: &[usize]) -> Violation {
    let (mut conflict, mut sources) = (Vec::new(), Vec::new());
    let is_source = |input: &Input| held.iter().any(|reader| wrote(input, operations[*reader].1));
    for (position, (op, operation)) in operations.iter().enumerate() {
        if held.binary_search(&position).is_ok() {
            conflict.push((*op, Operation::clone(operation)));
        } else if is_source(&operation.input) {
            sources.push((*op, Operation::clone(operation)));
        }
    }
    conflict.sort_by_key(|(op, operation)| (operation.called_ns, *op));
    sources.sort_by_key(|(op, operation)| (operation.called_ns, *op));
    Violation { key: String::from(key), conflict, sources }
}

/// Whether the writer may be where the reader's value came from.
fn wrote(writer: &Input, reader: &Operation) -> bool {
    match writer {
        Input::Get => false,
        Input::Put { value } => saw(reader, Some(value)),
        Input::Delete => saw(reader, None),
        Input::Cas { value, .. } => saw(reader, value.as_deref()),
    }
}

/// Whether the client of the operation saw that this was in the key.
fn saw(reader: &Operation, value: Option<&str>) -> bool {
    match (&reader.input, &reader.outcome) {
        (Input::Cas { expected, .. }, Outcome::Ok(Output::Swapped)) => expected.as_deref() == value,
        (_, Outcome::Ok(Output::Value(seen) | Output::DiffersFrom(seen))) => {
            seen.as_deref() == value
        }
        _ => false,
    }
}
