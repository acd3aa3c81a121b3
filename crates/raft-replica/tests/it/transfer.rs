//! Transfers of snapshots that are broken off: at any piece, at any call, with any damage to what was
//! staged. They go on where they can, and what arrives is what was sent.

use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use raft_core::{ClusterId, Membership, NodeId, SnapshotMeta};
use raft_replica::{Disk, SnapshotStore, Staged, StorageError};

use crate::mem_disk::{Crash, Fault, MemDisk};
use crate::support::{Rng, id, root};

const PIECE: u64 = 100;

/// A leader with a snapshot, and a follower's disk.
struct Transfer {
    leader: SnapshotStore,
    meta: SnapshotMeta,
    payload: Vec<u8>,
    there: MemDisk,
}

impl Transfer {
    fn new(len: usize) -> Self {
        let mut leader = store(&MemDisk::new(), 7);
        let (meta, payload) = write(&mut leader, 5, len);
        Self { leader, meta, payload, there: MemDisk::new() }
    }

    fn follower(&self) -> SnapshotStore {
        store(&self.there, 7)
    }

    /// The piece at `offset` travels, empty if `len` is 0.
    fn piece(
        &mut self,
        follower: &mut SnapshotStore,
        offset: u64,
        len: u64,
    ) -> Result<Staged, StorageError> {
        let data = self.leader.read(&self.meta, offset, usize::try_from(len).unwrap()).unwrap();
        follower.stage(&self.meta, offset, &data, crc32c::crc32c(&data))
    }

    /// Sends up to `count` pieces from where the follower stands; returns how far it is then.
    fn send(
        &mut self,
        follower: &mut SnapshotStore,
        count: u64,
        len: u64,
    ) -> Result<Staged, StorageError> {
        let mut staged = self.piece(follower, 0, 0)?;
        for _ in 0..count {
            if staged.complete {
                break;
            }
            staged = self.piece(follower, staged.next_offset, len)?;
        }
        Ok(staged)
    }

    /// Brings the transfer to its end and compares. Returns from where it went on.
    fn bring_to_its_end(&mut self, follower: &mut SnapshotStore) -> u64 {
        let from = self.piece(follower, 0, 0).unwrap();
        let staged = self.send(follower, u64::MAX, PIECE).unwrap();
        assert!(staged.complete);
        let mut bytes = Vec::new();
        follower.reader(&self.meta).unwrap().read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, self.payload);
        assert_eq!(names(&self.there), ["00000001-0000000000000005.snap"], "nothing is left over");
        from.next_offset
    }
}

fn store(disk: &MemDisk, cluster: u64) -> SnapshotStore {
    SnapshotStore::open(Arc::new(disk.clone()), root(), ClusterId(cluster)).unwrap()
}

fn write(store: &mut SnapshotStore, index: u64, len: usize) -> (SnapshotMeta, Vec<u8>) {
    let mut rng = Rng::new(index);
    let payload: Vec<u8> = (0..len).map(|_| u8::try_from(rng.below(256)).unwrap()).collect();
    let membership = Membership::of_voters([NodeId(1), NodeId(2)]);
    let meta = store.write(id(index, 1), &membership, |out| out.write_all(&payload)).unwrap();
    (meta, payload)
}

fn names(disk: &MemDisk) -> Vec<String> {
    disk.list(&root().join("snapshots")).unwrap()
}

fn staging_files() -> [PathBuf; 2] {
    ["snapshots/incoming.part", "snapshots/incoming.pieces"].map(|name| root().join(name))
}

/// The follower's process ends after any number of pieces: none of them travels twice.
#[test]
fn a_transfer_goes_on_after_a_restart() {
    for count in 0..10 {
        let mut transfer = Transfer::new(950);
        let staged = transfer.send(&mut transfer.follower(), count, PIECE).unwrap();
        assert_eq!(staged.next_offset, count * PIECE);
        transfer.there.restart();
        let mut follower = transfer.follower();
        assert_eq!(transfer.bring_to_its_end(&mut follower), count * PIECE);
        assert_eq!(follower.resumed_bytes(), count * PIECE);
    }
}

/// A leader that was started again, or another one with the same snapshot, finds the follower where
/// it stands.
#[test]
fn a_transfer_goes_on_with_a_restarted_leader() {
    let mut transfer = Transfer::new(950);
    let mut follower = transfer.follower();
    transfer.send(&mut follower, 4, PIECE).unwrap();
    transfer.leader = transfer.leader.clone();
    assert_eq!(transfer.bring_to_its_end(&mut follower), 4 * PIECE);
}

