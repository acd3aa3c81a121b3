//! `chaos-ctl status`: how the nodes are, asked from outside.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use clap::Args;
use raft_api::cluster::ClusterConfig;
use raft_api::pb::StatusResponse;
use raft_api::trouble;
use serde::Serialize;
use tokio::time::sleep;

use super::Which;
use super::in_force::Known;
use crate::NodeId;
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::Output;
use crate::watch::{View, Watch, role_name};

/// Show the nodes; exit 0 if all is well, 8 if some node is missing, cut off or out of disk space, 3 if nothing runs
#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    which: Which,
    /// How to show it
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
    /// Show them again every second, until Ctrl-C
    #[arg(short = 'W', long)]
    watch: bool,
}

/// How to show something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    Text,
    Json,
}

#[derive(Debug, Serialize)]
struct Report {
    cluster: String,
    runner: Option<i32>,
    leader: Option<u64>,
    healthy: bool,
    /// What is wrong with nodes that answer.
    problems: Vec<String>,
    /// What was ordered, or drawn, and is not over.
    in_force: Vec<String>,
    nodes: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    node: u64,
    /// Whether it is in the cluster file.
    configured: bool,
    pid: Option<u64>,
    role: String,
    term: Option<u64>,
    commit: Option<u64>,
    applied: Option<u64>,
    client: String,
}

impl Status {
    pub(super) async fn run(self) -> Result<Code, Failure> {
        let config = self.which.load()?;
        let mut output = Output::stdout();
        let clear = self.watch && self.output == Form::Text && io::stdout().is_terminal();
        loop {
            let (report, code) = look(&config).await?;
            if clear {
                // Home first, and then away with what is below: nothing flickers.
                output.line("\u{1b}[H\u{1b}[2J");
            }
            match self.output {
                Form::Json if self.watch => {
                    output.line(&serde_json::to_string(&report).map_err(anyhow::Error::from)?);
                }
                Form::Json => {
                    let text =
                        serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)?;
                    output.line(&text);
                }
                Form::Text => show(&report, &mut output),
            }
            if !self.watch || output.is_broken() {
                return Ok(code);
            }
            if self.output == Form::Text && !clear {
                output.line("");
            }
            sleep(BETWEEN_REPORTS).await;
        }
    }
}

/// From one report to the next, when they are watched.
const BETWEEN_REPORTS: Duration = Duration::from_secs(1);

/// How the nodes are now.
async fn look(config: &ClusterConfig) -> Result<(Report, Code), Failure> {
    let mut watch = Watch::new(config)?;
    let joined = watch.follow(PATIENCE).await;
    let mut view = watch.look(PATIENCE).await;
    let mut earlier = view.clone();
    for _ in 1..LOOKS_MAX {
        if !view.is_uneven() {
            break;
        }
        sleep(BETWEEN_LOOKS).await;
        let enough = view.has_begun();
        earlier = std::mem::replace(&mut view, watch.look(PATIENCE).await);
        if enough {
            break;
        }
    }
    let known = Known::of(&Home::of(config));
    let report = report(config, &joined, (&view, &earlier), known);
    let code = match view.answers().count() {
        // Somebody keeps this cluster, and its nodes are down, stand still or have just been started.
        0 if report.runner.is_some() => Code::Degraded,
        0 => Code::NotReady,
        _ if report.healthy => Code::Done,
        _ => Code::Degraded,
    };
    Ok((report, code))
}

const LEADERLESS: &str = "all nodes answer and none leads: an election is under way, or too many \
    refuse each other because data directories were replaced";

/// The same where there is another reason.
const LEADERLESS_BY_ORDER: &str = "all nodes answer and none leads";

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Two looks tell a busy node from one that stands still, once the leader has committed something.
const LOOKS_MAX: usize = 5;

