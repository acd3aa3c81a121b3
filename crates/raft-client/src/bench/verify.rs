//! Reads back what was acknowledged.
//!
//! Of its appends each worker remembers only how many it made and which of them were not
//! acknowledged; what the lists must hold follows from that (see [`super::workload`]). Of its other
//! writes it remembers the last one to each of its keys (see [`super::registers`]). The reads are
//! linearizable. A write of unknown outcome may be there or not, but not twice; a write that
//! failed must not be there.

use std::collections::BTreeMap;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;

use super::lane::Lane;
use super::operation::Kind;
use super::registers::Finding;
use super::workload::{Workload, frames};
use crate::{Client, ClientError, Consistency};

/// Workers that are read back at the same time.
const READERS: usize = 8;

/// Damage that is described in words, at most.
const FINDINGS_MAX: usize = 5;

/// What a worker knows of its writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    /// Writes it made, numbered from 0.
    pub(super) made: u64,
    /// Those among them that were not acknowledged.
    pub(super) doubtful: BTreeMap<u64, Doubt>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It is not done, the client said.
    Failed,
    /// It may be done.
    Unknown,
}

/// What reading back has shown, and the reads of the run before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Acknowledged writes that were looked for: every append, and the last put to each key.
    pub checked: u64,
    /// Acknowledged writes that are not there.
    pub lost: u64,
    /// Times that a write was applied once too often.
    pub applied_twice: u64,
    /// What should not be there otherwise: writes that had failed, damaged or foreign content,
    /// acknowledged writes in the wrong order.
    pub unexpected: u64,
    /// Writes of unknown outcome that turn out to be there.
    pub unknown_applied: u64,
    /// Reads during the run whose answers were held against what had to be there.
    pub reads: u64,
    /// Those among them that found something else: stale, or worse.
    pub wrong_reads: u64,
    /// The first findings, in words.
    pub findings: Vec<String>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.lost + self.applied_twice + self.unexpected + self.wrong_reads == 0
    }

    fn find(&mut self, what: impl FnOnce() -> String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what());
        }
    }

    pub(super) fn note(&mut self, findings: impl IntoIterator<Item = String>) {
        self.findings.extend(findings);
        self.findings.truncate(FINDINGS_MAX);
    }

    fn add(mut self, other: Self) -> Self {
        self.checked += other.checked;
        self.lost += other.lost;
        self.applied_twice += other.applied_twice;
        self.unexpected += other.unexpected;
        self.unknown_applied += other.unknown_applied;
        self.reads += other.reads;
        self.wrong_reads += other.wrong_reads;
        self.note(other.findings);
        self
    }
}

/// Reads back all workers' writes. An error means that the cluster could not be read.
pub(super) async fn verify(
    client: &Client,
    workload: &Workload,
    lanes: Vec<Lane>,
) -> Result<Verdict, ClientError> {
    let mut verdicts =
        stream::iter(lanes).map(|lane| verify_worker(client, workload, lane)).buffered(READERS);
    let mut all = Verdict::default();
    while let Some(verdict) = verdicts.next().await {
        all = all.add(verdict?);
    }
    Ok(all)
}

async fn verify_worker(
    client: &Client,
    workload: &Workload,
    mut lane: Lane,
) -> Result<Verdict, ClientError> {
    let verdict = std::mem::take(&mut lane.verdict);
    let has_lists = workload.shape.mix.has(Kind::Append);
    let mut lists =
        Judge { workload, worker: lane.worker, record: &lane.record, next_list: 0, verdict };
    let mut keys = BTreeMap::new();
    let (mut start, end) = workload.own_range(lane.worker);
    loop {
        let consistency = Consistency::Linearizable;
        let page = client.range(start, end.clone(), 0, consistency).await?.value;
        for (key, value) in &page.pairs {
            match workload.number_of_key(lane.worker, key).filter(|_| !has_lists) {
                Some(number) => drop(keys.insert(number, value.clone())),
                None => lists.list(key, value),
            }
        }
        match page.pairs.last() {
            Some((last, _)) if page.more => start = just_after(last),
            Some(_) | None => break,
        }
    }
    let mut verdict = lists.finish();
    verify_keys(workload, &mut lane, &keys, &mut verdict);
    Ok(verdict)
}