/// The process is killed at any call: what was acknowledged is still there.
#[test]
fn a_kill_at_any_call_costs_nothing_acknowledged() {
    let mut over = false;
    for call in 1.. {
        let mut transfer = Transfer::new(550);
        let mut follower = transfer.follower();
        transfer.there.fail(Fault::DeadFrom(call));
        let mut acknowledged = 0;
        while let Ok(staged) = transfer.piece(&mut follower, acknowledged, PIECE) {
            acknowledged = staged.next_offset;
            over = staged.complete;
            if over {
                break;
            }
        }
        transfer.there.restart();
        let from = transfer.bring_to_its_end(&mut transfer.follower());
        assert!(
            acknowledged <= from,
            "call {call}: {acknowledged} acknowledged, goes on at {from}"
        );
        if over {
            break;
        }
    }
    assert!(over);
}

/// The power fails at any call, and takes any part of what was not synced.
#[test]
fn a_power_loss_at_any_call_leaves_a_beginning() {
    for kind in [Crash::Nothing, Crash::Everything, Crash::Something] {
        for call in 1.. {
            let mut transfer = Transfer::new(2_000);
            let mut follower = transfer.follower();
            transfer.there.fail(Fault::DeadFrom(call));
            let over = transfer.send(&mut follower, 2, 900).is_ok()
                && transfer.send(&mut follower, 1, 900).is_ok();
            transfer.there.crash(kind, &mut Rng::new(call));
            // And again while it goes on.
            transfer.send(&mut transfer.follower(), 1, 70).unwrap();
            transfer.there.crash(kind, &mut Rng::new(call + 1_000));
            transfer.bring_to_its_end(&mut transfer.follower());
            if over {
                break;
            }
        }
    }
}

/// Of a long transfer a power loss takes what arrived since the last sync, and no more.
#[test]
fn a_long_transfer_is_synced_on_the_way() {
    const MIB: usize = 1 << 20;
    let mut transfer = Transfer::new(10 * MIB);
    let staged = transfer.send(&mut transfer.follower(), 9, MIB as u64).unwrap();
    assert_eq!(staged.next_offset, 9 * MIB as u64);
    transfer.there.crash(Crash::Nothing, &mut Rng::new(1));
    let mut follower = transfer.follower();
    let staged = transfer.send(&mut follower, 0, 0).unwrap();
    assert_eq!(staged.next_offset, 8 * MIB as u64);
    let staged = transfer.send(&mut follower, 2, MIB as u64).unwrap();
    assert!(staged.complete);
}

/// Either file ends anywhere, or has a flipped bit anywhere: what comes before counts, the rest
/// travels again.
#[test]
fn a_damaged_staging_file_is_believed_up_to_the_damage() {
    let mut transfer = Transfer::new(450);
    transfer.send(&mut transfer.follower(), 3, PIECE).unwrap();
    let [part, pieces] = staging_files();
    let there = transfer.there.copy();
    let head = there.bytes(&part).len() - 300;
    for (path, record, head) in [(&part, 100, head), (&pieces, 24, 0)] {
        let whole = there.bytes(path);
        for at in 0..whole.len() {
            let before = at.checked_sub(head).map_or(0, |at| at / record) as u64 * PIECE;
            let torn = whole[..at].to_vec();
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            for bytes in [torn, flipped] {
                transfer.there = there.copy();
                transfer.there.set_bytes(path, bytes);
                let from = transfer.bring_to_its_end(&mut transfer.follower());
                assert_eq!(from, before, "{} at {at}", path.display());
            }
        }
    }
}

/// What was staged of another snapshot, of another cluster, or by nobody knows whom, is given up.
#[test]
fn a_foreign_staging_file_is_given_up() {
    let mut transfer = Transfer::new(450);
    let (other, bytes) = write(&mut transfer.leader, 6, 450);
    let first = &bytes[..300];
    transfer.follower().stage(&other, 0, first, crc32c::crc32c(first)).unwrap();
    assert_eq!(transfer.bring_to_its_end(&mut transfer.follower()), 0);

    let mut transfer = Transfer::new(450);
    transfer.send(&mut store(&transfer.there, 8), 3, PIECE).unwrap();
    assert_eq!(names(&transfer.there), ["incoming.part", "incoming.pieces"]);
    let mut follower = transfer.follower();
    assert!(names(&transfer.there).is_empty(), "{:?}", names(&transfer.there));
    assert_eq!(transfer.bring_to_its_end(&mut follower), 0);

    for path in staging_files() {
        let mut transfer = Transfer::new(450);
        transfer.send(&mut transfer.follower(), 3, PIECE).unwrap();
        transfer.there.set_bytes(&path, b"whatever".repeat(100));
        assert_eq!(transfer.bring_to_its_end(&mut transfer.follower()), 0);
        let mut transfer = Transfer::new(450);
        transfer.send(&mut transfer.follower(), 3, PIECE).unwrap();
        transfer.there.remove(&path).unwrap();
        assert_eq!(transfer.bring_to_its_end(&mut transfer.follower()), 0);
    }
}

