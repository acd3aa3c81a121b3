//! Messages survive the wire, and what is not a message is refused.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use raft_api::convert::{WireError, from_frame, to_frame};
use raft_api::pb;
use raft_core::pack::Packer;
use raft_core::{
    Append, AppendReply, Body, ClusterId, Entry, Heartbeat, HeartbeatReply, Incarnation, Index,
    LogId, Membership, Message, NodeId, Payload, ReadId, Seat, SeatId, SnapshotChunk, SnapshotMeta,
    SnapshotReply, Term, VoteReply, VoteRequest,
};

fn log_ids() -> impl Strategy<Value = LogId> {
    any::<(u64, u64)>().prop_map(|(term, index)| LogId::new(Term(term), Index(index)))
}

fn data() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn ids() -> impl Strategy<Value = BTreeSet<NodeId>> {
    proptest::collection::btree_set(any::<u64>().prop_map(NodeId), 0..4)
}

fn memberships() -> impl Strategy<Value = Membership> {
    let seat = (log_ids(), data()).prop_map(|(since, contact)| Seat { since, contact });
    let seats = proptest::collection::btree_map(any::<u64>().prop_map(NodeId), seat, 0..4);
    (ids(), ids(), ids(), seats).prop_map(|(voters, outgoing, learners, seats)| Membership {
        voters,
        outgoing,
        learners,
        seats,
    })
}

fn entries() -> impl Strategy<Value = Entry> {
    let payload = prop_oneof![
        Just(Payload::Noop),
        data().prop_map(Payload::Data),
        memberships().prop_map(|it| Payload::Config(it.into())),
    ];
    (log_ids(), payload).prop_map(|(id, payload)| Entry { id, payload })
}

fn metas() -> impl Strategy<Value = SnapshotMeta> {
    (log_ids(), memberships(), any::<(u64, u32)>()).prop_map(
        |(last, membership, (size, checksum))| SnapshotMeta {
            last,
            membership: membership.into(),
            size,
            checksum,
        },
    )
}

fn vote_replies() -> impl Strategy<Value = VoteReply> {
    any::<(bool, u64)>().prop_map(|(granted, asked)| VoteReply { granted, asked: Term(asked) })
}

fn met() -> impl Strategy<Value = BTreeMap<SeatId, Incarnation>> {
    let seat = |node, since| SeatId { node: NodeId(node), since };
    let pair = (any::<(u64, u64)>(), log_ids())
        .prop_map(move |((node, met), since)| (seat(node, since), Incarnation(met)));
    proptest::collection::vec(pair, 0..4).prop_map(|pairs| pairs.into_iter().collect())
}

fn pleas() -> impl Strategy<Value = VoteRequest> {
    (log_ids(), log_ids(), log_ids(), any::<bool>()).prop_map(
        |(last, since, yours, handed_over)| VoteRequest { last, since, yours, handed_over },
    )
}

/// Every variant there is; [`every_body_is_tried`] sees to that.
fn bodies() -> impl Strategy<Value = Body> {
    let appends = (log_ids(), proptest::collection::vec(entries(), 0..4), any::<u64>(), met());
    let pieces = (metas(), any::<u64>(), data());
    prop_oneof![
        pleas().prop_map(|plea| Body::PreVote(VoteRequest { handed_over: false, ..plea })),
        vote_replies().prop_map(Body::PreVoteReply),
        pleas().prop_map(Body::Vote),
        vote_replies().prop_map(Body::VoteReply),
        appends.prop_map(|(prev, entries, commit, met)| Body::Append(Append {
            prev,
            entries: entries.into(),
            commit: Index(commit),
            met
        })),
        any::<u64>()
            .prop_map(|index| Body::AppendReply(AppendReply::Matched { index: Index(index) })),
        (log_ids(), log_ids()).prop_map(|(rejected, hint)| Body::AppendReply(
            AppendReply::Conflict { rejected, hint }
        )),
        (any::<u64>(), any::<u64>(), met()).prop_map(|(round, commit, met)| Body::Heartbeat(
            Heartbeat { round, commit: Index(commit), met }
        )),
        any::<(u64, u64, u64, bool, bool)>().prop_map(
            |(round, received, matched, slow, founder)| {
                let (received, matched) = (Index(received), Index(matched));
                Body::HeartbeatReply(HeartbeatReply { round, received, matched, slow, founder })
            }
        ),
        (pieces, any::<u32>(), met()).prop_map(|((meta, offset, data), checksum, met)| {
            Body::SnapshotChunk(Box::new(SnapshotChunk { meta, offset, data, checksum, met }))
        }),
        (log_ids(), any::<(u64, bool)>()).prop_map(|(last, (next_offset, installed))| {
            Body::SnapshotReply(SnapshotReply { last, next_offset, installed })
        }),
        any::<u64>().prop_map(|known| Body::Stranger { known: Incarnation(known) }),
        Just(Body::TimeoutNow),
        any::<(u64, u64)>().prop_map(|(start, number)| Body::ReadIndex(ReadId { start, number })),
        any::<(u64, u64, u64)>().prop_map(|(start, number, index)| Body::ReadIndexReply {
            id: ReadId { start, number },
            index: Index(index)
        }),
        log_ids().prop_map(|as_of| Body::Removed { as_of }),
    ]
}

