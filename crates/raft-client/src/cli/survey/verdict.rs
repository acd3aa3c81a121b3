//! Whether a cluster is well, and what is wrong with it if not.

use std::collections::BTreeMap;
use std::time::Duration;

use raft_api::pb::{Role, StatusResponse};
use raft_api::trouble;
use raft_client::NodeStatus;

use super::super::failure::NO_CLUSTER;
use super::{Survey, answers, leader};

pub(in super::super) const UNSAFE: u8 = 5;
pub(in super::super) const DEGRADED: u8 = 8;

/// A leader hears its followers many times a second.
const HEARD_MAX: Duration = Duration::from_secs(2);

const REPLACED: &str = ": its data directory may have been replaced";
const OLDER: &str = ": its data directory may be an older copy of itself";
const LEADERLESS: &str = "all nodes answer and none leads: an election is under way, or too many \
    refuse each other because data directories were replaced";

/// How a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Health {
    /// All is well.
    Ready,
    /// Something is wrong, and most works all the same, or does not.
    Degraded,
    /// Nobody answers.
    Unreachable,
    /// Nodes hold different states at the same index.
    Unsafe,
}

impl Health {
    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Unreachable => "unreachable",
            Self::Unsafe => "unsafe",
        }
    }

    pub(in super::super) fn code(self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::Degraded => DEGRADED,
            Self::Unreachable => NO_CLUSTER,
            Self::Unsafe => UNSAFE,
        }
    }
}

/// What is wrong, with which node if with one.
#[derive(Clone, Debug)]
pub(in super::super) struct Problem {
    pub(in super::super) node: Option<u64>,
    pub(in super::super) text: String,
}

/// What is to be thought of a cluster.
pub(in super::super) struct Verdict {
    /// Cluster, nodes up, leader, states, in a line.
    pub(in super::super) line: String,
    pub(in super::super) problems: Vec<Problem>,
    pub(in super::super) health: Health,
    /// The leader and its term, in the words of whoever knows the latest one.
    pub(in super::super) leader: Option<(u64, u64)>,
}

impl Verdict {
    pub(super) fn of(survey: &Survey) -> Self {
        let (nodes, reports) = (&survey.nodes, answers(&survey.nodes));
        let (line, health) = judgement(&reports, nodes.len());
        let mut problems = cut_off(&reports, &answers(&survey.earlier));
        let about = |node: Option<u64>, text: String| Problem { node, text };
        let foreign: Vec<Problem> = nodes
            .iter()
            .filter_map(|node| {
                let text = foreign(node, survey.cluster.as_deref()?)?;
                Some(about(survey.id(node), text))
            })
            .collect();
        if foreign.is_empty() && reports.len() == nodes.len() && leader(&reports).is_none() {
            problems.push(about(None, LEADERLESS.to_owned()));
        }
        problems.extend(foreign);
        let mut members = reports.clone();
        members.sort_by_key(|report| report.node_id);
        problems.extend(
            members.into_iter().filter_map(|report| {
                Some(about(Some(report.node_id), trouble::full_disk(report)?))
            }),
        );
        let is_marred = health == Health::Ready && !problems.is_empty();
        let health = if is_marred { Health::Degraded } else { health };
        let latest = reports.iter().max_by_key(|report| (report.term, report.leader_id));
        let leader = latest.map(|it| (it.leader_id, it.term)).filter(|(leader, _)| *leader != 0);
        Self { line, problems, health, leader }
    }
}

/// A node that serves another cluster than the one that was asked for.
fn foreign(node: &NodeStatus, cluster: &str) -> Option<String> {
    let served = &node.status.as_ref().ok()?.cluster;
    let said = || format!("{} serves the cluster `{served}`, not `{cluster}`", node.addr);
    (served != cluster).then(said)
}

