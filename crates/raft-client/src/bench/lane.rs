//! One worker: what it does next, and what it remembers of what it did.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::operation::{Kind, Operation, Outcome};
use super::registers::{Finding, Registers};
use super::verify::{Doubt, Judge, Record, Verdict};
use super::workload::Workload;

/// A worker's own state. It outlives the warm-up.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) worker: usize,
    /// Operations begun.
    turns: u64,
    /// Puts, swaps and proposals begun.
    writes: u64,
    /// What became of the appends.
    pub(super) record: Record,
    /// What the keys hold, if they are this worker's own.
    pub(super) registers: Registers,
    /// What keys of many held when this worker last saw them, for the next swap.
    seen: BTreeMap<u64, Seen>,
    /// What reads have shown so far.
    pub(super) verdict: Verdict,
}

/// What a key held.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    /// The payload of this worker's write of this number.
    Payload(usize, u64),
    Other(Bytes),
}

/// An operation with what it takes to judge its outcome.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) operation: Operation,
    /// The number of the key, or of the list.
    key: u64,
    /// The number of the write.
    number: u64,
}

impl Task {
    /// A read of one key.
    pub(super) fn read(workload: &Workload, worker: usize, number: u64) -> Self {
        let operation = Operation::Get { key: workload.key(worker, number) };
        Self { operation, key: number, number: 0 }
    }

    pub(super) fn kind(&self) -> Kind {
        self.operation.kind()
    }
}

impl Lane {
    pub(super) fn new(worker: usize) -> Self {
        Self {
            worker,
            turns: 0,
            writes: 0,
            record: Record::default(),
            registers: Registers::default(),
            seen: BTreeMap::new(),
            verdict: Verdict::default(),
        }
    }

    /// The next operation.
    pub(super) fn next(&mut self, workload: &Workload) -> Task {
        let (worker, turn) = (self.worker, self.turns);
        self.turns += 1;
        let kind = workload.kind(worker, turn);
        if kind == Kind::Append {
            let number = self.record.made;
            self.record.made += 1;
            let list = workload.list_of(number);
            let key = workload.list_key(worker, list);
            let operation = Operation::Append { key, data: workload.frame(worker, number) };
            return Task { operation, key: list, number };
        }
        if kind == Kind::Get && workload.shape.mix.has(Kind::Append) {
            // The list that is being added to.
            let list = workload.list_of(self.record.made.saturating_sub(1));
            let operation = Operation::Get { key: workload.list_key(worker, list) };
            return Task { operation, key: list, number: 0 };
        }
        let chosen = workload.choose(worker, turn);
        let number = self.writes;
        self.writes += u64::from(!kind.is_read());
        let key = workload.key(worker, chosen);
        let value = || workload.payload(worker, number);
        let operation = match kind {
            Kind::Put => Operation::Put { key, value: value() },
            Kind::Cas => {
                let expected = self.expected(workload, chosen);
                Operation::Cas { key, expected, value: value() }
            }
            Kind::Propose => Operation::Propose { data: value() },
            Kind::Get | Kind::Append => Operation::Get { key },
        };
        Task { operation, key: chosen, number }
    }

    /// What a swap expects the key to hold.
    fn expected(&self, workload: &Workload, key: u64) -> Option<Bytes> {
        if workload.is_owned() {
            let last = self.registers.last(key)?;
            return Some(workload.payload(self.worker, last));
        }
        match self.seen.get(&key)? {
            Seen::Nothing => None,
            Seen::Payload(worker, number) => Some(workload.payload(*worker, *number)),
            Seen::Other(value) => Some(value.clone()),
        }
    }

    /// An operation was done.
    pub(super) fn done(&mut self, workload: &Workload, task: &Task, outcome: &Outcome) {
        match (task.kind(), outcome) {
            (Kind::Get, Outcome::Value(found)) if workload.is_owned() => {
                self.judge_get(workload, task, found.as_ref());
            }
            (Kind::Put, _) if workload.is_owned() => self.registers.wrote(task.key, task.number),
            (Kind::Cas, Outcome::Swapped) if workload.is_owned() => {
                self.registers.wrote(task.key, task.number);
            }
            (Kind::Cas, Outcome::Mismatch(found)) if workload.is_owned() => {
                self.judge_mismatch(workload, task, found.as_ref());
            }
            (Kind::Cas, outcome) => self.remember(workload, task, outcome),
            (Kind::Put | Kind::Get | Kind::Append | Kind::Propose, _) => (),
        }
    }

    /// A write is not done, or may be.
    pub(super) fn doubt(&mut self, workload: &Workload, task: &Task, doubt: Doubt) {
        match task.kind() {
            Kind::Append => drop(self.record.doubtful.insert(task.number, doubt)),
            Kind::Put | Kind::Cas if workload.is_owned() && doubt == Doubt::Unknown => {
                self.registers.may_have_written(task.key, task.number);
            }
            Kind::Put | Kind::Cas | Kind::Get | Kind::Propose => (),
        }
    }

