//! Whose servers are run. All that is particular to servers that are not ours is below here; the faults,
//! the load and the judges are the same for all.

pub mod etcd;
pub mod members;
mod probe;
pub mod reigns;
mod wire;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use raft_api::cluster::ClusterConfig;

pub use self::etcd::Etcd;
pub use self::probe::Probe;
use crate::NodeId;
use crate::exit::Failure;
use crate::plan::{Condition, Fault, Scenario, Shape};

/// The name of a system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// This project's server.
    #[default]
    Raft,
    /// etcd, as it is installed.
    Etcd,
}

/// A system whose servers are run.
#[derive(Clone, Debug, Default)]
pub enum System {
    /// This project's server.
    #[default]
    Raft,
    /// etcd, 3.4 or later.
    Etcd(Etcd),
}

impl System {
    /// The system of this name, for a cluster with these nodes.
    pub(crate) fn of(name: Name, config: &ClusterConfig) -> Self {
        match name {
            Name::Raft => Self::Raft,
            Name::Etcd => Self::Etcd(Etcd::new(config)),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Raft => "raft",
            Self::Etcd(_) => "etcd",
        }
    }

    /// What it is, if it is not ours.
    pub(crate) fn foreign(&self) -> Option<&Etcd> {
        match self {
            Self::Raft => None,
            Self::Etcd(etcd) => Some(etcd),
        }
    }

    /// The server's executable, if it was not named and is not ours.
    pub(crate) fn program(&self) -> Option<Result<PathBuf, Failure>> {
        self.foreign().map(|_etcd| {
            let search = std::env::var_os("PATH").unwrap_or_default();
            let mut places = std::env::split_paths(&search).map(|place| place.join("etcd"));
            places.find(|file| file.is_file()).ok_or_else(|| {
                Failure::usage("there is no program etcd to run")
                    .hint("Debian: apt-get install etcd-server; or name it with --bin")
            })
        })
    }

    /// It was started as this process.
    pub(crate) fn started(&self, id: NodeId, pid: i32) {
        if let Self::Etcd(etcd) = self {
            etcd.members().started(id, pid);
        }
    }

    /// Why this fault cannot be done to it.
    pub(crate) fn cannot(&self, fault: &Fault) -> Option<&'static str> {
        self.foreign()?;
        match fault {
            Fault::BitFlip(_) => Some("where etcd's files may be damaged is not known here"),
            Fault::Transfer(_) => Some("no hand-over is asked of etcd"),
            Fault::Membership(_) => Some("no change of the membership is asked of etcd"),
            Fault::Partition(partition)
                if matches!(partition.shape.first(), Some(Shape::OneWayIn | Shape::OneWayOut)) =>
            {
                Some(
                    "members of etcd answer each other on whatever connection there is: no way alone can be cut",
                )
            }
            _ => None,
        }
    }

    /// What of a scenario cannot be looked at.
    pub(crate) fn unseen(&self, scenario: &Scenario) -> Vec<String> {
        if self.foreign().is_none() {
            return Vec::new();
        }
        let mut unseen = vec![
            "appends to lists: etcd has no such operation; other clients put, for the gaps"
                .to_owned(),
            "retries of writes: etcd has no sessions, so that a write in doubt is not repeated"
                .to_owned(),
        ];
        let random = scenario.random.iter().flat_map(|random| &random.faults);
        let mut steps = random.chain(&scenario.schedule);
        if steps.any(|step| step.until == Some(Condition::SnapshotNeeded)) {
            unseen.push(
                "whether a snapshot was needed: etcd does not tell how old its log is".to_owned(),
            );
        }
        unseen
    }
}

/// The log of a node, which a run of its own begins anew.
pub(crate) fn log_of(config: &ClusterConfig, id: NodeId) -> PathBuf {
    config.runner.logs_dir.join(format!("{id}.log"))
}

/// Removes what an earlier run has logged in the same place: what nodes log is judged.
pub(crate) fn clear_logs(config: &ClusterConfig) -> Result<(), Failure> {
    for node in &config.nodes {
        let log = log_of(config, node.id);
        remove(&log)?;
        remove(&log.with_extension("log.1"))?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::usage(format!("could not remove {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}
