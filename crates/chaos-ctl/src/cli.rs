//! The command line.

mod down;
mod logs;
mod orders;
mod past;
mod run;
mod status;
mod up;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use raft_api::cluster::ClusterConfig;

use crate::exit::{Code, Failure};

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
    Verify(past::Verify),
    Report(past::Report),
    /// Say which scenarios there are, and what each shows
    List,
}

/// Which cluster.
#[derive(Clone, Debug, Args)]
struct Which {
    /// The cluster's file. Without it: `RAFT_CONFIG`, ./cluster.yaml, ./configs/cluster.yaml
    #[arg(short = 'f', long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Which {
    fn load(&self) -> Result<ClusterConfig, Failure> {
        let usage = |error: raft_api::cluster::ConfigError| {
            let hint = error.hint().map(str::to_owned);
            Failure { hint, ..Failure::usage(error) }
        };
        let path = ClusterConfig::locate(self.config.as_deref()).map_err(usage)?;
        let path = path.ok_or_else(|| {
            Failure::usage("there is no cluster.yaml here, nor in configs/")
                .hint("name the file with -f FILE, or in RAFT_CONFIG")
        })?;
        ClusterConfig::load(&path).map_err(usage)
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code.into(),
        Err(failure) => {
            complain(&failure);
            failure.code.into()
        }
    }
}

fn run(command: Command) -> Result<Code, Failure> {
    // One thread: everything has one owner, and the machine's cores belong to the servers. Where links
    // run through proxies those have a thread of their own.
    let runtime = match command {
        Command::Run(_) | Command::Replay(_) | Command::Up(_) => {
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
        }
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build(),
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