/// Two snapshots, one after the other: the newer takes the place of the older, and the end of one is
/// never taken for the end of the other.
#[test]
fn a_newer_snapshot_takes_the_place_of_an_older() {
    let mut transfer = Transfer::new(450);
    let mut follower = transfer.follower();
    transfer.send(&mut follower, 3, PIECE).unwrap();
    let old = std::mem::replace(&mut transfer.meta, write(&mut transfer.leader, 6, 350).0);
    assert_eq!(transfer.send(&mut follower, 2, PIECE).unwrap().next_offset, 2 * PIECE);
    let rest = &transfer.payload[300..];
    let answer = follower.stage(&old, 300, rest, crc32c::crc32c(rest)).unwrap();
    assert_eq!(answer, Staged { next_offset: 0, complete: false });
    assert!(follower.newest_matching(|_| true).unwrap().is_none());
    assert!(transfer.send(&mut follower, 4, PIECE).unwrap().complete);
    assert_eq!(follower.newest_matching(|_| true).unwrap().as_ref(), Some(&transfer.meta));
}

/// A snapshot that is whole and not yet in the log is not sent again.
#[test]
fn a_restart_before_the_install_costs_no_bytes() {
    for kind in [None, Some(Crash::Nothing), Some(Crash::Something)] {
        let mut transfer = Transfer::new(450);
        assert!(transfer.send(&mut transfer.follower(), 5, PIECE).unwrap().complete);
        match kind {
            None => transfer.there.restart(),
            Some(kind) => transfer.there.crash(kind, &mut Rng::new(3)),
        }
        let mut follower = transfer.follower();
        assert!(transfer.send(&mut follower, 0, PIECE).unwrap().complete);
        assert_eq!(transfer.bring_to_its_end(&mut follower), 450);
    }
}

/// What was staged goes once the node has a snapshot that is as new: no leader will send that one.
#[test]
fn a_useless_staging_file_is_removed() {
    let mut transfer = Transfer::new(450);
    let mut follower = transfer.follower();
    let (older, newer) = (write(&mut follower, 4, 10).0, write(&mut follower, 5, 10).0);
    transfer.send(&mut follower, 3, PIECE).unwrap();
    follower.keep_only(&older, &[]).unwrap();
    assert!(names(&transfer.there).contains(&"incoming.part".to_owned()), "it may be needed");
    follower.keep_only(&newer, &[]).unwrap();
    assert_eq!(names(&transfer.there), ["00000001-0000000000000005.snap"]);
}

/// A snapshot that rotted at the leader is not sent: no follower could ever complete it.
#[test]
fn a_damaged_snapshot_is_not_sent() {
    let disk = MemDisk::new();
    let (meta, _) = write(&mut store(&disk, 7), 5, 450);
    let path = root().join("snapshots/00000001-0000000000000005.snap");
    let mut bytes = disk.bytes(&path);
    *bytes.last_mut().unwrap() ^= 1;
    disk.set_bytes(&path, bytes);
    match store(&disk, 7).read(&meta, 0, 10) {
        Err(StorageError::Damaged(damage)) => {
            assert_eq!(damage.what, "the checksum of what begins here is wrong");
        }
        other => panic!("{other:?}"),
    }
}

/// A full disk ends a transfer, or the making of a snapshot, with an error that says so, and damages
/// nothing: once there is space again, both go on.
#[test]
fn a_full_disk_damages_nothing() {
    let full = |result: Result<(), StorageError>| match result {
        Err(StorageError::Disk(error)) => {
            assert_eq!(error.source.kind(), io::ErrorKind::StorageFull, "{error}");
        }
        other => panic!("{other:?}"),
    };
    for space in 0..500 {
        let mut transfer = Transfer::new(450);
        let mut follower = transfer.follower();
        transfer.there.leave_space(Some(space));
        full(transfer.send(&mut follower, u64::MAX, PIECE).map(drop));
        transfer.there.restart();
        transfer.there.leave_space(None);
        transfer.bring_to_its_end(&mut transfer.follower());
    }
    let disk = MemDisk::new();
    let mut own = store(&disk, 7);
    let (first, _) = write(&mut own, 4, 450);
    disk.leave_space(Some(300));
    full(own.write(id(5, 1), &first.membership, |out| out.write_all(&[1; 450])).map(drop));
    disk.restart();
    disk.leave_space(None);
    assert_eq!(store(&disk, 7).newest_matching(|_| true).unwrap(), Some(first));
    assert_eq!(names(&disk), ["00000001-0000000000000004.snap"]);
}
