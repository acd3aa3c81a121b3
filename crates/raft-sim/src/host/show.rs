//! Messages as one line.

use std::fmt;

use raft_core::{AppendReply, Body, Message};

/// A message, to be shown.
pub struct Shown<'a>(pub(super) &'a Message);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { from, to, term, body, .. } = self.0;
        write!(f, "{from}→{to} t{term} ")?;
        match body {
            Body::PreVote(request) => write!(f, "PreVote last {}", request.last),
            Body::Vote(request) => write!(f, "Vote last {}", request.last),
            Body::PreVoteReply(reply) => {
                write!(f, "PreVoteReply {} for term {}", yes(reply.granted), reply.asked)
            }
            Body::VoteReply(reply) => {
                write!(f, "VoteReply {} for term {}", yes(reply.granted), reply.asked)
            }
            Body::Append(append) => {
                let count = append.entries.len();
                write!(f, "Append {} +{count} commit {}", append.prev, append.commit)
            }
            Body::AppendReply(AppendReply::Matched { index }) => write!(f, "Matched {index}"),
            Body::AppendReply(AppendReply::Conflict { rejected, hint }) => {
                write!(f, "Conflict {rejected}, try {hint}")
            }
            Body::Heartbeat(beat) => write!(f, "Heartbeat {} commit {}", beat.round, beat.commit),
            Body::HeartbeatReply(reply) => write!(
                f,
                "HeartbeatReply {} received {} matched {}",
                reply.round, reply.received, reply.matched
            ),
            Body::SnapshotChunk(chunk) => write!(
                f,
                "SnapshotChunk {} {}+{} of {}",
                chunk.meta.last,
                chunk.offset,
                chunk.data.len(),
                chunk.meta.size
            ),
            Body::SnapshotReply(reply) => write!(
                f,
                "SnapshotReply {} next {}{}",
                reply.last,
                reply.next_offset,
                if reply.installed { " installed" } else { "" }
            ),
            Body::TimeoutNow => f.write_str("TimeoutNow"),
            Body::ReadIndex(id) => write!(f, "ReadIndex {}", id.number),
            Body::ReadIndexReply { id, index } => {
                write!(f, "ReadIndexReply {} at {index}", id.number)
            }
            Body::Removed { as_of } => write!(f, "Removed as of {as_of}"),
            Body::Stranger { known } => write!(f, "Stranger, known {known}"),
        }
    }
}

fn yes(granted: bool) -> &'static str {
    if granted { "yes" } else { "no" }
}
