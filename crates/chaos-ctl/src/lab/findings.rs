//! What is known when a run is over, and what follows from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use raft_api::cluster::ClusterConfig;

use super::claims::{self, Claim};
use super::clients::ClientResults;
use super::contents::Contents;
use super::gaps::{Spread, Timeline, Window};
use super::judge::{self, Judged};
use super::logs::{Kept, Logs, Placed};
use super::record::{Record, Whole};
use super::results::{Coverage, Line, Results};
use crate::NodeId;
use crate::exit::{Code, Failure};
use crate::plan::Scenario;
use crate::summary::Summary;
use crate::system::System;

/// Which run it was.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) scenario: Scenario,
    pub(super) seed: u64,
    pub(super) repro: String,
    /// When it ended, by the wall clock.
    pub(super) wall: String,
    /// When the load began and ended, on the monotonic clock.
    pub(super) begun_us: u64,
    pub(super) ended_us: u64,
    pub(super) program: PathBuf,
    pub(super) debug_build: bool,
    /// Whose servers these were.
    pub(super) system: System,
    pub(super) config: ClusterConfig,
}

/// What is known.
#[derive(Debug)]
pub(super) struct Findings {
    pub(super) identity: Identity,
    /// What follows from the nodes alone.
    pub(super) cluster: Code,
    /// Why it ended before its time, if it did.
    pub(super) halt: Option<Failure>,
    pub(super) hashes: String,
    pub(super) summary: Summary,
    pub(super) records: Vec<Record>,
    /// What could not be had here, and why.
    pub(super) missing: BTreeMap<&'static str, String>,
    pub(super) clients: Option<ClientResults>,
    pub(super) nodes: Vec<NodeId>,
    /// What every member held in the end, and what stands in the logs.
    pub(super) contents: Contents,
    pub(super) logs: Logs,
    /// Up to which index the logs were read, if they stay beside the results.
    pub(super) until: Option<u64>,
    pub(super) placed: Placed,
}

/// Gaps that are shorter are not told apart: this stands for them.
pub(super) const SHORT_US: u64 = 2000;

impl Findings {
    /// Judges all of it.
    pub(super) fn conclude(mut self, dir: &Path) -> Results {
        let judged = judge::judge(dir, self.clients.as_ref());
        if let Judged::Said(_, history) = &judged {
            self.placed.look_up(history, &mut self.logs);
        }
        let timeline = self.clients.as_ref().map(|clients| Timeline::of(&clients.lists));
        let lines = lines(&self.records, timeline.as_ref().unwrap_or(&Timeline::default()));
        let bit = |line: &&Line| line.outcome == super::record::Outcome::Installed;
        let spread = |pick: &dyn Fn(&Line) -> Option<u64>| {
            Spread::of(lines.iter().filter(bit).filter_map(pick))
        };
        let gaps = spread(&|line| Some(line.gap_us));
        let leader_gaps = spread(&|line| line.leader_hit.then_some(line.gap_us));
        let later_gaps = spread(&|line| line.later_gap_us);
        let evidence = Evidence { findings: &self, judged: &judged, lines: &lines, dir };
        let claims = claims::all(&evidence, [gaps, leader_gaps, later_gaps]);
        let (code, why) = interfered(verdict(&self, &claims), self.summary.orders);
        let mut coverage = Coverage::of(&self.identity.scenario, &self.records, &self.missing);
        coverage.not_exercised.extend(self.identity.system.unseen(&self.identity.scenario));
        let logs = self.until.map(|until| Kept::of(&self.logs, until));
        let Identity { scenario, seed, repro, wall, begun_us, ended_us, .. } = self.identity;
        let (program, debug_build) = (self.identity.program, self.identity.debug_build);
        let mut environment = super::results::environment();
        if let Some(etcd) = self.identity.system.foreign() {
            environment.insert("etcd", etcd.members().version());
        }
        Results {
            schema: "raft-chaos/1",
            scenario: scenario.name,
            shows: scenario.shows,
            system: self.identity.system.name(),
            seed,
            command: repro,
            ended: wall,
            begun_mono_us: begun_us,
            ended_mono_us: ended_us,
            program: program.display().to_string(),
            debug_build,
            nodes: self.nodes.iter().map(|id| id.0).collect(),
            verdict: word(code),
            why,
            code: code as u8,
            claims,
            faults: lines,
            orders_by_hand: self.summary.orders,
            gaps,
            leader_gaps,
            later_gaps,
            judgement: judged.shown(),
            logs,
            registers: self.clients.as_ref().map(|it| it.registers.clone()),
            lists: self.clients.as_ref().map(|it| it.lists.clone()),
            coverage,
            hashes: self.hashes,
            summary: self.summary.to_string(),
            environment,
            exit: code,
        }
    }
}

