//! From a data directory to a replica: whose it is, what it holds, and whether it can be used.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_core::record::Recorded;
use raft_core::{
    ClusterId, Config, Incarnation, Index, Instant, Membership, NodeId, RestoreError, Restored,
};

use crate::check::CheckPolicy;
use crate::disk::{DirLock, Disk, create_dir_all};
use crate::error::{LockError, StorageError};
use crate::identity::Identity;
use crate::recording::RecordSink;
use crate::replica::{Policy, Replica};
use crate::snapshot::SnapshotStore;
use crate::state::State;
use crate::state_machine::StateMachine;
use crate::wal::{RecoveryReport, Wal};

/// What a replica is told besides what its disk says.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// The cluster's name, for people.
    pub cluster_name: String,
    /// Its id.
    pub id: NodeId,
    /// The members the cluster begins with; counts only while the directory is new.
    pub bootstrap: Membership,
    /// A random number; counts only while the directory is new.
    pub fresh_incarnation: Incarnation,
    /// Timing and limits; whose they are is read from the disk.
    pub core: Config,
    /// Length of a segment of the log, in bytes.
    pub segment_bytes: u64,
    /// A snapshot is taken after this many entries...
    pub snapshot_entries: u64,
    /// ...or this many bytes of them, whichever comes first.
    pub snapshot_bytes: u64,
    /// How long an idle session lives, in milliseconds.
    pub session_ttl_ms: u64,
    /// A leader puts into the log after every so many entries what its state hashes to; 0: never.
    pub check_entries: u64,
    /// Nodes whose word on that does not count, because it is known to be wrong.
    pub distrust: BTreeSet<NodeId>,
    /// Where to record what happens to the node, from its making on.
    pub record: Option<RecordSink>,
}

/// A replica and its two hands, each to be used by one thread.
pub struct Opened<S: StateMachine> {
    /// Consensus and state machine.
    pub replica: Replica<S>,
    /// The log's writer.
    pub wal: Wal,
    /// The snapshot files.
    pub snapshots: SnapshotStore,
    /// Keeps other processes out of the directory while it lives.
    pub lock: Box<dyn DirLock>,
    /// What was found.
    pub report: OpenReport,
}

/// What was found in the data directory.
#[derive(Clone, Debug)]
pub struct OpenReport {
    /// Whether the directory was new.
    pub created: bool,
    /// The incarnation.
    pub incarnation: Incarnation,
    /// The last entry of the log.
    pub last: Index,
    /// What the snapshot covers.
    pub snapshot: Index,
    /// What reading the log showed.
    pub log: RecoveryReport,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It belongs to another node.
    #[error("{} belongs to node {found}, not to node {expected}", dir.display())]
    WrongNode {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        found: u64,
        /// Whose it should be.
        expected: u64,
    },
    /// It belongs to another cluster.
    #[error("{} belongs to cluster `{found}`, not to `{expected}`", dir.display())]
    WrongCluster {
        /// The directory.
        dir: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// The disk failed, or what it holds is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Its parts are whole but do not fit together.
    #[error("{} does not fit together: {error}", dir.display())]
    Inconsistent {
        /// The directory.
        dir: PathBuf,
        /// What does not fit.
        error: RestoreError,
    },
}

impl OpenError {
    /// What its reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Lock(LockError::Held { .. }) => {
                Some("one process at a time may use a data directory: stop the other one first")
            }
            Self::WrongNode { .. } | Self::WrongCluster { .. } => Some(
                "check --id and storage.dir; every node of every cluster has its own directory",
            ),
            Self::Storage(error) => error.hint(),
            Self::Lock(LockError::Disk(_)) => Some("check that the directory can be written"),
            Self::Inconsistent { .. } => {
                Some("put the directory back as it was when the node stopped, all of it")
            }
        }
    }
}

/// Opens a data directory, or makes a new one, and builds the replica it describes. `empty` makes
/// the state machine's first state.
pub fn open<S: StateMachine>(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    options: Options,
    empty: impl FnOnce() -> S,
    now: Instant,
) -> Result<Opened<S>, OpenError> {
    create_dir_all(&**disk, dir).map_err(StorageError::Disk)?;
    let lock = disk.lock(dir)?;
    let (identity, created) = identify(&**disk, dir, &options)?;
    let wal_options = identity.wal_options(options.segment_bytes);
    let (wal, recovered, log) = Wal::open(Arc::clone(disk), dir, &wal_options)?;
    let snapshots = SnapshotStore::open(Arc::clone(disk), dir, identity.cluster)?;
    let last = recovered.entries.last().map_or(recovered.base, |entry| entry.id);
    let state = match &recovered.snapshot {
        Some(meta) => snapshots.load(meta).map_err(|error| error.vouching(last))?,
        None => State::new(empty()),
    };
    let report = OpenReport {
        created,
        incarnation: identity.incarnation,
        last: last.index,
        snapshot: state.applied.index,
        log,
    };
    let mut core = options.core;
    (core.cluster, core.id, core.incarnation) =
        (identity.cluster, identity.node, identity.incarnation);
    let restored = Restored {
        hard_state: recovered.hard_state,
        bootstrap: identity.bootstrap,
        snapshot: recovered.snapshot,
        base: recovered.base,
        entries: recovered.entries,
    };
    let node = Recorded::restore(core, restored, now, options.record)
        .map_err(|error| OpenError::Inconsistent { dir: dir.into(), error })?;
    let policy = Policy {
        snapshot_entries: options.snapshot_entries,
        snapshot_bytes: options.snapshot_bytes,
        session_ttl_ms: options.session_ttl_ms,
        check: CheckPolicy { entries: options.check_entries, distrust: options.distrust },
    };
    let replica = Replica::new(node, state, policy);
    Ok(Opened { replica, wal, snapshots, lock, report })
}

/// Reads whose directory it is, or makes it ours.
fn identify(disk: &dyn Disk, dir: &Path, options: &Options) -> Result<(Identity, bool), OpenError> {
    let Some(found) = Identity::load(disk, dir)? else {
        let identity = Identity {
            cluster_name: options.cluster_name.clone(),
            cluster: options.cluster,
            node: options.id,
            incarnation: options.fresh_incarnation,
            bootstrap: options.bootstrap.clone(),
        };
        identity.create(disk, dir, options.segment_bytes)?;
        return Ok((identity, true));
    };
    if found.cluster != options.cluster {
        return Err(OpenError::WrongCluster {
            dir: dir.into(),
            found: found.cluster_name,
            expected: options.cluster_name.clone(),
        });
    }
    if found.node != options.id {
        let (found, expected) = (found.node.0, options.id.0);
        return Err(OpenError::WrongNode { dir: dir.into(), found, expected });
    }
    Ok((found, false))
}
