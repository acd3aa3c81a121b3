//! The write-ahead log: what the node must not forget, in the order in which it happened.
//!
//! One writer, one frame per [`Wal::run`], one write and one sync per frame. The log is a row of
//! numbered segment files of fixed size. A frame is whole or absent: its checksum covers its
//! length, the segment's identity and the frame before it. The first frame of a segment repeats
//! what the log amounts to so far, so that older segments can go as soon as none of their entries
//! is wanted. `docs/storage.md` draws the bytes and states the rules of recovery.
//!
//! After any error of a write or a sync the log is poisoned: what is on the disk is unknown, and
//! only a new process that reads it again may say what is durable.

mod format;
mod outline;
mod record;
mod recover;
mod segment;
mod space;
mod spare;
pub(crate) mod survey;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_core::{ClusterId, Entry, HardState, Incarnation, Index, LogId, Message, NodeId, mutant};
use raft_core::{Persist, SnapshotMeta};

use crate::disk::{Disk, DiskFile, create_dir_all, is_temporary, remove_if_there, sync_parent};
use crate::error::{DiskError, During as _, StorageError};
use format::{FIRST_FRAME, FRAME_HEADER, FrameHeader, Owner, SECTOR, SegmentHeader, padded};
use outline::Outline;
pub use spare::{PrepareJob, Prepared};
use spare::{Retired, Spare, segment_len};

/// The first segment, and one that must be made while the writer waits, is at most this long: it
/// takes about 4 ms to fill. The next one is full-sized and made beside the writer.
const QUICK_SEGMENT_BYTES: u64 = 4 << 20;

/// So many segments that nobody needs any more are kept to be used again: snapshots come in other steps
/// than segments. The newest ones, for the numbers must be without gaps.
const RETIRED_KEPT: usize = 2;

/// Whose log it is and how it is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// The node's incarnation.
    pub incarnation: Incarnation,
    /// Length of a segment in bytes.
    pub segment_bytes: u64,
}

/// What is durable now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable {
    /// Every persist up to this number.
    pub seq: u64,
    /// What may be sent because of that.
    pub then_send: Vec<Message>,
}

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Term, vote and known peers.
    pub hard_state: HardState,
    /// The newest snapshot the log names. Whether its file is there is for
    /// [`crate::check_snapshot`] to say.
    pub snapshot: Option<SnapshotMeta>,
    /// The entry just before the first of `entries`.
    pub base: LogId,
    /// The entries after `base`, contiguous.
    pub entries: Vec<Entry>,
}

/// What recovery saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Segments read.
    pub segments: u64,
    /// Frames read.
    pub frames: u64,
    /// What was wiped behind the last frame.
    pub cut: Option<Cut>,
}

/// Bytes behind the last frame that were not zero: a write that a crash tore and that nobody was
/// told about, or leftovers in a recycled file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment.
    pub path: PathBuf,
    /// Where the last frame ends.
    pub offset: u64,
    /// Whether they look like a write of this log that was torn.
    pub torn: bool,
}

/// What the log has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalStats {
    /// Entries written.
    pub entries: u64,
    /// Syncs, one for each batch.
    pub syncs: u64,
    /// Bytes written, padding included.
    pub bytes: u64,
    /// Segments begun.
    pub rolls: u64,
    /// Segments that had to be made while the writer waited.
    pub rolls_inline: u64,
}

/// The writer of the log. Owned by one thread.
pub struct Wal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    owner: Owner,
    segment_bytes: u64,
    /// What the log amounts to, the last frame included.
    outline: Outline,
    active: Active,
    /// The segments before the active one, oldest first, numbers without gaps.
    sealed: VecDeque<Extent>,
    /// Segments that nothing durable needs any more, oldest first.
    retired: Vec<Retired>,
    spare: Option<Spare>,
    /// A [`PrepareJob`] is under way elsewhere.
    preparing: bool,
    /// There was no space for a spare, as far as is known: none is wanted before somebody looks again.
    full: bool,
    /// Somebody does.
    look_again: bool,
    spares_named: u64,
    /// The last persist that is durable.
    seq: u64,
    poisoned: Option<DiskError>,
    /// The frame being built; kept for its memory.
    frame: Vec<u8>,
    stats: WalStats,
}

