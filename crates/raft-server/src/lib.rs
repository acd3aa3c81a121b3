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

mod clock;
mod driver;
mod fatal;
mod handle;
mod limits;
mod listeners;
pub mod logging;
mod machine;
mod ports;
mod queue;
mod recording;
mod rescue;
mod roster;
mod seldom;
mod service;
mod snapshots;
mod start;
mod transport;
mod writer;

pub use fatal::abort_on_panic;
pub use rescue::{RescueError, Rescued, rescue};
pub use start::{Options, StartError, run};
