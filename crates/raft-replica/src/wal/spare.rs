//! Segments made ready ahead: zero-filled, because a sync into zeroed blocks writes no metadata and
//! takes half the time. A spare has no header and no number yet; it gets both, together with its
//! first frame, when the log rolls into it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::QUICK_SEGMENT_BYTES;
use super::format::padded;
use crate::disk::{Disk, DiskFile, remove_if_there, sync_parent};
use crate::error::{DiskError, During as _};

/// Zeros are written and synced in pieces of this size, so that the log's own syncs never wait for
/// a whole segment. Filling 64 MiB takes about 50 ms this way.
const PIECE: u64 = 1 << 20;

/// A file that can become a segment.
pub(super) struct Spare {
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn DiskFile>,
    pub(super) len: u64,
}

/// A segment nobody needs any more.
pub(super) struct Retired {
    pub(super) path: PathBuf,
    pub(super) len: u64,
}

/// Work on segments that may be done beside the log's writer, on any thread: removing those that
/// are no longer needed, and making the next one ready.
pub struct PrepareJob {
    pub(super) disk: Arc<dyn Disk>,
    /// Oldest first.
    pub(super) retired: Vec<Retired>,
    /// Where the spare is to be, if one is wanted.
    pub(super) spare: Option<PathBuf>,
    /// The length it is to have, at least.
    pub(super) len: u64,
    /// The longest file that is used again.
    pub(super) len_max: u64,
}

/// What came of a [`PrepareJob`].
pub struct Prepared {
    pub(super) spare: Option<Spare>,
    pub(super) full: Option<DiskError>,
}

impl PrepareJob {
    /// Does it, blocking. An error is final, as with the log itself. That the disk is full is none:
    /// the log goes on in the segment it has, and makes the next one itself when it needs it.
    pub fn run(self) -> Result<Prepared, DiskError> {
        self.run_slowly(|| ())
    }

    /// The same, with `pause` called between one segment that is removed and the next: it may take its
    /// time, so that the log's writer gets at the disk.
    pub fn run_slowly(self, pause: impl FnMut()) -> Result<Prepared, DiskError> {
        let (disk, path) = (Arc::clone(&self.disk), self.spare.clone());
        match self.make(pause) {
            Ok(spare) => Ok(Prepared { spare, full: None }),
            // Only if it is the spare that has no space: a removal that failed is an error.
            Err(error) if error.is_full() && path.as_ref() == Some(&error.path) => {
                // What was filled of it is all the log may have left to write in.
                remove_if_there(&*disk, &error.path)?;
                sync_parent(&*disk, &error.path)?;
                Ok(Prepared { spare: None, full: Some(error) })
            }
            Err(error) => Err(error),
        }
    }

    /// Removes what is not needed, and makes the spare, if one is wanted.
    pub(super) fn make(self, mut pause: impl FnMut()) -> Result<Option<Spare>, DiskError> {
        let Self { disk, retired, spare: wanted, len, len_max } = self;
        let mut spare = None;
        // Each removal is durable before the next begins: a crash must not leave a gap in the
        // numbers, which recovery would take for a lost segment.
        for old in retired {
            match &wanted {
                Some(path) if spare.is_none() && len <= old.len && old.len <= len_max => {
                    spare = Some(recycle(&*disk, &old, path)?);
                }
                _ => {
                    disk.remove(&old.path).during("remove", &old.path)?;
                    sync_parent(&*disk, &old.path)?;
                    pause();
                }
            }
        }
        if let (None, Some(path)) = (&spare, &wanted) {
            spare = Some(create(&*disk, path, len)?);
        }
        Ok(spare)
    }
}

impl Prepared {
    /// What the system said, if there was no space for the next segment.
    pub fn full(&self) -> Option<&DiskError> {
        self.full.as_ref()
    }
}

/// Makes a zero-filled spare.
pub(super) fn create(disk: &dyn Disk, path: &Path, len: u64) -> Result<Spare, DiskError> {
    let mut file = disk.create_new(path).during("create", path)?;
    // What is small is waited for: one sync. What is large is made beside the log's writer.
    let step = if len <= QUICK_SEGMENT_BYTES { len } else { PIECE };
    let mut filled = 0;
    while filled < len {
        let end = len.min(filled + step);
        zero(&mut *file, filled, end).during("fill", path)?;
        file.sync_data().during("sync", path)?;
        filled = end;
    }
    sync_parent(disk, path)?;
    Ok(Spare { path: path.into(), file, len })
}

/// Makes a spare of a segment that is no longer needed. It keeps its old bytes: their checksums
/// are seeded with the old number.
fn recycle(disk: &dyn Disk, old: &Retired, path: &Path) -> Result<Spare, DiskError> {
    disk.rename(&old.path, path).during("rename", &old.path)?;
    sync_parent(disk, path)?;
    let file = disk.open(path).during("open", path)?;
    Ok(Spare { path: path.into(), file, len: old.len })
}

/// Writes zeros from `from` to `to`. They are not synced.
pub(super) fn zero(file: &mut dyn DiskFile, from: u64, to: u64) -> std::io::Result<()> {
    let len = to.saturating_sub(from).min(PIECE);
    let zeros = vec![0; usize::try_from(len).expect("a piece fits into memory")];
    let mut at = from;
    while at < to {
        let count = usize::try_from(to - at).map_or(zeros.len(), |n| n.min(zeros.len()));
        file.write_at(at, &zeros[..count])?;
        at += count as u64;
    }
    Ok(())
}

/// The length a segment gets when `segment_bytes` is asked for.
pub(super) fn segment_len(segment_bytes: u64) -> u64 {
    padded(segment_bytes.max(SEGMENT_BYTES_MIN))
}

/// Below this a segment would hold little more than its head.
const SEGMENT_BYTES_MIN: u64 = 8 << 10;
