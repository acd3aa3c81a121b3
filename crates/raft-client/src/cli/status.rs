//! `status`

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use futures_util::future::join_all;
use raft_api::pb::{Role, StatusResponse};
use raft_api::trouble;
use raft_client::{Client, NodeStatus};
use tokio::time::sleep;

use super::failure::ASSUMED;
use super::target::Target;
use super::{Done, Failure};

const NO_CLUSTER: u8 = 3;
const UNSAFE: u8 = 5;
pub(super) const DEGRADED: u8 = 8;

/// Addresses that are not configured are asked for, but not for long.
const LEARNING: Duration = Duration::from_millis(500);

/// Two looks tell a busy node from one that stands still, once the leader has committed something.
const LOOKS_MAX: usize = 5;

/// Long enough for a node that is only busy to have moved on.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// A leader hears its followers many times a second.
const HEARD_MAX: Duration = Duration::from_secs(2);

const REPLACED: &str = ": its data directory may have been replaced";
const OLDER: &str = ": its data directory may be an older copy of itself";
const LEADERLESS: &str = "all nodes answer and none leads: an election is under way, or too many \
    refuse each other because data directories were replaced";

pub(crate) async fn run(target: &Target, client: &Client) -> Result<Done, Failure> {
    let mut ids: BTreeMap<String, u64> =
        target.nodes.iter().filter_map(|(id, addr)| Some((addr.clone(), (*id)?))).collect();
    let learnt = client.get_configuration_within(LEARNING).await.unwrap_or_default();
    // Who was removed tells of a membership that is past, if it is all there is.
    let (members, outdated) = (learnt.members, learnt.removed);
    let is_stranger =
        |id: u64| !outdated && !members.is_empty() && members.iter().all(|member| member.id != id);
    let member_ids: Vec<u64> = members.iter().map(|member| member.id).collect();
    let nodes = target.nodes.iter().filter(|(id, _)| !id.is_some_and(is_stranger));
    let mut addrs: Vec<String> = nodes.map(|(_, addr)| addr.clone()).collect();
    for member in members.into_iter().filter(|member| !member.client_addr.is_empty()) {
        if !addrs.contains(&member.client_addr) {
            addrs.push(member.client_addr.clone());
        }
        ids.entry(member.client_addr).or_insert(member.id);
    }
    let look = async || join_all(addrs.iter().map(|addr| client.status(addr))).await;
    let mut nodes = look().await;
    let mut earlier = nodes.clone();
    for _ in 1..LOOKS_MAX {
        let reports = answers(&nodes);
        if !is_uneven(&reports) {
            break;
        }
        let enough = leader(&reports).is_some_and(|leader| 0 < leader.commit_index);
        sleep(BETWEEN_LOOKS).await;
        earlier = std::mem::replace(&mut nodes, look().await);
        if enough {
            break;
        }
    }
    let mut done = report(&nodes, &earlier, &ids, target.cluster.as_deref());
    if outdated {
        done.data.extend_from_slice(outdated_word(learnt.node_id).as_bytes());
    } else {
        for line in target.differences(&member_ids) {
            done.data.extend_from_slice(line.as_bytes());
        }
    }
    let lost = target.is_assumed && done.code == NO_CLUSTER;
    Ok(Done { note: lost.then(|| format!("hint: {ASSUMED}")), ..done })
}

fn answers(nodes: &[NodeStatus]) -> Vec<&StatusResponse> {
    nodes.iter().filter_map(|node| node.status.as_ref().ok()).collect()
}

/// A node that serves another cluster than the one that was asked for.
fn foreign(node: &NodeStatus, cluster: &str) -> Option<String> {
    let served = &node.status.as_ref().ok()?.cluster;
    let said = || format!("{} serves the cluster `{served}`, not `{cluster}`", node.addr);
    (served != cluster).then(said)
}

