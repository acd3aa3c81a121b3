//! What a run comes to, for people and for scripts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hdrhistogram::Histogram;
use raft_api::pb;
use serde::{Serialize, Serializer};

use super::cost::Cpu;
use super::expect::Judged;
use super::failover::{Failover, FaultEvent, failovers};
use super::intervals::{Interval, Intervals, histogram};
use super::latency::{Bin, Latency, bins};
use super::operation::Kind;
use super::recorder::{Recorder, Tally};
use super::run::Bench;
use super::silence::{Gap, Reign, Silence};
use super::stall::Stall;
use super::verify::Verdict;
use super::{Plan, System};
use crate::{Client, Consistency, Counters, FaultKind, LeaderInfo, ReadFrom};

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

/// What the load was. Two runs can be compared if these are the same, but for the seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Load {
    /// Whose cluster was pressed.
    pub system: System,
    /// How often which kind, as on the command line.
    pub mix: String,
    /// Workers.
    pub concurrency: usize,
    /// Operations that each of them has under way; of a run before there was such a thing, 1.
    pub pipeline: usize,
    /// Connections to each node.
    pub connections: usize,
    /// Bytes of the smallest value.
    pub value_bytes_min: usize,
    /// Bytes of the largest.
    pub value_bytes_max: usize,
    /// Bytes of each key, at least.
    pub key_bytes: usize,
    /// Number of keys.
    pub keys: u64,
    /// How one is chosen.
    pub key_choice: String,
    /// Operations per second that were due, if they were due at times of their own.
    pub rate_per_s: Option<f64>,
    /// How those times follow each other.
    pub arrivals: Option<String>,
    /// How fresh reads must be.
    pub consistency: &'static str,
    /// Which nodes were asked to read.
    pub read_from: &'static str,
    /// For how long the load ran before anything was measured.
    #[serde(rename = "warmup_us", serialize_with = "micros")]
    pub warmup: Duration,
    /// Determines kinds, keys and values.
    pub seed: u64,
}

/// What a run comes to. Serialises to one JSON object; times are whole microseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Names this format.
    pub schema: &'static str,
    /// The load.
    pub load: Load,
    /// The cluster at the start.
    pub cluster: Cluster,
    /// Whether this program is built without optimisation.
    pub client_debug_build: bool,
    /// Whether the run was broken off.
    pub interrupted: bool,
    /// Whether it was ended because nothing had been done for too long.
    pub gave_up: bool,
    /// Operations that were done.
    pub ok: u64,
    /// Operations that are not done.
    pub failed: u64,
    /// Writes that may be done.
    pub unknown: u64,
    /// Operations that were due, and that nobody had the time to send.
    pub dropped: u64,
    /// Attempts that followed a failed one.
    pub retries: u64,
    /// Repeated writes that the cluster recognised.
    pub duplicates: u64,
    /// When the run started, on the machine's monotonic clock, which its other processes read too.
    pub started_mono_us: u64,
    /// From the start to the end of the last operation.
    #[serde(rename = "elapsed_us", serialize_with = "micros")]
    pub elapsed: Duration,
    /// Operations done per second.
    pub ops_per_s: f64,
    /// Of all operations that were done: from the first attempt to the answer; in an open loop from
    /// when the operation was due.
    pub latency_us: Latency,
    /// Each kind alone.
    pub ops: Vec<OpSummary>,
    /// All latencies, in bins that widen.
    pub histogram: Vec<Bin>,
    /// Of requests that the leader answered at once, before the run: what the way there and back
    /// takes, if it was asked for.
    pub empty_trip_us: Option<Latency>,
    /// What processor time the run took.
    pub cpu: Cpu,
    /// How late operations were sent, in an open loop.
    pub schedule_lag_us: Option<Latency>,
    /// How writes were served, if there were any.
    pub writes: Option<Service>,
    /// How reads were.
    pub reads: Option<Service>,
    /// The longest time in which no write was done; if there were none, no read.
    #[serde(rename = "longest_gap_us", serialize_with = "micros")]
    pub longest_gap: Duration,
    /// The times without one that were so long or longer.
    #[serde(rename = "gap_min_us", serialize_with = "micros")]
    pub gap_min: Duration,
    /// These times.
    pub gaps: Vec<GapSummary>,
    /// How many of them there were beyond those listed.
    pub gaps_left_out: u64,
    /// The same of reads, if there were any.
    pub read_gaps: Vec<GapSummary>,
    /// How many of them there were beyond those listed.
    pub read_gaps_left_out: u64,
    /// How often another node took over, as the answers show.
    pub leader_changes: u64,
    /// Every change of the leader or of its term, and what it cost.
    pub failovers: Vec<Failover>,
    /// When this program did not run itself. These times are no part of latencies and outages.
    pub stalls: Vec<Stall>,
    /// What a chaos run did meanwhile, as its own record says.
    pub events: Vec<FaultEvent>,
    /// Failed attempts by kind, also of operations that succeeded later.
    pub errors: BTreeMap<&'static str, u64>,
    /// The first operations that did not succeed, in words.
    pub messages: Vec<String>,
    /// Signs that the cluster lost what it had, in words; none is how it should be.
    pub forgotten: Vec<String>,
    /// What reading back has shown, if it was asked for.
    pub verify: Option<Verification>,
    /// Why the history could not be written, if it could not.
    pub history_error: Option<String>,
    /// What was expected of the run, and what came of it.
    pub expectations: Vec<Judged>,
    /// The run in slices of time.
    #[serde(skip)]
    pub(super) slices: Arc<Slices>,
}

