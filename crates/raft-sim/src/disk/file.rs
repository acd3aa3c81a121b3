//! A file: what readers see, what is durable, and the writes between the two.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_replica::DiskFile;

use super::{Keep, Loss, SimDisk, trouble};
use crate::rng::Rng;

/// What a power loss leaves whole.
const SECTOR: usize = 512;

pub(super) type Inode = Arc<Mutex<File>>;

#[derive(Default)]
pub(super) struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    /// What the last write that became durable has written.
    last: Range<usize>,
}

enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

pub(super) struct OpenFile {
    pub(super) disk: SimDisk,
    pub(super) inode: Inode,
}

pub(super) fn guard(inode: &Inode) -> MutexGuard<'_, File> {
    inode.lock().unwrap_or_else(PoisonError::into_inner)
}

impl File {
    fn change(&mut self, change: Change) {
        match &change {
            Change::Write(offset, data) => write(&mut self.live, *offset, data),
            Change::SetLen(len) => self.live.resize(*len, 0),
        }
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            match change {
                Change::Write(offset, data) => {
                    write(&mut self.durable, offset, &data);
                    self.last = offset..offset + data.len();
                }
                Change::SetLen(len) => self.durable.resize(len, 0),
            }
        }
    }

    /// A sync has failed: what it was to write is taken for written, and either stays to be read
    /// until the power fails, or is forgotten at once.
    fn fail(&mut self, stays: bool) {
        self.unsynced.clear();
        if !stays {
            self.live.clone_from(&self.durable);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Where a bit may flip: bytes that say something, but for those of the last write, which
    /// nobody could tell from one that was cut short.
    pub(super) fn rots_at(&self, from: usize) -> Option<usize> {
        let says = |&at: &usize| self.durable.get(at).is_some_and(|&byte| byte != 0);
        (from..self.durable.len()).filter(|at| !self.last.contains(at)).find(says)
    }

    /// Flips bits of one byte, and answers what it was.
    pub(super) fn flip(&mut self, at: usize, bits: u8) -> Option<u8> {
        let byte = self.durable.get_mut(at)?;
        let before = std::mem::replace(byte, *byte ^ bits);
        self.live.clone_from(&self.durable);
        Some(before)
    }

    /// Puts a byte back as it was before its bits were flipped, if nobody has written it since.
    pub(super) fn mend(&mut self, at: usize, (before, bits): (u8, u8)) {
        for image in [&mut self.durable, &mut self.live] {
            if let Some(byte) = image.get_mut(at)
                && *byte == before ^ bits
            {
                *byte = before;
            }
        }
    }

    pub(super) fn lose_power(&mut self, rng: &mut Rng, loss: &mut Loss) {
        let changes = std::mem::take(&mut self.unsynced);
        if changes.is_empty() {
            // What a failed sync took for written was never there.
            self.live.clone_from(&self.durable);
            return;
        }
        let keep = Keep::draw(rng).choose(rng, changes.len());
        // The first change that is lost may be half there.
        let mut tearable = rng.chance(800);
        for (change, keep) in changes.iter().zip(keep) {
            match change {
                Change::Write(offset, data) if keep => write(&mut self.durable, *offset, data),
                Change::SetLen(len) if keep => self.durable.resize(*len, 0),
                Change::Write(offset, data) if std::mem::take(&mut tearable) => {
                    loss.torn += 1;
                    loss.lost += 1;
                    self.tear(rng, *offset, data);
                }
                Change::Write(..) | Change::SetLen(_) => loss.lost += 1,
            }
        }
        self.live.clone_from(&self.durable);
    }

    /// Keeps some sectors of a write: a beginning, or any.
    fn tear(&mut self, rng: &mut Rng, offset: usize, data: &[u8]) {
        let sectors = (offset % SECTOR + data.len()).div_ceil(SECTOR);
        let keep = rng.pick(&[Keep::Beginning, Keep::Subset]).choose(rng, sectors);
        let mut at = 0;
        for keep in keep {
            let end = (at + SECTOR - (offset + at) % SECTOR).min(data.len());
            if keep {
                write(&mut self.durable, offset + at, &data[at..end]);
            }
            at = end;
        }
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

fn position(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl DiskFile for OpenFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.state().trouble.read()?;
        let file = guard(&self.inode);
        let found = file.live.get(position(offset)?..).unwrap_or_default();
        let count = found.len().min(buffer.len());
        buffer[..count].copy_from_slice(&found[..count]);
        Ok(count)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = position(offset)?;
        let mut disk = self.disk.state();
        disk.trouble.change()?;
        let mut file = guard(&self.inode);
        disk.trouble.grow((offset + data.len()).saturating_sub(file.live.len()))?;
        file.change(Change::Write(offset, data.to_vec()));
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut disk = self.disk.state();
        disk.trouble.change()?;
        if let Some(stays) = disk.trouble.sync() {
            guard(&self.inode).fail(stays);
            return Err(trouble::input_output());
        }
        if !disk.trouble.lies {
            guard(&self.inode).sync();
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(guard(&self.inode).live.len() as u64)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let len = position(len)?;
        let mut disk = self.disk.state();
        disk.trouble.change()?;
        let mut file = guard(&self.inode);
        disk.trouble.grow(len.saturating_sub(file.live.len()))?;
        file.change(Change::SetLen(len));
        Ok(())
    }
}
