//! What goes wrong with a disk while the power is there, and is told.

use std::io;

use super::{Entry, SimDisk, file};
use crate::rng::Rng;

/// What will go wrong, and whether something has.
#[derive(Default)]
pub(super) struct Trouble {
    /// After this many more changes everything fails: the power is about to go.
    fuse: Option<u64>,
    /// The next sync of a file fails; whether what it was to write can still be read.
    sync: Option<bool>,
    /// After this many more changes one of them fails.
    change: Option<u64>,
    /// After this many more reads one of them fails.
    read: Option<u64>,
    /// So many more bytes fit.
    room: Option<u64>,
    /// What has failed first, if something has, and not for want of space.
    struck: Option<Blow>,
    /// Something has failed for want of space.
    ran_full: bool,
    /// Syncs say "done" and do nothing.
    pub(super) lies: bool,
}

/// What fails on a disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blow {
    /// A sync of a file.
    Sync,
    /// Anything else.
    Other,
}

/// A byte that is not as it was written.
pub struct Flip {
    inode: file::Inode,
    at: usize,
    before: u8,
    bits: u8,
}

impl Trouble {
    /// Nothing more fails, but that there may be no space.
    pub(super) fn calm(&mut self) {
        *self = Self { lies: self.lies, room: self.room, ..Self::default() };
    }

    /// One more change.
    pub(super) fn change(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => {
                self.struck.get_or_insert(Blow::Other);
                return Err(io::Error::other("the power is failing"));
            }
            Some(left) => *left -= 1,
            None => (),
        }
        Self::count(&mut self.change, &mut self.struck)
    }

    /// One more read.
    pub(super) fn read(&mut self) -> io::Result<()> {
        Self::count(&mut self.read, &mut self.struck)
    }

    fn count(left: &mut Option<u64>, struck: &mut Option<Blow>) -> io::Result<()> {
        match left {
            Some(0) => {
                *left = None;
                struck.get_or_insert(Blow::Other);
                Err(input_output())
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A file is to grow by so many bytes.
    pub(super) fn grow(&mut self, bytes: usize) -> io::Result<()> {
        match &mut self.room {
            Some(room) if *room < bytes as u64 => {
                self.ran_full = true;
                Err(io::ErrorKind::StorageFull.into())
            }
            Some(room) => {
                *room -= bytes as u64;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// So many bytes are free again.
    pub(super) fn shrink(&mut self, bytes: usize) {
        if let Some(room) = &mut self.room {
            *room += bytes as u64;
        }
    }

    /// One more sync of a file. If it fails: whether what it was to write can still be read.
    pub(super) fn sync(&mut self) -> Option<bool> {
        let fails = self.sync.take();
        if fails.is_some() {
            self.struck.get_or_insert(Blow::Sync);
        }
        fails
    }
}

/// EIO.
pub(super) fn input_output() -> io::Error {
    io::Error::other("input/output error")
}

impl SimDisk {
    /// From now on syncs are lies.
    pub fn lie(&self) {
        self.state().trouble.lies = true;
    }

    /// Lets `changes` more changes and syncs through, and fails all that come after.
    pub fn light_fuse(&self, changes: u64) {
        self.state().trouble.fuse = Some(changes);
    }

    /// The next sync of a file fails, and takes what it was to write for written from then on, as
    /// operating systems do: no later sync makes it durable. Until the power fails it may be there
    /// to be read, or not. Later syncs of other writes succeed.
    pub fn fail_next_sync(&self, stays: bool) {
        self.state().trouble.sync = Some(stays);
    }

    /// After so many changes of files or names one fails, and none after it.
    pub fn fail_change(&self, after: u64) {
        self.state().trouble.change = Some(after);
    }

    /// After so many reads one fails, and none after it.
    pub fn fail_read(&self, after: u64) {
        self.state().trouble.read = Some(after);
    }

    /// No more than so many bytes fit from now on; any number, if none is given.
    pub fn limit(&self, room: Option<u64>) {
        self.state().trouble.room = room;
    }

    /// Whether the fuse has burnt down.
    pub fn is_burnt(&self) -> bool {
        self.state().trouble.fuse == Some(0)
    }

    /// Whether a sync of a file was the first that failed since trouble was last put to an end.
    pub fn sync_has_failed(&self) -> bool {
        self.state().trouble.struck == Some(Blow::Sync)
    }

    /// Whether something has failed since then, and not for want of space.
    pub fn has_failed(&self) -> bool {
        self.state().trouble.struck.is_some()
    }

    /// Whether something has failed for want of space since then.
    pub fn ran_full(&self) -> bool {
        self.state().trouble.ran_full
    }

    /// No failure to come, but that there may be no space.
    pub fn calm(&self) {
        self.state().trouble.calm();
    }

    /// Flips a bit of something that has been durable for a while. Nobody may have a file open.
    pub fn rot(&self, rng: &mut Rng) -> Option<Flip> {
        let state = self.state();
        let mut inodes = Vec::new();
        for directory in state.dirs.values() {
            let files = directory.live.values().filter_map(|entry| match entry {
                Entry::File(inode) => Some(inode),
                Entry::Directory => None,
            });
            inodes.extend(files.cloned());
        }
        if inodes.is_empty() {
            return None;
        }
        let inode = inodes.swap_remove(rng.below(inodes.len()));
        let mut file = file::guard(&inode);
        let from = rng.below(file.len().max(1));
        let at = file.rots_at(from)?;
        let bits = 1 << rng.below(8);
        let before = file.flip(at, bits)?;
        drop(file);
        Some(Flip { inode, at, before, bits })
    }

    /// Undoes a flip, where it is still there.
    pub fn mend(&self, flip: &Flip) {
        file::guard(&flip.inode).mend(flip.at, (flip.before, flip.bits));
    }
}
