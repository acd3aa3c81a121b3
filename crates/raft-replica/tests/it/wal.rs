//! The log in good weather: what goes in comes out, in how many writes, and in which files.

use std::path::Path;
use std::sync::Arc;

use raft_core::{Body, ClusterId, Compact, Incarnation, Index, Message, NodeId, Persist, Term};
use raft_replica::{Disk, RealDisk, Recovered, Wal};

use crate::mem_disk::MemDisk;
use crate::support::{apply, create, entry, id, open, options, segment, snapshot, term};

fn jobs() -> Vec<Persist> {
    let entries = |range: std::ops::RangeInclusive<u64>, term| {
        range.map(|index| entry(index, term, 100)).collect::<Vec<_>>()
    };
    vec![
        Persist {
            seq: 1,
            hard_state: Some(term(1)),
            entries: entries(1..=6, 1).into(),
            ..Persist::default()
        },
        Persist { seq: 2, ..Persist::default() },
        Persist {
            seq: 3,
            compact: Some(Compact { snapshot: snapshot(id(4, 1)), first_kept: Index(3) }),
            truncate_from: Some(Index(6)),
            hard_state: Some(term(2)),
            entries: entries(6..=9, 2).into(),
            ..Persist::default()
        },
        Persist { seq: 5, entries: entries(8..=8, 2).into(), ..Persist::default() },
        Persist { seq: 6, install: Some(snapshot(id(7, 2))), ..Persist::default() },
    ]
}

fn amount(jobs: &[Persist]) -> Recovered {
    let mut log = Recovered::default();
    for job in jobs {
        apply(&mut log, job);
    }
    log
}

/// On the real disk, opened again after every job.
#[test]
fn what_is_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk);
    Wal::create(&*disk, dir.path(), &options()).unwrap();
    for count in 0..=jobs().len() {
        let (mut wal, found, report) =
            Wal::open(Arc::clone(&disk) as Arc<dyn Disk>, dir.path(), &options()).unwrap();
        assert_eq!(found, amount(&jobs()[..count]));
        assert_eq!((report.segments, report.cut), (1, None));
        let seq = jobs().get(count).map_or(0, |job| job.seq);
        let durable = wal.run(jobs().into_iter().skip(count).take(1).collect()).unwrap();
        assert_eq!(durable.seq, seq);
    }
    let last = amount(&jobs());
    assert_eq!((last.base, last.entries.len(), last.hard_state.term), (id(7, 2), 1, Term(2)));
}

/// A run of many jobs is one write and one sync; jobs without anything to write cost neither, and
/// their messages are handed out all the same.
#[test]
fn a_batch_costs_one_write_and_one_sync() {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    let before = disk.writes_and_syncs();
    let mut batch = jobs();
    let message = |round| Message {
        cluster: ClusterId(7),
        from: NodeId(1),
        to: NodeId(2),
        incarnation: Incarnation(1),
        term: Term(1),
        body: Body::Stranger { known: Incarnation(round) },
    };
    batch[1].then_send = vec![message(1)];
    batch[3].then_send = vec![message(2), message(3)];
    let durable = wal.run(batch).unwrap();
    assert_eq!(durable.seq, 6);
    assert_eq!(durable.then_send, [message(1), message(2), message(3)]);
    let (writes, syncs) = disk.writes_and_syncs();
    assert_eq!((writes - before.0, syncs - before.1), (1, 1));
    assert_eq!((wal.stats().entries, wal.stats().syncs), (11, 1));

    let idle = Persist { seq: 7, then_send: vec![message(4)], ..Persist::default() };
    let durable = wal.run(vec![idle]).unwrap();
    assert_eq!((durable.seq, durable.then_send), (7, vec![message(4)]));
    assert_eq!(disk.writes_and_syncs(), (writes, syncs));
    assert_eq!(open(&disk).unwrap().1, amount(&jobs()));
}

/// Appends entries of 1000 bytes, one a batch.
fn fill(wal: &mut Wal, from: u64, to: u64) {
    for index in from..=to {
        let hard_state = (index == 1).then(|| term(1));
        let entries = vec![entry(index, 1, 1000)];
        wal.run(vec![Persist {
            seq: index,
            hard_state,
            entries: entries.into(),
            ..Persist::default()
        }])
        .unwrap();
    }
}

fn compact(wal: &mut Wal, seq: u64, last: u64) {
    let compact = Compact { snapshot: snapshot(id(last, 1)), first_kept: Index(last + 1) };
    wal.run(vec![Persist { seq, compact: Some(compact), ..Persist::default() }]).unwrap();
}

fn names(disk: &MemDisk) -> Vec<String> {
    disk.list(Path::new("/data/wal")).unwrap()
}

