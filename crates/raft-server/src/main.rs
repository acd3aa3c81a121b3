//! `raft-server`: one node of a cluster.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    raft_server::abort_on_panic();
    cli::Cli::parse().run()
}
