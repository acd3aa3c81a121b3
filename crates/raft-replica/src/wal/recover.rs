//! Reading the log back.
//!
//! A crash can tear one thing only: the last write, which nobody was told is durable. It is the
//! last frame of the last segment, because a segment gets its name when its first frame is durable,
//! and a frame is written when the one before it is durable. So whatever does not fit and is *not*
//! there is damage, and refused: a log that was cut in the middle would forget promises. Nor does a
//! crash change the length of a segment, which has it from before it got its name.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use raft_core::{Entry, Index};

use super::format::{FIRST_FRAME, FRAME_HEADER, FrameHeader, Owner, SECTOR, SegmentHeader};
use super::outline::Outline;
use super::record::{self, Record};
use super::{
    Active, Cut, Extent, QUICK_SEGMENT_BYTES, Recovered, RecoveryReport, segment_path, spare,
};
use crate::disk::{self, Disk, DiskFile, is_temporary};
use crate::error::{Damage, DiskError, During as _, StorageError};

/// Everything recovery found.
pub(super) struct Found {
    pub(super) outline: Outline,
    pub(super) active: Active,
    pub(super) sealed: VecDeque<Extent>,
    pub(super) recovered: Recovered,
    pub(super) report: RecoveryReport,
}

pub(super) fn recover(disk: &dyn Disk, dir: &Path, owner: &Owner) -> Result<Found, StorageError> {
    let mut segments = open_segments(disk, dir, owner)?;
    let mut replay = Replay::default();
    let headers: Vec<SegmentHeader> = segments.iter().map(|segment| segment.header).collect();
    for (position, segment) in segments.iter_mut().enumerate() {
        let read = match headers.get(position + 1) {
            Some(next) => segment.read_sealed(next, &mut replay),
            None => segment.read_last(&mut replay),
        };
        read.map_err(|error| replay.vouch(error))?;
        // Every frame but the very last was synced before the next was written; asking once more
        // costs nothing and also covers a file that was copied here.
        segment.file.sync_data().during("sync", &segment.path)?;
    }
    let mut last = segments.pop().expect("there is at least one segment");
    let report = RecoveryReport {
        segments: headers.len() as u64,
        frames: replay.frames,
        cut: last.make_durable()?,
    };
    disk.sync_dir(dir).during("sync", dir)?;
    let Replay { outline, mut extents, entries, .. } = replay.finish(dir)?;
    let extent = extents.pop_back().expect("every segment has an extent");
    let recovered = Recovered {
        hard_state: outline.hard_state.clone(),
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

/// Opens all segments, clears away what never became one, and checks names, owners and numbers.
fn open_segments(disk: &dyn Disk, dir: &Path, owner: &Owner) -> Result<Vec<Segment>, StorageError> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names.during("read", dir)?,
    };
    let mut numbers = Vec::new();
    for name in &names {
        if is_temporary(name) {
            let path = dir.join(name);
            disk.remove(&path).during("remove", &path)?;
        }
        let number = name.strip_suffix(".log").and_then(|number| number.parse::<u64>().ok());
        numbers.extend(number.filter(|&number| segment_path(dir, number) == dir.join(name)));
    }
    numbers.sort_unstable();
    if numbers.is_empty() {
        return Err(StorageError::damaged(dir, None, "the log is gone: there is no segment"));
    }
    let mut segments: Vec<Segment> = Vec::new();
    for number in numbers {
        let path = segment_path(dir, number);
        if let Some(before) = segments.last().map(|segment| segment.header.number)
            && before + 1 != number
        {
            let missing = segment_path(dir, before + 1);
            return Err(StorageError::damaged(&missing, None, "this segment is missing"));
        }
        segments.push(Segment::open(disk, path, number, owner)?);
    }
    Ok(segments)
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

/// A segment being read.
struct Segment {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    len: u64,
    header: SegmentHeader,
    window: Window,
    /// Where the last good frame begins and ends.
    last_frame: u64,
    end: u64,
    next_frame: u64,
    check: u32,
}

impl Segment {
    fn open(
        disk: &dyn Disk,
        path: PathBuf,
        number: u64,
        owner: &Owner,
    ) -> Result<Self, StorageError> {
        let file = disk.open(&path).during("open", &path)?;
        let len = file.len().during("read", &path)?;
        let mut window = Window::default();
        let sector = window.get(&*file, 0, SECTOR).during("read", &path)?;
        let header = SegmentHeader::decode(sector)
            .map_err(|what| StorageError::damaged(&path, Some(0), what))?;
        if header.owner != *owner {
            let (found, expected) = (header.owner.to_string(), owner.to_string());
            return Err(StorageError::Foreign { path, found, expected });
        }
        if header.number != number {
            let what = format!("it is segment {} under another name", header.number);
            return Err(StorageError::damaged(&path, Some(0), what));
        }
        let seed = header.seed();
        let next_frame = header.first_frame;
        let (last_frame, end) = (FIRST_FRAME, FIRST_FRAME);
        Ok(Self { path, file, len, header, window, last_frame, end, next_frame, check: seed })
    }

    /// Reads a segment that another one follows: every frame up to where that one says.
    fn read_sealed(
        &mut self,
        next: &SegmentHeader,
        replay: &mut Replay,
    ) -> Result<(), StorageError> {
        replay.begin(self);
        while self.end < next.previous_end {
            if !self.read_frame(replay)? {
                self.check_len()?;
                return Err(self.damaged("a frame is not what was written"));
            }
        }
        let ends = (self.end, self.next_frame, self.check);
        if ends != (next.previous_end, next.first_frame, next.previous_check) {
            return Err(self.damaged("it does not end where the next segment begins"));
        }
        self.check_len()?;
        self.window = Window::default();
        Ok(())
    }

    /// Reads the segment in which the log ends.
    fn read_last(&mut self, replay: &mut Replay) -> Result<(), StorageError> {
        replay.begin(self);
        while self.read_frame(replay)? {}
        self.check_len()?;
        if self.end == FIRST_FRAME {
            return Err(self.damaged("its first frame is not what was written"));
        }
        if let Some(later) = self.find_later()? {
            let what = format!("a frame is not what was written, but the one at {later} is whole");
            return Err(self.damaged(&what));
        }
        Ok(())
    }

    /// What is missing at the end may have held frames, and zeros in its place would look as if it
    /// had held none. Asked when the frames that are there have been read, so that an error can say
    /// how far the log is whole.
    fn check_len(&self) -> Result<(), StorageError> {
        let (found, expected) = (self.len, self.header.len);
        if found == expected {
            return Ok(());
        }
        Err(self.damaged(&format!("the file has {found} bytes, but was made with {expected}")))
    }

    /// Reads the frame at `end` into the replay. False if there is none that fits.
    fn read_frame(&mut self, replay: &mut Replay) -> Result<bool, StorageError> {
        let expected = (self.next_frame, self.check);
        let Some((header, payload)) = self.frame_at(self.end)? else { return Ok(false) };
        if (header.number, header.previous) != expected {
            return Ok(false);
        }
        let payload = Bytes::copy_from_slice(payload);
        let what = match record::take_all(payload, header.records) {
            Some(records) => replay.frame(records, self.end == FIRST_FRAME),
            None => Err("a frame holds what this program does not write".to_owned()),
        };
        what.map_err(|what| self.damaged(&what))?;
        self.last_frame = self.end;
        self.end += header.extent();
        self.next_frame += 1;
        self.check = header.check;
        Ok(true)
    }

    /// A frame of this segment that begins at `offset`, if there is a whole one.
    fn frame_at(&mut self, offset: u64) -> Result<Option<(FrameHeader, &[u8])>, StorageError> {
        let Self { window, file, path, len, header: segment, next_frame, .. } = self;
        let head = window.get(&**file, offset, FRAME_HEADER).during("read", path)?;
        let Some(header) = FrameHeader::decode(head)
            // Frames of an earlier life of the file have lower numbers.
            .filter(|header| *next_frame <= header.number)
            .filter(|header| header.extent() <= len.saturating_sub(offset))
        else {
            return Ok(None);
        };
        let count = usize::try_from(header.len).expect("a frame fits into memory");
        let payload =
            window.get(&**file, offset + FRAME_HEADER as u64, count).during("read", path)?;
        Ok(header.holds(segment.seed(), payload).then_some((header, payload)))
    }

    /// A whole frame beyond the first bad one: it was written when that one was durable, so the bad
    /// one is no torn write.
    fn find_later(&mut self) -> Result<Option<u64>, StorageError> {
        let mut offset = self.end + SECTOR as u64;
        while offset < self.len {
            if self.frame_at(offset)?.is_some() {
                return Ok(Some(offset));
            }
            offset += SECTOR as u64;
        }
        Ok(None)
    }

    /// Makes durable what was read, and wipes what is behind it.
    ///
    /// The last frame is written again: if its sync failed and the process before this one ended,
    /// it may be in the system's memory only and count there as written, so that a sync alone would
    /// do nothing.
    fn make_durable(&mut self) -> Result<Option<Cut>, StorageError> {
        let count = usize::try_from(self.end - self.last_frame).expect("a frame fits into memory");
        let Self { window, file, path, .. } = self;
        let frame = window.get(&**file, self.last_frame, count).during("read", path)?.to_vec();
        file.write_at(self.last_frame, &frame).during("write", path)?;
        file.sync_data().during("sync", path)?;
        if self.rest_is_zero()? {
            return Ok(None);
        }
        let Self { window, file, path, .. } = self;
        let head = window.get(&**file, self.end, FRAME_HEADER).during("read", path)?;
        let torn = FrameHeader::decode(head).is_some_and(|head| head.number == self.next_frame);
        spare::zero(&mut **file, self.end, self.len).during("cut", path)?;
        file.sync_data().during("sync", path)?;
        Ok(Some(Cut { path: path.clone(), offset: self.end, torn }))
    }

    fn rest_is_zero(&mut self) -> Result<bool, StorageError> {
        const PIECE: usize = 1 << 16;
        let zeros = vec![0; PIECE];
        let mut offset = self.end;
        while offset < self.len {
            let count = usize::try_from(self.len - offset).map_or(PIECE, |rest| rest.min(PIECE));
            let piece = self.window.get(&*self.file, offset, count).during("read", &self.path)?;
            if piece != &zeros[..piece.len()] {
                return Ok(false);
            }
            offset += count as u64;
        }
        Ok(true)
    }

    fn damaged(&self, what: &str) -> StorageError {
        StorageError::damaged(&self.path, Some(self.end), what)
    }
}

/// A piece of a file in memory, so that small frames need no system call each.
#[derive(Default)]
struct Window {
    start: u64,
    /// Bytes of `buffer` that were read.
    count: usize,
    buffer: Vec<u8>,
}

impl Window {
    /// The bytes from `offset` on, fewer than `count` only at the end of the file.
    fn get(&mut self, file: &dyn DiskFile, offset: u64, count: usize) -> io::Result<&[u8]> {
        const AHEAD: usize = 256 << 10;
        let at = match self.position(offset, count) {
            Some(at) => at,
            None => {
                if self.buffer.len() < count.max(AHEAD) {
                    self.buffer = vec![0; count.max(AHEAD)];
                }
                self.count = file.read_at(offset, &mut self.buffer)?;
                self.start = offset;
                0
            }
        };
        let end = (at + count).min(self.count);
        Ok(&self.buffer[at..end])
    }

    /// Where these bytes are in the buffer, if all of them are.
    fn position(&self, offset: u64, count: usize) -> Option<usize> {
        let at = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        (at.checked_add(count)? <= self.count).then_some(at)
    }
}

/// The log as far as it is read.
#[derive(Default)]
struct Replay {
    outline: Outline,
    /// One for each segment begun.
    extents: VecDeque<Extent>,
    /// The newest entries without a gap. Those before them were in segments that are gone.
    entries: Vec<Entry>,
    frames: u64,
}

impl Replay {
    fn begin(&mut self, segment: &Segment) {
        let (number, path) = (segment.header.number, segment.path.clone());
        self.extents.push_back(Extent { number, path, len: segment.len, last: Index(0) });
    }

    fn frame(&mut self, records: Vec<Record>, first: bool) -> Result<(), String> {
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
        self.entries.push(entry);
        Ok(())
    }

    fn void(&mut self, from: Option<Index>) {
        let Some(from) = from else { return };
        self.entries.truncate(self.entries.partition_point(|entry| entry.id.index < from));
        self.extents.iter_mut().for_each(|extent| extent.void(from));
    }

    /// Gives up what is covered, and checks that the rest is complete.
    fn finish(mut self, dir: &Path) -> Result<Self, StorageError> {
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
        match error {
            StorageError::Damaged(damage) if self.frames != 0 => {
                let last_good = Some(self.outline.last);
                StorageError::Damaged(Box::new(Damage { last_good, ..*damage }))
            }
            error => error,
        }
    }
}