/// Long enough for a node that is only busy to have moved on.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// `joined`: members that are not in the file.
fn report(
    config: &ClusterConfig,
    joined: &[(NodeId, String)],
    (view, earlier): (&View, &View),
    known: Known,
) -> Report {
    let mut problems = view.cut_off(earlier);
    if view.leader().is_none() && view.answers().count() == view.nodes.len() {
        let known = !known.in_force.is_empty();
        problems.push(if known { LEADERLESS_BY_ORDER } else { LEADERLESS }.to_owned());
    }
    problems.extend(view.answers().filter_map(|(_, status)| trouble::full_disk(status)));
    let configured = config.nodes.iter().map(|node| (node.id, &node.client));
    let nodes = configured.chain(joined.iter().map(|(id, client)| (*id, client)));
    let rows = nodes.map(|(id, client)| {
        let status = view.of(id);
        let reason = view.nodes.get(&id).and_then(|answer| answer.as_ref().err());
        let role = |status: &StatusResponse| {
            if status.removed { "removed" } else { role_name(status.role()) }
        };
        let role = status.map(|status| role(status).to_owned());
        Row {
            node: id.0,
            configured: config.node(id).is_some(),
            pid: status.map(|status| status.pid).or(known.pid(id)),
            role: role.or(known.standing(id)).or(reason.cloned()).unwrap_or_default(),
            term: status.map(|status| status.term),
            commit: status.map(|status| status.commit_index),
            applied: status.map(|status| status.applied_index),
            client: client.clone(),
        }
    });
    let nodes = rows.collect();
    Report {
        cluster: config.name.clone(),
        runner: known.runner,
        leader: view.leader().map(|(id, _)| id.0),
        healthy: view.is_agreed() && problems.is_empty(),
        problems,
        nodes,
        in_force: known.in_force,
    }
}

fn show(report: &Report, output: &mut Output) {
    let runner = match report.runner {
        Some(pid) => format!("run by process {pid}"),
        None => "no runner".to_owned(),
    };
    let leader = report.leader.map_or_else(|| "none".to_owned(), |leader| format!("n{leader}"));
    output.line(&format!("cluster {}   leader {leader}   {runner}\n", report.cluster));
    let wide = report.nodes.iter().map(|row| row.role.chars().count()).max().unwrap_or(0).max(14);
    output.line(&format!("  node   pid       {:<wide$}  term    commit   applied  client", "role"));
    let shown = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |it| it.to_string());
    for row in &report.nodes {
        let (name, pid, role) = (format!("n{}", row.node), shown(row.pid), &row.role);
        let (term, commit, applied) = (shown(row.term), shown(row.commit), shown(row.applied));
        let numbers = format!("{term:>6}  {commit:>8}  {applied:>8}");
        let joined = if row.configured { "" } else { "   not in the file" };
        let client = &row.client;
        output.line(&format!("  {name:<5}  {pid:<8}  {role:<wide$}  {numbers}  {client}{joined}"));
    }
    if !report.problems.is_empty() || !report.in_force.is_empty() {
        output.line("");
    }
    for fault in &report.in_force {
        output.line(&format!("  in force: {fault}"));
    }
    for problem in &report.problems {
        output.line(&format!("  {problem}"));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use raft_api::pb::{DiskSpace, Role};

    use super::*;

    /// All agree about who leads, and none takes a write.
    #[test]
    fn full_disks_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cluster.yaml");
        std::fs::write(&file, "cluster: {name: full}\nnodes: [{id: 1}, {id: 2}]\n").unwrap();
        let config = ClusterConfig::load(&file).unwrap();
        let judged = |disks: [DiskSpace; 2]| {
            let nodes = (1..).zip(disks).map(|(node_id, space)| {
                let role = if node_id == 1 { Role::Leader } else { Role::Follower };
                let status = StatusResponse {
                    node_id,
                    role: role.into(),
                    term: 1,
                    leader_id: 1,
                    commit_index: 9,
                    applied_index: 9,
                    disk_space: space.into(),
                    data_dir: format!("/data/n{node_id}"),
                    ..Default::default()
                };
                (NodeId(node_id), Ok(status))
            });
            let view = View { at: Instant::now(), nodes: nodes.collect() };
            let report = report(&config, &[], (&view, &view), Known::default());
            (report.healthy, report.problems)
        };
        assert_eq!(judged([DiskSpace::Enough; 2]), (true, Vec::new()));
        let (healthy, problems) = judged([DiskSpace::Short, DiskSpace::Out]);
        let lines = [
            "n1 takes no writes from clients: its disk is full; free some space there, at \
             /data/n1, and it goes on",
            "n2 stores nothing: its disk is full; free some space there, at /data/n2, and it goes \
             on",
        ];
        assert!(!healthy);
        assert_eq!(problems, lines);
    }
}
