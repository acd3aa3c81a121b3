//! `cluster.yaml`: the one file that servers, clients and the chaos runner read.
//!
//! What is read is checked as a whole before anybody sees it: a [`ClusterConfig`] cannot name a
//! node twice, share a port or hold timings under which no leader could last. Paths in it are
//! absolute, so that the same file means the same directories from wherever it is read.

mod error;
mod raw;
mod source;
mod validate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use raft_core::{ClusterId, Membership, NodeId, Seat};

use crate::contact::Contact;
use crate::units::DurationRange;

pub use error::ConfigError;

/// A cluster as its file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The file, absolute.
    pub path: PathBuf,
    /// The cluster's name: from it comes [`ClusterConfig::cluster_id`].
    pub name: String,
    /// The nodes, by ascending id; at least one.
    pub nodes: Vec<NodeConfig>,
    /// The protocol's settings.
    pub raft: RaftConfig,
    /// The log's settings.
    pub storage: StorageConfig,
    /// How processes are run.
    pub runner: RunnerConfig,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Its id; not 0.
    pub id: NodeId,
    /// Where other nodes reach it, as `host:port`.
    pub peer: String,
    /// Where clients reach it, as `host:port`.
    pub client: String,
    /// Where it shows health and metrics, as `host:port`.
    pub http: String,
    /// Environment variables its process gets besides the runner's own.
    pub env: BTreeMap<String, String>,
    /// Arguments its process gets after the runner's own.
    pub args: Vec<String>,
    /// Where it keeps its data, absolute. No two nodes share one.
    pub data_dir: PathBuf,
}

/// The protocol's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftConfig {
    /// How often a leader says that it is alive.
    pub heartbeat: Duration,
    /// How long without a leader before a node campaigns, drawn anew from this range each time. Its
    /// lower bound is at least three heartbeats.
    pub election_timeout: DurationRange,
    /// Whether a leader whose process is found gone is replaced at once, without waiting until its
    /// silence has lasted an election timeout.
    pub fast_failover: bool,
    /// A snapshot is made after this many entries,
    pub snapshot_entries: u64,
    /// or after this many bytes of them.
    pub snapshot_bytes: u64,
    /// Entries kept after a snapshot covers them, for nodes that are a little behind.
    pub trailing_entries: u64,
    /// Bytes in one command, at most.
    pub command_bytes_max: u64,
}

/// The log's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// Bytes in one file of the log.
    pub segment_bytes: u64,
}

/// How processes are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerConfig {
    /// The server's program: a bare name is for the runner to find, anything else is absolute.
    pub bin: Option<PathBuf>,
    /// How long a node may take until it is ready.
    pub ready_timeout: Duration,
    /// How long a node may take to stop when asked to.
    pub stop_grace: Duration,
    /// Where the nodes' output goes, absolute.
    pub logs_dir: PathBuf,
}

/// Names the file where no command line does.
const ENV: &str = "RAFT_CONFIG";

impl NodeConfig {
    /// Where it listens.
    pub fn contact(&self) -> Contact {
        let Self { peer, client, http, .. } = self.clone();
        Contact { peer, client, http }
    }
}

impl ClusterConfig {
    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        validate::load(path)
    }

    /// Finds the file: the one that is named, or else in the environment's `RAFT_CONFIG`, or else
    /// `cluster.yaml` here or in `configs/`. Nothing if there is none of these; an error if one is
    /// named that does not exist.
    pub fn locate(explicit: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
        let env = std::env::var_os(ENV).filter(|value| !value.is_empty()).map(PathBuf::from);
        locate_from(Path::new(""), explicit, env.as_deref())
    }

    /// The node of this id.
    pub fn node(&self, id: NodeId) -> Option<&NodeConfig> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// The cluster's id: its name, hashed (FNV-1a, 64 bits), so that nodes of different clusters
    /// refuse one another.
    pub fn cluster_id(&self) -> ClusterId {
        let mix = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        ClusterId(self.name.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
    }

    /// The configuration a new cluster begins with: every node votes.
    pub fn membership(&self) -> Membership {
        let seat = |node: &NodeConfig| Seat { contact: node.contact().encode(), ..Seat::default() };
        let seats = self.nodes.iter().map(|node| (node.id, seat(node))).collect();
        let voters = Membership::of_voters(self.nodes.iter().map(|node| node.id));
        Membership { seats, ..voters }
    }

    /// A node that is to join, and so need not be in the file: with the addresses and the directory
    /// that it would have there as `{id: ID, addr: ADDR}`.
    pub fn newcomer(&self, id: NodeId, addr: Option<&str>) -> Result<NodeConfig, ConfigError> {
        validate::newcomer(&self.path, id, addr)
    }

    /// Where clients reach the nodes, in the nodes' order.
    pub fn client_endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.client.clone()).collect()
    }

    /// What is allowed but seldom meant, one line each.
    pub fn warnings(&self) -> Vec<String> {
        validate::warnings(self)
    }
}

/// [`ClusterConfig::locate`] with all it depends on. `here` is the current directory, or empty.
fn locate_from(
    here: &Path,
    explicit: Option<&Path>,
    env: Option<&Path>,
) -> Result<Option<PathBuf>, ConfigError> {
    let named = explicit.map(|path| (path, None)).or(env.map(|path| (path, Some(ENV))));
    let candidates = match named {
        Some((path, _)) if path.is_absolute() => vec![path.to_owned()],
        Some((path, _)) => vec![here.join(path), here.join("configs").join(path)],
        None => ["cluster.yaml", "configs/cluster.yaml"].map(|path| here.join(path)).to_vec(),
    };
    match candidates.iter().find(|candidate| candidate.is_file()) {
        Some(found) => Ok(Some(found.clone())),
        None => match named {
            Some((path, variable)) => match candidates.iter().find(|path| path.is_dir()) {
                Some(directory) => Err(ConfigError::directory(directory, variable)),
                None => Err(ConfigError::not_found(path, variable, &candidates)),
            },
            None => Ok(None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Named beats environment beats the usual places, and a name that leads nowhere is an error
    /// that says where it led.
    #[test]
    fn the_file_is_found_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path();
        let locate = |explicit: Option<&str>, env: Option<&str>| {
            locate_from(here, explicit.map(Path::new), env.map(Path::new))
        };
        assert_eq!(locate(None, None).unwrap(), None);

        std::fs::create_dir(here.join("configs")).unwrap();
        for name in ["configs/cluster.yaml", "configs/five.yaml"] {
            std::fs::write(here.join(name), "").unwrap();
        }
        assert_eq!(locate(None, None).unwrap(), Some(here.join("configs/cluster.yaml")));
        std::fs::write(here.join("cluster.yaml"), "").unwrap();
        assert_eq!(locate(None, None).unwrap(), Some(here.join("cluster.yaml")));
        let five = Some(here.join("configs/five.yaml"));
        assert_eq!(locate(None, Some("five.yaml")).unwrap(), five);
        assert_eq!(locate(Some("configs/five.yaml"), Some("none.yaml")).unwrap(), five);

        let error = locate(Some("none.yaml"), None).unwrap_err();
        assert!(error.is_not_found());
        let hint = error.hint().unwrap();
        assert!(hint.contains("configs/none.yaml"), "{hint}");
        let error = locate(None, Some("none.yaml")).unwrap_err();
        assert!(error.to_string().contains("RAFT_CONFIG"), "{error}");

        let error = locate(Some("configs"), None).unwrap_err();
        assert!(error.to_string().ends_with("configs: is a directory, not a file"), "{error}");
        assert!(!error.is_not_found());
    }
}
