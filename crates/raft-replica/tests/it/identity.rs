//! Whose directory it is, and that only one process works in it.

use std::sync::Arc;

use raft_core::{ClusterId, Incarnation, Membership, NodeId, Persist};
use raft_replica::{Disk, Identity, LockError, RealDisk, StorageError, Wal};

use crate::mem_disk::MemDisk;
use crate::support::{root, segment, term};

fn identity() -> Identity {
    Identity {
        cluster_name: "démo".to_owned(),
        cluster: ClusterId(1),
        node: NodeId(2),
        incarnation: Incarnation(3),
        bootstrap: Membership::of_voters([NodeId(1), NodeId(2), NodeId(3)]),
    }
}

#[test]
fn an_identity_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er");
    assert_eq!(Identity::load(&RealDisk, &path).unwrap(), None);
    identity().create(&RealDisk, &path, 8 << 10).unwrap();
    assert_eq!(Identity::load(&RealDisk, &path).unwrap(), Some(identity()));
}

#[test]
fn a_directory_with_other_files_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _lock = RealDisk.lock(dir.path()).unwrap();
    assert_eq!(Identity::load(&RealDisk, dir.path()).unwrap(), None, "a lock is nobody's data");
    RealDisk.create_dir(&dir.path().join("wal")).unwrap();
    let error = Identity::load(&RealDisk, dir.path()).unwrap_err();
    let text = format!(
        "{} is not a data directory: it has no IDENTITY, but holds `wal`",
        dir.path().display()
    );
    assert_eq!(error.to_string(), text);
    assert!(matches!(error, StorageError::NotOurs { .. }));
}

/// Whoever loses or renames the identity of a directory in use does not lose its log.
#[test]
fn a_log_without_its_identity_is_not_a_leftover() {
    let refused = |disk: &MemDisk| match Identity::load(disk, root()).unwrap_err() {
        error @ StorageError::NotOurs { .. } => {
            assert!(error.hint().unwrap().starts_with("restore IDENTITY"));
            let StorageError::NotOurs { found, .. } = error else { unreachable!() };
            found
        }
        error => panic!("{error}"),
    };
    let fresh = || {
        let disk = MemDisk::new();
        identity().create(&disk, root(), 8 << 10).unwrap();
        disk.rename(&root().join("IDENTITY"), &root().join("IDENTITY.tmp")).unwrap();
        disk
    };
    let leftover = fresh();
    leftover.create_dir(&root().join("snapshots")).unwrap();
    leftover.set_bytes(&root().join("wal/spare-0.tmp"), vec![1; 100]);
    assert_eq!(Identity::load(&leftover, root()).unwrap(), None, "nothing was promised");
    identity().create(&leftover, root(), 8 << 10).unwrap();

    let written = fresh();
    let options = identity().wal_options(8 << 10);
    let (mut wal, ..) = Wal::open(Arc::new(written.clone()), root(), &options).unwrap();
    let promise = Persist { seq: 1, hard_state: Some(term(1)), ..Persist::default() };
    wal.run(vec![promise]).unwrap();
    assert_eq!(refused(&written), "wal/0000000000000001.log");

    let several = fresh();
    several.set_bytes(&segment(2), several.bytes(&segment(1)));
    assert_eq!(refused(&several), "wal/0000000000000002.log");
    several.remove(&segment(1)).unwrap();
    assert_eq!(refused(&several), "wal/0000000000000002.log");

    let large = fresh();
    large.set_bytes(&segment(1), vec![0; 5 << 20]);
    assert_eq!(refused(&large), "wal/0000000000000001.log");

    let snapshot = fresh();
    snapshot.create_dir(&root().join("snapshots")).unwrap();
    snapshot.set_bytes(&root().join("snapshots/incoming.part"), vec![1]);
    assert_eq!(refused(&snapshot), "snapshots/incoming.part");
}

#[test]
fn a_flipped_bit_is_noticed() {
    let disk = MemDisk::new();
    identity().create(&disk, root(), 8 << 10).unwrap();
    let path = root().join("IDENTITY");
    let whole = disk.bytes(&path);
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        disk.set_bytes(&path, flipped);
        assert!(matches!(Identity::load(&disk, root()), Err(StorageError::Damaged(_))));
        disk.set_bytes(&path, whole[..at].to_vec());
        assert!(matches!(Identity::load(&disk, root()), Err(StorageError::Damaged(_))));
    }
}

#[test]
fn a_second_lock_is_refused_and_names_the_holder() {
    let dir = tempfile::tempdir().unwrap();
    let held = RealDisk.lock(dir.path()).unwrap();
    match RealDisk.lock(dir.path()).map(drop) {
        Err(LockError::Held { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{other:?}"),
    }
    drop(held);
    RealDisk.lock(dir.path()).map(drop).unwrap();
}

/// What can be deleted does not hold the lock.
#[test]
fn a_deleted_lock_file_lets_nobody_in() {
    let dir = tempfile::tempdir().unwrap();
    let held = RealDisk.lock(dir.path()).unwrap();
    std::fs::remove_file(dir.path().join("LOCK")).unwrap();
    for _ in 0..2 {
        match RealDisk.lock(dir.path()).map(drop) {
            Err(LockError::Held { pid, .. }) => assert_eq!(pid, None),
            other => panic!("{other:?}"),
        }
    }
    drop(held);
    RealDisk.lock(dir.path()).map(drop).unwrap();
}
