//! Inputs as bytes: a kind, then the fields in the order of their declaration.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{
    put_bool, put_bytes, put_count, put_log_id, put_membership, put_message, put_option,
    put_snapshot_meta, put_u32, put_u64, take_bool, take_bytes, take_log_id, take_membership,
    take_message, take_option, take_snapshot_meta, take_u8, take_u32, take_u64,
};
use crate::input::{Input, MembershipChange, Proposal};
use crate::types::{Index, NodeId, Token};

const TICK: u8 = 0;
const MESSAGE: u8 = 1;
const PROPOSE: u8 = 2;
const READ: u8 = 3;
const CHANGE_MEMBERSHIP: u8 = 4;
const TRANSFER: u8 = 5;
const APPLIED: u8 = 6;
const PEER_DOWN: u8 = 7;
const PERSISTED: u8 = 8;
const PERSIST_FAILED: u8 = 9;
const SNAPSHOT_BUILT: u8 = 10;
const SNAPSHOT_READ: u8 = 11;
const SNAPSHOT_STAGED: u8 = 12;
const SNAPSHOT_FAILED: u8 = 13;

/// Appends an input.
pub fn put_input(out: &mut Vec<u8>, input: &Input) {
    match input {
        Input::Tick => out.push(TICK),
        Input::Message(message) => {
            out.push(MESSAGE);
            put_message(out, message);
        }
        Input::Propose(proposals) => {
            out.push(PROPOSE);
            put_count(out, proposals.len());
            for Proposal { token, data } in proposals {
                put_u64(out, token.0);
                put_bytes(out, data);
            }
        }
        Input::Read(token) => put_number(out, READ, token.0),
        Input::ChangeMembership(change) => put_change(out, change),
        Input::Transfer { token, to } => {
            put_number(out, TRANSFER, token.0);
            put_option(out, to.as_ref(), |out, to| put_u64(out, to.0));
        }
        Input::Applied { index } => put_number(out, APPLIED, index.0),
        Input::PeerDown { peer } => put_number(out, PEER_DOWN, peer.0),
        Input::Persisted { seq } => put_number(out, PERSISTED, *seq),
        Input::PersistFailed => out.push(PERSIST_FAILED),
        Input::SnapshotBuilt(meta) => {
            out.push(SNAPSHOT_BUILT);
            put_snapshot_meta(out, meta);
        }
        Input::SnapshotRead { to, meta, offset, data, checksum } => {
            put_number(out, SNAPSHOT_READ, to.0);
            put_snapshot_meta(out, meta);
            put_u64(out, *offset);
            put_bytes(out, data);
            put_u32(out, *checksum);
        }
        Input::SnapshotStaged { meta, next_offset, complete } => {
            out.push(SNAPSHOT_STAGED);
            put_snapshot_meta(out, meta);
            put_u64(out, *next_offset);
            put_bool(out, *complete);
        }
        Input::SnapshotFailed { last } => {
            out.push(SNAPSHOT_FAILED);
            put_log_id(out, *last);
        }
    }
}

/// Takes an input off the front. Its data shares the memory of `from`.
pub fn take_input(from: &mut Bytes) -> Option<Input> {
    Some(match take_u8(from)? {
        TICK => Input::Tick,
        MESSAGE => Input::Message(take_message(from)?),
        PROPOSE => {
            let mut proposals = Vec::new();
            for _ in 0..take_u32(from)? {
                proposals.push(Proposal { token: Token(take_u64(from)?), data: take_bytes(from)? });
            }
            Input::Propose(proposals)
        }
        READ => Input::Read(Token(take_u64(from)?)),
        CHANGE_MEMBERSHIP => Input::ChangeMembership(take_change(from)?),
        TRANSFER => Input::Transfer {
            token: Token(take_u64(from)?),
            to: take_option(from, |from| Some(NodeId(take_u64(from)?)))?,
        },
        APPLIED => Input::Applied { index: Index(take_u64(from)?) },
        PEER_DOWN => Input::PeerDown { peer: NodeId(take_u64(from)?) },
        PERSISTED => Input::Persisted { seq: take_u64(from)? },
        PERSIST_FAILED => Input::PersistFailed,
        SNAPSHOT_BUILT => Input::SnapshotBuilt(take_snapshot_meta(from)?),
        SNAPSHOT_READ => Input::SnapshotRead {
            to: NodeId(take_u64(from)?),
            meta: take_snapshot_meta(from)?,
            offset: take_u64(from)?,
            data: take_bytes(from)?,
            checksum: take_u32(from)?,
        },
        SNAPSHOT_STAGED => Input::SnapshotStaged {
            meta: take_snapshot_meta(from)?,
            next_offset: take_u64(from)?,
            complete: take_bool(from)?,
        },
        SNAPSHOT_FAILED => Input::SnapshotFailed { last: take_log_id(from)? },
        _ => return None,
    })
}

fn put_number(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.push(kind);
    put_u64(out, number);
}

fn put_change(out: &mut Vec<u8>, change: &MembershipChange) {
    let MembershipChange { token, target, from, force } = change;
    put_number(out, CHANGE_MEMBERSHIP, token.0);
    put_membership(out, target);
    put_option(out, from.as_ref(), put_membership);
    put_bool(out, *force);
}

fn take_change(from: &mut Bytes) -> Option<MembershipChange> {
    Some(MembershipChange {
        token: Token(take_u64(from)?),
        target: take_membership(from)?,
        from: take_option(from, take_membership)?,
        force: take_bool(from)?,
    })
}
