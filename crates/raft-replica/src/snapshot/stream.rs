//! The payload of a snapshot as a stream, out and in.

use std::io::{self, BufReader, Read, Write};

use raft_core::{SnapshotMeta, mutant};

use crate::disk::DiskFile;

/// Bytes gathered before they are written.
const BUFFER: usize = 256 << 10;

/// A snapshot is synced in pieces of this size while it is written, so that the log's own syncs
/// never wait for more than that, and there is a pause after each for them to go first.
const SYNC_EVERY: u64 = 1 << 20;

/// Who says how long to pause between two steps, if anybody does.
#[derive(Default)]
pub(super) struct Pace(pub(super) Option<Box<dyn FnMut() + Send>>);

/// Writes a payload, counting and checksumming it.
pub(super) struct SnapshotWriter<'a> {
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    /// Where the buffer goes.
    position: u64,
    unsynced: u64,
    size: u64,
    checksum: u32,
    pace: &'a mut Pace,
}

/// Reads a payload that has been verified.
pub struct SnapshotReader(BufReader<Payload>);

struct Payload {
    file: Box<dyn DiskFile>,
    position: u64,
    end: u64,
}

impl Pace {
    /// A step is done.
    pub(super) fn step(&mut self) {
        if let Some(pause) = &mut self.0 {
            pause();
        }
    }
}

impl<'a> SnapshotWriter<'a> {
    pub(super) fn new(file: Box<dyn DiskFile>, position: u64, pace: &'a mut Pace) -> Self {
        let buffer = Vec::with_capacity(BUFFER);
        Self { file, buffer, position, unsynced: 0, size: 0, checksum: 0, pace }
    }

    /// Writes what is gathered; returns the file, and the payload's length and checksum.
    pub(super) fn finish(mut self) -> io::Result<(Box<dyn DiskFile>, u64, u32)> {
        self.write_out()?;
        Ok((self.file, self.size, self.checksum))
    }

    fn write_out(&mut self) -> io::Result<()> {
        let count = self.buffer.len() as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, &self.buffer);
        match self.file.write_at(self.position, &self.buffer) {
            Err(error) if !mutant!("a full disk is no error to a snapshot") => return Err(error),
            _ => (),
        }
        self.buffer.clear();
        self.position += count;
        self.size += count;
        self.unsynced += count;
        if SYNC_EVERY <= self.unsynced {
            self.file.sync_data()?;
            self.unsynced = 0;
            self.pace.step();
        }
        Ok(())
    }
}

impl Write for SnapshotWriter<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = data.len().min(BUFFER - self.buffer.len());
        self.buffer.extend_from_slice(&data[..count]);
        if self.buffer.len() == BUFFER {
            self.write_out()?;
        }
        Ok(count)
    }

    /// Does nothing: what counts is the sync at the end.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SnapshotReader {
    pub(super) fn new(file: Box<dyn DiskFile>, start: u64, size: u64) -> Self {
        let payload = Payload { file, position: start, end: start.saturating_add(size) };
        Self(BufReader::with_capacity(BUFFER, payload))
    }

    /// Where in the file the reading stands; before the first read, where the payload begins.
    pub(crate) fn position(&self) -> u64 {
        let ahead = u64::try_from(self.0.buffer().len()).unwrap_or(u64::MAX);
        self.0.get_ref().position.saturating_sub(ahead)
    }
}

impl Read for SnapshotReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Read for Payload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = read_piece(&*self.file, self.position, self.end, buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

/// Whether the payload of a file is the one described, or where something is wrong with it, and what.
pub(super) fn verify(
    file: &dyn DiskFile,
    start: u64,
    meta: &SnapshotMeta,
) -> io::Result<Result<(), (u64, &'static str)>> {
    let (end, len) = (start.saturating_add(meta.size), file.len()?);
    Ok(match (end == len, checksum(file, start, end)? == meta.checksum) {
        (false, _) => Err((len.min(end), "it is shorter or longer than its header says")),
        (true, false) => Err((start, "the checksum of what begins here is wrong")),
        (true, true) => Ok(()),
    })
}

/// The checksum of a part of a file, as far as it is there.
pub(super) fn checksum(file: &dyn DiskFile, start: u64, end: u64) -> io::Result<u32> {
    let mut buffer = vec![0; BUFFER];
    let (mut position, mut checksum) = (start, 0);
    loop {
        let count = read_piece(file, position, end, &mut buffer)?;
        if count == 0 {
            return Ok(checksum);
        }
        checksum = crc32c::crc32c_append(checksum, &buffer[..count]);
        position += count as u64;
    }
}

/// Writes a part of a file as it is.
pub(super) fn write_again(file: &mut dyn DiskFile, start: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut position = start;
    loop {
        let count = read_piece(file, position, end, &mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        file.write_at(position, &buffer[..count])?;
        position += count as u64;
    }
}

/// What fits into the buffer, up to `end`.
fn read_piece(
    file: &dyn DiskFile,
    position: u64,
    end: u64,
    buffer: &mut [u8],
) -> io::Result<usize> {
    let rest = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX);
    let count = buffer.len().min(rest);
    file.read_at(position, &mut buffer[..count])
}
