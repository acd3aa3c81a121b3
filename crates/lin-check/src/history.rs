//! What clients did and saw: the operations, each with its call, its return and its outcome.
//!
//! Intervals are closed: an operation that returns at the instant another is called overlaps it.
//! That forgives coarse clocks, at the price of an order that is no longer demanded. The recorder
//! ([`History::invoke`] and its siblings) pays nothing: it is called in the order in which things
//! happen, and keeps equal instants a nanosecond apart.
//!
//! A process is whoever has at most one operation in flight. Nothing else is concluded from it: it
//! is for the reader of a report.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Input, Output};

/// Who did it: one thread of a client, with at most one operation in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Process(pub u64);

/// An operation of a history: its position there, from 0, and so in the lines of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub usize);

/// How an operation ended, as far as its client knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// It took effect, and this was the answer.
    Ok(Output),
    /// It certainly never took effect, and never will. A timeout does not say that.
    Fail,
    /// It may have taken effect, may still do so, or never: a timeout, a broken connection, or an
    /// operation still in flight when the recording stopped.
    Unknown,
}

/// One operation of one process on one key, or on a range of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Who did it.
    pub process: Process,
    /// To which key. A range starts here.
    pub key: String,
    /// What was asked.
    pub input: Input,
    /// When: before the first byte left, on a clock shared by all processes.
    pub called_ns: u64,
    /// When the client knew the outcome, or gave up. Never before the call. If the outcome is
    /// unknown, then this says nothing about when the operation took effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned_ns: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// The log index at which the servers say it took effect. A hint, never believed unverified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The node that answered. For the reader of a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// The term of the node that answered. For the reader of a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
}

/// Why an operation makes no sense, whatever the others are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It has an answer, but no time of return.
    #[error("an operation that was answered needs `returned_ns`")]
    NoReturn,
    /// It ends before it starts.
    #[error("the operation returned at {returned_ns}, before it was called at {called_ns}")]
    ReturnsBeforeCall {
        /// When it was called.
        called_ns: u64,
        /// When it returned.
        returned_ns: u64,
    },
    /// The answer is to another kind of question.
    #[error("the output does not answer this kind of input")]
    WrongAnswer,
}

impl Operation {
    /// Whether the operation makes sense on its own.
    pub fn validate(&self) -> Result<(), Malformed> {
        if let Some(returned_ns) = self.returned_ns
            && returned_ns < self.called_ns
        {
            return Err(Malformed::ReturnsBeforeCall { called_ns: self.called_ns, returned_ns });
        }
        match &self.outcome {
            Outcome::Ok(_) if self.returned_ns.is_none() => Err(Malformed::NoReturn),
            Outcome::Ok(output) if !self.input.is_answered_by(output) => {
                Err(Malformed::WrongAnswer)
            }
            Outcome::Ok(_) | Outcome::Fail | Outcome::Unknown => Ok(()),
        }
    }

    /// What it left in the key, if it certainly did.
    #[expect(clippy::option_option, reason = "nothing written, or no value left")]
    pub(crate) fn left(&self) -> Option<Option<&str>> {
        match &self.outcome {
            Outcome::Ok(
                Output::Done | Output::Put { .. } | Output::Deleted { .. } | Output::Swapped,
            ) => self.input.leaves(),
            Outcome::Ok(_) | Outcome::Fail | Outcome::Unknown => None,
        }
    }

    /// Whether it certainly changed nothing: it only asked, or was told that it found nothing to change.
    pub(crate) fn changed_nothing(&self) -> bool {
        let refused = Output::Deleted { existed: false };
        match &self.outcome {
            Outcome::Ok(Output::Differs | Output::DiffersFrom(_)) => true,
            Outcome::Ok(output) if *output == refused => true,
            Outcome::Ok(_) | Outcome::Fail | Outcome::Unknown => self.input.is_read(),
        }
    }

