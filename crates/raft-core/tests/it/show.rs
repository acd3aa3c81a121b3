//! How things look in a script.

use raft_core::{
    Append, AppendReply, Apply, Body, Entry, Event, HardState, Message, Payload, Persist, Refusal,
    SnapshotMeta, Token,
};

pub(crate) fn message(message: &Message) -> String {
    let Message { from, to, term, .. } = message;
    format!("{from} → {to} term={term} {}", body(&message.body))
}

pub(crate) fn body(body: &Body) -> String {
    match body {
        Body::PreVote(request) => format!("PreVote last={}", request.last),
        Body::Vote(request) if request.handed_over => {
            format!("Vote last={} handed over", request.last)
        }
        Body::PreVoteReply(reply) => {
            format!("PreVoteReply {} {}", reply.asked, word(reply.granted))
        }
        Body::Vote(request) => format!("Vote last={}", request.last),
        Body::VoteReply(reply) => format!("VoteReply {} {}", reply.asked, word(reply.granted)),
        Body::Append(Append { prev, entries: list, commit, met: _ }) => {
            format!("Append prev={prev} commit={commit} [{}]", entries(list))
        }
        Body::AppendReply(AppendReply::Matched { index }) => format!("Matched {index}"),
        Body::AppendReply(AppendReply::Conflict { rejected, hint }) => {
            format!("Conflict rejected={rejected} hint={hint}")
        }
        Body::Heartbeat(beat) => format!("Heartbeat round={} commit={}", beat.round, beat.commit),
        Body::HeartbeatReply(reply) => format!(
            "HeartbeatReply round={} received={} matched={}{}",
            reply.round,
            reply.received,
            reply.matched,
            if reply.slow { " slow" } else { "" }
        ),
        Body::TimeoutNow => "TimeoutNow".to_owned(),
        Body::ReadIndex(id) => format!("ReadIndex #{}", id.number),
        Body::ReadIndexReply { id, index } => format!("ReadIndexReply #{} at {index}", id.number),
        Body::Removed { as_of } => format!("Removed as of {as_of}"),
        Body::SnapshotChunk(chunk) => {
            let end = chunk.offset + chunk.data.len() as u64;
            format!("SnapshotChunk {} bytes {}..{end}", snapshot(&chunk.meta), chunk.offset)
        }
        Body::SnapshotReply(reply) if reply.installed => {
            format!("SnapshotReply has {}", reply.last)
        }
        Body::SnapshotReply(reply) => {
            format!("SnapshotReply {} wants byte {}", reply.last, reply.next_offset)
        }
        Body::Stranger { known } => format!("Stranger known={}", known.0),
    }
}

pub(crate) fn persist(persist: &Persist) -> String {
    let mut parts = Vec::new();
    if let Some(meta) = &persist.install {
        parts.push(format!("install {}", snapshot(meta)));
    }
    if let Some(compact) = &persist.compact {
        let last = snapshot(&compact.snapshot);
        parts.push(format!("compact {last} keep={}", compact.first_kept));
    }
    if let Some(from) = persist.truncate_from {
        parts.push(format!("cut from {from}"));
    }
    if let Some(HardState { term, vote, peers }) = &persist.hard_state {
        let vote = vote.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
        let peers = peers.keys().map(ToString::to_string).collect::<Vec<_>>().join(",");
        parts.push(format!("term={term} vote={vote} met={peers}"));
    }
    if !persist.entries.is_empty() {
        parts.push(format!("[{}]", entries(&persist.entries)));
    }
    if parts.is_empty() {
        parts.push("nothing, but what waits for earlier writes".to_owned());
    }
    parts.join(" ")
}

pub(crate) fn entries(entries: &[Entry]) -> String {
    entries.iter().map(entry).collect::<Vec<_>>().join(" ")
}

pub(crate) fn entry(entry: &Entry) -> String {
    match &entry.payload {
        Payload::Noop => format!("{}", entry.id),
        Payload::Data(data) => format!("{}:{}", entry.id, String::from_utf8_lossy(data)),
        Payload::Config(membership) => format!("{}:config({membership})", entry.id),
    }
}

pub(crate) fn apply(apply: &Apply) -> String {
    match apply {
        Apply::Install(meta) => format!("apply snapshot {}", snapshot(meta)),
        Apply::Entries(committed) => {
            let shown = |(applied, token): (&Entry, Option<Token>)| match token {
                Some(token) => format!("apply {} and answer #{}", entry(applied), token.0),
                None => format!("apply {}", entry(applied)),
            };
            committed.iter().map(shown).collect::<Vec<_>>().join(", ")
        }
    }
}

pub(crate) fn refusal(refusal: Refusal) -> String {
    match refusal {
        Refusal::NotLeader { leader: Some(leader) } => format!("not leader, try {leader}"),
        Refusal::NotLeader { leader: None } => "not leader".to_owned(),
        Refusal::Overloaded => "overloaded".to_owned(),
        Refusal::Unknown => "outcome unknown".to_owned(),
        Refusal::Transferring { to } => format!("handing over to {to}"),
        Refusal::Membership(refusal) => format!("membership: {refusal:?}"),
        Refusal::Transfer(refusal) => format!("transfer: {refusal:?}"),
    }
}

pub(crate) fn event(event: &Event) -> String {
    match event {
        Event::Became { role, term } => format!("is {role:?} in term {term}"),
        Event::LeaderChanged { leader: Some(leader), term } => {
            format!("knows leader {leader} of term {term}")
        }
        Event::LeaderChanged { leader: None, term } => format!("knows no leader of term {term}"),
        Event::Campaigning { cause, term } => format!("wants to lead term {term}: {cause:?}"),
        Event::LeaderLost { leader, term } => format!("lost {leader}, leader of term {term}"),
        Event::Transferring { to } => format!("hands over to {to}"),
        Event::TransferFailed { to, reason } => {
            format!("gives up handing over to {to}: {reason:?}")
        }
        Event::DiskStalled => "has a disk that stalls".to_owned(),
        Event::Removed { by, as_of } => {
            format!("learns from {by} that it is removed as of {as_of}")
        }
        Event::QuorumLost => "heard from no quorum for too long".to_owned(),
        Event::Truncated { from } => format!("cuts its log from {from}"),
        Event::MembershipChanged { membership } => format!("membership is {membership}"),
        Event::Dropped { from, reason } => format!("drops a message from {from}: {reason:?}"),
        Event::Stranger { by, known } => {
            format!("is a stranger to {by}, who knows incarnation {}", known.0)
        }
        Event::SnapshotStarted { to, last } => format!("starts sending snapshot {last} to {to}"),
        Event::SnapshotInstalled { last } => format!("installs snapshot {last}"),
    }
}

pub(crate) fn snapshot(meta: &SnapshotMeta) -> String {
    format!("{}", meta.last)
}

fn word(granted: bool) -> &'static str {
    if granted { "granted" } else { "refused" }
}
