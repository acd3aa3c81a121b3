//! A snapshot that is arriving: the file it grows in, and how far that may be believed after a crash.
//!
//! ```text
//! incoming.part    the snapshot's file, as far as it is there
//! incoming.pieces  24 bytes for each piece: end u64 · crc32c u32 of the piece, which ends there ·
//!                  durable u64 · crc32c u32 of (that of the record before, or of the file's header ·
//!                  this record before it)
//! ```
//!
//! A piece is written before its record, and neither is synced on its own. After a crash pieces may
//! be missing whose records are there, and the other way round: what counts is the longest beginning
//! of which every record and every piece has its checksum. `durable` says how much of the payload had
//! been synced before the record was written.

use std::io;
use std::path::{Path, PathBuf};

use raft_core::{ClusterId, SnapshotMeta, mutant};

use super::{header, stream};
use crate::disk::{Disk, DiskFile, remove_if_there, sync_parent};
use crate::error::{DiskError, During as _};

const INCOMING: &str = "incoming.part";
const PIECES: &str = "incoming.pieces";

/// Both files are synced each time so many bytes have arrived: a power loss costs the transfer no
/// more than that, and the sync at its end takes no longer.
const SYNC_EVERY: u64 = 4 << 20;

const RECORD: usize = 24;

/// A snapshot that is arriving.
pub(super) struct Staging {
    pub(super) meta: SnapshotMeta,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    pieces: Box<dyn DiskFile>,
    /// Where the payload begins.
    start: u64,
    known: Known,
}

/// What the records tell.
struct Known {
    /// Bytes of the payload that are there.
    end: u64,
    /// Bytes of the payload that are durable.
    durable: u64,
    /// Number of records.
    count: u64,
    /// The checksum of the last record, or of the header.
    chain: u32,
}

impl Staging {
    /// Begins anew. Whatever was arriving is given up.
    pub(super) fn create(
        disk: &dyn Disk,
        dir: &Path,
        cluster: ClusterId,
        meta: &SnapshotMeta,
    ) -> Result<Self, DiskError> {
        let path = dir.join(INCOMING);
        remove(disk, dir)?;
        let head = header::encode(cluster, meta);
        let mut file = disk.create_new(&path).during("create", &path)?;
        file.write_at(0, &head).during("write", &path)?;
        let pieces = dir.join(PIECES);
        let pieces = disk.create_new(&pieces).during("create", &pieces)?;
        sync_parent(disk, &path)?;
        let (start, known) = (head.len() as u64, Known::nothing(&head));
        Ok(Self { meta: meta.clone(), path, file, pieces, start, known })
    }

    /// Goes on where an earlier process stopped, if it was with exactly this snapshot.
    pub(super) fn resume(
        disk: &dyn Disk,
        dir: &Path,
        cluster: ClusterId,
        meta: &SnapshotMeta,
    ) -> Result<Option<Self>, DiskError> {
        let path = dir.join(INCOMING);
        let Some(mut file) = open(disk, &path)? else { return Ok(None) };
        let Some(mut pieces) = open(disk, &dir.join(PIECES))? else { return Ok(None) };
        if header::read(&*file).during("read", &path)? != Ok((cluster, meta.clone())) {
            return Ok(None);
        }
        let head = header::encode(cluster, meta);
        let start = head.len() as u64;
        let known = Known::read(&*file, &*pieces, &head, meta.size).during("read", &path)?;
        // What is not known to be durable is written again: a sync may have failed, and the next one
        // would say "done" about bytes that are in memory only.
        file.write_at(0, &head).during("write", &path)?;
        stream::write_again(&mut *file, start + known.durable, start + known.end)
            .during("write", &path)?;
        let len = known.count * RECORD as u64;
        pieces.set_len(len).during("cut", &dir.join(PIECES))?;
        Ok(Some(Self { meta: meta.clone(), path, file, pieces, start, known }))
    }

    /// Bytes of the payload that are there.
    pub(super) fn end(&self) -> u64 {
        self.known.end
    }

    /// Appends a piece, if it begins at the end, has this checksum, and has room.
    pub(super) fn add(&mut self, offset: u64, data: &[u8], checksum: u32) -> Result<(), DiskError> {
        let known = &mut self.known;
        let follows = offset == known.end || mutant!("pieces of a snapshot are taken as they come");
        let fits = follows && data.len() as u64 <= self.meta.size - known.end;
        if data.is_empty() || !fits || crc32c::crc32c(data) != checksum {
            return Ok(());
        }
        let path = &self.path;
        self.file.write_at(self.start + known.end, data).during("write", path)?;
        let at = known.count * RECORD as u64;
        let record = known.push(data.len() as u64, checksum);
        self.pieces.write_at(at, &record).during("write", path)?;
        if SYNC_EVERY <= known.end - known.durable {
            self.file.sync_data().during("sync", path)?;
            self.pieces.sync_data().during("sync", path)?;
            known.durable = known.end;
        }
        Ok(())
    }

