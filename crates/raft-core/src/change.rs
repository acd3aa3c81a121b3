//! Changes of membership, by joint consensus (§6; learners and catching up: dissertation §4.2.1).
//!
//! A leader goes through a change by looking at the active configuration: as long as it is not the
//! one wanted, it appends the next on the way there. So any leader finishes a joint configuration,
//! whoever began it, and nothing can be forgotten at a change of leadership but the wish itself.
//!
//! 1. Newcomers that are to vote become learners first.
//! 2. They catch up in rounds, each as long as what was appended during the one before. When a
//!    round takes less than an election timeout, its voter will not hold up the others.
//! 3. The joint configuration: decisions need a majority of the old and of the new voters.
//! 4. Once that is committed, the new configuration alone.
//! 5. Once that is committed, a leader that is no voter any more hands over and steps down.

use alloc::collections::BTreeMap;

use crate::effects::{Event, MembershipRefusal, Refusal};
use crate::input::MembershipChange;
use crate::membership::{MEMBERS_MAX, Membership};
use crate::message::Body;
use crate::node::Node;
use crate::progress::Peer;
use crate::quorum;
use crate::role::Role;
use crate::types::{Index, Instant, LogId, NodeId, Payload, Token};

/// A change on its way.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) token: Token,
    target: Membership,
    force: bool,
    /// Those who are to vote and do not yet.
    rounds: BTreeMap<NodeId, Round>,
}

/// One round of catching up: reach the end the log had when the round began.
#[derive(Clone, Copy, Debug)]
struct Round {
    number: u32,
    since: Instant,
    goal: Index,
    /// Whether a round was short enough.
    caught_up: bool,
}

/// Rounds after which a newcomer is taken for too slow (dissertation §4.2.1).
const ROUNDS_MAX: u32 = 10;

/// Election timeouts of silence after which a newcomer is taken for dead: it must be found, and may be
/// just starting.
const SILENCE_MAX: u32 = 10;

/// Who is told that it is removed believes it for so many election timeouts, and then asks again.
const BELIEVED: u32 = 10;

/// The wish.
impl Node {
    pub(crate) fn on_change_membership(&mut self, change: MembershipChange) {
        let MembershipChange { token, target, from, force } = change;
        if let Err(refusal) = self.may_change(&target, from.as_ref()) {
            return self.refuse(token, refusal);
        }
        let rounds = BTreeMap::new();
        let Role::Leader(leader) = &mut self.role else { return };
        leader.change = Some(Change { token, target, force, rounds });
    }

    fn may_change(&self, target: &Membership, from: Option<&Membership>) -> Result<(), Refusal> {
        let Role::Leader(leader) = &self.role else {
            return Err(Refusal::NotLeader { leader: self.leader() });
        };
        let refused = |refusal| Err(Refusal::Membership(refusal));
        if let Some(transfer) = &leader.transfer {
            return Err(Refusal::Transferring { to: transfer.to });
        }
        if !target.is_plain() {
            return refused(MembershipRefusal::Senseless);
        }
        if MEMBERS_MAX < target.len() {
            return refused(MembershipRefusal::TooMany);
        }
        // Two leaders that each change the membership they found, without having committed anything
        // of their own, could end up with majorities that do not meet (raft-dev, Ongaro 2015).
        if self.commit < leader.opened
            && !mutant!("a new leader changes members before it has committed anything")
        {
            return refused(MembershipRefusal::TooEarly);
        }
        let settled =
            self.members.since().index <= self.commit && !self.members.active().is_joint();
        if leader.change.is_some() || !settled {
            return refused(MembershipRefusal::InProgress);
        }
        if from.is_some_and(|from| !from.has_roles_of(self.members.active())) {
            return refused(MembershipRefusal::Changed);
        }
        Ok(())
    }
}