/// A segment of the log.
struct Extent {
    number: u64,
    path: PathBuf,
    len: u64,
    /// The greatest index of an entry in it that is not void; 0 if there is none.
    last: Index,
}

/// The segment being written.
struct Active {
    extent: Extent,
    file: Box<dyn DiskFile>,
    seed: u32,
    /// Where the next frame begins.
    end: u64,
    next_frame: u64,
    /// The checksum of the last frame.
    check: u32,
}

impl Wal {
    /// Creates an empty log in the data directory `root`. What an earlier attempt left there is
    /// removed, so this is for a directory that has never been used.
    pub fn create(disk: &dyn Disk, root: &Path, options: &WalOptions) -> Result<(), DiskError> {
        let dir = root.join("wal");
        create_dir_all(disk, &dir)?;
        for name in disk.list(&dir).during("read", &dir)? {
            remove_if_there(disk, &dir.join(name))?;
        }
        disk.sync_dir(&dir).during("sync", &dir)?;
        let len = segment_len(options.segment_bytes).min(QUICK_SEGMENT_BYTES);
        let spare = spare::create(disk, &spare_path(&dir, 0), len)?;
        let header = SegmentHeader {
            owner: options.owner(),
            number: 1,
            len: spare.len,
            first_frame: 1,
            previous_end: 0,
            previous_check: 0,
        };
        let mut frame = vec![0; FRAME_HEADER];
        record::put_head(&mut frame, &Outline::default());
        begin_segment(disk, &dir, spare, &header, (&mut frame, 1)).map(drop)
    }

    /// Opens the log in the data directory `root`: reads it, checks it, cuts a torn end, and makes
    /// what it read durable once more before anybody builds on it.
    pub fn open(
        disk: Arc<dyn Disk>,
        root: &Path,
        options: &WalOptions,
    ) -> Result<(Self, Recovered, RecoveryReport), StorageError> {
        let dir = root.join("wal");
        let found = recover::recover(&*disk, &dir, &options.owner())?;
        let mut wal = Self {
            disk,
            dir,
            owner: options.owner(),
            segment_bytes: segment_len(options.segment_bytes),
            outline: found.outline,
            active: found.active,
            sealed: found.sealed,
            retired: Vec::new(),
            spare: None,
            preparing: false,
            full: false,
            look_again: false,
            spares_named: 0,
            seq: 0,
            poisoned: None,
            frame: Vec::new(),
            stats: WalStats::default(),
        };
        wal.retire();
        Ok((wal, found.recovered, found.report))
    }

    /// Makes all of this durable, in this order, with one write and one sync; with none if there is
    /// nothing to write. `jobs` may be any number of persists.
    ///
    /// # Panics
    ///
    /// If the jobs contradict the log: numbers that do not grow, entries that leave a gap.
    pub fn run(&mut self, jobs: Vec<Persist>) -> Result<Durable, DiskError> {
        self.run_watched(jobs, &mut || ())
    }

    /// The same, for one who has a clock: calls `written` between the write and the sync, if there is
    /// something to write. The beginning of a new segment counts as part of the sync.
    pub fn run_watched(
        &mut self,
        jobs: Vec<Persist>,
        written: &mut dyn FnMut(),
    ) -> Result<Durable, DiskError> {
        if let Some(error) = &self.poisoned {
            return Err(error.again());
        }
        let records = self.encode(&jobs);
        if records != 0
            && let Err(error) = self.write(&jobs, records, written)
        {
            self.poisoned = Some(error.again());
            return Err(error);
        }
        let mut then_send = Vec::new();
        for job in jobs {
            assert!(self.seq < job.seq, "persist {} comes after {}", job.seq, self.seq);
            self.seq = job.seq;
            then_send.extend(job.then_send);
        }
        Ok(Durable { seq: self.seq, then_send })
    }

