//! The command line: what may be said, and how every command ends.
//!
//! Standard output carries data and nothing else. An error is one line, and a hint where there is
//! one, on standard error.

mod address;
mod bench;
mod bytes;
mod cas;
mod del;
mod failure;
mod format;
mod get;
mod get_config;
mod get_leader;
mod hash;
mod health;
mod member;
mod output;
mod pages;
mod propose;
mod put;
mod range;
mod set_config;
mod shell;
mod stages;
mod status;
mod survey;
mod table;
mod target;
mod trace;
mod transfer_leader;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use raft_api::units::{HumanDuration, UnitError};
use raft_client::Client;
use tracing_subscriber::EnvFilter;

use bytes::{bytes_of, printable, quoted, shortened, value_alone, value_of};
use failure::Failure;
use format::Format;
use output::{Done, complain, emit, finish, say};
use target::Target;

/// Exit codes, the same in all programs of this project.
const EXIT_CODES: &str = "\
Exit codes:
  0 done   1 internal error   2 usage or configuration
  3 no cluster or no leader   4 the server said no
  5 an acknowledged write is lost, applied twice, or the nodes differ
  6 a run does not keep what was expected of it, or is worse than the one before
  7 not found, or not the expected value   8 degraded   10 inconclusive
  124 deadline passed: a write may or may not be done   130 interrupted";

/// How long a command may take unless it is told or has its own.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What stands above the options that every command has.
const CLUSTER: &str = "Which cluster";

/// Talks to a cluster of `raft-server` nodes.
#[derive(Debug, Parser)]
#[command(name = "raft-client", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Arguments {
    /// The cluster's YAML file, for the addresses of its nodes [env: `RAFT_CONFIG`] [default:
    /// ./cluster.yaml, ./configs/cluster.yaml; without any of them 127.0.0.1:7101 to 7103 are
    /// talked to].
    #[arg(short = 'f', long, global = true, value_name = "FILE", help_heading = CLUSTER)]
    config: Option<PathBuf>,

    /// Client addresses of some nodes; the others are learnt. Goes before the file [env:
    /// `RAFT_ENDPOINTS`, unless a file is named].
    #[arg(
        long,
        global = true,
        value_delimiter = ',',
        value_name = "HOST:PORT,...",
        help_heading = CLUSTER
    )]
    endpoints: Vec<String>,

    /// How long a command may take, with all its attempts [default: 5s, or 1m for `set-config`].
    /// `bench` has its own.
    #[arg(
        long,
        global = true,
        value_name = "DURATION",
        value_parser = time_to_wait,
        env = "RAFT_TIMEOUT",
        hide_env_values = true,
        help_heading = CLUSTER
    )]
    timeout: Option<HumanDuration>,

    /// How to answer, where the command has that form; may stand after the command as well.
    /// Errors are then an object on standard error [default: text].
    #[arg(
        short,
        long,
        short_alias = 'w',
        alias = "write-out",
        value_name = "FORM",
        value_enum,
        hide_possible_values = true,
        env = "RAFT_OUTPUT",
        hide_env_values = true
    )]
    output: Option<Format>,

    /// Tell on standard error which node was asked what, what it said, and what came next; not for
    /// `bench`.
    #[arg(
        long,
        global = true,
        env = "RAFT_TRACE",
        hide_env_values = true,
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    trace: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the leader, where it serves clients, and its term.
    #[command(visible_alias = "leader")]
    GetLeader(get_leader::GetLeader),
    /// Print the members and their addresses.
    GetConfig(get_config::GetConfig),
    /// Change the members: print what is different, make the change, and end when it is committed.
    SetConfig(Box<set_config::SetConfig>),
    /// List, add, remove, promote or demote members.
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// As `get-config` and `set-config`.
    #[command(subcommand)]
    Config(member::ConfigCommand),
    /// Hand leadership over, and end when the new leader is known.
    TransferLeader(transfer_leader::TransferLeader),
    /// Put opaque data into the log.
    Propose(propose::Propose),
    /// Set a key.
    Put(put::Put),
    /// Print the value of a key, and nothing else; exit 7 if it is not set.
    Get(get::Get),
    /// Remove a key.
    #[command(alias = "delete")]
    Del(del::Del),
    /// Change a key if its value is the expected one; exit 7 if it is not.
    Cas(cas::Cas),
    /// Print keys with their values, in order: a tab between them, backslashes, control characters
    /// and what is no UTF-8 as \\, \t, \n, \xNN.
    #[command(alias = "scan")]
    Range(range::Range),
    /// Show how every node is; exit 0 if all is well, 8 if not, 3 if nobody answers.
    Status(status::StatusCommand),
    /// Tell in a word for each node whether it is ready; exit as `status`.
    Health(health::HealthCommand),
    /// Compare the states of all nodes at one index; exit 5 if they differ, 8 if a node does not
    /// answer, 3 if none does, 10 if there is no such index.
    Hash(hash::HashCommand),
    /// Press the cluster and report latencies, outages, failovers and, with --verify, losses.
    Bench(Box<bench::BenchArguments>),
    /// Take commands line by line, over one connection and session, with a history.
    Shell(shell::ShellCommand),
    /// Print what a shell needs to complete commands and options.
    Completions(pages::Completions),
    /// Print the manual page, or write all of them.
    Man(pages::ManPages),
}

/// Not found, or not the expected value.
const NOT_FOUND: u8 = 7;

