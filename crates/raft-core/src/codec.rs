//! How entries, messages, inputs and their like look as bytes. Entries are the same on disk and on the
//! wire, so that one is encoded once; the rest is for recordings, see [`crate::record`], and for
//! whoever has no encoding of their own. All numbers are little-endian. Nothing that is read is
//! trusted: a decoder answers `None` for bytes that make no sense, and what it allocates is bounded
//! by the input's own length, whatever counts it finds in it.
//!
//! ```text
//! entry       len u32 (of what follows) · kind u8 · term u64 · index u64 · body
//! body        noop: empty · data: the bytes · config: membership
//! membership  three lists (voters, outgoing, learners), each: count u32 · ids u64…
//!             · count u32 · seats (node u64 · since log id · len u32 · contact)…
//! log id      term u64 · index u64
//! hard state  term u64 · has vote u8 · vote u64
//!             · count u32 · (node u64 · since log id · incarnation u64)…
//! snapshot    log id · membership · size u64 · checksum u32
//! ```

mod config;
mod input;
mod message;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::{Buf as _, Bytes};

pub use self::config::{put_config, put_restored, take_config, take_restored};
pub use self::input::{put_input, take_input};
pub use self::message::{put_message, take_message};
use crate::membership::{Membership, Seat, SeatId};
use crate::types::{
    Entry, HardState, Incarnation, Index, LogId, NodeId, Payload, SnapshotMeta, Term,
};

const KIND_NOOP: u8 = 0;
const KIND_DATA: u8 = 1;
const KIND_CONFIG: u8 = 2;

/// Kind, term and index.
const ENTRY_HEAD: usize = 17;

/// Appends an entry.
///
/// # Panics
///
/// If the entry is larger than 4 GiB, which the size limit on commands rules out.
pub fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(match &entry.payload {
        Payload::Noop => KIND_NOOP,
        Payload::Data(_) => KIND_DATA,
        Payload::Config(_) => KIND_CONFIG,
    });
    put_log_id(out, entry.id);
    match &entry.payload {
        Payload::Noop => (),
        Payload::Data(data) => out.extend_from_slice(data),
        Payload::Config(membership) => put_membership(out, membership),
    }
    let len = out.len().saturating_sub(start).saturating_sub(4);
    let len = u32::try_from(len).expect("commands are bounded far below 4 GiB");
    if let Some(head) = out.get_mut(start..start.saturating_add(4)) {
        head.copy_from_slice(&len.to_le_bytes());
    }
}

/// Takes one entry off the front. Its data shares the input's memory.
pub fn take_entry(input: &mut Bytes) -> Option<Entry> {
    let len = usize::try_from(take_u32(input)?).ok()?;
    if len < ENTRY_HEAD || input.len() < len {
        return None;
    }
    let mut body = input.split_to(len);
    let kind = take_u8(&mut body)?;
    let id = take_log_id(&mut body)?;
    let payload = match kind {
        KIND_NOOP if body.is_empty() => Payload::Noop,
        KIND_DATA => Payload::Data(body),
        KIND_CONFIG => {
            let membership = take_membership(&mut body)?;
            if !body.is_empty() {
                return None;
            }
            Payload::Config(membership.into())
        }
        _ => return None,
    };
    Some(Entry { id, payload })
}

/// Appends a log id.
pub fn put_log_id(out: &mut Vec<u8>, id: LogId) {
    out.extend_from_slice(&id.term.0.to_le_bytes());
    out.extend_from_slice(&id.index.0.to_le_bytes());
}

/// Takes a log id off the front.
pub fn take_log_id(input: &mut Bytes) -> Option<LogId> {
    Some(LogId { term: Term(take_u64(input)?), index: Index(take_u64(input)?) })
}

/// Appends a membership.
pub fn put_membership(out: &mut Vec<u8>, membership: &Membership) {
    for ids in [&membership.voters, &membership.outgoing, &membership.learners] {
        put_count(out, ids.len());
        for id in ids {
            out.extend_from_slice(&id.0.to_le_bytes());
        }
    }
    put_count(out, membership.seats.len());
    for (&node, Seat { since, contact }) in &membership.seats {
        put_seat_id(out, SeatId { node, since: *since });
        put_bytes(out, contact);
    }
}

