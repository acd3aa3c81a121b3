//! `status --stages`: where the time of a write goes.
//!
//! The nodes count from their start; what is shown is what came between two looks.

use std::time::Duration;

use futures_util::future::join_all;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use raft_api::pb::{Role, Stage, StatusResponse};
use raft_client::{Client, NodeStatus};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::format::{Format, line};
use super::status::role;
use super::survey::{Survey, name};
use super::table::table;
use super::{Context, Done, Failure};

/// Enough for a median.
const KNOCKS: usize = 200;

/// What a write at the leader passes through, one after the other.
const WAY: [&str; 4] = ["queue", "commit", "apply", "reply"];

/// The leader's own disk, and the followers', at the same time: in `commit`.
const DISK: [&str; 3] = ["wal wait", "wal write", "fsync"];
const FOLLOW: &str = "follow";

/// What a node measured between two looks.
struct Measured {
    node: NodeStatus,
    id: Option<u64>,
    stages: Vec<(String, Histogram<u64>)>,
}

/// A write at the leader, in nanoseconds: the medians of what it passes through.
struct Way {
    leader: u64,
    /// There and back, without anything in between.
    wire: u64,
    stages: Vec<(&'static str, u64)>,
}

pub(super) async fn run(context: &Context, window: Duration) -> Result<Done, Failure> {
    let (mut survey, addrs) = Survey::prepare(context).await;
    let client = &context.client;
    let look = async || join_all(addrs.iter().map(|addr| client.status_with_stages(addr))).await;
    survey.earlier = look().await;
    sleep(window).await;
    survey.nodes = look().await;
    let pairs = survey.nodes.iter().zip(&survey.earlier);
    let mut all: Vec<Measured> = pairs
        .map(|(now, before)| Measured {
            node: now.clone(),
            id: survey.id(now),
            stages: between(before.status.as_ref().ok(), now.status.as_ref().ok()),
        })
        .collect();
    all.sort_by_key(|it| it.id.unwrap_or(u64::MAX));
    survey.sort();
    let way = way(client, &all).await;
    let data = match context.format {
        Format::Json => line(&json(&all, way.as_ref(), window)),
        Format::Table | Format::Raw => (rows(&all) + "\n").into_bytes(),
        Format::Text => text(&all, way.as_ref()).into_bytes(),
    };
    Ok(Done { data, note: None, code: survey.verdict().health.code() })
}

/// What was measured between two reports of one node; all of it, if it was restarted in between.
fn between(
    before: Option<&StatusResponse>,
    now: Option<&StatusResponse>,
) -> Vec<(String, Histogram<u64>)> {
    let Some(now) = now else { return Vec::new() };
    let before = before.filter(|it| it.pid == now.pid && it.uptime_ms <= now.uptime_ms);
    let earlier = |name: &str| before?.stages.iter().find(|it| it.name == name).and_then(times);
    let stages = now.stages.iter().filter_map(|stage| {
        let now = times(stage)?;
        let mut since = now.clone();
        let fits = earlier(&stage.name).is_none_or(|earlier| since.subtract(&earlier).is_ok());
        Some((stage.name.clone(), if fits { since } else { now }))
    });
    stages.collect()
}

/// A histogram that cannot be read is none.
fn times(stage: &Stage) -> Option<Histogram<u64>> {
    Deserializer::new().deserialize(&mut stage.histogram.as_ref()).ok()
}

impl Measured {
    fn median(&self, stage: &str) -> Option<u64> {
        let (_, times) = self.stages.iter().find(|(name, _)| name == stage)?;
        (!times.is_empty()).then(|| times.value_at_quantile(0.5))
    }

    fn leads(&self) -> bool {
        self.node.status.as_ref().is_ok_and(|report| report.role() == Role::Leader)
    }

