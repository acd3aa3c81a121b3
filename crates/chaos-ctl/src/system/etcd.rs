//! How members of etcd are started, and how they reach each other.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;

use raft_api::cluster::{ClusterConfig, NodeConfig};

use super::members::Members;
use crate::NodeId;
use crate::procfs;

/// A cluster of etcd. Timeouts are etcd's own unless the environment says otherwise
/// (`ETCD_HEARTBEAT_INTERVAL`, `ETCD_ELECTION_TIMEOUT`).
#[derive(Clone, Debug)]
pub struct Etcd {
    /// Where each member is dialled by the others: itself, or a proxy.
    peers: BTreeMap<NodeId, String>,
    members: Members,
}

/// Entries between two snapshots: as many as of ours in a run. etcd keeps 5000 more behind each.
const SNAPSHOT_COUNT: &str = "10000";

/// Bytes that a member may store before it takes no more writes: etcd's 2 GiB are reached in a long run.
const QUOTA_BYTES: &str = "8589934592";

impl Etcd {
    pub(crate) fn new(config: &ClusterConfig) -> Self {
        let peers = config.nodes.iter().map(|node| (node.id, node.peer.clone()));
        Self { peers: peers.collect(), members: Members::default() }
    }

    /// What is known of its members.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The others dial this member here.
    pub(crate) fn advertise(&mut self, id: NodeId, address: SocketAddr) {
        self.peers.insert(id, address.to_string());
    }

    /// Tells which member has opened a connection, by the process that holds its other end.
    pub(crate) fn who(&self) -> chaos_net::Who {
        let members = self.members.clone();
        Arc::new(move |from| {
            let inode = procfs::inode_of(from)?;
            let pids = members.pids();
            let holder = pids.into_iter().find(|(_, pid)| procfs::holds_socket(*pid, &inode));
            holder.map(|(id, _)| id.0)
        })
    }

    /// Its clients' addresses, in the order of the nodes.
    pub(crate) fn endpoints(config: &ClusterConfig) -> String {
        let addresses: Vec<&str> = config.nodes.iter().map(|node| node.client.as_str()).collect();
        addresses.join(",")
    }

    /// The command line of a member.
    pub(crate) fn args(&self, config: &ClusterConfig, node: &NodeConfig) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut add = |option: &str, value: &str| {
            args.extend([OsString::from(option), OsString::from(value)]);
        };
        let all = self.peers.iter().map(|(id, address)| format!("{id}=http://{address}"));
        let peers = all.collect::<Vec<_>>().join(",");
        let client = format!("http://{}", node.client);
        let advertised = self.peers.get(&node.id).unwrap_or(&node.peer);
        add("--name", &node.id.to_string());
        add("--listen-peer-urls", &format!("http://{}", node.peer));
        add("--initial-advertise-peer-urls", &format!("http://{advertised}"));
        add("--listen-client-urls", &client);
        add("--advertise-client-urls", &client);
        add("--initial-cluster", &peers);
        add("--initial-cluster-token", &config.name);
        add("--initial-cluster-state", "new");
        add("--snapshot-count", SNAPSHOT_COUNT);
        add("--quota-backend-bytes", QUOTA_BYTES);
        add("--logger", "zap");
        add("--log-outputs", "stderr");
        args.extend(["--data-dir".into(), node.data_dir.clone().into_os_string()]);
        args
    }
}
