//! Which cluster is meant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use raft_api::{ClusterConfig, address};
use raft_client::{Client, Options, Tracer};

use super::failure::Failure;

/// Where a local cluster serves clients when nothing is configured.
const DEFAULT_ENDPOINTS: [&str; 3] = ["127.0.0.1:7101", "127.0.0.1:7102", "127.0.0.1:7103"];

/// The cluster's nodes, as far as they are configured.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Number, if it is known, and client address.
    pub(crate) nodes: Vec<(Option<u64>, String)>,
    /// Whether nobody said where it is.
    pub(crate) is_assumed: bool,
    /// The file that was named, whether or not the nodes are from it.
    pub(crate) file: Option<PathBuf>,
    /// The file that the nodes are from, if they are from one.
    source: Option<PathBuf>,
    /// The cluster's name, if the nodes are from its file.
    pub(crate) cluster: Option<String>,
    /// Where a chaos run of this cluster writes down what it does, if the nodes are from its file.
    pub(crate) events: Option<PathBuf>,
    /// Who follows what is done.
    pub(crate) tracer: Option<Tracer>,
}

impl Target {
    /// What the command line says, else the environment, else the file that lies about, else the
    /// default addresses.
    pub(crate) fn find(config: Option<&Path>, endpoints: Vec<String>) -> Result<Self, Failure> {
        let mut endpoints = endpoints;
        // A script whose variable is empty means some cluster, and not the one that lies about.
        if !endpoints.is_empty() && endpoints.iter().all(String::is_empty) {
            let hint = "write the nodes' client addresses, as in 127.0.0.1:7101,127.0.0.1:7102";
            return Err(Failure::usage("--endpoints names nobody".to_owned(), Some(hint)));
        }
        let file = config.map(Path::to_owned);
        let mut origin = "--endpoints";
        if endpoints.is_empty() && config.is_none() {
            origin = "RAFT_ENDPOINTS";
            let variable = std::env::var(origin).unwrap_or_default();
            endpoints = variable.split(',').map(str::to_owned).collect();
        }
        endpoints.retain(|endpoint| !endpoint.is_empty());
        if let Some(why) = endpoints.iter().find_map(|it| address::check(it).err()) {
            let hint = "write the nodes' client addresses, as in 127.0.0.1:7101,127.0.0.1:7102";
            return Err(Failure::usage(format!("{origin}: {why}"), Some(hint)));
        }
        if !endpoints.is_empty() {
            let nodes = endpoints.into_iter().map(|endpoint| (None, endpoint)).collect();
            return Ok(Self {
                nodes,
                is_assumed: false,
                file,
                source: None,
                cluster: None,
                events: None,
                tracer: None,
            });
        }
        let Some(path) = ClusterConfig::locate(config)? else {
            let nodes = DEFAULT_ENDPOINTS.iter().map(|addr| (None, (*addr).to_owned())).collect();
            return Ok(Self {
                nodes,
                is_assumed: true,
                file,
                source: None,
                cluster: None,
                events: None,
                tracer: None,
            });
        };
        let config = ClusterConfig::load(&path)?;
        let nodes = config.nodes.iter().map(|node| (Some(node.id.0), node.client.clone()));
        let nodes = nodes.collect();
        // Beside its logs: `.raft/demo/events.jsonl` for `.raft/demo/logs`.
        let logs = &config.runner.logs_dir;
        let home = logs.parent().filter(|_| logs.file_name().is_some_and(|name| name == "logs"));
        let events = Some(home.unwrap_or(logs).join("events.jsonl"));
        let cluster = Some(config.name);
        Ok(Self {
            nodes,
            is_assumed: false,
            file,
            source: Some(path),
            cluster,
            events,
            tracer: None,
        })
    }

    /// How the members differ from the nodes that are configured, a line for each.
    pub(super) fn differences(&self, members: &[u64]) -> Vec<String> {
        let configured: Vec<u64> = self.nodes.iter().filter_map(|(id, _)| *id).collect();
        let Some(source) = self.source.as_ref().filter(|_| !members.is_empty()) else {
            return Vec::new();
        };
        let source = source.display();
        let gone = configured.iter().filter(|id| !members.contains(id));
        let joined = members.iter().filter(|id| !configured.contains(id));
        let gone = gone.map(|id| format!("n{id} is listed in {source} and is no member\n"));
        gone.chain(joined.map(|id| format!("n{id} is a member and is not listed in {source}\n")))
            .collect()
    }

    pub(crate) fn client(&self, timeout: Duration) -> Client {
        let options = self.options();
        Client::new(Options {
            operation_timeout: timeout,
            attempt_timeout: options.attempt_timeout.min(timeout),
            tracer: self.tracer.clone(),
            ..options
        })
    }

    pub(crate) fn options(&self) -> Options {
        let endpoints = self.nodes.iter().map(|(_, addr)| addr.clone());
        Options { cluster: self.cluster.clone(), ..Options::new(endpoints) }
    }
}
