//! Snapshot files: the whole state as of one entry, each in a file of its own.
//!
//! ```text
//! snapshots/<term>-<index>.snap    a snapshot, complete and verified
//! snapshots/incoming.part          one that is arriving from the leader, as far as it is there
//! snapshots/incoming.pieces        the checksums of what is there of it
//! snapshots/*.tmp                  one that is being built; removed when the store is opened
//!
//! file      magic 8 bytes · version u32 · header len u32 · cluster u64 · snapshot (as encoded by
//!           raft-core) · crc32c u32 of the header before it · payload
//! ```
//!
//! [`SnapshotMeta::size`] and [`SnapshotMeta::checksum`] are those of the **payload**, which is also
//! what travels to a peer: it writes the header itself. A file gets its name when its bytes are
//! durable, and nothing refers to it before the name is durable as well.

mod header;
mod staging;
mod stream;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{ClusterId, LogId, Membership, SnapshotMeta, mutant};

use crate::disk::{self, Disk, DiskFile, sync_parent};
use crate::error::{During as _, StorageError};
use crate::wal::Recovered;
use staging::Staging;
pub use stream::SnapshotReader;
use stream::{Pace, SnapshotWriter};

/// The snapshots of one node. Independent of the log's writer, so that it can live on another
/// thread. A clone shares the files, not what is open; only one of the clones may stage.
pub struct SnapshotStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    cluster: ClusterId,
    /// The snapshots that are being read from, verified; as few as there are files.
    reading: Vec<(SnapshotMeta, Box<dyn DiskFile>)>,
    staging: Option<Staging>,
    resumed: u64,
    /// Called after each step of a long work.
    pace: Pace,
}

/// Bytes of a file that are given back to the file system in one step.
const REMOVED_AT_ONCE: u64 = 16 << 20;

/// How far a snapshot has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The next byte wanted.
    pub next_offset: u64,
    /// Whether it is whole, verified and durable under its own name.
    pub complete: bool,
}

impl SnapshotStore {
    /// Opens the snapshots in the data directory `root`, and removes what was being built when the
    /// process ended. What was arriving stays, so that it can go on, unless nobody can say what it
    /// was.
    pub fn open(
        disk: Arc<dyn Disk>,
        root: &Path,
        cluster: ClusterId,
    ) -> Result<Self, StorageError> {
        let dir = root.join("snapshots");
        disk::create_dir_all(&*disk, &dir)?;
        for name in disk.list(&dir).during("read", &dir)? {
            if disk::is_temporary(&name) {
                let path = dir.join(name);
                disk.remove(&path).during("remove", &path)?;
            }
        }
        if staging::find(&*disk, &dir, cluster)?.is_none() {
            staging::remove(&*disk, &dir)?;
        }
        // A name that is here now must stay: the process before may have ended between renaming
        // and syncing.
        disk.sync_dir(&dir).during("sync", &dir)?;
        Ok(Self::new(disk, dir, cluster))
    }

    /// The snapshots in the data directory `root`, to be read only: nothing is changed.
    pub(crate) fn look(disk: Arc<dyn Disk>, root: &Path, cluster: ClusterId) -> Self {
        Self::new(disk, root.join("snapshots"), cluster)
    }

    fn new(disk: Arc<dyn Disk>, dir: PathBuf, cluster: ClusterId) -> Self {
        let (reading, staging, pace) = (Vec::new(), None, Pace::default());
        Self { disk, dir, cluster, reading, staging, resumed: 0, pace }
    }

    /// Has `pause` called after every step of a work that is as large as the state: a piece that was
    /// written and synced, a part of a file that was given back. It may take its time, so that others
    /// get at the disk and the processor meanwhile.
    pub fn set_pace(&mut self, pause: impl FnMut() + Send + 'static) {
        self.pace = Pace(Some(Box::new(pause)));
    }

