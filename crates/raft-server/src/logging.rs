//! Logs: one line per event, on stderr.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogLevel {
    /// What ends the process.
    Error,
    /// What an operator should look at.
    Warn,
    /// Changes of role, of leader, of connections.
    #[default]
    Info,
    /// More, for debugging.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The libraries underneath are kept at warnings: their debug output drowns the node's.
    fn directives(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "warn,raft_server=info",
            Self::Debug => "warn,raft_server=debug,raft_replica=debug",
            Self::Trace => "debug,raft_server=trace,raft_replica=trace",
        }
    }
}

/// Starts logging. `level` wins over `RUST_LOG`, which wins over the default.
pub fn init(level: Option<LogLevel>, format: LogFormat) -> Result<(), String> {
    let environment = std::env::var("RUST_LOG").ok().filter(|value| !value.is_empty());
    let directives = match (level, &environment) {
        (Some(level), _) => level.directives(),
        (None, Some(directives)) => directives.as_str(),
        (None, None) => LogLevel::default().directives(),
    };
    let filter = EnvFilter::try_new(directives)
        .map_err(|error| format!("RUST_LOG={directives} is not a log filter: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        // What cannot be written is lost. Else it is reported to stderr, which panics if that fails too.
        .log_internal_errors(false)
        .with_ansi(stderr().is_terminal())
        .with_target(false);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| format!("could not start logging: {error}"))
}
