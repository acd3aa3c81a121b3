//! The operator: wishes for other members and other leaders, one after the other, without waiting for
//! what comes of them. Machines are made ready before they are added, and put away after they are
//! removed; nobody's disk is wiped while it may count for anything.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use raft_core::{Membership, MembershipRefusal, Node, NodeId, Seat, Token};
use raft_replica::{Outcome, Refused};

use super::{Asker, World};
use crate::agenda::{Arrival, Event};
use crate::client::Ask;
use crate::host::End;
use crate::invariants::{Violation, has_quorum};
use crate::plan::Kind;
use crate::rng::Rng;
use crate::scenario::Fault;
use crate::sometimes::Mark;
use crate::word::{Salt, Span};

/// A machine that gets an empty disk keeps silent for so long before it is added: what it said
/// earlier must not pass for its first word.
const SILENCE_US: (u64, u64) = (150_000, 300_000);

/// The operator.
pub(super) struct Operator {
    rng: Rng,
    /// What was asked for and has no outcome yet; and whether it is still on its way.
    wishes: BTreeMap<Token, Wish>,
}

struct Wish {
    target: Membership,
    /// Whether it is still on its way to its node.
    travels: bool,
    /// How many memberships were committed when it was asked for.
    known: usize,
}

impl Operator {
    /// The operator of this seed.
    pub(super) fn new(seed: u64) -> Self {
        Self { rng: Rng::stream(seed, "operator"), wishes: BTreeMap::new() }
    }

    /// A wish has arrived.
    pub(super) fn arrived(&mut self, token: Token) {
        if let Some(wish) = self.wishes.get_mut(&token) {
            wish.travels = false;
        }
    }
}

impl World {
    /// Begins to draw from this salt.
    pub(super) fn sow(&mut self, Salt(salt): Salt) {
        self.operator.rng = Rng::stream(salt, "operator");
    }

    /// Once there are no other wishes, the operator sees to it that what is lost is no member.
    pub(super) fn look_after_the_lost(&mut self) {
        let habits = self.env.scenario.habits;
        self.env.after(habits.gap_us, Event::Operator);
        if !self.env.faulty || !habits.changes {
            self.remove_the_lost();
        }
    }

    /// Whether, whatever comes of the changes under way, a majority is left without these.
    pub(super) fn can_do_without(&mut self, these: &BTreeSet<NodeId>) -> bool {
        self.forget_ended_wishes();
        let ledger = &self.env.witness.ledger;
        let wished = self.operator.wishes.values().map(|wish| &wish.target);
        ledger.possible().chain(wished).all(|membership| {
            has_quorum(membership, |id| !these.contains(&id) && !self.is_lost(id))
        })
    }

    /// Whether a node's disk can be wiped without harm: it belongs to nothing, and nobody wants it to.
    fn is_free(&mut self, id: NodeId) -> bool {
        self.forget_ended_wishes();
        let wished = self.operator.wishes.values().map(|wish| &wish.target);
        !self.env.witness.ledger.possible().chain(wished).any(|membership| membership.contains(id))
    }

    fn is_lost(&self, id: NodeId) -> bool {
        let ledger = &self.env.witness.ledger;
        ledger.possible().any(|membership| ledger.is_lost(membership, id))
    }

    /// Wishes end with their outcome, or with the process they were made to.
    fn forget_ended_wishes(&mut self) {
        let pending = &self.env.witness.pending;
        self.operator.wishes.retain(|&token, wish| wish.travels || pending.contains(token));
    }

    pub(super) fn wish_for_a_leader(&mut self) {
        let ids = self.env.scenario.ids();
        let rng = &mut self.operator.rng;
        let to = rng.chance(600).then(|| rng.pick(&ids));
        let leader = self.leader();
        let leader = leader.unwrap_or_else(|| self.operator.rng.pick(&ids));
        self.ask(Asker::Operator, leader, Ask::Transfer(to));
    }

