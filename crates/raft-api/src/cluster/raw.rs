//! The file's shape: which keys there are, and what kind of thing each holds. All of it may be
//! left out except the nodes; a section may also be there and empty.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::units::{ByteSize, Count, DurationRange, HumanDuration};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping with `nodes` and other sections")]
pub(super) struct File {
    pub(super) version: Option<u64>,
    pub(super) cluster: Option<Cluster>,
    pub(super) nodes: Option<Vec<Node>>,
    pub(super) raft: Option<Raft>,
    pub(super) storage: Option<Storage>,
    pub(super) runner: Option<Runner>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping: name, host, base_port")]
pub(super) struct Cluster {
    pub(super) name: Option<String>,
    pub(super) host: Option<String>,
    pub(super) base_port: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a node such as {id: 1, addr: 127.0.0.1:7001}")]
pub(super) struct Node {
    pub(super) id: u64,
    /// Short for `peer`.
    pub(super) addr: Option<String>,
    pub(super) peer: Option<String>,
    pub(super) client: Option<String>,
    pub(super) http: Option<String>,
    pub(super) env: Option<BTreeMap<String, String>>,
    pub(super) args: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping of protocol settings")]
pub(super) struct Raft {
    pub(super) election_timeout: Option<DurationRange>,
    pub(super) heartbeat: Option<HumanDuration>,
    pub(super) fast_failover: Option<bool>,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) command_max: Option<ByteSize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping: entries, bytes, trailing")]
pub(super) struct Snapshot {
    pub(super) entries: Option<Count>,
    pub(super) bytes: Option<ByteSize>,
    pub(super) trailing: Option<Count>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping: dir, segment")]
pub(super) struct Storage {
    pub(super) dir: Option<String>,
    pub(super) segment: Option<ByteSize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping: bin, ready_timeout, stop, logs")]
pub(super) struct Runner {
    pub(super) bin: Option<String>,
    pub(super) ready_timeout: Option<HumanDuration>,
    pub(super) stop: Option<Stop>,
    pub(super) logs: Option<Logs>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping: grace")]
pub(super) struct Stop {
    pub(super) grace: Option<HumanDuration>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping: dir")]
pub(super) struct Logs {
    pub(super) dir: Option<String>,
}
