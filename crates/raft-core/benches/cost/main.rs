//! Processor time per committed entry, for three nodes in one thread, beside tikv/raft-rs doing the
//! same work: `work.rs` says which. raft-rs is a program of its own in `benches/raft-rs`, built and
//! run from here, so that nobody who only tests this crate has to build it.
//!
//! ```text
//! cargo bench -p raft-core                       the table
//! cargo bench -p raft-core -- ours 64 10 300000  this crate alone: bytes, batch, commands
//! ```
//!
//! What makes the two comparable. Counted in callgrind, both exchange the same number of messages for an
//! entry that comes alone (two appends, two answers; the commit travels with the next append), take as
//! many turns, and write and acknowledge as often: four turns and three writes an entry. A command's
//! bytes are made once, outside the measured time, and moved in; neither side copies them after that. Each
//! is driven as its own documentation says. Both are built with cargo's release optimisation; this crate
//! keeps the overflow checks of its workspace, raft-rs has those of its defaults: none.
//!
//! They take turns within a round, so that a machine that slows down slows all; the table shows the
//! median of the rounds. raft-rs appears twice: with its commands proposed one by one, which is the way
//! it offers, and with a batch in one proposal message made by hand, which is cheaper.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the table is what it is for")]

mod ours;
mod peer;
mod work;

use std::process::ExitCode;

use crate::ours::Ours;
use crate::peer::{Peer, Way};
use crate::work::Cell;

/// Bytes of a command.
const PAYLOADS: [usize; 2] = [64, 256];
/// Commands in a batch, and in a run: enough of them for a tenth of a second.
const BATCHES: [(usize, u64); 5] =
    [(1, 60_000), (10, 150_000), (64, 300_000), (256, 300_000), (1024, 300_000)];
/// Runs of each cell and side.
const ROUNDS: usize = 7;

const USAGE: &str = "usage: cargo bench -p raft-core [-- ours BYTES BATCH COMMANDS]";

fn main() -> ExitCode {
    // `cargo bench` adds a word of its own. Without it this is a test of the benchmark.
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (cargo, words): (Vec<&str>, Vec<&str>) =
        words.iter().map(String::as_str).partition(|word| *word == "--bench");
    let done = match words.as_slice() {
        [] if cargo.is_empty() => alone("64", "64", "1"),
        [] => compare(),
        ["ours", payload, batch, entries] => alone(payload, batch, entries),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn alone(payload: &str, batch: &str, entries: &str) -> Result<(), String> {
    let payload = payload.parse().ok().filter(|&bytes| size_of::<u64>() <= bytes);
    let batch = batch.parse().ok().filter(|&batch| 0 < batch);
    let (Some(payload), Some(batch), Ok(entries)) = (payload, batch, entries.parse()) else {
        return Err(format!("not a cell\n{USAGE}"));
    };
    println!("{:.0} ns per entry", work::run::<Ours>(Cell { payload, batch, entries }));
    Ok(())
}

fn compare() -> Result<(), String> {
    let mut peer = Peer::start()?;
    println!("processor time per committed entry in ns, three nodes, median of {ROUNDS} (min–max)");
    println!(
        "bytes  batch         raft-core           raft-rs  ratio   raft-rs, one message  ratio"
    );
    for payload in PAYLOADS {
        for (batch, entries) in BATCHES {
            let cell = Cell { payload, batch, entries };
            let mut rounds: [Vec<f64>; 3] = Default::default();
            for _ in 0..ROUNDS {
                rounds[0].push(work::run::<Ours>(cell));
                rounds[1].push(peer.run(Way::Propose, cell)?);
                rounds[2].push(peer.run(Way::Step, cell)?);
            }
            let [ours, propose, step] = rounds.map(Spread::of);
            let ratio = |theirs: &Spread| format!("{:.2}×", theirs.median / ours.median);
            println!(
                "{payload:>5}  {batch:>5}  {ours:>16}  {propose:>16}  {:>5}  {step:>21}  {:>5}",
                ratio(&propose),
                ratio(&step),
            );
        }
    }
    Ok(())
}

/// Where the figures of several rounds lie.
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |position: usize| values.get(position).copied().unwrap_or(f64::NAN);
        Self { min: at(0), median: at(values.len() / 2), max: at(values.len().saturating_sub(1)) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{:.0} ({:.0}–{:.0})", self.median, self.min, self.max))
    }
}
