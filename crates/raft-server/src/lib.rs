//! One node of the cluster: network and clock around a replica.
//!
//! One thread carries the network and the replica; the disk has threads of its own. State has one
//! owner each, and everything between owners is a message in a queue with a bound:
//!
//! ```text
//! clients ──▶ service ──▶ handle ──▶ ┌────────┐ ──▶ writer (thread: log) ──▶ peers
//!                    answers ◀────── │ driver │ ──▶ snapshots (thread)
//! peers ───▶ inbound ──────────────▶ │ replica│ ──▶ outboxes ──▶ outbound ──▶ peers
//!                                    └────────┘ ◀── completions of both threads
//! ```
//!
//! Which message waits for which write is decided in the replica; the driver carries it out.
//!
//! # A state machine of one's own
//!
//! What is replicated is any [`StateMachine`]; the shipped key-value store, [`KvStore`], is one. With
//! another one, a program of one's own is
//!
//! ```text
//! fn main() -> std::process::ExitCode {
//!     raft_server::main::<Counter>()
//! }
//! ```
//!
//! with the command line, the cluster file, the files and the services of `raft-server`, but for the
//! service `raft.v1.Kv`: clients use `Propose` and `Query` of `raft.v1.ManagementRpc`, whose data
//! goes to the state machine as it is. `examples/counter.rs` is such a program. A program that has a
//! command line and a runtime already awaits [`run`] instead.

mod background;
mod cli;
mod clock;
mod driver;
mod fatal;
mod handle;
mod inline;
mod laboratory;
mod limits;
mod listeners;
pub mod logging;
mod machine;
mod ports;
mod probe;
mod queue;
mod recording;
mod rescue;
mod roster;
mod seldom;
mod service;
mod snapshots;
mod stages;
mod start;
mod transport;
mod writer;

pub use cli::main;
pub use fatal::abort_on_panic;
pub use machine::{KvImage, KvStore};
pub use raft_replica::{Image, Invalid, StateMachine};
pub use rescue::{RescueError, Rescued, rescue};
pub use start::{Options, StartError, run};
