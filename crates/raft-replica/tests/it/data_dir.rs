//! A whole data directory: whatever happens to any byte of any file in it, it is refused, or it is as
//! it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use raft_core::{Entry, HardState, SnapshotMeta};
use raft_replica::{Disk, OpenError, RequestKind, StorageError, Survey, survey};

use crate::machine::{Only, options};
use crate::mem_disk::MemDisk;
use crate::support::{root, segment};

/// A directory with a snapshot, the one before it, a session, and a log in several segments of which
/// one is recycled.
fn used() -> MemDisk {
    let disk = MemDisk::new();
    let mut node = Only::open(&disk, root()).unwrap().lead();
    node.request(RequestKind::OpenSession);
    for number in 0..40 {
        node.write(&format!("line {number} {}", "x".repeat(20)));
    }
    disk
}

fn files(disk: &MemDisk) -> Vec<PathBuf> {
    let mut files = vec![root().join("IDENTITY")];
    for dir in ["wal", "snapshots"] {
        let dir = root().join(dir);
        files.extend(disk.list(&dir).unwrap().into_iter().map(|name| dir.join(name)));
    }
    files
}

/// What a node would go by.
fn told(survey: &Survey) -> (HardState, Option<SnapshotMeta>, Vec<Entry>) {
    let log = &survey.log;
    (log.hard_state.clone(), log.snapshot.clone(), log.entries.clone())
}

fn look(disk: &MemDisk) -> Survey {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    survey(&disk, root()).unwrap()
}

/// The file a refusal names.
fn named(error: &OpenError) -> (&Path, Option<u64>) {
    match error {
        OpenError::Storage(StorageError::Damaged(damage)) => (&damage.path, damage.offset),
        OpenError::Storage(StorageError::Version { path, offset, .. }) => (path, Some(*offset)),
        OpenError::Storage(StorageError::Foreign { path, .. }) => (path, Some(0)),
        error => panic!("{error}"),
    }
}

#[test]
fn what_is_shown_is_what_is_opened() {
    let disk = used();
    let before = look(&disk);
    assert!(before.problems.is_empty() && before.flaws.is_empty(), "{before:?}");
    let identity = before.identity.as_ref().unwrap();
    assert_eq!((identity.node, identity.incarnation), (options().id, options().fresh_incarnation));
    assert!(1 < before.log.segments.len(), "{before:?}");
    assert_eq!(before.log.segments.last().unwrap().entries.unwrap().1, before.log.last());
    let [older, newest] = before.snapshots.as_slice() else { panic!("{before:?}") };
    assert_eq!((newest.named, older.named), (Some(true), Some(false)));
    assert_eq!(before.membership(), Some(&options().bootstrap));
    let node = Only::open(&disk, root()).unwrap();
    assert_eq!(node.report.last, before.log.last().index);
    assert_eq!(node.replica.node().term(), before.log.hard_state.term);
    let status = node.replica.status(raft_core::Instant::default());
    assert_eq!(status.snapshot, newest.meta.last.index);
    assert_eq!(Some(status.state_hash), newest.state_hash);
    assert_eq!(told(&look(&disk)), told(&before), "an opening changes nothing of it");
}

/// One bit of any byte of any file. What is refused names that file and a place in it; what is not is
/// no byte that says anything, with one exception: the last batch looks torn, and is cut, which is
/// reported, and takes nothing else with it.
#[test]
fn a_flipped_bit_anywhere_is_refused_or_does_no_harm() {
    let disk = used();
    let before = told(&look(&disk));
    let last = look(&disk).log.segments.last().unwrap().path.clone();
    let (mut refused, mut harmless, mut cut) = (0, 0, 0);
    for path in files(&disk) {
        let whole = disk.bytes(&path);
        for at in 0..whole.len() {
            // Of runs of zeros, which are most of it, a few will do.
            if whole[at] == 0 && at % 61 != 0 && whole[at.saturating_sub(2)..at] == [0, 0] {
                continue;
            }
            let disk = disk.copy();
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            disk.set_bytes(&path, flipped);
            let context = format!("bit {} of byte {at} of {}", at % 8, path.display());
            let shown = look(&disk);
            match Only::open(&disk, root()) {
                Err(error) => {
                    let (file, offset) = named(&error);
                    assert_eq!(file, path, "{context}: {error}");
                    assert!(offset.is_some_and(|o| usize::try_from(o).unwrap() <= at), "{error}");
                    assert!(error.hint().is_some(), "{context}: {error}");
                    let same =
                        shown.problems.iter().any(|told| told.to_string() == error.to_string());
                    assert!(same, "{context}: {error}, but shown was {:?}", shown.problems);
                    refused += 1;
                }
                Ok(node) if node.report.log.cut.as_ref().is_some_and(|cut| cut.torn) => {
                    assert_eq!((&path, shown.log.cut), (&last, node.report.log.cut), "{context}");
                    let (hard_state, snapshot, entries) = told(&look(&disk));
                    assert_eq!((&hard_state, &snapshot), (&before.0, &before.1), "{context}");
                    let (kept, gone) = before.2.split_at(entries.len());
                    assert!(kept == entries && gone.len() == 1, "{context}: lost {}", gone.len());
                    cut += 1;
                }
                Ok(_) => {
                    assert!(shown.problems.is_empty(), "{context}: {:?}", shown.problems);
                    assert!(told(&look(&disk)) == before, "{context}");
                    harmless += 1;
                }
            }
        }
    }
    assert!(2_000 < refused && 1_000 < harmless && 50 < cut, "{refused} {harmless} {cut}");
}