/// Holds the keys of a worker against what must be there.
fn verify_keys(
    workload: &Workload,
    lane: &mut Lane,
    keys: &BTreeMap<u64, Bytes>,
    verdict: &mut Verdict,
) {
    let written = lane.registers.keys().chain(keys.keys().copied());
    let written: std::collections::BTreeSet<u64> = written.collect();
    for key in written {
        verdict.checked += u64::from(lane.registers.last(key).is_some());
        match lane.registers.judge(workload, lane.worker, key, keys.get(&key)) {
            Finding::Expected => (),
            Finding::UnknownApplied => verdict.unknown_applied += 1,
            Finding::Wrong(what) => {
                // What nobody acknowledged cannot be lost.
                if lane.registers.last(key).is_some() {
                    verdict.lost += 1;
                } else {
                    verdict.unexpected += 1;
                }
                verdict.find(|| what);
            }
        }
    }
}

/// The smallest key that is greater.
fn just_after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

/// Holds one worker's lists, in their order, against its record.
pub(super) struct Judge<'a> {
    workload: &'a Workload,
    worker: usize,
    record: &'a Record,
    /// The first list that has not been looked at.
    next_list: u64,
    verdict: Verdict,
}

impl<'a> Judge<'a> {
    /// What one list shows while the run goes on, between two writes of the worker.
    pub(super) fn at_once(
        workload: &'a Workload,
        worker: usize,
        record: &'a Record,
        list: u64,
        content: &Bytes,
    ) -> Verdict {
        let verdict = Verdict::default();
        let mut judge = Self { workload, worker, record, next_list: list, verdict };
        judge.content(list, content);
        judge.verdict
    }

    fn list(&mut self, key: &Bytes, content: &Bytes) {
        let list = self.workload.list_of_key(self.worker, key);
        let Some(list) = list.filter(|list| self.next_list <= *list) else {
            self.verdict.unexpected += 1;
            self.verdict.find(|| format!("a key that nobody wrote: {}", key.escape_ascii()));
            return;
        };
        self.absent_until(list);
        self.next_list = list + 1;
        self.content(list, content);
    }

    fn finish(mut self) -> Verdict {
        self.absent_until(self.record.made.div_ceil(self.workload.list_len()));
        self.verdict
    }

    fn absent_until(&mut self, list: u64) {
        while self.next_list < list {
            self.content(self.next_list, &Bytes::new());
            self.next_list += 1;
        }
    }

    fn content(&mut self, list: u64, content: &Bytes) {
        let (workload, worker) = (self.workload, self.worker);
        let mut times: BTreeMap<u64, u64> = BTreeMap::new();
        let mut last_acknowledged = None;
        for frame in frames(content) {
            let ours = frame.as_ref().is_some_and(|(number, payload)| {
                *number < self.record.made
                    && workload.list_of(*number) == list
                    && *payload == workload.payload(worker, *number)
            });
            let Some((number, _)) = frame.filter(|_| ours) else {
                self.verdict.unexpected += 1;
                self.verdict.find(|| format!("worker {worker}, list {list}: damaged content"));
                continue;
            };
            let repeated = times.contains_key(&number);
            *times.entry(number).or_default() += 1;
            if !self.record.doubtful.contains_key(&number) && !repeated {
                if last_acknowledged.is_some_and(|last| number < last) {
                    self.verdict.unexpected += 1;
                    self.verdict.find(|| format!("worker {worker}: write {number} out of order"));
                }
                last_acknowledged = Some(number);
            }
        }
        let first = list * workload.list_len();
        for number in first..self.record.made.min(first + workload.list_len()) {
            self.write(number, times.get(&number).copied().unwrap_or(0));
        }
    }

    fn write(&mut self, number: u64, times: u64) {
        let (worker, verdict) = (self.worker, &mut self.verdict);
        let doubt = self.record.doubtful.get(&number);
        verdict.checked += u64::from(doubt.is_none());
        match (doubt, times) {
            (None, 0) => {
                verdict.lost += 1;
                verdict.find(|| format!("worker {worker}: acknowledged write {number} is lost"));
            }
            (Some(Doubt::Failed), 1..) => {
                verdict.unexpected += 1;
                verdict.find(|| format!("worker {worker}: failed write {number} is there"));
            }
            (Some(Doubt::Unknown), 1..) => verdict.unknown_applied += 1,
            (None, 1..) | (Some(_), 0) => (),
        }
        if 1 < times {
            verdict.applied_twice += times - 1;
            verdict.find(|| format!("worker {worker}: write {number} was applied {times} times"));
        }
    }
}

#[cfg(test)]
mod tests {
    use raft_kv::{Command, Store};

    use super::super::keys::{KeyChoice, Sizes};
    use super::super::operation::Mix;
    use super::super::workload::{Shape, Sharing};
    use super::*;

