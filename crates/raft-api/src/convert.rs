//! Messages between members, to and from their form on the wire.
//!
//! One way is total. The other is not: what comes from the network is believed only as far as it
//! has the shape of a message; whether it makes sense in the protocol is for the core to judge.

use std::collections::BTreeMap;

use bytes::Bytes;
use raft_core::{
    Append, AppendReply, Body, ClusterId, Entries, Entry, Heartbeat, HeartbeatReply, Incarnation,
    Index, LogId, Message, NodeId, ReadId, SeatId, SnapshotChunk, SnapshotMeta, SnapshotReply,
    Term, VoteReply, VoteRequest, codec, pack::Packer,
};

use crate::pb;
use crate::pb::peer_message::Body as Wire;

/// Why a frame is not a list of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A message says nothing, or something that a later version invented.
    #[error("a message without a known body")]
    UnknownBody,
    /// A part without which the message has no meaning.
    #[error("a message without its `{0}`")]
    Missing(&'static str),
    /// The entries of an append are not entries.
    #[error("entries that cannot be read")]
    DamagedEntries,
    /// The membership of a snapshot is none.
    #[error("a membership that cannot be read")]
    DamagedMembership,
}

/// Packs messages from one member to one other. They keep their order.
///
/// # Panics
///
/// If the messages do not all have the same sender and recipient, in one cluster: the frame names
/// these once.
pub fn to_frame(messages: Vec<Message>) -> pb::PeerFrame {
    let Some(first) = messages.first() else { return pb::PeerFrame::default() };
    let header = header(first);
    let (cluster, from, to, incarnation) = header;
    let messages = messages.into_iter().map(|message| {
        assert_eq!(self::header(&message), header, "one frame has one sender and one recipient");
        pb::PeerMessage { term: message.term.0, body: Some(body_to_wire(message.body)) }
    });
    pb::PeerFrame {
        cluster: cluster.0,
        from: from.0,
        to: to.0,
        incarnation: incarnation.0,
        messages: messages.collect(),
        contact: None,
    }
}

/// Unpacks a frame. One bad message condemns them all: the sender is broken or of another version.
/// Small commands come to lie with `packer`, and do not hold on to the frame.
pub fn from_frame(frame: pb::PeerFrame, packer: &mut Packer) -> Result<Vec<Message>, WireError> {
    let (cluster, from) = (ClusterId(frame.cluster), NodeId(frame.from));
    let (to, incarnation) = (NodeId(frame.to), Incarnation(frame.incarnation));
    let unpack = |message: pb::PeerMessage| {
        let body = body_from_wire(message.body.ok_or(WireError::UnknownBody)?, packer)?;
        Ok(Message { cluster, from, incarnation, to, term: Term(message.term), body })
    };
    frame.messages.into_iter().map(unpack).collect()
}

fn header(message: &Message) -> (ClusterId, NodeId, NodeId, Incarnation) {
    (message.cluster, message.from, message.to, message.incarnation)
}

