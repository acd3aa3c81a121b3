//! What must always hold: of a node by itself, and of all of them together with what has been.

use std::any::Any;
use std::collections::BTreeMap;

use raft_core::{AppendReply, Body, Entry, Index, LogId, NodeId, RoleName, Term, Token};

use super::fingerprint::mix;
use super::machine::{Consequences, Machine};
use super::tables::Outcome;
use crate::invariants::{Violation, checksum};

/// What the rules look at in a node.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) id: NodeId,
    pub(super) role: RoleName,
    pub(super) term: Term,
    pub(super) commit: Index,
    /// The durable term.
    pub(super) durable_term: Term,
    /// Its log, and the durable one: term and checksum of each entry.
    log: Vec<(Term, u64)>,
    durable: Vec<(Term, u64)>,
    pub(super) writing: Writing,
    pub(super) is_synced: bool,
}

/// Whether a node writes, and when it hears of what is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    Nothing,
    /// At once: see [`super::machine::Disk::hears_at_once`].
    HeardAtOnce,
    HeardLater,
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
    /// The term of the node that knew first.
    in_term: Term,
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
            commit: node.commit_index(),
            durable_term: machine.disk.hard.term,
            log: held.map(mark).collect(),
            durable: machine.disk.entries.iter().map(mark).collect(),
            writing: if machine.disk.writing.is_empty() {
                Writing::Nothing
            } else if machine.disk.hears_at_once() {
                Writing::HeardAtOnce
            } else {
                Writing::HeardLater
            },
            is_synced: !machine.disk.synced.is_empty(),
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
    for message in &done.sent {
        let held = Index(u64::try_from(after.disk.entries.len()).unwrap_or(u64::MAX));
        let is_kept = match &message.body {
            // Pleas, and what says only that the sender lives.
            Body::PreVote(_) | Body::Vote(_) | Body::ReadIndex(_) => true,
            Body::HeartbeatReply(reply) => reply.matched <= held,
            Body::VoteReply(reply) if reply.granted => {
                hard.term == reply.asked && hard.vote == Some(message.to)
            }
            Body::AppendReply(AppendReply::Matched { index }) => {
                message.term <= hard.term && *index <= held
            }
            _ => message.term <= hard.term,
        };
        if !is_kept {
            let what =
                format!("{id} holds {hard:?} and entries up to {held}, and sends {message:?}");
            return Err(violation("a promise is durable", what));
        }
    }
    let node = &after.node;
    if node.role() == RoleName::Leader && (hard.term, hard.vote) != (node.term(), Some(id)) {
        let what = format!("{id} leads term {} and holds {hard:?}", node.term());
        return Err(violation("a leader's own vote is durable", what));
    }
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

impl History {
    /// A read begins.
    pub(super) fn begin_read(&mut self, number: u32) {
        self.reads.insert(Token(u64::from(number)), self.commit());
    }

    fn commit(&self) -> Index {
        Index(u64::try_from(self.committed.len()).unwrap_or(u64::MAX))
    }

    /// Whether this adds nothing to what has been.
    pub(super) fn knows(&self, sight: &Sight, outcome: &Outcome) -> bool {
        sight.commit <= self.commit()
            && (!sight.leads() || self.leaders.contains_key(&sight.term))
            && outcome.reads.is_empty()
            && outcome.refused.is_empty()
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
        for index in self.committed.len()..position(sight.commit) {
            let Some(&(term, check)) = sight.log.get(index) else { break };
            self.committed.push(Committed { term, check, in_term: sight.term });
        }
        Ok(())
    }

    /// What must hold of a node and the others, after something happened to it.
    pub(super) fn check(&self, sight: &Sight, all: &[&Sight]) -> Result<(), Violation> {
        if sight.leads() {
            self.check_leader(sight)?;
        }
        for other in all {
            check_match(sight, other)?;
        }
        for (at, committed) in self.committed.iter().enumerate() {
            let entry = (committed.term, committed.check);
            let id = LogId::new(committed.term, Index(u64::try_from(at + 1).unwrap_or(u64::MAX)));
            if at < position(sight.commit) && sight.log.get(at) != Some(&entry) {
                let what = format!("{} holds {:?} where {id} is committed", sight.id, sight.log);
                return Err(violation("state-machine safety", what));
            }
            let disks = all.iter().filter(|sight| sight.durable.get(at) == Some(&entry)).count();
            if 2 * disks <= all.len() {
                let what = format!("{id} is committed, and on {disks} of {} disks", all.len());
                return Err(violation("what is committed is on a majority of disks", what));
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
