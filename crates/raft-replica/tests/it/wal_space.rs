//! A disk without space for another segment of the log.

use raft_core::{Entry, Persist};
use raft_replica::Wal;

use crate::mem_disk::MemDisk;
use crate::support::{create, entry, open, term};

fn job(seq: u64, entries: Vec<Entry>) -> Vec<Persist> {
    let hard_state = (seq == 1).then(|| term(1));
    vec![Persist { seq, hard_state, entries: entries.into(), ..Persist::default() }]
}

/// Does what there is to do beside the log, as long as there is something.
fn prepare(wal: &mut Wal) {
    while let Some(job) = wal.prepare() {
        wal.prepared(job.run().unwrap());
    }
}

/// It is short before it is out of space; what it has no space for is not begun, and is done when
/// there is some again.
#[test]
fn a_full_disk_is_waited_for() {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    disk.leave_space(Some(3000));
    let mut seq = 0;
    let mut short_since = 0;
    let error = loop {
        prepare(&mut wal);
        seq += 1;
        let jobs = job(seq, vec![entry(seq, 1, 400)]);
        if let Err(error) = wal.make_room(&jobs) {
            break error;
        }
        wal.run(jobs).unwrap();
        short_since = if wal.is_short_of_space() { short_since + 1 } else { 0 };
        assert!(seq < 40, "the disk is full");
    };
    assert!(error.is_full(), "{error}");
    assert!((3..8).contains(&short_since), "short for {short_since} batches");
    let jobs = job(seq, vec![entry(seq, 1, 400)]);
    for _ in 0..3 {
        assert!(wal.make_room(&jobs).unwrap_err().is_full());
        wal.try_again();
        assert!(wal.is_full() && wal.is_short_of_space(), "looking for space finds none yet");
        let looking = wal.prepare().expect("there may be space by now");
        assert!(wal.is_full() && wal.is_short_of_space(), "nor before it is done");
        wal.prepared(looking.run().unwrap());
        prepare(&mut wal);
        assert!(wal.is_full() && wal.is_short_of_space());
    }
    assert_eq!(open(&disk.copy()).unwrap().1.entries.len() as u64, seq - 1, "nothing was begun");

    disk.leave_space(None);
    wal.make_room(&jobs).unwrap();
    wal.run(jobs).unwrap();
    wal.try_again();
    prepare(&mut wal);
    assert!(!wal.is_full() && !wal.is_short_of_space());
    for seq in seq + 1..100 {
        let jobs = job(seq, vec![entry(seq, 1, 400)]);
        wal.make_room(&jobs).unwrap();
        wal.run(jobs).unwrap();
        prepare(&mut wal);
    }
    assert_eq!(open(&disk).unwrap().1.entries.len(), 99);
}

/// What room was made for is there, whatever the batches are like, and no spare is forgotten on the
/// disk.
#[test]
fn room_that_was_made_is_enough() {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    let (mut index, mut rng) = (0, crate::support::Rng::new(7));
    for seq in 1..400 {
        let mut entries = Vec::new();
        for _ in 0..rng.below(4) {
            index += 1;
            let len = if rng.below(20) == 0 { 20_000 } else { rng.below(2_000) };
            entries.push(entry(index, 1, usize::try_from(len).unwrap()));
        }
        let jobs = job(seq, entries);
        if rng.below(3) == 0 {
            prepare(&mut wal);
        }
        wal.make_room(&jobs).unwrap();
        disk.leave_space(Some(0));
        wal.run(jobs).unwrap();
        disk.leave_space(None);
    }
    prepare(&mut wal);
    drop(wal);
    let names = raft_replica::Disk::list(&disk, &crate::support::root().join("wal")).unwrap();
    assert_eq!(names.iter().filter(|name| name.starts_with("spare")).count(), 1, "{names:?}");
    assert_eq!(open(&disk).unwrap().1.entries.len() as u64, index);
}
