//! Which cluster a command is about: one in a file, one moved to other ports, or one made up.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use raft_api::cluster::{ClusterConfig, ConfigError};
use serde_yaml::{Mapping, Value};

use super::up::runner_of;
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::own::Own;

/// How the file of a cluster begins that `up` has made.
const MARK: &str = "# Written by `chaos-ctl up`";

/// Which cluster.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Which {
    /// The cluster's file. Without it: `RAFT_CONFIG`, ./cluster.yaml, ./configs/cluster.yaml; or, if
    /// none of these runs, the cluster that `up --nodes` or `up --port-offset` has made and runs
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) offset: Offset,
}

/// A second cluster of the same file.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Offset {
    /// A second cluster of the same file, with all ports higher by this, and data of its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port_offset: Option<u16>,
}

impl Which {
    /// The cluster of a command that is about one that is there.
    pub(super) fn load(&self) -> Result<ClusterConfig, Failure> {
        if let Some(offset) = self.offset.port_offset {
            let config = self.of_file()?;
            let file = offset_dir(&config, offset).join("cluster.yaml");
            if !file.is_file() {
                let what = format!("cluster {} was never started at these ports", config.name);
                return Err(Failure::new(Code::NotReady, what)
                    .hint(format!("`chaos-ctl up --port-offset {offset}` starts it")));
            }
            return ClusterConfig::load(&file).map_err(usage);
        }
        let named = self.config.is_some() || std::env::var_os("RAFT_CONFIG").is_some();
        let located = ClusterConfig::locate(self.config.as_deref()).map_err(usage)?;
        let located = located.map(|path| ClusterConfig::load(&path).map_err(usage)).transpose()?;
        if named || located.as_ref().is_some_and(|config| runner_of(&Home::of(config)).is_some()) {
            return located.ok_or_else(no_file);
        }
        let mut made = running(located.as_ref());
        match (made.len(), located) {
            (1, _) => Ok(made.remove(0)),
            (0, Some(config)) => Ok(config),
            (0, None) => Err(no_file()),
            _ => {
                let files: Vec<String> =
                    made.iter().map(|config| config.path.display().to_string()).collect();
                let what = format!("{} clusters run that `up` has made", files.len());
                let hint = format!("name one with -f: {}", files.join(", "));
                Err(Failure::usage(what).hint(hint))
            }
        }
    }

    /// The cluster that is to be started.
    pub(super) fn load_for_up(&self) -> Result<ClusterConfig, Failure> {
        let config = self.of_file()?;
        match self.offset.port_offset {
            Some(offset) => moved(&config, offset),
            None => Ok(config),
        }
    }

    fn of_file(&self) -> Result<ClusterConfig, Failure> {
        let path = ClusterConfig::locate(self.config.as_deref()).map_err(usage)?;
        ClusterConfig::load(&path.ok_or_else(no_file)?).map_err(usage)
    }
}

fn usage(error: ConfigError) -> Failure {
    let hint = error.hint().map(str::to_owned);
    Failure { hint, ..Failure::usage(error) }
}

fn no_file() -> Failure {
    Failure::usage("there is no cluster.yaml here, nor in configs/").hint(
        "name the file with -f FILE, or in RAFT_CONFIG; `chaos-ctl init` writes one, and \
         `chaos-ctl up --nodes 3` needs none",
    )
}

/// Clusters that `up` has made and that run: beside the located one, and here.
fn running(located: Option<&ClusterConfig>) -> Vec<ClusterConfig> {
    let beside = located.and_then(|config| Some(Home::of(config).dir().parent()?.to_owned()));
    let here = std::path::absolute(".raft").ok();
    let mut dirs: Vec<PathBuf> = beside.into_iter().chain(here).collect();
    dirs.dedup();
    let entries = dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path().join("cluster.yaml"))
        .filter(|file| is_made(file))
        .collect();
    files.sort();
    files.dedup();
    let configs = files.iter().filter_map(|file| ClusterConfig::load(file).ok());
    configs.filter(|config| runner_of(&Home::of(config)).is_some()).collect()
}

fn is_made(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.starts_with(MARK))
}

/// A cluster without a file of the user's: so many nodes in `.raft/NAME`, on ports that are free.
pub(super) fn made_up(nodes: u16, name: &str, fresh: bool) -> Result<ClusterConfig, Failure> {
    let dir = std::path::absolute(Path::new(".raft").join(name)).context("there is no folder")?;
    let file = dir.join("cluster.yaml");
    if is_made(&file) {
        let known = ClusterConfig::load(&file).map_err(usage)?;
        if known.nodes.len() == usize::from(nodes) {
            return Ok(known);
        }
        if !fresh {
            let what = format!("{} holds a cluster of {} nodes", dir.display(), known.nodes.len());
            return Err(Failure::usage(what)
                .hint("--fresh removes its data and begins anew; --name makes another one"));
        }
    }
    let listed = (1..=nodes).map(|id| format!("{{id: {id}}}")).collect::<Vec<_>>().join(", ");
    let yaml = format!(
        "version: 1\ncluster: {{name: NAME, host: 127.0.0.1, base_port: BASE_PORT}}\nnodes: \
         [{listed}]\nstorage: {{dir: 'n{{id}}'}}\nrunner: {{logs: {{dir: logs}}}}\n"
    );
    Own { dir: &dir, mark: MARK, yaml: &yaml, name, ids: nodes }.write()
}

