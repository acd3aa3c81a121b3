//! How messages, entries, effects and events look in a log or a trace. For people: the text may
//! change with any version.

use core::fmt::{self, Display, Formatter};

use crate::effects::{Apply, Event, Persist, Refusal, SnapshotCommand};
use crate::input::Input;
use crate::message::{Append, AppendReply, Body, Message};
use crate::types::{Entry, HardState, Payload};

/// Bytes of a command that are shown.
const DATA_SHOWN: usize = 48;

impl Display for Message {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { from, to, term, body, .. } = self;
        write!(f, "{from} → {to} term={term} {body}")
    }
}

impl Display for Body {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = |granted| if granted { "granted" } else { "refused" };
        match self {
            Self::PreVote(request) => write!(f, "PreVote last={}", request.last),
            Self::PreVoteReply(reply) => {
                write!(f, "PreVoteReply {} {}", reply.asked, word(reply.granted))
            }
            Self::Vote(request) => {
                let handed_over = if request.handed_over { " handed over" } else { "" };
                write!(f, "Vote last={}{handed_over}", request.last)
            }
            Self::VoteReply(reply) => {
                write!(f, "VoteReply {} {}", reply.asked, word(reply.granted))
            }
            Self::Append(Append { prev, entries, commit, met: _ }) => {
                write!(f, "Append prev={prev} commit={commit} [{}]", Spaced(entries))
            }
            Self::AppendReply(AppendReply::Matched { index }) => write!(f, "Matched {index}"),
            Self::AppendReply(AppendReply::Conflict { rejected, hint }) => {
                write!(f, "Conflict rejected={rejected} hint={hint}")
            }
            Self::Heartbeat(beat) => {
                write!(f, "Heartbeat round={} commit={}", beat.round, beat.commit)
            }
            Self::HeartbeatReply(reply) => {
                let (round, received, matched) = (reply.round, reply.received, reply.matched);
                let slow = if reply.slow { " slow" } else { "" };
                write!(
                    f,
                    "HeartbeatReply round={round} received={received} matched={matched}{slow}"
                )
            }
            Self::SnapshotChunk(chunk) => {
                let (last, from, len) = (chunk.meta.last, chunk.offset, chunk.data.len());
                let end = u64::try_from(len).map_or(u64::MAX, |len| from.saturating_add(len));
                write!(f, "SnapshotChunk {last} bytes {from}..{end}")
            }
            Self::SnapshotReply(reply) if reply.installed => {
                write!(f, "SnapshotReply has {}", reply.last)
            }
            Self::SnapshotReply(reply) => {
                write!(f, "SnapshotReply {} wants byte {}", reply.last, reply.next_offset)
            }
            Self::Stranger { known } => write!(f, "Stranger known={}", known.0),
            Self::TimeoutNow => f.write_str("TimeoutNow"),
            Self::ReadIndex(id) => write!(f, "ReadIndex #{}", id.number),
            Self::ReadIndexReply { id, index } => {
                write!(f, "ReadIndexReply #{} at {index}", id.number)
            }
            Self::Removed { as_of } => write!(f, "Removed as of {as_of}"),
        }
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let id = self.id;
        match &self.payload {
            Payload::Noop => write!(f, "{id}"),
            Payload::Config(membership) => write!(f, "{id}:config({membership})"),
            Payload::Data(data) => {
                let shown = data.get(..DATA_SHOWN).unwrap_or(data);
                write!(f, "{id}:{}", shown.escape_ascii())?;
                if shown.len() < data.len() {
                    write!(f, "… ({} bytes)", data.len())?;
                }
                Ok(())
            }
        }
    }
}

impl Display for Persist {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { seq, install, compact, truncate_from, hard_state, entries, then_send: _ } = self;
        write!(f, "#{seq}")?;
        if let Some(meta) = install {
            write!(f, " install {}", meta.last)?;
        }
        if let Some(compact) = compact {
            write!(f, " compact {} keep={}", compact.snapshot.last, compact.first_kept)?;
        }
        if let Some(from) = truncate_from {
            write!(f, " cut from {from}")?;
        }
        if let Some(HardState { term, vote, peers }) = hard_state {
            match vote {
                Some(vote) => write!(f, " term={term} vote={vote} met=")?,
                None => write!(f, " term={term} vote=nobody met=")?,
            }
            for (position, seat) in peers.keys().enumerate() {
                write!(f, "{}{seat}", if position == 0 { "" } else { "," })?;
            }
        }
        if !entries.is_empty() {
            write!(f, " [{}]", Spaced(entries))?;
        }
        if self.is_bare() {
            f.write_str(" nothing, but what waits for earlier writes")?;
        }
        Ok(())
    }
}