/// The run in slices of time.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    pub(super) kinds: Vec<Kind>,
    pub(super) intervals: Vec<Interval>,
    /// Operations done in each tenth of a second.
    pub(super) slots: Vec<u32>,
    /// The reads among them.
    pub(super) read_slots: Vec<u32>,
}

impl Slices {
    /// The latencies of this kind, or of all.
    pub(super) fn latencies(&self, kind: Option<Kind>) -> Histogram<u64> {
        let mut all = histogram();
        for slice in &self.intervals {
            for (_, row) in self
                .kinds
                .iter()
                .zip(&slice.rows)
                .filter(|(it, _)| kind.is_none_or(|kind| kind == **it))
            {
                all.add(row.histogram()).expect("all have the same bounds");
            }
        }
        all
    }
}

impl Summary {
    /// Operations of this kind that were wanted and never done. Of those that nobody had the time to
    /// send each kind has its part.
    pub(super) fn undone(&self, op: &OpSummary) -> u64 {
        let tried = |op: &OpSummary| op.ok + op.failed + op.unknown;
        let all: u64 = self.ops.iter().map(tried).sum();
        let part = u128::from(self.dropped) * u128::from(tried(op));
        let dropped = part.div_ceil(u128::from(all.max(1)));
        op.failed + op.unknown + u64::try_from(dropped).unwrap_or(u64::MAX)
    }
}

/// One kind of operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpSummary {
    /// Which.
    pub op: &'static str,
    /// Those that were done.
    pub ok: u64,
    /// Those that are not.
    pub failed: u64,
    /// Those that may be.
    pub unknown: u64,
    /// Of those that were done: gets of keys that are not set, and swaps that were refused.
    pub in_vain: u64,
    /// Of those that were done.
    pub latency_us: Latency,
    /// An estimate of what users would have seen who do not wait for each other (of a closed loop);
    /// operations that were never answered are in it with the time that they waited.
    pub corrected_us: Option<Latency>,
    /// Without the slices of time around outages and faults, if there were any.
    pub steady_us: Option<Latency>,
    /// From the first attempt to the answer (of an open loop).
    pub service_us: Option<Latency>,
}

