//! What a scenario showed: a table, a few figures, one line.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::gaps::{Spread, Timeline, Window};
use super::removal::Told;
use super::stage::{Kind, Row, Whole};
use super::{Expectation, SHORT_US, Scenario};
use crate::events::{Shown, grouped, micros};
use crate::exit::{Code, Failure};
use crate::load::{BenchResult, Verify};

/// Fewer acknowledged writes than this, and nothing has been shown.
const WRITES_MIN: u64 = 100;

/// What is known besides the rows and the load.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
    pub(super) rounds: usize,
    pub(super) concurrency: usize,
    pub(super) value_bytes: u64,
    pub(super) debug_build: bool,
    /// What follows from the nodes alone.
    pub(super) cluster: Code,
    /// Why it ended before its time, if it did.
    pub(super) halt: Option<(Code, String)>,
    pub(super) hashes: String,
    pub(super) summary: String,
}

/// What came of a scenario.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Report {
    schema: &'static str,
    scenario: &'static str,
    seed: u64,
    rounds: usize,
    concurrency: usize,
    value_bytes: u64,
    debug_build: bool,
    lines: Vec<Line>,
    /// Of the gaps that the faults made, or the steps of a change.
    gaps: Option<Spread>,
    /// Of those where the leader was hit.
    leader_gaps: Option<Spread>,
    /// Of the gaps that came later, with the return of a node.
    later_gaps: Option<Spread>,
    expectation: Expectation,
    removed: Vec<Told>,
    load: Option<BenchResult>,
    hashes: String,
    summary: String,
    verdict: &'static str,
    why: String,
    code: u8,
    #[serde(skip)]
    exit: Code,
}

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
struct Line {
    /// From the start of the load.
    at_us: u64,
    kind: Kind,
    what: String,
    /// Whether the leader was hit.
    leader_hit: bool,
    leader_before: u64,
    term_before: u64,
    leader_after: u64,
    term_after: u64,
    election: String,
    /// The longest time without an acknowledged write, from this fault until its node was started
    /// again or the change was done. Shorter ones than 2 ms are not told apart.
    gap_us: u64,
    /// The longest other one after that, until the next row; nothing if no time was left.
    later_gap_us: Option<u64>,
    /// How long a change took, or a process to end.
    took_us: Option<u64>,
    /// Until the cluster was whole again, if it was before the next fault.
    whole_us: Option<u64>,
    /// Whether the next fault came before that.
    overtaken: bool,
}

impl Report {
    pub(super) fn new(
        facts: &Facts,
        rows: Vec<Row>,
        removed: Vec<Told>,
        load: Option<BenchResult>,
    ) -> Self {
        let lines = load.as_ref().map_or_else(Vec::new, |load| lines(rows, load));
        let expectation = facts.scenario.expectation();
        let spread =
            |pick: &dyn Fn(&Line) -> Option<u64>| Spread::of(lines.iter().filter_map(pick));
        let mut report = Self {
            schema: "raft-scenario/1",
            scenario: facts.scenario.name(),
            seed: facts.seed,
            rounds: facts.rounds,
            concurrency: facts.concurrency,
            value_bytes: facts.value_bytes,
            debug_build: facts.debug_build,
            gaps: spread(&|line| Some(line.gap_us)),
            leader_gaps: spread(&|line| line.leader_hit.then_some(line.gap_us)),
            later_gaps: spread(&|line| line.later_gap_us),
            lines,
            expectation,
            removed,
            load,
            hashes: facts.hashes.clone(),
            summary: facts.summary.clone(),
            verdict: "",
            why: String::new(),
            code: 0,
            exit: Code::Internal,
        };
        let (exit, why) = judge(facts, &report);
        report.verdict = match exit {
            Code::Done => "PASS",
            Code::Inconclusive | Code::Interrupted => "INCONCLUSIVE",
            _ => "FAIL",
        };
        (report.exit, report.code, report.why) = (exit, exit as u8, why);
        report
    }

    pub(super) fn code(&self) -> Code {
        self.exit
    }

    pub(super) fn verdict_line(&self) -> String {
        format!("{}  {}", self.verdict, self.why)
    }