    /// Verifies the whole, makes it durable and gives it its name. Says what is wrong with it
    /// otherwise.
    pub(super) fn finish(
        mut self,
        disk: &dyn Disk,
        name: &Path,
    ) -> Result<Result<(), (u64, &'static str)>, DiskError> {
        let path = &self.path;
        let verified = stream::verify(&*self.file, self.start, &self.meta).during("read", path)?;
        if let Err(what) = verified
            && !mutant!("pieces of a snapshot are taken as they come")
        {
            return Ok(Err(what));
        }
        if !mutant!("a snapshot that arrived is not synced") {
            self.file.sync_data().during("sync", path)?;
        }
        disk.rename(path, name).during("rename", path)?;
        if !mutant!("the name of a snapshot that arrived is not synced") {
            sync_parent(disk, name)?;
        }
        remove_if_there(disk, &path.with_file_name(PIECES))?;
        Ok(Ok(()))
    }
}

/// Which snapshot is arriving, if one is.
pub(super) fn find(
    disk: &dyn Disk,
    dir: &Path,
    cluster: ClusterId,
) -> Result<Option<SnapshotMeta>, DiskError> {
    let path = dir.join(INCOMING);
    let Some(file) = open(disk, &path)? else { return Ok(None) };
    let found = header::read(&*file).during("read", &path)?;
    Ok(found.ok().filter(|(of, _)| *of == cluster).map(|(_, meta)| meta))
}

/// The same, and how many bytes of its payload are there and whole.
pub(super) fn look(
    disk: &dyn Disk,
    dir: &Path,
    cluster: ClusterId,
) -> Result<Option<(SnapshotMeta, u64)>, DiskError> {
    let Some(meta) = find(disk, dir, cluster)? else { return Ok(None) };
    let path = dir.join(INCOMING);
    let (Some(file), Some(pieces)) = (open(disk, &path)?, open(disk, &dir.join(PIECES))?) else {
        return Ok(Some((meta, 0)));
    };
    let head = header::encode(cluster, &meta);
    let known = Known::read(&*file, &*pieces, &head, meta.size).during("read", &path)?;
    Ok(Some((meta, known.end)))
}

/// Removes what was arriving.
pub(super) fn remove(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    remove_if_there(disk, &dir.join(PIECES))?;
    remove_if_there(disk, &dir.join(INCOMING))
}

fn open(disk: &dyn Disk, path: &Path) -> Result<Option<Box<dyn DiskFile>>, DiskError> {
    match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.during("open", path).map(Some),
    }
}

impl Known {
    fn nothing(head: &[u8]) -> Self {
        let chain = head.last_chunk().expect("a header ends with its checksum");
        Self { end: 0, durable: 0, count: 0, chain: u32::from_le_bytes(*chain) }
    }

    /// Believes records as long as they and their pieces are whole.
    fn read(
        file: &dyn DiskFile,
        pieces: &dyn DiskFile,
        head: &[u8],
        size: u64,
    ) -> io::Result<Self> {
        let (mut known, start) = (Self::nothing(head), head.len() as u64);
        let mut record = [0; RECORD];
        loop {
            if pieces.read_at(known.count * RECORD as u64, &mut record)? < RECORD {
                return Ok(known);
            }
            let [end, piece, durable, chain] =
                [0..8, 8..12, 12..20, 20..24].map(|field| number(&record[field]));
            let sound = u64::from(crc32c::crc32c_append(known.chain, &record[..20])) == chain
                && known.end < end
                && end <= size
                && durable <= known.end
                && u64::from(stream::checksum(file, start + known.end, start + end)?) == piece;
            if !sound {
                return Ok(known);
            }
            let chain = u32::try_from(chain).expect("it equals a checksum");
            known = Self { end, durable, count: known.count + 1, chain };
        }
    }

    /// The record of the next piece.
    fn push(&mut self, len: u64, checksum: u32) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        self.end += len;
        record[..8].copy_from_slice(&self.end.to_le_bytes());
        record[8..12].copy_from_slice(&checksum.to_le_bytes());
        record[12..20].copy_from_slice(&self.durable.to_le_bytes());
        self.chain = crc32c::crc32c_append(self.chain, &record[..20]);
        record[20..].copy_from_slice(&self.chain.to_le_bytes());
        self.count += 1;
        record
    }
}

fn number(field: &[u8]) -> u64 {
    field.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