    /// Writes a snapshot and makes it durable. `write` is handed where the payload goes.
    pub fn write(
        &mut self,
        last: LogId,
        membership: &Membership,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<SnapshotMeta, StorageError> {
        let membership = membership.clone().into();
        let mut meta = SnapshotMeta { last, membership, size: 0, checksum: 0 };
        let path = self.path(last);
        let temporary = disk::temporary(&path);
        disk::remove_if_there(&*self.disk, &temporary)?;
        let file = self.disk.create_new(&temporary).during("create", &temporary)?;
        let start = header::encode(self.cluster, &meta).len() as u64;
        let mut writer = SnapshotWriter::new(file, start, &mut self.pace);
        write(&mut writer).during("write", &temporary)?;
        let (mut file, size, checksum) = writer.finish().during("write", &temporary)?;
        (meta.size, meta.checksum) = (size, checksum);
        file.write_at(0, &header::encode(self.cluster, &meta)).during("write", &temporary)?;
        if !mutant!("a snapshot is not synced") {
            file.sync_data().during("sync", &temporary)?;
        }
        self.disk.rename(&temporary, &path).during("rename", &temporary)?;
        if !mutant!("the name of a snapshot is not synced") {
            sync_parent(&*self.disk, &path)?;
        }
        Ok(meta)
    }

    /// Removes what there is of a snapshot that could not be written: it may be all the space that is
    /// left.
    pub(crate) fn give_up(&self, last: LogId) -> Result<(), StorageError> {
        Ok(disk::remove_if_there(&*self.disk, &disk::temporary(&self.path(last)))?)
    }

    /// A piece of a snapshot's payload, shorter than `len` at its end. The whole is verified before
    /// the first piece is read: what rotted here must not travel, for ever found wrong at the other
    /// end. Fails with `NotFound` if the snapshot was removed.
    pub fn read(
        &mut self,
        meta: &SnapshotMeta,
        offset: u64,
        len: usize,
    ) -> Result<Bytes, StorageError> {
        let path = self.path(meta.last);
        let position = match self.reading.iter().position(|(open, _)| open == meta) {
            Some(position) => position,
            None => {
                let file = self.open_verified(meta)?;
                self.reading.retain(|(open, _)| open.last != meta.last);
                self.reading.push((meta.clone(), file));
                self.reading.len() - 1
            }
        };
        let (_, file) = &self.reading[position];
        let rest = usize::try_from(meta.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(rest)];
        let start = header::encode(self.cluster, meta).len() as u64;
        let count = file.read_at(start.saturating_add(offset), &mut bytes).during("read", &path)?;
        if count < bytes.len() {
            let end = start.saturating_add(offset).saturating_add(count as u64);
            return Err(StorageError::damaged(&path, Some(end), "it is cut short"));
        }
        Ok(bytes.into())
    }

    /// Takes a piece of a snapshot that arrives from the leader. A piece that does not begin where
    /// the last one ended, or has another CRC32C than `checksum`, is not written: the answer says
    /// what is wanted. Another snapshot that was
    /// arriving is given up.
    ///
    /// Fails with [`StorageError::Damaged`] if all is there and the checksum is wrong; the next
    /// piece wanted is then the first.
    pub fn stage(
        &mut self,
        meta: &SnapshotMeta,
        offset: u64,
        data: &[u8],
        checksum: u32,
    ) -> Result<Staged, StorageError> {
        let whole = Staged { next_offset: meta.size, complete: true };
        let mut staging = match self.staging.take().filter(|staging| staging.meta == *meta) {
            Some(staging) => staging,
            None if self.reader(meta).is_ok() => return Ok(whole),
            None => self.begin_staging(meta)?,
        };
        staging.add(offset, data, checksum)?;
        if staging.end() < meta.size {
            let next_offset = staging.end();
            self.staging = Some(staging);
            return Ok(Staged { next_offset, complete: false });
        }
        let path = self.path(meta.last);
        if let Err((offset, what)) = staging.finish(&*self.disk, &path)? {
            staging::remove(&*self.disk, &self.dir)?;
            return Err(StorageError::damaged(&path, Some(offset), what));
        }
        Ok(whole)
    }

    /// The payload of a snapshot, whose checksum has been verified.
    pub fn reader(&self, meta: &SnapshotMeta) -> Result<SnapshotReader, StorageError> {
        let file = self.open_verified(meta).map_err(|error| match error {
            StorageError::Disk(error) if error.source.kind() == io::ErrorKind::NotFound => {
                let path = self.path(meta.last);
                StorageError::damaged(&path, None, "this snapshot is missing")
            }
            error => error,
        })?;
        let start = header::encode(self.cluster, meta).len() as u64;
        Ok(SnapshotReader::new(file, start, meta.size))
    }

    /// Removes the snapshots that are older than this one, but for those that are still `needed`,
    /// and what was arriving if it is none newer. To be called when the log names this one, and that
    /// is durable.
    pub fn keep_only(
        &mut self,
        newest: &SnapshotMeta,
        needed: &[LogId],
    ) -> Result<(), StorageError> {
        let kept = |last: LogId| newest.last.index <= last.index || needed.contains(&last);
        self.reading.retain(|(open, _)| kept(open.last));
        let arriving = staging::find(&*self.disk, &self.dir, self.cluster)?;
        let mut removed = arriving.is_some_and(|meta| meta.last.index <= newest.last.index);
        if removed {
            self.staging = None;
            staging::remove(&*self.disk, &self.dir)?;
        }
        for last in self.list()? {
            if !kept(last) {
                self.remove(last)?;
                removed = true;
            }
        }
        if removed {
            self.disk.sync_dir(&self.dir).during("sync", &self.dir)?;
        }
        Ok(())
    }

    /// Removes a snapshot, part by part: a file system that gives back a gigabyte at once keeps others
    /// from writing. It loses its name first, for good: a crash must leave none that is cut short.
    fn remove(&mut self, last: LogId) -> Result<(), StorageError> {
        let path = self.path(last);
        let mut file = self.disk.open(&path).during("open", &path)?;
        let mut len = file.len().during("read", &path)?;
        if len <= REMOVED_AT_ONCE {
            return Ok(self.disk.remove(&path).during("remove", &path)?);
        }
        let temporary = disk::temporary(&path);
        self.disk.rename(&path, &temporary).during("rename", &path)?;
        self.disk.sync_dir(&self.dir).during("sync", &self.dir)?;
        while REMOVED_AT_ONCE < len {
            len -= REMOVED_AT_ONCE;
            file.set_len(len).during("cut", &temporary)?;
            self.pace.step();
        }
        Ok(self.disk.remove(&temporary).during("remove", &temporary)?)
    }

    /// Which snapshot is arriving in this process, and how many bytes of its payload are there.
    pub fn arriving(&self) -> Option<(&SnapshotMeta, u64)> {
        self.staging.as_ref().map(|staging| (&staging.meta, staging.end()))
    }

    /// How many bytes of payload did not have to arrive twice, because the process before had staged
    /// them.
    pub fn resumed_bytes(&self) -> u64 {
        self.resumed
    }

    /// The newest snapshot with a sound header that `wanted` says yes to. Its payload is verified
    /// when it is read.
    pub fn newest_matching(
        &self,
        wanted: impl Fn(&SnapshotMeta) -> bool,
    ) -> Result<Option<SnapshotMeta>, StorageError> {
        for last in self.list()?.into_iter().rev() {
            let path = self.path(last);
            let file = self.disk.open(&path).during("open", &path)?;
            let found = header::read(&*file).during("read", &path)?;
            if let Ok((cluster, meta)) = found
                && cluster == self.cluster
                && meta.last == last
                && wanted(&meta)
            {
                return Ok(Some(meta));
            }
        }
        Ok(None)
    }

    /// Opens the file of exactly this snapshot.
    fn open_exactly(&self, meta: &SnapshotMeta) -> Result<Box<dyn DiskFile>, StorageError> {
        let path = self.path(meta.last);
        if self.header(meta.last)?.0 != *meta {
            let what = "it is another snapshot than the one the log names";
            return Err(StorageError::damaged(&path, Some(0), what));
        }
        Ok(self.disk.open(&path).during("open", &path)?)
    }

    /// What the header of a snapshot's file says, and how long the file is.
    pub(crate) fn header(&self, last: LogId) -> Result<(SnapshotMeta, u64), StorageError> {
        let path = self.path(last);
        let file = self.disk.open(&path).during("open", &path)?;
        let len = file.len().during("read", &path)?;
        let (cluster, meta) =
            header::read(&*file).during("read", &path)?.map_err(|what| what.in_file(&path, 0))?;
        if cluster != self.cluster {
            let (found, expected) =
                (format!("cluster {cluster}"), format!("cluster {}", self.cluster));
            return Err(StorageError::Foreign { path, found, expected });
        }
        if meta.last != last {
            let what = format!("it is the snapshot of {} under another name", meta.last);
            return Err(StorageError::damaged(&path, Some(0), what));
        }
        Ok((meta, len))
    }

    /// Which snapshot is arriving, and how many bytes of its payload are there and whole.
    pub(crate) fn staged(&self) -> Result<Option<(SnapshotMeta, u64)>, StorageError> {
        Ok(staging::look(&*self.disk, &self.dir, self.cluster)?)
    }

    /// Opens the file of exactly this snapshot, and reads it once to verify it.
    fn open_verified(&self, meta: &SnapshotMeta) -> Result<Box<dyn DiskFile>, StorageError> {
        let path = self.path(meta.last);
        let file = self.open_exactly(meta)?;
        let start = header::encode(self.cluster, meta).len() as u64;
        match stream::verify(&*file, start, meta).during("read", &path)? {
            Ok(()) => Ok(file),
            Err((offset, what)) => Err(StorageError::damaged(&path, Some(offset), what)),
        }
    }

    /// Goes on where an earlier process stopped, if it was the same snapshot, or starts anew.
    fn begin_staging(&mut self, meta: &SnapshotMeta) -> Result<Staging, StorageError> {
        match Staging::resume(&*self.disk, &self.dir, self.cluster, meta)? {
            Some(staging) => {
                self.resumed += staging.end();
                Ok(staging)
            }
            None => Ok(Staging::create(&*self.disk, &self.dir, self.cluster, meta)?),
        }
    }

    /// The snapshots there are, oldest first.
    pub(crate) fn list(&self) -> Result<Vec<LogId>, StorageError> {
        let names = self.disk.list(&self.dir).during("read", &self.dir)?;
        let mut found: Vec<LogId> =
            names.iter().filter_map(|name| header::parse_name(name)).collect();
        found.sort_unstable_by_key(|last| (last.index, last.term));
        Ok(found)
    }

    pub(crate) fn path(&self, last: LogId) -> PathBuf {
        self.dir.join(header::name(last))
    }
}

impl Clone for SnapshotStore {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.disk), self.dir.clone(), self.cluster)
    }
}

/// Checks that the snapshot the log names is there and whole, reading all of it.
pub fn check_snapshot(recovered: &Recovered, store: &SnapshotStore) -> Result<(), StorageError> {
    match &recovered.snapshot {
        Some(meta) => store.reader(meta).map(drop),
        None => Ok(()),
    }
}
