//! What can go wrong with what is on the disk, each as one line that names the file.

use std::io;
use std::path::{Path, PathBuf};

use raft_core::LogId;

/// The disk refused something. Final for whoever was writing: what a failed write or sync left
/// behind is unknown, and asking again may say "done" about data that is gone.
#[derive(Debug, thiserror::Error)]
#[error("could not {op} {}: {source}", path.display())]
pub struct DiskError {
    /// What was being done, to be read after "could not": `append to`, `sync`.
    pub op: &'static str,
    /// To what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Why a directory could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process works in it.
    #[error("{} is in use by {}", dir.display(), holder(*.pid))]
    Held {
        /// The directory.
        dir: PathBuf,
        /// The process, if it left its number.
        pid: Option<u32>,
    },
    /// The lock file could not be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Why what is on the disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk refused something.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Bytes that were durable once are not what they were.
    #[error(transparent)]
    Damaged(Box<Damage>),
    /// A file is in a format that this program does not read. It may well be whole.
    #[error("{} at byte {offset}: {what}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Where it says so.
        offset: u64,
        /// What is found, and what could be read.
        what: String,
    },
    /// A file belongs to somebody else.
    #[error("{} belongs to {found}, not to {expected}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// A directory holds files but no identity: it is not empty and not one of ours.
    #[error("{} is not a data directory: it has no IDENTITY, but holds `{found}`", dir.display())]
    NotOurs {
        /// The directory.
        dir: PathBuf,
        /// One of the files in it.
        found: String,
    },
}

/// Bytes that were durable once and are not what they were.
#[derive(Debug, thiserror::Error)]
#[error("{} is damaged{}: {what}{}", path.display(), at(*.offset), safe(*.last_good))]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where in it, in bytes.
    pub offset: Option<u64>,
    /// What is wrong there.
    pub what: String,
    /// The last entry before the damage: everything up to it is whole.
    pub last_good: Option<LogId>,
}

impl DiskError {
    /// An error of doing `op` to `path`.
    pub fn new(op: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self { op, path: path.into(), source }
    }

    /// Whether there was no space left.
    pub fn is_full(&self) -> bool {
        is_full(&self.source)
    }

    /// Whether it is the device that failed.
    pub fn is_failure(&self) -> bool {
        /// An error of input or output, on every system.
        const EIO: i32 = 5;
        self.source.raw_os_error() == Some(EIO)
    }

    /// The same error once more, for callers that come after it.
    #[must_use]
    pub fn again(&self) -> Self {
        let source = match self.source.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(self.source.kind(), self.source.to_string()),
        };
        Self { op: self.op, path: self.path.clone(), source }
    }
}

impl StorageError {
    /// What its reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Disk(error) if error.is_full() => {
                Some("free some space and start the node again: nothing acknowledged is lost")
            }
            Self::Disk(error) if error.is_failure() => Some(
                "the disk failed, which says nothing about what the files hold: look into the system's \
                 log, and start the node again when the disk works",
            ),
            Self::Disk(_) => None,
            Self::Damaged(_) => Some(
                "put the file back as it was when the node stopped; a majority of the cluster goes \
                 on without this node meanwhile. Do not delete it, and do not start the node on an \
                 older copy or an empty directory: it would break promises it made",
            ),
            Self::Version { .. } => Some(
                "start the node with the version of the program that wrote the file: nothing is wrong \
                 with it, unless no program ever wrote such a version; then put it back as it was when \
                 the node stopped",
            ),
            Self::Foreign { .. } => Some("put the file back where it came from"),
            Self::NotOurs { .. } => Some(
                "restore IDENTITY if this was a data directory; otherwise point the node at an \
                 empty or a new one",
            ),
        }
    }

    /// Adds to an error what is known to be whole, if nothing nearer to it has said so.
    #[must_use]
    pub(crate) fn vouching(self, last_good: LogId) -> Self {
        match self {
            Self::Damaged(damage) if damage.last_good.is_none() => {
                Self::Damaged(Box::new(Damage { last_good: Some(last_good), ..*damage }))
            }
            error => error,
        }
    }

    pub(crate) fn damaged(path: &Path, offset: Option<u64>, what: impl Into<String>) -> Self {
        let damage = Damage { path: path.into(), offset, what: what.into(), last_good: None };
        Self::Damaged(Box::new(damage))
    }
}

/// Where files have their format version, in bytes: behind the magic number, in every version.
pub(crate) const VERSION_AT: usize = 8;

/// Why bytes could not be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// They are in a format this program does not know.
    Version { found: u32, reads: u32 },
    /// They are not what was written.
    Wrong(&'static str),
}

impl Unreadable {
    /// Judges bytes that have a format version at [`VERSION_AT`], and whose checksum is said to be
    /// `check`. A version that turns out to be a flipped bit is damage like any other.
    pub(crate) fn judge(bytes: &[u8], check: u32, reads: u32) -> Result<(), Self> {
        let (Some(before), Some(field), Some(rest)) = (
            bytes.get(..VERSION_AT),
            bytes.get(VERSION_AT..VERSION_AT + 4),
            bytes.get(VERSION_AT + 4..),
        ) else {
            return Err(Self::Wrong("it is cut short"));
        };
        let found = u32::from_le_bytes(field.try_into().expect("four bytes are four bytes"));
        let as_ours = crc32c::crc32c_append(crc32c::crc32c(before), &reads.to_le_bytes());
        let fits = crc32c::crc32c_append(as_ours, rest) == check;
        match (found == reads, fits) {
            (true, true) => Ok(()),
            (true, false) => Err(Self::Wrong("its checksum is wrong")),
            (false, true) => Err(Self::Wrong("its format version is not the one written")),
            (false, false) => Err(Self::Version { found, reads }),
        }
    }

    /// Says in which file, and where in it.
    pub(crate) fn in_file(self, path: &Path, offset: u64) -> StorageError {
        match self {
            Self::Version { found, reads } => {
                let what =
                    format!("it is in format version {found}, and this program reads {reads}");
                StorageError::Version { path: path.into(), offset, what }
            }
            Self::Wrong(what) => StorageError::damaged(path, Some(offset), what),
        }
    }
}

/// Says of an [`io::Error`] what was being done to which file.
pub(crate) trait During<T> {
    fn during(self, op: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, op: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|source| DiskError::new(op, path, source))
    }
}

/// Whether an error says that there is no space left.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

fn at(offset: Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at byte {offset}"))
}

fn safe(last_good: Option<LogId>) -> String {
    last_good.map_or_else(String::new, |id| format!("; the log is whole up to {id}"))
}
