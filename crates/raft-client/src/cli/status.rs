//! `status`

use std::io::{self, IsTerminal as _};
use std::time::{Duration, SystemTime};

use raft_api::pb::{Role, StatusResponse};
use raft_api::units::HumanDuration;
use raft_client::NodeStatus;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::failure::ASSUMED;
use super::format::{Format, line};
use super::survey::{Health, Survey, Verdict, name, outdated_word};
use super::table::table;
use super::{Context, Done, Failure, emit, stages, time_to_wait};

/// Clears a terminal and begins at its top.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

#[derive(Debug, clap::Args)]
pub(crate) struct StatusCommand {
    /// Look again and again, until it is interrupted.
    #[arg(
        long,
        value_name = "EVERY",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1s",
        value_parser = time_to_wait
    )]
    watch: Option<HumanDuration>,
    /// Tell where the time of writes goes instead, as the nodes measure it from now on.
    #[arg(long, conflicts_with = "watch")]
    stages: bool,
    /// How long they measure [default: 5s].
    #[arg(long = "for", value_name = "DURATION", requires = "stages", value_parser = time_to_wait)]
    window: Option<HumanDuration>,
}

const WINDOW: Duration = Duration::from_secs(5);

impl StatusCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        if self.stages {
            return stages::run(context, self.window.map_or(WINDOW, |window| window.0)).await;
        }
        let Some(every) = self.watch else {
            let survey = Survey::take(context).await;
            let verdict = survey.verdict();
            let lost = context.target.is_assumed && verdict.health == Health::Unreachable;
            return Ok(Done {
                data: shown(&survey, &verdict, context.format),
                note: lost.then(|| format!("hint: {ASSUMED}")),
                code: verdict.health.code(),
            });
        };
        loop {
            let next = Instant::now() + every.0;
            let survey = Survey::take(context).await;
            let mut data = shown(&survey, &survey.verdict(), context.format);
            if context.format != Format::Json {
                let at = humantime::format_rfc3339_seconds(SystemTime::now());
                let begin = if io::stdout().is_terminal() { CLEAR } else { "" };
                data = [format!("{begin}{at}\n").as_bytes(), &data, b"\n"].concat();
            }
            if !emit(&data)? {
                return Ok(Done::default());
            }
            sleep_until(next).await;
        }
    }
}

fn shown(survey: &Survey, verdict: &Verdict, format: Format) -> Vec<u8> {
    match format {
        Format::Json => line(&json(survey, verdict)),
        Format::Table | Format::Raw => (nodes(survey) + "\n").into_bytes(),
        Format::Text => text(survey, verdict).into_bytes(),
    }
}

fn text(survey: &Survey, verdict: &Verdict) -> String {
    let mut text = nodes(survey);
    text.extend(["\n", &verdict.line, "\n"]);
    for problem in &verdict.problems {
        text.extend([&problem.text, "\n"]);
    }
    match survey.outdated_by {
        Some(by) => text.push_str(&outdated_word(by)),
        None => text.extend(survey.differences.iter().map(String::as_str)),
    }
    text
}

fn nodes(survey: &Survey) -> String {
    let commit = survey.reports().iter().map(|report| report.commit_index).max().unwrap_or(0);
    let rows = survey.nodes.iter().map(|node| match &node.status {
        Ok(report) => row(node, report, commit),
        Err(fault) => {
            let mut row = [const { String::new() }; COLUMNS.len()];
            [row[0], row[1], row[2]] =
                [name(survey.id(node)), node.addr.clone(), "DOWN".to_owned()];
            row[COLUMNS.len() - 1] = fault.to_string();
            row
        }
    });
    table(COLUMNS, rows)
}

/// The last column says why a node did not answer.
const COLUMNS: [&str; 11] =
    ["NODE", "ADDRESS", "ROLE", "TERM", "COMMIT", "APPLIED", "LAG", "SNAPSHOT", "RTT", "UP", ""];

pub(super) fn role(report: &StatusResponse) -> &'static str {
    match report.role() {
        _ if report.removed => "removed",
        Role::Follower => "follower",
        Role::PreCandidate => "pre-candidate",
        Role::Candidate => "candidate",
        Role::Leader => "LEADER",
        Role::Learner => "learner",
    }
}

fn row(node: &NodeStatus, report: &StatusResponse, commit: u64) -> [String; COLUMNS.len()] {
    let up = Duration::from_secs(report.uptime_ms / 1000);
    [
        format!("n{}", report.node_id),
        node.addr.clone(),
        role(report).to_owned(),
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

fn json(survey: &Survey, verdict: &Verdict) -> Value {
    let commit = survey.reports().iter().map(|report| report.commit_index).max().unwrap_or(0);
    let nodes: Vec<Value> =
        survey.nodes.iter().map(|node| node_json(node, survey.id(node), commit)).collect();
    let problems: Vec<Value> = verdict
        .problems
        .iter()
        .map(|problem| json!({ "node": problem.node, "message": problem.text }))
        .collect();
    let differences: Vec<&str> = survey.differences.iter().map(|line| line.trim_end()).collect();
    json!({
        "schema": "raft-status/1",
        "cluster": survey.reports().first().map(|report| &report.cluster),
        "health": verdict.health.name(),
        "leader": verdict.leader.map(|(node, _)| node),
        "term": verdict.leader.map(|(_, term)| term),
        "nodes": nodes,
        "problems": problems,
        "unlike_the_file": differences,
        "outdated_by": survey.outdated_by,
    })
}

/// A node that does not answer has the same fields, all but three of them null.
fn node_json(node: &NodeStatus, id: Option<u64>, commit: u64) -> Value {
    let report = node.status.as_ref().ok();
    let fault = node.status.as_ref().err();
    let micros = u64::try_from(node.round_trip.as_micros()).unwrap_or(u64::MAX);
    json!({
        "id": id,
        "addr": node.addr,
        "error": fault.map(|fault| json!({ "kind": fault.kind.name(), "message": fault.to_string() })),
        "role": report.map(|it| role(it).to_ascii_lowercase()),
        "term": report.map(|it| it.term),
        "leader": report.map(|it| it.leader_id),
        "commit": report.map(|it| it.commit_index),
        "applied": report.map(|it| it.applied_index),
        "lag": report.map(|it| commit.saturating_sub(it.applied_index)),
        "last": report.map(|it| it.last_index),
        "durable": report.map(|it| it.durable_index),
        "snapshot": report.map(|it| it.snapshot_index),
        // More than a double can hold.
        "state_hash": report.map(|it| format!("{:016x}", it.state_hash)),
        "keys": report.map(|it| it.keys),
        "sessions": report.map(|it| it.sessions),
        "round_trip_us": report.map(|_| micros),
        "uptime_ms": report.map(|it| it.uptime_ms),
        "pid": report.map(|it| it.pid),
        "version": report.map(|it| &it.version),
        "debug_build": report.map(|it| it.debug_build),
        "data_dir": report.map(|it| &it.data_dir),
    })
}