    pub(super) fn json(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string(self).context("could not write JSON")?)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(self).context("could not write JSON")?;
        let written = std::fs::write(path, json + "\n");
        Ok(written.with_context(|| format!("could not write {}", path.display()))?)
    }

    /// The table and what goes with it.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        self.write_table(&mut out).expect("a string takes all");
        self.write_figures(&mut out).expect("a string takes all");
        out
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let wide = self.lines.iter().map(|line| line.what.len()).max().unwrap_or(0).max(5);
        writeln!(
            out,
            "\n  #       at  {:<wide$}  {:<9} {:<14}{:>9}{:>9}{:>9}{:>9}",
            "fault", "leader", "election", "gap", "later", "took", "whole"
        )?;
        for (number, line) in (1..).zip(&self.lines) {
            let leader = if line.leader_before == line.leader_after {
                format!("n{}", line.leader_before)
            } else {
                format!("n{} > n{}", line.leader_before, line.leader_after)
            };
            let time = |time: Option<u64>, none: &str| match time {
                None => none.to_owned(),
                Some(SHORT_US) => format!("<{}", Shown(SHORT_US)),
                Some(time) => Shown(time).to_string(),
            };
            writeln!(
                out,
                "{number:>3} {:>8}  {:<wide$}  {leader:<9} {:<14}{:>9}{:>9}{:>9}{:>9}",
                format!("{:.2}s", seconds(line.at_us)),
                line.what,
                line.election,
                time(Some(line.gap_us), ""),
                time(line.later_gap_us, ""),
                time(line.took_us, ""),
                time(line.whole_us, if line.overtaken { "-" } else { "never" }),
            )?;
        }
        if self.lines.iter().any(|line| line.overtaken) {
            writeln!(out, "\nwhole -: the next fault came before the cluster was whole")?;
        }
        Ok(())
    }

    fn write_figures(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\ngaps: the longest time in which no write was acknowledged to any client")?;
        let mut row = |name: &str, spread: Option<Spread>| match spread {
            Some(Spread { count, min_us, median_us, p90_us, max_us }) => {
                let [min, median, p90, max] = [min_us, median_us, p90_us, max_us].map(Shown);
                writeln!(
                    out,
                    "  {name:<26} n {count:<4} min {min:<7} median {median:<7} p90 {p90:<7} max {max}"
                )
            }
            None => Ok(()),
        };
        row("all rows", self.gaps)?;
        if self.leader_gaps.is_some_and(|spread| Some(spread.count) != self.gaps.map(|it| it.count))
        {
            row("where the leader was hit", self.leader_gaps)?;
        }
        row("later, as nodes come back", self.later_gaps)?;
        for told in &self.removed {
            let (after, watched) = (Shown(told.after_us), Shown(told.watched_us));
            let (node, campaigns) = (told.node, told.campaigns_later);
            let by = if told.by_own_log { ", by its own log alone" } else { "" };
            writeln!(
                out,
                "removed   n{node} knew {after} after the change{by}; then watched for {watched}: {campaigns} campaigns"
            )?;
        }
        if let Some(load) = &self.load {
            let (ok, rate) = (grouped(load.ok), load.ops_per_s);
            let BenchResult { failed, unknown, retries, latency_us, .. } = load;
            let [p50, p99] = [latency_us.p50, latency_us.p99].map(|it| seconds(it) * 1000.0);
            writeln!(
                out,
                "load      {ok} writes acknowledged, {rate:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms, \
                 {retries} attempts retried, {failed} failed, {unknown} unknown"
            )?;
        }
        writeln!(out, "cluster   {}  {}", self.summary, self.hashes)
    }
}

fn lines(mut rows: Vec<Row>, load: &BenchResult) -> Vec<Line> {
    rows.sort_by_key(|row| row.at_us);
    let timeline = Timeline::of(load);
    let begins: Vec<u64> = rows.iter().map(|row| row.at_us).collect();
    let line = |(place, row): (usize, Row)| {
        // What a change takes includes the kills amid it.
        let amid = |at: &&u64| row.kind == Kind::Change && **at < row.until_us;
        let next = begins[place + 1..].iter().find(|at| !amid(at)).copied().unwrap_or(u64::MAX);
        let until = row.until_us.min(next);
        let gap = timeline.longest(Window { from_us: row.at_us, to_us: until });
        let later = timeline.longest_ended(Window { from_us: until, to_us: next });
        // One that began in the row's own time and lasted beyond counts once.
        let later = later.filter(|later| Some(*later) != gap).unwrap_or(SHORT_US);
        Line {
            at_us: row.at_us.saturating_sub(load.started_mono_us),
            kind: row.kind,
            what: row.what,
            leader_hit: row.led,
            leader_before: row.before.0.0,
            term_before: row.before.1,
            leader_after: row.after.0.0,
            term_after: row.after.1,
            election: row.how,
            gap_us: gap.unwrap_or(SHORT_US),
            later_gap_us: (until < next).then_some(later),
            took_us: row.took.map(micros),
            whole_us: match row.whole {
                Whole::At(whole) => Some(whole.saturating_sub(row.at_us)),
                Whole::NotYet | Whole::Overtaken => None,
            },
            overtaken: row.whole == Whole::Overtaken,
        }
    };
    rows.into_iter().enumerate().map(line).collect()
}