impl Persist {
    /// Whether nothing is to be written.
    fn is_bare(&self) -> bool {
        let Self { seq: _, install, compact, truncate_from, hard_state, entries, then_send: _ } =
            self;
        (install, compact, truncate_from, hard_state, entries.len())
            == (&None, &None, &None, &None, 0)
    }
}

impl Display for Apply {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Install(meta) => write!(f, "apply snapshot {}", meta.last),
            Self::Entries(committed) => {
                for (position, (entry, token)) in committed.iter().enumerate() {
                    write!(f, "{}apply {entry}", if position == 0 { "" } else { ", " })?;
                    if let Some(token) = token {
                        write!(f, " and answer #{}", token.0)?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl Display for SnapshotCommand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { to, meta, offset, len } => {
                write!(f, "read {len} bytes of snapshot {} at {offset} for {to}", meta.last)
            }
            Self::Stage { meta, offset, data, checksum: _ } => {
                write!(f, "stage {} bytes of snapshot {} at {offset}", data.len(), meta.last)
            }
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader { leader: Some(leader) } => write!(f, "not leader, try {leader}"),
            Self::NotLeader { leader: None } => f.write_str("not leader"),
            Self::Overloaded => f.write_str("overloaded"),
            Self::Unknown => f.write_str("outcome unknown"),
            Self::Transferring { to } => write!(f, "handing over to {to}"),
            Self::Membership(refusal) => write!(f, "membership: {refusal:?}"),
            Self::Transfer(refusal) => write!(f, "transfer: {refusal:?}"),
        }
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Became { role, term } => write!(f, "is {role:?} in term {term}"),
            Self::LeaderChanged { leader: Some(leader), term } => {
                write!(f, "knows leader {leader} of term {term}")
            }
            Self::LeaderChanged { leader: None, term } => {
                write!(f, "knows no leader of term {term}")
            }
            Self::QuorumLost => f.write_str("heard from no quorum for too long"),
            Self::Campaigning { cause, term } => write!(f, "wants to lead term {term}: {cause:?}"),
            Self::LeaderLost { leader, term } => write!(f, "lost {leader}, leader of term {term}"),
            Self::Transferring { to } => write!(f, "hands over to {to}"),
            Self::TransferFailed { to, reason } => {
                write!(f, "gives up handing over to {to}: {reason:?}")
            }
            Self::DiskStalled => f.write_str("has a disk that stalls"),
            Self::Removed { by, as_of } => {
                write!(f, "learns from {by} that it is removed as of {as_of}")
            }
            Self::Truncated { from } => write!(f, "cuts its log from {from}"),
            Self::MembershipChanged { membership } => write!(f, "membership is {membership}"),
            Self::Dropped { from, reason } => write!(f, "drops a message from {from}: {reason:?}"),
            Self::Stranger { by, known } => {
                write!(f, "is a stranger to {by}, who knows incarnation {}", known.0)
            }
            Self::SnapshotStarted { to, last } => {
                write!(f, "starts sending snapshot {last} to {to}")
            }
            Self::SnapshotInstalled { last } => write!(f, "installs snapshot {last}"),
        }
    }
}

impl Display for Input {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick => f.write_str("tick"),
            Self::Message(message) => message.fmt(f),
            Self::Propose(proposals) => {
                f.write_str("propose")?;
                for proposal in proposals {
                    write!(f, " #{} ({} bytes)", proposal.token.0, proposal.data.len())?;
                }
                Ok(())
            }
            Self::Read(token) => write!(f, "read #{}", token.0),
            Self::ChangeMembership(change) => {
                write!(f, "change #{} the membership to {}", change.token.0, change.target)
            }
            Self::Transfer { token, to: None } => write!(f, "transfer #{}", token.0),
            Self::Transfer { token, to: Some(to) } => write!(f, "transfer #{} to {to}", token.0),
            Self::Applied { index } => write!(f, "applied {index}"),
            Self::PeerDown { peer } => write!(f, "{peer} is down"),
            Self::Persisted { seq } => write!(f, "persisted #{seq}"),
            Self::PersistFailed => f.write_str("the disk failed"),
            Self::SnapshotBuilt(meta) => write!(f, "built snapshot {}", meta.last),
            Self::SnapshotRead { to, meta, offset, data, checksum: _ } => {
                let (last, len) = (meta.last, data.len());
                write!(f, "have read {len} bytes of snapshot {last} at {offset} for {to}")
            }
            Self::SnapshotStaged { meta, next_offset, complete } => {
                let complete = if *complete { ", complete" } else { "" };
                write!(f, "staged snapshot {} up to {next_offset}{complete}", meta.last)
            }
            Self::SnapshotFailed { last } => write!(f, "snapshot {last} failed"),
        }
    }
}

/// Entries with spaces between them.
struct Spaced<'a>(&'a [Entry]);

impl Display for Spaced<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (position, entry) in self.0.iter().enumerate() {
            write!(f, "{}{entry}", if position == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}