/// Full segments are followed by new ones, made ready beside the writer or, if that did not happen,
/// on the spot.
#[test]
fn a_full_segment_is_followed_by_another() {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    fill(&mut wal, 1, 20);
    assert_eq!((wal.stats().rolls, wal.stats().rolls_inline), (4, 4));
    assert!(wal.prepare().is_none(), "there is time for an older one to become free");
    fill(&mut wal, 21, 22);
    let job = wal.prepare().unwrap();
    assert!(wal.prepare().is_none(), "one is under way");
    wal.prepared(job.run().unwrap());
    assert!(wal.prepare().is_none(), "there is nothing to do");
    fill(&mut wal, 23, 25);
    assert_eq!((wal.stats().rolls, wal.stats().rolls_inline), (5, 4));
    let (_, found, report) = open(&disk).unwrap();
    assert_eq!((found.entries.len(), report.segments), (25, 6));
}

/// A batch larger than a segment gets one of its own, and the log goes on behind it.
#[test]
fn a_batch_larger_than_a_segment_is_written_whole() {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    fill(&mut wal, 1, 2);
    let job = wal.prepare().unwrap();
    wal.prepared(job.run().unwrap());
    let entries: Vec<_> = (3..=30).map(|index| entry(index, 1, 1000)).collect();
    wal.run(vec![Persist { seq: 3, entries: entries.into(), ..Persist::default() }]).unwrap();
    assert!(28_000 < disk.bytes(&segment(2)).len());
    fill(&mut wal, 31, 33);
    let (_, found, report) = open(&disk).unwrap();
    assert_eq!((found.entries.len(), report.segments), (33, 3));
}

/// A spare that cannot be made is no reason to stop while the log has a segment to write in. It is
/// tried again once the log has found space itself; if that does not, the log ends.
#[test]
fn a_full_disk_ends_the_log_only_when_it_needs_space() {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    fill(&mut wal, 1, 3);
    disk.leave_space(Some(5000));
    let prepared = wal.prepare().unwrap().run().unwrap();
    let error = prepared.full().unwrap();
    assert!(error.is_full() && error.path.ends_with("spare-1.tmp"), "{error}");
    wal.prepared(prepared);
    assert_eq!(names(&disk), ["0000000000000001.log"], "nothing is left of it");
    assert!(wal.prepare().is_none(), "it is not tried again at once");
    fill(&mut wal, 4, 4);
    assert!(wal.prepare().is_none());

    disk.leave_space(None);
    fill(&mut wal, 5, 7);
    assert_eq!(wal.stats().rolls_inline, 1);
    let prepared = wal.prepare().unwrap().run().unwrap();
    assert!(prepared.full().is_none());
    wal.prepared(prepared);

    disk.leave_space(Some(5000));
    fill(&mut wal, 8, 12);
    let prepared = wal.prepare().unwrap().run().unwrap();
    wal.prepared(prepared);
    let mut seq = 12;
    let error = loop {
        seq += 1;
        let entries = vec![entry(seq, 1, 1000)];
        let job = Persist { seq, entries: entries.into(), ..Persist::default() };
        if let Err(error) = wal.run(vec![job]) {
            break error;
        }
        assert!(seq < 30, "the disk is full");
    };
    assert!(error.is_full(), "{error}");
    disk.leave_space(None);
    assert!(
        wal.run(vec![Persist { seq: 99, hard_state: Some(term(2)), ..Persist::default() }])
            .is_err()
    );
    assert_eq!(open(&disk).unwrap().1.entries.len() as u64, seq - 1);
}

/// A covered segment becomes a spare, or makes room for one, on a full disk too.
#[test]
fn a_full_disk_goes_on_with_covered_segments() {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    fill(&mut wal, 1, 8);
    disk.leave_space(Some(0));
    let prepared = wal.prepare().unwrap().run().unwrap();
    assert!(prepared.full().is_some());
    wal.prepared(prepared);
    assert!(wal.prepare().is_none());
    compact(&mut wal, 9, 7);
    let prepared = wal.prepare().unwrap().run().unwrap();
    assert!(prepared.full().is_none());
    wal.prepared(prepared);
    for index in 9..=12 {
        let entries = vec![entry(index, 1, 1000)];
        wal.run(vec![Persist { seq: index + 1, entries: entries.into(), ..Persist::default() }])
            .unwrap();
    }
    assert_eq!(wal.stats().rolls_inline, 1);
    assert_eq!(open(&disk).unwrap().1.entries.len(), 5);
}

