//! What the arrival of something shows to happen sometimes.

use raft_core::{Body, Message, Node, RoleName};

use crate::agenda::Arrival;
use crate::client::Ask;
use crate::sometimes::{Mark, Sometimes};

/// Counts what this arrival means to a node.
pub(super) fn count(node: &Node, arrival: &Arrival, marks: &mut Sometimes) {
    match arrival {
        Arrival::Message(message) => count_message(node, message, marks),
        Arrival::Ask(_, Ask::Read(_)) => {
            let own = node.id_at(node.commit_index()).map(|id| id.term) == Some(node.term());
            if node.role() == RoleName::Leader && !own {
                marks.hit(Mark::ReadBeforeFirstCommit);
            }
        }
        _ => (),
    }
}

fn count_message(node: &Node, message: &Message, marks: &mut Sometimes) {
    if message.term < node.term() {
        marks.hit(Mark::StaleTerm);
    }
    let campaigns = matches!(node.role(), RoleName::Candidate | RoleName::PreCandidate);
    match &message.body {
        Body::Vote(request) if request.last < node.last() => marks.hit(Mark::ShorterLogPleads),
        Body::PreVote(_) if node.role() == RoleName::Follower && node.leader().is_some() => {
            marks.hit(Mark::PleaDespiteLeader);
        }
        Body::Append(_) | Body::Heartbeat(_) if campaigns && message.term == node.term() => {
            marks.hit(Mark::CandidateMetLeader);
        }
        Body::Append(append) if message.term == node.term() => {
            let held = append.entries.iter().last().map(|entry| entry.id);
            let there = held.is_some_and(|id| node.id_at(id.index) == Some(id));
            marks.add(Mark::AppendRepeated, u64::from(there));
        }
        Body::SnapshotChunk(chunk) if chunk.meta.last.index <= node.commit_index() => {
            marks.hit(Mark::SnapshotOutdated);
        }
        Body::VoteReply(reply) if reply.granted && reply.asked == node.term() && !campaigns => {
            marks.hit(Mark::VoteLate);
        }
        Body::AppendReply(_) | Body::HeartbeatReply(_) | Body::VoteReply(_)
            if node.role() == RoleName::Leader && node.term() < message.term =>
        {
            marks.hit(Mark::DeposedByAnswer);
        }
        _ => (),
    }
}