/// Of the last frame only a part was written. What was there before is there, and the node goes on.
#[test]
fn a_last_write_torn_at_any_byte_is_cut() {
    let disk = used();
    let shown = look(&disk);
    let (segment, before) = (shown.log.segments.last().unwrap().clone(), told(&shown));
    let whole = disk.bytes(&segment.path);
    let end = usize::try_from(segment.used).unwrap();
    // A frame of one entry takes one sector, and its length comes first.
    let start = end - 512;
    assert!((60..488).contains(&(usize::from(whole[start]) | usize::from(whole[start + 1]) << 8)));
    for at in start..end {
        let disk = disk.copy();
        let mut torn = whole.clone();
        torn[at..end].fill(0);
        let is_whole = torn == whole;
        disk.set_bytes(&segment.path, torn);
        let mut node = Only::open(&disk, root()).unwrap().lead();
        node.write("and on");
        drop(node);
        let entries = told(&look(&disk)).2;
        let kept = before.2.len() - usize::from(!is_whole);
        assert!(entries[..kept] == before.2[..kept], "torn at {at}");
    }
}

/// Of every file: none may be missing but those that no start needs.
#[test]
fn a_missing_file_is_noticed() {
    let disk = used();
    let shown = look(&disk);
    let before = told(&shown);
    let optional = |path: &Path| {
        shown
            .snapshots
            .iter()
            .any(|snapshot| snapshot.path == path && snapshot.named == Some(false))
            || shown.log.spares.iter().any(|spare| spare == path)
    };
    for path in files(&disk) {
        let disk = disk.copy();
        disk.remove(&path).unwrap();
        match Only::open(&disk, root()) {
            Ok(_) if optional(&path) => assert_eq!(told(&look(&disk)), before),
            // Documented: this looks as if the process had ended before it began the segment.
            Ok(node) if Some(&path) == shown.log.segments.last().map(|last| &last.path) => {
                assert!(node.report.last < shown.log.last().index);
            }
            Ok(_) => panic!("nobody misses {}", path.display()),
            Err(error) => {
                assert!(!look(&disk).problems.is_empty());
                assert!(error.hint().is_some(), "{error}");
            }
        }
    }
}

/// A directory that another version wrote is no damaged one.
#[test]
fn another_version_is_called_so() {
    let disk = used();
    let shown = look(&disk);
    let snapshot = shown.snapshots.last().unwrap().path.clone();
    for path in [root().join("IDENTITY"), shown.log.segments[0].path.clone(), snapshot] {
        let disk = disk.copy();
        let mut bytes = disk.bytes(&path);
        let reads = bytes[8];
        bytes[8] = 9;
        // Who knows where such a version has its checksum.
        bytes[30] ^= 0xFF;
        disk.set_bytes(&path, bytes);
        let error = Only::open(&disk, root()).map(drop).unwrap_err();
        let text = format!(
            "{} at byte 0: it is in format version 9, and this program reads {reads}",
            path.display()
        );
        assert_eq!(error.to_string(), text);
        assert!(error.hint().unwrap().contains("the version of the program that wrote"));
    }
}

