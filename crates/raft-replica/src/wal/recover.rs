//! Reading the log back.
//!
//! A crash can tear one thing only: the last write, which nobody was told is durable. It is the
//! last frame of the last segment, because a segment gets its name when its first frame is durable,
//! and a frame is written when the one before it is durable. So whatever does not fit and is *not*
//! there is damage, and refused: a log that was cut in the middle would forget promises. Nor does a
//! crash change the length of a segment, which has it from before it got its name.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use raft_core::{Entry, Index, LogId, mutant};

use super::format::{FrameHeader, Owner, SECTOR, SegmentHeader};
use super::outline::Outline;
use super::record::Record;
use super::segment::Segment;
use super::{Active, Extent, QUICK_SEGMENT_BYTES, Recovered, RecoveryReport, segment_path};
use crate::disk::{self, Disk, is_temporary};
use crate::error::{DiskError, During as _, StorageError};

/// Everything recovery found.
pub(super) struct Found {
    pub(super) outline: Outline,
    pub(super) active: Active,
    pub(super) sealed: VecDeque<Extent>,
    pub(super) recovered: Recovered,
    pub(super) report: RecoveryReport,
}

pub(super) fn recover(disk: &dyn Disk, dir: &Path, owner: &Owner) -> Result<Found, StorageError> {
    clear_away(disk, dir)?;
    let (mut segments, mut replay) = (Vec::new(), Replay::default());
    read(disk, dir, owner, (&mut segments, &mut replay))?;
    for segment in &mut segments {
        // Every frame but the very last was synced before the next was written; asking once more
        // costs nothing and also covers a file that was copied here.
        segment.file.sync_data().during("sync", &segment.path)?;
    }
    let count = segments.len() as u64;
    let mut last = segments.pop().expect("there is at least one segment");
    let frames = replay.frames;
    let report = RecoveryReport { segments: count, frames, cut: last.make_durable()? };
    disk.sync_dir(dir).during("sync", dir)?;
    let Replay { outline, mut extents, entries, .. } = replay.finish(dir)?;
    let extent = extents.pop_back().expect("every segment has an extent");
    let recovered = Recovered {
        hard_state: match outline.hard_state.clone() {
            promised if mutant!("a vote is not read back") => {
                raft_core::HardState { vote: None, ..promised }
            }
            promised => promised,
        },
        snapshot: outline.snapshot.clone(),
        base: outline.base,
        entries,
    };
    let active = Active {
        extent,
        file: last.file,
        seed: last.header.seed(),
        end: last.end,
        next_frame: last.next_frame,
        check: last.check,
    };
    Ok(Found { outline, active, sealed: extents, recovered, report })
}

/// Reads the whole log. What is whole of it is there even if this ends with an error, which says how
/// far that goes.
pub(super) fn read(
    disk: &dyn Disk,
    dir: &Path,
    owner: &Owner,
    (segments, replay): (&mut Vec<Segment>, &mut Replay),
) -> Result<(), StorageError> {
    let opened = open_segments(disk, dir, owner, segments);
    let headers: Vec<SegmentHeader> = segments.iter().map(|segment| segment.header).collect();
    for (position, segment) in segments.iter_mut().enumerate() {
        let read = match headers.get(position + 1) {
            Some(next) => segment.read_sealed(next, replay),
            None if opened.is_ok() => segment.read_last(replay),
            None => segment.read_frames(replay),
        };
        read.map_err(|error| replay.vouch(error))?;
    }
    opened.map_err(|error| replay.vouch(error))
}

/// Removes what never became a segment.
fn clear_away(disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
    for name in names(disk, dir)?.iter().filter(|name| is_temporary(name)) {
        let path = dir.join(name);
        disk.remove(&path).during("remove", &path)?;
    }
    Ok(())
}

/// The names in a directory, which may not be there.
pub(super) fn names(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, DiskError> {
    match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names.during("read", dir),
    }
}

/// Opens all segments, and checks names, owners and numbers.
fn open_segments(
    disk: &dyn Disk,
    dir: &Path,
    owner: &Owner,
    segments: &mut Vec<Segment>,
) -> Result<(), StorageError> {
    for number in numbers(disk, dir)? {
        let path = segment_path(dir, number);
        if let Some(before) = segments.last().map(|segment| segment.header.number)
            && before + 1 != number
        {
            let missing = segment_path(dir, before + 1);
            return Err(StorageError::damaged(&missing, None, "this segment is missing"));
        }
        segments.push(Segment::open(disk, path, number, owner)?);
    }
    Ok(())
}

