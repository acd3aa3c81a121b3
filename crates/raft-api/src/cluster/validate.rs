//! From the file's shape to a cluster that makes sense.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use raft_core::{MEMBERS_MAX, NodeId};

use super::error::ConfigError;
use super::raw;
use super::source::Source;
use super::source::Step::{self, Item, Key};
use super::{ClusterConfig, NodeConfig, RaftConfig, RunnerConfig, StorageConfig};
use crate::address::{Address, check_host};
use crate::units::{ByteSize, Count, DurationRange, HumanDuration};

/// What a file may leave out.
mod default {
    use std::time::Duration;

    pub(super) const NAME: &str = "default";
    pub(super) const HOST: &str = "127.0.0.1";
    pub(super) const BASE_PORT: u64 = 7000;
    pub(super) const HEARTBEAT: Duration = Duration::from_millis(50);
    pub(super) const ELECTION_TIMEOUT: [Duration; 2] =
        [Duration::from_millis(300), Duration::from_millis(600)];
    pub(super) const SNAPSHOT_ENTRIES: u64 = 100_000;
    pub(super) const SNAPSHOT_BYTES: u64 = 16 << 20;
    pub(super) const TRAILING_ENTRIES: u64 = 10_000;
    pub(super) const COMMAND_BYTES_MAX: u64 = 4 << 20;
    pub(super) const SEGMENT_BYTES: u64 = 64 << 20;
    pub(super) const DATA_DIR: &str = ".raft/{name}/n{id}";
    pub(super) const LOGS_DIR: &str = ".raft/{name}/logs";
    pub(super) const READY_TIMEOUT: Duration = Duration::from_secs(10);
    pub(super) const STOP_GRACE: Duration = Duration::from_secs(5);
}

/// Where a node's other ports are, from its peer port.
const CLIENT_PORT_OFFSET: u64 = 100;
const HTTP_PORT_OFFSET: u64 = 200;

/// Heartbeats that fit into the shortest election timeout, at least: one may be late and one lost.
const HEARTBEATS_PER_ELECTION_MIN: u32 = 3;

/// The system hands these out to outgoing connections (Linux), so that a server may find its port
/// taken now and then.
const EPHEMERAL_PORTS: RangeInclusive<u16> = 32_768..=60_999;

const NAME_LEN_MAX: usize = 64;

/// Reads and checks a file.
pub(super) fn load(path: &Path) -> Result<ClusterConfig, ConfigError> {
    load_with(path, None)
}

/// The node that the file would have, were `{id: ID, addr: ADDR}` in it.
pub(super) fn newcomer(
    path: &Path,
    id: NodeId,
    addr: Option<&str>,
) -> Result<NodeConfig, ConfigError> {
    let config = load_with(path, Some((id, addr)))?;
    Ok(config.node(id).expect("it was put in").clone())
}

fn load_with(
    path: &Path,
    newcomer: Option<(NodeId, Option<&str>)>,
) -> Result<ClusterConfig, ConfigError> {
    let source = Source::read(path)?;
    let file: raw::File = source.parse()?;
    let path = absolute(path).map_err(|error| ConfigError::unreadable(path, error))?;
    let dir = path.parent().unwrap_or(Path::new("/"));
    if let Some(version) = file.version.filter(|version| *version != 1) {
        let error = source.error(&[Key("version")], format!("unknown version {version}"));
        return Err(error.with_hint("this program reads version 1"));
    }
    let cluster = Cluster::check(&source, file.cluster.unwrap_or_default())?;
    let storage = file.storage.unwrap_or_default();
    let mut nodes = Vec::new();
    let listed = file.nodes.unwrap_or_default();
    if MEMBERS_MAX < listed.len() {
        let what =
            format!("{} nodes are more than the {MEMBERS_MAX} a cluster may have", listed.len());
        return Err(source.error(&[Key("nodes"), Item(MEMBERS_MAX)], what));
    }
    for (position, node) in listed.into_iter().enumerate() {
        nodes.push(cluster.node(&source, position, node)?);
    }
    if let Some((id, addr)) = newcomer {
        let node = raw::Node { id: id.0, addr: addr.map(str::to_owned), ..raw::Node::default() };
        nodes.retain(|node| node.id != id);
        nodes.push(cluster.node(&source, nodes.len(), node)?);
    }
    if nodes.is_empty() {
        let error = source.error(&[Key("nodes")], "a cluster needs at least one node");
        return Err(error.with_hint("write `nodes: [{id: 1}, {id: 2}, {id: 3}]`"));
    }
    refuse_duplicates(&source, &nodes)?;
    set_data_dirs(&source, &mut nodes, dir, (&cluster.name, storage.dir.as_deref()))?;
    nodes.sort_by_key(|node| node.id);
    Ok(ClusterConfig {
        raft: raft(&source, file.raft.unwrap_or_default())?,
        storage: StorageConfig { segment_bytes: segment_bytes(&source, storage.segment)? },
        runner: runner(&source, file.runner.unwrap_or_default(), dir, &cluster.name)?,
        name: cluster.name,
        nodes,
        path,
    })
}