/// A snapshot the log does not name yet, or an older one of the same log, is not taken for the one it
/// names.
#[test]
fn a_snapshot_that_is_not_the_logs_is_refused() {
    let disk = used();
    let shown = look(&disk);
    let [older, newest] = shown.snapshots.as_slice() else { panic!("{shown:?}") };
    disk.set_bytes(&newest.path, disk.bytes(&older.path));
    let error = Only::open(&disk, root()).map(drop).unwrap_err().to_string();
    let what = format!("it is the snapshot of {} under another name", older.meta.last);
    let safe = format!("; the log is whole up to {}", shown.log.last());
    let text = format!("{} is damaged at byte 0: {what}{safe}", newest.path.display());
    assert_eq!(error, text);
}

/// A log without its first segments does not fit the snapshot, whatever the segments say themselves.
#[test]
fn a_log_that_begins_behind_its_snapshot_is_refused() {
    let disk = used();
    let shown = look(&disk);
    let count = shown.log.segments.len();
    for gone in 1..count {
        let disk = disk.copy();
        for segment in &shown.log.segments[..gone] {
            disk.remove(&segment.path).unwrap();
        }
        match Only::open(&disk, root()).map(drop) {
            Err(OpenError::Storage(StorageError::Damaged(damage))) => {
                assert!(damage.what.contains("the oldest ones are missing"), "{damage}");
            }
            other => panic!("{other:?} without {gone} of {count} segments"),
        }
    }
    assert!(
        disk.list(&root().join("wal")).unwrap().iter().all(|name| *name != "0000000000000001.log")
    );
    assert!(disk.bytes(&segment(shown.log.segments[0].number)).starts_with(b"RAFTWAL\n"));
}

/// What an interrupted snapshot left behind goes at the next start; a look leaves it.
#[test]
fn leftovers_are_shown_and_then_removed() {
    let disk = used();
    let leftovers =
        ["snapshots/00000009-0000000000000099.snap.tmp", "wal/spare-77.tmp", "IDENTITY.tmp"];
    for name in leftovers {
        disk.set_bytes(&root().join(name), vec![7; 100]);
    }
    let shown = look(&disk);
    let mut found = shown.leftovers.clone();
    found.extend(shown.log.spares.iter().cloned());
    for name in leftovers {
        assert!(found.contains(&root().join(name)), "{found:?}");
    }
    assert_eq!(shown.problems.len() + shown.flaws.len(), 0);
    Only::open(&disk, root()).unwrap();
    let left = files(&disk);
    assert!(
        !left.contains(&root().join(leftovers[0])) && !left.contains(&root().join(leftovers[1]))
    );
}

/// A damaged snapshot that nobody needs is said, and keeps nobody from starting.
#[test]
fn a_flaw_is_no_problem() {
    let disk = used();
    let older = look(&disk).snapshots[0].path.clone();
    let mut bytes = disk.bytes(&older);
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    disk.set_bytes(&older, bytes);
    let shown = look(&disk);
    assert!(shown.problems.is_empty());
    let [StorageError::Damaged(flaw)] = shown.flaws.as_slice() else { panic!("{shown:?}") };
    assert_eq!(
        (&flaw.path, flaw.what.as_str()),
        (&older, "the checksum of what begins here is wrong")
    );
    Only::open(&disk, root()).unwrap();
}

/// Without space for a snapshot the node goes on, and takes one when there is some: after a while, or when
/// it hears of it. Nothing has to be written for it: a log that is full of what a snapshot would cover takes
/// nothing.
#[test]
fn a_snapshot_without_space_is_taken_later() {
    let by_time = |node: &mut Only| node.wait(Duration::from_secs(2));
    let by_news = |node: &mut Only| {
        node.replica.set_short_of_space(true);
        node.replica.set_short_of_space(false);
        node.settle();
    };
    for later in [&by_time as &dyn Fn(&mut Only), &by_news] {
        let disk = MemDisk::new();
        let options = raft_replica::Options { segment_bytes: 64 << 10, ..options() };
        let mut node = Only::open_with(&disk, root(), options).unwrap().lead();
        disk.leave_space(Some(200));
        for number in 0..60 {
            node.write(&format!("line {number} {}", "x".repeat(20)));
        }
        let shown = look(&disk);
        assert_eq!((shown.snapshots.len(), shown.leftovers.len()), (0, 0), "{shown:?}");
        disk.leave_space(None);
        for number in 0..5 {
            node.write(&format!("more {number}"));
        }
        assert_eq!(look(&disk).snapshots.len(), 0, "not at once");
        later(&mut node);
        let shown = look(&disk);
        let newest = shown.snapshots.last();
        assert!(newest.is_some_and(|snapshot| snapshot.named == Some(true)), "{shown:?}");
        drop(node);
        assert_eq!(Only::open(&disk, root()).unwrap().lead().replica.machine().0.len(), 65);
    }
}