/// What a command is given besides its own arguments.
struct Context {
    target: Target,
    client: Client,
    /// What --timeout says.
    timeout: Option<Duration>,
    format: Format,
    /// Whether standard input holds the lines of a shell, and so no value.
    is_shell: bool,
}

pub(crate) fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_env("RAFT_LOG"))
        .with_writer(io::stderr)
        // What cannot be written is lost. Else it is reported to stderr, which panics if that fails too.
        .log_internal_errors(false)
        .init();
    let words: Vec<OsString> = std::env::args_os().collect();
    let mut program = program();
    let parsed = program.try_get_matches_from_mut(&words).and_then(|matches| {
        let arguments = Arguments::from_arg_matches(&matches);
        Ok((
            arguments.map_err(|error| error.format(&mut program))?,
            format::chosen(&matches, Format::Text),
        ))
    });
    let (arguments, format) = match parsed {
        Ok(parsed) => parsed,
        Err(error) if error.use_stderr() && format::words_ask_for_json(&words) => {
            return finish(Err(Failure::misuse(&error)), Format::Json).into();
        }
        Err(error) => {
            if error.use_stderr() {
                complain(Failure::misuse_in_words(&error).trim_end());
            } else {
                // If nobody reads it, there is nobody to tell.
                drop(error.print());
            }
            return u8::try_from(error.exit_code()).unwrap_or(failure::USAGE).into();
        }
    };
    match format {
        Ok(format) => finish(run(arguments, format), format).into(),
        Err(failure) => {
            let json = format::words_ask_for_json(&words);
            finish(Err(failure), if json { Format::Json } else { Format::Text }).into()
        }
    }
}

/// What may be said.
fn program() -> clap::Command {
    format::with_output(Arguments::command())
}

fn run(arguments: Arguments, format: Format) -> Result<Done, Failure> {
    // One thread: waking a second one costs more than it carries.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("could not start the runtime: {error}")))?;
    let done = runtime.block_on(dispatch(arguments, format));
    // A name that is being looked up must not hold up the end.
    runtime.shutdown_timeout(Duration::ZERO);
    done
}

async fn dispatch(arguments: Arguments, format: Format) -> Result<Done, Failure> {
    let Arguments { config, endpoints, timeout, trace, command, .. } = arguments;
    let mut target = Target::find(config.as_deref(), endpoints)?;
    target.tracer = trace.then(|| trace::tracer(format));
    let timeout = timeout.map(|timeout| timeout.0);
    let client = target.client(timeout.unwrap_or(TIMEOUT));
    let context = Context { target, client, timeout, format, is_shell: false };
    let outcome = command.run(&context).await;
    for addr in context.client.removed_endpoints() {
        say(format, "note", &format!("note: {addr} was removed from the cluster"));
    }
    if context.target.is_assumed { outcome.map_err(Failure::without_a_target) } else { outcome }
}

impl Command {
    async fn run(self, context: &Context) -> Result<Done, Failure> {
        match self {
            Self::GetLeader(command) => command.run(context).await,
            Self::GetConfig(command) => command.run(context).await,
            Self::SetConfig(command) => Box::pin(command.run(context)).await,
            Self::TransferLeader(command) => command.run(context).await,
            Self::Propose(command) => command.run(context).await,
            Self::Put(command) => command.run(context).await,
            Self::Get(command) => command.run(context).await,
            Self::Del(command) => command.run(context).await,
            Self::Cas(command) => command.run(context).await,
            Self::Range(command) => command.run(context).await,
            Self::Status(command) => command.run(context).await,
            Self::Member(command) => Box::pin(command.run(context)).await,
            Self::Config(command) => Box::pin(command.run(context)).await,
            Self::Health(command) => command.run(context).await,
            Self::Hash(command) => command.run(context).await,
            Self::Shell(command) => Box::pin(command.run(context)).await,
            Self::Completions(command) => command.run(),
            Self::Man(command) => command.run(),
            Self::Bench(command) => Box::pin(command.run(&context.target, context.format)).await,
        }
    }
}

impl Command {
    /// Whether it changes anything.
    fn writes(&self) -> bool {
        match self {
            Self::SetConfig(_)
            | Self::TransferLeader(_)
            | Self::Propose(_)
            | Self::Put(_)
            | Self::Del(_)
            | Self::Cas(_)
            | Self::Bench(_)
            | Self::Shell(_) => true,
            Self::Member(command) => !matches!(command, member::MemberCommand::List(_)),
            Self::Config(command) => !matches!(command, member::ConfigCommand::Get(_)),
            Self::GetLeader(_)
            | Self::GetConfig(_)
            | Self::Get(_)
            | Self::Range(_)
            | Self::Status(_)
            | Self::Health(_)
            | Self::Hash(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }
}

/// The times that can be waited for: in less nothing can be done, and more nobody means.
const WAITS: [Duration; 2] = [Duration::from_millis(1), Duration::from_hours(24 * 365)];

/// A time to wait for something.
fn time_to_wait(text: &str) -> Result<HumanDuration, String> {
    let wait: HumanDuration = text.parse().map_err(|error: UnitError| error.to_string())?;
    let [min, max] = WAITS;
    if wait.0 < min {
        Err("it must be 1ms or more".to_owned())
    } else if max < wait.0 {
        Err("it must be a year or less".to_owned())
    } else {
        Ok(wait)
    }
}
