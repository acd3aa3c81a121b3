use alloc::boxed::Box;
use core::time::Duration;
use std::vec; // The macro, for `prop_oneof`.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::config::{Config, Restored};
use crate::input::{Input, MembershipChange, Proposal};
use crate::message::{
    Append, AppendReply, Body, Heartbeat, HeartbeatReply, Message, ReadId, SnapshotChunk,
    SnapshotReply, VoteReply, VoteRequest,
};
use crate::types::{ClusterId, Token};

fn ids() -> impl Strategy<Value = BTreeSet<NodeId>> {
    btree_set(any::<u64>().prop_map(NodeId), 0..5)
}

fn data() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn log_ids() -> impl Strategy<Value = LogId> {
    any::<(u64, u64)>().prop_map(|(term, index)| LogId::new(Term(term), Index(index)))
}

fn seat_ids() -> impl Strategy<Value = SeatId> {
    (any::<u64>(), log_ids()).prop_map(|(node, since)| SeatId { node: NodeId(node), since })
}

fn met() -> impl Strategy<Value = BTreeMap<SeatId, Incarnation>> {
    btree_map(seat_ids(), any::<u64>().prop_map(Incarnation), 0..4)
}

fn memberships() -> impl Strategy<Value = Membership> {
    let seat = (log_ids(), data()).prop_map(|(since, contact)| Seat { since, contact });
    let seats = btree_map(any::<u64>().prop_map(NodeId), seat, 0..4);
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

fn snapshots() -> impl Strategy<Value = SnapshotMeta> {
    (log_ids(), memberships(), any::<(u64, u32)>()).prop_map(|(last, membership, rest)| {
        SnapshotMeta { last, membership: membership.into(), size: rest.0, checksum: rest.1 }
    })
}

fn hard_states() -> impl Strategy<Value = HardState> {
    (any::<(u64, Option<u64>)>(), met()).prop_map(|((term, vote), peers)| HardState {
        term: Term(term),
        vote: vote.map(NodeId),
        peers,
    })
}

fn bodies() -> impl Strategy<Value = Body> {
    let request = || {
        (log_ids(), log_ids(), log_ids(), any::<bool>()).prop_map(
            |(last, since, yours, handed_over)| VoteRequest { last, since, yours, handed_over },
        )
    };
    let reply = || {
        any::<(bool, u64)>().prop_map(|(granted, asked)| VoteReply { granted, asked: Term(asked) })
    };
    let id = || any::<(u64, u64)>().prop_map(|(start, number)| ReadId { start, number });
    prop_oneof![
        request().prop_map(Body::PreVote),
        reply().prop_map(Body::PreVoteReply),
        request().prop_map(Body::Vote),
        reply().prop_map(Body::VoteReply),
        (log_ids(), vec(entries(), 0..4), any::<u64>(), met()).prop_map(
            |(prev, entries, commit, met)| {
                Body::Append(Append { prev, entries: entries.into(), commit: Index(commit), met })
            }
        ),
        any::<u64>()
            .prop_map(|index| { Body::AppendReply(AppendReply::Matched { index: Index(index) }) }),
        (log_ids(), log_ids()).prop_map(|(rejected, hint)| {
            Body::AppendReply(AppendReply::Conflict { rejected, hint })
        }),
        (any::<(u64, u64)>(), met()).prop_map(|((round, commit), met)| {
            Body::Heartbeat(Heartbeat { round, commit: Index(commit), met })
        }),
        any::<(u64, u64, u64, bool, bool)>().prop_map(
            |(round, received, matched, slow, founder)| {
                let (received, matched) = (Index(received), Index(matched));
                Body::HeartbeatReply(HeartbeatReply { round, received, matched, slow, founder })
            }
        ),
        (snapshots(), any::<(u64, u32)>(), data(), met()).prop_map(
            |(meta, (offset, checksum), data, met)| {
                Body::SnapshotChunk(Box::new(SnapshotChunk { meta, offset, data, checksum, met }))
            }
        ),
        (log_ids(), any::<(u64, bool)>()).prop_map(|(last, (next_offset, installed))| {
            Body::SnapshotReply(SnapshotReply { last, next_offset, installed })
        }),
        any::<u64>().prop_map(|known| Body::Stranger { known: Incarnation(known) }),
        Just(Body::TimeoutNow),
        id().prop_map(Body::ReadIndex),
        (id(), any::<u64>())
            .prop_map(|(id, index)| Body::ReadIndexReply { id, index: Index(index) }),
        log_ids().prop_map(|as_of| Body::Removed { as_of }),
    ]
}

fn messages() -> impl Strategy<Value = Message> {
    (any::<(u64, u64, u64, u64, u64)>(), bodies()).prop_map(|(head, body)| Message {
        cluster: ClusterId(head.0),
        from: NodeId(head.1),
        incarnation: Incarnation(head.2),
        to: NodeId(head.3),
        term: Term(head.4),
        body,
    })
}

fn inputs() -> impl Strategy<Value = Input> {
    let proposal =
        (any::<u64>(), data()).prop_map(|(token, data)| Proposal { token: Token(token), data });
    let change = (any::<(u64, bool)>(), memberships(), proptest::option::of(memberships()));
    prop_oneof![
        Just(Input::Tick),
        messages().prop_map(Input::Message),
        vec(proposal, 0..4).prop_map(Input::Propose),
        any::<u64>().prop_map(|token| Input::Read(Token(token))),
        change.prop_map(|((token, force), target, from)| {
            let token = Token(token);
            Input::ChangeMembership(MembershipChange { token, target, from, force })
        }),
        any::<(u64, Option<u64>)>()
            .prop_map(|(token, to)| Input::Transfer { token: Token(token), to: to.map(NodeId) }),
        any::<u64>().prop_map(|index| Input::Applied { index: Index(index) }),
        any::<u64>().prop_map(|peer| Input::PeerDown { peer: NodeId(peer) }),
        any::<u64>().prop_map(|seq| Input::Persisted { seq }),
        Just(Input::PersistFailed),
        snapshots().prop_map(Input::SnapshotBuilt),
        (any::<(u64, u64, u32)>(), snapshots(), data()).prop_map(|(rest, meta, data)| {
            let (to, offset, checksum) = rest;
            Input::SnapshotRead { to: NodeId(to), meta, offset, data, checksum }
        }),
        (snapshots(), any::<(u64, bool)>()).prop_map(|(meta, (next_offset, complete))| {
            Input::SnapshotStaged { meta, next_offset, complete }
        }),
        log_ids().prop_map(|last| Input::SnapshotFailed { last }),
    ]
}

fn configs() -> impl Strategy<Value = Config> {
    let durations = any::<[Duration; 4]>();
    (any::<[u64; 6]>(), durations, any::<[usize; 9]>(), any::<bool>()).prop_map(
        |(numbers, durations, sizes, fast_failover)| Config {
            cluster: ClusterId(numbers[0]),
            id: NodeId(numbers[1]),
            incarnation: Incarnation(numbers[2]),
            seed: numbers[3],
            heartbeat: durations[0],
            election_timeout: durations[1],
            election_jitter: durations[2],
            fast_failover,
            failover_stagger: durations[3],
            append_bytes_max: sizes[0],
            append_entries_max: sizes[1],
            inflight_messages_max: sizes[2],
            inflight_bytes_max: sizes[3],
            uncommitted_bytes_max: sizes[4],
            apply_bytes_max: sizes[5],
            apply_lag_bytes_max: sizes[6],
            transfer_lag_bytes_max: sizes[7],
            snapshot_chunk_bytes: sizes[8],
            trailing_entries: numbers[4],
            trailing_bytes_max: numbers[5],
        },
    )
}

fn restored() -> impl Strategy<Value = Restored> {
    let snapshot = proptest::option::of(snapshots());
    (hard_states(), memberships(), snapshot, log_ids(), vec(entries(), 0..4)).prop_map(
        |(hard_state, bootstrap, snapshot, base, entries)| Restored {
            hard_state,
            bootstrap,
            snapshot,
            base,
            entries,
        },
    )
}

/// The value's bytes, with others behind them; and the value that was taken off their front, with
/// what was left.
fn there_and_back<T>(
    value: &T,
    put: impl FnOnce(&mut Vec<u8>, &T),
    take: impl FnOnce(&mut Bytes) -> Option<T>,
) -> (Option<T>, Bytes) {
    let mut out = Vec::new();
    put(&mut out, value);
    out.extend_from_slice(b"rest");
    let mut input = Bytes::from(out);
    (take(&mut input), input)
}

proptest! {
    /// What was written is read back, and nothing beyond it is taken.
    #[test]
    fn entries_survive_a_round_trip(entry in entries()) {
        let (taken, rest) = there_and_back(&entry, put_entry, take_entry);
        prop_assert_eq!(taken, Some(entry));
        prop_assert_eq!(rest, "rest");
    }

    #[test]
    fn snapshots_and_hard_states_survive_a_round_trip(
        meta in snapshots(),
        state in hard_states(),
    ) {
        let (taken, rest) = there_and_back(&meta, put_snapshot_meta, take_snapshot_meta);
        prop_assert_eq!((taken, rest), (Some(meta), Bytes::from("rest")));
        let (taken, rest) = there_and_back(&state, put_hard_state, take_hard_state);
        prop_assert_eq!((taken, rest), (Some(state), Bytes::from("rest")));
    }

    #[test]
    fn messages_survive_a_round_trip(message in messages()) {
        let (taken, rest) = there_and_back(&message, put_message, take_message);
        prop_assert_eq!((taken, rest), (Some(message), Bytes::from("rest")));
    }

    #[test]
    fn inputs_survive_a_round_trip(input in inputs()) {
        let (taken, rest) = there_and_back(&input, put_input, take_input);
        prop_assert_eq!((taken, rest), (Some(input), Bytes::from("rest")));
    }

    #[test]
    fn configurations_survive_a_round_trip(config in configs(), restored in restored()) {
        let (taken, rest) = there_and_back(&config, put_config, take_config);
        prop_assert_eq!((taken, rest), (Some(config), Bytes::from("rest")));
        let (taken, rest) = there_and_back(&restored, put_restored, take_restored);
        prop_assert_eq!((taken, rest), (Some(restored), Bytes::from("rest")));
    }

    /// Part of an input is not an input.
    #[test]
    fn what_is_cut_short_is_refused(input in inputs(), cut in any::<prop::sample::Index>()) {
        let mut out = Vec::new();
        put_input(&mut out, &input);
        out.truncate(cut.index(out.len()));
        prop_assert_eq!(take_input(&mut Bytes::from(out)), None);
    }

    /// Bytes from a stranger give a value or nothing, never a panic; what looks like a count or a
    /// kind is small more often than not, so that decoders get further.
    #[test]
    fn garbage_is_refused(
        bytes in vec(prop_oneof![2 => 0_u8..16, 1 => any::<u8>()], 0..200),
    ) {
        let bytes = Bytes::from(bytes);
        let mut input = bytes.clone();
        while take_entry(&mut input).is_some() {}
        let whole = [
            take_hard_state(&mut bytes.clone()).is_some(),
            take_snapshot_meta(&mut bytes.clone()).is_some(),
            take_message(&mut bytes.clone()).is_some(),
            take_input(&mut bytes.clone()).is_some(),
            take_config(&mut bytes.clone()).is_some(),
            take_restored(&mut bytes.clone()).is_some(),
        ];
        prop_assert!(!bytes.is_empty() || whole == [false; 6]);
    }

    /// The same with bytes that were right but for one.
    #[test]
    fn flipped_bytes_do_no_harm(
        input in inputs(),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..=255,
    ) {
        let mut out = Vec::new();
        put_input(&mut out, &input);
        let at = at.index(out.len());
        for byte in out.iter_mut().skip(at).take(1) {
            *byte ^= flip;
        }
        drop(take_input(&mut Bytes::from(out)));
    }
}

/// A count beyond all measure costs no memory: it is not believed.
#[test]
fn huge_counts_are_refused() {
    let mut out = Vec::new();
    out.push(2); // Proposals...
    out.extend_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(take_input(&mut Bytes::from(out)), None);
    let mut entry = u32::MAX.to_le_bytes().to_vec();
    entry.extend_from_slice(&[1; 40]);
    assert_eq!(take_entry(&mut Bytes::from(entry)), None);
}
