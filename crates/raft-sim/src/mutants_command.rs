//! `raft-sim mutants`: whether deliberate bugs are found, and how soon.

use std::io::{self, Write};
use std::time::Instant;

use raft_sim::mutants::{self, Kill, MUTANTS, Mutant};

use crate::trial::VIOLATED;

/// Puts deliberate bugs into the code, one at a time, and counts the seeds until something is
/// violated; then runs as many seeds without any.
///
/// Wants a build that contains them: `cargo run --profile mutants -p raft-sim -- mutants`.
///
/// Exit status: 0 each was found, 1 one was not, 2 there are none in this build, 5 something is violated
/// without any.
#[derive(clap::Args)]
pub(crate) struct Mutants {
    /// Only those whose name contains this; may be given several times.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Seeds for each, at most.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Say what was seen as well.
    #[arg(long, short)]
    verbose: bool,
}

impl Mutants {
    pub(crate) fn run(&self) -> io::Result<u8> {
        let mut out = io::stdout();
        if !mutants::are_included() {
            let what = "no build without debug assertions contains deliberate bugs; \
                        try `cargo run --profile mutants -p raft-sim -- mutants`";
            return Err(io::Error::other(what));
        }
        // What a bug breaks is expected to panic now and then.
        std::panic::set_hook(Box::new(|_| ()));
        let started = Instant::now();
        writeln!(out, "| deliberate bug | found by | seeds |\n|---|---|---|")?;
        let (mut longest, mut survivors) = (0, 0_u64);
        for mutant in MUTANTS.iter().filter(|mutant| self.wants(mutant)) {
            let kill = mutants::find(Some(mutant.name), self.range(self.seeds));
            longest = longest.max(kill.as_ref().map_or(0, |kill| kill.seed - self.from + 1));
            survivors += u64::from(kill.is_none() && mutant.seen_by.is_none());
            self.show(&mut out, mutant, kill.as_ref())?;
        }
        let clean = mutants::find(None, self.range(longest.max(1)));
        writeln!(out, "\n{} s", started.elapsed().as_secs())?;
        if let Some(Kill { property, seed, what }) = clean {
            writeln!(out, "without any: seed {seed} violates {property}: {what}")?;
            return Ok(VIOLATED);
        }
        writeln!(out, "without any, the same {longest} seeds violate nothing")?;
        if 0 < survivors {
            writeln!(out, "{survivors} of them were not found")?;
        }
        Ok(u8::from(0 < survivors))
    }

    fn wants(&self, mutant: &Mutant) -> bool {
        self.only.is_empty() || self.only.iter().any(|text| mutant.name.contains(text))
    }

    fn range(&self, count: u64) -> std::ops::Range<u64> {
        self.from..self.from.saturating_add(count)
    }

    fn show(&self, out: &mut impl Write, mutant: &Mutant, kill: Option<&Kill>) -> io::Result<()> {
        let Mutant { name, seen_by } = mutant;
        match (kill, seen_by) {
            (Some(Kill { property, seed, what }), _) => {
                writeln!(out, "| {name} | {property} | {} |", seed - self.from + 1)?;
                if self.verbose {
                    writeln!(out, "seed {seed}: {what}")?;
                }
                Ok(())
            }
            (None, Some(test)) => writeln!(out, "| {name} | {test} | – |"),
            (None, None) => writeln!(out, "| {name} | NOTHING | {} |", self.seeds),
        }
    }
}
