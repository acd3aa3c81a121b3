//! What a run comes to, for people and for scripts.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use raft_api::pb;
use serde::{Serialize, Serializer};

use super::Bench;
use super::recorder::{Gap, Reign};
use super::verify::Verdict;
use crate::{Client, Counters, LeaderInfo};

/// The cluster as it was found before the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Nodes that are known.
    pub nodes: usize,
    /// Nodes that answered.
    pub up: usize,
    /// The leader's number.
    pub leader: u64,
    /// Its term.
    pub term: u64,
    /// Whether any node is built without optimisation.
    pub debug_build: bool,
}

impl Cluster {
    pub(super) async fn look(client: &Client, leader: &LeaderInfo) -> Self {
        let nodes = client.status_all().await;
        let reports: Vec<&pb::StatusResponse> =
            nodes.iter().filter_map(|node| node.status.as_ref().ok()).collect();
        Self {
            name: reports.first().map(|report| report.cluster.clone()).unwrap_or_default(),
            nodes: nodes.len(),
            up: reports.len(),
            leader: leader.node,
            term: leader.term,
            debug_build: reports.iter().any(|report| report.debug_build),
        }
    }
}

/// What a run comes to. Serialises to one JSON object; times are whole microseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Names this format.
    pub schema: &'static str,
    /// Which command.
    pub workload: &'static str,
    /// Workers.
    pub concurrency: usize,
    /// Connections to each node.
    pub connections: usize,
    /// Bytes of each payload.
    pub value_bytes: usize,
    /// Determines payloads and the choice of keys.
    pub seed: u64,
    /// The cluster at the start.
    pub cluster: Cluster,
    /// Whether this program is built without optimisation.
    pub client_debug_build: bool,
    /// Whether the run was broken off.
    pub interrupted: bool,
    /// Whether it was ended because nothing had been acknowledged for too long.
    pub gave_up: bool,
    /// Acknowledged writes.
    pub ok: u64,
    /// Writes that are not done.
    pub failed: u64,
    /// Writes that may be done.
    pub unknown: u64,
    /// Attempts that followed a failed one.
    pub retries: u64,
    /// Repeated writes that the cluster recognised.
    pub duplicates: u64,
    /// When the run started, on the machine's monotonic clock, which its other processes read too.
    pub started_mono_us: u64,
    /// From the start to the end of the last write.
    #[serde(rename = "elapsed_us", serialize_with = "micros")]
    pub elapsed: Duration,
    /// Acknowledged writes per second.
    pub ops_per_s: f64,
    /// From the first attempt of an acknowledged write to its answer.
    pub latency_us: Latency,
    /// The longest time without an acknowledged write, over all workers.
    #[serde(rename = "longest_gap_us", serialize_with = "micros")]
    pub longest_gap: Duration,
    /// The times without one that were so long or longer.
    #[serde(rename = "gap_min_us", serialize_with = "micros")]
    pub gap_min: Duration,
    /// These times.
    pub gaps: Vec<GapSummary>,
    /// How many of them there were beyond those listed.
    pub gaps_left_out: u64,
    /// How often another node took over, as the answers show.
    pub leader_changes: u64,
    /// Failed attempts by kind, also of writes that succeeded later.
    pub errors: BTreeMap<&'static str, u64>,
    /// The first operations that did not succeed, in words.
    pub messages: Vec<String>,
    /// What reading back has shown, if it was asked for.
    pub verify: Option<Verification>,
}

/// Percentiles, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Number of values.
    pub count: u64,
    /// Half of all were faster; and so on.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p99_9: u64,
    /// The slowest.
    pub max: u64,
    /// The arithmetic mean.
    pub mean: u64,
}

impl Latency {
    fn of(nanos: &Histogram<u64>) -> Self {
        if nanos.is_empty() {
            return Self::default();
        }
        let at = |quantile| nanos.value_at_quantile(quantile) / 1000;
        Self {
            count: nanos.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: nanos.max() / 1000,
            mean: mean_micros(nanos),
        }
    }

