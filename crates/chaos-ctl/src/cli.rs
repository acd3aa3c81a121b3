//! The command line.

mod aside;
mod clean;
mod doctor;
mod down;
mod in_force;
mod init;
mod list_faults;
mod logs;
mod orders;
mod pages;
mod past;
mod run;
mod status;
mod up;
mod verify;
mod which;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use self::which::Which;
use crate::exit::{Code, Failure};
use crate::output;

/// Runs a cluster of real raft-server processes and breaks it.
#[derive(Debug, Parser)]
#[command(name = "chaos-ctl", version, propagate_version = true, after_help = EXIT_CODES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done                                      6  it did not recover in time
  1  internal error                            8  degraded
  2  usage or config                           9  a node ended by itself
  3  nothing runs, or it does not get ready   10  nothing can be concluded
  5  a safety promise is broken              130  interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Down(down::Down),
    Status(status::Status),
    Logs(logs::Logs),
    Kill(orders::Kill),
    Stop(orders::Stop),
    Start(orders::Start),
    Restart(orders::Restart),
    Pause(orders::Pause),
    Resume(orders::Resume),
    Partition(orders::Partition),
    Link(orders::Link),
    Heal(orders::Heal),
    PowerLoss(orders::PowerLoss),
    Disk(orders::Disk),
    Run(run::Run),
    Plan(run::PlanOnly),
    Replay(run::Replay),
    Verify(verify::Verify),
    Report(past::Report),
    /// Say which scenarios there are, and what each shows
    List,
    ListFaults(list_faults::ListFaults),
    Clean(clean::Clean),
    Init(init::Init),
    Schema(init::Schema),
    Doctor(doctor::Doctor),
    Completions(pages::Completions),
    Man(pages::Man),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ended = run(cli.command).and_then(|code| match output::unwritten() {
        Some(why) if code == Code::Done => {
            Err(Failure::new(Code::Internal, format!("could not write to standard output: {why}")))
        }
        _ => Ok(code),
    });
    match ended {
        Ok(code) => code.into(),
        Err(failure) => {
            complain(&failure);
            failure.code.into()
        }
    }
}

fn run(command: Command) -> Result<Code, Failure> {
    // One thread: everything has one owner, and the machine's cores belong to the servers. Proxies on
    // links and the dashboard have a thread of their own.
    let another = match &command {
        Command::Run(_) | Command::Replay(_) => true,
        Command::Up(up) => up.needs_thread(),
        _ => false,
    };
    let runtime = if another {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
    } else {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    };
    runtime.context("could not start")?.block_on(async {
        match command {
            Command::Up(up) => up.run().await,
            Command::Down(down) => down.run().await,
            Command::Status(status) => status.run().await,
            Command::Logs(logs) => logs.run().await,
            Command::Kill(it) => it.send().await,
            Command::Stop(it) => it.send().await,
            Command::Start(it) => it.send().await,
            Command::Restart(it) => it.send().await,
            Command::Pause(it) => it.send().await,
            Command::Resume(it) => it.send().await,
            Command::Partition(it) => it.send().await,
            Command::Link(it) => it.send().await,
            Command::Heal(it) => it.send().await,
            Command::PowerLoss(it) => it.send().await,
            Command::Disk(it) => it.send().await,
            Command::Run(run) => run.run().await,
            Command::Plan(plan) => plan.run(),
            Command::Replay(replay) => replay.run().await,
            Command::Verify(verify) => verify.run(),
            Command::Report(report) => report.run(),
            Command::List => Ok(run::list()),
            Command::ListFaults(it) => it.run(),
            Command::Clean(it) => it.run(),
            Command::Init(it) => it.run(),
            Command::Schema(it) => Ok(it.run()),
            Command::Doctor(it) => it.run(),
            Command::Completions(it) => Ok(it.run()),
            Command::Man(it) => it.run(),
        }
    })
}

/// Says what went wrong. If nobody can read it, the exit code says it.
fn complain(failure: &Failure) {
    let mut stderr = io::stderr().lock();
    let mut told = writeln!(stderr, "error: {:#}", failure.error);
    if let Some(hint) = &failure.hint {
        told = told.and_then(|()| writeln!(stderr, "\nhint: {hint}"));
    }
    if told.is_err() {
        tracing::debug!("nobody reads the error output");
    }
}
