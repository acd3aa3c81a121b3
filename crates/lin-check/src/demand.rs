//! What an answer says of the state it was given in.

use crate::history::Operation;
use crate::model::{Input, Output};

/// What a key must have held for an operation to be answered as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand<'h> {
    Anything,
    Exactly(Option<&'h str>),
    AnythingBut(Option<&'h str>),
}

impl Demand<'_> {
    pub(crate) fn allows(self, held: Option<&str>) -> bool {
        match self {
            Demand::Anything => true,
            Demand::Exactly(value) => value == held,
            Demand::AnythingBut(value) => value != held,
        }
    }
}

impl Operation {
    pub(crate) fn demand(&self) -> Demand<'_> {
        self.answer().map_or(Demand::Anything, |(output, _)| demand(&self.input, output))
    }
}

/// What the key must have held for this answer.
pub(crate) fn demand<'h>(input: &'h Input, output: &'h Output) -> Demand<'h> {
    match (output, input) {
        (Output::Put { replaced: true } | Output::Deleted { existed: true }, _) => {
            Demand::AnythingBut(None)
        }
        (Output::Put { replaced: false } | Output::Deleted { existed: false }, _) => {
            Demand::Exactly(None)
        }
        (Output::Swapped, Input::Cas { expected, .. }) => Demand::Exactly(expected.as_deref()),
        (Output::Differs, Input::Cas { expected, .. }) => Demand::AnythingBut(expected.as_deref()),
        (Output::DiffersFrom(value) | Output::Value(value), _) => Demand::Exactly(value.as_deref()),
        // A range says something of other keys as well: see `Keys::demands`.
        (Output::Done | Output::Swapped | Output::Differs | Output::Pairs { .. }, _) => {
            Demand::Anything
        }
    }
}
