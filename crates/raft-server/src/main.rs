//! `raft-server`: one node of a cluster, with the shipped key-value store.

use std::process::ExitCode;

#[cfg(feature = "mimalloc")]
mod memory;

fn main() -> ExitCode {
    #[cfg(feature = "mimalloc")]
    {
        memory::keep();
        memory::begin_small();
    }
    raft_server::main::<raft_server::KvStore>()
}