/// What is allowed but seldom meant.
pub(super) fn warnings(config: &ClusterConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    let count = config.nodes.len();
    if count.is_multiple_of(2) {
        let fewer = count - 1;
        warnings.push(format!("{count} nodes survive no more failures than {fewer} would"));
    }
    for node in &config.nodes {
        for (role, address) in roles(node) {
            let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
            if port.is_some_and(|port| EPHEMERAL_PORTS.contains(&port)) {
                let (first, last) = EPHEMERAL_PORTS.into_inner();
                warnings.push(format!(
                    "the {role} port of node {} ({address}) is among those that outgoing \
                     connections take ({first}-{last})",
                    node.id.0
                ));
            }
        }
    }
    if 1 < count && config.raft.election_timeout.width() < config.raft.heartbeat {
        warnings.push(format!(
            "an election timeout of {} is hardly random: nodes may campaign at once, again and \
             again",
            config.raft.election_timeout
        ));
    }
    warnings
}

/// The section `cluster`, checked.
struct Cluster {
    name: String,
    host: String,
    base_port: u64,
}

impl Cluster {
    fn check(source: &Source, cluster: raw::Cluster) -> Result<Self, ConfigError> {
        let name = cluster.name.unwrap_or_else(|| default::NAME.to_owned());
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let begins_well = |name: &str| !name.starts_with(['.', '-']);
        if name.is_empty()
            || NAME_LEN_MAX < name.len()
            || !name.bytes().all(plain)
            || !begins_well(&name)
        {
            let what = format!("`{name}` is not a name for a cluster");
            let error = source.error(&[Key("cluster"), Key("name")], what);
            return Err(error.with_hint(
                "1 to 64 letters, digits, `_`, `.` or `-`, and no `.` or `-` first: it becomes \
                 part of a path",
            ));
        }
        let host = cluster.host.unwrap_or_else(|| default::HOST.to_owned());
        let at = [Key("cluster"), Key("host")];
        check_host(&host).map_err(|what| source.error(&at, what))?;
        let base_port = cluster.base_port.unwrap_or(default::BASE_PORT);
        if u64::from(u16::MAX) < base_port {
            let at = [Key("cluster"), Key("base_port")];
            let what = format!("{base_port} is not a port: the last is {}", u16::MAX);
            return Err(source.error(&at, what));
        }
        Ok(Self { name, host, base_port })
    }

    /// A node with its addresses; its data directory is still to come.
    fn node(
        &self,
        source: &Source,
        position: usize,
        node: raw::Node,
    ) -> Result<NodeConfig, ConfigError> {
        let at = |key| [Key("nodes"), Item(position), Key(key)];
        let id = node.id;
        if id == 0 {
            let error = source.error(&at("id"), "0 is not a node id");
            return Err(error.with_hint("ids begin at 1"));
        }
        if node.addr.is_some() && node.peer.is_some() {
            let what = format!("node {id} has `addr` and `peer`, which are the same");
            return Err(source.error(&at("peer"), what).with_hint("keep one of them"));
        }
        let peer_key = if node.addr.is_some() { "addr" } else { "peer" };
        let given = |key, address: Option<String>| match address {
            Some(text) => {
                Address::parse(&text).map(Some).map_err(|what| source.error(&at(key), what))
            }
            None => Ok(None),
        };
        let derived = |role, host: &str, port: u64| {
            Address::new(host, port).map_err(|what| {
                let what = format!("the {role} address of node {id}: {what}");
                let hint = "addresses that are not written follow from others: peer is base_port + \
                            id, client is peer + 100, http is peer + 200";
                source
                    .error(&at(if role == "peer" { "id" } else { peer_key }), what)
                    .with_hint(hint)
            })
        };
        let peer = match given(peer_key, node.addr.or(node.peer))? {
            Some(peer) => peer,
            None => derived("peer", &self.host, self.base_port.saturating_add(id))?,
        };
        let or_beside_peer = |role, text, offset| match given(role, text)? {
            Some(address) => Ok(address),
            None => derived(role, &peer.host, u64::from(peer.port) + offset),
        };
        let client = or_beside_peer("client", node.client, CLIENT_PORT_OFFSET)?;
        let http = or_beside_peer("http", node.http, HTTP_PORT_OFFSET)?;
        let env = node.env.unwrap_or_default();
        if let Some(name) = env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Err(source.error(&at("env"), format!("`{name}` cannot name a variable")));
        }
        Ok(NodeConfig {
            id: NodeId(id),
            peer: peer.to_string(),
            client: client.to_string(),
            http: http.to_string(),
            env,
            args: node.args.unwrap_or_default(),
            data_dir: PathBuf::new(),
        })
    }
}