fn report(
    nodes: &[NodeStatus],
    earlier: &[NodeStatus],
    ids: &BTreeMap<String, u64>,
    cluster: Option<&str>,
) -> Done {
    let reports = answers(nodes);
    let commit = reports.iter().map(|report| report.commit_index).max().unwrap_or(0);
    let id = |node: &NodeStatus| match &node.status {
        Ok(report) => Some(report.node_id),
        Err(_) => ids.get(&node.addr).copied(),
    };
    let mut ordered: Vec<&NodeStatus> = nodes.iter().collect();
    ordered.sort_by_key(|node| id(node).unwrap_or(u64::MAX));
    let rows = ordered.into_iter().map(|node| match &node.status {
        Ok(report) => row(node, report, commit),
        Err(fault) => {
            let id = id(node).map_or_else(|| "-".to_owned(), |id| format!("n{id}"));
            let mut row = [const { String::new() }; COLUMNS.len()];
            [row[0], row[1], row[2]] = [id, node.addr.clone(), "DOWN".to_owned()];
            row[COLUMNS.len() - 1] = fault.to_string();
            row
        }
    });
    let mut data = table(COLUMNS, rows);
    let (line, code) = judgement(&reports, nodes.len());
    data.extend(["\n", &line, "\n"]);
    let mut problems = cut_off(&reports, &answers(earlier));
    let foreign = nodes.iter().filter_map(|node| foreign(node, cluster?));
    let foreign: Vec<String> = foreign.collect();
    if foreign.is_empty() && reports.len() == nodes.len() && leader(&reports).is_none() {
        problems.push(LEADERLESS.to_owned());
    }
    problems.extend(foreign);
    let mut members = reports.clone();
    members.sort_by_key(|report| report.node_id);
    problems.extend(members.into_iter().filter_map(trouble::full_disk));
    for problem in &problems {
        data.extend([problem, "\n"]);
    }
    let code = if code == 0 && !problems.is_empty() { DEGRADED } else { code };
    Done { data: data.into(), note: None, code }
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

/// Nodes that answer and are cut off all the same, in words. One look is not enough to tell a node
/// that is busy from one that stands still, so there is an earlier one to compare with.
fn cut_off(reports: &[&StatusResponse], earlier: &[&StatusResponse]) -> Vec<String> {
    let Some(leader) = leader(reports) else {
        return Vec::new();
    };
    let then = |node: u64| earlier.iter().find(|report| report.node_id == node);
    let followers = reports.iter().filter(|report| report.node_id != leader.node_id);
    let cut_off = followers.filter_map(|node| {
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
    });
    let idle = (leader.commit_index == 0)
        .then(|| format!("n{} leads and has committed nothing", leader.node_id));
    idle.into_iter().chain(cut_off).collect()
}

/// How far a node has confirmed the log, if that is more than it holds by now: within a term nobody cuts
/// what it confirmed. What the leader said must be older than what the node says.
fn forgotten(node: &StatusResponse, leader: &StatusResponse, led: &StatusResponse) -> Option<u64> {
    let same_term = led.role() == Role::Leader && led.term == leader.term && led.term == node.term;
    let held = led.peers.iter().find(|peer| peer.id == node.node_id)?.match_index;
    (same_term && node.last_index < held).then_some(held)
}

/// The last column says why a node did not answer.
const COLUMNS: [&str; 11] =
    ["NODE", "ADDRESS", "ROLE", "TERM", "COMMIT", "APPLIED", "LAG", "SNAPSHOT", "RTT", "UP", ""];

fn row(node: &NodeStatus, report: &StatusResponse, commit: u64) -> [String; COLUMNS.len()] {
    let role = match report.role() {
        _ if report.removed => "removed",
        Role::Follower => "follower",
        Role::PreCandidate => "pre-candidate",
        Role::Candidate => "candidate",
        Role::Leader => "LEADER",
        Role::Learner => "learner",
    };
    let up = Duration::from_secs(report.uptime_ms / 1000);
    [
        format!("n{}", report.node_id),
        node.addr.clone(),
        role.to_owned(),
        report.term.to_string(),
        report.commit_index.to_string(),
        report.applied_index.to_string(),
        commit.saturating_sub(report.applied_index).to_string(),
        report.snapshot_index.to_string(),
        format!("{:.1} ms", node.round_trip.as_secs_f64() * 1000.0),
        humantime::format_duration(up).to_string(),
        String::new(),
    ]
}

/// The line below the table, and the exit code.
fn judgement(reports: &[&StatusResponse], nodes: usize) -> (String, u8) {
    let up = reports.len();
    let Some(latest) = reports.iter().max_by_key(|report| (report.term, report.leader_id)) else {
        return (format!("0/{nodes} up"), NO_CLUSTER);
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
    let mut code = if agreed && up == nodes { 0 } else { DEGRADED };
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
            code = UNSAFE;
        }
    }
    if reports.iter().any(|report| report.debug_build) {
        words.push("(debug build)".to_owned());
    }
    (words.join("   "), code)
}

/// What is to be thought of members that are known from a node that was removed.
pub(super) fn outdated_word(node: u64) -> String {
    format!(
        "the members are those that n{node} knew when it was removed, and none of them answers; if \
         there are others by now, name one of them with --endpoints\n"
    )
}

/// A table without lines; numbers stand on the right.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for (position, name) in header.iter().enumerate() {
        if matches!(*name, "TERM" | "COMMIT" | "APPLIED" | "LAG" | "SNAPSHOT" | "RTT")
            && let Some(column) = table.column_mut(position)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}
