//! The way to a violation, as a story.

use std::fmt::Write as _;

use raft_core::{Append, AppendReply, Body, Entry, Message, Node};

use super::action::{Action, Kind};
use super::search::Search;
use super::tables::Number;

/// Tells what happened on a way from the first state.
pub(super) fn tell(search: &mut Search, way: &[Action]) -> Vec<String> {
    let mut state = search.first();
    let mut lines = Vec::new();
    for &action in way {
        let (mut machines, mut done) = (state.machines, Vec::new());
        let next = search.successor(&state, action, &mut done);
        for action in done {
            let at = usize::from(action.at);
            let line = step(search, machines[at], action);
            lines.push(format!("{:>3}  {line}", lines.len() + 1));
            machines[at] = search.tables.outcome(machines[at], action).machine;
        }
        match next {
            Ok(Some(next)) => state = next,
            Ok(None) => (),
            Err((action, _)) => {
                lines.push(format!("{:>3}  {}", lines.len() + 1, what(search, action)));
            }
        }
    }
    lines
}

fn step(search: &Search, before: Number, action: Action) -> String {
    let mut line = what(search, action);
    let outcome = search.tables.outcome(before, action);
    let node = |number| &search.tables.machine(number).it.machine.node;
    let (old, new) = (status(node(before)), status(node(outcome.machine)));
    if old != new {
        write!(line, "; {new}").expect("memory takes what is written to it");
    }
    for &message in &outcome.sent {
        let message = &search.tables.message(message).it;
        write!(line, "; sends {}", show(message)).expect("memory takes what is written to it");
    }
    line
}

fn what(search: &Search, action: Action) -> String {
    let id = u64::from(action.at) + 1;
    match action.kind {
        Kind::Deliver => {
            let message = &search.tables.message(action.about).it;
            format!("n{id} gets {}", show(message))
        }
        Kind::Timeout => format!("n{id}'s time has run out"),
        Kind::Hint => format!("n{id} is told that its leader's process is gone"),
        Kind::Lapse => format!("n{id} has not heard its leader for an election timeout"),
        Kind::Beat => format!("n{id}'s heartbeat is due"),
        Kind::Sync => format!("n{id}'s oldest write is durable"),
        Kind::Told => format!("n{id} hears that a write is durable"),
        Kind::Crash => format!("n{id} crashes and starts again"),
        Kind::Propose => format!("a client proposes {} at n{id}", action.about),
        Kind::Read => format!("a client begins read {} at n{id}", action.about),
    }
}

fn status(node: &Node) -> String {
    let log = (1..=node.last().index.0).filter_map(|index| node.id_at(raft_core::Index(index)));
    let log: Vec<_> = log.map(|id| id.to_string()).collect();
    let mut status = format!("{:?} in term {}", node.role(), node.term());
    if let Some(vote) = node.vote() {
        write!(status, " voting {vote}").expect("memory takes what is written to it");
    }
    write!(status, ", log [{}], commit {}", log.join(" "), node.commit_index())
        .expect("memory takes what is written to it");
    status
}

fn show(message: &Message) -> String {
    let Message { from, to, term, body, .. } = message;
    let what = match body {
        Body::PreVote(request) => format!("PreVote last={}", request.last),
        Body::Vote(request) => format!("Vote last={}", request.last),
        Body::PreVoteReply(reply) => format!("PreVoteReply {} {}", reply.asked, yes(reply.granted)),
        Body::VoteReply(reply) => format!("VoteReply {} {}", reply.asked, yes(reply.granted)),
        Body::Append(append) => show_append(append),
        Body::AppendReply(AppendReply::Matched { index }) => format!("Matched {index}"),
        Body::AppendReply(AppendReply::Conflict { rejected, hint }) => {
            format!("Conflict {rejected}, hint {hint}")
        }
        Body::Heartbeat(beat) => format!("Heartbeat {} commit={}", beat.round, beat.commit),
        Body::HeartbeatReply(reply) => {
            format!(
                "HeartbeatReply {} received={} matched={}",
                reply.round, reply.received, reply.matched
            )
        }
        other => format!("{other:?}"),
    };
    format!("{from}→{to} term={term} {what}")
}

fn show_append(append: &Append) -> String {
    let ids: Vec<_> = append.entries.iter().map(|Entry { id, .. }| id.to_string()).collect();
    format!("Append prev={} [{}] commit={}", append.prev, ids.join(" "), append.commit)
}

fn yes(granted: bool) -> &'static str {
    if granted { "yes" } else { "no" }
}
