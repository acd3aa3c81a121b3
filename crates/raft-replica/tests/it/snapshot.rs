//! Snapshot files: whole or absent, whoever writes them and whenever the power goes.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use raft_core::{ClusterId, Membership, NodeId, SnapshotMeta};
use raft_replica::{
    Disk, RealDisk, Recovered, SnapshotStore, Staged, StorageError, check_snapshot,
};

use crate::mem_disk::{Crash, Fault, MemDisk};
use crate::support::{Rng, id, root};

fn store(disk: &MemDisk) -> SnapshotStore {
    SnapshotStore::open(Arc::new(disk.clone()), root(), ClusterId(7)).unwrap()
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn write(store: &mut SnapshotStore, index: u64, len: usize) -> SnapshotMeta {
    let membership = Membership::of_voters([NodeId(1), NodeId(2)]);
    store.write(id(index, 1), &membership, |out| out.write_all(&payload(len))).unwrap()
}

fn read(store: &SnapshotStore, meta: &SnapshotMeta) -> Result<Vec<u8>, StorageError> {
    let mut bytes = Vec::new();
    store.reader(meta)?.read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

fn damaged<T>(result: Result<T, StorageError>) -> String {
    match result {
        Err(StorageError::Damaged(damage)) => damage.what,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("damage goes unnoticed"),
    }
}

/// On the real disk: whole, in pieces, and as a stream written in odd pieces.
#[test]
fn what_is_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut store = SnapshotStore::open(Arc::clone(&disk), dir.path(), ClusterId(7)).unwrap();
    let expected = payload(700_000);
    let membership = Membership::of_voters([NodeId(3)]);
    let meta = store
        .write(id(9, 2), &membership, |out| {
            expected.chunks(977).try_for_each(|piece| out.write_all(piece))
        })
        .unwrap();
    assert_eq!((meta.last, meta.size), (id(9, 2), 700_000));
    assert_eq!(meta.checksum, crc32c::crc32c(&expected));
    assert_eq!(read(&store, &meta).unwrap(), expected);
    let mut pieces = Vec::new();
    while pieces.len() < expected.len() {
        let piece = store.read(&meta, pieces.len() as u64, 65_536).unwrap();
        assert!(!piece.is_empty());
        pieces.extend_from_slice(&piece);
    }
    assert_eq!(pieces, expected);
    assert_eq!(store.read(&meta, meta.size, 10).unwrap(), Bytes::new());
    assert_eq!(store.newest_matching(|_| true).unwrap(), Some(meta));
}

/// Stages a piece that nothing happened to on its way.
fn stage(
    store: &mut SnapshotStore,
    meta: &SnapshotMeta,
    offset: u64,
    data: &[u8],
) -> Result<Staged, StorageError> {
    store.stage(meta, offset, data, crc32c::crc32c(data))
}

fn names(disk: &MemDisk) -> Vec<String> {
    disk.list(&root().join("snapshots")).unwrap()
}

/// Sends a snapshot piece by piece until it is complete, and counts the pieces.
fn send(from: &mut SnapshotStore, to: &mut SnapshotStore, meta: &SnapshotMeta) -> u64 {
    let (mut offset, mut pieces) = (0, 0);
    loop {
        let data = from.read(meta, offset, 100).unwrap();
        let staged = stage(to, meta, offset, &data).unwrap();
        pieces += 1;
        if staged.complete {
            return pieces;
        }
        offset = staged.next_offset;
    }
}

#[test]
fn a_snapshot_arrives_in_pieces() {
    for len in [0, 1, 100, 1001] {
        let (here, there) = (MemDisk::new(), MemDisk::new());
        let (mut leader, mut follower) = (store(&here), store(&there));
        let meta = write(&mut leader, 5, len);
        send(&mut leader, &mut follower, &meta);
        assert_eq!(read(&follower, &meta).unwrap(), payload(len));
        assert_eq!(send(&mut leader, &mut follower, &meta), 1, "it is there already");
        assert_eq!(read(&store(&there), &meta).unwrap(), payload(len));
    }
}

#[test]
fn a_piece_in_the_wrong_place_is_not_written() {
    let (mut leader, mut follower) = (store(&MemDisk::new()), store(&MemDisk::new()));
    let meta = write(&mut leader, 5, 300);
    let piece = |store: &mut SnapshotStore, at| store.read(&meta, at, 100).unwrap();
    let first = Staged { next_offset: 100, complete: false };
    let (one, two) = (piece(&mut leader, 0), piece(&mut leader, 100));
    assert_eq!(stage(&mut follower, &meta, 100, &two).unwrap().next_offset, 0);
    assert_eq!(stage(&mut follower, &meta, 0, &one).unwrap(), first);
    assert_eq!(stage(&mut follower, &meta, 0, &one).unwrap(), first);
    assert_eq!(stage(&mut follower, &meta, 100, &payload(201)).unwrap(), first, "beyond the end");
    assert_eq!(stage(&mut follower, &meta, 100, &two).unwrap().next_offset, 200);
    let three = piece(&mut leader, 200);
    let whole = Staged { next_offset: 300, complete: true };
    assert_eq!(stage(&mut follower, &meta, 200, &three).unwrap(), whole);
    assert_eq!(read(&follower, &meta).unwrap(), payload(300));
}

#[test]
fn a_transfer_goes_on_after_a_restart_and_gives_way_to_another() {
    let (here, there) = (MemDisk::new(), MemDisk::new());
    let mut leader = store(&here);
    let (old, new) = (write(&mut leader, 5, 300), write(&mut leader, 6, 400));
    let data = leader.read(&old, 0, 200).unwrap();
    stage(&mut store(&there), &old, 0, &data).unwrap();
    let mut follower = store(&there);
    assert_eq!(stage(&mut follower, &old, 0, &data).unwrap().next_offset, 200);
    assert_eq!(stage(&mut follower, &new, 200, &data).unwrap().next_offset, 0);
    send(&mut leader, &mut follower, &new);
    assert_eq!(stage(&mut follower, &old, 200, &data).unwrap().next_offset, 0, "it was given up");
    assert_eq!(read(&follower, &new).unwrap(), payload(400));
}

/// A piece that changed on its way is not written: the answer says what is held.
#[test]
fn a_changed_piece_is_not_written() {
    let (mut leader, mut follower) = (store(&MemDisk::new()), store(&MemDisk::new()));
    let meta = write(&mut leader, 5, 300);
    stage(&mut follower, &meta, 0, &payload(100)).unwrap();
    let mut data = leader.read(&meta, 100, 100).unwrap().to_vec();
    let checksum = crc32c::crc32c(&data);
    data[7] ^= 1;
    let held = Staged { next_offset: 100, complete: false };
    assert_eq!(follower.stage(&meta, 100, &data, checksum).unwrap(), held);
    send(&mut leader, &mut follower, &meta);
    assert_eq!(read(&follower, &meta).unwrap(), payload(300));
}

/// What changed where no piece's checksum saw it is noticed at the end, and asked for again.
#[test]
fn a_wrong_checksum_starts_the_transfer_again() {
    let (mut leader, mut follower) = (store(&MemDisk::new()), store(&MemDisk::new()));
    let meta = write(&mut leader, 5, 300);
    let mut data = payload(300);
    data[77] ^= 1;
    assert_eq!(
        damaged(stage(&mut follower, &meta, 0, &data)),
        "the checksum of what begins here is wrong"
    );
    assert!(follower.newest_matching(|_| true).unwrap().is_none());
    send(&mut leader, &mut follower, &meta);
    assert_eq!(read(&follower, &meta).unwrap(), payload(300));
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let disk = MemDisk::new();
    let mut store = store(&disk);
    let meta = write(&mut store, 5, 100);
    let path = root().join("snapshots/00000001-0000000000000005.snap");
    let recovered = Recovered { snapshot: Some(meta.clone()), ..Recovered::default() };
    check_snapshot(&recovered, &store).unwrap();
    let whole = disk.bytes(&path);
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        disk.set_bytes(&path, flipped);
        damaged(check_snapshot(&recovered, &store));
    }
    disk.set_bytes(&path, whole[..whole.len() - 1].to_vec());
    damaged(check_snapshot(&recovered, &store));
    disk.remove(&path).unwrap();
    assert_eq!(damaged(check_snapshot(&recovered, &store)), "this snapshot is missing");
}

