//! Looking at a log without touching it: what recovery would read, as far as it comes.

use std::path::{Path, PathBuf};

use raft_core::{Entry, HardState, LogId, SnapshotMeta};

use super::format::Owner;
use super::recover::{self, Replay};
use super::segment::Segment;
use super::{Cut, WalOptions, segment_path};
use crate::disk::{Disk, is_temporary};
use crate::error::StorageError;

/// A log as it is on the disk.
#[derive(Debug, Default)]
pub struct LogSurvey {
    /// Its segments, as far as they could be opened.
    pub segments: Vec<SegmentSurvey>,
    /// Frames read: batches, and the heads of segments.
    pub frames: u64,
    /// Term, vote and known peers.
    pub hard_state: HardState,
    /// The newest snapshot the log names.
    pub snapshot: Option<SnapshotMeta>,
    /// The entry just before the first of `entries`.
    pub base: LogId,
    /// The entries after `base`, as far as the log is whole.
    pub entries: Vec<Entry>,
    /// What the next start will wipe behind the last frame.
    pub cut: Option<Cut>,
    /// Whether it cannot be read to its end. All that is said of it is then as of where it breaks
    /// off: what came after may have changed term, vote, members and snapshot, and replaced entries.
    pub broken: bool,
    /// Segments behind the place where it breaks off: nobody has read them.
    pub unread: Vec<PathBuf>,
    /// Files that never became segments, or are to become one. They go at the next start.
    pub spares: Vec<PathBuf>,
}

/// A segment as it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSurvey {
    /// The file.
    pub path: PathBuf,
    /// Its number.
    pub number: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many of them are read and whole: the header, and the frames.
    pub used: u64,
    /// The first and the last entry written in it. Some may have been overwritten since.
    pub entries: Option<(LogId, LogId)>,
}

impl LogSurvey {
    /// The last entry.
    pub fn last(&self) -> LogId {
        self.entries.last().map_or(self.base, |entry| entry.id)
    }
}

/// Reads the log in the data directory `root`, and what is wrong with it.
pub(crate) fn survey(
    disk: &dyn Disk,
    root: &Path,
    options: &WalOptions,
) -> (LogSurvey, Option<StorageError>) {
    let mut survey = LogSurvey::default();
    let dir = root.join("wal");
    let problem = look(disk, &dir, &options.owner(), &mut survey).err();
    if problem.is_some() {
        survey.broken = true;
        let is_read = |path: &PathBuf| survey.segments.iter().any(|read| read.path == *path);
        let numbers = recover::numbers(disk, &dir).unwrap_or_default().into_iter();
        let paths = numbers.map(|number| segment_path(&dir, number));
        survey.unread = paths.filter(|path| !is_read(path)).collect();
    }
    (survey, problem)
}

/// Whose log it is, by the first of its segments.
pub(crate) fn owner(disk: &dyn Disk, root: &Path) -> Option<WalOptions> {
    let dir = root.join("wal");
    let number = *recover::numbers(disk, &dir).ok()?.first()?;
    let Owner { cluster, node, incarnation } =
        Segment::owner(disk, &segment_path(&dir, number)).ok()?;
    Some(WalOptions { cluster, node, incarnation, segment_bytes: 0 })
}

fn look(
    disk: &dyn Disk,
    dir: &Path,
    owner: &Owner,
    survey: &mut LogSurvey,
) -> Result<(), StorageError> {
    let spares = recover::names(disk, dir)?.into_iter().filter(|name| is_temporary(name));
    survey.spares = spares.map(|name| dir.join(name)).collect();
    let (mut segments, mut replay) = (Vec::new(), Replay::default());
    let read = recover::read(disk, dir, owner, (&mut segments, &mut replay));
    survey.segments = segments
        .iter()
        .enumerate()
        .map(|(position, segment)| SegmentSurvey {
            path: segment.path.clone(),
            number: segment.header.number,
            bytes: segment.len,
            used: segment.end,
            entries: replay.spans.get(position).copied().flatten(),
        })
        .collect();
    survey.frames = replay.frames;
    survey.hard_state = replay.outline.hard_state.clone();
    survey.snapshot.clone_from(&replay.outline.snapshot);
    survey.base = replay.outline.base;
    survey.entries.clone_from(&replay.entries);
    read?;
    survey.entries = replay.finish(dir)?.entries;
    if let Some(last) = segments.last_mut() {
        survey.cut = last.behind()?;
    }
    Ok(())
}