/// Nodes that answer and are cut off all the same, in words. One look is not enough to tell a node
/// that is busy from one that stands still, so there is an earlier one to compare with.
fn cut_off(reports: &[&StatusResponse], earlier: &[&StatusResponse]) -> Vec<Problem> {
    let Some(leader) = leader(reports) else {
        return Vec::new();
    };
    let then = |node: u64| earlier.iter().find(|report| report.node_id == node);
    let followers = reports.iter().filter(|report| report.node_id != leader.node_id);
    let why = |node: &StatusResponse| {
        let id = node.node_id;
        let why = if node.last_index == 0 && 0 < leader.commit_index { REPLACED } else { "" };
        if why.is_empty()
            && let Some(held) = then(leader.node_id).and_then(|led| forgotten(node, leader, led))
        {
            let last = node.last_index;
            return Some(format!("n{id} ends at index {last} and has confirmed {held}{OLDER}"));
        }
        let peer = leader.peers.iter().find(|peer| peer.id == id);
        if let Some(peer) = peer.filter(|peer| HEARD_MAX < Duration::from_millis(peer.heard_ms)) {
            let silence = peer.heard_ms / 1000;
            return Some(format!(
                "n{id} is up but the leader has not heard it for {silence} s{why}"
            ));
        }
        let (was, led) = (then(id)?, then(leader.node_id)?);
        let empty = was.commit_index == 0 && node.commit_index == 0 && 0 < led.commit_index;
        let stands = node.applied_index == was.applied_index
            && node.applied_index < led.applied_index
            && led.applied_index < leader.applied_index;
        let (at, of) = (node.applied_index, leader.commit_index);
        (empty || stands).then(|| format!("n{id} is up but stands at index {at} of {of}{why}"))
    };
    let about = |node: &StatusResponse, text| Problem { node: Some(node.node_id), text };
    let idle = (leader.commit_index == 0)
        .then(|| about(leader, format!("n{} leads and has committed nothing", leader.node_id)));
    let cut_off = followers.filter_map(|node| Some(about(node, why(node)?)));
    idle.into_iter().chain(cut_off).collect()
}

/// How far a node has confirmed the log, if that is more than it holds by now: within a term nobody cuts
/// what it confirmed. What the leader said must be older than what the node says.
fn forgotten(node: &StatusResponse, leader: &StatusResponse, led: &StatusResponse) -> Option<u64> {
    let same_term = led.role() == Role::Leader && led.term == leader.term && led.term == node.term;
    let held = led.peers.iter().find(|peer| peer.id == node.node_id)?.match_index;
    (same_term && node.last_index < held).then_some(held)
}

/// How it is as a whole, in a line and in a word.
fn judgement(reports: &[&StatusResponse], nodes: usize) -> (String, Health) {
    let up = reports.len();
    let Some(latest) = reports.iter().max_by_key(|report| (report.term, report.leader_id)) else {
        return (format!("0/{nodes} up"), Health::Unreachable);
    };
    let mut words = vec![format!("cluster {}", latest.cluster), format!("{up}/{nodes} up")];
    let agreed = reports.iter().all(|report| {
        (report.leader_id, report.term) == (latest.leader_id, latest.term) && report.leader_id != 0
    });
    let (leader, term) = (latest.leader_id, latest.term);
    words.push(match (leader, agreed) {
        (0, _) => "no leader".to_owned(),
        (_, true) => format!("leader n{leader} term {term}"),
        (_, false) => format!("leader n{leader} term {term}, not known to all"),
    });
    let mut health = if agreed && up == nodes { Health::Ready } else { Health::Degraded };
    let mut hashes: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for report in reports {
        hashes.entry(report.applied_index).or_default().push(report.state_hash);
    }
    for (index, hashes) in hashes.iter().filter(|(_, hashes)| 1 < hashes.len()) {
        let equal = hashes.windows(2).all(|pair| pair[0] == pair[1]);
        if equal {
            let count = hashes.len();
            words.push(format!("the {count} nodes at index {index} hold the same state"));
        } else {
            words.push(format!("STATES DIFFER at index {index}"));
            health = Health::Unsafe;
        }
    }
    if reports.iter().any(|report| report.debug_build) {
        words.push("(debug build)".to_owned());
    }
    (words.join("   "), health)
}
