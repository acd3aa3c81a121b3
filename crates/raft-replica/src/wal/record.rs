//! What stands in a frame: the records of one or more persists, one after the other.
//!
//! ```text
//! record      kind u8 · body
//! 1 head      outline: only at the beginning of a segment's first frame
//! 2 install   snapshot
//! 3 compact   snapshot · first kept u64
//! 4 truncate  from u64
//! 5 promises  hard state
//! 6 entries   count u32 · entries
//! ```

use bytes::{Buf as _, Bytes};
use raft_core::{Compact, Entry, HardState, Index, Payload, Persist, SnapshotMeta, codec, mutant};

use super::format::{FRAME_HEADER, padded};
use super::outline::Outline;

const HEAD: u8 = 1;
const INSTALL: u8 = 2;
const COMPACT: u8 = 3;
const TRUNCATE: u8 = 4;
const PROMISES: u8 = 5;
const ENTRIES: u8 = 6;

/// A record as it is read back.
pub(super) enum Record {
    Head(Outline),
    Install(SnapshotMeta),
    Compact(Compact),
    Truncate(Index),
    Promises(HardState),
    Entries(Vec<Entry>),
}

/// Appends the head record.
pub(super) fn put_head(out: &mut Vec<u8>, outline: &Outline) {
    out.push(HEAD);
    outline.encode(out);
}

/// Appends the records of a persist and returns how many: none if there is nothing to write.
pub(super) fn put_persist(out: &mut Vec<u8>, persist: &Persist) -> u32 {
    let mut count = 0;
    if let Some(meta) = &persist.install {
        out.push(INSTALL);
        codec::put_snapshot_meta(out, meta);
        count += 1;
    }
    if let Some(compact) = &persist.compact {
        out.push(COMPACT);
        codec::put_snapshot_meta(out, &compact.snapshot);
        out.extend_from_slice(&compact.first_kept.0.to_le_bytes());
        count += 1;
    }
    if let Some(from) = persist.truncate_from {
        out.push(TRUNCATE);
        out.extend_from_slice(&from.0.to_le_bytes());
        count += 1;
    }
    if let Some(state) = &persist.hard_state {
        out.push(PROMISES);
        codec::put_hard_state(out, state);
        count += 1;
    }
    if !persist.entries.is_empty() {
        out.push(ENTRIES);
        let skipped = usize::from(
            mutant!("the first of several entries is not written") && 1 < persist.entries.len(),
        );
        let entries =
            u32::try_from(persist.entries.len() - skipped).expect("a batch has few entries");
        out.extend_from_slice(&entries.to_le_bytes());
        for entry in persist.entries.iter().skip(skipped) {
            codec::put_entry(out, entry);
        }
        count += 1;
    }
    count
}

/// How long a frame with these persists is on the disk, at most.
pub(super) fn len_at_most(persists: &[Persist]) -> u64 {
    // What does not grow with the entries: members, and what is known of them.
    const APART: u64 = 16 << 10;
    const ENTRY: u64 = 64;
    let entry = |entry: &Entry| match &entry.payload {
        Payload::Noop => ENTRY,
        Payload::Data(data) => ENTRY.saturating_add(data.len() as u64),
        Payload::Config(_) => APART,
    };
    let persist = |persist: &Persist| match persist {
        // Nothing is written for what only waits its turn.
        Persist { install: None, compact: None, truncate_from: None, hard_state: None, .. } => {
            persist.entries.iter().map(entry).sum::<u64>()
        }
        _ => persist.entries.iter().map(entry).sum::<u64>().saturating_add(APART),
    };
    padded(persists.iter().map(persist).sum::<u64>().saturating_add(FRAME_HEADER as u64))
}

/// Reads all records of a frame; `None` if the bytes are none that this program writes.
pub(super) fn take_all(mut input: Bytes, count: u32) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    for _ in 0..count {
        records.push(take(&mut input)?);
    }
    input.is_empty().then_some(records)
}

fn take(input: &mut Bytes) -> Option<Record> {
    Some(match input.try_get_u8().ok()? {
        HEAD => Record::Head(Outline::take(input)?),
        INSTALL => Record::Install(codec::take_snapshot_meta(input)?),
        COMPACT => {
            let snapshot = codec::take_snapshot_meta(input)?;
            Record::Compact(Compact { snapshot, first_kept: take_index(input)? })
        }
        TRUNCATE => Record::Truncate(take_index(input)?),
        PROMISES => Record::Promises(codec::take_hard_state(input)?),
        ENTRIES => {
            let mut entries = Vec::new();
            for _ in 0..input.try_get_u32_le().ok()? {
                entries.push(codec::take_entry(input)?);
            }
            Record::Entries(entries)
        }
        _ => return None,
    })
}

fn take_index(input: &mut Bytes) -> Option<Index> {
    input.try_get_u64_le().ok().map(Index)
}
