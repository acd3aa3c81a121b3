//! Messages as bytes.
//!
//! ```text
//! message  cluster u64 · from u64 · incarnation u64 · to u64 · term u64 · kind u8 · body
//! ```
//!
//! A body is its fields in the order of their declaration; a yes or no is one byte, 1 or 0.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use super::{
    put_bool, put_bytes, put_count, put_entry, put_log_id, put_seat_id, put_snapshot_meta, put_u32,
    put_u64, take_bool, take_bytes, take_entry, take_log_id, take_seat_id, take_snapshot_meta,
    take_u8, take_u32, take_u64,
};
use crate::membership::SeatId;
use crate::message::{
    Append, AppendReply, Body, Heartbeat, HeartbeatReply, Message, ReadId, SnapshotChunk,
    SnapshotReply, VoteReply, VoteRequest,
};
use crate::types::{ClusterId, Entry, Incarnation, Index, NodeId, Term};

const PRE_VOTE: u8 = 0;
const PRE_VOTE_REPLY: u8 = 1;
const VOTE: u8 = 2;
const VOTE_REPLY: u8 = 3;
const APPEND: u8 = 4;
const APPEND_MATCHED: u8 = 5;
const APPEND_CONFLICT: u8 = 6;
const HEARTBEAT: u8 = 7;
const HEARTBEAT_REPLY: u8 = 8;
const SNAPSHOT_CHUNK: u8 = 9;
const SNAPSHOT_REPLY: u8 = 10;
const STRANGER: u8 = 11;
const TIMEOUT_NOW: u8 = 12;
const READ_INDEX: u8 = 13;
const READ_INDEX_REPLY: u8 = 14;
const REMOVED: u8 = 15;

/// Appends a message.
pub fn put_message(out: &mut Vec<u8>, message: &Message) {
    let Message { cluster, from, incarnation, to, term, body } = message;
    for number in [cluster.0, from.0, incarnation.0, to.0, term.0] {
        put_u64(out, number);
    }
    match body {
        Body::PreVote(request) => put_vote_request(out, PRE_VOTE, request),
        Body::PreVoteReply(reply) => put_vote_reply(out, PRE_VOTE_REPLY, reply),
        Body::Vote(request) => put_vote_request(out, VOTE, request),
        Body::VoteReply(reply) => put_vote_reply(out, VOTE_REPLY, reply),
        Body::Append(append) => put_append(out, append),
        Body::AppendReply(reply) => put_append_reply(out, reply),
        Body::Heartbeat(Heartbeat { round, commit, met }) => {
            out.push(HEARTBEAT);
            put_u64(out, *round);
            put_u64(out, commit.0);
            put_met(out, met);
        }
        Body::HeartbeatReply(HeartbeatReply { round, received, matched, slow, founder }) => {
            out.push(HEARTBEAT_REPLY);
            put_u64(out, *round);
            put_u64(out, received.0);
            put_u64(out, matched.0);
            put_bool(out, *slow);
            put_bool(out, *founder);
        }
        Body::SnapshotChunk(chunk) => {
            let SnapshotChunk { meta, offset, data, checksum, met } = &**chunk;
            out.push(SNAPSHOT_CHUNK);
            put_snapshot_meta(out, meta);
            put_u64(out, *offset);
            put_bytes(out, data);
            put_u32(out, *checksum);
            put_met(out, met);
        }
        Body::SnapshotReply(SnapshotReply { last, next_offset, installed }) => {
            out.push(SNAPSHOT_REPLY);
            put_log_id(out, *last);
            put_u64(out, *next_offset);
            put_bool(out, *installed);
        }
        Body::Stranger { known } => {
            out.push(STRANGER);
            put_u64(out, known.0);
        }
        Body::TimeoutNow => out.push(TIMEOUT_NOW),
        Body::ReadIndex(id) => {
            out.push(READ_INDEX);
            put_read_id(out, *id);
        }
        Body::ReadIndexReply { id, index } => {
            out.push(READ_INDEX_REPLY);
            put_read_id(out, *id);
            put_u64(out, index.0);
        }
        Body::Removed { as_of } => {
            out.push(REMOVED);
            put_log_id(out, *as_of);
        }
    }
}

/// Takes a message off the front. Its data shares the input's memory.
pub fn take_message(input: &mut Bytes) -> Option<Message> {
    Some(Message {
        cluster: ClusterId(take_u64(input)?),
        from: NodeId(take_u64(input)?),
        incarnation: Incarnation(take_u64(input)?),
        to: NodeId(take_u64(input)?),
        term: Term(take_u64(input)?),
        body: take_body(input)?,
    })
}

