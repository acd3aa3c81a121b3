//! Command line and load generator of the replicated store.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
