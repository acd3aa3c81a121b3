//! `raft-sim explore`: every order of events within bounds.

use std::io::{self, Write as _};
use std::sync::atomic::Ordering;
use std::time::Duration;

use raft_sim::explore::{
    Bounds, LOOKING_AT, Progress, Reduction, Report, Sabotage, audit, explore, way,
};
use raft_sim::mutants::{self, MUTANTS};

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
    #[arg(long, default_value_t = 1)]
    entries: u8,
    /// Times that a node's time runs out, followers', candidates' and leaders' together.
    #[arg(long, default_value_t = 2)]
    timeouts: u8,
    /// Times that a follower learns that its leader's process is gone, which may be wrong.
    #[arg(long, default_value_t = 1)]
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
    /// How much to leave out that cannot matter: with less, the same is found, much later.
    #[arg(long, value_enum, default_value_t = Reduce::All)]
    reduce: Reduce,
    /// Try out what is claimed of all that is left out, in every state of a node that is met.
    #[arg(long)]
    audit: bool,
    /// Break a rule on purpose, to see it found.
    #[arg(long, value_enum)]
    sabotage: Option<Broken>,
    /// Switch on this deliberate bug of the core, as `raft-sim mutants` lists them, to see it found.
    #[arg(long, value_name = "NAME")]
    mutant: Option<String>,
    /// Show how the state with this number came about, as a failed assertion names it.
    #[arg(long, value_name = "NUMBER")]
    way: Option<u32>,
    /// Give up after so many states; each takes about 40 bytes.
    #[arg(long, default_value_t = 50_000_000)]
    states: usize,
}

/// See [`Reduction`].
#[derive(Clone, Copy, clap::ValueEnum)]
enum Reduce {
    /// Nothing.
    Nothing,
    /// When writes become durable, and when nodes hear of that.
    Writes,
    /// All that can be.
    All,
}

impl From<Reduce> for Reduction {
    fn from(reduce: Reduce) -> Self {
        match reduce {
            Reduce::Nothing => Self::Nothing,
            Reduce::Writes => Self::Writes,
            Reduce::All => Self::All,
        }
    }
}

/// See [`Sabotage`].
#[derive(Clone, Copy, clap::ValueEnum)]
enum Broken {
    /// What must wait for the disk leaves at once.
    EarlyPromises,
    /// Writes are said to be durable that are not.
    LyingDisks,
    /// A process that starts again has forgotten its vote.
    ForgottenVotes,
    /// A vote arrives in the name of another node as well.
    DoubleVotes,
    /// Refused votes arrive as given ones.
    ForgedVotes,
    /// A leader takes for committed what a majority holds, of whatever term (Figure 8).
    OldCommits,
    /// Nobody protects a leader it hears.
    LostLeaders,
}

impl From<Broken> for Sabotage {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::EarlyPromises => Self::EarlyPromises,
            Broken::LyingDisks => Self::LyingDisks,
            Broken::ForgottenVotes => Self::ForgottenVotes,
            Broken::DoubleVotes => Self::DoubleVotes,
            Broken::ForgedVotes => Self::ForgedVotes,
            Broken::OldCommits => Self::OldCommits,
            Broken::LostLeaders => Self::LostLeaders,
        }
    }
}

impl Explore {
    /// Explores, and says what came of it.
    pub(crate) fn run(&self) -> io::Result<u8> {
        let mut shown = Duration::ZERO;
        let mut out = io::stdout();
        if let Some(name) = &self.mutant {
            switch_on(name)?;
        }
        if let Some(number) = self.way {
            for line in way(self.bounds(), number) {
                writeln!(out, "{line}")?;
            }
            return Ok(0);
        }
        name_state_on_panic();
        if self.audit {
            return match audit(self.bounds()) {
                Ok(claims) => {
                    writeln!(out, "{claims} claims were tried out, and all hold").map(|()| 0)
                }
                Err(wrong) => writeln!(out, "wrong: {wrong}").map(|()| VIOLATED),
            };
        }
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
            reduction: self.reduce.into(),
            sabotage: self.sabotage.map(Into::into),
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
            "{} views, {} scenes; {} states of a single node, {} messages in {} sets; the core ran {} times; chance that \
             two states were taken for one: {:.0e}",
            report.views,
            report.scenes,
            report.node_states,
            report.messages,
            report.networks,
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

fn switch_on(name: &str) -> io::Result<()> {
    if !mutants::are_included() {
        return Err(io::Error::other("no build without debug assertions contains deliberate bugs"));
    }
    if !MUTANTS.iter().any(|mutant| mutant.name == name) {
        return Err(io::Error::other(format!("no deliberate bug is called {name:?}")));
    }
    mutants::switch_to(Some(name));
    Ok(())
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
