//! Raft as a pure state machine: inputs in, effects out, no I/O, no clock, no threads.
//!
//! # What it does
//!
//! A cluster keeps one log of commands in the same order on each of its members, as long as a
//! majority of them works. Time is cut into *terms*; each has at most one *leader*, elected by a
//! majority ([`Node`] asks first whether it would win, so that nobody is disturbed in vain). The
//! leader appends commands to its log and sends them to the others; an entry that a majority has on
//! disk is *committed*, will never change, and is applied. A leader can only be elected if it holds
//! everything committed; what others hold beyond that is replaced by what the leader has.
//!
//! The rules are those of Ongaro and Ousterhout, "In Search of an Understandable Consensus
//! Algorithm" (cited as §n), and of Ongaro's dissertation.
//!
//! # The driver's duties
//!
//! 1. Make a [`Node`] with [`Node::restore`] from what is on its disk, all of it durable.
//! 2. Call [`Node::step`] for whatever happens, with the time on a monotonic clock.
//! 3. After one step or many, call [`Node::take_effects`], or [`Node::take_effects_into`] to use the
//!    memory again, and walk the fields in their order.
//! 4. Send `send` at once. Losing, repeating and reordering messages is fine.
//! 5. Give `persist` to one writer that works in order; it may merge several into one sync.
//! 6. When a persist is durable, send its `then_send`, and step [`Input::Persisted`].
//! 7. If a write or sync fails, step [`Input::PersistFailed`], and end: never retry.
//! 8. Apply `apply` in order, answer each token with its entry's result, and step [`Input::Applied`].
//! 9. Serve `reads` once their index is applied; answer `done` and `refused`; do `snapshots`.
//! 10. Step [`Input::Tick`] no later than [`Node::next_deadline`].
//!
//! `examples/three_nodes.rs` does all of it but snapshots, in 140 lines. What a driver may do besides:
//! step [`Input::PeerDown`] when a peer's process is known to be gone, and have the run recorded, see
//! [`record`].
//!
//! # What it can do
//!
//! * Elections with pre-vote, and leaders that step down when they hear from no majority, so that a
//!   node which was cut off disturbs nobody ([`Config::election_timeout`]).
//! * Failover before the timeout, when the leader's process is known to be gone
//!   ([`Config::fast_failover`]); leadership is handed over on request ([`Input::Transfer`]), and by
//!   a leader whose disk stalls or that is no voter any more.
//! * Pipelined replication within bounds ([`Config::inflight_bytes_max`] and its neighbours).
//! * Linearizable reads without a log entry, on any member ([`Input::Read`]).
//! * Any change of membership by joint consensus, with learners that catch up before they vote, and
//!   removed members that are told ([`Input::ChangeMembership`]).
//! * Snapshots in pieces that go on where they stopped ([`SnapshotCommand`]).
//! * Members whose disk was wiped are recognised, and not believed ([`Incarnation`]).
//!
//! # What is safe to rely on
//!
//! * Nothing that promises leaves before it is durable: votes, acknowledgements, refusals.
//! * A node does not lead before its own vote is durable; it counts itself by its disk.
//! * Every request ends in exactly one outcome: applied, done, refused, or unknown.
//! * The same inputs give the same effects, bit for bit.
//! * No message can make it panic; what does not fit is dropped with an [`Event::Dropped`]. A panic
//!   is an assertion of the protocol that failed: a bug, after which the process should end.
//!
//! # Caveats
//!
//! * Members are believed. A message that is well-formed and fits is taken for what its sender says;
//!   whoever can forge messages of members can break the cluster, though not make it panic. Keep
//!   strangers out in the transport.
//! * A member's incarnation is learnt from its first message, or from a leader that knows it. If a
//!   majority of disks is lost or was never used, nobody is left to know: they begin anew.
//! * A new member whose disk is empty has to be made without a bootstrap membership: with one it takes
//!   itself for a founder.
//! * The log since the last snapshot is in memory. A driver that makes no snapshots runs out of it.
//! * Snapshots travel one piece at a time to each peer: on a long way, a round trip bounds their speed.
//! * A failed leader whose process nobody saw die is noticed by its silence: an election timeout
//!   passes first.
//! * No reads by a leader's lease: that would rest on clocks. A read costs a round of heartbeats, shared
//!   by all that wait.
//!
//! # Versions
//!
//! [`Input`], [`Effects`], [`Body`], [`SnapshotCommand`] and [`Refusal`] are exhaustive on purpose: a
//! driver that passes over a new kind of them would be wrong, and should fail to compile. So a new one
//! is a new major version. [`Event`] and [`DropReason`] only tell, and may grow at any time, as may the
//! errors. Make a [`Config`] with [`Config::new`] and change its fields. How messages look as bytes,
//! and how things look as text, is no promise between versions.
#![no_std]
#![deny(clippy::wildcard_enum_match_arm, clippy::indexing_slicing, clippy::as_conversions)]
#![cfg_attr(test, expect(clippy::as_conversions, reason = "tests may be brief"))]

extern crate alloc;
#[cfg(test)]
extern crate std;

#[doc(hidden)]
#[macro_use]
pub mod mutants;

mod change;
pub mod codec;
mod config;
mod disk;
mod effects;
mod election;
mod entries;
mod error;
mod failover;
mod input;
mod log;
mod members;
mod membership;
mod message;
mod node;
pub mod pack;
mod peers;
mod progress;
mod quorum;
mod read;
pub mod record;
mod replication;
mod rng;
mod role;
mod seats;
mod show;
mod snapshot;
mod transfer;
mod types;

pub use config::{Config, Restored};
pub use effects::{
    Apply, Committed, Compact, DropReason, Effects, ElectionCause, Event, MembershipRefusal,
    Persist, ReadReady, Refusal, RoleName, SnapshotCommand, TransferRefusal,
};
pub use entries::Entries;
pub use error::RestoreError;
pub use input::{Input, MembershipChange, Proposal};
pub use membership::{MEMBERS_MAX, Membership, Seat, SeatId};
pub use message::{
    Append, AppendReply, Body, Heartbeat, HeartbeatReply, Message, ReadId, SnapshotChunk,
    SnapshotReply, VoteReply, VoteRequest,
};
pub use node::Node;
pub use peers::PeerView;
pub use transfer::Succession;
pub use types::{
    ClusterId, Entry, HardState, Incarnation, Index, Instant, LogId, NodeId, Payload, SnapshotMeta,
    Term, Token,
};
