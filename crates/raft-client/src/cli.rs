//! The command line: what may be said, and how every command ends.
//!
//! Standard output carries data and nothing else. An error is one line, and a hint where there is
//! one, on standard error.

mod address;
mod bench;
mod cas;
mod del;
mod failure;
mod get;
mod get_config;
mod get_leader;
mod propose;
mod put;
mod range;
mod set_config;
mod status;
mod target;
mod transfer_leader;

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Parser, Subcommand};
use raft_api::units::{HumanDuration, UnitError};
use tracing_subscriber::EnvFilter;

use failure::{Failure, LIMITS};
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
    /// The cluster's YAML file, for the addresses of its nodes [default: `$RAFT_CONFIG`,
    /// ./cluster.yaml, ./configs/cluster.yaml; without any of them 127.0.0.1:7101 to 7103 are
    /// talked to].
    #[arg(short = 'f', long, global = true, value_name = "FILE", help_heading = CLUSTER)]
    config: Option<PathBuf>,

    /// Client addresses of some nodes; the others are learnt. Goes before the file [default:
    /// `$RAFT_ENDPOINTS`, unless a file is named].
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
        help_heading = CLUSTER
    )]
    timeout: Option<HumanDuration>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the leader, where it serves clients, and its term.
    GetLeader,
    /// Print the members and their addresses.
    GetConfig(get_config::GetConfig),
    /// Change the members: print what is different, make the change, and end when it is committed.
    SetConfig(set_config::SetConfig),
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
    Status,
    /// Press the cluster and report latencies, outages, failovers and, with --verify, losses.
    Bench(Box<bench::BenchArguments>),
}

/// What a command has to say in the end.
#[derive(Debug, Default)]
struct Done {
    /// For standard output.
    data: Vec<u8>,
    /// A line for standard error.
    note: Option<String>,
    code: u8,
}

impl Done {
    fn with(data: impl Into<Vec<u8>>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }
}

/// Not found, or not the expected value.
const NOT_FOUND: u8 = 7;

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_env("RAFT_LOG"))
        .with_writer(io::stderr)
        // What cannot be written is lost. Else it is reported to stderr, which panics if that fails too.
        .log_internal_errors(false)
        .init();
    let outcome = run(arguments).and_then(|done| {
        emit(&done.data)?;
        Ok(done)
    });
    match outcome {
        Ok(done) => {
            if let Some(note) = done.note {
                complain(&note);
            }
            ExitCode::from(done.code)
        }
        Err(failure) => {
            complain(&failure.to_string());
            ExitCode::from(failure.code)
        }
    }
}

fn run(arguments: Arguments) -> Result<Done, Failure> {
    // One thread: waking a second one costs more than it carries.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("could not start the runtime: {error}")))?;
    let done = runtime.block_on(dispatch(arguments));
    // A name that is being looked up must not hold up the end.
    runtime.shutdown_timeout(Duration::ZERO);
    done
}

async fn dispatch(arguments: Arguments) -> Result<Done, Failure> {
    let Arguments { config, endpoints, timeout, command } = arguments;
    let target = Target::find(config.as_deref(), endpoints)?;
    let timeout = timeout.map(|timeout| timeout.0);
    let client = target.client(timeout.unwrap_or(TIMEOUT));
    let outcome = match command {
        Command::GetLeader => get_leader::run(&client).await,
        Command::GetConfig(command) => command.run(&target, &client).await,
        Command::SetConfig(command) => {
            let timeout = timeout.unwrap_or(set_config::TIMEOUT);
            Box::pin(command.run(&target, timeout)).await
        }
        Command::TransferLeader(command) => command.run(&client).await,
        Command::Propose(command) => command.run(&client).await,
        Command::Put(command) => command.run(&client).await,
        Command::Get(command) => command.run(&client).await,
        Command::Del(command) => command.run(&client).await,
        Command::Cas(command) => command.run(&client).await,
        Command::Range(command) => command.run(&client).await,
        Command::Status => status::run(&target, &client).await,
        Command::Bench(command) => Box::pin(command.run(&target)).await,
    };
    for addr in client.removed_endpoints() {
        complain(&format!("note: {addr} was removed from the cluster"));
    }
    if target.is_assumed { outcome.map_err(Failure::without_a_target) } else { outcome }
}

/// Writes to standard output. A reader that has seen enough is no error; tells whether it wants
/// more.
fn emit(data: &[u8]) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(data).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            Err(Failure::internal(format!("could not write to standard output: {error}")))
        }
    }
}

/// A line on standard error. If nobody reads that either, there is nobody left to tell.
fn complain(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
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

/// The bytes of an argument; `-` stands for all of standard input.
fn bytes_or_stdin(argument: std::ffi::OsString) -> Result<Bytes, Failure> {
    if argument != "-" {
        return Ok(bytes_of(argument));
    }
    let mut data = Vec::new();
    let bound = raft_kv::VALUE_BYTES_MAX;
    // One byte more tells that there is too much, however much it is.
    match io::stdin().lock().take(bound as u64 + 1).read_to_end(&mut data) {
        Ok(read) if bound < read => Err(Failure::usage(
            format!("standard input holds more than the {bound} bytes that a value may have"),
            Some(LIMITS),
        )),
        Ok(_) => Ok(data.into()),
        Err(error) => Err(Failure::usage(format!("could not read standard input: {error}"), None)),
    }
}

fn bytes_of(argument: std::ffi::OsString) -> Bytes {
    argument.into_vec().into()
}

/// Text as it is, except that backslashes, what would disturb a terminal and what is no text are
/// escaped: no two contents look the same.
fn printable(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for symbol in chunk.valid().chars() {
            if symbol == '\\' || symbol.is_control() {
                let mut place = [0; 4];
                let escaped = symbol.encode_utf8(&mut place).as_bytes().escape_ascii();
                shown.extend(escaped.map(char::from));
            } else {
                shown.push(symbol);
            }
        }
        shown.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    shown
}

/// Bytes of a key or value that a message shows, at most.
const SHOWN_MAX: usize = 64;

/// As much of it as a message has room for.
fn shortened(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN_MAX {
        return printable(bytes);
    }
    // Not amid a character.
    let begins = |place: &usize| bytes[*place] & 0xc0 != 0x80;
    let end = (SHOWN_MAX - 3..=SHOWN_MAX).rev().find(begins).unwrap_or(SHOWN_MAX);
    format!("{}… ({} bytes)", printable(&bytes[..end]), bytes.len())
}

/// A key as messages name it.
fn quoted(key: &[u8]) -> String {
    format!("`{}`", shortened(key))
}

/// A value alone: a terminal gets a line end after it, a file gets the value.
fn value_alone(value: &[u8]) -> Vec<u8> {
    let mut data = value.to_vec();
    if io::stdout().is_terminal() {
        data.push(b'\n');
    }
    data
}
