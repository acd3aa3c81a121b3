//! Command line and load generator of the replicated store.

mod cli;

use std::process::ExitCode;

/// A load generator should cost little beside what it measures.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
