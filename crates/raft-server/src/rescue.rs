//! A new cluster from what a surviving node has, when a majority of the old one is gone for good.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use raft_api::cluster::ClusterConfig;
use raft_core::Incarnation;
use raft_replica::{
    Disk, DiskError, LockError, NewCluster, ReadOnlyDisk, RealDisk, RefoundError, Refounded,
    StateMachine, StorageError, refound, survey,
};

/// What came of it.
#[derive(Debug)]
pub struct Rescued {
    /// What was taken over.
    pub state: Refounded,
    /// Where it is now.
    pub data_dir: PathBuf,
    /// Where the old data directory is now.
    pub backup: PathBuf,
}

/// Why nothing came of it. The old data directory is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RescueError {
    /// A process uses it, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// There is nothing that could be taken over, or nowhere to put it.
    #[error(transparent)]
    Refound(#[from] RefoundError),
    /// The cluster file is not one for the new cluster.
    #[error("{file} names nodes {named}, but the new cluster begins with node {node} alone")]
    Nodes {
        /// The file.
        file: String,
        /// The nodes in it.
        named: String,
        /// The survivor.
        node: u64,
    },
}

/// Makes the new cluster that `config` describes, and that has only the node of `data_dir` in it, from
/// that directory, whose state machine is an `S`. If the two share it, the old one gets another name.
pub fn rescue<S: StateMachine + Default>(
    data_dir: &Path,
    config: &ClusterConfig,
) -> Result<Rescued, RescueError> {
    // By its own name, so that it is known where its neighbours are.
    let data_dir = data_dir.canonicalize().map_err(|error| during("read", data_dir, error))?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let _lock = RealDisk.lock(&data_dir)?;
    let Some(node) = looked_at(&data_dir)? else {
        return Err(RefoundError::Nothing { dir: data_dir }.into());
    };
    let [member] = config.nodes.as_slice() else { return Err(wrong_nodes(config, node)) };
    if member.id.0 != node {
        return Err(wrong_nodes(config, node));
    }
    let in_place = member.data_dir.canonicalize().is_ok_and(|dir| dir == data_dir);
    let into = if in_place { beside(&data_dir, ".recovering") } else { member.data_dir.clone() };
    let new = NewCluster {
        cluster: config.cluster_id(),
        name: config.name.clone(),
        contact: member.contact().encode(),
        incarnation: Incarnation(rand::random()),
        segment_bytes: config.storage.segment_bytes,
    };
    let looking: Arc<dyn Disk> = Arc::new(ReadOnlyDisk);
    let state = refound((&looking, &data_dir), (&disk, &into), new, S::default)?;
    let backup = if in_place { swap(&into, &data_dir)? } else { data_dir };
    Ok(Rescued { state, data_dir: member.data_dir.clone(), backup })
}

/// The node whose directory it is.
fn looked_at(dir: &Path) -> Result<Option<u64>, RescueError> {
    let disk: Arc<dyn Disk> = Arc::new(ReadOnlyDisk);
    let mut found = survey(&disk, dir).map_err(RefoundError::from)?;
    if !found.problems.is_empty() {
        return Err(RefoundError::from(found.problems.swap_remove(0)).into());
    }
    Ok(found.identity.map(|identity| identity.node.0))
}

/// Puts the new directory in the place of the old one, in one step if the file system can, and
/// returns where the old one is then.
fn swap(new: &Path, dir: &Path) -> Result<PathBuf, RescueError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let backup = beside(dir, &format!(".before-recovery-{}", since.as_millis()));
    match renameat2(AT_FDCWD, new, AT_FDCWD, dir, RenameFlags::RENAME_EXCHANGE) {
        Ok(()) => rename(new, &backup)?,
        // Between these two there is no directory under its name: then `new` is the one.
        Err(Errno::EINVAL | Errno::ENOSYS) => {
            rename(dir, &backup)?;
            rename(new, dir)?;
        }
        Err(error) => return Err(during("replace", dir, error.into())),
    }
    if let Some(parent) = dir.parent() {
        RealDisk.sync_dir(parent).map_err(|error| during("sync", parent, error))?;
    }
    Ok(backup)
}

fn rename(from: &Path, to: &Path) -> Result<(), RescueError> {
    RealDisk.rename(from, to).map_err(|error| during("rename", from, error))
}

fn during(op: &'static str, path: &Path, error: io::Error) -> RescueError {
    RefoundError::from(StorageError::from(DiskError::new(op, path, error))).into()
}

/// A name next to a directory's own.
fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(dir);
    name.push(suffix);
    name.into()
}

fn wrong_nodes(config: &ClusterConfig, node: u64) -> RescueError {
    let named: Vec<_> = config.nodes.iter().map(|node| node.id.0.to_string()).collect();
    let file = config.path.display().to_string();
    RescueError::Nodes { file, named: named.join(", "), node }
}

impl RescueError {
    /// What its reader can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Lock(LockError::Held { .. }) => "stop the node first",
            Self::Lock(LockError::Disk(_)) => "check that the directory can be written",
            Self::Nodes { .. } => {
                "list only that node in the new cluster's file: a node that is listed begins a \
                 cluster of its own when it finds an empty directory; all others join with --join"
            }
            Self::Refound(RefoundError::SameCluster { .. }) => {
                "give the new cluster another name (cluster.name in its file): nodes of the old one \
                 must never talk to it"
            }
            Self::Refound(RefoundError::Exists { .. }) => {
                "if an earlier recovery was interrupted, remove it and try again; the old data \
                 directory is as it was"
            }
            Self::Refound(RefoundError::Nothing { .. }) => "is it the right directory?",
            Self::Refound(RefoundError::Storage(StorageError::Damaged(_))) => {
                "only a directory that is whole is taken over: if its files cannot be put back, look \
                 at the other survivors (raft-server inspect DATA_DIR)"
            }
            Self::Refound(RefoundError::Storage(error)) => return error.hint().map(str::to_owned),
        };
        Some(hint.to_owned())
    }
}