fn body_to_wire(body: Body) -> Wire {
    match body {
        Body::PreVote(VoteRequest { last, since, yours, handed_over: _ }) => {
            let (since, yours) = (Some(since.into()), Some(yours.into()));
            Wire::PreVote(pb::PreVote { last: Some(last.into()), since, yours })
        }
        Body::PreVoteReply(reply) => Wire::PreVoteReply(vote_reply_to_wire(&reply)),
        Body::Vote(VoteRequest { last, since, yours, handed_over }) => Wire::Vote(pb::Vote {
            last: Some(last.into()),
            since: Some(since.into()),
            yours: Some(yours.into()),
            handed_over,
        }),
        Body::VoteReply(reply) => Wire::VoteReply(vote_reply_to_wire(&reply)),
        Body::Append(Append { prev, entries, commit, met }) => Wire::Append(pb::Append {
            prev: Some(prev.into()),
            entries: entries_to_wire(&entries),
            commit: commit.0,
            met: met_to_wire(&met),
        }),
        Body::AppendReply(AppendReply::Matched { index }) => {
            Wire::AppendMatched(pb::AppendMatched { index: index.0 })
        }
        Body::AppendReply(AppendReply::Conflict { rejected, hint }) => {
            let (rejected, hint) = (Some(rejected.into()), Some(hint.into()));
            Wire::AppendConflict(pb::AppendConflict { rejected, hint })
        }
        Body::Heartbeat(Heartbeat { round, commit, met }) => {
            let met = met_to_wire(&met);
            Wire::Heartbeat(pb::Heartbeat { round, commit: commit.0, met })
        }
        Body::HeartbeatReply(HeartbeatReply { round, received, matched, slow, founder }) => {
            let (received, matched) = (received.0, matched.0);
            Wire::HeartbeatReply(pb::HeartbeatReply { round, received, matched, slow, founder })
        }
        Body::SnapshotChunk(chunk) => {
            let SnapshotChunk { meta, offset, data, checksum, met } = *chunk;
            Wire::SnapshotChunk(pb::SnapshotChunk {
                meta: Some(meta.into()),
                offset,
                data,
                checksum,
                met: met_to_wire(&met),
            })
        }
        Body::SnapshotReply(SnapshotReply { last, next_offset, installed }) => {
            let last = Some(last.into());
            Wire::SnapshotReply(pb::SnapshotReply { last, next_offset, installed })
        }
        Body::Stranger { known } => Wire::Stranger(pb::Stranger { known: known.0 }),
        Body::TimeoutNow => Wire::TimeoutNow(pb::TimeoutNow {}),
        Body::ReadIndex(id) => Wire::ReadIndex(pb::ReadIndex { id: Some(id.into()) }),
        Body::ReadIndexReply { id, index } => {
            Wire::ReadIndexReply(pb::ReadIndexReply { id: Some(id.into()), index: index.0 })
        }
        Body::Removed { as_of } => Wire::Removed(pb::Removed { as_of: Some(as_of.into()) }),
    }
}

fn body_from_wire(body: Wire, packer: &mut Packer) -> Result<Body, WireError> {
    Ok(match body {
        Wire::PreVote(plea) => Body::PreVote(VoteRequest {
            last: log_id(plea.last, "last")?,
            since: log_id(plea.since, "since")?,
            yours: log_id(plea.yours, "yours")?,
            handed_over: false,
        }),
        Wire::PreVoteReply(reply) => Body::PreVoteReply(vote_reply_from_wire(reply)),
        Wire::Vote(plea) => Body::Vote(VoteRequest {
            last: log_id(plea.last, "last")?,
            since: log_id(plea.since, "since")?,
            yours: log_id(plea.yours, "yours")?,
            handed_over: plea.handed_over,
        }),
        Wire::VoteReply(reply) => Body::VoteReply(vote_reply_from_wire(reply)),
        Wire::Append(append) => Body::Append(Append {
            prev: log_id(append.prev, "prev")?,
            entries: entries_from_wire(append.entries, packer)?,
            commit: Index(append.commit),
            met: met_from_wire(append.met)?,
        }),
        Wire::AppendMatched(pb::AppendMatched { index }) => {
            Body::AppendReply(AppendReply::Matched { index: Index(index) })
        }
        Wire::AppendConflict(conflict) => Body::AppendReply(AppendReply::Conflict {
            rejected: log_id(conflict.rejected, "rejected")?,
            hint: log_id(conflict.hint, "hint")?,
        }),
        Wire::Heartbeat(pb::Heartbeat { round, commit, met }) => {
            let met = met_from_wire(met)?;
            Body::Heartbeat(Heartbeat { round, commit: Index(commit), met })
        }
        Wire::HeartbeatReply(pb::HeartbeatReply { round, received, matched, slow, founder }) => {
            let (received, matched) = (Index(received), Index(matched));
            Body::HeartbeatReply(HeartbeatReply { round, received, matched, slow, founder })
        }
        Wire::SnapshotChunk(pb::SnapshotChunk { meta, offset, data, checksum, met }) => {
            let meta = meta.ok_or(WireError::Missing("meta"))?.try_into()?;
            let met = met_from_wire(met)?;
            Body::SnapshotChunk(Box::new(SnapshotChunk { meta, offset, data, checksum, met }))
        }
        Wire::SnapshotReply(pb::SnapshotReply { last, next_offset, installed }) => {
            let last = log_id(last, "last")?;
            Body::SnapshotReply(SnapshotReply { last, next_offset, installed })
        }
        Wire::Stranger(pb::Stranger { known }) => Body::Stranger { known: Incarnation(known) },
        Wire::TimeoutNow(pb::TimeoutNow {}) => Body::TimeoutNow,
        Wire::ReadIndex(pb::ReadIndex { id }) => Body::ReadIndex(read_id(id)?),
        Wire::ReadIndexReply(pb::ReadIndexReply { id, index }) => {
            Body::ReadIndexReply { id: read_id(id)?, index: Index(index) }
        }
        Wire::Removed(pb::Removed { as_of }) => Body::Removed { as_of: log_id(as_of, "as_of")? },
    })
}