/// Of segments without a wanted entry the oldest is used again, and what it held before does not come
/// back; two are kept for later.
#[test]
fn covered_segments_are_recycled_and_their_old_frames_ignored() {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    fill(&mut wal, 1, 18);
    assert_eq!(names(&disk).len(), 4);
    compact(&mut wal, 19, 15);
    let job = wal.prepare().unwrap();
    wal.prepared(job.run().unwrap());
    let kept = ["0000000000000002.log", "0000000000000003.log"];
    assert_eq!(names(&disk), [kept[0], kept[1], "0000000000000004.log", "spare-4.tmp"]);
    let (_, found, _) = open(&disk.copy()).unwrap();
    assert_eq!((found.base, found.entries.len()), (id(15, 1), 3));

    // The recycled file becomes segment 5; old frames stand behind its first ones.
    wal.run(vec![]).unwrap();
    for index in 19..=21 {
        let entries = vec![entry(index, 1, 1000)];
        wal.run(vec![Persist { seq: index + 1, entries: entries.into(), ..Persist::default() }])
            .unwrap();
    }
    assert_eq!(wal.stats().rolls_inline, 3);
    let tail = disk.bytes(&segment(5)).split_off(5120);
    assert!(tail.iter().any(|&byte| byte != 0), "old frames are there: the test shows something");
    let (mut wal, found, report) = open(&disk).unwrap();
    assert_eq!((found.base, found.entries.len()), (id(15, 1), 6));
    let cut = report.cut.expect("what was behind is wiped");
    assert_eq!((cut.path, cut.torn), (segment(5), false));
    wal.run(vec![Persist { seq: 1, entries: vec![entry(22, 1, 1)].into(), ..Persist::default() }])
        .unwrap();
    assert_eq!(open(&disk).unwrap().1.entries.len(), 7);
    assert_eq!(open(&disk).unwrap().2.cut, None);
}

/// A log whose snapshots keep up writes into the same few files for ever: none is filled anew.
#[test]
fn a_log_that_keeps_up_uses_its_files_again() {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    fill(&mut wal, 1, 3);
    let job = wal.prepare().unwrap();
    wal.prepared(job.run().unwrap());
    let (mut seq, mut files) = (3, 0);
    for round in 1..20 {
        while wal.stats().rolls < round {
            seq += 1;
            let entries = vec![entry(seq + 1 - round, 1, 1000)];
            wal.run(vec![Persist { seq, entries: entries.into(), ..Persist::default() }]).unwrap();
        }
        assert!(wal.prepare().is_none(), "it waits for the segment before");
        seq += 1;
        compact(&mut wal, seq, seq - round);
        let job = wal.prepare().unwrap();
        wal.prepared(job.run().unwrap());
        assert!(round == 1 || names(&disk).len() == files, "{:?}", names(&disk));
        files = names(&disk).len();
    }
    assert_eq!((files, wal.stats().rolls_inline), (2, 0));
}

/// Without anybody who prepares, covered segments go when the log rolls.
#[test]
fn covered_segments_go_even_if_nobody_prepares() {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    let mut seq = 0;
    for round in 0..10 {
        for index in round * 20 + 1..=round * 20 + 20 {
            seq += 1;
            let hard_state = (index == 1).then(|| term(1));
            let entries = vec![entry(index, 1, 1000)];
            wal.run(vec![Persist {
                seq,
                hard_state,
                entries: entries.into(),
                ..Persist::default()
            }])
            .unwrap();
        }
        seq += 1;
        compact(&mut wal, seq, round * 20 + 18);
    }
    // 42 were written; the last compaction freed some that the next roll will remove.
    assert!(names(&disk).len() <= 8, "{:?}", names(&disk));
    assert_eq!(open(&disk).unwrap().1.entries.len(), 2);
}

/// Entries that were overwritten do not keep their segment alive.
#[test]
fn void_entries_do_not_count() {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    fill(&mut wal, 1, 22);
    let entries = vec![entry(3, 2, 10), entry(4, 2, 10)];
    wal.run(vec![Persist {
        seq: 23,
        hard_state: Some(term(2)),
        entries: entries.into(),
        ..Persist::default()
    }])
    .unwrap();
    let compact = Compact { snapshot: snapshot(id(3, 2)), first_kept: Index(3) };
    wal.run(vec![Persist { seq: 24, compact: Some(compact), ..Persist::default() }]).unwrap();
    let job = wal.prepare().unwrap();
    wal.prepared(job.run().unwrap());
    assert_eq!(
        open(&disk).unwrap().2.segments,
        3,
        "the last, and two that are kept to be used again"
    );
    let (_, found, _) = open(&disk).unwrap();
    assert_eq!((found.base, found.entries), (id(2, 1), vec![entry(3, 2, 10), entry(4, 2, 10)]));
}

/// What contradicts the log never reaches the disk.
#[test]
#[should_panic(expected = "does not continue")]
fn a_gap_is_refused() {
    let disk = MemDisk::new();
    let mut wal = create(&disk);
    fill(&mut wal, 1, 2);
    let entries = vec![entry(4, 1, 1)];
    wal.run(vec![Persist { seq: 3, entries: entries.into(), ..Persist::default() }]).unwrap();
}
