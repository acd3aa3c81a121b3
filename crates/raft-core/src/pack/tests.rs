//! Where commands come to lie, and what they hold on to.

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::types::{Index, LogId, Term};

/// Entries whose data are parts of one piece of memory, and how long that is.
fn came(lens: &[usize]) -> (Vec<Entry>, usize) {
    let bytes = lens.iter().sum();
    let mut frame: Bytes = (0..bytes).map(|at| at.to_le_bytes()[0]).collect();
    let entry = |(number, &len): (u64, &usize)| Entry {
        id: LogId { term: Term(1), index: Index(number) },
        payload: Payload::Data(frame.split_to(len)),
    };
    ((1..).zip(lens).map(entry).collect(), bytes)
}

fn places(entries: &[Entry]) -> Vec<core::ops::Range<*const u8>> {
    let data = entries.iter().filter_map(|entry| match &entry.payload {
        Payload::Data(data) => Some(data.as_ptr_range()),
        Payload::Noop | Payload::Config(_) => None,
    });
    data.collect()
}

#[test]
fn packs_side_by_side() {
    let mut packer = Packer::default();
    let all: Vec<Bytes> = (0..100_u8).map(|number| packer.pack(&[&[number], &[7; 999]])).collect();
    for (number, bytes) in (0..).zip(&all) {
        assert_eq!(bytes.split_first(), Some((&number, &[7; 999][..])));
    }
    let neighbours = all.iter().zip(all.iter().skip(1));
    let breaks = neighbours
        .filter(|(one, next)| one.as_ptr_range().end != next.as_ptr_range().start)
        .count();
    // 16 of them fill a block. Two blocks may lie side by side as well.
    assert!(breaks <= 6, "{breaks}");
}

#[test]
fn what_is_long_has_its_own() {
    let mut packer = Packer::default();
    let short = packer.pack(&[b"one"]);
    let long = packer.pack(&[&[1], &[2; SMALL_MAX]]);
    let after = packer.pack(&[b"two"]);
    assert_eq!(long.len(), SMALL_MAX + 1);
    assert_eq!(short.as_ptr_range().end, after.as_ptr_range().start);
    assert_eq!(packer.pack(&[]), Bytes::new());
}

/// Nothing holds on to the frame any more, and nothing else has changed.
#[test]
fn small_ones_let_the_frame_go() {
    let (mut entries, bytes) = came(&[300; 100]);
    let first = places(&entries).into_iter().next().expect("there are a hundred");
    let frame = first.start..first.start.wrapping_add(bytes);
    entries.push(Entry { id: LogId::ZERO, payload: Payload::Noop });
    let before = entries.clone();
    Packer::default().repack(&mut entries, bytes);
    assert_eq!(entries, before);
    for place in places(&entries) {
        assert!(!frame.contains(&place.start), "{place:?} is in {frame:?}");
    }
}

#[test]
fn large_ones_stay_where_they_are() {
    for lens in [vec![3000; 20], vec![100, 60_000]] {
        let (mut entries, bytes) = came(&lens);
        let before = places(&entries);
        Packer::default().repack(&mut entries, bytes);
        assert_eq!(places(&entries), before, "{lens:?}");
    }
}

/// Messages of one entry each share blocks too.
#[test]
fn what_comes_one_by_one_lies_side_by_side() {
    let mut packer = Packer::default();
    let mut ends = Vec::new();
    for _ in 0..20 {
        let (mut entries, bytes) = came(&[300]);
        packer.repack(&mut entries, bytes);
        ends.extend(places(&entries));
    }
    let mut neighbours = ends.iter().zip(ends.iter().skip(1));
    assert!(neighbours.all(|(one, next)| one.end == next.start), "{ends:?}");
}