fn met_to_wire(met: &BTreeMap<SeatId, Incarnation>) -> Vec<pb::Acquaintance> {
    let acquaintance = |(seat, met): (&SeatId, &Incarnation)| pb::Acquaintance {
        id: seat.node.0,
        incarnation: met.0,
        since: Some(seat.since.into()),
    };
    met.iter().map(acquaintance).collect()
}

fn met_from_wire(met: Vec<pb::Acquaintance>) -> Result<BTreeMap<SeatId, Incarnation>, WireError> {
    let read = |met: pb::Acquaintance| {
        let seat = SeatId { node: NodeId(met.id), since: log_id(met.since, "since")? };
        Ok((seat, Incarnation(met.incarnation)))
    };
    met.into_iter().map(read).collect()
}

fn read_id(id: Option<pb::ReadId>) -> Result<ReadId, WireError> {
    let pb::ReadId { start, number } = id.ok_or(WireError::Missing("id"))?;
    Ok(ReadId { start, number })
}

fn vote_reply_to_wire(reply: &VoteReply) -> pb::VoteReply {
    pb::VoteReply { granted: reply.granted, asked: reply.asked.0 }
}

fn vote_reply_from_wire(reply: pb::VoteReply) -> VoteReply {
    VoteReply { granted: reply.granted, asked: Term(reply.asked) }
}

fn entries_to_wire(entries: &[Entry]) -> Bytes {
    let mut out = Vec::with_capacity(entries.iter().map(Entry::size).sum());
    for entry in entries {
        codec::put_entry(&mut out, entry);
    }
    out.into()
}

fn entries_from_wire(mut input: Bytes, packer: &mut Packer) -> Result<Entries, WireError> {
    let bytes = input.len();
    let mut entries = Vec::new();
    while !input.is_empty() {
        entries.push(codec::take_entry(&mut input).ok_or(WireError::DamagedEntries)?);
    }
    packer.repack(&mut entries, bytes);
    Ok(entries.into())
}

fn log_id(id: Option<pb::LogId>, field: &'static str) -> Result<LogId, WireError> {
    id.map(LogId::from).ok_or(WireError::Missing(field))
}

impl From<ReadId> for pb::ReadId {
    fn from(id: ReadId) -> Self {
        Self { start: id.start, number: id.number }
    }
}

impl From<LogId> for pb::LogId {
    fn from(id: LogId) -> Self {
        Self { term: id.term.0, index: id.index.0 }
    }
}

impl From<pb::LogId> for LogId {
    fn from(id: pb::LogId) -> Self {
        Self::new(Term(id.term), Index(id.index))
    }
}

impl From<SnapshotMeta> for pb::SnapshotMeta {
    fn from(meta: SnapshotMeta) -> Self {
        let mut membership = Vec::new();
        codec::put_membership(&mut membership, &meta.membership);
        Self {
            last: Some(meta.last.into()),
            membership: membership.into(),
            size: meta.size,
            checksum: meta.checksum,
        }
    }
}

impl TryFrom<pb::SnapshotMeta> for SnapshotMeta {
    type Error = WireError;

    fn try_from(meta: pb::SnapshotMeta) -> Result<Self, WireError> {
        let mut bytes = meta.membership;
        let membership = codec::take_membership(&mut bytes).filter(|_| bytes.is_empty());
        Ok(Self {
            last: log_id(meta.last, "last")?,
            membership: membership.ok_or(WireError::DamagedMembership)?.into(),
            size: meta.size,
            checksum: meta.checksum,
        })
    }
}
