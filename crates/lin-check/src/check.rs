//! Judges a history of registers, key by key, and puts a violation into words.
//!
//! Keys are judged alone: a history is linearizable if and only if it is for each key (Herlihy and
//! Wing, 1990; used against the blow-up by Horn and Kroening, "Faster linearizability checking via
//! P-compositionality", 2015). A range of keys is judged as a read of each: what it shows of several at
//! once no search decides, so that a history with ranges passes by certificate alone.

use std::collections::BTreeSet;
use std::fmt;

use crate::certificate::Certificate;
use crate::conflict::{blocked_in_short, conflict};
use crate::demand::Demand;
use crate::history::{History, OpId, Operation, Outcome};
use crate::model::{Input, Output, Register};
use crate::replay::Keys;
use crate::search::{Answer, Budget, Call, Found, search};

/// The judgement on a history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// There is an order of the operations that explains all answers.
    Linearizable,
    /// There is none, and this is why.
    Violation(Violation),
    /// Nobody knows: no key shows a violation, but not all could be judged. Not a pass.
    Undecided {
        /// The keys on which the budget ran out.
        keys: Vec<String>,
        /// How many operations on several keys there are: only a certificate decides on these.
        across: usize,
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
            Verdict::Undecided { keys, across } => {
                write!(f, "undecided")?;
                if !keys.is_empty() {
                    write!(f, ": the budget ran out on {}", keys.join(", "))?;
                }
                match across {
                    0 => Ok(()),
                    _ => {
                        write!(f, ": {across} operations are on several keys, and no search knows")
                    }
                }
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
    /// Operations that failed and would have written what those saw. By the time of their call.
    pub failed: Vec<(OpId, Operation)>,
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
    examine(history, budget).0
}

/// The same, with an order that proves the history linearizable if it is.
pub(crate) fn examine(history: &History, budget: Budget) -> (Verdict, Option<Certificate>) {
    let (mut undecided, mut orders) = (Vec::new(), Vec::new());
    let projected = projected(history);
    let mut by_key = history.by_key();
    for (op, operation) in &projected {
        by_key.entry(&operation.key).or_default().push((*op, operation));
    }
    for (key, all) in by_key {
        let operations: Vec<(OpId, &Operation)> = all
            .iter()
            .copied()
            .filter(|(_, operation)| operation.outcome != Outcome::Fail)
            .collect();
        let calls: Vec<_> = operations.iter().map(|(_, operation)| call(operation)).collect();
        let blocked = match search::<Register<'_>>(&calls, &mut budget.clone()) {
            Found::Linearization(order) => {
                orders.push(order.into_iter().map(|position| operations[position].0).collect());
                continue;
            }
            Found::Nothing { blocked } => Some(blocked),
            Found::GaveUp => blocked_in_short::<Register<'_>>(&calls, budget),
        };
        let Some(blocked) = blocked else {
            undecided.push(String::from(key));
            continue;
        };
        let held = conflict::<Register<'_>>(&calls, blocked, budget);
        let held = held.into_iter().map(|position| operations[position].0).collect();
        return (Verdict::Violation(violation(key, &all, &held)), None);
    }
    // That each key alone is well does not say that several were seen at one instant.
    let across = history.operations().iter().filter(|operation| is_range(operation)).count();
    if !undecided.is_empty() || 0 < across {
        return (Verdict::Undecided { keys: undecided, across }, None);
    }
    let certificate = Certificate::merged(history, &orders);
    if let Err(refusal) = certificate.verify(history) {
        panic!("an order that the search found does not hold: {refusal}");
    }
    (Verdict::Linearizable, Some(certificate))
}

/// Whether it was answered, and is on several keys.
fn is_range(operation: &Operation) -> bool {
    matches!(&operation.outcome, Outcome::Ok(Output::Pairs { .. }))
}

/// No more reads than that are made of ranges.
const PROJECTED_MAX: usize = 1_000_000;

/// What the ranges say of each key alone: as if each key had been read by itself at the same time. An
/// order that explains the ranges explains these reads, but not the other way round.
fn projected(history: &History) -> Vec<(OpId, Operation)> {
    let mut reads = Vec::new();
    let operations = history.operations();
    if !operations.iter().any(is_range) {
        return reads;
    }
    let keys = Keys::of(operations);
    for (position, operation) in operations.iter().enumerate() {
        if !is_range(operation) {
            continue;
        }
        let op = OpId(position);
        keys.demands(op, operation, |key, demand| {
            if let Demand::Exactly(value) = demand
                && reads.len() < PROJECTED_MAX
            {
                let key = String::from(keys.name(key));
                let outcome = Outcome::Ok(Output::Value(value.map(String::from)));
                reads.push((op, Operation { key, input: Input::Get, outcome, ..*operation }));
            }
        });
    }
    reads
}

fn call(operation: &Operation) -> Call<&Input, &Output> {
    let answer = operation.answer().map(|(output, returned_ns)| Answer { output, returned_ns });
    Call { input: &operation.input, called_ns: operation.called_ns, answer }
}

/// The explanation: the operations that are `held`, and where the values they saw may come from.
fn violation(key: &str, operations: &[(OpId, &Operation)], held: &BTreeSet<OpId>) -> Violation {
    let is_held = |op: &OpId| held.contains(op);
    let readers: Vec<&Operation> =
        operations.iter().filter(|(op, _)| is_held(op)).map(|(_, operation)| *operation).collect();
    let is_source = |input: &Input| readers.iter().any(|reader| wrote(input, reader));
    let mut violation = Violation {
        key: String::from(key),
        conflict: Vec::new(),
        sources: Vec::new(),
        failed: Vec::new(),
    };
    let mut by_time = operations.to_vec();
    by_time.sort_by_key(|(op, operation)| (operation.called_ns, *op));
    for (op, operation) in by_time {
        let list = match operation.outcome {
            _ if is_held(&op) => &mut violation.conflict,
            _ if !is_source(&operation.input) => continue,
            Outcome::Fail => &mut violation.failed,
            Outcome::Ok(_) | Outcome::Unknown => &mut violation.sources,
        };
        list.push((op, operation.clone()));
    }
    violation
}

/// Whether the writer may be where the reader's value came from.
fn wrote(writer: &Input, reader: &Operation) -> bool {
    writer.leaves().is_some_and(|left| reader.demand() == Demand::Exactly(left))
}