fn offset_dir(config: &ClusterConfig, offset: u16) -> PathBuf {
    let home = Home::of(config);
    let mut name = home.dir().file_name().unwrap_or_default().to_owned();
    name.push(format!("-p{offset}"));
    home.dir().with_file_name(name)
}

/// The same cluster with all ports higher, written down so that every program finds it.
fn moved(config: &ClusterConfig, offset: u16) -> Result<ClusterConfig, Failure> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| {
        Failure::usage(format!("could not write {}: {error}", path.display()))
    };
    let text = fs::read_to_string(&config.path)
        .with_context(|| format!("could not read {}", config.path.display()))?;
    let mut yaml: Value = serde_yaml::from_str(&text).map_err(Failure::usage)?;
    move_ports(&mut yaml, config, offset).map_err(Failure::usage)?;
    let dir = offset_dir(config, offset);
    fs::create_dir_all(&dir).map_err(|error| failed(&dir, &error))?;
    let file = dir.join("cluster.yaml");
    // Somebody may be running it now; the file is theirs until they are done.
    drop(Home::at(&dir).lock()?);
    let yaml = serde_yaml::to_string(&yaml).map_err(anyhow::Error::from)?;
    let from = config.path.display();
    let text = format!("{MARK} --port-offset {offset}, and again each time, from {from}.\n{yaml}");
    fs::write(&file, text).map_err(|error| failed(&file, &error))?;
    ClusterConfig::load(&file).map_err(usage)
}

fn move_ports(yaml: &mut Value, config: &ClusterConfig, offset: u16) -> Result<(), String> {
    let root = yaml.as_mapping_mut().ok_or("the file is no mapping")?;
    let cluster = section(root, "cluster");
    cluster.insert("name".into(), format!("{}-p{offset}", config.name).into());
    let base = cluster.get("base_port").and_then(Value::as_u64).unwrap_or(7000);
    cluster.insert("base_port".into(), (base + u64::from(offset)).into());
    section(root, "storage").insert("dir".into(), "n{id}".into());
    let runner = section(root, "runner");
    runner.insert("logs".into(), Mapping::from_iter([("dir".into(), "logs".into())]).into());
    // The new file is elsewhere; a path to the server would be read from there.
    if let Some(bin) = config.runner.bin.as_ref().filter(|bin| 1 < bin.components().count()) {
        runner.insert("bin".into(), bin.display().to_string().into());
    }
    let nodes = root.get_mut("nodes").and_then(Value::as_sequence_mut);
    for node in nodes.into_iter().flatten() {
        for key in ["addr", "peer", "client", "http"] {
            let Some(address) = node.get_mut(key) else { continue };
            let Some((host, port)) = address.as_str().and_then(|text| text.rsplit_once(':')) else {
                continue;
            };
            let port = port.parse::<u16>().ok().and_then(|port| port.checked_add(offset));
            let port =
                port.ok_or_else(|| format!("{key} has no port that is higher by {offset}"))?;
            *address = format!("{host}:{port}").into();
        }
    }
    Ok(())
}

/// A mapping of this name, which may not be there or be empty.
fn section<'a>(root: &'a mut Mapping, name: &str) -> &'a mut Mapping {
    let entry = root.entry(name.into()).or_insert(Value::Null);
    if !entry.is_mapping() {
        *entry = Mapping::new().into();
    }
    entry.as_mapping_mut().expect("it was just made one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ports_move_and_the_data_is_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cluster.yaml");
        let yaml = "cluster: {name: demo, base_port: 7300}\nnodes:\n  - {id: 1}\n  - {id: 2, \
                    addr: '127.0.0.1:7500'}\n  - {id: 3, peer: '127.0.0.1:7001', client: \
                    '127.0.0.1:7101', http: '127.0.0.1:7201'}\nraft: {heartbeat: 40ms}\nrunner:\n";
        fs::write(&file, yaml).unwrap();
        let first = ClusterConfig::load(&file).unwrap();
        let second = moved(&first, 50).unwrap();
        assert_eq!(second.name, "demo-p50");
        for (one, other) in first.nodes.iter().zip(&second.nodes) {
            let pairs =
                [(&one.peer, &other.peer), (&one.client, &other.client), (&one.http, &other.http)];
            for (one, other) in pairs {
                let port = |text: &str| text.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
                assert_eq!(port(one) + 50, port(other));
            }
            assert_ne!(one.data_dir, other.data_dir);
            assert!(other.data_dir.starts_with(Home::of(&second).dir()));
        }
        assert_eq!(first.raft, second.raft);
        assert_ne!(Home::of(&first).dir(), Home::of(&second).dir());
        assert!(moved(&first, 60_000).is_err());
    }
}