    fn judge_get(&mut self, workload: &Workload, task: &Task, found: Option<&Bytes>) {
        self.verdict.reads += 1;
        if workload.shape.mix.has(Kind::Append) {
            // One read, one finding, however much is missing.
            let content = found.cloned().unwrap_or_default();
            let shown = Judge::at_once(workload, self.worker, &self.record, task.key, &content);
            self.verdict.wrong_reads += u64::from(!shown.is_clean());
            self.verdict.note(shown.findings);
            return;
        }
        match self.registers.judge(workload, self.worker, task.key, found) {
            Finding::Expected => (),
            Finding::UnknownApplied => self.verdict.unknown_applied += 1,
            Finding::Wrong(what) => {
                self.verdict.wrong_reads += 1;
                self.verdict.note([format!("a read found {what}")]);
            }
        }
    }

    /// The key holds something else than what was expected: it must be something that it may hold.
    fn judge_mismatch(&mut self, workload: &Workload, task: &Task, found: Option<&Bytes>) {
        let Operation::Cas { expected, .. } = &task.operation else { return };
        if expected.as_ref() == found {
            self.verdict.wrong_reads += 1;
            self.verdict.note([format!(
                "worker {}, key {}: a swap was refused, though the key held what was expected",
                self.worker, task.key
            )]);
            return;
        }
        self.judge_get(workload, task, found);
    }

    fn remember(&mut self, workload: &Workload, task: &Task, outcome: &Outcome) {
        let seen = match outcome {
            Outcome::Mismatch(None) => Seen::Nothing,
            Outcome::Mismatch(Some(value)) => match workload.author(value) {
                Some((worker, number)) if workload.payload(worker, number) == *value => {
                    Seen::Payload(worker, number)
                }
                _ => Seen::Other(value.clone()),
            },
            _ => Seen::Payload(self.worker, task.number),
        };
        self.seen.insert(task.key, seen);
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::{KeyChoice, Sizes};
    use super::super::workload::{Shape, Sharing};
    use super::*;

    fn workload(mix: &str, sharing: Sharing) -> Workload {
        let sizes = Sizes { min: 32, max: 32 };
        let choice = KeyChoice::Sequential;
        let mix = mix.parse().unwrap();
        Workload::new(Shape { mix, sizes, keys: 1, choice, key_size: 16, seed: 5 }, 1, sharing, 2)
    }

    /// Two workers swap one key in turn, against a store of one key: after a refusal each knows
    /// what to expect.
    #[test]
    fn a_swap_expects_what_was_seen_last() {
        let workload = workload("cas", Sharing::Runs);
        let mut held: Option<Bytes> = None;
        let mut lanes = [Lane::new(0), Lane::new(1)];
        let mut swapped = Vec::new();
        for turn in [0, 0, 1, 1, 0, 0] {
            let task = lanes[turn].next(&workload);
            let Operation::Cas { expected, value, .. } = &task.operation else { panic!() };
            let outcome = if *expected == held {
                held = Some(value.clone());
                Outcome::Swapped
            } else {
                Outcome::Mismatch(held.clone())
            };
            swapped.push(outcome == Outcome::Swapped);
            lanes[turn].done(&workload, &task, &outcome);
        }
        assert_eq!(swapped, [true, true, false, true, false, true]);
    }

    #[test]
    fn a_read_of_an_own_key_is_judged_at_once() {
        let workload = workload("put=1,get=1", Sharing::Nobody);
        let mut lane = Lane::new(0);
        let mut old = None;
        loop {
            let task = lane.next(&workload);
            if let Operation::Put { value, .. } = &task.operation {
                lane.done(&workload, &task, &Outcome::Written);
                old.get_or_insert(value.clone());
                if lane.writes == 2 {
                    break;
                }
            }
        }
        while lane.verdict.reads == 0 {
            let task = lane.next(&workload);
            match task.kind() {
                Kind::Get => lane.done(&workload, &task, &Outcome::Value(old.clone())),
                _ => lane.doubt(&workload, &task, Doubt::Failed),
            }
        }
        assert_eq!(lane.verdict.wrong_reads, 1);
        assert_eq!(
            lane.verdict.findings,
            ["a read found worker 0, key 0: write 0 instead of write 1"]
        );
    }

    #[test]
    fn a_read_of_an_own_list_is_judged_at_once() {
        let workload = workload("append=1,get=1", Sharing::Nobody);
        let mut lane = Lane::new(0);
        while lane.record.made < 3 {
            let task = lane.next(&workload);
            lane.done(&workload, &task, &Outcome::Value(None));
        }
        lane.verdict = Verdict::default();
        let task = loop {
            let task = lane.next(&workload);
            if task.kind() == Kind::Get {
                break task;
            }
        };
        let frames = |numbers: &[u64]| {
            let all: Vec<u8> = numbers.iter().flat_map(|it| workload.frame(0, *it)).collect();
            Outcome::Value(Some(all.into()))
        };
        let made: Vec<u64> = (0..lane.record.made).collect();
        lane.done(&workload, &task, &frames(&made));
        assert_eq!((lane.verdict.reads, lane.verdict.wrong_reads), (1, 0));
        lane.done(&workload, &task, &frames(&made[1..]));
        assert_eq!((lane.verdict.reads, lane.verdict.wrong_reads), (2, 1));
    }
}
