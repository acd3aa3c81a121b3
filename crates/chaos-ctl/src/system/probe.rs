//! What a member of etcd says about itself, in the words of our own servers.

use std::time::Duration;

use raft_api::cluster::NodeConfig;
use raft_api::pb;
use tonic::transport::{Channel, Endpoint};

use super::members::Members;
use super::wire::cluster_client::ClusterClient;
use super::wire::maintenance_client::MaintenanceClient;
use super::wire::{HashKvRequest, MemberListRequest, StatusRequest};
use crate::NodeId;
use crate::exit::Failure;

/// A way to ask a member.
#[derive(Clone, Debug)]
pub struct Probe {
    id: NodeId,
    maintenance: MaintenanceClient<Channel>,
    cluster: ClusterClient<Channel>,
    members: Members,
}

impl Probe {
    /// Asks this node. The connection is made when it is needed.
    pub(crate) fn new(node: &NodeConfig, members: &Members) -> Result<Self, Failure> {
        let endpoint = Endpoint::from_shared(format!("http://{}", node.client));
        let endpoint = endpoint.map_err(|error| {
            Failure::usage(format!("{} has an address that is none: {error}", node.id))
        })?;
        let endpoint = endpoint.http2_max_local_error_reset_streams(None);
        let channel = endpoint.connect_timeout(Duration::from_millis(500)).connect_lazy();
        Ok(Self {
            id: node.id,
            maintenance: MaintenanceClient::new(channel.clone()),
            cluster: ClusterClient::new(channel),
            members: members.clone(),
        })
    }

    /// How it is. It tells no hash, no pid, and nothing of its log.
    pub async fn status(&mut self) -> Result<pb::StatusResponse, tonic::Status> {
        let status = self.maintenance.status(StatusRequest {}).await?.into_inner();
        let member = status.header.as_ref().map_or(0, |header| header.member_id);
        if self.members.node(member).is_none() {
            let list = self.cluster.member_list(MemberListRequest {}).await?.into_inner();
            self.members.learn(list.members.into_iter().map(|it| (it.name, it.id)));
            self.members.note_version(&status.version);
        }
        let node = self.members.node(member).map_or(0, |id| id.0);
        let leader = self.members.node(status.leader).map_or(0, |id| id.0);
        let leads = member == status.leader && self.members.leads(self.id, status.raft_term);
        let role = if leads { pb::Role::Leader } else { pb::Role::Follower };
        Ok(pb::StatusResponse {
            node_id: node,
            role: role.into(),
            term: status.raft_term,
            leader_id: leader,
            commit_index: status.raft_index,
            applied_index: status.raft_applied_index,
            last_index: status.raft_index,
            ..pb::StatusResponse::default()
        })
    }

    /// How many changes it has taken in.
    pub async fn revision(&mut self) -> Result<i64, tonic::Status> {
        let status = self.maintenance.status(StatusRequest {}).await?.into_inner();
        Ok(status.header.map_or(0, |header| header.revision))
    }

    /// The hash of all it holds of the changes up to a revision.
    pub async fn hash(&mut self, revision: i64) -> Result<u64, tonic::Status> {
        let request = HashKvRequest { revision };
        let answer = self.maintenance.hash_kv(request).await?.into_inner();
        // What was compacted is not in the hash. Nobody asks for that here; if it happens they differ.
        let compacted = u64::try_from(answer.compact_revision).unwrap_or(0);
        Ok(u64::from(answer.hash) | compacted << 32)
    }
}
