//! Rules broken on purpose, around the core: an exploration that did not notice would prove nothing.

use raft_core::{Body, Index, Input, Message, Node, RoleName, VoteReply};

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// What must wait for the disk leaves at once.
    EarlyPromises,
    /// Writes are said to be durable that are not.
    LyingDisks,
    /// A process that starts again has forgotten its vote.
    ForgottenVotes,
    /// A candidate's own vote counts once more, in the name of each node it asks.
    DoubleVotes,
    /// Refused votes arrive as given ones.
    ForgedVotes,
    /// A leader takes for committed what a majority holds, of whatever term (Figure 8).
    OldCommits,
    /// Whoever is asked for a vote has lost its leader at that moment, so that nobody protects one.
    LostLeaders,
}

impl Sabotage {
    /// What is made of a message that leaves a node that takes so much for committed.
    pub(super) fn forge(self, mut message: Message, claims: Index) -> Vec<Message> {
        let mut copy = None;
        match (self, &mut message.body) {
            (Self::ForgedVotes, Body::VoteReply(reply) | Body::PreVoteReply(reply)) => {
                reply.granted = true;
            }
            (Self::DoubleVotes, Body::Vote(_)) => {
                let reply = VoteReply { granted: true, asked: message.term };
                let (from, to, body) = (message.to, message.from, Body::VoteReply(reply));
                copy = Some(Message { from, to, body, ..message.clone() });
            }
            (Self::OldCommits, Body::Append(append)) => append.commit = append.commit.max(claims),
            _ => (),
        }
        [Some(message), copy].into_iter().flatten().collect()
    }

    /// What happens to a node just before this.
    pub(super) fn before(self, node: &Node, input: &Input) -> Option<Input> {
        let is_plea = |message: &Message| matches!(message.body, Body::PreVote(_) | Body::Vote(_));
        match (self, input, node.leader()) {
            (Self::LostLeaders, Input::Message(message), Some(peer))
                if is_plea(message) && peer != node.id() =>
            {
                Some(Input::PeerDown { peer })
            }
            _ => None,
        }
    }

    /// What a node takes for committed.
    pub(super) fn committed(self, node: &Node) -> Index {
        if self != Self::OldCommits || node.role() != RoleName::Leader {
            return Index(0);
        }
        let mut held: Vec<_> = node.peers().iter().map(|peer| peer.matched).collect();
        held.push(node.durable_index());
        held.sort_unstable_by(|left, right| right.cmp(left));
        held.get(held.len() / 2).copied().unwrap_or_default()
    }
}
