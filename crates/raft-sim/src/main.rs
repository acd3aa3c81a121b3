//! Hunts for seeds under which a cluster does what it must never do, and replays them; or tries every
//! order of events of a small cluster.

mod explore_command;

use std::io::{self, BufWriter, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use raft_sim::{Report, Scenario, Sometimes, run};

/// Runs whole clusters in simulated time, each from a seed, and checks what must always hold.
///
/// Exit status: 0 all held, 1 a hunt of 200 seeds or more never met something that must happen
/// sometimes, 2 something went wrong, 5 something was violated.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Replay this seed, and show all that happens.
    #[arg(conflicts_with_all = ["from", "count"])]
    seed: Option<u64>,
    /// The first seed of a hunt.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many seeds to hunt through.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// With a seed: show the verdict only.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    Explore(explore_command::Explore),
}

/// Something was violated.
const VIOLATED: u8 = 5;

/// So many seeds meet everything that must happen sometimes; fewer need not.
const MEETS_ALL: u64 = 200;

/// Lines of an explanation are cut after so many characters; the replay shows them whole.
const WIDTH: usize = 180;

/// A line of progress as often as this.
const PROGRESS: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match (arguments.command, arguments.seed) {
        (Some(Command::Explore(command)), _) => command.run(),
        (None, Some(seed)) => replay(seed, arguments.quiet),
        (None, None) => hunt(arguments.from, arguments.count),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        // Whoever read along has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "error: could not write the output: {error}"));
            ExitCode::from(2)
        }
    }
}

/// A failed assertion ends a release build at once; its seed must not be lost.
fn name_seed_on_panic(seed: u64) {
    std::panic::set_hook(Box::new(move |panic| {
        let mut err = io::stderr();
        drop(writeln!(err, "seed {seed} violates \"no assertion fails\": {panic}"));
        drop(writeln!(err, "reproduce: raft-sim {seed}"));
        if cfg!(panic = "abort") {
            #[expect(
                clippy::exit,
                reason = "the process is about to be aborted with another status"
            )]
            std::process::exit(i32::from(VIOLATED));
        }
    }));
}

fn replay(seed: u64, quiet: bool) -> io::Result<u8> {
    name_seed_on_panic(seed);
    let out: Option<Box<dyn io::Write>> =
        if quiet { None } else { Some(Box::new(BufWriter::new(io::stdout()))) };
    let scenario = Scenario::draw(seed);
    let mut stdout = io::stdout();
    writeln!(stdout, "{scenario:#?}")?;
    let report = run(scenario, out);
    writeln!(
        stdout,
        "\nseed {seed}: trace hash {:016x}, {} events in {} simulated seconds",
        report.hash,
        report.events,
        seconds(report.simulated_us)
    )?;
    match &report.violation {
        None => {
            writeln!(stdout, "all invariants held")?;
            Ok(0)
        }
        Some(violation) => {
            writeln!(stdout, "violated: {violation}")?;
            Ok(VIOLATED)
        }
    }
}

fn hunt(from: u64, count: u64) -> io::Result<u8> {
    let mut stdout = io::stdout();
    let started = Instant::now();
    let mut shown = started;
    let mut sometimes = Sometimes::default();
    let (mut simulated_us, mut events, mut failed) = (0, 0, 0_u64);
    for (done, seed) in (1..).zip(from..from.saturating_add(count)) {
        name_seed_on_panic(seed);
        let report = run(Scenario::draw(seed), None);
        sometimes.merge(&report.sometimes);
        simulated_us += report.simulated_us;
        events += report.events;
        if report.violation.is_some() {
            failed += 1;
            explain(&mut stdout, &report)?;
        }
        if PROGRESS <= shown.elapsed() || done == count {
            shown = Instant::now();
            let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            writeln!(
                stdout,
                "{done}/{count} seeds, {failed} failed, {events} events, {} simulated seconds, \
                 {} times real time",
                seconds(simulated_us),
                simulated_us / elapsed_us.max(1)
            )?;
        }
    }
    writeln!(stdout, "\n{sometimes}")?;
    if failed != 0 {
        return Ok(VIOLATED);
    }
    let missing = sometimes.missing();
    if missing.is_empty() {
        return Ok(0);
    }
    let texts: Vec<_> = missing.into_iter().map(raft_sim::Mark::text).collect();
    writeln!(stdout, "never happened, so never tested: {}", texts.join(", "))?;
    Ok(u8::from(MEETS_ALL <= count))
}

fn explain(out: &mut impl io::Write, report: &Report) -> io::Result<()> {
    let Some(violation) = &report.violation else { return Ok(()) };
    writeln!(out, "\nseed {} violates {violation}", report.seed)?;
    for line in report.recent.iter().rev().take(20).rev() {
        let short: String = line.chars().take(WIDTH).collect();
        writeln!(out, "    {short}")?;
    }
    writeln!(out, "reproduce: raft-sim {}\n", report.seed)
}

fn seconds(us: u64) -> u64 {
    us / 1_000_000
}
