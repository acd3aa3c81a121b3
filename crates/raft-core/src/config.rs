//! What a node is told when it is made.

use alloc::vec::Vec;
use core::time::Duration;

use crate::membership::Membership;
use crate::types::{ClusterId, Entry, HardState, Incarnation, LogId, NodeId, SnapshotMeta};

/// Identity, timing and limits of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// Its id.
    pub id: NodeId,
    /// Its incarnation: drawn when its data directory was created.
    pub incarnation: Incarnation,
    /// Seeds the randomness of election timeouts and question ids. Should differ at every start.
    pub seed: u64,
    /// How often a leader says that it is alive.
    pub heartbeat: Duration,
    /// How long without a leader before a follower campaigns, at least; also how long a leader
    /// carries on without hearing from a majority, and how long a follower refuses to help depose
    /// a leader it hears.
    pub election_timeout: Duration,
    /// Up to this much is added to the election timeout, drawn anew for each attempt.
    pub election_jitter: Duration,
    /// Whether a leader whose process is known to be gone is replaced without waiting for its
    /// silence to last an election timeout.
    pub fast_failover: bool,
    /// So far apart those who then campaign begin, in the order of their ids: together they would
    /// split the votes.
    pub failover_stagger: Duration,
    /// Bytes of entries in one append, at most (one entry always fits).
    pub append_bytes_max: usize,
    /// Entries in one append, at most.
    pub append_entries_max: usize,
    /// Appends under way to one peer, at most.
    pub inflight_messages_max: usize,
    /// Bytes of entries under way to one peer, at most (one message always fits).
    pub inflight_bytes_max: usize,
    /// Bytes of entries appended but not yet committed before proposals are refused.
    pub uncommitted_bytes_max: usize,
    /// Bytes of committed entries handed out and not yet applied (one entry always fits).
    pub apply_bytes_max: usize,
    /// Bytes of entries committed but not yet applied before proposals are refused.
    pub apply_lag_bytes_max: usize,
    /// Bytes of the log that a node may lack for the leader to hand over to it.
    pub transfer_lag_bytes_max: usize,
    /// Bytes of a snapshot in one message, at most.
    pub snapshot_chunk_bytes: usize,
    /// Entries kept in the log after a snapshot covers them, for peers that are a little behind.
    pub trailing_entries: u64,
    /// Bytes of such entries, at most.
    pub trailing_bytes_max: u64,
}

/// What a node finds on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Term, vote and known peers.
    pub hard_state: HardState,
    /// The configuration the cluster began with; a snapshot's takes its place.
    pub bootstrap: Membership,
    /// The newest snapshot.
    pub snapshot: Option<SnapshotMeta>,
    /// The entry just before the first of `entries`.
    pub base: LogId,
    /// The log after `base`, all of it durable.
    pub entries: Vec<Entry>,
}

impl Config {
    /// The defaults: heartbeat 50 ms, election 300 ms + rand(0–300 ms).
    pub fn new(cluster: ClusterId, id: NodeId, incarnation: Incarnation) -> Self {
        Self {
            cluster,
            id,
            incarnation,
            seed: incarnation.0 ^ id.0,
            heartbeat: Duration::from_millis(50),
            election_timeout: Duration::from_millis(300),
            election_jitter: Duration::from_millis(300),
            fast_failover: true,
            failover_stagger: Duration::from_millis(20),
            append_bytes_max: 1 << 20,
            append_entries_max: 4096,
            inflight_messages_max: 8,
            inflight_bytes_max: 8 << 20,
            uncommitted_bytes_max: 64 << 20,
            apply_bytes_max: 1 << 20,
            apply_lag_bytes_max: 32 << 20,
            transfer_lag_bytes_max: 8 << 20,
            snapshot_chunk_bytes: 1 << 20,
            trailing_entries: 10_000,
            trailing_bytes_max: 32 << 20,
        }
    }
}
