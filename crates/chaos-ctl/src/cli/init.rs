//! `chaos-ctl init` and `chaos-ctl schema`: files to begin with.

use clap::Args;

use crate::exit::{Code, Failure};
use crate::output::Output;

/// Print a cluster.yaml to begin with: `chaos-ctl init > cluster.yaml`
#[derive(Debug, Args)]
pub(super) struct Init {
    /// How many nodes
    #[arg(short, long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: u16,
    /// Node 1 has its peers on the next port, its clients 100 above that, health and metrics 200
    #[arg(long, value_name = "PORT", default_value_t = 7000,
          value_parser = clap::value_parser!(u16).range(1..=65_000))]
    base_port: u16,
    /// The cluster's name
    #[arg(long, default_value = "demo")]
    name: String,
}

/// Print the JSON Schema of a file, for editors: `chaos-ctl schema > cluster.schema.json`
#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Of which file
    #[arg(value_enum, default_value = "cluster")]
    of: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Cluster,
    Scenario,
}

const CLUSTER_SCHEMA: &str = include_str!("../../../../docs/cluster.schema.json");
const SCENARIO_SCHEMA: &str = include_str!("../../../../docs/scenario.schema.json");

impl Init {
    pub(super) fn run(&self) -> Result<Code, Failure> {
        let yaml = self.yaml();
        // Only the name can be wrong.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if self.name.is_empty()
            || 64 < self.name.len()
            || !self.name.bytes().all(plain)
            || self.name.starts_with(['.', '-'])
        {
            let what = format!("`{}` is not a name for a cluster", self.name);
            return Err(Failure::usage(what)
                .hint("1 to 64 letters, digits, `_`, `.` or `-`, and no `.` or `-` first"));
        }
        Output::stdout().line(yaml.trim_end());
        Ok(Code::Done)
    }

    fn yaml(&self) -> String {
        let Self { nodes, base_port, name } = self;
        let first = [1, 101, 201].map(|more| base_port + more);
        let [peer, client, http] = first;
        let listed: Vec<String> = (1..=*nodes).map(|id| format!("  - id: {id}")).collect();
        let listed = listed.join("\n");
        let next = nodes + 1;
        format!(
            "# yaml-language-server: $schema=cluster.schema.json
# (`chaos-ctl schema > cluster.schema.json` writes that file, and editors then complete this one.)
# A cluster of {nodes} on one machine. Servers, clients and the chaos runner all read this file. Every
# key but `nodes` may be left out, and then has the value that stands here, except for the name.
version: 1

cluster:
  name: {name}             # Nodes of clusters with different names refuse one another.
  host: 127.0.0.1
  base_port: {base_port}        # Node 1: peers on {peer}, clients on {client}, health and metrics on {http}.

nodes:
{listed}
  # With an address of its own (client is then port + 100, http is port + 200):
  #   - {{id: {next}, addr: 10.0.0.{next}:7001}}

raft:
  heartbeat: 50ms
  election_timeout: 300-600ms   # Drawn anew each time; begins at three heartbeats or more.
  fast_failover: true           # A leader whose process is found gone is replaced at once.
  command_max: 4MiB             # A larger write is refused.
  snapshot:
    entries: 100k        # A snapshot is made after this many entries,
    bytes: 16MiB         # or this many bytes of them.
    trailing: 10k        # Entries kept for nodes that are a little behind.

storage:
  dir: .raft/{{name}}/n{{id}}       # Relative to this file, here and below.
  segment: 64MiB                # One file of the log.

runner:
  bin: raft-server       # Beside the runner, in target/, or in PATH.
  ready_timeout: 10s
  stop:
    grace: 5s            # Between asking a node to stop and making it.
  logs:
    dir: .raft/{{name}}/logs
"
        )
    }
}

impl Schema {
    pub(super) fn run(&self) -> Code {
        let text = match self.of {
            Kind::Cluster => CLUSTER_SCHEMA,
            Kind::Scenario => SCENARIO_SCHEMA,
        };
        Output::stdout().line(text.trim_end());
        Code::Done
    }
}

#[cfg(test)]
mod tests {
    use raft_api::cluster::ClusterConfig;

    use super::*;

    /// What stands in the file is what holds without it.
    #[test]
    fn the_file_says_what_the_defaults_are() {
        let dir = tempfile::tempdir().unwrap();
        let load = |yaml: &str| {
            let file = dir.path().join("cluster.yaml");
            std::fs::write(&file, yaml).unwrap();
            ClusterConfig::load(&file).unwrap()
        };
        for (nodes, base_port) in [(1, 7000), (3, 7000), (5, 9000)] {
            let init = Init { nodes, base_port, name: "mine".to_owned() };
            let whole = load(&init.yaml());
            let listed: Vec<String> = (1..=nodes).map(|id| format!("{{id: {id}}}")).collect();
            let listed = listed.join(", ");
            let brief = load(&format!(
                "cluster: {{name: mine, base_port: {base_port}}}\nnodes: [{listed}]\nrunner: {{bin: \
                 raft-server}}\n"
            ));
            assert_eq!(format!("{whole:?}"), format!("{brief:?}"));
        }
    }
}
