//! Looking at a data directory without changing anything: what is there, and what is wrong with it.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{ClusterId, Entry, Index, LogId, Membership, NodeId, Payload, SnapshotMeta};

use crate::check::Check;
use crate::disk::{Disk, is_temporary};
use crate::envelope::{Content, Envelope};
use crate::error::{During as _, StorageError};
use crate::identity::Identity;
use crate::request::SessionHeader;
use crate::snapshot::SnapshotStore;
use crate::state;
use crate::wal::survey::{self as log, LogSurvey};

/// A data directory as it is on the disk.
#[derive(Debug, Default)]
pub struct Survey {
    /// Whose it is; `None` if it is new, or nobody can say.
    pub identity: Option<Identity>,
    /// The log, as far as it is whole.
    pub log: LogSurvey,
    /// The snapshots, oldest first.
    pub snapshots: Vec<SnapshotSurvey>,
    /// The snapshot that was arriving, and how many bytes of its payload are there.
    pub arriving: Option<(SnapshotMeta, u64)>,
    /// Files that never took their place; they go at the next start.
    pub leftovers: Vec<PathBuf>,
    /// What is wrong. With any of these a node does not start.
    pub problems: Vec<StorageError>,
    /// What is wrong with files that no start needs.
    pub flaws: Vec<StorageError>,
}

/// A snapshot as it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotSurvey {
    /// The file.
    pub path: PathBuf,
    /// What its header says.
    pub meta: SnapshotMeta,
    /// Its length in bytes.
    pub bytes: u64,
    /// Whether it is the one the log names; `None` if the log cannot be read to its end.
    pub named: Option<bool>,
    /// What the replicated state hashes to; `None` if the payload is not whole.
    pub state_hash: Option<u64>,
}

impl Survey {
    /// The membership the node goes by: that of the last entry that has one, or of the snapshot, or
    /// the one the cluster began with.
    pub fn membership(&self) -> Option<&Membership> {
        let in_log = self.log.entries.iter().rev().find_map(|entry| match &entry.payload {
            Payload::Config(membership) => Some(&**membership),
            Payload::Noop | Payload::Data(_) => None,
        });
        let in_snapshot = self.log.snapshot.as_ref().map(|meta| &*meta.membership);
        let at_first = self.identity.as_ref().map(|identity| &identity.bootstrap);
        in_log.or(in_snapshot).or(at_first)
    }

    /// The last entry of which it is certain that it was committed, and that what it and all before
    /// it made of the state is here and whole: that of the newest whole snapshot.
    pub fn safe_up_to(&self) -> Option<LogId> {
        let whole = self.snapshots.iter().filter(|snapshot| snapshot.state_hash.is_some());
        whole.map(|snapshot| snapshot.meta.last).max()
    }

    /// Whether there is nothing: a directory that a node could begin in.
    pub fn is_empty(&self) -> bool {
        self.identity.is_none() && self.problems.is_empty()
    }
}

/// An entry of the log, and what its data says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntrySurvey {
    /// Which entry.
    pub id: LogId,
    /// Of everything that is in the entry: two that hash to the same are the same.
    pub hash: u64,
    /// The leader's clock when it was proposed, in milliseconds, if it says.
    pub clock_ms: Option<u64>,
    /// What it says.
    pub content: EntryContent,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryContent {
    /// Nothing: it opens a term.
    Noop,
    /// Who the members are.
    Config(Membership),
    /// Something for the state machine.
    Command {
        /// What makes it apply once, if anything does.
        session: Option<SessionHeader>,
        /// The state machine's own.
        command: Bytes,
    },
    /// A client wants a session, which is named after the entry.
    OpenSession {
        /// How long it lasts unused.
        ttl_ms: u64,
    },
    /// A leader said what its state hashes to.
    Check {
        /// The last entry that it had applied.
        index: Index,
        /// What the state hashed to.
        hash: u64,
        /// Who.
        by: NodeId,
    },
    /// What no program of this version writes.
    Unknown,
}

