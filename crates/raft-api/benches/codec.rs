//! What it costs to make bytes of entries and messages, and to read them: entries as they stand in the log
//! and in messages alike, and the frames that members send each other.
//!
//! ```text
//! cargo bench -p raft-api
//! ```

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput};
use prost::Message as _;
use raft_api::{convert, pb};
use raft_core::pack::Packer;
use raft_core::{
    Append, Body, ClusterId, Entry, Incarnation, Index, LogId, Message, NodeId, Payload, Term,
    codec,
};

const BATCHES: [u64; 3] = [1, 64, 1024];

/// Bytes in an entry: a value of 256 B, its key, and what stands around them.
const ENTRY_BYTES: usize = 320;

fn main() {
    let criterion = Criterion::default().sample_size(50).warm_up_time(Duration::from_millis(500));
    let mut criterion = criterion.measurement_time(Duration::from_secs(2)).configure_from_args();
    entries(&mut criterion);
    frames(&mut criterion);
    criterion.final_summary();
}

fn some(count: u64) -> Vec<Entry> {
    let entry = |index| {
        let payload = Payload::Data(Bytes::from(vec![7; ENTRY_BYTES]));
        Entry { id: LogId::new(Term(3), Index(index)), payload }
    };
    (1..=count).map(entry).collect()
}

fn encoded(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        codec::put_entry(&mut out, entry);
    }
    out
}

fn entries(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("entries");
    for count in BATCHES {
        let entries = some(count);
        let bytes = Bytes::from(encoded(&entries));
        group.throughput(Throughput::Elements(count));
        let mut out = Vec::with_capacity(bytes.len());
        group.bench_function(BenchmarkId::new("encode", count), |bencher| {
            bencher.iter(|| {
                out.clear();
                for entry in &entries {
                    codec::put_entry(&mut out, entry);
                }
                black_box(out.len())
            });
        });
        group.bench_function(BenchmarkId::new("decode", count), |bencher| {
            bencher.iter(|| {
                let mut rest = bytes.clone();
                let mut read = 0;
                while let Some(entry) = codec::take_entry(&mut rest) {
                    read += u64::from(black_box(entry).id.term == Term(3));
                }
                assert_eq!(read, count, "all of them are read");
            });
        });
    }
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frames");
    for count in BATCHES {
        let entries = some(count).into();
        let append =
            Append { prev: LogId::default(), entries, commit: Index(0), met: BTreeMap::new() };
        let message = Message {
            cluster: ClusterId(7),
            from: NodeId(1),
            incarnation: Incarnation(5),
            to: NodeId(2),
            term: Term(3),
            body: Body::Append(append),
        };
        let bytes = Bytes::from(convert::to_frame(vec![message.clone()]).encode_to_vec());
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("encode", count), |bencher| {
            bencher.iter(|| convert::to_frame(vec![message.clone()]).encode_to_vec());
        });
        let mut packer = Packer::default();
        group.bench_function(BenchmarkId::new("decode", count), |bencher| {
            bencher.iter(|| {
                let frame = pb::PeerFrame::decode(bytes.clone()).expect("it was just encoded");
                convert::from_frame(frame, &mut packer).expect("it was just encoded")
            });
        });
    }
}
