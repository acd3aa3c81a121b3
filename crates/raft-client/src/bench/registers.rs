//! What the keys of one worker must hold, as far as it knows: it alone writes to them.
//!
//! A worker has one operation under way at a time. So a linearizable read of a key of its own finds
//! what it wrote there last and was acknowledged, or a write of unknown outcome: such a one may
//! have been done, or may be done at any time to come. Anything else is wrong.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::workload::Workload;

/// What a key must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Register {
    /// The last acknowledged write; `None`: there was none.
    last: Option<u64>,
    /// Writes that may be done.
    maybe: Vec<u64>,
}

/// The keys of one worker.
#[derive(Clone, Debug, Default)]
pub(super) struct Registers {
    held: BTreeMap<u64, Register>,
}

/// What a key was found to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// What it should.
    Expected,
    /// A write that nobody had acknowledged. From now on it counts as done.
    UnknownApplied,
    /// Something else; in words.
    Wrong(String),
}

impl Registers {
    /// A write was acknowledged.
    pub(super) fn wrote(&mut self, key: u64, number: u64) {
        self.held.entry(key).or_default().last = Some(number);
    }

    /// A write may be done.
    pub(super) fn may_have_written(&mut self, key: u64, number: u64) {
        self.held.entry(key).or_default().maybe.push(number);
    }

    /// What the key holds if no write of unknown outcome is done: its last acknowledged write.
    pub(super) fn last(&self, key: u64) -> Option<u64> {
        self.held.get(&key)?.last
    }

    /// Holds what a read found against what must be there.
    pub(super) fn judge(
        &mut self,
        workload: &Workload,
        worker: usize,
        key: u64,
        found: Option<&Bytes>,
    ) -> Finding {
        let register = self.held.entry(key).or_default();
        let Some(found) = found else {
            let Some(last) = register.last else { return Finding::Expected };
            return Finding::Wrong(format!(
                "worker {worker}, key {key}: nothing there, though write {last} was acknowledged"
            ));
        };
        let is = |number: &u64| *found == workload.payload(worker, *number);
        if register.last.is_some_and(|last| is(&last)) {
            return Finding::Expected;
        }
        if let Some(place) = register.maybe.iter().position(is) {
            register.last = Some(register.maybe.remove(place));
            return Finding::UnknownApplied;
        }
        let there = match workload.author(found) {
            Some((author, number)) if author == worker => format!("write {number}"),
            Some((author, number)) => format!("write {number} of worker {author}"),
            None => "what nobody wrote".to_owned(),
        };
        let wanted = register.last.map_or("nothing".to_owned(), |last| format!("write {last}"));
        Finding::Wrong(format!("worker {worker}, key {key}: {there} instead of {wanted}"))
    }

    /// The keys that were written to, or may have been.
    pub(super) fn keys(&self) -> impl Iterator<Item = u64> {
        self.held.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::{KeyChoice, Sizes};
    use super::super::operation::{Kind, Mix};
    use super::super::workload::{Shape, Sharing};
    use super::*;

    fn workload() -> Workload {
        let sizes = Sizes { min: 20, max: 40 };
        let choice = KeyChoice::Uniform;
        let mix = Mix::only(Kind::Put);
        let shape = Shape { mix, sizes, keys: 1, choice, key_size: 16, seed: 3 };
        Workload::new(shape, 1, Sharing::Nobody, 9)
    }

    #[test]
    fn a_key_holds_the_last_acknowledged_write() {
        let workload = workload();
        let mut registers = Registers::default();
        let value = |number| workload.payload(0, number);
        assert_eq!(registers.judge(&workload, 0, 5, None), Finding::Expected);
        registers.wrote(5, 1);
        registers.wrote(5, 2);
        assert_eq!(registers.judge(&workload, 0, 5, Some(&value(2))), Finding::Expected);
        let wrong = |found: Option<&Bytes>, text: &str| {
            assert_eq!(
                registers.clone().judge(&workload, 0, 5, found),
                Finding::Wrong(text.to_owned())
            );
        };
        wrong(Some(&value(1)), "worker 0, key 5: write 1 instead of write 2");
        wrong(None, "worker 0, key 5: nothing there, though write 2 was acknowledged");
        wrong(
            Some(&workload.payload(7, 4)),
            "worker 0, key 5: write 4 of worker 7 instead of write 2",
        );
        wrong(
            Some(&"of another make".into()),
            "worker 0, key 5: what nobody wrote instead of write 2",
        );
    }

    /// What was seen once has been done, and does not come undone.
    #[test]
    fn a_write_of_unknown_outcome_may_turn_up_but_not_vanish_again() {
        let workload = workload();
        let mut registers = Registers::default();
        let value = |number| workload.payload(0, number);
        registers.wrote(5, 1);
        registers.may_have_written(5, 2);
        assert_eq!(registers.judge(&workload, 0, 5, Some(&value(1))), Finding::Expected);
        assert_eq!(registers.judge(&workload, 0, 5, Some(&value(2))), Finding::UnknownApplied);
        assert!(matches!(registers.judge(&workload, 0, 5, Some(&value(1))), Finding::Wrong(_)));
        registers.may_have_written(6, 3);
        assert_eq!(registers.judge(&workload, 0, 6, None), Finding::Expected);
        assert_eq!(registers.keys().collect::<Vec<_>>(), [5, 6]);
    }
}