/// Stops compiling when a variant is added, so that it is added to [`bodies`] as well.
fn variant(body: &Body) -> usize {
    match body {
        Body::PreVote(_) => 0,
        Body::PreVoteReply(_) => 1,
        Body::Vote(_) => 2,
        Body::VoteReply(_) => 3,
        Body::Append(_) => 4,
        Body::AppendReply(AppendReply::Matched { .. }) => 5,
        Body::AppendReply(AppendReply::Conflict { .. }) => 6,
        Body::Heartbeat(_) => 7,
        Body::HeartbeatReply(_) => 8,
        Body::SnapshotChunk(_) => 9,
        Body::SnapshotReply(_) => 10,
        Body::Stranger { .. } => 11,
        Body::TimeoutNow => 12,
        Body::ReadIndex(_) => 13,
        Body::ReadIndexReply { .. } => 14,
        Body::Removed { .. } => 15,
    }
}

const VARIANTS: usize = 16;

#[test]
fn every_body_is_tried() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    for _ in 0..1000 {
        seen.insert(variant(&bodies().new_tree(&mut runner).unwrap().current()));
    }
    assert_eq!(seen, (0..VARIANTS).collect());
}

/// Encodes and decodes, as the network does.
fn over_the_wire(frame: &pb::PeerFrame) -> pb::PeerFrame {
    pb::PeerFrame::decode(Bytes::from(frame.encode_to_vec())).unwrap()
}

proptest! {
    #[test]
    fn messages_survive_the_wire(
        (cluster, from, to, incarnation) in any::<(u64, u64, u64, u64)>(),
        said in proptest::collection::vec((any::<u64>(), bodies()), 0..5),
    ) {
        let messages: Vec<Message> = said.into_iter().map(|(term, body)| Message {
            cluster: ClusterId(cluster),
            from: NodeId(from),
            incarnation: Incarnation(incarnation),
            to: NodeId(to),
            term: Term(term),
            body,
        }).collect();
        let frame = over_the_wire(&to_frame(messages.clone()));
        prop_assert_eq!(from_frame(frame, &mut Packer::default()), Ok(messages));
    }

    /// A frame whose bytes were altered gives messages or an error, never a panic.
    #[test]
    fn damage_is_survived(
        body in bodies(),
        (position, byte) in any::<(prop::sample::Index, u8)>(),
    ) {
        let (from, to) = (NodeId(1), NodeId(2));
        let (cluster, incarnation) = (ClusterId(1), Incarnation(1));
        let message = Message { cluster, from, incarnation, to, term: Term(1), body };
        let mut bytes = to_frame(vec![message]).encode_to_vec();
        let position = position.index(bytes.len());
        bytes[position] ^= byte;
        if let Ok(frame) = pb::PeerFrame::decode(Bytes::from(bytes)) {
            let count = frame.messages.len();
            if let Ok(messages) = from_frame(frame, &mut Packer::default()) {
                prop_assert_eq!(messages.len(), count);
            }
        }
    }

    /// Entries are read whole or not at all, whatever bytes are sent for them.
    #[test]
    fn entries_that_are_none_are_refused(garbage in data(), entries in proptest::collection::vec(entries(), 0..3)) {
        let (from, to) = (NodeId(1), NodeId(2));
        let body = Body::Append(Append { prev: LogId::ZERO, entries: entries.into(), commit: Index(0), met: BTreeMap::new() });
        let message = Message {
            cluster: ClusterId(1), from, incarnation: Incarnation(1), to, term: Term(1), body,
        };
        let mut frame = to_frame(vec![message.clone()]);
        let Some(pb::peer_message::Body::Append(append)) = &mut frame.messages[0].body else {
            panic!("an append stays one");
        };
        let whole = append.entries.clone();
        append.entries = [&whole[..], &garbage[..]].concat().into();
        match from_frame(frame, &mut Packer::default()) {
            Ok(messages) if garbage.is_empty() => prop_assert_eq!(messages, vec![message]),
            Ok(messages) => prop_assert_ne!(messages, vec![message]),
            Err(error) => prop_assert_eq!(error, WireError::DamagedEntries),
        }
    }
}

/// What a later version, or a broken one, might send.
#[test]
fn parts_that_are_missing_are_named() {
    use pb::peer_message::Body as Wire;
    let read = |body| {
        let messages = vec![pb::PeerMessage { term: 1, body }];
        from_frame(pb::PeerFrame { messages, ..pb::PeerFrame::default() }, &mut Packer::default())
            .unwrap_err()
    };
    assert_eq!(read(None), WireError::UnknownBody);
    assert_eq!(read(Some(Wire::Vote(pb::Vote::default()))), WireError::Missing("last"));
    assert_eq!(read(Some(Wire::PreVote(pb::PreVote::default()))), WireError::Missing("last"));
    assert_eq!(read(Some(Wire::Append(pb::Append::default()))), WireError::Missing("prev"));
    let conflict = pb::AppendConflict { rejected: Some(pb::LogId::default()), hint: None };
    assert_eq!(read(Some(Wire::AppendConflict(conflict))), WireError::Missing("hint"));
    let chunk = pb::SnapshotChunk::default();
    assert_eq!(read(Some(Wire::SnapshotChunk(chunk))), WireError::Missing("meta"));
    let chunk = pb::SnapshotChunk { meta: Some(pb::SnapshotMeta::default()), ..Default::default() };
    assert_eq!(read(Some(Wire::SnapshotChunk(chunk))), WireError::Missing("last"));
    assert_eq!(from_frame(pb::PeerFrame::default(), &mut Packer::default()), Ok(Vec::new()));
}