#[test]
fn only_older_snapshots_are_removed() {
    let disk = MemDisk::new();
    let mut store = store(&disk);
    let metas: Vec<_> = (1..=4).map(|index| write(&mut store, index, 10)).collect();
    store.keep_only(&metas[2], &[metas[1].last]).unwrap();
    let name = |index| format!("00000001-{index:016}.snap");
    assert_eq!(names(&disk), [name(2), name(3), name(4)], "one of them is needed");
    store.keep_only(&metas[2], &[]).unwrap();
    assert_eq!(names(&disk), [name(3), name(4)]);
    match store.read(&metas[0], 0, 10) {
        Err(StorageError::Disk(error)) => {
            assert_eq!(error.source.kind(), std::io::ErrorKind::NotFound);
        }
        other => panic!("{other:?}"),
    }
    let newest = store.newest_matching(|meta| meta.last != metas[3].last).unwrap();
    assert_eq!(newest.as_ref(), Some(&metas[2]));
}

/// A write or a sync fails, once, and the process ends. The next one brings the transfer to its
/// end; what it then reports is durable.
#[test]
fn a_failed_sync_does_not_pass_for_a_good_one() {
    for call in 1.. {
        let (mut leader, disk) = (store(&MemDisk::new()), MemDisk::new());
        let meta = write(&mut leader, 6, 900);
        let piece = leader.read(&meta, 0, 900).unwrap();
        let mut follower = store(&disk);
        disk.fail(Fault::OnceAt(call));
        let staged = stage(&mut follower, &meta, 0, &piece);
        let over = disk.calls() < call;
        assert!(staged.is_ok() || !over);
        disk.restart();
        let mut follower = store(&disk);
        send(&mut leader, &mut follower, &meta);
        disk.crash(Crash::Nothing, &mut Rng::new(call));
        assert_eq!(read(&store(&disk), &meta).unwrap(), payload(900), "call {call}");
        if over {
            break;
        }
    }
}