    fn workload() -> Workload {
        let sizes = Sizes { min: 400, max: 400 };
        let choice = KeyChoice::Uniform;
        let mix = Mix::only(Kind::Append);
        let shape = Shape { mix, sizes, keys: 1, choice, key_size: 16, seed: 1 };
        Workload::new(shape, 1, Sharing::Nobody, 9)
    }

    /// Carries out these writes of worker 0 and judges them against a record of 50.
    fn judged(writes: impl IntoIterator<Item = u64>, doubtful: &[(u64, Doubt)]) -> Verdict {
        let workload = workload();
        let mut store = Store::new();
        for number in writes {
            let key = workload.list_key(0, workload.list_of(number));
            let data = workload.frame(0, number);
            store.apply(&Command::Append { key, data });
        }
        let record = Record { made: 50, doubtful: doubtful.iter().copied().collect() };
        let verdict = Verdict::default();
        let mut judge =
            Judge { workload: &workload, worker: 0, record: &record, next_list: 0, verdict };
        for (key, list) in store.iter() {
            judge.list(&Bytes::copy_from_slice(key), list);
        }
        judge.finish()
    }

    /// A key that holds an older write than the last one has lost that one.
    #[test]
    fn a_key_that_went_back_has_lost_a_write() {
        let workload = workload();
        let mut lane = Lane::new(0);
        for (key, number) in [(1, 0), (1, 1), (2, 2)] {
            lane.registers.wrote(key, number);
        }
        lane.registers.may_have_written(3, 3);
        let shown = |pairs: &[(u64, u64)]| {
            let held = |(key, number): &(u64, u64)| (*key, workload.payload(0, *number));
            let mut verdict = Verdict::default();
            let keys = pairs.iter().map(held).collect();
            verify_keys(&workload, &mut lane.clone(), &keys, &mut verdict);
            (verdict.checked, verdict.lost, verdict.unexpected, verdict.unknown_applied)
        };
        assert_eq!(shown(&[(1, 1), (2, 2)]), (2, 0, 0, 0));
        assert_eq!(shown(&[(1, 0), (2, 2)]), (2, 1, 0, 0));
        assert_eq!(shown(&[(2, 2), (3, 3)]), (2, 1, 0, 1));
        assert_eq!(shown(&[(1, 1), (2, 2), (9, 9)]), (2, 0, 1, 0), "a key that nobody wrote");
    }

    #[test]
    fn what_was_acknowledged_and_is_there_is_clean() {
        assert_eq!(judged(0..50, &[]), Verdict { checked: 50, ..Verdict::default() });
    }

    #[test]
    fn a_write_that_is_missing_is_lost_wherever_it_was() {
        for missing in [0, 19, 20, 21, 49] {
            let verdict = judged((0..50).filter(|number| *number != missing), &[]);
            assert_eq!((verdict.lost, verdict.checked), (1, 50), "write {missing}");
            assert!(!verdict.is_clean());
        }
        assert_eq!(judged(20..50, &[]).lost, 20, "a list that is missing as a whole");
        assert_eq!(judged(0..40, &[]).lost, 10, "the last lists");
        assert_eq!(judged([], &[]).lost, 50);
    }

    #[test]
    fn a_write_that_was_applied_again_is_found_at_once_or_later() {
        for again in [&[7, 7][..], &[7, 8, 9, 7]] {
            let writes = (0..7).chain(again.iter().copied()).chain(10..50);
            let verdict = judged(writes, &[(8, Doubt::Unknown), (9, Doubt::Unknown)]);
            assert_eq!((verdict.applied_twice, verdict.lost), (1, 0));
        }
    }

    #[test]
    fn an_unknown_write_may_be_there_or_not_but_not_twice() {
        let unknown = [(49, Doubt::Unknown)];
        let verdict = judged(0..50, &unknown);
        assert_eq!((verdict.checked, verdict.unknown_applied), (49, 1));
        assert!(verdict.is_clean());
        assert!(judged(0..49, &unknown).is_clean());
        assert_eq!(judged((0..50).chain([49]), &unknown).applied_twice, 1);
    }

    #[test]
    fn a_failed_write_that_is_there_is_unexpected() {
        assert!(judged(0..49, &[(49, Doubt::Failed)]).is_clean());
        assert_eq!(judged(0..50, &[(49, Doubt::Failed)]).unexpected, 1);
    }

    #[test]
    fn order_and_foreign_content_are_noticed() {
        let swapped = (0..3).chain([4, 3]).chain(5..50);
        assert_eq!(judged(swapped, &[]).unexpected, 1);
        assert_eq!(judged(0..51, &[]).unexpected, 1, "a write that was never made");
    }
}
