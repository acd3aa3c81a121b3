//! Deterministic simulation of whole clusters: the real consensus core, the real log, snapshots and
//! sessions, over a simulated clock, network and disks. One thread, one seed; the same seed gives
//! the same run, to the byte.
//!
//! A [`Plan`] is drawn from the seed: a [`Scenario`], and what goes wrong at which time; [`run()`]
//! lets a [`world`] of nodes and clients live through it: first with faults, then healed. Invariants are checked at every turn of every node;
//! what the clients saw is judged at the end. What deliberately is not here: sockets, threads,
//! gRPC. Those are tried on real processes.

pub mod agenda;
pub mod client;
pub mod disk;
pub mod explore;
pub mod host;
pub mod invariants;
pub mod machine;
pub mod mutants;
pub mod network;
pub mod plan;
pub mod rng;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod sometimes;
pub mod trace;
pub mod word;
pub mod world;

pub use invariants::Violation;
pub use plan::Plan;
pub use run::{Report, run};
pub use scenario::{Fault, Sabotage, Scenario};
pub use sometimes::{Mark, Sometimes};
