//! Runs a cluster of real processes, breaks it, and ends with a verdict.
//!
//! It sees what an operator sees: programs, files, signals and the management service. What it
//! starts it also ends, however it ends itself.

pub mod cli;
pub mod cluster;
mod control;
mod dashboard;
pub mod events;
pub mod exit;
pub mod home;
mod lab;
pub mod load;
mod log_pipe;
pub mod output;
pub mod own;
mod plan;
pub mod process;
pub mod procfs;
pub mod runner;
pub mod schedule;
pub mod signals;
pub mod spawner;
pub mod summary;
pub mod system;
pub mod watch;

pub use raft_api::NodeId;
