//! What the nodes say about themselves, as anybody can ask them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use raft_api::cluster::ClusterConfig;
use raft_api::pb::management_rpc_client::ManagementRpcClient;
use raft_api::pb::{Role, StatusRequest, StatusResponse};
use tonic::transport::{Channel, Endpoint};

use crate::NodeId;
use crate::exit::Failure;

/// Asks nodes how they are.
#[derive(Clone, Debug)]
pub struct Watch {
    clients: BTreeMap<NodeId, ManagementRpcClient<Channel>>,
}

impl Watch {
    /// Asks the nodes of a cluster. Connections are made when they are needed, and made again when
    /// they are lost.
    pub fn new(config: &ClusterConfig) -> Result<Self, Failure> {
        let mut clients = BTreeMap::new();
        for node in &config.nodes {
            let endpoint = Endpoint::from_shared(format!("http://{}", node.client));
            let endpoint = endpoint.map_err(|error| {
                Failure::usage(format!("{} has an address that is none: {error}", node.id))
            })?;
            // A node that does not answer in time costs a reset stream each time. The limit on
            // those would end the connection for good.
            let endpoint = endpoint.http2_max_local_error_reset_streams(None);
            let endpoint = endpoint.connect_timeout(Duration::from_millis(500));
            clients.insert(node.id, ManagementRpcClient::new(endpoint.connect_lazy()));
        }
        Ok(Self { clients })
    }

    /// Asks all nodes at once and waits so long at most.
    pub async fn look(&self, patience: Duration) -> View {
        self.look_at(|_all| true, patience).await
    }

    /// Asks some of the nodes.
    pub async fn look_at(&self, who: impl Fn(NodeId) -> bool, patience: Duration) -> View {
        let asked = self.clients.iter().filter(|(id, _)| who(**id));
        let answers = asked.map(async |(id, client)| (*id, ask(client.clone(), patience).await));
        let nodes = join_all(answers).await.into_iter().collect();
        View { at: Instant::now(), nodes }
    }
}

async fn ask(
    mut client: ManagementRpcClient<Channel>,
    patience: Duration,
) -> Result<StatusResponse, String> {
    match tokio::time::timeout(patience, client.status(StatusRequest {})).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) if status.code() == tonic::Code::Unavailable => Err("not reachable".into()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_elapsed) => Err(format!("no answer in {} ms", patience.as_millis())),
    }
}

/// What was answered at about the same time.
#[derive(Clone, Debug)]
pub struct View {
    /// When the last answer was in.
    pub at: Instant,
    /// The answers, or why there is none.
    pub nodes: BTreeMap<NodeId, Result<StatusResponse, String>>,
}

impl View {
    /// What a node said.
    pub fn of(&self, id: NodeId) -> Option<&StatusResponse> {
        self.nodes.get(&id)?.as_ref().ok()
    }

    /// Those that answered.
    pub fn answers(&self) -> impl Iterator<Item = (NodeId, &StatusResponse)> {
        self.nodes.iter().filter_map(|(id, answer)| Some((*id, answer.as_ref().ok()?)))
    }

    /// Who leads: of those that claim to, the one with the highest term. One of an earlier term
    /// has been replaced and does not know it yet.
    pub fn leader(&self) -> Option<(NodeId, &StatusResponse)> {
        let claims = self.answers().filter(|(_, status)| status.role() == Role::Leader);
        claims.max_by_key(|(_, status)| status.term)
    }

    /// Whether all nodes answered and are of one mind about who leads.
    pub fn is_agreed(&self) -> bool {
        let Some((leader, claim)) = self.leader() else {
            return false;
        };
        let follows =
            |status: &StatusResponse| status.leader_id == leader.0 && status.term == claim.term;
        self.nodes.values().all(|answer| answer.as_ref().is_ok_and(follows))
    }
}

/// A role in one word.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Follower => "follower",
        Role::PreCandidate => "pre-candidate",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
        Role::Learner => "learner",
    }
}

/// State hashes by the index at which they were seen, to compare nodes that pass the same index at
/// different moments.
#[derive(Clone, Debug, Default)]
pub struct Hashes {
    seen: BTreeMap<u64, BTreeMap<NodeId, u64>>,
}

/// Two nodes that have applied the same entries and differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The index.
    pub index: u64,
    /// One node and its hash.
    pub one: (NodeId, u64),
    /// The other.
    pub other: (NodeId, u64),
}

impl Hashes {
    /// Older indexes are forgotten beyond this many.
    const KEPT_MAX: usize = 10_000;

    /// Takes the answers in, and tells if one contradicts what was seen before.
    pub fn note(&mut self, view: &View) -> Option<Divergence> {
        let mut found = None;
        for (id, status) in view.answers() {
            let index = status.applied_index;
            let at_index = self.seen.entry(index).or_default();
            let differs = at_index.iter().find(|(_, hash)| **hash != status.state_hash);
            if let Some((other, hash)) = differs {
                found = Some(Divergence {
                    index,
                    one: (id, status.state_hash),
                    other: (*other, *hash),
                });
            }
            at_index.insert(id, status.state_hash);
        }
        while Self::KEPT_MAX < self.seen.len() {
            self.seen.pop_first();
        }
        found
    }

    /// The latest index at which this many nodes were seen.
    pub fn compared(&self, nodes: usize) -> Option<u64> {
        let full = self.seen.iter().rev().find(|(_, at_index)| at_index.len() == nodes);
        full.map(|(index, _)| *index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(role: Role, term: u64, leader_id: u64) -> StatusResponse {
        StatusResponse { role: role.into(), term, leader_id, ..Default::default() }
    }

    fn applied(applied_index: u64, state_hash: u64) -> StatusResponse {
        StatusResponse { applied_index, state_hash, ..Default::default() }
    }

    fn view(nodes: impl IntoIterator<Item = StatusResponse>) -> View {
        let nodes = (1..).map(NodeId).zip(nodes.into_iter().map(Ok)).collect();
        View { at: Instant::now(), nodes }
    }

    #[test]
    fn the_claim_of_the_highest_term_counts() {
        let stale = status(Role::Leader, 4, 1);
        let fresh = status(Role::Leader, 5, 2);
        let seen = view([stale, fresh, status(Role::Follower, 5, 2)]);
        assert_eq!(seen.leader().map(|(id, _)| id), Some(NodeId(2)));
        assert!(!seen.is_agreed(), "n1 does not know yet");
    }

    #[test]
    fn agreement_needs_every_node() {
        let led = || [status(Role::Leader, 5, 1), status(Role::Follower, 5, 1)];
        assert!(view(led()).is_agreed());
        let mut missing = view(led());
        missing.nodes.insert(NodeId(3), Err("not reachable".to_owned()));
        assert!(!missing.is_agreed());
        assert!(!view([status(Role::Follower, 5, 2), status(Role::Follower, 5, 2)]).is_agreed());
    }

    #[test]
    fn hashes_are_compared_at_an_equal_index_across_moments() {
        let mut hashes = Hashes::default();
        assert_eq!(hashes.note(&view([applied(10, 7), applied(9, 6)])), None);
        assert_eq!(hashes.compared(2), None);
        assert_eq!(hashes.note(&view([applied(12, 9), applied(10, 7)])), None);
        assert_eq!(hashes.compared(2), Some(10));
        let expected = Divergence { index: 12, one: (NodeId(2), 8), other: (NodeId(1), 9) };
        assert_eq!(hashes.note(&view([applied(13, 1), applied(12, 8)])), Some(expected));
    }
}
