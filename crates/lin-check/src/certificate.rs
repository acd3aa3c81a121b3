//! Proves a history linearizable by showing an order, rather than by searching for one.
//!
//! The servers know the order: every answer carries the log index at which it was given. Sorting by
//! index yields the order they claim, and two passes verify it: replayed one by one, every operation
//! gets the answer its client saw; and no operation stands after one that was called only after it
//! had returned. What passes is linearizable by definition, for nothing in those two passes believes
//! a server. What does not pass may be linearizable still: the hints may be wrong, which is a bug of
//! its own. Takes O(n log n), for any length of history and all keys at once.

use serde::{Deserialize, Serialize};

use crate::complete::complete;
use crate::exact::complete_exactly;
use crate::history::{History, OpId, Operation, Outcome};
use crate::replay::{Keys, Store};

/// An order of a history's operations. A proof once it is verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Every operation with an answer, and those of unknown outcome that took effect.
    pub order: Vec<OpId>,
}

/// Why an order is no proof.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody said where this operation took effect.
    #[error("operation {} was answered without an index", .0.0)]
    NoIndex(OpId),
    /// One place in the log cannot hold two operations that changed something.
    #[error("operations {} and {} are both said to be at index {index}", .first.0, .second.0)]
    SharedIndex {
        /// The one.
        first: OpId,
        /// The other.
        second: OpId,
        /// Where both claim to be.
        index: u64,
    },
    /// The order names an operation that the history does not have, or twice, or one that failed.
    #[error("operation {} has no place in the order", .0.0)]
    Misplaced(OpId),
    /// The order leaves out an operation that was answered.
    #[error("operation {} was answered and is missing in the order", .0.0)]
    Missing(OpId),
    /// At its place in the order the operation would have been answered differently.
    #[error("operation {} could not have been answered so where the order puts it", .0.0)]
    WrongAnswer(OpId),
    /// The order contradicts time.
    #[error("operation {} comes first in the order, but was called after {} had returned", .first.0, .second.0)]
    AgainstTime {
        /// Earlier in the order.
        first: OpId,
        /// Later in the order, though it was over by then.
        second: OpId,
    },
}

/// Orders a history by the indexes it was given ([`History::place`]), and verifies that order.
///
/// Answered operations need an index. Those of unknown outcome have one if the servers' log was read.
/// Without, a write is put before the first operation that saw its effect; one whose effect nobody saw
/// is taken never to have happened. Both are guesses that the verification does not rely on. Takes
/// O(n log n), and some seconds more where values repeat so that the guess is not the only one.
pub fn certify(history: &History) -> Result<Certificate, Refusal> {
    let keys = Keys::of(history.operations());
    let known = by_index(history)?;
    let certificate = Certificate { order: complete(history, &keys, &known) };
    match certificate.verify_with(history, &keys) {
        Ok(()) => Ok(certificate),
        Err(refusal @ Refusal::WrongAnswer(_)) => {
            let exact = complete_exactly(history, &keys, &known);
            let exact = exact.map(|order| Certificate { order });
            exact.filter(|exact| exact.verify_with(history, &keys).is_ok()).ok_or(refusal)
        }
        Err(refusal) => Err(refusal),
    }
}

/// The operations that have an index, in that order.
fn by_index(history: &History) -> Result<Vec<OpId>, Refusal> {
    let mut places = Vec::new();
    for (position, operation) in history.operations().iter().enumerate() {
        let op = OpId(position);
        let reads = operation.changed_nothing();
        match (&operation.outcome, operation.index) {
            (Outcome::Ok(_), None) => return Err(Refusal::NoIndex(op)),
            (Outcome::Ok(_), Some(index)) => places.push((index, reads, operation.called_ns, op)),
            (Outcome::Unknown, Some(index)) if !reads => {
                places.push((index, reads, operation.called_ns, op));
            }
            (Outcome::Unknown | Outcome::Fail, _) => (),
        }
    }
    // A read at an index sees the write there, and so does a write that was refused: servers that count
    // changes rather than log entries give it no index of its own. Reads of one index are in the order
    // of their calls, which never contradicts time.
    places.sort_unstable();
    for pair in places.windows(2) {
        if let [(index, false, _, first), (other, false, _, second)] = pair
            && index == other
        {
            return Err(Refusal::SharedIndex { first: *first, second: *second, index: *index });
        }
    }
    Ok(places.into_iter().map(|(.., op)| op).collect())
}

impl Certificate {
    /// One order of all keys from an order of each. An operation takes effect when it is called, or with
    /// the one before it on its key if that was called later: that is before it returned, if the orders of
    /// the keys respect time, so that the order of these instants does as well (Herlihy and Wing, 1990,
    /// call this locality).
    pub(crate) fn merged(history: &History, orders: &[Vec<OpId>]) -> Certificate {
        let mut instants = Vec::new();
        for (key, order) in orders.iter().enumerate() {
            let mut instant_ns = 0;
            for (place, op) in order.iter().enumerate() {
                instant_ns = history.operations()[op.0].called_ns.max(instant_ns);
                instants.push((instant_ns, key, place, *op));
            }
        }
        instants.sort_unstable();
        Certificate { order: instants.into_iter().map(|(.., op)| op).collect() }
    }

    /// Whether this order proves the history linearizable.
    pub fn verify(&self, history: &History) -> Result<(), Refusal> {
        self.verify_with(history, &Keys::of(history.operations()))
    }

    fn verify_with(&self, history: &History, keys: &Keys<'_>) -> Result<(), Refusal> {
        self.verify_complete(history)?;
        self.verify_answers(history, keys)?;
        self.verify_time(history)
    }

    /// Every answered operation once, those of unknown outcome at most once, and no other.
    fn verify_complete(&self, history: &History) -> Result<(), Refusal> {
        let operations = history.operations();
        let mut placed = vec![false; operations.len()];
        for op in &self.order {
            let may_be_placed = operations
                .get(op.0)
                .is_some_and(|operation| operation.outcome != Outcome::Fail && !placed[op.0]);
            if !may_be_placed {
                return Err(Refusal::Misplaced(*op));
            }
            placed[op.0] = true;
        }
        let missing = |(operation, placed): (&Operation, &bool)| {
            matches!(operation.outcome, Outcome::Ok(_)) && !placed
        };
        match operations.iter().zip(&placed).position(missing) {
            Some(position) => Err(Refusal::Missing(OpId(position))),
            None => Ok(()),
        }
    }

    /// Replays the order.
    fn verify_answers(&self, history: &History, keys: &Keys<'_>) -> Result<(), Refusal> {
        let mut store = Store::new(keys);
        for op in &self.order {
            if !store.step(*op, &history.operations()[op.0]) {
                return Err(Refusal::WrongAnswer(*op));
            }
        }
        Ok(())
    }

    /// Walks from the end, with the earliest return so far at hand. It is enough to look at that
    /// one: if any later operation had returned before this one was called, it did as well.
    fn verify_time(&self, history: &History) -> Result<(), Refusal> {
        let mut earliest: Option<(u64, OpId)> = None;
        for first in self.order.iter().rev().copied() {
            let operation = &history.operations()[first.0];
            if let Some((returned_ns, second)) = earliest
                && returned_ns < operation.called_ns
            {
                return Err(Refusal::AgainstTime { first, second });
            }
            // Without an answer an operation may have taken effect long after its client gave up.
            if let Some((_, returned_ns)) = operation.answer() {
                let candidate = (returned_ns, first);
                earliest = Some(earliest.map_or(candidate, |known| known.min(candidate)));
            }
        }
        Ok(())
    }
}
