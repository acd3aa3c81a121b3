//! Snapshot files: the whole state as of one entry, each in a file of its own.
//!
//! ```text
//! snapshots/<term>-<index>.snap    a snapshot, complete and verified
//! snapshots/incoming.part          one that is arriving from the leader
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
mod stream;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{ClusterId, LogId, Membership, SnapshotMeta};

use crate::disk::{self, Disk, DiskFile, sync_parent};
use crate::error::{During as _, StorageError};
use crate::wal::Recovered;
pub use stream::SnapshotReader;
use stream::SnapshotWriter;

const INCOMING: &str = "incoming.part";

/// The snapshots of one node. Independent of the log's writer, so that it can live on another
/// thread. A clone shares the files, not what is open; only one of the clones may stage.
pub struct SnapshotStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    cluster: ClusterId,
    /// The snapshot last read from.
    reading: Option<(SnapshotMeta, Box<dyn DiskFile>)>,
    staging: Option<Staging>,
}

/// How far a snapshot has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The next byte wanted.
    pub next_offset: u64,
    /// Whether it is whole, verified and durable under its own name.
    pub complete: bool,
}

struct Staging {
    meta: SnapshotMeta,
    file: Box<dyn DiskFile>,
    /// Bytes of the payload that are there.
    end: u64,
}