impl EntrySurvey {
    /// What is in an entry.
    pub fn of(entry: &Entry) -> Self {
        let mut bytes = Vec::new();
        raft_core::codec::put_entry(&mut bytes, entry);
        let (clock_ms, content) = match &entry.payload {
            Payload::Noop => (None, EntryContent::Noop),
            Payload::Config(membership) => (None, EntryContent::Config((**membership).clone())),
            Payload::Data(data) => match Envelope::decode(data.clone()) {
                None => (None, EntryContent::Unknown),
                Some(Envelope { clock_ms, content }) => match content {
                    Content::Command { session, command } => {
                        (Some(clock_ms), EntryContent::Command { session, command })
                    }
                    Content::OpenSession { ttl_ms } => {
                        (Some(clock_ms), EntryContent::OpenSession { ttl_ms })
                    }
                    Content::Check(Check { index, hash, by }) => {
                        (None, EntryContent::Check { index, hash, by })
                    }
                },
            },
        };
        Self { id: entry.id, hash: fnv(&bytes), clock_ms, content }
    }
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Looks at the data directory `root`. An error if it cannot be looked into at all; what is wrong
/// with what is in it is part of the answer. `disk` is only read from, if it is a
/// [`crate::ReadOnlyDisk`] for certain.
pub fn survey(disk: &Arc<dyn Disk>, root: &Path) -> Result<Survey, StorageError> {
    let names = disk.list(root).during("read", root)?;
    let mut survey = Survey::default();
    let temporary = names.iter().filter(|name| is_temporary(name));
    survey.leftovers = temporary.map(|name| root.join(name)).collect();
    match Identity::load(&**disk, root) {
        Ok(identity) => survey.identity = identity,
        Err(error) => survey.problems.push(error),
    }
    if survey.is_empty() {
        return Ok(survey);
    }
    let options = survey.identity.as_ref().map(|identity| identity.wal_options(0));
    // Without an identity the log still says whose it is.
    if let Some(options) = options.or_else(|| log::owner(&**disk, root)) {
        let (found, problem) = log::survey(&**disk, root, &options);
        survey.log = found;
        survey.problems.extend(problem);
        look_at_snapshots(disk, root, options.cluster, &mut survey)?;
    }
    Ok(survey)
}

fn look_at_snapshots(
    disk: &Arc<dyn Disk>,
    root: &Path,
    cluster: ClusterId,
    survey: &mut Survey,
) -> Result<(), StorageError> {
    let store = SnapshotStore::look(Arc::clone(disk), root, cluster);
    let last = survey.log.last();
    let wanted = named_snapshot(survey);
    let dir = root.join("snapshots");
    let names = match disk.list(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names.during("read", &dir)?,
    };
    survey.leftovers.extend(names.iter().filter(|name| is_temporary(name)).map(|n| dir.join(n)));
    if !names.is_empty() {
        for id in store.list()? {
            look_at_snapshot(&store, id, survey);
        }
        survey.arriving = store.staged()?;
    }
    if let Some(meta) = wanted
        && let Err(error) = store.reader(&meta)
    {
        survey.problems.push(error.vouching(last));
    }
    Ok(())
}

/// The snapshot that a start needs, as far as that can be told: one that is named before the log
/// breaks off may have been replaced since.
fn named_snapshot(survey: &Survey) -> Option<SnapshotMeta> {
    survey.log.snapshot.clone().filter(|_| !survey.log.broken)
}

/// Adds a snapshot to what is there. What is wrong with the one the log names is told elsewhere.
fn look_at_snapshot(store: &SnapshotStore, last: LogId, survey: &mut Survey) {
    let (meta, bytes) = match store.header(last) {
        Ok(header) => header,
        Err(error) => {
            let is_named = named_snapshot(survey).is_some_and(|meta| meta.last == last);
            survey.flaws.extend((!is_named).then_some(error));
            return;
        }
    };
    let named = named_snapshot(survey).as_ref() == Some(&meta);
    let state_hash = match store.reader(&meta).and_then(|mut reader| {
        let mut head = Vec::new();
        let path = store.path(last);
        reader.by_ref().take(state::HEAD).read_to_end(&mut head).during("read", &path)?;
        Ok(state::hash_in(&head))
    }) {
        Ok(hash) => hash,
        Err(error) => {
            survey.flaws.extend((!named).then_some(error));
            None
        }
    };
    let path = store.path(last);
    let named = (!survey.log.broken).then_some(named);
    survey.snapshots.push(SnapshotSurvey { path, meta, bytes, named, state_hash });
}
