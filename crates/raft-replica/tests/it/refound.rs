//! A new cluster from what one node has.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{ClusterId, Incarnation, Index, Instant, Membership, NodeId};
use raft_replica::{
    Disk, NewCluster, OpenError, Options, RefoundError, Refounded, RequestKind, SessionHeader,
    refound, survey,
};

use crate::machine::{Lines, Only, options};
use crate::mem_disk::{Crash, Fault, MemDisk};
use crate::support::{Rng, root};

fn new_cluster() -> NewCluster {
    NewCluster {
        cluster: ClusterId(8),
        name: "next".to_owned(),
        contact: Bytes::from_static(b"here"),
        incarnation: Incarnation(0xBEEF),
        segment_bytes: 8 << 10,
    }
}

fn into() -> &'static Path {
    Path::new("/new")
}

fn run(disk: &MemDisk) -> Result<Refounded, RefoundError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    refound((&disk, root()), (&disk, into()), new_cluster(), Lines::default)
}

/// How a node of the new cluster is started.
fn new_options() -> Options {
    let NewCluster { cluster, name: cluster_name, .. } = new_cluster();
    Options { cluster, cluster_name, ..options() }
}

/// A directory of one of three nodes, all of whose entries it has appended itself.
fn survivor() -> (MemDisk, Only) {
    let disk = MemDisk::new();
    let node = Only::open(&disk, root()).unwrap().lead();
    (disk, node)
}

/// Everything is taken over: the state, the sessions and the place in the log. The old directory
/// stays as it was.
#[test]
fn a_survivor_becomes_a_cluster() {
    let (disk, mut node) = survivor();
    let (client, first_outstanding) = (2, 1);
    node.request(RequestKind::OpenSession);
    for number in 0..30 {
        node.write(&format!("line {number}"));
    }
    let header = SessionHeader { id: client, sequence: 1, first_outstanding };
    let once = RequestKind::Command { session: Some(header), command: "once".into() };
    node.request(once.clone());
    let status = node.replica.status(Instant::default());
    let lines = node.replica.machine().clone();
    drop(node);
    let before = disk.copy();

    let done = run(&disk).unwrap();
    assert_eq!((done.last.index, done.state_hash), (status.last, status.state_hash));
    assert_eq!((done.items, done.sessions, done.node), (31, 1, NodeId(1)));
    for name in ["IDENTITY", "wal/0000000000000001.log", "wal/0000000000000002.log"] {
        if let Ok(file) = before.open(&root().join(name)) {
            drop(file);
            assert_eq!(disk.bytes(&root().join(name)), before.bytes(&root().join(name)));
        }
    }
    match Only::open_with(&disk, into(), options()).map(drop) {
        Err(OpenError::WrongCluster { found, .. }) => assert_eq!(found, "next"),
        other => panic!("{other:?}"),
    }
    let mut node = Only::open_with(&disk, into(), new_options()).unwrap().lead();
    assert_eq!(node.replica.machine(), &lines);
    let membership = node.replica.node().membership();
    assert_eq!(membership.voters, Membership::of_voters([NodeId(1)]).voters);
    assert_eq!(membership.contact(NodeId(1)), b"here"[..]);
    assert_eq!(node.report.incarnation, Incarnation(0xBEEF));
    node.request(once);
    assert_eq!(node.replica.machine(), &lines, "what was applied once is not applied again");
    node.write("more");
    drop(node);
    let node = Only::open_with(&disk, into(), new_options()).unwrap().lead();
    assert_eq!(node.replica.machine().0.last().unwrap(), &b"more"[..]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (disk, mut node) = survivor();
    node.write("line");
    drop(node);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let same = NewCluster { cluster: options().cluster, ..new_cluster() };
    let error = refound((&shared, root()), (&shared, into()), same, Lines::default).unwrap_err();
    assert_eq!(error.to_string(), "/data belongs to cluster `test` already");
    run(&disk).unwrap();
    assert_eq!(run(&disk).unwrap_err().to_string(), "/new is there already");

    let untouched = MemDisk::new();
    drop(Only::open(&untouched, root()).unwrap());
    let error = run(&untouched).unwrap_err();
    assert_eq!(error.to_string(), "/data holds no entries: there is nothing to recover");

    let (damaged, mut node) = survivor();
    node.write("line");
    node.write("line");
    drop(node);
    let path = root().join("wal/0000000000000001.log");
    let mut bytes = damaged.bytes(&path);
    bytes[1024] ^= 1;
    damaged.set_bytes(&path, bytes);
    let error = run(&damaged).unwrap_err().to_string();
    assert!(error.contains("0000000000000001.log is damaged at byte 1024"), "{error}");
    assert!(damaged.open(&into().join("IDENTITY")).is_err());
}

/// The process is killed, or the power fails, at any call. What is then in the new directory is all
/// of it, or a node there would belong to no cluster, or it is refused; the old one is as it was.
#[test]
fn an_interruption_leaves_no_half_cluster() {
    let (disk, mut node) = survivor();
    for number in 0..20 {
        node.write(&format!("line {number}"));
    }
    drop(node);
    let (mut whole, mut homeless) = (0, 0);
    for kind in [Crash::Nothing, Crash::Everything, Crash::Something] {
        for call in 1..10_000 {
            let disk = disk.copy();
            let before = look(&disk, root());
            disk.fail(Fault::DeadFrom(call));
            let done = run(&disk).is_ok();
            disk.crash(kind, &mut Rng::new(call));
            assert_eq!(look(&disk, root()), before, "call {call}");
            match Only::open_with(
                &disk,
                into(),
                Options { bootstrap: Membership::default(), ..new_options() },
            ) {
                Ok(node) if node.report.snapshot != Index(0) => {
                    assert_eq!(node.lead().replica.machine().0.len(), 20, "call {call}");
                    whole += 1;
                }
                Ok(node) => {
                    assert!(!done && node.replica.node().membership().is_empty(), "call {call}");
                    homeless += 1;
                }
                Err(error) => assert!(!done, "call {call}: {error}"),
            }
            if done {
                break;
            }
        }
    }
    assert!(3 <= whole && 3 <= homeless, "{whole} {homeless}");
}

fn look(disk: &MemDisk, dir: &Path) -> (u64, usize) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let found = survey(&disk, dir).unwrap();
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    (found.log.last().index.0, found.snapshots.len())
}
