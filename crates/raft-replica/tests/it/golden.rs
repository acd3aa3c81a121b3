//! Data directories that earlier versions wrote, which every later one must open: one below
//! `tests/golden/` for each combination of format versions there was. A format that changes without
//! its version can no longer read them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{ClusterId, Index, NodeId, Payload};
use raft_replica::{
    Disk, NewCluster, Options, ReadOnlyDisk, RealDisk, RequestKind, SessionHeader, refound, survey,
};

use crate::machine::{CLUSTER, Lines, Only, options};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn golden_options() -> Options {
    Options { cluster_name: "golden".to_owned(), ..options() }
}

/// What is done to a directory before it is kept, so that there is something in every field: a cluster
/// from another one's state, a session, entries, a learner. Whatever later versions do, it was this.
fn write_golden(dir: &Path) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let old = dir.with_extension("old");
    let cluster = ClusterId(CLUSTER.0 - 1);
    let old_options = Options { cluster, cluster_name: "old".to_owned(), ..options() };
    let mut node = Only::open_with(&RealDisk, &old, old_options).unwrap().lead();
    for number in 0..3 {
        node.write(&format!("old line {number}"));
    }
    drop(node);
    let new = NewCluster {
        cluster: CLUSTER,
        name: "golden".to_owned(),
        contact: Bytes::from_static(b"10.0.0.1:7001"),
        incarnation: options().fresh_incarnation,
        segment_bytes: 8 << 10,
    };
    refound((&disk, &old), (&disk, dir), new, Lines::default).unwrap();
    let mut node = Only::open_with(&RealDisk, dir, golden_options()).unwrap().lead();
    node.request(RequestKind::OpenSession);
    for number in 0..30 {
        node.write(&format!("line {number} {}", "x".repeat(100)));
    }
    node.add_learner(NodeId(2), b"10.0.0.2:7001");
    node.request(once());
    drop(node);
    fs::remove_file(dir.join("LOCK")).unwrap();
    // Spares are zeros, and go at the next start.
    for entry in fs::read_dir(dir.join("wal")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            fs::remove_file(path).unwrap();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// Each is whole, holds what was put into it, and can be worked on with.
#[test]
fn what_was_written_once_is_opened_for_ever() {
    let mut names: Vec<_> =
        fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert!(!names.is_empty());
    for name in names {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("n1");
        copy(&golden().join(&name), &dir);
        let disk: Arc<dyn Disk> = Arc::new(ReadOnlyDisk);
        let shown = survey(&disk, &dir).unwrap();
        assert!(shown.problems.is_empty() && shown.flaws.is_empty(), "{name:?}: {shown:?}");
        let identity = shown.identity.as_ref().unwrap();
        assert_eq!((identity.cluster_name.as_str(), identity.node), ("golden", NodeId(1)));
        assert_eq!(identity.incarnation, options().fresh_incarnation);
        let hard_state = &shown.log.hard_state;
        assert_eq!((hard_state.term.0, hard_state.vote), (2, Some(NodeId(1))));
        let known = hard_state.peers.iter().map(|(seat, disk)| (seat.node, *disk));
        assert!(known.eq([(NodeId(1), options().fresh_incarnation)]), "{hard_state:?}");
        let members = shown.membership().unwrap();
        assert_eq!(members.learners, [NodeId(2)].into());
        assert_eq!(members.contact(NodeId(1)), b"10.0.0.1:7001"[..]);
        assert_eq!(members.contact(NodeId(2)), b"10.0.0.2:7001"[..]);
        // Four old ones, a no-op, a session, thirty lines, a learner, and one more.
        assert_eq!((shown.log.last().index, shown.log.last().term.0), (Index(38), 2));
        let last = shown.log.entries.last().unwrap();
        assert!(matches!(&last.payload, Payload::Data(data) if data.ends_with(b"once")));
        let newest = shown.snapshots.last().unwrap();
        assert_eq!((newest.meta.last.index, newest.named), (Index(28), Some(true)));
        assert_eq!(newest.state_hash, Some(STATE_HASH), "{:x?}", newest.state_hash);

        let mut node = Only::open_with(&RealDisk, &dir, golden_options()).unwrap().lead();
        let lines = node.replica.machine().0.clone();
        assert_eq!((lines.len(), &lines[33]), (34, &Bytes::from_static(b"once")));
        assert!(lines[2] == b"old line 2"[..] && lines[32].starts_with(b"line 29 xxx"));
        node.request(once());
        assert_eq!(node.replica.machine().0.len(), 34, "the session is known");
        node.write("more");
        drop(node);
        let node = Only::open_with(&RealDisk, &dir, golden_options()).unwrap().lead();
        assert_eq!(node.replica.machine().0.len(), 35);
    }
}

/// A command that counts once. The session is named after its entry.
fn once() -> RequestKind {
    let header = SessionHeader { id: 6, sequence: 1, first_outstanding: 1 };
    RequestKind::Command { session: Some(header), command: "once".into() }
}

/// What the state hashed to at the newest snapshot.
const STATE_HASH: u64 = 0x03cb_9f16_25a6_f75e;

/// The format versions in a directory, as golden ones are named.
fn versions(dir: &Path) -> String {
    let first = |name: &str| {
        let mut files: Vec<_> =
            fs::read_dir(dir.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.swap_remove(0)
    };
    let version = |path: PathBuf| {
        let bytes = fs::read(path).unwrap();
        u32::from_le_bytes(bytes[8..12].try_into().unwrap())
    };
    let (wal, snapshot) = (version(first("wal")), version(first("snapshots")));
    format!("id{}-wal{wal}-snap{snapshot}", version(dir.join("IDENTITY")))
}

/// Whoever raises a version keeps a directory of it. If there is none yet, this makes it, in the
/// system's folder for temporary files, and says where it belongs.
#[test]
fn every_version_has_a_directory() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("n1");
    write_golden(&dir);
    let kept = golden().join(versions(&dir));
    if kept.exists() {
        assert_eq!(versions(&kept), versions(&dir));
        return;
    }
    let left = place.keep().join("n1");
    panic!("there is no {0} yet: cp -r {1} {0}", kept.display(), left.display());
}
