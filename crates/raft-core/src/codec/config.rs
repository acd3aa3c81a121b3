//! What a node is made from as bytes: the fields in the order of their declaration. A duration is
//! seconds u64 · nanoseconds u32, a size is u64.

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::message::{put_entries, take_entries};
use super::{
    put_bool, put_hard_state, put_log_id, put_membership, put_option, put_snapshot_meta, put_u32,
    put_u64, take_bool, take_hard_state, take_log_id, take_membership, take_option,
    take_snapshot_meta, take_u32, take_u64,
};
use crate::config::{Config, Restored};
use crate::types::{ClusterId, Incarnation, NodeId};

/// Appends a configuration.
pub fn put_config(out: &mut Vec<u8>, config: &Config) {
    let Config {
        cluster,
        id,
        incarnation,
        seed,
        heartbeat,
        election_timeout,
        election_jitter,
        fast_failover,
        failover_stagger,
        append_bytes_max,
        append_entries_max,
        inflight_messages_max,
        inflight_bytes_max,
        uncommitted_bytes_max,
        apply_bytes_max,
        apply_lag_bytes_max,
        transfer_lag_bytes_max,
        snapshot_chunk_bytes,
        trailing_entries,
        trailing_bytes_max,
    } = config;
    for number in [cluster.0, id.0, incarnation.0, *seed] {
        put_u64(out, number);
    }
    for duration in [heartbeat, election_timeout, election_jitter] {
        put_duration(out, *duration);
    }
    put_bool(out, *fast_failover);
    put_duration(out, *failover_stagger);
    let sizes = [
        append_bytes_max,
        append_entries_max,
        inflight_messages_max,
        inflight_bytes_max,
        uncommitted_bytes_max,
        apply_bytes_max,
        apply_lag_bytes_max,
        transfer_lag_bytes_max,
        snapshot_chunk_bytes,
    ];
    for size in sizes {
        put_u64(out, u64::try_from(*size).unwrap_or(u64::MAX));
    }
    put_u64(out, *trailing_entries);
    put_u64(out, *trailing_bytes_max);
}

/// Takes a configuration off the front.
pub fn take_config(input: &mut Bytes) -> Option<Config> {
    Some(Config {
        cluster: ClusterId(take_u64(input)?),
        id: NodeId(take_u64(input)?),
        incarnation: Incarnation(take_u64(input)?),
        seed: take_u64(input)?,
        heartbeat: take_duration(input)?,
        election_timeout: take_duration(input)?,
        election_jitter: take_duration(input)?,
        fast_failover: take_bool(input)?,
        failover_stagger: take_duration(input)?,
        append_bytes_max: take_size(input)?,
        append_entries_max: take_size(input)?,
        inflight_messages_max: take_size(input)?,
        inflight_bytes_max: take_size(input)?,
        uncommitted_bytes_max: take_size(input)?,
        apply_bytes_max: take_size(input)?,
        apply_lag_bytes_max: take_size(input)?,
        transfer_lag_bytes_max: take_size(input)?,
        snapshot_chunk_bytes: take_size(input)?,
        trailing_entries: take_u64(input)?,
        trailing_bytes_max: take_u64(input)?,
    })
}

/// Appends what a node found on its disk.
pub fn put_restored(out: &mut Vec<u8>, restored: &Restored) {
    let Restored { hard_state, bootstrap, snapshot, base, entries } = restored;
    put_hard_state(out, hard_state);
    put_membership(out, bootstrap);
    put_option(out, snapshot.as_ref(), put_snapshot_meta);
    put_log_id(out, *base);
    put_entries(out, entries);
}

/// Takes what a node found on its disk off the front.
pub fn take_restored(input: &mut Bytes) -> Option<Restored> {
    Some(Restored {
        hard_state: take_hard_state(input)?,
        bootstrap: take_membership(input)?,
        snapshot: take_option(input, take_snapshot_meta)?,
        base: take_log_id(input)?,
        entries: take_entries(input)?,
    })
}

fn put_duration(out: &mut Vec<u8>, duration: Duration) {
    put_u64(out, duration.as_secs());
    put_u32(out, duration.subsec_nanos());
}

fn take_duration(input: &mut Bytes) -> Option<Duration> {
    let seconds = take_u64(input)?;
    let nanoseconds = take_u32(input)?;
    (nanoseconds < 1_000_000_000).then(|| Duration::new(seconds, nanoseconds))
}

fn take_size(input: &mut Bytes) -> Option<usize> {
    usize::try_from(take_u64(input)?).ok()
}
