//! Random logs, and what they amount to, told apart from the code under test.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{
    ClusterId, Compact, Entry, HardState, Incarnation, Index, LogId, Membership, NodeId, Payload,
    Persist, SnapshotMeta, Term,
};
use raft_replica::{Disk, Recovered, RecoveryReport, StorageError, Wal, WalOptions};

/// Small numbers from a seed (xorshift64*).
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        rng.below(2);
        rng
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

pub(crate) fn root() -> &'static Path {
    Path::new("/data")
}

pub(crate) fn options() -> WalOptions {
    WalOptions {
        cluster: ClusterId(7),
        node: NodeId(1),
        incarnation: Incarnation(0xABCD),
        segment_bytes: 8 << 10,
    }
}

pub(crate) fn segment(number: u64) -> std::path::PathBuf {
    root().join(format!("wal/{number:016}.log"))
}

pub(crate) fn open(
    disk: &(impl Disk + Clone + 'static),
) -> Result<(Wal, Recovered, RecoveryReport), StorageError> {
    Wal::open(Arc::new(disk.clone()), root(), &options())
}

/// A log with nothing in it.
pub(crate) fn create(disk: &(impl Disk + Clone + 'static)) -> Wal {
    Wal::create(disk, root(), &options()).unwrap();
    open(disk).unwrap().0
}

pub(crate) fn id(index: u64, term: u64) -> LogId {
    LogId::new(Term(term), Index(index))
}

pub(crate) fn entry(index: u64, term: u64, len: usize) -> Entry {
    let fill = u8::try_from(index % 251).unwrap();
    Entry { id: id(index, term), payload: Payload::Data(Bytes::from(vec![fill; len])) }
}

pub(crate) fn snapshot(last: LogId) -> SnapshotMeta {
    let membership = Membership::of_voters([NodeId(1), NodeId(2), NodeId(3)]);
    SnapshotMeta { last, membership: membership.into(), size: 3, checksum: 4 }
}

pub(crate) fn term(term: u64) -> HardState {
    HardState { term: Term(term), vote: Some(NodeId(term % 3)), ..HardState::default() }
}

/// What the jobs say, applied the plain way.
pub(crate) fn apply(log: &mut Recovered, job: &Persist) {
    let last = |log: &Recovered| log.entries.last().map_or(log.base, |entry| entry.id);
    let drop_to = |log: &mut Recovered, base: LogId| {
        log.entries.retain(|entry| base.index < entry.id.index);
        log.base = base;
    };
    if let Some(meta) = &job.install {
        let continues = log.base == meta.last || log.entries.iter().any(|e| e.id == meta.last);
        if !continues {
            log.entries.clear();
        }
        drop_to(log, meta.last);
        log.snapshot = Some(meta.clone());
    }
    if let Some(compact) = &job.compact {
        let base = compact.first_kept.prev();
        let found = log.entries.iter().map(|e| e.id).find(|id| id.index == base);
        if let Some(base) = found {
            drop_to(log, base);
        }
        log.snapshot = Some(compact.snapshot.clone());
    }
    if let Some(from) = job.truncate_from {
        log.entries.retain(|entry| entry.id.index < from);
    }
    if let Some(state) = &job.hard_state {
        log.hard_state = state.clone();
    }
    for entry in &job.entries {
        log.entries.retain(|old| old.id.index < entry.id.index);
        assert_eq!(entry.id.index, last(log).index.next(), "the test makes sense");
        log.entries.push(entry.clone());
    }
}

/// A job that may follow `log`.
pub(crate) fn random_job(log: &Recovered, seq: u64, rng: &mut Rng) -> Persist {
    let (mut job, mut entries) = (Persist { seq, ..Persist::default() }, Vec::new());
    let last = log.entries.last().map_or(log.base, |entry| entry.id);
    let covered = log.snapshot.as_ref().map_or(0, |meta| meta.last.index.0);
    let mut now = log.hard_state.term.0.max(1);
    match rng.below(12) {
        0 => return job,
        1 => {
            job.hard_state = Some(term(now + 1));
            return job;
        }
        2 | 3 if covered < last.index.0 => {
            let at = covered + 1 + rng.below(last.index.0 - covered);
            let at = log.entries.iter().find(|e| e.id.index.0 == at).unwrap().id;
            let first_kept =
                Index(log.base.index.0 + 1 + rng.below(at.index.0 - log.base.index.0 + 1));
            job.compact = Some(Compact { snapshot: snapshot(at), first_kept });
            return job;
        }
        4 => {
            // Sometimes ahead of the log, sometimes within, with or without the same term.
            let at = covered + 1 + rng.below(last.index.0 - covered + 4);
            let known = log.entries.iter().find(|e| e.id.index.0 == at).map(|e| e.id);
            let at = known.filter(|_| rng.below(2) == 0).unwrap_or(id(at, now));
            job.install = Some(snapshot(at));
            job.hard_state = Some(term(now));
            return job;
        }
        5 | 6 if covered < last.index.0 => {
            let from = covered + 1 + rng.below(last.index.0 - covered);
            now += 1;
            job.truncate_from = (rng.below(2) == 0).then_some(Index(from));
            job.hard_state = Some(term(now));
            entries.push(entry(from, now, 10));
        }
        7 => {
            now += 1;
            job.hard_state = Some(term(now));
        }
        _ if log.hard_state.term.0 == 0 => job.hard_state = Some(term(now)),
        _ => (),
    }
    let first = entries.last().map_or(last.index.0, |entry| entry.id.index.0) + 1;
    for index in first..=first + rng.below(4) {
        let len = match rng.below(30) {
            0 => 20_000,
            1..=5 => rng.below(4_000),
            _ => rng.below(400),
        };
        entries.push(entry(index, now, usize::try_from(len).unwrap()));
    }
    job.entries = entries.into();
    job
}
