//! Hunts for seeds under which a cluster does what it must never do, and replays them; or tries every
//! order of events of a small cluster.

mod explore_command;
mod hunt;
mod mutants_command;
mod plan_file;
mod trial;

use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use raft_sim::{Plan, run};

use hunt::Hunt;
use trial::{VERDICT, VIOLATED};

/// Runs whole clusters in simulated time, each from a seed, and checks what must always hold.
///
/// Exit status: 0 all held, 1 a hunt of 1000 seeds or more never met something that must happen
/// sometimes, 2 something went wrong, 5 something was violated.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Replay this seed, and show all that happens.
    #[arg(conflicts_with_all = ["from", "count", "plan"])]
    seed: Option<u64>,
    /// Replay the plan in this file, and show all that happens.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "count"])]
    plan: Option<PathBuf>,
    /// The first seed of a hunt.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many seeds to hunt through.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// On how many threads to hunt.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=256))]
    jobs: u64,
    /// Where a hunt leaves the plans of what it found.
    #[arg(long, value_name = "DIR", default_value = ".")]
    keep: PathBuf,
    /// With a seed or a plan: show the verdict only.
    #[arg(long, short)]
    quiet: bool,
    /// With a seed: show its plan, and do not carry it out.
    #[arg(long, requires = "seed")]
    draw: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    Explore(explore_command::Explore),
    Mutants(mutants_command::Mutants),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments {
        Arguments { command: Some(Command::Explore(command)), .. } => command.run(),
        Arguments { command: Some(Command::Mutants(command)), .. } => command.run(),
        Arguments { plan: Some(path), quiet, .. } => {
            plan_file::read(&path).and_then(|plan| replay(plan, quiet))
        }
        Arguments { seed: Some(seed), draw: true, .. } => {
            write!(io::stdout(), "{}", Plan::draw(seed)).map(|()| 0)
        }
        Arguments { seed: Some(seed), quiet, .. } => replay(Plan::draw(seed), quiet),
        Arguments { from, count, jobs, keep, .. } => Hunt { from, count, jobs, dir: &keep }.run(),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        // Whoever read along has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "error: {error}"));
            ExitCode::from(2)
        }
    }
}

fn replay(plan: Plan, quiet: bool) -> io::Result<u8> {
    trial::report_on_panic(PathBuf::new());
    let mut stdout = io::stdout();
    let out: Option<Box<dyn io::Write>> = if quiet {
        None
    } else {
        writeln!(stdout, "{plan}")?;
        Some(Box::new(BufWriter::new(io::stdout())))
    };
    let report = run(plan, out);
    writeln!(
        stdout,
        "\nseed {}: trace hash {:016x}, {} events in {} simulated seconds",
        report.seed,
        report.hash,
        report.events,
        report.simulated_us / 1_000_000
    )?;
    match &report.violation {
        None => {
            writeln!(stdout, "all invariants held")?;
            Ok(0)
        }
        Some(violation) => {
            writeln!(stdout, "{VERDICT}{violation}")?;
            Ok(VIOLATED)
        }
    }
}
