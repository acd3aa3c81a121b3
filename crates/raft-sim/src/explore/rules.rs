//! What must always hold: of a node by itself, and of all of them together with what has been.

use std::any::Any;
use std::collections::BTreeMap;

use raft_core::{AppendReply, Body, Entry, Index, LogId, NodeId, RoleName, Term, Token};

use super::fingerprint::mix;
use super::machine::{Consequences, Happening, Machine, Sent};
use super::tables::Outcome;
use crate::invariants::{Violation, checksum};

/// What the rules look at in a node.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) id: NodeId,
    pub(super) role: RoleName,
    pub(super) term: Term,
    pub(super) commit: Index,
    /// The durable term, and the durable vote in it.
    pub(super) durable_term: Term,
    pub(super) durable_vote: Option<NodeId>,
    /// Its log, and the durable one: term and checksum of each entry.
    log: Vec<(Term, u64)>,
    durable: Vec<(Term, u64)>,
    /// Whether a write is under way, and whether one is durable that the node has not heard of.
    pub(super) is_writing: bool,
    pub(super) is_synced: bool,
    /// Whether its disk keeps nothing any more.
    pub(super) is_doomed: bool,
    /// What the others hold, by the word of each to a leader.
    pub(super) matched: Vec<(NodeId, Index)>,
}

/// What has been: an answer depends on it, although no node needs to remember it any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    leaders: BTreeMap<Term, NodeId>,
    committed: Vec<Committed>,
    /// How much was committed when each read began that has no answer yet.
    reads: BTreeMap<Token, Index>,
}

/// An entry that some node knew to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Committed {
    term: Term,
    check: u64,
    /// The earliest term of a node that knew.
    in_term: Term,
}

impl Committed {
    fn id(&self, at: usize) -> LogId {
        LogId::new(self.term, Index(u64::try_from(at + 1).unwrap_or(u64::MAX)))
    }
}

impl Sight {
    pub(super) fn of(machine: &Machine) -> Self {
        let node = &machine.node;
        let mark = |entry: &Entry| (entry.id.term, checksum(&entry.payload));
        let held = (1..=node.last().index.0).map_while(|index| node.entry(Index(index)));
        Self {
            id: machine.id(),
            role: node.role(),
            term: node.term(),
            commit: node.commit_index().max(machine.claims),
            durable_term: machine.disk.hard.term,
            durable_vote: machine.disk.hard.vote,
            log: held.map(mark).collect(),
            durable: machine.disk.entries.iter().map(mark).collect(),
            is_writing: !machine.disk.writing.is_empty(),
            is_synced: !machine.disk.synced.is_empty(),
            is_doomed: machine.disk.doomed,
            matched: node.peers().iter().map(|peer| (peer.id, peer.matched)).collect(),
        }
    }

    /// What an onlooker sees.
    pub(super) fn view(&self) -> u64 {
        let role = match self.role {
            RoleName::Follower => 1,
            RoleName::PreCandidate => 2,
            RoleName::Candidate => 3,
            RoleName::Leader => 4,
        };
        let log = self.log.iter().fold(role, |hash, &(term, check)| mix(mix(hash, term.0), check));
        mix(mix(log, self.term.0), self.commit.0)
    }

    fn leads(&self) -> bool {
        self.role == RoleName::Leader
    }
}

/// An assertion of the core failed.
pub(super) fn assertion_failed(panic: &(dyn Any + Send)) -> Violation {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    violation("no assertion fails", text.unwrap_or_else(|| "a panic without a message".to_owned()))
}

/// What a node must keep to by itself.
pub(super) fn check_alone(
    before: &Machine,
    after: &Machine,
    done: &Consequences,
) -> Result<(), Violation> {
    let (old, hard, id) = (&before.disk.hard, &after.disk.hard, after.id());
    if hard.term < old.term
        || hard.term == old.term && old.vote.is_some_and(|it| hard.vote != Some(it))
    {
        let what = format!("{id} wrote {hard:?} over {old:?}");
        return Err(violation("one vote per term", what));
    }
    for sent in &done.sent {
        let Sent { message, term, vote, held } = sent;
        let is_kept = match &message.body {
            // Questions that nothing rests on.
            Body::PreVote(_) | Body::ReadIndex(_) => true,
            // A vote is given to a log in a term: they must not be lost.
            Body::Vote(request) => {
                *term == message.term && *vote == Some(message.from) && request.last.index <= *held
            }
            Body::HeartbeatReply(reply) => reply.matched <= *held,
            Body::VoteReply(reply) if reply.granted => {
                *term == reply.asked && *vote == Some(message.to)
            }
            Body::AppendReply(AppendReply::Matched { index }) => {
                message.term <= *term && index <= held
            }
            _ => message.term <= *term,
        };
        if !is_kept {
            let what = format!(
                "{id} holds term {term}, a vote for {vote:?} and entries up to {held}, and sends \
                 {message:?}"
            );
            return Err(violation("a promise is durable", what));
        }
    }
    let node = &after.node;
    if node.role() == RoleName::Leader && (hard.term, hard.vote) != (node.term(), Some(id)) {
        let what = format!("{id} leads term {} and holds {hard:?}", node.term());
        return Err(violation("a leader's own vote is durable", what));
    }
    check_counting(before, after)?;
    let mut next = before.node.commit_index();
    for entry in &done.applied {
        next = next.next();
        if entry.id.index != next {
            let what = format!("{id} applies {} instead of {next}", entry.id);
            return Err(violation("entries are applied in order", what));
        }
    }
    Ok(())
}

