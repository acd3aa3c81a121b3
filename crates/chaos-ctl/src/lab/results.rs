//! `results.json`: everything that a run has shown, for programs and for the report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::claims::Claim;
use super::gaps::Spread;
use super::judge::Judgement;
use super::logs::Kept;
use super::record::{Outcome, Record};
use crate::exit::{Code, Failure};
use crate::load::BenchResult;
use crate::plan::{Fault, Scenario};

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Results {
    pub(super) schema: &'static str,
    pub(super) scenario: String,
    pub(super) shows: String,
    /// Whose servers these were.
    pub(super) system: &'static str,
    pub(super) seed: u64,
    /// The command that does the same again.
    pub(super) command: String,
    pub(super) ended: String,
    pub(super) begun_mono_us: u64,
    pub(super) ended_mono_us: u64,
    pub(super) program: String,
    pub(super) debug_build: bool,
    pub(super) nodes: Vec<u64>,
    pub(super) verdict: &'static str,
    pub(super) why: String,
    pub(super) code: u8,
    pub(super) claims: Vec<Claim>,
    pub(super) faults: Vec<Line>,
    /// How often somebody interfered: such a run is not what its seed says.
    pub(super) orders_by_hand: u64,
    /// Of the gaps between acknowledged writes that the faults made.
    pub(super) gaps: Option<Spread>,
    /// Of those where the leader was hit.
    pub(super) leader_gaps: Option<Spread>,
    /// Of the gaps that came later, with the return of a node.
    pub(super) later_gaps: Option<Spread>,
    pub(super) judgement: Option<Judgement>,
    /// What the nodes' logs have shown, if they stay where they are.
    pub(super) logs: Option<Kept>,
    /// What the clients of registers and of lists report.
    pub(super) registers: Option<BenchResult>,
    pub(super) lists: Option<BenchResult>,
    pub(super) coverage: Coverage,
    pub(super) hashes: String,
    pub(super) summary: String,
    pub(super) environment: BTreeMap<&'static str, String>,
    #[serde(skip)]
    pub(super) exit: Code,
}

/// One fault.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Line {
    pub(super) number: u32,
    pub(super) kind: &'static str,
    pub(super) what: String,
    pub(super) nodes: Vec<u64>,
    pub(super) at_mono_us: u64,
    pub(super) until_mono_us: Option<u64>,
    pub(super) leader_hit: bool,
    pub(super) leader_before: Option<u64>,
    pub(super) term_before: Option<u64>,
    pub(super) leader_after: Option<u64>,
    pub(super) term_after: Option<u64>,
    pub(super) election: String,
    /// The longest time without an acknowledged write, from this fault until its effect was over.
    /// Shorter ones than 2 ms are not told apart.
    pub(super) gap_us: u64,
    /// The longest other one after that, until the next fault; nothing if no time was left.
    pub(super) later_gap_us: Option<u64>,
    /// How long a change took, or a process to end.
    pub(super) took_us: Option<u64>,
    /// Until the cluster was whole again, if it was before the next fault.
    pub(super) whole_us: Option<u64>,
    /// Whether the next fault came before that.
    pub(super) overtaken: bool,
    pub(super) outcome: Outcome,
    pub(super) reason: String,
    pub(super) evidence: BTreeMap<&'static str, u64>,
}

/// What was exercised, and what was not.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Coverage {
    /// By kind: how many bit, were skipped, and are in doubt.
    pub(super) kinds: BTreeMap<&'static str, Tally>,
    /// Kinds of the scenario that did not come, and why if there is a reason.
    pub(super) not_exercised: Vec<String>,
}

/// How many faults of a kind ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    pub(super) installed: u64,
    pub(super) skipped: u64,
    pub(super) indeterminate: u64,
}

impl Coverage {
    pub(super) fn of(
        scenario: &Scenario,
        records: &[Record],
        missing: &BTreeMap<&'static str, String>,
    ) -> Self {
        let mut kinds: BTreeMap<&'static str, Tally> = BTreeMap::new();
        for record in records {
            let tally = kinds.entry(record.kind).or_default();
            match record.outcome {
                Outcome::Installed => tally.installed += 1,
                Outcome::Skipped => tally.skipped += 1,
                Outcome::Indeterminate => tally.indeterminate += 1,
            }
        }
        let planned: BTreeSet<&'static str> = scenario.faults().map(Fault::kind).collect();
        let bit = |kind: &str| kinds.get(kind).is_some_and(|tally| 0 < tally.installed);
        let mut not_exercised: Vec<String> = Vec::new();
        for kind in planned.into_iter().filter(|kind| !bit(kind)) {
            let skipped =
                records.iter().find(|it| it.kind == kind && it.outcome == Outcome::Skipped);
            let why = skipped.map_or("it did not come", |record| &record.reason);
            not_exercised.push(format!("{kind}: {why}"));
        }
        for (part, why) in missing {
            if !not_exercised.iter().any(|line| line.contains(why)) {
                not_exercised.push(format!("{part}: {why}"));
            }
        }
        Self { kinds, not_exercised }
    }
}

impl Results {
    /// What the program exits with.
    pub(super) fn code(&self) -> Code {
        self.exit
    }

    /// They could not be written: what nobody can look at again is no pass, and a failure all the same.
    pub(super) fn unkept(&mut self, failure: &Failure) {
        if self.exit == Code::Done {
            self.exit = Code::Internal;
            self.code = self.exit as u8;
            self.verdict = super::findings::word(self.exit);
            self.why = format!("{:#}", failure.error);
        } else {
            self.why = format!("{}; and {:#}", self.why, failure.error);
        }
    }

    /// As one line.
    pub(super) fn json(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string(self).context("could not write the results as JSON")?)
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        let mut text =
            serde_json::to_string_pretty(self).context("could not write the results as JSON")?;
        text.push('\n');
        super::write(path, &text)
    }
}

/// What the machine is, as far as a reader needs to know.
pub(super) fn environment() -> BTreeMap<&'static str, String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpu = read("/proc/cpuinfo");
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let cpu = cpu.and_then(|line| line.split_once(": ")).map_or("", |(_, name)| name);
    BTreeMap::from([
        ("cpu", cpu.to_owned()),
        ("cores", cores.to_string()),
        ("kernel", read("/proc/sys/kernel/osrelease")),
        ("load", read("/proc/loadavg")),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ])
}
