//! A torn end is cut; damage anywhere else is refused, with words that help.

use raft_core::{HardState, Index, Payload, Persist};
use raft_replica::{Damage, Disk, StorageError};

use crate::mem_disk::MemDisk;
use crate::support::{create, entry, id, open, options, root, segment, term};

/// Where frames begin in the only segment of [`log`]: the head, then one for each entry.
fn frames(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 512;
    loop {
        let len =
            bytes.get(at..at + 4).map_or(0, |len| u32::from_le_bytes(len.try_into().unwrap()));
        let len = usize::try_from(len).unwrap();
        if len == 0 {
            return found;
        }
        found.push((at, at + 24 + len));
        at = (at + 24 + len).next_multiple_of(512);
    }
}

/// A log of entries with 600 bytes each, one a batch.
fn log(count: u64) -> MemDisk {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    for index in 1..=count {
        let hard_state = (index == 1).then(|| term(1));
        let entries = vec![entry(index, 1, 600)];
        wal.run(vec![Persist {
            seq: index,
            hard_state,
            entries: entries.into(),
            ..Persist::default()
        }])
        .unwrap();
    }
    disk
}

fn damage(disk: &MemDisk) -> Damage {
    match open(disk).map(|(_, found, _)| found) {
        Err(StorageError::Damaged(damage)) => *damage,
        other => panic!("damage goes unnoticed: {other:?}"),
    }
}

/// Of the last frame, only the first bytes reached the disk. Then the log goes on.
#[test]
fn a_last_frame_torn_at_any_byte_is_cut() {
    let disk = log(4);
    let whole = disk.bytes(&segment(1));
    let (from, to) = *frames(&whole).last().unwrap();
    let mut uncut = 0;
    for end in from..to {
        let mut torn = whole.clone();
        torn[end..to].fill(0);
        let unchanged = torn == whole;
        let disk = disk.copy();
        disk.set_bytes(&segment(1), torn);
        let (mut wal, found, report) = open(&disk).unwrap();
        if unchanged {
            uncut += 1;
            assert_eq!(found.entries.len(), 4);
            continue;
        }
        assert_eq!(found.entries.len(), 3, "torn at {end}");
        assert_eq!(report.cut.is_some(), end != from, "torn at {end}");
        assert!(disk.bytes(&segment(1))[from..].iter().all(|&byte| byte == 0));
        let entries = vec![entry(4, 1, 7)];
        wal.run(vec![Persist { seq: 1, entries: entries.clone().into(), ..Persist::default() }])
            .unwrap();
        let (_, found, report) = open(&disk).unwrap();
        assert_eq!((&found.entries[3..], report.cut), (&entries[..], None));
    }
    assert!(uncut < 2, "the last byte of an entry may be zero, the others are not");
}

/// A file that is not as long as it was made is no torn write, wherever it ends: what is missing may
/// have held acknowledged entries.
#[test]
fn a_file_of_another_length_is_refused() {
    let disk = log(4);
    let whole = disk.bytes(&segment(1));
    let frames = frames(&whole);
    let longer = [whole.as_slice(), &[0]].concat();
    for len in (80..whole.len()).chain([longer.len()]) {
        disk.set_bytes(&segment(1), longer[..len].to_vec());
        let damage = damage(&disk);
        assert_eq!(damage.path, segment(1));
        let what = format!("the file has {len} bytes, but was made with {}", whole.len());
        assert_eq!(damage.what, what);
        // The head is a frame, and of no entry. Frames end with their padding.
        let good = frames.iter().filter(|&&(_, to)| to.next_multiple_of(512) <= len).count();
        let last = good.checked_sub(1).map(|last| id(last as u64, (last as u64).min(1)));
        assert_eq!(damage.last_good, last, "{len} bytes left");
        assert_eq!(disk.bytes(&segment(1)).len(), len, "it is left as it was");
    }
    for len in 0..80 {
        disk.set_bytes(&segment(1), whole[..len].to_vec());
        assert_eq!(damage(&disk).what, "the file is shorter than a segment header");
    }
}

/// Whole frames of a sealed segment are of no help if its end is missing.
#[test]
fn a_sealed_file_of_another_length_is_refused() {
    let disk = log(14);
    let whole = disk.bytes(&segment(1));
    for len in [whole.len() - 512, whole.len() / 2, 1000] {
        disk.set_bytes(&segment(1), whole[..len].to_vec());
        let what = format!("the file has {len} bytes, but was made with {}", whole.len());
        assert_eq!(damage(&disk).what, what);
    }
}

