//! The program `chaos-ctl`. See the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    chaos_ctl::cli::main()
}
