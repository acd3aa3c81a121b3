//! The whole store, replayed one operation after the other.

use std::collections::HashMap;
use std::ops::Range;

use crate::demand::Demand;
use crate::history::{OpId, Operation, Outcome};
use crate::model::{Input, Model, Output, Register};

/// The keys of a history, numbered in their order, so that a range of keys is one of numbers.
#[derive(Debug)]
pub(crate) struct Keys<'h> {
    names: Vec<&'h str>,
    /// By operation.
    numbers: Vec<usize>,
}

impl<'h> Keys<'h> {
    pub(crate) fn of(operations: &'h [Operation]) -> Keys<'h> {
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut names: Vec<&str> = Vec::new();
        let mut number = |name: &'h str| {
            *known.entry(name).or_insert_with(|| {
                names.push(name);
                names.len() - 1
            })
        };
        let mut numbers = Vec::with_capacity(operations.len());
        for operation in operations {
            numbers.push(number(&operation.key));
            for (name, _) in pairs(operation) {
                number(name);
            }
        }

        let mut sorted: Vec<usize> = (0..names.len()).collect();
        sorted.sort_unstable_by_key(|first_seen| names[*first_seen]);
        let mut ranks = vec![0; names.len()];
        for (rank, first_seen) in sorted.iter().enumerate() {
            ranks[*first_seen] = rank;
        }
        for number in &mut numbers {
            *number = ranks[*number];
        }
        names.sort_unstable();
        Keys { names, numbers }
    }

    /// The number of an operation's key.
    pub(crate) fn of_operation(&self, op: OpId) -> usize {
        self.numbers[op.0]
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The name of a key.
    pub(crate) fn name(&self, key: usize) -> &'h str {
        self.names[key]
    }

    /// The keys from `start` on and before `end`.
    fn span(&self, start: &str, end: Option<&str>) -> Range<usize> {
        let before = |bound: &str| self.names.partition_point(|name| *name < bound);
        let first = before(start);
        first..end.map_or(self.len(), before).max(first)
    }

    /// What keys must have held for the operation to be answered as it was. A range that says it is
    /// not complete says nothing of what comes after the last key it found.
    pub(crate) fn demands(
        &self,
        op: OpId,
        operation: &'h Operation,
        mut tell: impl FnMut(usize, Demand<'h>),
    ) {
        let Input::Range { end, .. } = &operation.input else {
            return tell(self.of_operation(op), operation.demand());
        };
        let Some((Output::Pairs { found, complete }, _)) = operation.answer() else {
            return;
        };
        let mut span = self.span(&operation.key, end.as_deref());
        if !complete {
            let last = found.last().map(|(name, _)| name.as_str());
            let seen =
                last.map_or(span.start, |last| self.names.partition_point(|name| *name <= last));
            span.end = seen.clamp(span.start, span.end);
        }
        let mut pairs = found.iter().peekable();
        for key in span {
            let value = pairs.next_if(|(name, _)| name == self.names[key]);
            tell(key, Demand::Exactly(value.map(|(_, value)| value.as_str())));
        }
    }
}

/// What a range found.
fn pairs(operation: &Operation) -> &[(String, String)] {
    match &operation.outcome {
        Outcome::Ok(Output::Pairs { found, .. }) => found,
        Outcome::Ok(_) | Outcome::Fail | Outcome::Unknown => &[],
    }
}

/// What every key holds.
#[derive(Debug)]
pub(crate) struct Store<'k, 'h> {
    keys: &'k Keys<'h>,
    values: Vec<Option<&'h str>>,
}

impl<'k, 'h> Store<'k, 'h> {
    /// Nothing is set.
    pub(crate) fn new(keys: &'k Keys<'h>) -> Store<'k, 'h> {
        Store { keys, values: vec![None; keys.len()] }
    }

    /// What a key holds.
    pub(crate) fn value(&self, key: usize) -> Option<&'h str> {
        self.values[key]
    }

    /// Lets the operation take effect. False, and nothing changes, if it could not have been
    /// answered so.
    #[must_use]
    pub(crate) fn step(&mut self, op: OpId, operation: &'h Operation) -> bool {
        let output = operation.answer().map(|(output, _)| output);
        if let Input::Range { end, limit } = &operation.input {
            let span = self.keys.span(&operation.key, end.as_deref());
            return output.is_none_or(|output| self.shows(span, *limit, output));
        }
        let value = &mut self.values[self.keys.of_operation(op)];
        match Register::step(value, &&operation.input, output.as_ref()) {
            Some(after) => {
                *value = after;
                true
            }
            None => false,
        }
    }

    /// Whether these keys could be answered so now.
    fn shows(&self, span: Range<usize>, limit: Option<u32>, output: &Output) -> bool {
        let Output::Pairs { found, complete } = output else { return false };
        let mut held = span.filter_map(|key| Some((self.keys.name(key), self.values[key]?)));
        let all_right =
            found.iter().all(|(name, value)| held.next() == Some((name.as_str(), value.as_str())));
        let within = limit.is_none_or(|limit| found.len() <= limit as usize);
        let is_last = held.next().is_none();
        all_right && within && is_last == *complete && (is_last || !found.is_empty())
    }
}
