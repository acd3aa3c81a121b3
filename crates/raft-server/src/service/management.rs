//! The cluster, whatever its state machine.

use raft_api::pb;
use raft_api::pb::management_rpc_server::ManagementRpc;
use std::sync::atomic::Ordering;

use raft_api::contact::{Contact, members_from_wire, members_to_wire, roles_from_wire};
use raft_core::{Index, Membership, MembershipChange, NodeId, RoleName, Token};
use raft_replica::{Outcome, Refused, RequestKind};
use tonic::{Request, Response, Status, Streaming};

use super::{Front, command, consistency, mismatch, transfer_refusal, wire_id};
use crate::handle::Declined;
use crate::writer::Space;

/// `raft.v1.ManagementRpc`.
#[derive(Debug)]
pub(crate) struct Management {
    pub(crate) front: Front,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ManagementRpc for Management {
    async fn get_leader(
        &self,
        _request: Request<pb::GetLeaderRequest>,
    ) -> Reply<pb::GetLeaderResponse> {
        let view = self.front.handle.view();
        let others =
            if view.removed { self.front.node.rosters.other_members() } else { Vec::new() };
        let others = others.into_iter().filter(|(_, addr)| !addr.is_empty());
        Ok(Response::new(pb::GetLeaderResponse {
            leader_id: wire_id(view.leader),
            leader_addr: self.front.client_address(view.leader),
            term: view.term.0,
            node_id: self.front.node.id.0,
            removed: view.removed,
            member_addrs: others.map(|(_, addr)| addr).collect(),
            cluster: self.front.node.config.name.clone(),
        }))
    }

    async fn get_configuration(
        &self,
        _request: Request<pb::GetConfigurationRequest>,
    ) -> Reply<pb::GetConfigurationResponse> {
        let status = self.status_of_replica().await?;
        Ok(Response::new(pb::GetConfigurationResponse {
            cluster: self.front.node.config.name.clone(),
            members: self.members(&status.membership),
            joint: !status.membership.outgoing.is_empty(),
            leader_id: wire_id(status.leader),
            term: status.term.0,
            node_id: self.front.node.id.0,
            // What its log says may be undone, as long as somebody leads it.
            removed: status.removed || status.leader.is_none() && self.front.handle.view().removed,
        }))
    }

    async fn set_configuration(
        &self,
        request: Request<pb::SetConfigurationRequest>,
    ) -> Reply<pb::SetConfigurationResponse> {
        let ended = match wanted(request.into_inner()) {
            Ok(change) => self.front.handle.change_membership(change).await,
            Err(declined) => Err(declined),
        };
        let header = match ended {
            Ok(Outcome::Done) => self.front.header(Index(0)),
            Ok(other) => return Err(mismatch(&other)),
            Err(declined) => self.front.refused(declined),
        };
        let status = self.status_of_replica().await?;
        Ok(Response::new(pb::SetConfigurationResponse {
            header: Some(header),
            members: self.members(&status.membership),
            joint: status.membership.is_joint(),
        }))
    }

    async fn transfer_leadership(
        &self,
        request: Request<pb::TransferLeadershipRequest>,
    ) -> Reply<pb::TransferLeadershipResponse> {
        let to = Some(request.into_inner().to).filter(|&to| to != 0).map(NodeId);
        let header = match self.front.handle.transfer(to).await {
            Ok(Outcome::Done) => self.front.header(Index(0)),
            Ok(other) => return Err(mismatch(&other)),
            Err(Declined::Replica(Refused::Transfer(why))) => {
                let header = self.front.refused(Declined::Replica(Refused::Transfer(why)));
                pb::Header { message: transfer_refusal(why, to), ..header }
            }
            Err(declined) => self.front.refused(declined),
        };
        Ok(Response::new(pb::TransferLeadershipResponse { header: Some(header) }))
    }

    async fn open_session(
        &self,
        _request: Request<pb::OpenSessionRequest>,
    ) -> Reply<pb::OpenSessionResponse> {
        let (header, session_id) = match self.front.handle.propose(RequestKind::OpenSession).await {
            Ok(Outcome::SessionOpened { id, session }) => (self.front.header(id.index), session),
            Ok(other) => return Err(mismatch(&other)),
            Err(declined) => (self.front.refused(declined), 0),
        };
        Ok(Response::new(pb::OpenSessionResponse { header: Some(header), session_id }))
    }

    async fn propose(&self, request: Request<pb::ProposeRequest>) -> Reply<pb::ProposeResponse> {
        let pb::ProposeRequest { data, session } = request.into_inner();
        let ended = match command(data, session) {
            Ok(kind) => self.front.handle.propose(kind).await,
            Err(declined) => Err(declined),
        };
        self.front.proposed(ended).map(Response::new)
    }

    type ProposeStreamStream = futures_util::stream::Empty<Result<pb::ProposeResponse, Status>>;

    /// What is plain gRPC is served without the general stack.
    async fn propose_stream(
        &self,
        _request: Request<Streaming<pb::ProposeRequest>>,
    ) -> Reply<Self::ProposeStreamStream> {
        Err(Status::unimplemented("compressed messages are not taken"))
    }

    async fn query(&self, request: Request<pb::QueryRequest>) -> Reply<pb::QueryResponse> {
        let pb::QueryRequest { data, consistency: wire } = request.into_inner();
        let ended = self.front.handle.query(data, consistency(wire)).await;
        self.front.queried(ended).map(Response::new)
    }

    async fn status(&self, request: Request<pb::StatusRequest>) -> Reply<pb::StatusResponse> {
        let pb::StatusRequest { stages } = request.into_inner();
        let status = self.status_of_replica().await?;
        let stages = if stages { self.front.node.stages.to_wire() } else { Vec::new() };
        Ok(Response::new(pb::StatusResponse { stages, ..self.status_response(&status) }))
    }
}

impl Management {
    async fn status_of_replica(&self) -> Result<raft_replica::Status, Status> {
        let status = self.front.handle.status().await;
        status.ok_or_else(|| Status::unavailable(format!("{} is ending", self.front.node.id)))
    }

