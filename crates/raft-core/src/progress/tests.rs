//! A leader's books about a peer, whatever answers come: in any order, twice, late, or made up.

use super::*;
use crate::config::{Config, Restored};
use crate::input::{Input, Proposal};
use crate::membership::Membership;
use crate::message::{Append, AppendReply, Body, HeartbeatReply, Message, VoteReply};
use crate::node::Node;
use crate::role::Role;
use crate::types::{ClusterId, Incarnation, LogId, NodeId, SnapshotMeta, Term, Token};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use bytes::Bytes;
use proptest::prelude::*;

const LEADER: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);
const MESSAGES_MAX: usize = 3;
const BYTES_MAX: u64 = 150;
const APPEND_BYTES_MAX: u64 = 80;
/// One entry always fits, so this is the longest message.
const ENTRY_BYTES_MAX: u64 = 132;

/// What a leader hears, and what it does.
#[derive(Clone, Debug)]
enum Act {
    /// A command of so many bytes arrives.
    Propose(usize),
    /// The peer says that it has everything up to here.
    Matched(u64),
    /// The peer says that it has no such entry, but perhaps an earlier one.
    Conflict(u64, u64),
    /// The peer answers a heartbeat, so many rounds ago, having received and made durable so much.
    Beat(u64, u64, u64),
    /// The clock reaches the next deadline.
    Tick,
    /// The other follower acknowledges everything, so that it is committed.
    Commit,
    /// A snapshot is made of what is applied.
    Snapshot,
    /// The peer's process is found gone.
    Down,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0_usize..100).prop_map(Act::Propose),
        3 => (0_u64..20).prop_map(Act::Matched),
        3 => (0_u64..20, 0_u64..20).prop_map(|(rejected, hint)| Act::Conflict(rejected, hint)),
        3 => (0_u64..3, 0_u64..20, 0_u64..20).prop_map(|(ago, got, has)| Act::Beat(ago, got, has)),
        2 => Just(Act::Tick),
        1 => Just(Act::Commit),
        1 => Just(Act::Snapshot),
        1 => Just(Act::Down),
    ];
    proptest::collection::vec(act, 0..40)
}

fn message(from: NodeId, term: Term, body: Body) -> Input {
    let (cluster, incarnation) = (ClusterId(7), Incarnation(1));
    Input::Message(Message { cluster, from, incarnation, to: LEADER, term, body })
}

/// A node that leads three.
fn leader() -> Node {
    let config = Config {
        append_entries_max: 2,
        append_bytes_max: usize::try_from(APPEND_BYTES_MAX).expect("small"),
        inflight_messages_max: MESSAGES_MAX,
        inflight_bytes_max: usize::try_from(BYTES_MAX).expect("small"),
        trailing_entries: 1,
        ..Config::new(ClusterId(7), LEADER, Incarnation(1))
    };
    let bootstrap = Membership::of_voters([1, 2, 3].map(NodeId));
    let restored = Restored { bootstrap, ..Restored::default() };
    let mut node = Node::restore(config, restored, Instant(0)).expect("an empty disk is sound");
    let now = node.next_deadline();
    node.step(now, Input::Tick);
    let reply = VoteReply { granted: true, asked: Term(1) };
    node.step(now, message(PEER, Term(0), Body::PreVoteReply(reply.clone())));
    finish(&mut node, now);
    node.step(now, message(PEER, Term(1), Body::VoteReply(reply)));
    assert!(matches!(node.role, Role::Leader(_)), "{:?}", node.role);
    node
}

/// The disk is fast: whatever is to be written is, at once. Answers what was sent to the peer.
fn finish(node: &mut Node, now: Instant) -> Vec<Append> {
    let mut appends = Vec::new();
    loop {
        let effects = node.take_effects();
        for message in effects.send {
            if let Body::Append(append) = message.body
                && message.to == PEER
            {
                appends.push(append);
            }
        }
        let Some(persist) = effects.persist else { return appends };
        node.step(now, Input::Persisted { seq: persist.seq });
    }
}