    /// The percentiles with the part of all values that lies above each.
    pub(super) fn quantiles(&self) -> [(u64, f64); 4] {
        [(self.p50, 0.5), (self.p90, 0.1), (self.p99, 0.01), (self.p99_9, 0.001)]
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of latencies is far below 2^53 ns and not negative"
)]
fn mean_micros(nanos: &Histogram<u64>) -> u64 {
    (nanos.mean() / 1000.0).round() as u64
}

/// A time without an acknowledged write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GapSummary {
    /// When it began, from the start of the run.
    #[serde(rename = "at_us", serialize_with = "micros")]
    pub at: Duration,
    /// How long it was.
    #[serde(rename = "length_us", serialize_with = "micros")]
    pub length: Duration,
    /// Who led before; 0: nobody known.
    pub leader_before: u64,
    /// In which term.
    pub term_before: u64,
    /// Who acknowledged the write that ended it; 0: none did, the run ended.
    pub leader_after: u64,
    /// In which term.
    pub term_after: u64,
}

impl From<Gap> for GapSummary {
    fn from(gap: Gap) -> Self {
        let split = |reign: Option<Reign>| reign.map_or((0, 0), |reign| (reign.leader, reign.term));
        let (leader_before, term_before) = split(gap.before);
        let (leader_after, term_after) = split(gap.after);
        let Gap { at, length, .. } = gap;
        Self { at, length, leader_before, term_before, leader_after, term_after }
    }
}

/// What came of reading back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Verification {
    /// It was done, and this is what it showed.
    Done(Verdict),
    /// The cluster could not be read.
    Undone(#[serde(serialize_with = "undone")] String),
}

fn undone<S: Serializer>(why: &str, serializer: S) -> Result<S::Ok, S::Error> {
    BTreeMap::from([("error", why)]).serialize(serializer)
}

fn micros<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

impl Bench {
    pub(super) fn summarise(&self) -> Summary {
        let plan = &self.shared.plan;
        let Counters { retries, duplicates, faults } = self.shared.client.counters();
        let before = &self.counters_before;
        let recorder = self.shared.recorder();
        let earlier = |kind| before.faults.iter().find(|(k, _)| *k == kind).map_or(0, |(_, n)| *n);
        let errors = faults.into_iter().map(|(kind, count)| (kind.name(), count - earlier(kind)));
        let elapsed = recorder.elapsed();
        let rate = if elapsed.is_zero() { 0.0 } else { per_second(recorder.ok, elapsed) };
        Summary {
            schema: "raft-bench/1",
            workload: plan.kind.name(),
            concurrency: plan.concurrency,
            connections: self.shared.client.options().connections,
            value_bytes: plan.value_size,
            seed: plan.seed,
            cluster: self.cluster.clone(),
            client_debug_build: cfg!(debug_assertions),
            interrupted: self.shared.stop.is_cancelled(),
            gave_up: recorder.gave_up,
            ok: recorder.ok,
            failed: recorder.failed,
            unknown: recorder.unknown,
            retries: retries - before.retries,
            duplicates: duplicates - before.duplicates,
            started_mono_us: self.shared.started_mono_us,
            elapsed,
            ops_per_s: rate,
            latency_us: Latency::of(&recorder.latency),
            longest_gap: recorder.longest_gap,
            gap_min: plan.gap_min,
            gaps: recorder.gaps.iter().copied().map(GapSummary::from).collect(),
            gaps_left_out: recorder.gaps_left_out,
            leader_changes: recorder.leader_changes,
            errors: errors.filter(|(_, count)| 0 < *count).collect(),
            messages: recorder.messages.clone(),
            verify: None,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown to a few digits")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    (count as f64 / elapsed.as_secs_f64() * 10.0).round() / 10.0
}
