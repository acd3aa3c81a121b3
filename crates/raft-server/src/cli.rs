//! The command line of a node, whatever its state machine.

mod inspect;
mod probe;
mod recover;
mod replay;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;

use crate::logging::{self, LogFormat, LogLevel};
use crate::machine::Services;
use crate::{Options, StartError};
use clap::Parser as _;
use raft_api::cluster::ClusterConfig;
use raft_core::NodeId;
use raft_replica::StateMachine;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use self::inspect::Inspect;
use self::probe::Probe;
use self::recover::Recover;
use self::replay::Replay;

const AFTER_HELP: &str = "\
Example:
  raft-server --id 1 --config cluster.yaml

A fourth node for a running cluster, in the file or not. Later without --join:
  raft-server --id 4 --config cluster.yaml --join
  raft-client set-config --add 4=127.0.0.1:7004

What happened to a node, once more:
  raft-server --id 1 --config cluster.yaml --record recordings
  raft-server replay recordings/n1-1767225600000.raftrec --trace

What a data directory holds, and whether it is whole:
  raft-server inspect data/n1

What disk and loopback allow, at most:
  raft-server disk-probe data

A cluster of one, in cluster.yaml:
  cluster: {name: test}
  nodes:
    - {id: 1, addr: 127.0.0.1:7001}

SIGTERM or Ctrl-C ends the node cleanly, a second one at once.
Exit code: 0 ended as asked, 1 the node could not go on, 2 it could not start, 130 interrupted.";

/// Runs one node of a cluster, in the foreground.
///
/// Logs go to stderr. The line that says `ready` is the first moment at which the node answers.
#[derive(Debug, clap::Parser)]
#[command(
    version,
    after_help = AFTER_HELP,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    serve: Option<Serve>,
}

/// What else the program does.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Replay(Replay),
    Inspect(Inspect),
    Recover(Recover),
    #[command(name = "disk-probe")]
    Probe(Probe),
}

/// What one node is told.
#[expect(clippy::doc_markdown, reason = "comments here are help texts")]
#[derive(Debug, clap::Args)]
struct Serve {
    /// Which node of the cluster this is
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    id: u64,

    /// The cluster file [default: ./cluster.yaml or ./configs/cluster.yaml; env: RAFT_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// If the data directory is new: wait to be added to a running cluster (raft-client set-config --add)
    #[arg(long)]
    join: bool,

    /// The address for other nodes, as host:port, of a joining node that is not in the cluster file;
    /// clients are served at port + 100
    #[arg(long, value_name = "ADDR", requires = "join")]
    addr: Option<String>,

    /// Record what happens to the node into a new file in DIR, for `raft-server replay`: every message
    /// and command, so the file grows at least as fast as the log, and is never cut. The node's thread
    /// encodes and hashes all it handles once more, another one writes, without syncing. A crash
    /// of the process loses no more than the last quarter of a second of it
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,

    /// Do not compare this node's state with what node N said of its own in the log: for the day on
    /// which nodes stop because their state is not N's, and it is N's that is wrong. May be given several times
    #[arg(long, value_name = "N")]
    distrust: Vec<u64>,

    /// Reach node N as a peer at this address, whatever the cluster file, the log and N itself say: for
    /// a proxy or a tunnel in between. What others are told stays the same. May be given for several nodes
    #[arg(long, value_name = "N=HOST:PORT", value_parser = way_to)]
    dial: Vec<(NodeId, String)>,

    /// For laboratories. The node's disk loses with the process, however it ends, what was not synced, and
    /// fails when DIR/control.json says so; DIR/ledger.json tells what it did
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    debug_faults: Option<PathBuf>,

    /// How much is logged [default: info; the environment's RUST_LOG gives finer control]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,