/// Any byte of any frame that another one follows.
#[test]
fn a_flipped_bit_in_the_middle_is_refused() {
    let disk = log(4);
    let whole = disk.bytes(&segment(1));
    let frames = frames(&whole);
    for (position, &(from, to)) in frames[..frames.len() - 1].iter().enumerate() {
        for at in from..to {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            disk.set_bytes(&segment(1), flipped);
            let damage = damage(&disk);
            assert_eq!(damage.offset, Some(from as u64), "flipped at {at}");
            assert_eq!(damage.path, segment(1));
            let good = position.checked_sub(1).map(|last| id(last as u64, (last as u64).min(1)));
            assert_eq!(damage.last_good, good, "flipped at {at}");
        }
    }
    for at in 0..80 {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        disk.set_bytes(&segment(1), flipped);
        assert_eq!(damage(&disk).offset, Some(0));
    }
}

/// A segment that another one follows has no torn end: its last frame was synced before.
#[test]
fn a_sealed_segment_is_never_cut() {
    let disk = log(14);
    let whole = disk.bytes(&segment(1));
    let (from, to) = *frames(&whole).last().unwrap();
    for at in from..to {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        disk.set_bytes(&segment(1), flipped);
        assert_eq!(damage(&disk).offset, Some(from as u64));
    }
    disk.set_bytes(&segment(1), whole[..from].to_vec());
    let text = damage(&disk).to_string();
    assert!(text.starts_with("/data/wal/0000000000000001.log is damaged at byte"), "{text}");
    assert!(text.contains("the log is whole up to "), "{text}");
}

/// The same node's log with another history: every frame passes by itself.
fn twin(count: u64) -> MemDisk {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    for index in 1..=count {
        let hard_state = (index == 1).then(|| HardState { vote: None, ..term(1) });
        let mut entry = entry(index, 1, 600);
        if index == 3 {
            entry.payload = Payload::Data(vec![0xFF; 600].into());
        }
        let entries = vec![entry];
        wal.run(vec![Persist {
            seq: index,
            hard_state,
            entries: entries.into(),
            ..Persist::default()
        }])
        .unwrap();
    }
    disk
}

/// A write that the disk lost, so that an older one shows, is noticed by the next frame.
#[test]
fn a_frame_of_another_history_is_refused() {
    let (disk, twin) = (log(6), twin(6));
    let (mut bytes, other) = (disk.bytes(&segment(1)), twin.bytes(&segment(1)));
    assert_eq!(frames(&bytes), frames(&other), "they differ in content only");
    let (from, to) = frames(&bytes)[3];
    bytes[from..to].copy_from_slice(&other[from..to]);
    disk.set_bytes(&segment(1), bytes);
    assert_eq!(damage(&disk).offset, Some(from as u64));
}

/// A sealed segment is the one its successor knows, not one that merely looks whole.
#[test]
fn a_segment_of_another_history_is_refused() {
    let (disk, twin) = (log(14), twin(14));
    disk.set_bytes(&segment(1), twin.bytes(&segment(1)));
    assert_eq!(damage(&disk).what, "it does not end where the next segment begins");
}

#[test]
fn a_missing_segment_is_noticed() {
    let disk = log(40);
    let without = |number| {
        let disk = disk.copy();
        disk.remove(&segment(number)).unwrap();
        damage(&disk)
    };
    assert_eq!(
        without(2).to_string(),
        format!(
            "{} is damaged: this segment is missing; the log is whole up to 7@1",
            segment(2).display()
        )
    );
    assert!(without(1).what.contains("in none of the segments"), "the oldest");
    let empty = log(1);
    empty.remove(&segment(1)).unwrap();
    assert!(damage(&empty).what.contains("the log is gone"));
}

#[test]
fn a_segment_of_somebody_else_is_refused() {
    let (ours, theirs) = (log(14), MemDisk::new());
    let mut other = options();
    other.incarnation.0 += 1;
    raft_replica::Wal::create(&theirs, root(), &other).unwrap();
    ours.set_bytes(&segment(2), theirs.bytes(&segment(1)));
    let Err(error) = open(&ours) else { panic!("a foreign segment goes unnoticed") };
    assert!(matches!(error, StorageError::Foreign { .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "/data/wal/0000000000000002.log belongs to n1 of cluster 0000000000000007 (incarnation \
         000000000000abce), not to n1 of cluster 0000000000000007 (incarnation 000000000000abcd)"
    );
}

#[test]
fn a_segment_under_another_name_is_refused() {
    let disk = log(14);
    disk.set_bytes(&segment(3), disk.bytes(&segment(2)));
    assert_eq!(damage(&disk).what, "it is segment 2 under another name");
}

/// Files that are none of the log's are left alone.
#[test]
fn other_files_do_not_matter() {
    let disk = log(3);
    for name in ["notes.txt", "1.log", "0000000000000009.log.bak"] {
        disk.set_bytes(&root().join("wal").join(name), b"mine".to_vec());
    }
    let found = open(&disk).unwrap().1;
    assert_eq!(found.entries.last().unwrap().id.index, Index(3));
    assert_eq!(disk.bytes(&root().join("wal/notes.txt")), b"mine");
}
