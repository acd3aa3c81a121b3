//! Whose directory it is, and that only one process works in it.

use raft_core::{ClusterId, Incarnation, Membership, NodeId};
use raft_replica::{Disk, Identity, LockError, RealDisk, StorageError};

use crate::mem_disk::MemDisk;
use crate::support::root;

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
