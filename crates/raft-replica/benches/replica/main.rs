//! What the parts around the consensus cost: the log, with the disk and without, and the way of a write
//! through a replica that is alone.
//!
//! ```text
//! cargo bench -p raft-replica
//! ```

mod alone;
mod disk;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use raft_core::{
    ClusterId, Compact, Entry, HardState, Incarnation, Index, LogId, Membership, NodeId, Payload,
    Persist, SnapshotMeta, Term,
};
use raft_kv::{Command, Store};
use raft_replica::{Disk, RealDisk, Wal, WalOptions};

use alone::Alone;
use disk::Unsynced;

/// Bytes in a value.
const VALUE_BYTES: usize = 256;

const KEYS: u64 = 1000;

fn main() {
    let criterion = Criterion::default().sample_size(20).warm_up_time(Duration::from_millis(500));
    let mut criterion = criterion.measurement_time(Duration::from_secs(2)).configure_from_args();
    log(&mut criterion);
    apply(&mut criterion);
    criterion.final_summary();
}

/// A directory on the disk that holds the build, and not in memory.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("cargo has made this directory")
}

/// Puts, with ever other keys.
pub(crate) fn put(number: u64) -> Bytes {
    let key = Bytes::from(format!("key {:012}", number % KEYS));
    Command::Put { key, value: Bytes::from(vec![7; VALUE_BYTES]) }.encode()
}

/// What comes next in a log.
struct Writes {
    seq: u64,
    next: u64,
    data: Bytes,
}

impl Writes {
    /// So many entries to be made durable. Now and then, those long before are given up.
    fn persist(&mut self, count: u64) -> Persist {
        let first = self.next;
        let id = |index| LogId::new(Term(1), Index(index));
        let entry = |index| Entry { id: id(index), payload: Payload::Data(self.data.clone()) };
        let entries = (first..first + count).map(entry).collect();
        self.next += count;
        self.seq += 1;
        let compact = (self.seq.is_multiple_of(256) && first > count).then(|| {
            let membership = Membership::of_voters([NodeId(1)]).into();
            let snapshot = SnapshotMeta { last: id(first - 1), membership, size: 1, checksum: 1 };
            Compact { snapshot, first_kept: Index(first) }
        });
        let term = (self.seq == 1).then(|| HardState { term: Term(1), ..HardState::default() });
        Persist { seq: self.seq, compact, hard_state: term, entries, ..Persist::default() }
    }
}

fn log(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    let disks: [(&str, Arc<dyn Disk>); 2] =
        [("append and sync", Arc::new(RealDisk)), ("append", Arc::new(Unsynced))];
    for (name, disk) in disks {
        for count in [1, 16, 256] {
            let dir = directory();
            let mut wal = empty_log(&disk, dir.path());
            let mut writes = Writes { seq: 0, next: 1, data: put(0) };
            group.throughput(Throughput::Elements(count));
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                let append = |persist| append(&mut wal, persist);
                bencher.iter_batched(|| writes.persist(count), append, BatchSize::SmallInput);
            });
        }
    }
}

fn empty_log(disk: &Arc<dyn Disk>, dir: &Path) -> Wal {
    let options = WalOptions {
        cluster: ClusterId(7),
        node: NodeId(1),
        incarnation: Incarnation(5),
        segment_bytes: 16 << 20,
    };
    Wal::create(&**disk, dir, &options).expect("the directory is new");
    Wal::open(Arc::clone(disk), dir, &options).expect("it was just made").0
}

/// With what is otherwise done beside the writer.
fn append(wal: &mut Wal, persist: Persist) {
    wal.run(vec![persist]).expect("the disk works");
    if let Some(job) = wal.prepare() {
        wal.prepared(job.run().expect("the disk works"));
    }
}

fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    let mut store = Store::default();
    let commands: Vec<Bytes> = (0..KEYS).map(put).collect();
    group.throughput(Throughput::Elements(KEYS));
    group.bench_function("the store alone", |bencher| {
        bencher.iter(|| {
            for command in &commands {
                store.apply_bytes(command);
            }
        });
    });
    for count in [1, 16, 256] {
        let mut alone = Alone::new();
        group.throughput(Throughput::Elements(count));
        let id = BenchmarkId::new("a replica, in a session, unsynced", count);
        group.bench_function(id, |bencher| {
            bencher.iter(|| alone.write(count));
        });
    }
}