impl SnapshotStore {
    /// Opens the snapshots in the data directory `root`, and removes what was being built when the
    /// process ended. What was arriving stays, so that it can go on.
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
        // A name that is here now must stay: the process before may have ended between renaming
        // and syncing.
        disk.sync_dir(&dir).during("sync", &dir)?;
        Ok(Self { disk, dir, cluster, reading: None, staging: None })
    }

    /// Writes a snapshot and makes it durable. `write` is handed where the payload goes.
    pub fn write(
        &self,
        last: LogId,
        membership: &Membership,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<SnapshotMeta, StorageError> {
        let mut meta = SnapshotMeta { last, membership: membership.clone(), size: 0, checksum: 0 };
        let path = self.path(last);
        let temporary = disk::temporary(&path);
        disk::remove_if_there(&*self.disk, &temporary)?;
        let file = self.disk.create_new(&temporary).during("create", &temporary)?;
        let start = header::encode(self.cluster, &meta).len() as u64;
        let mut writer = SnapshotWriter::new(file, start);
        write(&mut writer).during("write", &temporary)?;
        let (mut file, size, checksum) = writer.finish().during("write", &temporary)?;
        (meta.size, meta.checksum) = (size, checksum);
        file.write_at(0, &header::encode(self.cluster, &meta)).during("write", &temporary)?;
        file.sync_data().during("sync", &temporary)?;
        self.disk.rename(&temporary, &path).during("rename", &temporary)?;
        sync_parent(&*self.disk, &path)?;
        Ok(meta)
    }

    /// A piece of a snapshot's payload, shorter than `len` at its end. Not verified: whoever puts
    /// the pieces together verifies the whole. Fails with `NotFound` if the snapshot was removed.
    pub fn read(
        &mut self,
        meta: &SnapshotMeta,
        offset: u64,
        len: usize,
    ) -> Result<Bytes, StorageError> {
        if self.reading.as_ref().is_none_or(|(open, _)| open != meta) {
            self.reading = Some((meta.clone(), self.open_exactly(meta)?));
        }
        let (_, file) = self.reading.as_ref().expect("it was just put there");
        let path = self.path(meta.last);
        let rest = usize::try_from(meta.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(rest)];
        let start = header::encode(self.cluster, meta).len() as u64;
        let count = file.read_at(start.saturating_add(offset), &mut bytes).during("read", &path)?;
        if count < bytes.len() {
            return Err(StorageError::damaged(&path, None, "it is cut short"));
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
        let path = self.dir.join(INCOMING);
        let start = header::encode(self.cluster, meta).len() as u64;
        let end = staging.end.saturating_add(data.len() as u64);
        if offset == staging.end && end <= meta.size && crc32c::crc32c(data) == checksum {
            staging.file.write_at(start + offset, data).during("write", &path)?;
            staging.end = end;
        }
        if staging.end < meta.size {
            let next_offset = staging.end;
            self.staging = Some(staging);
            return Ok(Staged { next_offset, complete: false });
        }
        if let Err(what) = stream::verify(&*staging.file, start, meta).during("read", &path)? {
            self.disk.remove(&path).during("remove", &path)?;
            return Err(StorageError::damaged(&path, None, what));
        }
        staging.file.sync_data().during("sync", &path)?;
        self.disk.rename(&path, &self.path(meta.last)).during("rename", &path)?;
        sync_parent(&*self.disk, &path)?;
        Ok(whole)
    }

    /// The payload of a snapshot, whose checksum has been verified.
    pub fn reader(&self, meta: &SnapshotMeta) -> Result<SnapshotReader, StorageError> {
        let path = self.path(meta.last);
        let file = self.open_exactly(meta).map_err(|error| match error {
            StorageError::Disk(error) if error.source.kind() == io::ErrorKind::NotFound => {
                StorageError::damaged(&path, None, "this snapshot is missing")
            }
            error => error,
        })?;
        let start = header::encode(self.cluster, meta).len() as u64;
        match stream::verify(&*file, start, meta).during("read", &path)? {
            Ok(()) => Ok(SnapshotReader::new(file, start, meta.size)),
            Err(what) => Err(StorageError::damaged(&path, None, what)),
        }
    }

    /// Removes the snapshots that are older than this one. To be called when the log names it, and
    /// that is durable.
    pub fn keep_only(&mut self, meta: &SnapshotMeta) -> Result<(), StorageError> {
        self.reading.take_if(|(open, _)| open.last.index < meta.last.index);
        let mut removed = false;
        for last in self.list()? {
            if last.index < meta.last.index {
                let path = self.path(last);
                self.disk.remove(&path).during("remove", &path)?;
                removed = true;
            }
        }
        if removed {
            self.disk.sync_dir(&self.dir).during("sync", &self.dir)?;
        }
        Ok(())
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
        let file = self.disk.open(&path).during("open", &path)?;
        let (cluster, found) = header::read(&*file)
            .during("read", &path)?
            .map_err(|what| StorageError::damaged(&path, Some(0), what))?;
        if cluster != self.cluster {
            let (found, expected) =
                (format!("cluster {cluster}"), format!("cluster {}", self.cluster));
            return Err(StorageError::Foreign { path, found, expected });
        }
        if found != *meta {
            let what = "it is another snapshot than the one the log names";
            return Err(StorageError::damaged(&path, Some(0), what));
        }
        Ok(file)
    }

    /// Goes on where an earlier process stopped, if it was the same snapshot, or starts anew.
    fn begin_staging(&self, meta: &SnapshotMeta) -> Result<Staging, StorageError> {
        let path = self.dir.join(INCOMING);
        let head = header::encode(self.cluster, meta);
        if let Ok(file) = self.disk.open(&path) {
            let found = header::read(&*file).during("read", &path)?;
            if found == Ok((self.cluster, meta.clone())) {
                let len = file.len().during("read", &path)?;
                let end = len.saturating_sub(head.len() as u64).min(meta.size);
                // A file with all its bytes may have met a sync that failed; the next one would
                // say "done" about bytes that are in memory only.
                if end < meta.size {
                    return Ok(Staging { meta: meta.clone(), file, end });
                }
            }
            self.disk.remove(&path).during("remove", &path)?;
        }
        let mut file = self.disk.create_new(&path).during("create", &path)?;
        file.write_at(0, &head).during("write", &path)?;
        Ok(Staging { meta: meta.clone(), file, end: 0 })
    }

    /// The snapshots there are, oldest first.
    fn list(&self) -> Result<Vec<LogId>, StorageError> {
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
        Self {
            disk: Arc::clone(&self.disk),
            dir: self.dir.clone(),
            cluster: self.cluster,
            reading: None,
            staging: None,
        }
    }
}

/// Checks that the snapshot the log names is there and whole, reading all of it.
pub fn check_snapshot(recovered: &Recovered, store: &SnapshotStore) -> Result<(), StorageError> {
    match &recovered.snapshot {
        Some(meta) => store.reader(meta).map(drop),
        None => Ok(()),
    }
}