    pub(super) fn wish_for_members(&mut self, kind: Kind) {
        let base = self.base();
        let Some(target) = self.draw_target(&base, kind) else { return };
        self.wish(&base, target, 150);
        // What the leader appends now the others may never hear of.
        if self.env.scenario.has(Fault::Cut) && self.operator.rng.chance(100) {
            let side = self.leader().into_iter().collect();
            let lasts = Span(self.operator.rng.between(50_000, 2_000_000));
            self.cut_off(&side, lasts);
        }
    }

    /// Those whose disk is lost are never coming back under the seat they have.
    fn remove_the_lost(&mut self) {
        let base = self.base();
        let mut target = base.clone();
        target.outgoing.clear();
        target.voters.retain(|&id| !self.is_lost(id));
        target.learners.retain(|&id| !self.is_lost(id));
        if !target.has_roles_of(&base) && !target.voters.is_empty() {
            self.wish(&base, target, 0);
        }
    }

    /// The membership as the leader shows it, or as it was last committed.
    fn base(&self) -> Membership {
        let leader = self.leader().and_then(|id| self.hosts.get(&id));
        let shown = leader.and_then(|host| host.replica()).map(|it| it.node().membership());
        shown.unwrap_or_else(|| self.env.witness.ledger.membership()).clone()
    }

    fn draw_target(&mut self, base: &Membership, kind: Kind) -> Option<Membership> {
        let mut target = Membership { outgoing: BTreeSet::new(), ..base.clone() };
        let leader = self.leader();
        let machines = self.env.scenario.ids();
        let rng = &mut self.operator.rng;
        let voters: Vec<NodeId> = base.voters.iter().copied().collect();
        let learners: Vec<NodeId> = target.learners.iter().copied().collect();
        let others: Vec<NodeId> =
            machines.iter().copied().filter(|&id| !target.contains(id)).collect();
        let mut one = |of: &[NodeId]| (!of.is_empty()).then(|| rng.pick(of));
        match kind {
            Kind::AddLearner => {
                target.learners.insert(one(&others)?);
            }
            Kind::AddVoter => {
                target.voters.insert(one(&others)?);
            }
            Kind::Remove => {
                let all: Vec<NodeId> = voters.iter().chain(&learners).copied().collect();
                remove(&mut target, one(&all)?);
            }
            Kind::RemoveLeader => remove(&mut target, leader?),
            Kind::Promote => {
                let id = one(&learners)?;
                target.learners.remove(&id);
                target.voters.insert(id);
            }
            Kind::Demote => {
                let id = one(&voters)?;
                target.voters.remove(&id);
                target.learners.insert(id);
            }
            Kind::Replace => {
                let (old, new) = (one(&voters)?, one(&others)?);
                target.voters.remove(&old);
                target.voters.insert(new);
            }
            Kind::Anything => {
                let count = rng.between(1, 5);
                target.voters = (0..count).map(|_| rng.pick(&machines)).collect();
                target.learners = machines.into_iter().filter(|_| rng.chance(200)).collect();
                target.learners.retain(|id| !target.voters.contains(id));
            }
        }
        Some(target)
    }

    /// Makes newcomers ready, and asks for a membership that can live without those who are lost.
    fn wish(&mut self, base: &Membership, mut target: Membership, force_permille: u64) {
        let ledger = &self.env.witness.ledger;
        let lasts = |id| {
            let keeps_seat = base.contains(id) && self.is_lost(id);
            !keeps_seat && !ledger.is_lost(ledger.membership(), id)
        };
        if target.voters.is_empty() || !has_quorum(&target, lasts) {
            return;
        }
        let newcomers: Vec<NodeId> =
            target.members().difference(&base.members()).copied().collect();
        let mut delay = self.operator.rng.within(self.env.scenario.delay_us);
        for id in newcomers {
            let contact = Bytes::from(format!("machine {id}"));
            target.seats.insert(id, Seat { contact, ..Seat::default() });
            if self.make_ready(id) {
                delay = self.operator.rng.within(SILENCE_US);
            }
        }
        target.seats.retain(|id, _| target.voters.contains(id) || target.learners.contains(id));
        let rng = &mut self.operator.rng;
        let from = rng.chance(800).then(|| base.clone());
        let force = rng.chance(force_permille);
        let ids = self.env.scenario.ids();
        let to = if rng.chance(950) { self.leader() } else { None };
        let to = to.unwrap_or_else(|| self.operator.rng.pick(&ids));
        let known = self.env.witness.ledger.memberships().len();
        let token = self.next_token();
        self.operator.wishes.insert(token, Wish { target: target.clone(), travels: true, known });
        self.tokens.insert(token, Asker::Operator);
        let ask = Ask::Change(target, from, force);
        self.env.witness.trace.note(self.env.now_us, format_args!("operator asks {to} {ask:?}"));
        self.env.after(delay, Event::Arrive(to, Arrival::Ask(token, ask)));
    }

