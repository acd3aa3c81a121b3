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
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
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
            Self::Disk(_) => None,
            Self::Damaged(_) => Some(
                "put the file back as it was when the node stopped; a majority of the cluster goes \
                 on without this node meanwhile. Do not delete it, and do not start the node on an \
                 older copy or an empty directory: it would break promises it made",
            ),
            Self::Foreign { .. } => Some("put the file back where it came from"),
            Self::NotOurs { .. } => Some(
                "restore IDENTITY if this was a data directory; otherwise point the node at an \
                 empty or a new one",
            ),
        }
    }

    pub(crate) fn damaged(path: &Path, offset: Option<u64>, what: impl Into<String>) -> Self {
        let damage = Damage { path: path.into(), offset, what: what.into(), last_good: None };
        Self::Damaged(Box::new(damage))
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