fn roles(node: &NodeConfig) -> [(&'static str, &str); 3] {
    [("peer", &node.peer), ("client", &node.client), ("http", &node.http)]
}

/// `nodes` is in the order of the file.
fn refuse_duplicates(source: &Source, nodes: &[NodeConfig]) -> Result<(), ConfigError> {
    let mut ids = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for (position, node) in nodes.iter().enumerate() {
        if let Some(first) = ids.insert(node.id, position) {
            let line = source.line(&[Key("nodes"), Item(first), Key("id")]).unwrap_or_default();
            let what = format!("node {} is already in line {line}", node.id.0);
            let error = source.error(&[Key("nodes"), Item(position), Key("id")], what);
            return Err(error.with_hint("every node has an id of its own"));
        }
        for (role, address) in roles(node) {
            let same_host = address.to_ascii_lowercase().replace("localhost:", "127.0.0.1:");
            let Some((other, other_role)) = addresses.insert(same_host, (node.id, role)) else {
                continue;
            };
            let what = format!(
                "{address} is the {role} address of node {} and the {other_role} address of node {}",
                node.id.0, other.0
            );
            let at = [Key("nodes"), Item(position), Key(role)];
            return Err(source.error(&at, what).with_hint(
                "every address is used once; one that is not written follows from the peer's: \
                 client is +100, http is +200",
            ));
        }
    }
    Ok(())
}

/// Gives every node its directory. `names`: the cluster's, and the template that is in the file.
fn set_data_dirs(
    source: &Source,
    nodes: &mut [NodeConfig],
    base: &Path,
    (name, template): (&str, Option<&str>),
) -> Result<(), ConfigError> {
    let at = [Key("storage"), Key("dir")];
    let template = template.unwrap_or(default::DATA_DIR);
    if 1 < nodes.len() && !template.contains("{id}") {
        let error = source.error(&at, "all nodes would share one directory");
        return Err(error.with_hint("put {id} into it, as in .raft/{name}/n{id}"));
    }
    for node in nodes {
        let template = template.replace("{id}", &node.id.0.to_string());
        node.data_dir = directory(source, &at, base, &template, name)?;
    }
    Ok(())
}

/// An absolute directory from a template. A relative one begins at the file's own directory.
fn directory(
    source: &Source,
    at: &[Step],
    base: &Path,
    template: &str,
    name: &str,
) -> Result<PathBuf, ConfigError> {
    let path = template.replace("{name}", name);
    if path.trim().is_empty() {
        return Err(source.error(at, "an empty path"));
    }
    if path.contains(['{', '}']) {
        let error = source.error(at, format!("`{template}` has a placeholder that is not known"));
        return Err(error.with_hint("known are {name}, and for data {id}"));
    }
    Ok(normalized(&base.join(path)))
}

fn raft(source: &Source, raft: raw::Raft) -> Result<RaftConfig, ConfigError> {
    let at = |key| [Key("raft"), Key(key)];
    let heartbeat = raft.heartbeat.map_or(default::HEARTBEAT, Duration::from);
    within(
        source,
        &at("heartbeat"),
        HumanDuration(heartbeat),
        [HumanDuration(Duration::from_millis(1)), HumanDuration(Duration::from_mins(1))],
    )?;
    let [min, max] = default::ELECTION_TIMEOUT;
    let election_timeout = raft
        .election_timeout
        .unwrap_or_else(|| DurationRange::new(min, max).expect("the defaults are in order"));
    let longest = HumanDuration(election_timeout.max());
    let bounds = [Duration::ZERO, Duration::from_mins(10)].map(HumanDuration);
    within(source, &at("election_timeout"), longest, bounds)?;
    let needed = heartbeat * HEARTBEATS_PER_ELECTION_MIN;
    if election_timeout.min() < needed {
        let key = if raft.election_timeout.is_some() { "election_timeout" } else { "heartbeat" };
        let what = format!(
            "an election timeout from {} is too short for a heartbeat of {}: no leader would last",
            HumanDuration(election_timeout.min()),
            HumanDuration(heartbeat)
        );
        let needed = HumanDuration(needed);
        let hint = format!("three heartbeats must fit: let election_timeout begin at {needed}");
        return Err(source.error(&at(key), what).with_hint(hint));
    }
    let snapshot = raft.snapshot.unwrap_or_default();
    let in_snapshot = |key| [Key("raft"), Key("snapshot"), Key(key)];
    let entries = snapshot.entries.unwrap_or(Count(default::SNAPSHOT_ENTRIES));
    within(source, &in_snapshot("entries"), entries, [Count(1), Count(u64::MAX)])?;
    let bytes = snapshot.bytes.unwrap_or(ByteSize(default::SNAPSHOT_BYTES));
    within(source, &in_snapshot("bytes"), bytes, [ByteSize(4 << 10), ByteSize(1 << 40)])?;
    let trailing = snapshot.trailing.unwrap_or(Count(default::TRAILING_ENTRIES));
    let command = raft.command_max.unwrap_or(ByteSize(default::COMMAND_BYTES_MAX));
    within(source, &at("command_max"), command, [ByteSize(1 << 10), ByteSize(16 << 20)])?;
    Ok(RaftConfig {
        heartbeat,
        election_timeout,
        fast_failover: raft.fast_failover.unwrap_or(true),
        snapshot_entries: entries.0,
        snapshot_bytes: bytes.0,
        trailing_entries: trailing.0,
        command_bytes_max: command.0,
    })
}

fn segment_bytes(source: &Source, segment: Option<ByteSize>) -> Result<u64, ConfigError> {
    let segment = segment.unwrap_or(ByteSize(default::SEGMENT_BYTES));
    let at = [Key("storage"), Key("segment")];
    within(source, &at, segment, [ByteSize(64 << 10), ByteSize(1 << 30)])?;
    Ok(segment.0)
}

fn runner(
    source: &Source,
    runner: raw::Runner,
    base: &Path,
    name: &str,
) -> Result<RunnerConfig, ConfigError> {
    let bin = match runner.bin {
        Some(bin) if bin.trim().is_empty() => {
            return Err(source.error(&[Key("runner"), Key("bin")], "an empty path"));
        }
        Some(bin) if bin.contains('/') => Some(normalized(&base.join(bin))),
        bin => bin.map(PathBuf::from),
    };
    let bounds = [Duration::from_millis(1), Duration::from_hours(1)].map(HumanDuration);
    let ready = runner.ready_timeout.unwrap_or(HumanDuration(default::READY_TIMEOUT));
    within(source, &[Key("runner"), Key("ready_timeout")], ready, bounds)?;
    let grace = runner.stop.unwrap_or_default().grace;
    let grace = grace.unwrap_or(HumanDuration(default::STOP_GRACE));
    within(source, &[Key("runner"), Key("stop"), Key("grace")], grace, bounds)?;
    let logs = runner.logs.unwrap_or_default().dir;
    let logs = logs.as_deref().unwrap_or(default::LOGS_DIR);
    let at = [Key("runner"), Key("logs"), Key("dir")];
    let logs_dir = directory(source, &at, base, logs, name)?;
    Ok(RunnerConfig { bin, ready_timeout: ready.0, stop_grace: grace.0, logs_dir })
}

fn within<T: Copy + PartialOrd + fmt::Display>(
    source: &Source,
    at: &[Step],
    value: T,
    [min, max]: [T; 2],
) -> Result<(), ConfigError> {
    let bound = if value < min {
        format!("is less than the {min} it must be")
    } else if max < value {
        format!("is more than the {max} it may be")
    } else {
        return Ok(());
    };
    Err(source.error(at, format!("{value} {bound}")))
}

/// The file's path with its directory's links resolved: what `..` after it means is then certain.
fn absolute(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    match (path.parent(), path.file_name()) {
        (Some(dir), Some(name)) => Ok(dir.canonicalize()?.join(name)),
        _ => Ok(path),
    }
}

/// Takes `.` and `..` out of an absolute path.
fn normalized(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => (),
            Component::ParentDir => {
                out.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => out.push(component),
        }
    }
    out
}
