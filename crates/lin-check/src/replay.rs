//! The whole store, replayed one operation after the other.

use std::collections::HashMap;

use crate::history::{OpId, Operation};
use crate::model::{Model, Register};

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
        let mut numbers: Vec<usize> =
            operations.iter().map(|operation| number(&operation.key)).collect();

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
        let value = &mut self.values[self.keys.of_operation(op)];
        let output = operation.answer().map(|(output, _)| output);
        match Register::step(value, &&operation.input, output.as_ref()) {
            Some(after) => {
                *value = after;
                true
            }
            None => false,
        }
    }
}