    fn term(&self) -> u64 {
        self.node.status.as_ref().map_or(0, |report| report.term)
    }
}

/// The way of a write, if one was made and there is a leader.
async fn way(client: &Client, all: &[Measured]) -> Option<Way> {
    let leader = all.iter().filter(|it| it.leads()).max_by_key(|it| it.term())?;
    let stages = WAY.iter().map(|stage| Some((*stage, leader.median(stage)?)));
    let stages = stages.collect::<Option<Vec<_>>>()?;
    let mut knocks = Vec::with_capacity(KNOCKS);
    for _ in 0..KNOCKS {
        knocks.push(client.knock(&leader.node.addr).await.ok()?);
    }
    knocks.sort_unstable();
    let wire = u64::try_from(knocks[KNOCKS / 2].as_nanos()).unwrap_or(u64::MAX);
    Some(Way { leader: leader.id?, wire, stages })
}

impl Way {
    fn sum(&self) -> u64 {
        self.stages
            .iter()
            .map(|(_, nanos)| nanos)
            .fold(self.wire, |sum, it| sum.saturating_add(*it))
    }
}

fn text(all: &[Measured], way: Option<&Way>) -> String {
    let rows = rows(all);
    let Some(way) = way else {
        return format!("{rows}\nno write was done at a leader meanwhile\n");
    };
    let (leading, following): (Vec<&Measured>, Vec<&Measured>) =
        all.iter().partition(|it| it.id == Some(way.leader));
    let stages: Vec<String> =
        way.stages.iter().map(|(stage, nanos)| format!(" + {stage} {}", micros(*nanos))).collect();
    let disk: u64 = DISK.iter().filter_map(|stage| leading.first()?.median(stage)).sum();
    let followers: Vec<String> = following
        .iter()
        .filter_map(|it| Some(format!("{} {}", name(it.id), micros(it.median(FOLLOW)?))))
        .collect();
    format!(
        "{rows}\na write at {}, medians in \u{b5}s: wire and client {}{} = {}\n\
         commit holds, at the same time: the leader's {} {}; {FOLLOW} {}, and the way there and back\n",
        name(Some(way.leader)),
        micros(way.wire),
        stages.concat(),
        micros(way.sum()),
        DISK.join(" + "),
        micros(disk),
        if followers.is_empty() { "of nobody".to_owned() } else { followers.join(", ") },
    )
}

/// One for each stage of each node in which something was measured.
fn rows(all: &[Measured]) -> String {
    let rows = all.iter().flat_map(|it| {
        let what = match &it.node.status {
            Ok(report) => role(report).to_owned(),
            Err(fault) => format!("DOWN: {fault}"),
        };
        let node = [name(it.id), what];
        let measured = it.stages.iter().filter(|(_, times)| !times.is_empty());
        let mut rows: Vec<[String; 7]> = measured
            .map(|(stage, times)| {
                let [node, what] = node.clone();
                let at = |quantile| micros(times.value_at_quantile(quantile));
                let max = micros(times.max());
                [node, what, stage.clone(), times.len().to_string(), at(0.5), at(0.99), max]
            })
            .collect();
        if rows.is_empty() {
            let [node, what] = node;
            let dash = || "-".to_owned();
            rows.push([node, what, dash(), dash(), dash(), dash(), dash()]);
        }
        rows
    });
    table(["NODE", "ROLE", "STAGE", "COUNT", "P50 \u{b5}s", "P99 \u{b5}s", "MAX \u{b5}s"], rows)
}

/// With one digit behind the point.
fn micros(nanos: u64) -> String {
    let tenths = nanos.saturating_add(50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn json(all: &[Measured], way: Option<&Way>, window: Duration) -> Value {
    let nodes = all.iter().map(|it| {
        let report = it.node.status.as_ref().ok();
        let fault = it.node.status.as_ref().err();
        let stages = it.stages.iter().map(|(stage, times)| {
            let at = |quantile| (!times.is_empty()).then(|| times.value_at_quantile(quantile));
            json!({
                "name": stage,
                "count": times.len(),
                "p50_ns": at(0.5),
                "p99_ns": at(0.99),
                "max_ns": at(1.0),
            })
        });
        json!({
            "id": it.id,
            "addr": it.node.addr,
            "error": fault.map(|it| json!({ "kind": it.kind.name(), "message": it.to_string() })),
            "role": report.map(|it| role(it).to_ascii_lowercase()),
            "stages": stages.collect::<Vec<_>>(),
        })
    });
    let stage = |(name, nanos): &(&str, u64)| json!({ "name": name, "p50_ns": nanos });
    json!({
        "schema": "raft-stages/1",
        "window_ms": u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
        "nodes": nodes.collect::<Vec<_>>(),
        "write": way.map(|way| json!({
            "leader": way.leader,
            "wire_and_client_ns": way.wire,
            "stages": way.stages.iter().map(stage).collect::<Vec<_>>(),
            "sum_ns": way.sum(),
        })),
    })
}