    /// The answer and when it came, if there was one.
    pub(crate) fn answer(&self) -> Option<(&Output, u64)> {
        match (&self.outcome, self.returned_ns) {
            (Outcome::Ok(output), Some(returned_ns)) => Some((output, returned_ns)),
            _ => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let called = Seconds(self.called_ns);
        write!(f, "process {} {} -> ", self.process.0, self.input)?;
        match (&self.outcome, self.returned_ns) {
            (Outcome::Ok(output), Some(returned)) => {
                write!(f, "{output}, from {called} to {}", Seconds(returned))
            }
            (Outcome::Ok(output), None) => write!(f, "{output}, from {called}"),
            (Outcome::Fail, _) => write!(f, "failed, from {called}"),
            (Outcome::Unknown, _) => write!(f, "unknown, from {called}"),
        }
    }
}

/// An instant, exact to the nanosecond, without the zeros that say nothing.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos_per_second = 1_000_000_000;
        let exact = format!("{}.{:09}", self.0 / nanos_per_second, self.0 % nanos_per_second);
        write!(f, "{}s", exact.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// The operations of a run, of all processes on all keys.
///
/// The times given to the recording methods may repeat, and may even step back: what counts is the
/// order of the calls to the recorder. Where threads share one, record under a lock: the call before
/// the request leaves, the return after the answer came.
#[derive(Clone, Debug, Default)]
pub struct History {
    operations: Vec<Operation>,
    /// The operation that each busy process has in flight.
    in_flight: BTreeMap<Process, OpId>,
    /// No recorded instant is later.
    latest_ns: u64,
}

impl History {
    /// A history without operations.
    pub fn new() -> History {
        History::default()
    }

    /// Records that `process` calls an operation. Its outcome is unknown until one is recorded.
    ///
    /// Panics if the process has an operation in flight.
    pub fn invoke(
        &mut self,
        process: Process,
        key: impl Into<String>,
        input: Input,
        now_ns: u64,
    ) -> OpId {
        let op = OpId(self.operations.len());
        if let Some(busy) = self.in_flight.insert(process, op) {
            panic!("process {} calls {op:?} while {busy:?} is in flight", process.0);
        }
        let called_ns = self.stamp(now_ns);
        self.operations.push(Operation {
            process,
            key: key.into(),
            input,
            called_ns,
            returned_ns: None,
            outcome: Outcome::Unknown,
            index: None,
            node: None,
            term: None,
        });
        op
    }

    /// Records that the operation took effect and was answered.
    ///
    /// Panics if it is not in flight, or if `output` answers another kind of question.
    pub fn ok(&mut self, op: OpId, output: Output, now_ns: u64) {
        self.land(op);
        let returned_ns = self.stamp(now_ns);
        let operation = &mut self.operations[op.0];
        operation.returned_ns = Some(returned_ns);
        operation.outcome = Outcome::Ok(output);
        if let Err(malformed) = operation.validate() {
            panic!("{op:?} ({operation}): {malformed}");
        }
    }

    /// Records that the operation certainly never takes effect. Panics if it is not in flight.
    pub fn fail(&mut self, op: OpId) {
        self.land(op);
        self.operations[op.0].outcome = Outcome::Fail;
    }

    /// Records that the client gave up on the operation, which may yet take effect. Its process may
    /// go on with another one. Panics if it is not in flight.
    pub fn unknown(&mut self, op: OpId) {
        self.land(op);
    }

    /// Records at which log index the servers say that the operation took effect: for a read, the
    /// index of the last write it could see. Only [`crate::certify`] looks at it.
    pub fn place(&mut self, op: OpId, index: u64) {
        self.operations[op.0].index = Some(index);
    }

    /// Records which node answered, and in which term.
    pub fn answered_by(&mut self, op: OpId, node: u64, term: u64) {
        let operation = &mut self.operations[op.0];
        (operation.node, operation.term) = (Some(node), Some(term));
    }

    /// Adds an operation as it is, with exactly its times: for histories that come from elsewhere.
    pub fn push(&mut self, operation: Operation) -> Result<OpId, Malformed> {
        operation.validate()?;
        let ended_ns = operation.returned_ns.unwrap_or(operation.called_ns);
        self.latest_ns = self.latest_ns.max(ended_ns);
        self.operations.push(operation);
        Ok(OpId(self.operations.len() - 1))
    }

    /// All operations, in the order in which they were recorded: [`OpId`] is the position.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The operations by key, and by position within each. Those on several keys are not among them.
    pub(crate) fn by_key(&self) -> BTreeMap<&str, Vec<(OpId, &Operation)>> {
        let mut keys: BTreeMap<&str, Vec<(OpId, &Operation)>> = BTreeMap::new();
        for (position, operation) in self.operations.iter().enumerate() {
            if matches!(operation.input, Input::Range { .. }) {
                continue;
            }
            keys.entry(&operation.key).or_default().push((OpId(position), operation));
        }
        keys
    }

    /// Ends the flight of `op`.
    fn land(&mut self, op: OpId) {
        let process = self.operations[op.0].process;
        let landed = self.in_flight.remove(&process);
        assert_eq!(landed, Some(op), "process {} has another operation in flight", process.0);
    }

    /// An instant later than all before, so that the order of recording is the order of events.
    fn stamp(&mut self, now_ns: u64) -> u64 {
        let next_ns = if self.operations.is_empty() {
            0
        } else {
            self.latest_ns.checked_add(1).expect("584 years of nanoseconds fit")
        };
        self.latest_ns = next_ns.max(now_ns);
        self.latest_ns
    }
}
