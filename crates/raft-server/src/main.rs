//! `raft-server`: one node of a cluster, with the shipped key-value store.

use std::process::ExitCode;

fn main() -> ExitCode {
    raft_server::main::<raft_server::KvStore>()
}