/// Takes a membership off the front.
pub fn take_membership(input: &mut Bytes) -> Option<Membership> {
    let voters = take_ids(input)?;
    let outgoing = take_ids(input)?;
    let learners = take_ids(input)?;
    let mut seats = BTreeMap::new();
    for _ in 0..take_u32(input)? {
        let SeatId { node, since } = take_seat_id(input)?;
        seats.insert(node, Seat { since, contact: take_bytes(input)? });
    }
    Some(Membership { voters, outgoing, learners, seats })
}

/// Appends a member's stay.
pub fn put_seat_id(out: &mut Vec<u8>, seat: SeatId) {
    out.extend_from_slice(&seat.node.0.to_le_bytes());
    put_log_id(out, seat.since);
}

/// Takes a member's stay off the front.
pub fn take_seat_id(input: &mut Bytes) -> Option<SeatId> {
    Some(SeatId { node: NodeId(take_u64(input)?), since: take_log_id(input)? })
}

/// Appends a hard state.
pub fn put_hard_state(out: &mut Vec<u8>, state: &HardState) {
    out.extend_from_slice(&state.term.0.to_le_bytes());
    out.push(u8::from(state.vote.is_some()));
    out.extend_from_slice(&state.vote.unwrap_or_default().0.to_le_bytes());
    put_count(out, state.peers.len());
    for (&seat, incarnation) in &state.peers {
        put_seat_id(out, seat);
        out.extend_from_slice(&incarnation.0.to_le_bytes());
    }
}

/// Takes a hard state off the front.
pub fn take_hard_state(input: &mut Bytes) -> Option<HardState> {
    let term = Term(take_u64(input)?);
    let voted = take_u8(input)?;
    let vote = NodeId(take_u64(input)?);
    let vote = match voted {
        0 => None,
        1 => Some(vote),
        _ => return None,
    };
    let mut peers = BTreeMap::new();
    for _ in 0..take_u32(input)? {
        peers.insert(take_seat_id(input)?, Incarnation(take_u64(input)?));
    }
    Some(HardState { term, vote, peers })
}

/// Appends a snapshot's description.
pub fn put_snapshot_meta(out: &mut Vec<u8>, meta: &SnapshotMeta) {
    put_log_id(out, meta.last);
    put_membership(out, &meta.membership);
    out.extend_from_slice(&meta.size.to_le_bytes());
    out.extend_from_slice(&meta.checksum.to_le_bytes());
}

/// Takes a snapshot's description off the front.
pub fn take_snapshot_meta(input: &mut Bytes) -> Option<SnapshotMeta> {
    Some(SnapshotMeta {
        last: take_log_id(input)?,
        membership: take_membership(input)?.into(),
        size: take_u64(input)?,
        checksum: take_u32(input)?,
    })
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("messages and commands are bounded far below 4 GiB");
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_bool(out: &mut Vec<u8>, yes: bool) {
    out.push(u8::from(yes));
}

/// Whether it is there, and what it is.
fn put_option<T>(out: &mut Vec<u8>, value: Option<&T>, put: impl FnOnce(&mut Vec<u8>, &T)) {
    put_bool(out, value.is_some());
    if let Some(value) = value {
        put(out, value);
    }
}

/// The length, and the bytes.
fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn take_ids(input: &mut Bytes) -> Option<BTreeSet<NodeId>> {
    let mut ids = BTreeSet::new();
    for _ in 0..take_u32(input)? {
        ids.insert(NodeId(take_u64(input)?));
    }
    Some(ids)
}

fn take_u8(input: &mut Bytes) -> Option<u8> {
    input.try_get_u8().ok()
}

fn take_u32(input: &mut Bytes) -> Option<u32> {
    input.try_get_u32_le().ok()
}

fn take_u64(input: &mut Bytes) -> Option<u64> {
    input.try_get_u64_le().ok()
}

fn take_bool(input: &mut Bytes) -> Option<bool> {
    match take_u8(input)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

#[expect(clippy::option_option, reason = "whether it could be read, and whether it is there")]
fn take_option<T>(
    input: &mut Bytes,
    take: impl FnOnce(&mut Bytes) -> Option<T>,
) -> Option<Option<T>> {
    if take_bool(input)? { take(input).map(Some) } else { Some(None) }
}

fn take_bytes(input: &mut Bytes) -> Option<Bytes> {
    let len = usize::try_from(take_u32(input)?).ok()?;
    (len <= input.len()).then(|| input.split_to(len))
}
