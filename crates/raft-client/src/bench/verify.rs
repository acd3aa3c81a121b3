//! Reads back what was acknowledged.
//!
//! Each worker remembers only how many writes it made and which of them were not acknowledged;
//! what the lists must hold follows from that (see [`super::workload`]). The reads are
//! linearizable. A write of unknown outcome may be there or not, but not twice; a write that
//! failed must not be there.

use std::collections::BTreeMap;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;

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

/// What reading back has shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Acknowledged writes that were looked for.
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
    /// The first findings, in words.
    pub findings: Vec<String>,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.applied_twice == 0 && self.unexpected == 0
    }

    fn find(&mut self, what: impl FnOnce() -> String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what());
        }
    }

    fn add(mut self, other: Self) -> Self {
        self.checked += other.checked;
        self.lost += other.lost;
        self.applied_twice += other.applied_twice;
        self.unexpected += other.unexpected;
        self.unknown_applied += other.unknown_applied;
        self.findings.extend(other.findings);
        self.findings.truncate(FINDINGS_MAX);
        self
    }
}

/// Reads back all workers' writes. An error means that the cluster could not be read.
pub(super) async fn verify(
    client: &Client,
    workload: &Workload,
    records: &[Record],
) -> Result<Verdict, ClientError> {
    let workers = records.iter().enumerate();
    let mut verdicts = stream::iter(workers)
        .map(|(worker, record)| verify_worker(client, workload, worker, record))
        .buffered(READERS);
    let mut all = Verdict::default();
    while let Some(verdict) = verdicts.next().await {
        all = all.add(verdict?);
    }
    Ok(all)
}

async fn verify_worker(
    client: &Client,
    workload: &Workload,
    worker: usize,
    record: &Record,
) -> Result<Verdict, ClientError> {
    let mut judge = Judge { workload, worker, record, next_list: 0, verdict: Verdict::default() };
    let (mut start, end) = workload.list_range(worker);
    loop {
        let consistency = Consistency::Linearizable;
        let page = client.range(start, end.clone(), 0, consistency).await?.value;
        for (key, list) in &page.pairs {
            judge.list(key, list);
        }
        match page.pairs.last() {
            Some((last, _)) if page.more => start = just_after(last),
            Some(_) | None => return Ok(judge.finish()),
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
struct Judge<'a> {
    workload: &'a Workload,
    worker: usize,
    record: &'a Record,
    /// The first list that has not been looked at.
    next_list: u64,
    verdict: Verdict,
}

impl Judge<'_> {
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

    use super::*;
    use crate::bench::Kind;

    fn workload() -> Workload {
        Workload { kind: Kind::Append, value_size: 400, keys: 1, seed: 1, run: 9 }
    }

    /// Carries out these writes of worker 0 and judges them against a record of 50.
    fn judged(writes: impl IntoIterator<Item = u64>, doubtful: &[(u64, Doubt)]) -> Verdict {
        let workload = workload();
        let mut store = Store::new();
        for number in writes {
            store.apply(&Command::decode(&workload.command(0, number)).unwrap());
        }
        let record = Record { made: 50, doubtful: doubtful.iter().copied().collect() };
        let verdict = Verdict::default();
        let mut judge =
            Judge { workload: &workload, worker: 0, record: &record, next_list: 0, verdict };
        for (key, list) in store.iter() {
            judge.list(key, list);
        }
        judge.finish()
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