/// A snapshot that was reported is there after a crash at any call; one that was not may be, whole.
#[test]
fn a_crash_leaves_a_snapshot_whole_or_absent() {
    for kind in [Crash::Nothing, Crash::Everything, Crash::Something] {
        for call in 1.. {
            let context = format!("{kind:?} survives a crash at call {call}");
            let (here, there) = (MemDisk::new(), MemDisk::new());
            let (mut leader, mut follower) = (store(&here), store(&there));
            let (own, sent) = (write(&mut leader, 5, 700), write(&mut leader, 6, 900));
            there.fail(Fault::DeadFrom(call));
            let built = follower
                .write(own.last, &own.membership, |out| out.write_all(&payload(700)))
                .is_ok();
            let first = leader.read(&sent, 0, 500).unwrap();
            let second = leader.read(&sent, 500, 500).unwrap();
            let staged = stage(&mut follower, &sent, 0, &first).is_ok()
                && stage(&mut follower, &sent, 500, &second).is_ok_and(|staged| staged.complete);
            there.crash(kind, &mut Rng::new(call));
            let mut follower = store(&there);
            let newest = follower.newest_matching(|_| true).unwrap();
            match &newest {
                Some(meta) => assert_eq!(
                    read(&follower, meta).unwrap(),
                    payload(if *meta == sent { 900 } else { 700 }),
                    "{context}"
                ),
                None => assert!(!built, "{context}"),
            }
            assert!(!staged || newest.as_ref() == Some(&sent), "{context}");
            // Whatever was left of the transfer, it can be brought to its end.
            while let Err(error) = stage(&mut follower, &sent, 0, &[]) {
                assert!(matches!(error, StorageError::Damaged(_)), "{context}: {error}");
            }
            let next = stage(&mut follower, &sent, 0, &[]).unwrap();
            let rest = leader.read(&sent, next.next_offset, 900).unwrap();
            if !stage(&mut follower, &sent, next.next_offset, &rest)
                .is_ok_and(|staged| staged.complete)
            {
                send(&mut leader, &mut follower, &sent);
            }
            assert_eq!(read(&follower, &sent).unwrap(), payload(900), "{context}");
            if staged {
                break;
            }
        }
    }
}

/// Bytes of a snapshot that is too large to be removed in one step.
const LARGE: usize = 36 << 20;

fn write_large(store: &mut SnapshotStore) -> SnapshotMeta {
    let membership = Membership::of_voters([NodeId(1), NodeId(2)]);
    store.write(id(5, 1), &membership, |out| out.write_all(&vec![7; LARGE])).unwrap()
}

/// Whoever paces the store is asked after every piece that is written, and every part that is removed.
#[test]
fn a_large_snapshot_is_written_and_removed_in_steps() {
    let disk = MemDisk::new();
    let mut store = store(&disk);
    let steps = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&steps);
    store.set_pace(move || {
        counter.fetch_add(1, Relaxed);
    });
    let old = write_large(&mut store);
    assert_eq!(steps.swap(0, Relaxed), 36);
    assert!(store.reader(&old).is_ok());
    let new = write(&mut store, 6, 10);
    assert_eq!(steps.load(Relaxed), 0, "small ones are not held up");
    store.keep_only(&new, &[]).unwrap();
    assert_eq!(steps.load(Relaxed), 2);
    assert_eq!(names(&disk), ["00000001-0000000000000006.snap"]);
}

/// Whenever the process ends while a large snapshot is removed: it is there, and whole, or it is gone.
#[test]
fn a_crash_leaves_no_snapshot_cut_short() {
    for kind in [Crash::Nothing, Crash::Everything, Crash::Something] {
        for call in 1.. {
            let context = format!("{kind:?} survives a crash at call {call}");
            let disk = MemDisk::new();
            let mut first = store(&disk);
            let (old, new) = (write_large(&mut first), write(&mut first, 6, 10));
            disk.fail(Fault::DeadFrom(call));
            let removed = first.keep_only(&new, &[]).is_ok();
            disk.crash(kind, &mut Rng::new(call));
            let mut second = store(&disk);
            assert_eq!(read(&second, &new).unwrap(), payload(10), "{context}");
            match names(&disk).len() {
                1 => assert!(second.reader(&old).is_err(), "{context}"),
                2 => assert!(second.reader(&old).is_ok() && !removed, "{context}"),
                other => panic!("{context}: {other} files"),
            }
            second.keep_only(&new, &[]).unwrap();
            assert_eq!(names(&disk), ["00000001-0000000000000006.snap"], "{context}");
            if removed {
                break;
            }
        }
    }
}