fn take_body(input: &mut Bytes) -> Option<Body> {
    Some(match take_u8(input)? {
        PRE_VOTE => Body::PreVote(take_vote_request(input)?),
        PRE_VOTE_REPLY => Body::PreVoteReply(take_vote_reply(input)?),
        VOTE => Body::Vote(take_vote_request(input)?),
        VOTE_REPLY => Body::VoteReply(take_vote_reply(input)?),
        APPEND => Body::Append(take_append(input)?),
        APPEND_MATCHED => {
            Body::AppendReply(AppendReply::Matched { index: Index(take_u64(input)?) })
        }
        APPEND_CONFLICT => Body::AppendReply(AppendReply::Conflict {
            rejected: take_log_id(input)?,
            hint: take_log_id(input)?,
        }),
        HEARTBEAT => Body::Heartbeat(Heartbeat {
            round: take_u64(input)?,
            commit: Index(take_u64(input)?),
            met: take_met(input)?,
        }),
        HEARTBEAT_REPLY => Body::HeartbeatReply(HeartbeatReply {
            round: take_u64(input)?,
            received: Index(take_u64(input)?),
            matched: Index(take_u64(input)?),
            slow: take_bool(input)?,
            founder: take_bool(input)?,
        }),
        SNAPSHOT_CHUNK => Body::SnapshotChunk(Box::new(SnapshotChunk {
            meta: take_snapshot_meta(input)?,
            offset: take_u64(input)?,
            data: take_bytes(input)?,
            checksum: take_u32(input)?,
            met: take_met(input)?,
        })),
        SNAPSHOT_REPLY => Body::SnapshotReply(SnapshotReply {
            last: take_log_id(input)?,
            next_offset: take_u64(input)?,
            installed: take_bool(input)?,
        }),
        STRANGER => Body::Stranger { known: Incarnation(take_u64(input)?) },
        TIMEOUT_NOW => Body::TimeoutNow,
        READ_INDEX => Body::ReadIndex(take_read_id(input)?),
        READ_INDEX_REPLY => {
            Body::ReadIndexReply { id: take_read_id(input)?, index: Index(take_u64(input)?) }
        }
        REMOVED => Body::Removed { as_of: take_log_id(input)? },
        _ => return None,
    })
}

fn put_vote_request(out: &mut Vec<u8>, kind: u8, request: &VoteRequest) {
    let VoteRequest { last, since, yours, handed_over } = request;
    out.push(kind);
    put_log_id(out, *last);
    put_log_id(out, *since);
    put_log_id(out, *yours);
    put_bool(out, *handed_over);
}

fn take_vote_request(input: &mut Bytes) -> Option<VoteRequest> {
    let last = take_log_id(input)?;
    let (since, yours) = (take_log_id(input)?, take_log_id(input)?);
    Some(VoteRequest { last, since, yours, handed_over: take_bool(input)? })
}

fn put_vote_reply(out: &mut Vec<u8>, kind: u8, reply: &VoteReply) {
    let VoteReply { granted, asked } = reply;
    out.push(kind);
    put_bool(out, *granted);
    put_u64(out, asked.0);
}

fn take_vote_reply(input: &mut Bytes) -> Option<VoteReply> {
    Some(VoteReply { granted: take_bool(input)?, asked: Term(take_u64(input)?) })
}

fn put_append(out: &mut Vec<u8>, append: &Append) {
    let Append { prev, entries, commit, met } = append;
    out.push(APPEND);
    put_log_id(out, *prev);
    put_entries(out, entries);
    put_u64(out, commit.0);
    put_met(out, met);
}

fn take_append(input: &mut Bytes) -> Option<Append> {
    Some(Append {
        prev: take_log_id(input)?,
        entries: take_entries(input)?.into(),
        commit: Index(take_u64(input)?),
        met: take_met(input)?,
    })
}

fn put_append_reply(out: &mut Vec<u8>, reply: &AppendReply) {
    match reply {
        AppendReply::Matched { index } => {
            out.push(APPEND_MATCHED);
            put_u64(out, index.0);
        }
        AppendReply::Conflict { rejected, hint } => {
            out.push(APPEND_CONFLICT);
            put_log_id(out, *rejected);
            put_log_id(out, *hint);
        }
    }
}

fn put_read_id(out: &mut Vec<u8>, id: ReadId) {
    let ReadId { start, number } = id;
    put_u64(out, start);
    put_u64(out, number);
}

fn take_read_id(input: &mut Bytes) -> Option<ReadId> {
    Some(ReadId { start: take_u64(input)?, number: take_u64(input)? })
}

/// Appends a count, and so many entries.
pub(super) fn put_entries(out: &mut Vec<u8>, entries: &[Entry]) {
    put_count(out, entries.len());
    for entry in entries {
        put_entry(out, entry);
    }
}

/// Takes a count, and so many entries. Memory is taken as entries are found, whatever the count says.
pub(super) fn take_entries(input: &mut Bytes) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    for _ in 0..take_u32(input)? {
        entries.push(take_entry(input)?);
    }
    Some(entries)
}

fn put_met(out: &mut Vec<u8>, met: &BTreeMap<SeatId, Incarnation>) {
    put_count(out, met.len());
    for (&seat, incarnation) in met {
        put_seat_id(out, seat);
        put_u64(out, incarnation.0);
    }
}

fn take_met(input: &mut Bytes) -> Option<BTreeMap<SeatId, Incarnation>> {
    let mut met = BTreeMap::new();
    for _ in 0..take_u32(input)? {
        met.insert(take_seat_id(input)?, Incarnation(take_u64(input)?));
    }
    Some(met)
}
