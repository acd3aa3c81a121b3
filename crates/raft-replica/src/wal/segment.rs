//! One segment, read frame by frame.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use raft_core::mutant;

use super::format::{FIRST_FRAME, FRAME_HEADER, FrameHeader, Owner, SECTOR, SegmentHeader};
use super::recover::Replay;
use super::{Cut, record, spare};
use crate::disk::{Disk, DiskFile};
use crate::error::{During as _, StorageError};

/// A segment being read.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn DiskFile>,
    pub(super) len: u64,
    pub(super) header: SegmentHeader,
    window: Window,
    /// Where the last good frame begins and ends.
    last_frame: u64,
    pub(super) end: u64,
    pub(super) next_frame: u64,
    pub(super) check: u32,
}

impl Segment {
    /// Whose segment it is.
    pub(super) fn owner(disk: &dyn Disk, path: &Path) -> Result<Owner, StorageError> {
        let file = disk.open(path).during("open", path)?;
        let mut sector = [0; SECTOR];
        let count = file.read_at(0, &mut sector).during("read", path)?;
        let header = SegmentHeader::decode(&sector[..count]);
        header.map(|header| header.owner).map_err(|what| what.in_file(path, 0))
    }

    pub(super) fn open(
        disk: &dyn Disk,
        path: PathBuf,
        number: u64,
        owner: &Owner,
    ) -> Result<Self, StorageError> {
        let file = disk.open(&path).during("open", &path)?;
        let len = file.len().during("read", &path)?;
        let mut window = Window::default();
        let sector = window.get(&*file, 0, SECTOR).during("read", &path)?;
        let header = SegmentHeader::decode(sector).map_err(|what| what.in_file(&path, 0))?;
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
    pub(super) fn read_sealed(
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

    /// Reads a segment whose successor is not there to say where it ends.
    pub(super) fn read_frames(&mut self, replay: &mut Replay) -> Result<(), StorageError> {
        replay.begin(self);
        while self.read_frame(replay)? {}
        Ok(())
    }

    /// Reads the segment in which the log ends.
    pub(super) fn read_last(&mut self, replay: &mut Replay) -> Result<(), StorageError> {
        self.read_frames(replay)?;
        self.check_len()?;
        if self.end == FIRST_FRAME {
            return Err(self.damaged("its first frame is not what was written"));
        }
        if let Some(later) = self.find_later()?
            && !mutant!("damage in the middle of the log is cut")
        {
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
    pub(super) fn make_durable(&mut self) -> Result<Option<Cut>, StorageError> {
        let count = usize::try_from(self.end - self.last_frame).expect("a frame fits into memory");
        let Self { window, file, path, .. } = self;
        let frame = window.get(&**file, self.last_frame, count).during("read", path)?.to_vec();
        file.write_at(self.last_frame, &frame).during("write", path)?;
        file.sync_data().during("sync", path)?;
        let cut = self.behind()?;
        if cut.is_some() {
            spare::zero(&mut *self.file, self.end, self.len).during("cut", &self.path)?;
            self.file.sync_data().during("sync", &self.path)?;
        }
        Ok(cut)
    }

    /// What is behind the last frame, if it is not zero.
    pub(super) fn behind(&mut self) -> Result<Option<Cut>, StorageError> {
        if self.rest_is_zero()? {
            return Ok(None);
        }
        let Self { window, file, path, .. } = self;
        let head = window.get(&**file, self.end, FRAME_HEADER).during("read", path)?;
        // Either says that it is the frame that would come next; both are not lost by accident.
        let torn = FrameHeader::fields(head)
            .is_some_and(|head| head.number == self.next_frame || head.previous == self.check);
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