/// The numbers of the segments, ascending; there is at least one.
pub(super) fn numbers(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, StorageError> {
    let mut numbers = Vec::new();
    for name in names(disk, dir)? {
        let number = name.strip_suffix(".log").and_then(|number| number.parse::<u64>().ok());
        numbers.extend(number.filter(|&number| segment_path(dir, number) == dir.join(&name)));
    }
    numbers.sort_unstable();
    if numbers.is_empty() {
        return Err(StorageError::damaged(dir, None, "the log is gone: there is no segment"));
    }
    Ok(numbers)
}

/// Whether a segment holds its head and nothing else. One that is damaged is not asked further.
pub(super) fn is_untouched(disk: &dyn Disk, path: &Path) -> Result<bool, DiskError> {
    let file = disk.open(path).during("open", path)?;
    let len = file.len().during("read", path)?;
    if QUICK_SEGMENT_BYTES < len {
        return Ok(false);
    }
    drop(file);
    let bytes = disk::read_all(disk, path)?;
    // The first frame begins behind the sector of the header.
    let Some(frame) = bytes.get(SECTOR..).and_then(FrameHeader::decode) else {
        return Ok(false);
    };
    let end = usize::try_from(SECTOR as u64 + frame.extent()).unwrap_or(usize::MAX);
    let rest = bytes.get(end..).unwrap_or_default();
    Ok(frame.records == 1 && rest.iter().all(|&byte| byte == 0))
}

/// The log as far as it is read.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) outline: Outline,
    /// One for each segment begun.
    extents: VecDeque<Extent>,
    /// The first and the last entry in each of them, as written: some may be void by now.
    pub(super) spans: Vec<Option<(LogId, LogId)>>,
    /// The newest entries without a gap. Those before them were in segments that are gone.
    pub(super) entries: Vec<Entry>,
    pub(super) frames: u64,
}

impl Replay {
    pub(super) fn begin(&mut self, segment: &Segment) {
        let (number, path) = (segment.header.number, segment.path.clone());
        self.spans.push(None);
        self.extents.push_back(Extent { number, path, len: segment.len, last: Index(0) });
    }

    pub(super) fn frame(&mut self, records: Vec<Record>, first: bool) -> Result<(), String> {
        for (position, record) in records.into_iter().enumerate() {
            let opens = first && position == 0;
            if opens != matches!(record, Record::Head(_)) {
                return Err("a segment does not begin with its head".to_owned());
            }
            self.record(record)?;
        }
        self.frames += 1;
        Ok(())
    }

    fn record(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::Head(outline) if self.frames == 0 => self.outline = outline,
            Record::Head(outline) if self.outline == outline => (),
            Record::Head(outline) => {
                return Err(format!("its head tells of {outline}, but there is {}", self.outline));
            }
            Record::Install(meta) => {
                let void = self.outline.install(&meta)?;
                self.void(void);
            }
            Record::Compact(compact) => self.outline.compact(&compact)?,
            Record::Truncate(from) => {
                let void = self.outline.truncate(from)?;
                self.void(void);
            }
            Record::Promises(state) => self.outline.set_hard_state(&state)?,
            Record::Entries(entries) => {
                for entry in entries {
                    self.append(entry)?;
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, entry: Entry) -> Result<(), String> {
        let void = self.outline.append(&entry)?;
        self.void(void);
        if let Some(extent) = self.extents.back_mut() {
            extent.last = entry.id.index;
        }
        if let Some(span) = self.spans.last_mut() {
            span.get_or_insert((entry.id, entry.id)).1 = entry.id;
        }
        self.entries.push(entry);
        Ok(())
    }

    fn void(&mut self, from: Option<Index>) {
        let Some(from) = from else { return };
        self.entries.truncate(self.entries.partition_point(|entry| entry.id.index < from));
        self.extents.iter_mut().for_each(|extent| extent.void(from));
    }

    /// Gives up what is covered, and checks that the rest is complete.
    pub(super) fn finish(mut self, dir: &Path) -> Result<Self, StorageError> {
        let (base, last) = (self.outline.base.index, self.outline.last.index);
        self.entries.drain(..self.entries.partition_point(|entry| entry.id.index <= base));
        let first = self.entries.first().map_or(last.next(), |entry| entry.id.index);
        if first != base.next() {
            let what = format!(
                "entries {} to {} are in none of the segments: the oldest ones are missing",
                base.next(),
                first.prev()
            );
            return Err(StorageError::damaged(dir, None, what));
        }
        Ok(self)
    }

    /// Adds to an error what is known to be whole.
    fn vouch(&self, error: StorageError) -> StorageError {
        if self.frames == 0 { error } else { error.vouching(self.outline.last) }
    }
}