    /// Switches a machine on that is to be added, with an empty disk or with the one it had. Answers
    /// whether the disk is new.
    fn make_ready(&mut self, id: NodeId) -> bool {
        let wiped = self.is_free(id) && self.operator.rng.chance(500);
        let stays_off = self.operator.rng.chance(250);
        let Some(host) = self.hosts.get_mut(&id) else { return false };
        if wiped {
            host.wipe(&mut self.env);
        }
        if !stays_off && (wiped || !host.is_on()) {
            host.switch(true);
            let delay = self.operator.rng.between(100, 100_000);
            self.env.after(delay, Event::Start(id));
        }
        wiped
    }

    /// Switches a machine off that is no member, or only stops its process for a moment.
    pub(super) fn put_away(&mut self) {
        let ids = self.env.scenario.ids();
        let id = self.operator.rng.pick(&ids);
        if !self.is_free(id) {
            return;
        }
        let how = self.operator.rng.pick(&[End::Power, End::Kill]);
        let Some(host) = self.hosts.get_mut(&id) else { return };
        if host.is_on() {
            host.switch(false);
            if host.replica().is_some() {
                host.end(&mut self.env, how);
            }
        }
    }

    /// The outcome of a wish.
    pub(super) fn on_outcome(&mut self, token: Token, outcome: &Outcome) -> Result<(), Violation> {
        let now_us = self.env.now_us;
        self.env.witness.trace.note(now_us, format_args!("operator is told {token:?} {outcome:?}"));
        let wish = self.operator.wishes.remove(&token);
        let ledger = &self.env.witness.ledger;
        let marks = &mut self.env.witness.sometimes;
        match (outcome, wish) {
            (Outcome::Done, Some(Wish { target, known, .. })) => {
                let since = ledger.memberships().iter().skip(known.saturating_sub(1));
                if !since.map(|(_, it)| it).any(|it| it.has_roles_of(&target)) {
                    let what = format!("{target} is said to be done, and nobody committed it");
                    return Err(Violation::named("a change that is done is committed")(what));
                }
            }
            (Outcome::Done, None) => marks.hit(Mark::TransferDone),
            (Outcome::Refused(Refused::Membership(refusal)), _) => marks.hit(match refusal {
                MembershipRefusal::Behind { .. } => Mark::NewcomerBehind,
                MembershipRefusal::Unreachable => Mark::Unreachable,
                MembershipRefusal::Senseless
                | MembershipRefusal::TooMany
                | MembershipRefusal::TooEarly
                | MembershipRefusal::InProgress
                | MembershipRefusal::Changed => Mark::ChangeRefused,
            }),
            (Outcome::Refused(Refused::Transfer(_)), _) => marks.hit(Mark::TransferRefused),
            (Outcome::Refused(_), _) => (),
            (outcome, _) => panic!("that is no answer to an operator: {outcome:?}"),
        }
        Ok(())
    }

    /// Whether the leader's membership is plain and committed, and it is a voter of it.
    pub(super) fn is_settled(&self) -> bool {
        let membership = self.env.witness.ledger.membership();
        let leader = self.leader().and_then(|id| self.hosts.get(&id)).and_then(|it| it.replica());
        let leads = |it: &Node| it.membership() == membership && membership.is_voter(it.id());
        !membership.is_joint() && leader.is_some_and(|it| leads(it.node()))
    }
}

fn remove(target: &mut Membership, id: NodeId) {
    target.voters.remove(&id);
    target.learners.remove(&id);
}
