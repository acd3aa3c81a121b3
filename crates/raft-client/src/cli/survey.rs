//! A look at all nodes, and what is to be thought of them.

mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use raft_api::pb::{Role, StatusResponse};
use raft_client::NodeStatus;
use tokio::time::{Instant, sleep};

use super::Context;

pub(super) use verdict::{DEGRADED, Health, UNSAFE, Verdict};

/// Addresses that are not configured are asked for, but not for long.
const LEARNING: Duration = Duration::from_millis(500);

/// Two looks tell a busy node from one that stands still, once the leader has committed something.
const LOOKS_MAX: usize = 5;

/// Long enough for a node that is only busy to have moved on.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// All nodes as they were a moment ago, and a little earlier.
pub(super) struct Survey {
    /// By number, those without one last.
    pub(super) nodes: Vec<NodeStatus>,
    pub(super) earlier: Vec<NodeStatus>,
    /// Who is where, as far as that is known without their own word.
    ids: BTreeMap<String, u64>,
    /// The cluster that was asked for.
    cluster: Option<String>,
    /// How the members differ from the file, in lines.
    pub(super) differences: Vec<String>,
    /// Who told who the members are, if it was removed and nobody knows better.
    pub(super) outdated_by: Option<u64>,
}

impl Survey {
    pub(super) async fn take(context: &Context) -> Self {
        let began = Instant::now();
        let (mut survey, addrs) = Self::prepare(context).await;
        let client = &context.client;
        let look = async || join_all(addrs.iter().map(|addr| client.status(addr))).await;
        survey.nodes = look().await;
        survey.earlier = survey.nodes.clone();
        let deadline = began + client.options().operation_timeout;
        for _ in 1..LOOKS_MAX {
            let reports = answers(&survey.nodes);
            let took = survey.nodes.iter().map(|node| node.round_trip).max().unwrap_or_default();
            if !is_uneven(&reports) || deadline < Instant::now() + BETWEEN_LOOKS + took {
                break;
            }
            let enough = leader(&reports).is_some_and(|leader| 0 < leader.commit_index);
            sleep(BETWEEN_LOOKS).await;
            survey.earlier = std::mem::replace(&mut survey.nodes, look().await);
            if enough {
                break;
            }
        }
        survey.sort();
        survey
    }

    /// By number, those without one last.
    pub(super) fn sort(&mut self) {
        let ids = &self.ids;
        self.nodes.sort_by_key(|node| id_of(node, ids).unwrap_or(u64::MAX));
    }

    /// Who is to be looked at, and where.
    pub(super) async fn prepare(context: &Context) -> (Self, Vec<String>) {
        let Context { target, client, .. } = context;
        let mut ids: BTreeMap<String, u64> =
            target.nodes.iter().filter_map(|(id, addr)| Some((addr.clone(), (*id)?))).collect();
        let learning = LEARNING.min(client.options().operation_timeout / 2);
        let learnt = client.get_configuration_within(learning).await.unwrap_or_default();
        // Who was removed tells of a membership that is past, if it is all there is.
        let (members, outdated) = (learnt.members, learnt.removed);
        let is_stranger = |id: u64| {
            !outdated && !members.is_empty() && members.iter().all(|member| member.id != id)
        };
        let member_ids: Vec<u64> = members.iter().map(|member| member.id).collect();
        let nodes = target.nodes.iter().filter(|(id, _)| !id.is_some_and(is_stranger));
        let mut addrs: Vec<String> = Vec::new();
        for (_, addr) in nodes {
            if !addrs.contains(addr) {
                addrs.push(addr.clone());
            }
        }
        for member in members.into_iter().filter(|member| !member.client_addr.is_empty()) {
            if !addrs.contains(&member.client_addr) {
                addrs.push(member.client_addr.clone());
            }
            ids.entry(member.client_addr).or_insert(member.id);
        }
        let differences = if outdated { Vec::new() } else { target.differences(&member_ids) };
        let survey = Self {
            nodes: Vec::new(),
            earlier: Vec::new(),
            ids,
            cluster: target.cluster.clone(),
            differences,
            outdated_by: outdated.then_some(learnt.node_id),
        };
        (survey, addrs)
    }

    /// A node's number, in its own words if it has any.
    pub(super) fn id(&self, node: &NodeStatus) -> Option<u64> {
        id_of(node, &self.ids)
    }

    pub(super) fn reports(&self) -> Vec<&StatusResponse> {
        answers(&self.nodes)
    }

    pub(super) fn verdict(&self) -> Verdict {
        Verdict::of(self)
    }
}

fn id_of(node: &NodeStatus, ids: &BTreeMap<String, u64>) -> Option<u64> {
    match &node.status {
        Ok(report) => Some(report.node_id),
        Err(_) => ids.get(&node.addr).copied(),
    }
}

/// A node as tables name it.
pub(super) fn name(id: Option<u64>) -> String {
    id.map_or_else(|| "-".to_owned(), |id| format!("n{id}"))
}

fn answers(nodes: &[NodeStatus]) -> Vec<&StatusResponse> {
    nodes.iter().filter_map(|node| node.status.as_ref().ok()).collect()
}

/// Who leads: of those that claim to, the one with the highest term.
fn leader<'a>(reports: &[&'a StatusResponse]) -> Option<&'a StatusResponse> {
    let claims = reports.iter().filter(|report| report.role() == Role::Leader);
    claims.max_by_key(|report| report.term).copied()
}

/// Whether another look could tell more: some node is not where the leader is, or that has not
/// begun yet.
fn is_uneven(reports: &[&StatusResponse]) -> bool {
    let Some(leader) = leader(reports) else {
        return false;
    };
    let led = leader.applied_index;
    led == 0 || reports.iter().any(|report| report.applied_index < led)
}

/// What is to be thought of members that are known from a node that was removed.
pub(super) fn outdated_word(node: u64) -> String {
    format!(
        "the members are those that n{node} knew when it was removed, and none of them answers; if \
         there are others by now, name one of them with --endpoints\n"
    )
}