/// What the claims rest on.
pub(super) struct Evidence<'a> {
    pub(super) findings: &'a Findings,
    pub(super) judged: &'a Judged,
    pub(super) lines: &'a [Line],
    pub(super) dir: &'a Path,
}

/// The word that a script looks for.
pub(super) fn word(code: Code) -> &'static str {
    match code {
        Code::Done => "PASS",
        Code::Unsafe | Code::TooSlow | Code::Crashed => "FAIL",
        Code::Internal | Code::Usage | Code::NotReady => "HARNESS ERROR",
        Code::Degraded | Code::Inconclusive | Code::Interrupted => "INCONCLUSIVE",
    }
}

/// Damage first, then doubt, then what was expected: a run that proves nothing must not pass, and a
/// lost write is a failure however little was done.
fn verdict(findings: &Findings, claims: &[Claim]) -> (Code, String) {
    let told = |claim: &Claim| format!("{}: {}", claim.claim, claim.evidence);
    let failed = |code: Code| claims.iter().find(|claim| claim.failed_with() == Some(code));
    if let Some(claim) = failed(Code::Unsafe) {
        return (Code::Unsafe, told(claim));
    }
    if findings.cluster == Code::Crashed {
        return (Code::Crashed, "a node ended by itself".to_owned());
    }
    if findings.cluster == Code::Internal {
        return (Code::Internal, "a process could not be ended".to_owned());
    }
    if let Some(halt) = &findings.halt {
        return (halt.code, format!("{:#}", halt.error));
    }
    if let Some(claim) = failed(Code::Crashed) {
        return (Code::Crashed, told(claim));
    }
    if let Some(claim) = claims.iter().find(|claim| claim.is_open()) {
        return (Code::Inconclusive, told(claim));
    }
    if let Some(claim) = failed(Code::TooSlow) {
        return (Code::TooSlow, told(claim));
    }
    let bit = |record: &&Record| record.outcome == super::record::Outcome::Installed;
    let faults = findings.records.iter().filter(bit).count();
    (Code::Done, format!("{faults} faults under load, and every promise kept"))
}

/// What somebody ordered by hand excuses no damage. That it was slow shows nothing then.
fn interfered((code, why): (Code, String), orders: u64) -> (Code, String) {
    if orders == 0 {
        return (code, why);
    }
    let code = if code == Code::TooSlow { Code::Inconclusive } else { code };
    (code, format!("{why}; somebody interfered: {orders} ordered by hand"))
}

fn lines(records: &[Record], timeline: &Timeline) -> Vec<Line> {
    let mut records: Vec<&Record> = records.iter().collect();
    records.sort_by_key(|record| record.at_us);
    let begins: Vec<u64> = records.iter().map(|record| record.at_us).collect();
    let line = |(place, record): (usize, &&Record)| {
        let next = begins[place + 1..].iter().copied().find(|at| record.at_us < *at);
        let next = next.unwrap_or(u64::MAX);
        let until = record.until_us.unwrap_or(u64::MAX).min(next);
        let gap = timeline.longest(Window { from_us: record.at_us, to_us: until });
        let later = timeline.longest_ended(Window { from_us: until, to_us: next });
        // One that began in the fault's own time and lasted beyond counts once.
        let later = later.filter(|later| Some(*later) != gap).unwrap_or(SHORT_US);
        Line {
            number: record.number,
            kind: record.kind,
            what: record.what.clone(),
            nodes: record.nodes.iter().map(|id| id.0).collect(),
            at_mono_us: record.at_us,
            until_mono_us: record.until_us,
            leader_hit: record.led,
            leader_before: record.before.map(|(leader, _)| leader.0),
            term_before: record.before.map(|(_, term)| term),
            leader_after: record.after.map(|(leader, _)| leader.0),
            term_after: record.after.map(|(_, term)| term),
            election: record.election.clone(),
            gap_us: gap.unwrap_or(SHORT_US),
            later_gap_us: (until < next).then_some(later),
            took_us: record.took_us,
            whole_us: match record.whole {
                Whole::At(whole) => Some(whole.saturating_sub(record.at_us)),
                Whole::NotYet | Whole::Overtaken => None,
            },
            overtaken: record.whole == Whole::Overtaken,
            outcome: record.outcome,
            reason: record.reason.clone(),
            evidence: record.evidence.clone(),
        }
    };
    records.iter().enumerate().map(line).collect()
}
