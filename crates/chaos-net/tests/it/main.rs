//! Real sockets through real links.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail as tests may")]

mod bounds;
mod cuts;
mod hall;
mod mirror;
mod partitions;
mod prefix;
mod process;
mod shapes;
mod support;
