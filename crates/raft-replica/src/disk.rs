//! The disk as ring 1 sees it: small enough that a simulated one can be honest about what a crash
//! leaves. Nothing is durable before it is synced: the bytes of a file by
//! [`DiskFile::sync_data`], the names in a directory (created, renamed, removed) by
//! [`Disk::sync_dir`]. [`RealDisk`] is the only place that touches `std::fs`.

mod volatile;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

pub use self::volatile::{SyncFate, Trouble, Unsynced, VolatileDisk};
use crate::error::{DiskError, During as _, LockError, is_full};

/// The name of the file in a data directory that says which process has locked it.
pub const LOCK_FILE: &str = "LOCK";

/// Directories and names. Every method says what it did to the names; none of it survives a crash
/// for sure before [`Disk::sync_dir`] of the parent directory.
pub trait Disk: Send + Sync {
    /// Creates a directory in an existing one. One that exists already is fine.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// The names in a directory, sorted. `NotFound` if there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Creates an empty file. `AlreadyExists` if the name is taken.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file for reading and writing. `NotFound` if there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name in the same directory, in place of whatever had it. Open handles
    /// stay valid.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable as they are now.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Keeps other processes out of a directory until the lock is dropped.
    fn lock(&self, dir: &Path) -> Result<Box<dyn DirLock>, LockError>;
}

/// An open file.
pub trait DiskFile: Send {
    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `data` at `offset`; the file grows if it has to.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes the bytes, and the length, durable.
    fn sync_data(&mut self) -> io::Result<()>;

    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or extends it by a hole that reads as zeros.
    fn set_len(&mut self, len: u64) -> io::Result<()>;
}

/// A locked directory; dropping it gives the directory free.
pub trait DirLock: Send {}

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// The disk of this machine, for looking only: whatever would change something is refused, and
/// nothing needs to be synced, because nobody builds on what is seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOnlyDisk;

/// The process that works in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirUser {
    /// Its number, if it has left it.
    pub pid: Option<u32>,
}

struct RealFile(File);

struct RealLock {
    _dir: File,
}

impl Disk for RealDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            result => result,
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Box::new(RealFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    /// An advisory lock that ends with the process, however it ends. It is on the directory itself,
    /// which unlike a file in it cannot be deleted and made again under a running process. The file
    /// only has the process's number, for people; it stays, and may name an earlier holder.
    fn lock(&self, dir: &Path) -> Result<Box<dyn DirLock>, LockError> {
        let locked = File::open(dir).during("open", dir)?;
        let path = dir.join(LOCK_FILE);
        match locked.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { dir: dir.into(), pid: holder(&path) });
            }
            Err(TryLockError::Error(error)) => {
                return Err(DiskError::new("lock", dir, error).into());
            }
        }
        match fs::write(&path, format!("{}\n", std::process::id())) {
            // What is only there to be read by people does not keep a node from starting.
            Err(error) if is_full(&error) => (),
            written => written.during("write", &path)?,
        }
        Ok(Box::new(RealLock { _dir: locked }))
    }
}

impl ReadOnlyDisk {
    /// Who works in a directory, if anybody does.
    pub fn user(dir: &Path) -> Result<Option<DirUser>, DiskError> {
        // Shared, and given back at once: two that look do not see each other.
        match File::open(dir).during("open", dir)?.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => {
                Ok(Some(DirUser { pid: holder(&dir.join(LOCK_FILE)) }))
            }
            Err(TryLockError::Error(error)) => Err(DiskError::new("lock", dir, error)),
        }
    }
}

impl Disk for ReadOnlyDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn create_new(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(File::open(path)?)))
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, dir: &Path) -> Result<Box<dyn DirLock>, LockError> {
        Err(DiskError::new("lock", dir, io::ErrorKind::ReadOnlyFilesystem.into()).into())
    }
}

/// Who has the lock, if this file says so.
fn holder(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let position = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            match self.0.read_at(rest, position) {
                Ok(0) => break,
                Ok(count) => done = done.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()?;
        // Bytes in a file without a name go with the process: nothing of them is durable.
        if self.0.metadata()?.nlink() == 0 {
            let text = "the file was deleted while it was in use";
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

impl DirLock for RealLock {}

/// Creates a directory and those above it that are missing, all of it durable. So is afterwards the
/// name of the deepest one that was there already: a process that was killed between creating it
/// and syncing may have left it without, and with it would go all that is ever put inside.
pub fn create_dir_all(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    let mut missing: Vec<PathBuf> = Vec::new();
    let mut next = Some(dir);
    while let Some(candidate) = next.filter(|candidate| !candidate.as_os_str().is_empty()) {
        match disk.list(candidate) {
            Ok(_) => match sync_parent(disk, candidate) {
                // A parent that may not be opened is not one that this program created things in.
                Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => break,
                synced => {
                    synced?;
                    break;
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                missing.push(candidate.into());
                next = candidate.parent();
            }
            Err(error) => return Err(DiskError::new("read", candidate, error)),
        }
    }
    for dir in missing.iter().rev() {
        disk.create_dir(dir).during("create", dir)?;
        sync_parent(disk, dir)?;
    }
    Ok(())
}

/// Makes the name of `path` durable in the directory it is in.
pub(crate) fn sync_parent(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => return Ok(()),
    };
    disk.sync_dir(parent).during("sync", parent)
}

/// The whole of a small file.
pub(crate) fn read_all(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, DiskError> {
    let file = disk.open(path).during("open", path)?;
    let len = file.len().during("read", path)?;
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let count = file.read_at(0, &mut bytes).during("read", path)?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Where a file is written before it takes its name.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    name.into()
}

/// Whether a name was given by [`temporary`] or the like: a file that never took its place.
pub(crate) fn is_temporary(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "tmp")
}

/// Removes a file that may not exist. The directory is not synced.
pub(crate) fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    match disk.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.during("remove", path),
    }
}