/// How a class of operations was served.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Service {
    /// The part of the time that was no outage, of that in which somebody asked; none if nobody did.
    pub available: Option<f64>,
    /// Times in which somebody waited and nothing was done, longer than the load itself explains.
    pub outages: u64,
    /// How long such a time must be.
    #[serde(rename = "outage_min_us", serialize_with = "micros")]
    pub outage_min: Duration,
    /// The longest of them; zero if there was none.
    #[serde(rename = "longest_us", serialize_with = "micros")]
    pub longest: Duration,
    /// All of them together.
    #[serde(rename = "total_us", serialize_with = "micros")]
    pub total: Duration,
    /// The longest time in which somebody waited and nothing was done, outage or not.
    #[serde(rename = "longest_gap_us", serialize_with = "micros")]
    pub longest_gap: Duration,
    /// For how long nobody asked for any, beyond the pauses that the load itself leaves: nothing is
    /// known of these times.
    #[serde(rename = "unasked_us", serialize_with = "micros")]
    pub unasked: Duration,
    /// The longest of them.
    #[serde(rename = "longest_unasked_us", serialize_with = "micros")]
    pub longest_unasked: Duration,
}

impl Service {
    /// `watched` is how much of the run could be seen.
    fn of(silence: &Silence, watched: Duration) -> Self {
        let lengths: Vec<Duration> = silence.outages().map(|gap| gap.length).collect();
        let total: Duration = lengths.iter().sum();
        let (mut unasked, mut longest_unasked) = (Duration::ZERO, Duration::ZERO);
        for length in silence.unasked() {
            unasked += length;
            longest_unasked = longest_unasked.max(length);
        }
        let asked = watched.saturating_sub(unasked);
        let down = total.as_secs_f64() / asked.as_secs_f64();
        let known = silence.was_asked() && !asked.is_zero();
        Self {
            available: known.then(|| (1.0 - down).clamp(0.0, 1.0)),
            outages: lengths.len() as u64,
            outage_min: silence.outage_min(),
            longest: lengths.into_iter().max().unwrap_or_default(),
            total,
            longest_gap: silence.longest,
            unasked,
            longest_unasked,
        }
    }
}

/// A time in which nothing was done.
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
    /// Who did what ended it; 0: nobody did, the run ended.
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

pub(super) fn micros<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