/// The way.
impl Node {
    /// Takes the next step of a change, if the last one is committed.
    pub(crate) fn drive_change(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let opened = leader.opened <= self.commit
            || mutant!("a new leader changes members before it has committed anything");
        let settled = self.members.since().index <= self.commit
            || mutant!("a joint configuration is left before it is committed")
                && self.members.active().is_joint();
        if !opened || !settled {
            return;
        }
        let active = self.members.active();
        if active.is_joint() {
            let plain = active.left();
            return self.append_own(Payload::Config(plain.into()));
        }
        self.tell_the_removed();
        let (term, index) = (self.hard.term, self.log.last().index.next());
        self.advance_change(LogId { term, index });
        self.step_down_if_no_voter();
    }

    fn advance_change(&mut self, entry: LogId) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(mut change) = leader.change.take() else { return };
        let active = self.members.active();
        let next = active.replaced_by(&change.target, entry);
        if next.has_roles_of(active) && next.seats_agree(active) {
            return self.effects.done.push(change.token);
        }
        let staged = active.with_newcomers(&change.target, entry);
        // Newcomers, and those who are to be reached elsewhere, must be reached before they vote.
        let reachable =
            next.voters.iter().all(|&id| active.contains(id)) && staged.seats_agree(active);
        let step = if next.voters == active.voters {
            Ok(Some(next))
        } else if !reachable {
            Ok(Some(staged))
        } else {
            self.join_when_ready(&mut change, entry)
        };
        match step {
            Ok(next) => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.change = Some(change);
                }
                if let Some(next) = next {
                    self.append_own(Payload::Config(next.into()));
                }
            }
            Err(refusal) => self.refuse(change.token, Refusal::Membership(refusal)),
        }
    }

    /// The joint configuration, as soon as all new voters have caught up and a quorum of the new
    /// voters has been heard from.
    fn join_when_ready(
        &self,
        change: &mut Change,
        entry: LogId,
    ) -> Result<Option<Membership>, MembershipRefusal> {
        let active = self.members.active();
        let waits = !change.force && !mutant!("newcomers vote before they have caught up");
        let mut ready = true;
        for &id in change.target.voters.difference(&active.voters) {
            ready &= self.has_caught_up(id, waits, &mut change.rounds)?;
        }
        if !ready {
            return Ok(None);
        }
        if waits && !self.hears_majority_of(&change.target) {
            return Err(MembershipRefusal::Unreachable);
        }
        Ok(Some(active.joint_with(&change.target, entry)))
    }

    /// Whether a newcomer may vote: it has been met, and if that is waited for, a round was short.
    fn has_caught_up(
        &self,
        id: NodeId,
        waits: bool,
        rounds: &mut BTreeMap<NodeId, Round>,
    ) -> Result<bool, MembershipRefusal> {
        let (now, last) = (self.now, self.log.last().index);
        let Role::Leader(leader) = &self.role else { return Ok(false) };
        let Some(peer) = leader.peers.get(id) else { return Ok(id == self.config.id) };
        let patience = self.config.election_timeout;
        let first = Round { number: 1, since: now, goal: last, caught_up: false };
        let round = rounds.entry(id).or_insert(first);
        if round.caught_up {
            return Ok(true);
        }
        // Whoever was silent before the wish is not judged by that.
        if peer.heard.max(round.since).after(patience.saturating_mul(SILENCE_MAX)) <= now {
            return Err(MembershipRefusal::Behind { id });
        }
        if !waits || !self.is_met(id) {
            return Ok(self.is_met(id));
        }
        // What it had before it fell silent does not say that it is there.
        if peer.matched < round.goal || !peer.is_alive(now, patience) {
            return Ok(false);
        }
        round.caught_up = now < round.since.after(patience);
        if !round.caught_up {
            if round.number == ROUNDS_MAX {
                return Err(MembershipRefusal::Behind { id });
            }
            *round = Round { number: round.number.saturating_add(1), ..first };
        }
        Ok(round.caught_up)
    }

    fn hears_majority_of(&self, target: &Membership) -> bool {
        let Role::Leader(leader) = &self.role else { return false };
        let alive = |id| {
            // A new leader has heard nobody yet, however short its silence.
            let patience = self.config.election_timeout;
            let peer = leader.peers.get(id);
            id == self.config.id || peer.is_some_and(|peer| peer.is_alive(self.now, patience))
        };
        quorum::reached(target, alive)
    }

    /// A configuration was appended: the leader serves those who are in it, and counts by it.
    pub(crate) fn on_new_members(&mut self) {
        let members = self.members.active().members();
        let (own, next, now) = (self.config.id, self.log.last().index, self.now);
        let Role::Leader(leader) = &mut self.role else { return };
        let mut others = members.clone();
        others.remove(&own);
        let round = leader.round;
        let gone = leader.peers.become_those(&others, || Peer::new(next, now, round));
        leader.leaving.extend(gone);
        leader.leaving.retain(|id| !members.contains(id));
        // Whoever came wants to hear who leads, and what is known of the others.
        leader.heartbeat_due = now;
        leader.quorum_until = now;
        // A smaller quorum may have been reached already (raft-rs #363).
        self.advance_commit();
        self.release_reads();
    }

    /// The removal is committed. Those who are not told now, because the message is lost, will be
    /// when they ask for a vote.
    fn tell_the_removed(&mut self) {
        let as_of = self.members.since();
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.leaving.is_empty() {
            return; // Mostly.
        }
        for to in core::mem::take(&mut leader.leaving) {
            self.send(to, Body::Removed { as_of });
        }
    }

    /// A leader that is no voter any more has replicated the change without counting itself; now
    /// somebody else takes over (dissertation §4.2.2).
    fn step_down_if_no_voter(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let committed = self.members.since().index <= self.commit;
        let votes = self.members.active().is_voter(self.config.id);
        if votes || !committed || leader.transfer.is_some() {
            return;
        }
        if mutant!("a leader that is out goes on") {
            return;
        }
        if !self.members.active().contains(self.config.id) {
            let (by, as_of) = (self.config.id, self.members.since());
            self.effects.events.push(Event::Removed { by, as_of });
        }
        if !self.hand_over() {
            self.become_follower(self.hard.term, None);
        }
    }
}

