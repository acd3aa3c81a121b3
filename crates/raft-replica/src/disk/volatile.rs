//! A disk whose power goes with the process.
//!
//! Every write stays in this process's memory until its file is synced, every name until its
//! directory is; only then it reaches the disk below. The process reads what it wrote. So the end of
//! the process, however it ends, is a power loss: what was not synced is gone. A part of it may reach
//! the disk below earlier and in any order, down to single sectors, as a system's cache is written
//! back when nobody asks for it ([`Trouble::writes_back`]).
//!
//! What of a file is durable before it has a durable name is in a file of another name, which is
//! removed when the directory is locked the next time. Directories are durable when they are created.

mod bytes;
mod names;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::bytes::Bytes;
use self::names::Names;
use super::{DirLock, Disk, DiskFile, LockError};

/// What goes wrong with a [`VolatileDisk`], and who is told how it is. Everything here is asked on the
/// thread that uses the disk.
pub trait Trouble: Send + Sync {
    /// What becomes of a sync that begins now. It may take its time.
    fn sync(&self) -> SyncFate {
        SyncFate::Done
    }

    /// Whether a file may grow, or a name be given; otherwise the disk is full.
    fn has_room(&self) -> bool {
        true
    }

    /// Whether something that nobody has synced reaches the disk now.
    fn writes_back(&self) -> bool {
        false
    }

    /// A number below `bound`, which is not 0, by chance.
    fn draw(&self, bound: u64) -> u64 {
        let _ = bound;
        0
    }

    /// Bytes that were read may be other than those that were written.
    fn read(&self, path: &Path, offset: u64, bytes: &mut [u8]) {
        let _ = (path, offset, bytes);
    }

    /// This would be lost if the power went now.
    fn told(&self, unsynced: Unsynced) {
        let _ = unsynced;
    }
}

/// What becomes of a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncFate {
    /// It does what it says.
    Done,
    /// It fails. What it was to write is taken for written: it can be read, and no later sync makes it
    /// durable.
    Fails,
    /// It says that it is done, and nothing is.
    Lies,
}

/// What would be lost if the power went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsynced {
    /// Bytes in files, in whole sectors but for the end of a file.
    pub bytes: u64,
    /// Changes of names: files created, renamed, removed.
    pub names: u64,
}

/// A disk over another one, with trouble. A clone is the same disk.
#[derive(Clone)]
pub struct VolatileDisk(Arc<Shared>);

struct Shared {
    below: Arc<dyn Disk>,
    /// Everything outside of it is as durable as on the disk below.
    root: PathBuf,
    trouble: Arc<dyn Trouble>,
    /// Locked before the bytes of any file.
    names: Mutex<Names>,
    unsynced: Gauge,
}

/// What would be lost, as it changes.
#[derive(Default)]
struct Gauge {
    bytes: AtomicU64,
    names: AtomicU64,
}

/// A file, whatever its name.
struct Inode {
    disk: Arc<Shared>,
    bytes: Mutex<Bytes>,
    place: Mutex<Place>,
}

/// Where a file is.
struct Place {
    /// On the disk below.
    home: PathBuf,
    /// Whether the name there is not one that anybody gave it.
    nameless: bool,
    /// It has no name any more, as far as the process can see.
    gone: bool,
}

struct OpenFile(Arc<Inode>);

/// EIO, and ENOSPC.
const INPUT_OUTPUT: i32 = 5;
const NO_SPACE: i32 = 28;

impl VolatileDisk {
    /// A disk over `below`, for what is in `root`.
    pub fn new(below: Arc<dyn Disk>, root: &Path, trouble: Arc<dyn Trouble>) -> Self {
        let (names, unsynced) = (Mutex::default(), Gauge::default());
        Self(Arc::new(Shared { below, root: root.to_owned(), trouble, names, unsynced }))
    }

    /// What would be lost if the power went now.
    pub fn unsynced(&self) -> Unsynced {
        self.0.unsynced.now()
    }

    fn is_outside(&self, path: &Path) -> bool {
        !path.starts_with(&self.0.root)
    }
}

impl Shared {
    fn names(&self) -> MutexGuard<'_, Names> {
        guard(&self.names)
    }

    fn tell(&self) {
        self.trouble.told(self.unsynced.now());
    }

    fn room(&self) -> io::Result<()> {
        if self.trouble.has_room() { Ok(()) } else { Err(io::Error::from_raw_os_error(NO_SPACE)) }
    }
}

