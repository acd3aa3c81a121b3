//! Whose data directory it is: written once, before anything is promised from it.
//!
//! ```text
//! IDENTITY    magic 8 bytes · version u32 · cluster u64 · node u64 · incarnation u64
//!             · name len u32 · cluster name · bootstrap membership · crc32c u32 of all before
//! ```
//!
//! A crash while the directory is created leaves `IDENTITY.tmp`, perhaps an empty log, and no
//! `IDENTITY`; nothing was promised yet, so the next start simply begins anew. A log that holds
//! anything, or a snapshot, is no such leftover: its `IDENTITY` was lost or renamed, and the start is
//! refused. A directory with an `IDENTITY` has a log, or something is wrong.

use std::io;
use std::path::Path;

use bytes::{Buf as _, Bytes};
use raft_core::{ClusterId, Incarnation, Membership, NodeId, codec};

use crate::disk::{self, Disk, LOCK_FILE};
use crate::error::{DiskError, During as _, StorageError, Unreadable};
use crate::wal::{self, Wal, WalOptions};

/// The name of the file.
const FILE: &str = "IDENTITY";

const MAGIC: [u8; 8] = *b"RAFTID\r\n";
const VERSION: u32 = 2;

/// What is written in a data directory's `IDENTITY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name, for people.
    pub cluster_name: String,
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// Drawn when the directory was created.
    pub incarnation: Incarnation,
    /// The membership the cluster began with.
    pub bootstrap: Membership,
}

impl Identity {
    /// Reads the identity of a data directory; `None` if it is new: empty, missing, or left over
    /// from a creation that did not get to its end. A directory that holds anything else is
    /// refused.
    pub fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, StorageError> {
        let names = match disk.list(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            names => names.during("read", dir)?,
        };
        if names.iter().any(|name| name == FILE) {
            // The process that renamed it may have ended before it synced the name. Were that lost
            // now, the next start would take the log for the leftover of a creation.
            disk.sync_dir(dir).during("sync", dir)?;
            let path = dir.join(FILE);
            let bytes = disk::read_all(disk, &path)?;
            return match Self::decode(&bytes.into()) {
                Ok(identity) => Ok(Some(identity)),
                Err(what) => Err(what.in_file(&path, 0)),
            };
        }
        let unfinished = disk::temporary(Path::new(FILE));
        let unfinished = names.iter().any(|name| Path::new(name) == unfinished);
        let ours = |name: &str| match name {
            LOCK_FILE | "lost+found" => true,
            "IDENTITY.tmp" | "wal" | "snapshots" => unfinished,
            _ => false,
        };
        let found = match names.iter().find(|name| !ours(name)) {
            None => used(disk, dir)?,
            found => found.cloned(),
        };
        match found {
            None => Ok(None),
            Some(found) => Err(StorageError::NotOurs { dir: dir.into(), found }),
        }
    }

    /// Makes a new data directory: an empty log, then the identity. To be called only when
    /// [`Identity::load`] found none.
    pub fn create(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        segment_bytes: u64,
    ) -> Result<(), StorageError> {
        disk::create_dir_all(disk, dir)?;
        let path = dir.join(FILE);
        let temporary = disk::temporary(&path);
        let write = || -> Result<(), DiskError> {
            // Never removed on the way: it says that a log beside it is a leftover.
            let mut file = match disk.create_new(&temporary) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&temporary),
                created => created,
            }
            .during("create", &temporary)?;
            file.set_len(0).during("write", &temporary)?;
            file.write_at(0, &self.encode()).during("write", &temporary)?;
            file.sync_data().during("sync", &temporary)?;
            // From here on, and not before, the directory may hold a log without an identity.
            disk.sync_dir(dir).during("sync", dir)?;
            Wal::create(disk, dir, &self.wal_options(segment_bytes))?;
            disk.rename(&temporary, &path).during("rename", &temporary)?;
            disk.sync_dir(dir).during("sync", dir)
        };
        write()?;
        match Self::load(disk, dir)? {
            Some(read) if read == *self => Ok(()),
            _ => Err(StorageError::damaged(&path, Some(0), "it does not read as it was written")),
        }
    }

    /// How this node's log is to be opened.
    pub fn wal_options(&self, segment_bytes: u64) -> WalOptions {
        let (cluster, node, incarnation) = (self.cluster, self.node, self.incarnation);
        WalOptions { cluster, node, incarnation, segment_bytes }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.cluster.0.to_le_bytes());
        bytes.extend_from_slice(&self.node.0.to_le_bytes());
        bytes.extend_from_slice(&self.incarnation.0.to_le_bytes());
        let len = u32::try_from(self.cluster_name.len()).expect("a name is short");
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(self.cluster_name.as_bytes());
        codec::put_membership(&mut bytes, &self.bootstrap);
        let check = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&check.to_le_bytes());
        bytes
    }

    fn decode(bytes: &Bytes) -> Result<Self, Unreadable> {
        const SHORT: Unreadable = Unreadable::Wrong("it is cut short");
        let (mut input, check) = bytes
            .len()
            .checked_sub(4)
            .map(|at| (bytes.slice(..at), bytes.slice(at..)))
            .ok_or(SHORT)?;
        if !input.starts_with(&MAGIC) {
            return Err(Unreadable::Wrong("it does not begin like an identity"));
        }
        Unreadable::judge(&input, { check }.get_u32_le(), VERSION)?;
        input.advance(MAGIC.len() + 4);
        let mut number = || input.try_get_u64_le().ok().ok_or(SHORT);
        let (cluster, node, incarnation) =
            (ClusterId(number()?), NodeId(number()?), Incarnation(number()?));
        let len = input.try_get_u32_le().ok().and_then(|len| usize::try_from(len).ok());
        let len = len.filter(|&len| len <= input.len()).ok_or(SHORT)?;
        let cluster_name = String::from_utf8_lossy(&input.split_to(len)).into_owned();
        let bootstrap = codec::take_membership(&mut input).ok_or(SHORT)?;
        Ok(Self { cluster_name, cluster, node, incarnation, bootstrap })
    }
}

/// Something in the directory that no interrupted creation leaves behind.
fn used(disk: &dyn Disk, dir: &Path) -> Result<Option<String>, DiskError> {
    let snapshots = dir.join("snapshots");
    let first = match disk.list(&snapshots) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        names => names.during("read", &snapshots)?.into_iter().next(),
    };
    if let Some(name) = first {
        return Ok(Some(format!("snapshots/{name}")));
    }
    Ok(wal::used(disk, dir)?.map(|name| format!("wal/{name}")))
}
