//! The way to a violation, as a story.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use raft_core::{Append, AppendReply, Body, Entry, Message, Node};

use super::action::{Action, Kind};
use super::search::Search;
use super::tables::Number;

/// Something that happened: what, to which state of the node, and what came of it.
type Happened = (Action, Number, Option<Number>);

/// Tells what happened on a way from the first state.
pub(super) fn tell(search: &mut Search, way: &[Action]) -> Vec<String> {
    let mut state = search.first();
    let mut story: Vec<Happened> = Vec::new();
    for &action in way {
        let (mut machines, mut done) = (state.machines, Vec::new());
        let next = search.successor(&state, action, &mut done);
        // Something that followed at once may be to blame.
        done.extend(next.as_ref().err().map(|(action, _)| *action));
        for action in done {
            let at = usize::from(action.at);
            let outcome = search.tables.try_out(machines[at], action).ok();
            story.push((action, machines[at], outcome));
            machines[at] = outcome.map_or(machines[at], |it| search.tables.outcome(it).machine);
        }
        match next {
            Ok((next, _)) => state = next,
            Err(_) => break,
        }
    }
    let told = what_matters(search, story).into_iter().enumerate();
    told.map(|(at, it)| format!("{:>3}  {}", at + 1, step(search, it))).collect()
}

/// Leaves out what changed no node and was answered in vain: much arrives at once, just in case.
fn what_matters(search: &Search, story: Vec<Happened>) -> Vec<Happened> {
    let mut wanted = BTreeSet::new();
    let mut told = Vec::new();
    for (action, before, outcome) in story.into_iter().rev() {
        let matters = outcome.is_none_or(|it| {
            let outcome = search.tables.outcome(it);
            outcome.machine != before || outcome.sent.iter().any(|sent| wanted.contains(sent))
        });
        if matters {
            if action.kind == Kind::Deliver {
                wanted.insert(action.about);
            }
            told.push((action, before, outcome));
        }
    }
    told.reverse();
    told
}

fn step(search: &Search, (action, before, outcome): Happened) -> String {
    let mut line = what(search, action);
    let Some(outcome) = outcome.map(|it| search.tables.outcome(it)) else { return line };
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
    let what = match action.kind {
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
    };
    let fate = if action.loses { ", and keeps nothing from here on" } else { "" };
    what + fate
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