fn perform(node: &mut Node, now: Instant, act: &Act) {
    let term = node.term();
    let last = node.last().index;
    let entry = |index: u64| LogId::new(term, Index(index));
    let input = match *act {
        Act::Propose(len) => {
            let data = Bytes::from(alloc::vec![b'x'; len]);
            Input::Propose(Vec::from([Proposal { token: Token(0), data }]))
        }
        Act::Matched(index) => {
            let reply = AppendReply::Matched { index: Index(index) };
            message(PEER, term, Body::AppendReply(reply))
        }
        Act::Conflict(rejected, hint) => {
            let reply = AppendReply::Conflict { rejected: entry(rejected), hint: entry(hint) };
            message(PEER, term, Body::AppendReply(reply))
        }
        Act::Beat(ago, received, matched) => {
            let Role::Leader(leader) = &node.role else { return };
            let round = leader.round.saturating_sub(ago);
            let (received, matched) = (Index(received), Index(matched));
            let reply = HeartbeatReply { round, received, matched, slow: false, founder: true };
            message(PEER, term, Body::HeartbeatReply(reply))
        }
        Act::Tick => Input::Tick,
        Act::Down => Input::PeerDown { peer: PEER },
        Act::Commit => {
            let reply = AppendReply::Matched { index: last };
            message(NodeId(3), term, Body::AppendReply(reply))
        }
        Act::Snapshot => {
            let last = node.id_at(node.commit_index()).expect("held");
            let membership = node.membership().clone();
            Input::SnapshotBuilt(SnapshotMeta {
                last,
                membership: membership.into(),
                size: 9,
                checksum: 0,
            })
        }
    };
    node.step(now, input);
}

proptest! {
    /// What was acknowledged never goes back, and the next entry lies behind it. Nothing is taken for
    /// sent that was not. What is under way stays within its bounds, in number and in bytes, and the
    /// bytes are those of the messages, however many were lost.
    #[test]
    fn books_are_sound(acts in acts()) {
        let mut node = leader();
        let mut now = node.next_deadline();
        let mut matched = Index(0);
        let mut sent = BTreeSet::new();
        for act in &acts {
            if matches!(act, Act::Tick) {
                now = node.next_deadline();
                // The other follower keeps the quorum.
                let Role::Leader(leader) = &node.role else { panic!("the quorum is kept") };
                let (round, received, matched) = (leader.round, Index(0), Index(0));
                let beat = HeartbeatReply { round, received, matched, slow: false, founder: true };
                node.step(now, message(NodeId(3), node.term(), Body::HeartbeatReply(beat)));
            }
            perform(&mut node, now, act);
            for append in finish(&mut node, now) {
                let entries = append.entries.iter().map(|entry| entry.id.index);
                let bytes: u64 = append.entries.iter().map(|entry| entry.size() as u64).sum();
                prop_assert!(bytes <= APPEND_BYTES_MAX || append.entries.len() == 1);
                sent.extend(entries);
            }
            let Role::Leader(leader) = &node.role else { panic!("the quorum is kept") };
            let peer = leader.peers.get(PEER).expect("a member");
            prop_assert!(matched <= peer.matched, "{matched} after {act:?}: {peer:?}");
            matched = peer.matched;
            prop_assert!(matched < peer.next(), "after {act:?}: {peer:?}");
            let Progress::Replicate { next, inflight } = &peer.progress else { continue };
            let under_way = matched.next().0..next.0;
            prop_assert!(
                under_way.clone().all(|index| sent.contains(&Index(index))),
                "after {act:?}: {peer:?} was sent {sent:?}"
            );
            prop_assert!(inflight.len() <= MESSAGES_MAX, "after {act:?}: {peer:?}");
            prop_assert!(inflight.iter().is_sorted_by_key(|append| append.last));
            prop_assert!(inflight.iter().all(|append| matched < append.last && append.last < *next));
            prop_assert_eq!(inflight.back().map_or(matched, |append| append.last), next.prev());
            // The bound may be passed by the last message, and by no more than that.
            let bytes = node.log.bytes_between(matched, next.prev());
            let sum: u64 = under_way
                .filter_map(|index| node.log.get(Index(index)))
                .map(|entry| entry.size() as u64)
                .sum();
            prop_assert_eq!(bytes, sum);
            prop_assert!(bytes < BYTES_MAX + ENTRY_BYTES_MAX, "after {act:?}: {bytes} bytes, {peer:?}");
        }
    }

    /// The books of one peer by themselves: nothing that may be told moves the match back, or next to it.
    #[test]
    fn next_is_always_behind_the_match(
        reports in proptest::collection::vec((0_u8..4, 0_u64..12, 0_u64..4), 0..40),
    ) {
        let mut peer = Peer::new(Index(5), Instant(0), 0);
        for (kind, index, round) in reports {
            let before = peer.matched;
            match (kind, &mut peer.progress) {
                (0, _) => peer.on_matched(Index(index), Index(3)),
                (1, _) => peer.on_received(Index(index), round),
                (2, _) => peer.probe(Index(index)),
                (_, Progress::Probe { next, waiting }) => {
                    *waiting = Some(Inflight { last: Index(next.0 + index), round });
                }
                (_, Progress::Replicate { next, inflight }) => {
                    let last = Index(next.0 + index);
                    inflight.push_back(Inflight { last, round });
                    *next = last.next();
                }
                (_, Progress::Snapshot { .. }) => (),
            }
            prop_assert!(before <= peer.matched && peer.matched < peer.next(), "{peer:?}");
        }
    }
}
