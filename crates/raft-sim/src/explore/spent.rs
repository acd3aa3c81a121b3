//! Messages that can do nothing any more: they need not stay under way.
//!
//! Each claim here is about a node's state and a message to it, and says: delivered now or in any
//! state that can follow, the message changes nothing in the node, and is answered, if at all, by what
//! was sent before or what is spent itself. [`mod@super::audit`] tries all of them out.
//!
//! A term that is durable never goes back, and nobody leads or stands for election twice in one term.

use raft_core::{AppendReply, Body, Message, NodeId, RoleName};

use super::rules::Sight;

/// Whether anybody may yet ask for an election who does not already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Campaigns {
    MayBegin,
    AreOver,
}

impl Campaigns {
    /// How many values there are.
    pub(super) const COUNT: usize = 2;

    /// If so many timers may yet run out.
    pub(super) fn with(timeouts: u8) -> Self {
        if timeouts == 0 { Self::AreOver } else { Self::MayBegin }
    }
}

/// Whether this message can do nothing any more to its recipient, of which this is seen.
pub(super) fn is_spent(message: &Message, sight: &Sight, campaigns: Campaigns, terms: u64) -> bool {
    let is_question = matches!(
        message.body,
        Body::PreVote(_) | Body::Vote(_) | Body::Append(_) | Body::Heartbeat(_)
    );
    // What has no answer yet gets one only after the crash to come.
    !(is_question && sight.is_doomed) && is_said(message, sight, campaigns, terms)
}

/// The same for a message that was answered, if it wants an answer.
pub(super) fn is_said(message: &Message, sight: &Sight, campaigns: Campaigns, terms: u64) -> bool {
    let durable = sight.durable_term;
    // What is refused in the last term is refused for ever, and with the same words.
    let no_later = durable.0 == terms;
    let is_past = message.term <= durable;
    let is_of_own_term = message.term == sight.term;
    match &message.body {
        Body::PreVoteReply(reply) => {
            let is_over = reply.asked.max(message.term) <= durable;
            // Nobody who does not ask already will ask.
            let is_idle = campaigns == Campaigns::AreOver && sight.role != RoleName::PreCandidate;
            is_over || is_idle && is_past
        }
        Body::VoteReply(_) => is_past && !(is_of_own_term && sight.role == RoleName::Candidate),
        Body::AppendReply(_) | Body::HeartbeatReply(_) => {
            let may_lead = matches!(sight.role, RoleName::Candidate | RoleName::Leader);
            is_past && (!(is_of_own_term && may_lead) || is_settled(message, sight))
        }
        Body::PreVote(_) => no_later && is_past,
        Body::Vote(_) => {
            let is_pledged = sight.durable_vote.is_some_and(|vote| vote != message.from);
            no_later && is_past && (message.term < durable || is_pledged)
        }
        Body::Append(_) | Body::Heartbeat(_) => no_later && message.term < durable,
        Body::ReadIndex(_) | Body::ReadIndexReply { .. } | Body::TimeoutNow => {
            message.term < durable
        }
        Body::SnapshotChunk(_)
        | Body::SnapshotReply(_)
        | Body::Stranger { .. }
        | Body::Removed { .. } => false,
    }
}

/// Whether an append that a node in the last term answers so, and which leaves it as it is, can do
/// nothing any more unless the node crashes: all that it brings is there, and known to be committed as
/// far as it says so. What is there from the leader of the last term is never cut.
pub(super) fn is_held(message: &Message, reply: &Message, sight: &Sight, terms: u64) -> bool {
    let (Body::Append(append), Body::AppendReply(AppendReply::Matched { index })) =
        (&message.body, &reply.body)
    else {
        return false;
    };
    let end = append.entries.last().map_or(append.prev.index, |last| last.id.index);
    sight.durable_term.0 == terms
        && message.term.0 == terms
        && end <= *index
        && append.commit <= sight.commit
}

/// Whether a leader that gets this refusal knows better: what was refused was accepted since.
fn is_settled(message: &Message, sight: &Sight) -> bool {
    let Body::AppendReply(AppendReply::Conflict { rejected, .. }) = &message.body else {
        return false;
    };
    let matched = sight.matched.iter().find(|(id, _)| *id == message.from);
    sight.role == RoleName::Leader && matched.is_some_and(|(_, it)| rejected.index <= *it)
}

/// The position of a node.
pub(super) fn place(id: NodeId) -> usize {
    usize::try_from(id.0 - 1).expect("nodes are few")
}
