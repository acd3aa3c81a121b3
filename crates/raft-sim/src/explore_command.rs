//! `raft-sim explore`: every order of events within bounds.

use std::io::{self, Write as _};
use std::sync::atomic::Ordering;
use std::time::Duration;

use raft_sim::explore::{Bounds, LOOKING_AT, Progress, Report, explore, way};

use crate::VIOLATED;

/// A line of progress as often as this.
const PROGRESS: Duration = Duration::from_secs(5);

/// Tries every order of events of a small cluster, within bounds: every delivery, every timer, every
/// moment a write may become durable, and crashes.
///
/// Exit status: 0 everything was tried and all held, 1 the bound on states came first, 2 something went
/// wrong, 5 something was violated.
#[derive(clap::Args)]
pub(crate) struct Explore {
    /// Nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=5))]
    nodes: u64,
    /// Elections are for terms up to this one.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=9))]
    terms: u64,
    /// Commands proposed by clients. Each term adds an entry of its own.
    #[arg(long, default_value_t = 2)]
    entries: u8,
    /// Times that a node's time runs out, followers', candidates' and leaders' together.
    #[arg(long, default_value_t = 3)]
    timeouts: u8,
    /// Times that a follower learns that its leader's process is gone, which may be wrong.
    #[arg(long, default_value_t = 0)]
    hints: u8,
    /// Crashes.
    #[arg(long, default_value_t = 1)]
    crashes: u8,
    /// Heartbeats that are due by time; a read may need one as well.
    #[arg(long, default_value_t = 0)]
    heartbeats: u8,
    /// Reads.
    #[arg(long, default_value_t = 0)]
    reads: u8,
    /// A follower may have waited for an election timeout and yet not campaign.
    #[arg(long)]
    lapses: bool,
    /// Entries in one append, at most.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u16).range(1..))]
    append_entries: u16,
    /// Leave nothing out, not even what cannot matter: finds the same, much later.
    #[arg(long)]
    unreduced: bool,
    /// Show how the state with this number came about, as a failed assertion names it.
    #[arg(long, value_name = "NUMBER")]
    way: Option<u32>,
    /// Give up after so many states; each takes about 100 bytes.
    #[arg(long, default_value_t = 50_000_000)]
    states: usize,
}

impl Explore {
    /// Explores, and says what came of it.
    pub(crate) fn run(&self) -> io::Result<u8> {
        let mut shown = Duration::ZERO;
        let mut out = io::stdout();
        if let Some(number) = self.way {
            for line in way(self.bounds(), number) {
                writeln!(out, "{line}")?;
            }
            return Ok(0);
        }
        name_state_on_panic();
        let report = explore(self.bounds(), |progress| {
            if PROGRESS <= progress.elapsed.saturating_sub(shown) {
                shown = progress.elapsed;
                // Whoever read along has seen enough; the result will tell.
                drop(writeln!(out, "{}", line(progress)));
            }
        });
        self.tell(&report, &mut out)
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            nodes: self.nodes,
            terms: self.terms,
            entries: self.entries,
            timeouts: self.timeouts,
            hints: self.hints,
            crashes: self.crashes,
            heartbeats: self.heartbeats,
            reads: self.reads,
            lapses: self.lapses,
            reduced: !self.unreduced,
            append_entries: self.append_entries.into(),
            states: self.states,
        }
    }

    fn tell(&self, report: &Report, out: &mut impl io::Write) -> io::Result<u8> {
        writeln!(
            out,
            "{} states in {} steps, up to {} steps deep, in {:.1} s: {} states per second",
            report.states,
            report.steps,
            report.depth,
            report.elapsed.as_secs_f64(),
            rate(report.states, report.elapsed)
        )?;
        writeln!(
            out,
            "{} views; {} states of a single node, {} messages; the core ran {} times; chance that two \
             states were taken for one: {:.0e}",
            report.views,
            report.node_states,
            report.messages,
            report.runs,
            report.chance_missed()
        )?;
        if let Some((violation, story)) = &report.violation {
            writeln!(out, "\nviolated: {violation}")?;
            for line in story {
                writeln!(out, "{line}")?;
            }
            writeln!(out, "reproduce: raft-sim {}", arguments())?;
            return Ok(VIOLATED);
        }
        if report.complete {
            writeln!(out, "everything within the bounds was tried, and all invariants held")?;
            return Ok(0);
        }
        writeln!(out, "gave up: there are more than {} states", self.states)?;
        Ok(1)
    }
}

/// A failed assertion ends a release build at once; the way to it must not be lost.
fn name_state_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let number = LOOKING_AT.load(Ordering::Relaxed);
        let mut err = io::stderr();
        drop(writeln!(err, "violated: no assertion fails, in a step from state {number}: {panic}"));
        drop(writeln!(err, "the way there: raft-sim {} --way {number}", arguments()));
        if cfg!(panic = "abort") {
            #[expect(
                clippy::exit,
                reason = "the process is about to be aborted with another status"
            )]
            std::process::exit(i32::from(VIOLATED));
        }
    }));
}

fn arguments() -> String {
    std::env::args().skip(1).collect::<Vec<_>>().join(" ")
}

fn line(progress: Progress) -> String {
    let Progress { states, waiting, depth, elapsed } = progress;
    format!(
        "{states} states, {waiting} of them waiting, {depth} steps deep, {} per second",
        rate(states, elapsed)
    )
}

fn rate(states: usize, elapsed: Duration) -> u128 {
    u128::try_from(states).unwrap_or(0) * 1_000 / elapsed.as_millis().max(1)
}