impl Gauge {
    fn now(&self) -> Unsynced {
        Unsynced {
            bytes: self.bytes.load(Ordering::Relaxed),
            names: self.names.load(Ordering::Relaxed),
        }
    }
}

impl Inode {
    fn home(&self) -> PathBuf {
        guard(&self.place).home.clone()
    }

    fn moved(&self, home: PathBuf) {
        let mut place = guard(&self.place);
        (place.home, place.nameless) = (home, false);
    }

    /// Does something with the bytes, and counts what is not durable after it.
    fn with<T>(&self, work: impl FnOnce(&mut Bytes) -> T) -> T {
        let mut bytes = guard(&self.bytes);
        let before = bytes.unsynced();
        let done = work(&mut bytes);
        let after = bytes.unsynced();
        drop(bytes);
        let gauge = &self.disk.unsynced.bytes;
        gauge.fetch_add(after, Ordering::Relaxed);
        gauge.fetch_sub(before, Ordering::Relaxed);
        self.disk.tell();
        done
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        let left = guard(&self.bytes).unsynced();
        self.disk.unsynced.bytes.fetch_sub(left, Ordering::Relaxed);
        let place = guard(&self.place);
        if place.gone && place.nameless {
            // It stays until the directory is locked again; nobody sees it.
            drop(self.disk.below.remove(&place.home));
        }
    }
}

impl DiskFile for OpenFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let count = guard(&self.0.bytes).read_at(offset, buffer)?;
        let read = buffer.get_mut(..count).unwrap_or_default();
        self.0.disk.trouble.read(&self.0.home(), offset, read);
        Ok(count)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (inode, disk) = (&self.0, &self.0.disk);
        inode.with(|bytes| {
            if bytes.len() < offset.saturating_add(data.len() as u64) {
                disk.room()?;
            }
            bytes.write_at(offset, data)?;
            bytes.write_back(offset, data.len() as u64, &*disk.trouble)
        })
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let disk = &self.0.disk;
        match disk.trouble.sync() {
            SyncFate::Lies => return Ok(()),
            SyncFate::Fails => {
                self.0.with(Bytes::forget);
                return Err(io::Error::from_raw_os_error(INPUT_OUTPUT));
            }
            SyncFate::Done => self.0.with(Bytes::sync)?,
        }
        if guard(&self.0.place).gone {
            let text = "the file was deleted while it was in use";
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(guard(&self.0.bytes).len())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        let (inode, disk) = (&self.0, &self.0.disk);
        inode.with(|bytes| {
            if bytes.len() < len {
                disk.room()?;
            }
            bytes.set_len(len)
        })
    }
}

impl Disk for VolatileDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.room()?;
        self.0.below.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        if self.is_outside(dir) {
            return self.0.below.list(dir);
        }
        self.0.names().list(&*self.0.below, dir)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.0.room()?;
        if self.is_outside(path) {
            return self.0.below.create_new(path);
        }
        let inode = names::create(&self.0, path)?;
        Ok(Box::new(OpenFile(inode)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if self.is_outside(path) {
            return self.0.below.open(path);
        }
        Ok(Box::new(OpenFile(names::find(&self.0, path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.is_outside(from) {
            return self.0.below.rename(from, to);
        }
        names::rename(&self.0, from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.is_outside(path) {
            return self.0.below.remove(path);
        }
        names::remove(&self.0, path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.is_outside(dir) {
            return self.0.below.sync_dir(dir);
        }
        match self.0.trouble.sync() {
            SyncFate::Lies => Ok(()),
            SyncFate::Fails => {
                names::forget(&self.0, dir);
                Err(io::Error::from_raw_os_error(INPUT_OUTPUT))
            }
            SyncFate::Done => names::sync(&self.0, dir),
        }
    }

    fn lock(&self, dir: &Path) -> Result<Box<dyn DirLock>, LockError> {
        let lock = self.0.below.lock(dir)?;
        names::sweep(&*self.0.below, &self.0.root);
        Ok(lock)
    }
}

/// A panic elsewhere ends the process; until then what is behind a lock is as good as before.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
