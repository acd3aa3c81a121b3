//! Raft as a pure state machine: inputs in, effects out, no I/O, no clock, no threads.
#![no_std]
#![deny(clippy::wildcard_enum_match_arm, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(test, expect(clippy::as_conversions, reason = "tests may be brief"))]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod codec;
mod config;
mod disk;
mod effects;
mod election;
mod input;
mod log;
mod members;
mod message;
mod node;
mod progress;
mod quorum;
mod read;
mod replication;
mod rng;
mod role;
mod snapshot;
mod types;

pub use config::{Config, Restored};
pub use effects::{
    Apply, Compact, DropReason, Effects, Event, Persist, ReadReady, Refusal, RoleName,
    SnapshotCommand,
};
pub use input::{Input, Proposal};
pub use message::{
    Append, AppendReply, Body, Heartbeat, HeartbeatReply, Message, SnapshotChunk, SnapshotReply,
    VoteReply, VoteRequest,
};
pub use node::{Node, PeerView, RestoreError};
pub use types::{
    ClusterId, Entry, HardState, Incarnation, Index, Instant, LogId, Membership, NodeId, Payload,
    SnapshotMeta, Term, Token,
};