/// Damage first, then doubt, then what was expected: a run that proves nothing must not pass, and a
/// lost write is a failure however little was done.
fn judge(facts: &Facts, report: &Report) -> (Code, String) {
    let verify = report.load.as_ref().and_then(|load| load.verify.as_ref());
    if let Some(damage) = verify.and_then(Verify::damage) {
        return (Code::Unsafe, damage);
    }
    match facts.cluster {
        Code::Unsafe => {
            return (Code::Unsafe, "two nodes have applied the same entries and differ".to_owned());
        }
        Code::Crashed => return (Code::Crashed, "a node ended by itself".to_owned()),
        Code::Internal => return (Code::Internal, "a process could not be ended".to_owned()),
        _ => (),
    }
    if let Some((code, why)) = &facts.halt {
        return (*code, why.clone());
    }
    if facts.cluster == Code::TooSlow {
        return (Code::TooSlow, "the cluster did not become whole again".to_owned());
    }
    if let Some(doubt) = doubt(facts, report, verify) {
        return (Code::Inconclusive, doubt);
    }
    if let Some(miss) = miss(facts, report) {
        return (Code::TooSlow, miss);
    }
    let checked = match verify {
        Some(Verify::Done { checked, .. }) => *checked,
        _ => 0,
    };
    let count = report.lines.len();
    let (median, max) = report.gaps.map_or((0, 0), |gaps| (gaps.median_us, gaps.max_us));
    let (median, max, checked) = (Shown(median), Shown(max), grouped(checked));
    let times = if facts.debug_build {
        "these are debug builds, so times are not judged".to_owned()
    } else {
        format!("write gap median {median}, longest {max}")
    };
    let what = match facts.scenario {
        Scenario::KillLeader => format!("{count} leaders killed"),
        Scenario::KillAll => format!("all nodes killed at once {count} times"),
        Scenario::RollingRestart => format!("{count} restarts"),
        Scenario::ReplaceNodes => {
            let changes = report.lines.iter().filter(|line| line.kind == Kind::Change).count();
            format!("{changes} changes of the membership amid {} kills", count - changes)
        }
    };
    let why = format!(
        "{what} under load; all {checked} acknowledged writes read back: 0 lost, 0 applied twice; {times}"
    );
    (Code::Done, why)
}

/// Why nothing was shown, if so.
fn doubt(facts: &Facts, report: &Report, verify: Option<&Verify>) -> Option<String> {
    match verify {
        Some(Verify::Done { .. }) => (),
        Some(Verify::Undone { error }) => {
            return Some(format!("nothing could be read back: {error}"));
        }
        None => return Some("nothing was read back".to_owned()),
    }
    if facts.cluster != Code::Done {
        return Some("the nodes were never seen at an equal index after the last fault".to_owned());
    }
    let load = report.load.as_ref()?;
    if load.ok < WRITES_MIN {
        return Some(format!("fewer than {WRITES_MIN} writes were acknowledged"));
    }
    if 0 < load.gaps_left_out {
        return Some("there were more gaps than the load keeps".to_owned());
    }
    if report.lines.first().is_none_or(|line| line.at_us == 0) {
        return Some("the load began after the faults".to_owned());
    }
    // A leader that was killed and still leads in the same term was none.
    let blunt = report.lines.iter().find(|line| {
        line.kind == Kind::Kill && line.leader_hit && line.term_after <= line.term_before
    });
    blunt.map(|line| format!("{} made no election", line.what))
}

/// What was expected and is not so, if anything.
fn miss(facts: &Facts, report: &Report) -> Option<String> {
    if let Some(told) = report.removed.iter().find(|told| 0 < told.campaigns_later) {
        let Told { node, campaigns_later, .. } = told;
        return Some(format!(
            "n{node} stood for election {campaigns_later} times after it was removed and told"
        ));
    }
    if facts.debug_build {
        return None;
    }
    let Expectation { median_us, longest_us } = report.expectation;
    // Where only some rows hit the leader those must be quick as well.
    for spread in [report.gaps, report.leader_gaps].into_iter().flatten() {
        if let Some(expected) = median_us.filter(|expected| *expected < spread.median_us) {
            let (is, expected) = (Shown(spread.median_us), Shown(expected));
            return Some(format!("the median write gap is {is}, above {expected}"));
        }
    }
    let longest =
        [report.gaps, report.later_gaps].into_iter().flatten().map(|it| it.max_us).max()?;
    (longest_us < longest).then(|| {
        format!("the longest write gap is {}, above {}", Shown(longest), Shown(longest_us))
    })
}

#[expect(clippy::cast_precision_loss, reason = "times are shown to a few digits")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