impl Bench {
    pub(super) fn summarise(&self, events: Vec<FaultEvent>, cpu: Cpu) -> Summary {
        let shared = &*self.shared;
        let Counters { retries, duplicates, faults } = shared.target.counters();
        let before = &self.counters_before;
        let mut recorder = shared.recorder();
        let earlier = |kind| before.faults.iter().find(|(k, _)| *k == kind).map_or(0, |(_, n)| *n);
        let errors = faults.into_iter().map(|(kind, count)| (kind.name(), count - earlier(kind)));
        let errors: BTreeMap<_, _> = errors.filter(|(_, count)| 0 < *count).collect();
        let elapsed = recorder.elapsed();
        let primary = recorder.primary();
        let unsteady = unsteady(&recorder, &events);
        let all = whole(&recorder);
        let ok = recorder.sum(|tally| tally.ok);
        let has = |read: bool| recorder.tallies.iter().any(|it| it.kind.is_read() == read);
        let ended_early = shared.stop.is_cancelled();
        let wanted = recorder.gave_up || shared.saw_faults.load(Ordering::Relaxed);
        let mut summary = Summary {
            schema: "raft-bench/1",
            load: self.load(),
            cluster: self.cluster.clone(),
            client_debug_build: cfg!(debug_assertions),
            interrupted: ended_early && !wanted,
            gave_up: recorder.gave_up,
            ok,
            failed: recorder.sum(|tally| tally.failed),
            unknown: recorder.sum(|tally| tally.unknown),
            dropped: recorder.dropped,
            retries: retries - before.retries,
            duplicates: duplicates - before.duplicates,
            started_mono_us: shared.started_mono_us,
            elapsed,
            ops_per_s: if elapsed.is_zero() { 0.0 } else { per_second(ok, elapsed) },
            latency_us: Latency::of(&all),
            ops: recorder.tallies.iter().map(|it| op(it, &recorder, &unsteady)).collect(),
            histogram: bins(&all),
            empty_trip_us: shared.empty_trips.as_ref().map(Latency::of),
            cpu: cpu.with_leader(recorder.reign()),
            schedule_lag_us: recorder.lag.as_ref().map(Latency::of),
            writes: has(false).then(|| Service::of(&recorder.writes, recorder.awake())),
            reads: has(true).then(|| Service::of(&recorder.reads, recorder.awake())),
            longest_gap: primary.longest,
            gap_min: shared.plan.gap_min,
            gaps: primary.gaps.iter().copied().map(GapSummary::from).collect(),
            gaps_left_out: primary.gaps_left_out,
            read_gaps: recorder.reads.gaps.iter().copied().map(GapSummary::from).collect(),
            read_gaps_left_out: recorder.reads.gaps_left_out,
            leader_changes: primary.leader_changes(),
            failovers: failovers(&primary.changes, &events),
            stalls: recorder.pulse.stalls.clone(),
            events,
            forgotten: forgotten(&recorder, &errors),
            errors,
            messages: recorder.messages.clone(),
            verify: None,
            history_error: None,
            expectations: Vec::new(),
            slices: Arc::default(),
        };
        let Intervals { kinds, done, .. } = &mut recorder.intervals;
        let (kinds, intervals) = (kinds.clone(), std::mem::take(done));
        let slots = std::mem::take(&mut recorder.slots);
        let read_slots = std::mem::take(&mut recorder.read_slots);
        summary.slices = Arc::new(Slices { kinds, intervals, slots, read_slots });
        summary
    }

    fn load(&self) -> Load {
        Load::of(&self.shared.plan, self.shared.target.connections())
    }
}

impl Load {
    /// That of a plan.
    pub(super) fn of(plan: &Plan, connections: usize) -> Self {
        let shape = &plan.shape;
        Self {
            system: plan.system,
            mix: shape.mix.to_string(),
            concurrency: plan.concurrency,
            pipeline: plan.pipeline,
            connections,
            value_bytes_min: shape.sizes.min,
            value_bytes_max: shape.sizes.max,
            key_bytes: shape.key_size,
            keys: shape.keys,
            key_choice: shape.choice.to_string(),
            rate_per_s: plan.pace.map(|pace| pace.rate),
            arrivals: plan.pace.map(|pace| pace.arrivals.to_string()),
            consistency: match plan.reads.consistency {
                Consistency::Linearizable => "linearizable",
                Consistency::Stale => "stale",
            },
            read_from: match plan.reads.from {
                ReadFrom::Leader => "leader",
                ReadFrom::Followers => "followers",
                ReadFrom::Any => "any",
            },
            warmup: plan.warmup,
            seed: shape.seed,
        }
    }
}

/// What shows that the cluster lost what it had.
fn forgotten(recorder: &Recorder, errors: &BTreeMap<&'static str, u64>) -> Vec<String> {
    let mut signs = recorder.forgotten.clone();
    if errors.contains_key(FaultKind::SessionUnknown.name()) {
        signs.push("it did not know the session any more that this run was using".to_owned());
    }
    signs
}

/// The latencies of all kinds.
fn whole(recorder: &Recorder) -> Histogram<u64> {
    let mut all = histogram();
    for kind in &recorder.intervals.kinds {
        let one = recorder.intervals.sum(*kind, |_| true);
        all.add(one).expect("all have the same bounds");
    }
    all
}

/// How long before and after an outage or a fault the run is not steady.
const UNSTEADY: Duration = Duration::from_secs(2);