    /// Work to be done beside the writer, if there is any: ask after every [`Wal::run`]. While one
    /// job is under way there is no other.
    pub fn prepare(&mut self) -> Option<PrepareJob> {
        // A retired segment takes no space to become a spare, or leaves some.
        let hopeless = self.full && self.retired.is_empty() && !self.look_again;
        let wanted = self.spare.is_none() && !hopeless && self.is_spare_due();
        let kept = if self.full { 0 } else { RETIRED_KEPT };
        let surplus = self.retired.len().saturating_sub(kept);
        if self.preparing || (!wanted && surplus == 0) {
            return None;
        }
        (self.preparing, self.look_again) = (true, false);
        let given = surplus.max(usize::from(wanted)).min(self.retired.len());
        let retired = self.retired.drain(..given).collect();
        let spare = wanted.then(|| self.name_spare());
        Some(PrepareJob {
            disk: Arc::clone(&self.disk),
            retired,
            spare,
            len: self.segment_bytes,
            len_max: self.segment_bytes,
        })
    }

    /// Whether to make a spare now. A segment that nobody needs any more is one for nothing, where filling
    /// a new one costs as much disk and processor as the log itself; so it is waited for while there is
    /// time. A short segment leaves none.
    fn is_spare_due(&self) -> bool {
        let Extent { len, .. } = self.active.extent;
        let no_time = self.full || len < self.segment_bytes || len / 2 <= self.active.end;
        no_time || !self.retired.is_empty()
    }

    /// Takes back what came of [`Wal::prepare`].
    pub fn prepared(&mut self, prepared: Prepared) {
        self.preparing = false;
        self.full = prepared.full.is_some();
        self.take_over(prepared.spare);
    }

    /// What was done since the log was opened.
    pub fn stats(&self) -> WalStats {
        self.stats
    }

    /// Puts the jobs into `self.frame`, and returns how many records they are.
    fn encode(&mut self, jobs: &[Persist]) -> u32 {
        self.frame.clear();
        self.frame.resize(FRAME_HEADER, 0);
        jobs.iter().map(|job| record::put_persist(&mut self.frame, job)).sum()
    }

    /// Writes and syncs the records in `self.frame`, in this segment or a new one.
    fn write(
        &mut self,
        jobs: &[Persist],
        records: u32,
        written: &mut dyn FnMut(),
    ) -> Result<(), DiskError> {
        let end = self.active.end.saturating_add(padded(self.frame.len() as u64));
        let before = (self.active.extent.len < end).then(|| self.outline.clone());
        self.note(jobs);
        match before {
            None => self.append(records, written)?,
            Some(before) => {
                written();
                self.roll(&before, records)?;
            }
        }
        let entries: u64 = jobs.iter().map(|job| job.entries.len() as u64).sum();
        if entries != 0 {
            self.active.extent.last = self.outline.last.index;
        }
        self.stats.entries += entries;
        self.stats.syncs += 1;
        self.stats.bytes += self.frame.len() as u64;
        self.retire();
        Ok(())
    }

    /// Enters the jobs into the outline, before they are written: a log that contradicts itself
    /// must not reach the disk.
    fn note(&mut self, jobs: &[Persist]) {
        let Self { outline, sealed, active, .. } = self;
        for job in jobs {
            let noted = outline.persist(job, |from| {
                for extent in sealed.iter_mut().chain([&mut active.extent]) {
                    extent.void(from);
                }
            });
            assert_eq!(noted, Ok(()), "persist {} contradicts the log", job.seq);
        }
    }

    fn append(&mut self, records: u32, written: &mut dyn FnMut()) -> Result<(), DiskError> {
        let Self { active, frame, .. } = self;
        active.seal(frame, records);
        let path = &active.extent.path;
        active.file.write_at(active.end, frame).during("append to", path)?;
        written();
        if mutant!("the log is not synced") {
            active.end += frame.len() as u64;
            return Ok(());
        }
        match active.file.sync_data().during("sync", path) {
            Err(_) if mutant!("a failed sync is ignored") => (),
            Err(_) if mutant!("a failed sync is tried again") => {
                active.file.sync_data().during("sync", path)?;
            }
            synced => synced?,
        }
        active.end += frame.len() as u64;
        Ok(())
    }

