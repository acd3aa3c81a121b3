//! Raft as a pure state machine: inputs in, effects out, no I/O, no clock, no threads.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod codec;
mod config;
mod effects;
mod input;
mod message;
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
pub use types::{
    ClusterId, Entry, HardState, Incarnation, Index, Instant, LogId, Membership, NodeId, Payload,
    SnapshotMeta, Term, Token,
};