/// The times that are not steady.
fn unsteady(recorder: &Recorder, events: &[FaultEvent]) -> Vec<(Duration, Duration)> {
    let outages = recorder.writes.outages().chain(recorder.reads.outages());
    let outages = outages.map(|gap| (gap.at, gap.at + gap.length));
    let faults = events.iter().map(|event| (event.at, event.at));
    let spread = |(from, to): (Duration, Duration)| (from.saturating_sub(UNSTEADY), to + UNSTEADY);
    outages.chain(faults).map(spread).collect()
}

fn op(tally: &Tally, recorder: &Recorder, unsteady: &[(Duration, Duration)]) -> OpSummary {
    let raw = recorder.intervals.sum(tally.kind, |_| true);
    let latency_us = Latency::of(&raw);
    let usual = raw.value_at_quantile(0.5);
    let closed = tally.service.is_none() && 0 < usual;
    let is_steady = |slice: &Interval| {
        let (from, to) = (slice.at, slice.at + slice.length);
        unsteady.iter().all(|(begins, ends)| to <= *begins || *ends <= from)
    };
    let steady = || Latency::of(&recorder.intervals.sum(tally.kind, is_steady));
    OpSummary {
        op: tally.kind.name(),
        ok: tally.ok,
        failed: tally.failed,
        unknown: tally.unknown,
        in_vain: tally.in_vain,
        latency_us,
        corrected_us: closed.then(|| Latency::of(&corrected(&raw, tally, usual))),
        steady_us: (!unsteady.is_empty()).then(steady),
        service_us: tally.service.as_ref().map(Latency::of),
    }
}

/// What users would have seen who do not wait for each other. Those that were never answered waited
/// as well, and had still to wait when they were given up.
fn corrected(done: &Histogram<u64>, tally: &Tally, usual: u64) -> Histogram<u64> {
    let mut all = done.clone();
    if let Some(unanswered) = &tally.unanswered {
        all.add(unanswered).expect("both have the same bounds");
    }
    all.clone_correct(usual)
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown to a few digits")]
fn per_second(count: u64, elapsed: Duration) -> f64 {
    (count as f64 / elapsed.as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::recorder::{Frame, Miss, Success};
    use super::*;

    /// A hundred writes of a millisecond; then the last one waits until it is given up after five
    /// seconds. Whoever had kept sending would have waited for most of that time.
    #[test]
    fn an_outage_that_does_not_end_is_in_the_corrected_row() {
        let started = Instant::now();
        let ms = Duration::from_millis;
        let at = |millis| started + ms(millis);
        let mix = "put".parse().unwrap();
        let (gap_min, interval) = (ms(100), ms(1000));
        let frame = Frame { started, reign: None, mix, gap_min, interval, open_loop: false };
        let shown = |miss: Miss| {
            let mut recorder = Recorder::new(frame.clone());
            for number in 0..100 {
                let sent = at(number);
                recorder.begin(Kind::Put, sent, sent);
                let (wanted, reign) = (sent, None);
                let success = Success { wanted, sent, attempts: 1, reign, in_vain: false };
                recorder.done(at(number + 1), Kind::Put, &success);
            }
            recorder.begin(Kind::Put, at(100), at(100));
            (1..100).for_each(|tick| recorder.beat(at(100 + 50 * tick)));
            recorder.missed(at(5100), Kind::Put, at(100), miss);
            recorder.finish();
            let put = op(&recorder.tallies[0], &recorder, &[]);
            (put.latency_us.max, put.corrected_us.unwrap())
        };
        let (raw, corrected) = shown(Miss::Unknown("no answer".into()));
        assert!(raw < 1_100, "{raw}");
        let p50 = ms(corrected.p50 / 1000);
        assert!((ms(2000)..ms(3000)).contains(&p50) && 5000 < corrected.count, "{corrected:?}");
        let (_, corrected) = shown(Miss::Refused("too large".into()));
        assert_eq!(corrected.count, 100, "that was an answer");
    }
}
