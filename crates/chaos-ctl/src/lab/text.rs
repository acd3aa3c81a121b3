//! What the screen shows when a run is over.

use std::fmt::Write as _;
use std::path::Path;

use chaos_report::{account, found, in_short};

use super::claims::Held;
use super::record::Outcome;
use super::results::{Line, Results};
use crate::events::Shown;
use crate::exit::Code;

/// Faults that are listed one by one, at most. The others are in the report.
const LINES_MAX: usize = 40;
/// A run by itself makes three or four processes of three nodes and two clients want a core.
const BUSY: f64 = 4.0;

impl Results {
    /// In lines for people, the verdict last.
    pub(super) fn text(&self, dir: &Path) -> String {
        let mut out = String::new();
        if self.write_text(&mut out, dir).is_err() {
            tracing::error!("text could not be written to memory");
        }
        out
    }

    fn write_text(&self, out: &mut String, dir: &Path) -> std::fmt::Result {
        writeln!(out, "\n      at  leader   term   gap    later  whole   fault")?;
        for line in self.faults.iter().take(LINES_MAX) {
            self.write_line(out, line)?;
        }
        let more = self.faults.len().saturating_sub(LINES_MAX);
        if 0 < more {
            writeln!(out, "          and {more} more, in results.json")?;
        }
        writeln!(out)?;
        let spreads =
            [("gaps", self.gaps), ("leader hit", self.leader_gaps), ("later", self.later_gaps)];
        for (name, spread) in spreads {
            let Some(spread) = spread else { continue };
            let [median, p90, max] = [spread.median_us, spread.p90_us, spread.max_us].map(Shown);
            writeln!(
                out,
                "{name:<10} {} without writes: median {median}, p90 {p90}, longest {max}",
                spread.count
            )?;
        }
        for (name, load) in [("registers", &self.registers), ("lists", &self.lists)] {
            let Some(load) = load else { continue };
            let [p50, p99] = [load.latency_us.p50, load.latency_us.p99].map(Shown);
            writeln!(
                out,
                "{name:<10} {} ok, {:.0}/s, p50 {p50}, p99 {p99}, {} retries, {} failed, {} unknown",
                load.ok, load.ops_per_s, load.retries, load.failed, load.unknown
            )?;
        }
        writeln!(out, "cluster    {}\n", self.summary.replace("\n          ", ", "))?;
        for claim in &self.claims {
            let mark = match claim.verdict {
                Held::Pass => "ok     ",
                Held::Fail => "FAILED ",
                Held::Unknown => "unknown",
                Held::NotExercised => "-      ",
            };
            writeln!(
                out,
                "  {mark}  {:<34}  {}",
                claim.claim,
                found(claim.claim, &claim.evidence)
            )?;
        }
        self.write_wrong(out)?;
        if !self.coverage.not_exercised.is_empty() {
            writeln!(out, "\nnot exercised")?;
            for line in &self.coverage.not_exercised {
                writeln!(out, "  {line}")?;
            }
        }
        writeln!(out, "\nfiles      {}", dir.display())?;
        let report = dir.join("report.html");
        if report.exists() {
            writeln!(out, "report     {}", report.display())?;
        }
        writeln!(out, "again      {}", self.command)?;
        if let Some(note) = self.busy() {
            writeln!(out, "note       {note}")?;
        }
        write!(out, "\n{}  {}  {}", self.verdict, self.scenario, in_short(&self.why))
    }

    /// Of a broken promise: who did what and saw what, an operation a line.
    fn write_wrong(&self, out: &mut String) -> std::fmt::Result {
        let broken = self.judgement.as_ref().filter(|it| it.verdict == "violation");
        let Some(judgement) = broken else { return Ok(()) };
        writeln!(out, "\nwhat went wrong")?;
        for line in account(&judgement.words) {
            writeln!(out, "  {line}")?;
        }
        Ok(())
    }

    /// Times from a machine that does other work as well say little of the cluster.
    fn busy(&self) -> Option<String> {
        let read = |name: &str| self.environment.get(name)?.split(' ').next()?.parse::<f64>().ok();
        let (load, cores) = (read("load")?, read("cores")?);
        (self.exit == Code::TooSlow && BUSY * cores < load).then(|| {
            format!(
                "the machine was busy: {load} processes wanted its {cores} cores at the end. Try \
                 again when nothing else runs"
            )
        })
    }

    fn write_line(&self, out: &mut String, line: &Line) -> std::fmt::Result {
        let at = line.at_mono_us.saturating_sub(self.begun_mono_us);
        let leader = match (line.leader_before, line.leader_after) {
            (Some(before), Some(after)) if before != after => format!("n{before}>n{after}"),
            (Some(before), _) => format!("n{before}"),
            (None, Some(after)) => format!("n{after}"),
            (None, None) => "none".to_owned(),
        };
        let term = line.term_after.or(line.term_before);
        let term = term.map_or_else(|| "-".to_owned(), |term| term.to_string());
        let shown =
            |time: Option<u64>| time.map_or_else(|| "-".to_owned(), |it| Shown(it).to_string());
        let whole = if line.overtaken { "next".to_owned() } else { shown(line.whole_us) };
        let aside = match line.outcome {
            Outcome::Installed => String::new(),
            outcome => format!("  {}: {}", outcome.word(), line.reason),
        };
        let seconds = format!("{}.{:02}s", at / 1_000_000, at / 10_000 % 100);
        writeln!(
            out,
            "{seconds:>8}  {leader:<8} {term:<6} {:<6} {:<6} {whole:<6}  {}{aside}",
            Shown(line.gap_us).to_string(),
            shown(line.later_gap_us),
            line.what,
        )
    }
}