    /// Goes on in a new segment, whose first frame begins with what the log amounted to `before`.
    fn roll(&mut self, before: &Outline, records: u32) -> Result<(), DiskError> {
        let mut frame = vec![0; FRAME_HEADER];
        record::put_head(&mut frame, before);
        frame.extend_from_slice(&self.frame[FRAME_HEADER..]);
        let needed = FIRST_FRAME + padded(frame.len() as u64);
        let spare = self.take_spare(needed)?;
        let old = &self.active;
        let header = SegmentHeader {
            owner: self.owner,
            number: old.extent.number + 1,
            len: spare.len,
            first_frame: old.next_frame,
            previous_end: old.end,
            previous_check: old.check,
        };
        let new = begin_segment(&*self.disk, &self.dir, spare, &header, (&mut frame, records + 1))?;
        let old = std::mem::replace(&mut self.active, new);
        self.sealed.push_back(old.extent);
        self.frame = frame;
        self.stats.rolls += 1;
        Ok(())
    }

    /// The spare, or a small one made on the spot.
    fn take_spare(&mut self, needed: u64) -> Result<Spare, DiskError> {
        if let Some(spare) = self.spare.take_if(|spare| needed <= spare.len) {
            return Ok(spare);
        }
        self.stats.rolls_inline += 1;
        let spare = self.prepare_inline(needed).make(|| ())?.expect("a spare was asked for");
        self.full = false;
        Ok(spare)
    }

    /// Gives up the oldest segments while none of their entries is wanted. Only to be called when
    /// the record that says so is durable; it stands in a later segment, or is repeated there.
    fn retire(&mut self) {
        while let Some(old) =
            self.sealed.pop_front_if(|extent| extent.last <= self.outline.base.index)
        {
            self.retired.push(Retired { path: old.path, len: old.len });
        }
    }

    fn name_spare(&mut self) -> PathBuf {
        self.spares_named += 1;
        spare_path(&self.dir, self.spares_named)
    }
}

impl Active {
    /// Completes the frame and counts it as written.
    fn seal(&mut self, frame: &mut Vec<u8>, records: u32) {
        let link = (self.check, records);
        self.check = FrameHeader::seal(frame, self.seed, self.next_frame, link);
        self.next_frame += 1;
        frame.resize(frame.len().next_multiple_of(SECTOR), 0);
    }
}

impl Extent {
    /// Entries from `from` on are void.
    fn void(&mut self, from: Index) {
        self.last = self.last.min(from.prev());
    }
}

impl WalOptions {
    fn owner(&self) -> Owner {
        Owner { cluster: self.cluster, node: self.node, incarnation: self.incarnation }
    }
}

/// Makes a segment of a spare: its header and its first frame (and the number of records in it)
/// are durable before it gets its name, so whatever has such a name begins with a whole frame.
fn begin_segment(
    disk: &dyn Disk,
    dir: &Path,
    spare: Spare,
    header: &SegmentHeader,
    first: (&mut Vec<u8>, u32),
) -> Result<Active, DiskError> {
    let (frame, records) = first;
    let path = segment_path(dir, header.number);
    let extent = Extent { number: header.number, path, len: spare.len, last: Index(0) };
    let mut active = Active {
        extent,
        file: spare.file,
        seed: header.seed(),
        end: FIRST_FRAME,
        next_frame: header.first_frame,
        check: header.seed(),
    };
    active.seal(frame, records);
    let bytes = [&header.encode(), frame.as_slice()].concat();
    active.file.write_at(0, &bytes).during("write", &spare.path)?;
    active.file.sync_data().during("sync", &spare.path)?;
    disk.rename(&spare.path, &active.extent.path).during("rename", &spare.path)?;
    if !mutant!("the name of a segment is not synced") {
        sync_parent(disk, &active.extent.path)?;
    }
    active.end = bytes.len() as u64;
    Ok(active)
}

/// A file of the log in the data directory `root` that [`Wal::create`] has not left behind, or that
/// has been written to since.
pub(crate) fn used(disk: &dyn Disk, root: &Path) -> Result<Option<String>, DiskError> {
    let dir = root.join("wal");
    let names = match disk.list(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        names => names.during("read", &dir)?,
    };
    for name in names {
        let path = dir.join(&name);
        let untouched = is_temporary(&name)
            || path == segment_path(&dir, 1) && recover::is_untouched(disk, &path)?;
        if !untouched {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016}.log"))
}

fn spare_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("spare-{number}.tmp"))
}
