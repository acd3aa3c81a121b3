//! `health`

use serde_json::{Value, json};

use super::format::{Format, line};
use super::survey::{Survey, Verdict, name};
use super::table::table;
use super::{Context, Done, Failure};

#[derive(Debug, clap::Args)]
pub(crate) struct HealthCommand {}

impl HealthCommand {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let survey = Survey::take(context).await;
        let verdict = survey.verdict();
        let data = match context.format {
            Format::Json => line(&json(&survey, &verdict)),
            Format::Raw => format!("{}\n", verdict.health.name()).into_bytes(),
            Format::Table => (nodes(&survey, &verdict) + "\n").into_bytes(),
            Format::Text => text(&survey, &verdict).into_bytes(),
        };
        Ok(Done { code: verdict.health.code(), ..Done::with(data) })
    }
}

fn text(survey: &Survey, verdict: &Verdict) -> String {
    let nodes = nodes(survey, verdict);
    let mut text = format!("{nodes}\n{}   {}\n", verdict.health.name(), verdict.line);
    for problem in verdict.problems.iter().filter(|problem| problem.node.is_none()) {
        text.extend([&problem.text, "\n"]);
    }
    text
}

/// A word for every node, and why it is not `ready`.
fn judged(survey: &Survey, verdict: &Verdict) -> Vec<(Option<u64>, String, &'static str, String)> {
    let judge = |node: &raft_client::NodeStatus| {
        let id = survey.id(node);
        let (word, why) = match &node.status {
            Err(fault) => ("DOWN", fault.to_string()),
            Ok(report) => {
                let problems = verdict.problems.iter().filter(|problem| problem.node == id);
                let mut why: Vec<&str> = problems.map(|problem| &*problem.text).collect();
                if report.leader_id == 0 {
                    why.push("it knows no leader");
                }
                let led = report.leader_id == 0
                    || verdict.leader.is_some_and(|(leader, term)| {
                        (report.leader_id, report.term) == (leader, term)
                    });
                if !led {
                    why.push("it does not follow the leader of the latest term");
                }
                (if why.is_empty() { "ready" } else { "degraded" }, why.join("; "))
            }
        };
        (id, node.addr.clone(), word, why)
    };
    survey.nodes.iter().map(judge).collect()
}

fn nodes(survey: &Survey, verdict: &Verdict) -> String {
    let rows = judged(survey, verdict).into_iter();
    let rows = rows.map(|(id, addr, word, why)| [name(id), addr, word.to_owned(), why]);
    table(["NODE", "ADDRESS", "HEALTH", ""], rows)
}

fn json(survey: &Survey, verdict: &Verdict) -> Value {
    let node = |(id, addr, word, why): (Option<u64>, String, &str, String)| {
        let why = (!why.is_empty()).then_some(why);
        json!({ "id": id, "addr": addr, "health": word.to_ascii_lowercase(), "error": why })
    };
    let nodes: Vec<Value> = judged(survey, verdict).into_iter().map(node).collect();
    let problems: Vec<&str> = verdict.problems.iter().map(|problem| &*problem.text).collect();
    json!({
        "schema": "raft-health/1",
        "health": verdict.health.name(),
        "leader": verdict.leader.map(|(node, _)| node),
        "nodes": nodes,
        "problems": problems,
    })
}