/// Those who are no members any more.
impl Node {
    /// Whoever asks for a vote without being a member is told. Answers whether that is all there is
    /// to say: a longer log may hold a later configuration, in which it is a member again.
    pub(crate) fn tell_if_removed(&mut self, from: NodeId, last: LogId) -> bool {
        let as_of = self.members.since();
        let removed = !self.members.active().is_empty()
            && !self.members.active().contains(from)
            && as_of.index <= self.commit;
        if removed {
            self.promise(from, Body::Removed { as_of });
        }
        removed && last < as_of
    }

    /// Until when this node keeps quiet, because it was told that it is removed. It is not for ever:
    /// what anybody could say would otherwise silence those who are left when the leader dies.
    pub(crate) fn quiet_until(&self) -> Instant {
        self.removed.map_or(Instant(0), |(_, until)| until)
    }

    pub(crate) fn on_removed(&mut self, from: NodeId, as_of: LogId) {
        let active = self.members.active();
        // Its own log may hold the removal, without its knowing that it is committed.
        let is_news = self.members.since() < as_of
            || self.members.since() == as_of && !active.contains(self.config.id);
        if active.contains(from) && is_news {
            let is_known = self.removed.is_some();
            let doubt = self.now.after(self.config.election_timeout.saturating_mul(BELIEVED));
            self.removed = Some((as_of, doubt));
            if !is_known {
                self.effects.events.push(Event::Removed { by: from, as_of });
            }
            // Whatever it was asking for is in vain.
            if matches!(self.role, Role::PreCandidate(_) | Role::Candidate(..)) {
                self.follow(None);
                self.announce_role();
            }
        }
    }
}