/// A leader commits by counting only what is of its own term (§5.4.2).
fn check_counting(before: &Machine, after: &Machine) -> Result<(), Violation> {
    let committed = |machine: &Machine| machine.node.commit_index().max(machine.claims);
    let (known, now, node) = (committed(before), committed(after), &after.node);
    let counted = node.id_at(now).map(|id| id.term);
    if node.role() == RoleName::Leader && known < now && counted != Some(node.term()) {
        let what = format!(
            "{} leads term {} and takes {now} for committed, an entry of term {counted:?}",
            node.id(),
            node.term()
        );
        return Err(violation("only entries of the own term are counted", what));
    }
    Ok(())
}

/// Fast failover: whoever hears its leader helps nobody to depose it, and that a leader's process is
/// gone moves no term.
pub(super) fn check_failover(
    before: &Machine,
    after: &Machine,
    happening: &Happening,
    done: &Consequences,
) -> Result<(), Violation> {
    let (id, old, new) = (after.id(), before.node.term(), after.node.term());
    let what = match (happening, before.hears) {
        (Happening::Hint, _) if new != old || !done.sent.is_empty() => {
            format!("{id} goes from term {old} to {new}, as its leader's process is gone")
        }
        (Happening::Deliver(message), Some(leader)) if message.from != leader => {
            let granted = |sent: &Sent| match &sent.message.body {
                Body::PreVoteReply(reply) | Body::VoteReply(reply) => reply.granted,
                _ => false,
            };
            let is_plea = matches!(message.body, Body::PreVote(_) | Body::Vote(_));
            if !is_plea || new == old && !done.sent.iter().any(granted) {
                return Ok(());
            }
            format!("{id} hears {leader} in term {old}, and helps {}", message.from)
        }
        _ => return Ok(()),
    };
    Err(violation("who hears its leader does not help to depose it", what))
}

impl History {
    /// A read begins.
    pub(super) fn begin_read(&mut self, number: u32) {
        self.reads.insert(Token(u64::from(number)), self.commit());
    }

    fn commit(&self) -> Index {
        Index(u64::try_from(self.committed.len()).unwrap_or(u64::MAX))
    }

    /// Enters what is new.
    pub(super) fn learn(&mut self, sight: &Sight, outcome: &Outcome) -> Result<(), Violation> {
        if sight.leads() {
            self.leaders.entry(sight.term).or_insert(sight.id);
        }
        for &(token, index) in &outcome.reads {
            if let Some(began) = self.reads.remove(&token)
                && index < began
            {
                let what = format!("{} reads at {index}, after {began} was committed", sight.id);
                return Err(violation("reads see what was committed", what));
            }
        }
        for token in &outcome.refused {
            self.reads.remove(token);
        }
        for known in self.committed.iter_mut().take(position(sight.commit)) {
            known.in_term = known.in_term.min(sight.term);
        }
        for index in self.committed.len()..position(sight.commit) {
            let Some(&(term, check)) = sight.log.get(index) else { break };
            self.committed.push(Committed { term, check, in_term: sight.term });
        }
        Ok(())
    }

    /// What must hold of all nodes together.
    pub(super) fn check(&self, all: &[&Sight]) -> Result<(), Violation> {
        for (at, sight) in all.iter().enumerate() {
            if sight.leads() {
                self.check_leader(sight)?;
            }
            self.check_commit(sight)?;
            for other in &all[..at] {
                check_match(sight, other)?;
            }
        }
        for (at, committed) in self.committed.iter().enumerate() {
            let entry = Some(&(committed.term, committed.check));
            let disks = all.iter().filter(|sight| sight.durable.get(at) == entry).count();
            if 2 * disks <= all.len() {
                let id = committed.id(at);
                let what = format!("{id} is committed, and on {disks} of {} disks", all.len());
                return Err(violation("what is committed is on a majority of disks", what));
            }
        }
        Ok(())
    }

    fn check_commit(&self, sight: &Sight) -> Result<(), Violation> {
        let known = self.committed.iter().enumerate().take(position(sight.commit));
        for (at, committed) in known {
            if sight.log.get(at) != Some(&(committed.term, committed.check)) {
                let (id, log) = (committed.id(at), &sight.log);
                let what = format!("{} holds {log:?} where {id} is committed", sight.id);
                return Err(violation("state-machine safety", what));
            }
        }
        Ok(())
    }

    fn check_leader(&self, sight: &Sight) -> Result<(), Violation> {
        let (id, term) = (sight.id, sight.term);
        if let Some(&leader) = self.leaders.get(&term)
            && leader != id
        {
            let what = format!("{leader} and {id} both lead term {term}");
            return Err(violation("election safety", what));
        }
        let mut earlier = (0..).zip(&self.committed).filter(|(_, it)| it.in_term < term);
        match earlier.find(|(at, it)| sight.log.get(*at) != Some(&(it.term, it.check))) {
            None => Ok(()),
            Some((at, it)) => {
                let what = format!(
                    "{id} leads term {term} without {}@{}, committed in term {}",
                    at + 1,
                    it.term,
                    it.in_term
                );
                Err(violation("leader completeness", what))
            }
        }
    }
}

/// Two logs that hold an entry of one term at one place are the same up to it.
fn check_match(one: &Sight, other: &Sight) -> Result<(), Violation> {
    let both = one.log.iter().zip(&other.log);
    let agree = both.clone().rposition(|(left, right)| left.0 == right.0);
    let same = agree.map_or(0, |at| at + 1);
    if both.take(same).all(|(left, right)| left == right) {
        return Ok(());
    }
    let what = format!("{} holds {:?}, {} {:?}", one.id, one.log, other.id, other.log);
    Err(violation("log matching", what))
}

fn position(index: Index) -> usize {
    usize::try_from(index.0).unwrap_or(usize::MAX)
}

fn violation(property: &'static str, what: String) -> Violation {
    Violation { property, what }
}
