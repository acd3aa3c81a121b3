//! The simulated disk keeps what is synced, and nothing else for sure.

use std::collections::BTreeSet;
use std::path::Path;

use raft_replica::Disk as _;
use raft_sim::disk::SimDisk;
use raft_sim::rng::Rng;

const FILE: &str = "/d/file";

/// A disk with a file of three durable sectors of `a`.
fn disk() -> SimDisk {
    let disk = SimDisk::new(Path::new("/"));
    disk.create_dir(Path::new("/d")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    let mut file = disk.create_new(Path::new(FILE)).unwrap();
    file.write_at(0, &[b'a'; 1536]).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/d")).unwrap();
    disk
}

fn read(disk: &SimDisk) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let count = disk.open(Path::new(FILE)).unwrap().read_at(0, &mut bytes).unwrap();
    bytes.truncate(count);
    bytes
}

#[test]
fn what_is_synced_survives_whatever_else_is_lost() {
    for seed in 0..50 {
        let disk = disk();
        disk.create_new(Path::new("/d/other")).unwrap();
        disk.lose_power(&mut Rng::stream(seed, "power"));
        assert_eq!(read(&disk), vec![b'a'; 1536]);
    }
}

/// All that can be left of an unsynced write of three sectors: any of them, each whole.
#[test]
fn an_unsynced_write_survives_in_any_whole_sectors() {
    let mut seen = BTreeSet::new();
    for seed in 0..500 {
        let disk = disk();
        disk.open(Path::new(FILE)).unwrap().write_at(0, &[b'b'; 1536]).unwrap();
        disk.lose_power(&mut Rng::stream(seed, "power"));
        let sectors: Vec<u8> = read(&disk)
            .chunks(512)
            .map(|sector| {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is torn");
                sector[0]
            })
            .collect();
        seen.insert(String::from_utf8(sectors).unwrap());
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

/// A name that is not synced may be gone with all that is behind it, or be there; a rename is one
/// thing.
#[test]
fn an_unsynced_rename_happened_or_did_not() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let disk = disk();
        disk.rename(Path::new(FILE), Path::new("/d/renamed")).unwrap();
        disk.lose_power(&mut Rng::stream(seed, "power"));
        seen.insert(disk.list(Path::new("/d")).unwrap());
    }
    let expected = [vec!["file".to_owned()], vec!["renamed".to_owned()]];
    assert_eq!(seen, BTreeSet::from(expected));
}

#[test]
fn a_directory_without_a_durable_name_takes_its_files_with_it() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let disk = disk();
        disk.create_dir(Path::new("/d/new")).unwrap();
        let mut file = disk.create_new(Path::new("/d/new/file")).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/d/new")).unwrap();
        disk.lose_power(&mut Rng::stream(seed, "power"));
        seen.insert(disk.open(Path::new("/d/new/file")).is_ok());
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

/// Once the power is failing nothing gets through.
#[test]
fn a_burnt_fuse_lets_nothing_through() {
    let disk = disk();
    disk.light_fuse(1);
    let mut file = disk.open(Path::new(FILE)).unwrap();
    file.write_at(0, b"c").unwrap();
    assert!(!disk.is_burnt() || file.sync_data().is_err());
    assert!(file.sync_data().is_err() && disk.is_burnt());
    disk.calm();
    assert_eq!(read(&disk)[0], b'c');
}

/// A failed sync is told once. What it should have written may be there to be read, but no later
/// sync makes it durable.
#[test]
fn a_failed_sync_writes_nothing_and_neither_does_the_next_one() {
    for stays in [true, false] {
        let disk = disk();
        let mut file = disk.open(Path::new(FILE)).unwrap();
        file.write_at(0, b"bb").unwrap();
        disk.fail_next_sync(stays);
        assert!(file.sync_data().is_err() && disk.has_failed());
        file.write_at(600, b"c").unwrap();
        file.sync_data().unwrap();
        assert_eq!(&read(&disk)[..2], if stays { b"bb" } else { b"aa" });
        disk.lose_power(&mut Rng::stream(1, "power"));
        assert_eq!((&read(&disk)[..2], read(&disk)[600]), (&b"aa"[..], b'c'));
    }
}

#[test]
fn a_full_disk_takes_what_needs_no_more_space() {
    let disk = disk();
    disk.limit(Some(100));
    let mut file = disk.open(Path::new(FILE)).unwrap();
    file.write_at(1500, &[b'b'; 136]).unwrap();
    let error = file.write_at(1636, b"b").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(disk.create_new(Path::new("/d/other")).is_err());
    file.write_at(0, &[b'b'; 1636]).unwrap();
    disk.lose_power(&mut Rng::stream(1, "power"));
    assert!(disk.create_new(Path::new("/d/other")).is_err(), "power makes no space");
    disk.remove(Path::new(FILE)).unwrap();
    disk.create_new(Path::new("/d/other")).unwrap();
}

#[test]
fn writes_and_reads_fail_once() {
    let disk = disk();
    let mut file = disk.open(Path::new(FILE)).unwrap();
    disk.fail_change(1);
    file.write_at(0, b"b").unwrap();
    assert!(!disk.has_failed());
    file.write_at(0, b"c").unwrap_err();
    file.sync_data().unwrap();
    disk.fail_read(0);
    file.read_at(0, &mut [0]).unwrap_err();
    assert_eq!(read(&disk)[0], b'b');
}

/// A flipped bit is where something has been for a while, and can be put right.
#[test]
fn bits_flip_where_something_old_stands() {
    let mut flipped = 0;
    for seed in 0..50 {
        let disk = disk();
        let mut file = disk.open(Path::new(FILE)).unwrap();
        file.write_at(1000, &[b'z'; 100]).unwrap();
        file.sync_data().unwrap();
        let before = read(&disk);
        let Some(flip) = disk.rot(&mut Rng::stream(seed, "rot")) else { continue };
        flipped += 1;
        let after = read(&disk);
        let differs = |at: &usize| before[*at] != after[*at];
        let changed: Vec<usize> = (0..1536).filter(differs).collect();
        assert_eq!(changed.len(), 1);
        assert!(!(1000..1100).contains(&changed[0]), "{changed:?}");
        disk.mend(&flip);
        assert_eq!(read(&disk), before);
    }
    assert!(30 < flipped, "{flipped}");
}
