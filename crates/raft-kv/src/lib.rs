//! The shipped state machine: an ordered key-value store, its commands and their encoding.
//!
//! Nothing here knows Raft, a disk or a network. A [`Command`] changes the [`Store`] and yields a
//! [`Reply`]; a [`Query`] reads it and yields an [`Answer`]. All four have one byte form each, and
//! every decoder is total: bytes from a stranger give a value or a [`DecodeError`], never a panic,
//! and never an allocation beyond the input's own length.
//!
//! Everything is deterministic: the same commands in the same order give the same replies and the
//! same snapshot, byte for byte.

mod codec;
mod command;
mod query;
mod store;

pub use codec::DecodeError;
pub use command::{Command, InvalidCommand, Reply, validate};
pub use query::{Answer, Query};
pub use store::{Store, StoreImage};

/// Bytes in a key, at most. An empty key is no key.
pub const KEY_BYTES_MAX: usize = 4 << 10;

/// Bytes in a value, at most.
pub const VALUE_BYTES_MAX: usize = 8 << 20;

/// Pairs in one answer to a range query, at most.
pub const RANGE_PAIRS_MAX: usize = 10_000;

/// Bytes of keys and values in one answer to a range query, at most; but one pair always fits.
pub const RANGE_BYTES_MAX: usize = 1 << 20;
