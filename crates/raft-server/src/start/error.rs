//! Why a node did not start, and what to do about it.

use std::io;
use std::path::PathBuf;

use raft_api::cluster::{ClusterConfig, ConfigError};
use raft_core::NodeId;
use raft_replica::{OpenError, StorageError};

/// Why a node did not start. Each is one line for the operator, with a hint beside it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The node is not in the file.
    #[error("node {id} is not in {file}, which has {known}")]
    UnknownNode {
        /// The node.
        id: u64,
        /// The file.
        file: String,
        /// The nodes in it.
        known: String,
    },
    /// The node is to join under an address that cannot be.
    #[error("--addr {addr} cannot be node {}'s: {}", id.0, error.reason())]
    Newcomer {
        /// The node.
        id: NodeId,
        /// What was given.
        addr: String,
        /// What is wrong with it.
        error: Box<ConfigError>,
    },
    /// The node is to join, and no address follows from its number.
    #[error(
        "node {} is not in {}, and it has no address by its number: {}",
        id.0, file.display(), error.reason()
    )]
    Unplaced {
        /// The node.
        id: NodeId,
        /// The cluster's file.
        file: PathBuf,
        /// What is wrong.
        error: Box<ConfigError>,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The same, and it may be so for good.
    #[error("{error}")]
    Lost {
        /// Why it cannot be used.
        error: OpenError,
        /// The commands by which the node comes back without it.
        way_back: String,
    },
    /// Nobody can be served.
    #[error("cannot listen for {whom} on {address}: {error}")]
    Listen {
        /// Who would have connected.
        whom: &'static str,
        /// Where.
        address: String,
        /// What was wrong.
        error: io::Error,
    },
    /// Nothing can be recorded.
    #[error("cannot record into {}: {error}", dir.display())]
    Record {
        /// The directory.
        dir: PathBuf,
        /// What was wrong.
        error: io::Error,
    },
    /// It is not clear what is to go wrong.
    #[error("--debug-faults {}: {what}", dir.display())]
    Laboratory {
        /// The directory.
        dir: PathBuf,
        /// What was wrong.
        what: String,
    },
    /// The operating system gives no more threads.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// Why the data directory cannot be used, and what else there is if that may be so for good.
pub(super) fn unopened(error: OpenError, way_back: impl FnOnce() -> String) -> StartError {
    match error {
        OpenError::Inconsistent { .. }
        | OpenError::Storage(
            StorageError::Damaged(_) | StorageError::NotOurs { .. } | StorageError::Foreign { .. },
        ) => StartError::Lost { error, way_back: way_back() },
        error => error.into(),
    }
}

/// Nobody of this number is in the file.
pub(super) fn unknown_node(config: &ClusterConfig, id: NodeId) -> StartError {
    let known: Vec<_> = config.nodes.iter().map(|node| node.id.0.to_string()).collect();
    let file = config.path.display().to_string();
    let known = match known.as_slice() {
        [one] => format!("node {one} only"),
        several => format!("nodes {}", several.join(", ")),
    };
    StartError::UnknownNode { id: id.0, file, known }
}

impl StartError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownNode { .. } => {
                let hint =
                    "start one of these, or let a new node join a running cluster with --join";
                Some(hint.to_owned())
            }
            Self::Newcomer { error, .. } => {
                let hint = error.hint().unwrap_or("write host:port, as in 127.0.0.1:7004");
                Some(hint.to_owned())
            }
            Self::Unplaced { .. } => Some("say where it listens, with --addr HOST:PORT".to_owned()),
            Self::Open(error) => {
                let hint = error.hint().unwrap_or("check that the directory can be written");
                Some(hint.to_owned())
            }
            Self::Lost { error, way_back } => Some(format!(
                "{}. If it is lost, let the node come back as another member: {way_back}",
                error.hint().unwrap_or_default()
            )),
            Self::Listen { error, .. } if error.kind() == io::ErrorKind::AddrInUse => {
                Some("another process listens there: is this node running already?".to_owned())
            }
            Self::Listen { .. } => {
                Some("the address is this node's `addr` in the cluster file".to_owned())
            }
            Self::Record { .. } => {
                Some("--record wants a directory that can be written".to_owned())
            }
            Self::Laboratory { .. } => {
                Some("docs/laboratory-server.md says what is in control.json".to_owned())
            }
            Self::Thread(_) => Some("see `ulimit -u`".to_owned()),
        }
    }
}
