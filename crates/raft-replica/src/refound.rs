//! A new cluster of one node, from what is left of an old one.
//!
//! When a majority is gone for good, nobody can say any more what was committed. What a surviving
//! node has of the log is the best that is left: its snapshot and all entries after it become the
//! first snapshot of a new cluster, with its own id, whose only member the node is. The nodes of the
//! old cluster can never talk to it, whatever they wake up with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{
    ClusterId, HardState, Incarnation, LogId, Membership, NodeId, Persist, Seat, SeatId,
    SnapshotMeta,
};

use crate::disk::{self, Disk};
use crate::error::{During as _, StorageError};
use crate::identity::Identity;
use crate::snapshot::SnapshotStore;
use crate::state::State;
use crate::state_machine::StateMachine;
use crate::survey::{Survey, survey};
use crate::wal::Wal;

/// What the new cluster is to be.
#[derive(Clone, Debug)]
pub struct NewCluster {
    /// Its id, of which the old one must be different.
    pub cluster: ClusterId,
    /// Its name, for people.
    pub name: String,
    /// Where the node is reached from now on, as the cluster's members carry it.
    pub contact: Bytes,
    /// A random number: the node is another one than it was.
    pub incarnation: Incarnation,
    /// Length of a segment of the log, in bytes.
    pub segment_bytes: u64,
}

/// What became of the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refounded {
    /// The node.
    pub node: NodeId,
    /// The last entry taken over.
    pub last: LogId,
    /// What the replicated state hashes to there.
    pub state_hash: u64,
    /// Items in the state machine.
    pub items: u64,
    /// Client sessions.
    pub sessions: u64,
    /// The new cluster's only member.
    pub membership: Membership,
}

/// Why there is no new cluster. Nothing was changed but the new directory.
#[derive(Debug, thiserror::Error)]
pub enum RefoundError {
    /// The old directory is damaged, or the disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is nothing to take over.
    #[error("{} holds no entries: there is nothing to recover", dir.display())]
    Nothing {
        /// The old directory.
        dir: PathBuf,
    },
    /// It would not be another cluster.
    #[error("{} belongs to cluster `{name}` already", dir.display())]
    SameCluster {
        /// The old directory.
        dir: PathBuf,
        /// The name.
        name: String,
    },
    /// The new directory is in the way.
    #[error("{} is there already", dir.display())]
    Exists {
        /// The new directory.
        dir: PathBuf,
    },
}

/// Makes in the directory `into`, which must not be there yet, the data directory of a new cluster
/// from the one in `from`, which is only read. Nobody may use `from` meanwhile. What is in `into`
/// counts when this has returned, not before: its node would belong to no cluster.
pub fn refound<S: StateMachine>(
    (looking, from): (&Arc<dyn Disk>, &Path),
    (disk, into): (&Arc<dyn Disk>, &Path),
    new: NewCluster,
    empty: impl FnOnce() -> S,
) -> Result<Refounded, RefoundError> {
    let old = read_old(looking, from)?;
    let identity = old.identity.as_ref().expect("it has been read");
    let (node, name) = (identity.node, &identity.cluster_name);
    if identity.cluster == new.cluster {
        return Err(RefoundError::SameCluster { dir: from.into(), name: name.clone() });
    }
    let store = SnapshotStore::look(Arc::clone(looking), from, identity.cluster);
    let mut state = match &old.log.snapshot {
        Some(meta) => store.load(meta)?,
        None => State::new(empty()),
    };
    for entry in &old.log.entries {
        if state.applied.index < entry.id.index {
            state.apply(entry);
        }
    }
    if state.applied == LogId::ZERO {
        return Err(RefoundError::Nothing { dir: from.into() });
    }
    let seat = Seat { contact: new.contact.clone(), ..Seat::default() };
    // The member is this very disk, and not whoever had its id in the old cluster.
    let peers = [(SeatId { node, since: seat.since }, new.incarnation)].into();
    let membership = Membership { seats: [(node, seat)].into(), ..Membership::of_voters([node]) };
    let term = old.log.hard_state.term.max(state.applied.term);
    let hard_state = HardState { term, vote: None, peers };
    write_new(disk, into, (node, new), |store, wal| {
        let image = state.image();
        let meta = store.write(state.applied, &membership, |sink| image.write_to(sink))?;
        take_over(wal, meta, hard_state)
    })?;
    Ok(Refounded {
        node,
        last: state.applied,
        state_hash: state.hash,
        items: state.machine.len(),
        sessions: state.sessions.len(),
        membership,
    })
}

/// Reads the old directory, all of which must be whole.
fn read_old(disk: &Arc<dyn Disk>, from: &Path) -> Result<Survey, RefoundError> {
    let mut old = survey(disk, from)?;
    if !old.problems.is_empty() {
        return Err(old.problems.swap_remove(0).into());
    }
    if old.identity.is_none() {
        return Err(RefoundError::Nothing { dir: from.into() });
    }
    Ok(old)
}

/// Makes a data directory that belongs to no cluster, and lets it be filled.
fn write_new(
    disk: &Arc<dyn Disk>,
    into: &Path,
    (node, new): (NodeId, NewCluster),
    fill: impl FnOnce(&mut SnapshotStore, &mut Wal) -> Result<(), StorageError>,
) -> Result<(), RefoundError> {
    match disk.list(into) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (),
        Ok(names) if names.is_empty() => (),
        Ok(_) => return Err(RefoundError::Exists { dir: into.into() }),
        names => drop(names.during("read", into).map_err(StorageError::from)?),
    }
    let identity = Identity {
        cluster_name: new.name,
        cluster: new.cluster,
        node,
        incarnation: new.incarnation,
        bootstrap: Membership::default(),
    };
    disk::create_dir_all(&**disk, into).map_err(StorageError::from)?;
    identity.create(&**disk, into, new.segment_bytes)?;
    let mut store = SnapshotStore::open(Arc::clone(disk), into, new.cluster)?;
    let options = identity.wal_options(new.segment_bytes);
    let (mut wal, ..) = Wal::open(Arc::clone(disk), into, &options)?;
    Ok(fill(&mut store, &mut wal)?)
}

/// The log begins after the snapshot.
fn take_over(wal: &mut Wal, meta: SnapshotMeta, hard_state: HardState) -> Result<(), StorageError> {
    let hard_state = Some(hard_state);
    let persist = Persist { seq: 1, install: Some(meta), hard_state, ..Persist::default() };
    wal.run(vec![persist])?;
    Ok(())
}