    fn members(&self, membership: &Membership) -> Vec<pb::Member> {
        let mut members = members_to_wire(membership);
        // The file knows addresses that the log does not, if the cluster began with an older one.
        for member in &mut members {
            if let Some(node) = self.front.node.config.node(NodeId(member.id))
                && member.peer_addr.is_empty()
            {
                let Contact { peer, client, http } = node.contact();
                (member.peer_addr, member.client_addr, member.http_addr) = (peer, client, http);
            }
        }
        members
    }

    fn status_response(&self, status: &raft_replica::Status) -> pb::StatusResponse {
        let node = &self.front.node;
        let peer = |peer: &raft_replica::PeerStatus| pb::PeerStatus {
            id: peer.id.0,
            match_index: peer.matched.0,
            next_index: peer.next.0,
            state: peer.state.to_owned(),
            heard_ms: peer.heard_ms,
        };
        pb::StatusResponse {
            node_id: node.id.0,
            cluster: node.config.name.clone(),
            role: role(status).into(),
            term: status.term.0,
            leader_id: wire_id(status.leader),
            leader_addr: self.front.client_address(status.leader),
            first_index: status.first.0,
            last_index: status.last.0,
            durable_index: status.durable.0,
            commit_index: status.commit.0,
            applied_index: status.applied.0,
            snapshot_index: status.snapshot.0,
            state_hash: status.state_hash,
            peers: status.peers.iter().map(peer).collect(),
            sessions: status.sessions,
            duplicates: status.duplicates,
            pid: u64::from(std::process::id()),
            uptime_ms: u64::try_from(node.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            debug_build: cfg!(debug_assertions),
            incarnation: node.incarnation.0,
            data_dir: node.data_dir.display().to_string(),
            entries_persisted: node.stats.entries(),
            syncs: node.stats.syncs(),
            keys: status.items,
            campaigns_timeout: node.counters.campaigns_timeout.load(Ordering::Relaxed),
            campaigns_leader_lost: node.counters.campaigns_leader_lost.load(Ordering::Relaxed),
            campaigns_transfer: node.counters.campaigns_transfer.load(Ordering::Relaxed),
            messages_dropped: node.counters.messages_dropped.load(Ordering::Relaxed),
            removed: status.removed,
            disk_slow: status.disk_slow,
            snapshot_bytes_received: node.counters.snapshot_bytes_received.load(Ordering::Relaxed),
            disk_space: disk_space(node.stats.space()).into(),
            stages: Vec::new(),
        }
    }
}

fn disk_space(space: Space) -> pb::DiskSpace {
    match space {
        Space::Enough => pb::DiskSpace::Enough,
        Space::Short => pb::DiskSpace::Short,
        Space::Out => pb::DiskSpace::Out,
    }
}

fn role(status: &raft_replica::Status) -> pb::Role {
    match status.role {
        RoleName::Follower if status.is_learner => pb::Role::Learner,
        RoleName::Follower => pb::Role::Follower,
        RoleName::PreCandidate => pb::Role::PreCandidate,
        RoleName::Candidate => pb::Role::Candidate,
        RoleName::Leader => pb::Role::Leader,
    }
}

/// What an operator asks for, as the replica understands it. The driver names it.
fn wanted(request: pb::SetConfigurationRequest) -> Result<MembershipChange, Declined> {
    let pb::SetConfigurationRequest { members, expected, force } = request;
    let target = members_from_wire(members).map_err(invalid)?;
    let from = (!expected.is_empty()).then(|| roles_from_wire(expected));
    let from = from.transpose().map_err(invalid)?;
    Ok(MembershipChange { token: Token::default(), target, from, force })
}

/// A read or write whose state machine would not have it.
pub(super) fn invalid(why: impl std::fmt::Display) -> Declined {
    Declined::Replica(Refused::Invalid(why.to_string()))
}