    /// How a log line looks
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// Why the program ends without having served, and what to do about it.
struct Failure {
    error: String,
    hint: Option<String>,
}

const EXIT_USAGE: u8 = 2;
const EXIT_INTERRUPTED: u8 = 130;

/// The whole program around a state machine: reads the command line, runs a node to its end, or does
/// what else the `raft-server` program can do, and returns the exit code. A panic ends the process.
pub fn main<S: StateMachine + Default>() -> ExitCode {
    crate::abort_on_panic();
    Cli::parse().run::<S>()
}

impl Cli {
    fn run<S: StateMachine + Default>(self) -> ExitCode {
        let done = match (self.command, self.serve) {
            (Some(Command::Replay(replay)), _) => replay.run(),
            (Some(Command::Inspect(inspect)), _) => inspect.run(Services::of::<S>()),
            (Some(Command::Recover(recover)), _) => recover.run::<S>(),
            (Some(Command::Probe(probe)), _) => probe.run(),
            (None, Some(serve)) => serve.run::<S>(),
            // Only with no arguments at all.
            (None, None) => Err(Failure {
                error: "which node? --id is missing".to_owned(),
                hint: Some("try raft-server --help".to_owned()),
            }),
        };
        match done {
            Ok(code) => code,
            Err(Failure { error, hint }) => {
                say("error", error);
                if let Some(hint) = hint {
                    say("hint", hint);
                }
                ExitCode::from(EXIT_USAGE)
            }
        }
    }
}

impl Serve {
    fn run<S: StateMachine + Default>(self) -> Result<ExitCode, Failure> {
        logging::init(self.log_level, self.log_format)
            .map_err(|error| Failure { error, hint: None })?;
        deliberate_bug(NodeId(self.id))?;
        let dial = ways(NodeId(self.id), self.dial)?;
        let config = load_config(self.config.as_deref())?;
        raise_file_limit();
        // One thread for network and replica: on a small machine the way to another core and back
        // costs more than all the work for a small request.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Failure { error: format!("could not start: {error}"), hint: None })?;
        let join = self.join.then_some(self.addr);
        let distrust = self.distrust.into_iter().map(NodeId).collect();
        let options = Options {
            config,
            id: NodeId(self.id),
            join,
            record: self.record,
            distrust,
            dial,
            debug_faults: self.debug_faults,
        };
        let code = runtime.block_on(until_signalled::<S>(options));
        runtime.shutdown_background();
        code
    }
}

/// Switches on the deliberate bug that the environment names, if it names one and the build has any.
fn deliberate_bug(node: NodeId) -> Result<(), Failure> {
    let Some(name) = std::env::var_os("RAFT_MUTANT").filter(|name| !name.is_empty()) else {
        return Ok(());
    };
    let name = name.to_string_lossy();
    let known = switch_to_bug(&name).map_err(|error| Failure {
        error: format!("RAFT_MUTANT is set: {error}"),
        hint: Some("unset it: nobody wants a bug without asking for it".to_owned()),
    })?;
    if !known {
        return Err(Failure {
            error: format!("RAFT_MUTANT: there is no deliberate bug `{name}`"),
            hint: Some("docs/testing.md lists them by their names".to_owned()),
        });
    }
    tracing::warn!(%node, "this node carries the deliberate bug `{name}`");
    Ok(())
}

/// Whether there is such a bug, which is switched on then.
#[cfg(debug_assertions)]
#[expect(clippy::unnecessary_wraps, reason = "other builds have none")]
fn switch_to_bug(name: &str) -> Result<bool, &'static str> {
    let known = raft_core::mutants::NAMES.contains(&name);
    if known {
        raft_core::mutants::switch_to(Some(name));
    }
    Ok(known)
}

#[cfg(not(debug_assertions))]
fn switch_to_bug(_: &str) -> Result<bool, &'static str> {
    Err("this build contains no deliberate bugs")
}

/// Reads `N=HOST:PORT`.
fn way_to(text: &str) -> Result<(NodeId, String), String> {
    let (id, address) = text.split_once('=').ok_or("it is written N=HOST:PORT")?;
    let id = id.parse().ok().filter(|&id| 0 < id);
    let id = id.ok_or("the number of a node stands before the `=`")?;
    raft_api::address::check(address)?;
    Ok((NodeId(id), address.to_owned()))
}

/// Where to dial whom: others only, and each in one place.
fn ways(me: NodeId, list: Vec<(NodeId, String)>) -> Result<BTreeMap<NodeId, String>, Failure> {
    let mut ways = BTreeMap::new();
    for (id, address) in list {
        if id == me {
            let error = format!("--dial {}={address}: a node does not dial itself", id.0);
            return Err(Failure { error, hint: Some("leave it out".to_owned()) });
        }
        if let Some(before) = ways.insert(id, address.clone()) {
            let error = format!("--dial names two places for node {}: {before}, {address}", id.0);
            return Err(Failure { error, hint: Some("keep one of them".to_owned()) });
        }
    }
    Ok(ways)
}

/// Reads the cluster file that is named, or the one that lies around.
fn load_config(named: Option<&Path>) -> Result<ClusterConfig, Failure> {
    let path = ClusterConfig::locate(named)?.ok_or_else(|| Failure {
        error: "no cluster file: there is no cluster.yaml or configs/cluster.yaml here".to_owned(),
        hint: Some("name one with --config FILE or RAFT_CONFIG".to_owned()),
    })?;
    Ok(ClusterConfig::load(&path)?)
}

/// Runs a node. The first signal asks it to end, the second does not ask.
async fn until_signalled<S: StateMachine + Default>(options: Options) -> Result<ExitCode, Failure> {
    let mut signals = Signals::new().map_err(|error| Failure {
        error: format!("could not listen to signals: {error}"),
        hint: None,
    })?;
    let stop = CancellationToken::new();
    let mut node = pin!(crate::run::<S>(options, stop.clone()));
    loop {
        let name = tokio::select! {
            ended = &mut node => return ended.map(|()| ExitCode::SUCCESS).map_err(Failure::from),
            name = signals.next() => name,
        };
        if stop.is_cancelled() {
            tracing::warn!("{name} again: ends at once");
            return Ok(ExitCode::from(EXIT_INTERRUPTED));
        }
        tracing::info!("{name}: stopping");
        stop.cancel();
    }
}

/// The signals that end a process politely.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { terminate, interrupt })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Allows as many open files as the system lets this process have: a client is a file, and the
/// usual limit of 1024 is for programs that use `select`.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "could not raise the limit of open files");
    }
}

/// Writes a line for the operator. With stderr gone there is nobody left to tell.
fn say(what: &str, text: impl Display) {
    drop(writeln!(std::io::stderr(), "{what}: {text}"));
}

impl From<raft_api::cluster::ConfigError> for Failure {
    fn from(error: raft_api::cluster::ConfigError) -> Self {
        Self { error: error.to_string(), hint: error.hint().map(str::to_owned) }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self { error: error.to_string(), hint: error.hint() }
    }
}
