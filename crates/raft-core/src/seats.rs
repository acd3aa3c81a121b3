//! Who is who. A node is known by its id and by the seat that the configuration gives it; a seat
//! belongs to the disk that was first met on it. A disk that is found on another's seat has forgotten
//! what that one promised, and is not believed. An id that was removed and added again has a new
//! seat, and nothing to do with what it was before: neither for the others, nor in its own eyes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use crate::effects::DropReason;
use crate::membership::{Membership, SeatId};
use crate::message::{Append, AppendReply, Body, Heartbeat, Message, VoteReply};
use crate::node::{Node, TERM_MAX};
use crate::progress::Peer;
use crate::role::Role;
use crate::types::{Incarnation, LogId, NodeId};

/// Members and the incarnations under which they hold their seats. It follows from the rest of a
/// node's state, and does not show in it: an exploration that renames nodes would find it in another
/// order.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Familiar(Vec<(NodeId, Incarnation)>);

impl fmt::Debug for Familiar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Familiar")
    }
}

/// Who others are.
impl Node {
    /// Decides whether a message is meant for us and from whom it says, before its body is looked
    /// at (etcd #17081).
    ///
    /// A member is known by who holds the latest seat of its id, of those that are known here. Whoever
    /// names a later one is its successor. Anybody else who comes with another incarnation has lost
    /// its disk, and with it every promise it gave: it is told so (one that was obeyed split a
    /// database in two).
    pub(crate) fn admit(&mut self, message: &Message) -> Result<(), DropReason> {
        if message.cluster != self.config.cluster {
            return Err(DropReason::WrongCluster);
        }
        if message.to != self.config.id {
            return Err(DropReason::WrongRecipient);
        }
        if message.from == self.config.id {
            return Err(DropReason::FromSelf);
        }
        if TERM_MAX < message.term {
            return Err(DropReason::Malformed);
        }
        if self.familiar.0.contains(&(message.from, message.incarnation)) {
            return Ok(()); // Mostly. What follows is dearer.
        }
        // Only members are remembered, so that strangers cannot fill the record.
        let Some(seat) = self.members.active().seat_id(message.from) else {
            return self.admit_stranger(message);
        };
        let latest = self.last_seat_of(seat.node).map(|(&held, &holder)| (held, holder));
        let latest = latest.filter(|(held, _)| seat <= *held);
        if latest == Some((seat, message.incarnation)) {
            return Ok(());
        }
        let newest = latest.map_or(seat, |(held, _)| held);
        let claimed = claimed_seat(message).filter(|claimed| newest < *claimed);
        match (latest, claimed) {
            (Some((_, holder)), _) if holder == message.incarnation => {
                self.admit_successor(message)
            }
            (Some(_), _) if newest == seat && mutant!("a wiped disk is believed") => Ok(()),
            (_, Some(claimed)) => {
                self.meet(claimed, message.incarnation);
                self.admit_successor(message)
            }
            (Some(_), None) => {
                self.tell_stranger(message, seat);
                Err(DropReason::WrongIncarnation)
            }
            (None, None) => self.admit_newcomer(message, seat),
        }
    }

    /// The sender is no member by the active configuration. If it is none by any that is held here, it
    /// may be one by a later one: then it can name the entry that made it one, and once it is followed
    /// need not do so again. Else it was not asked, so it has nothing to answer, and it neither leads
    /// nor moves the term. It may ask whether it could: that changes nothing, and who was removed is
    /// told so.
    fn admit_stranger(&self, message: &Message) -> Result<(), DropReason> {
        let names_its_seat = claimed_seat(message).is_some_and(|seat| seat.since != LogId::ZERO);
        let followed = self.leader() == Some(message.from) && message.term == self.hard.term;
        let asks = matches!(message.body, Body::PreVote(_));
        if asks || names_its_seat || followed || !self.is_stranger(message.from) {
            Ok(())
        } else {
            Err(DropReason::NotAMember)
        }
    }

    /// Nobody is known on this seat. Whoever speaks for it first is met, and a seat is met once: so a
    /// message that is late, from a disk that had the id before, must not count. What binds nobody
    /// may be heard before.
    fn admit_newcomer(&mut self, message: &Message, seat: SeatId) -> Result<(), DropReason> {
        let speaks = match seat.since {
            LogId::ZERO => speaks_for_founder(seat, message),
            _ => self.speaks_for(seat, message),
        };
        if speaks {
            self.meet(seat, message.incarnation);
            return Ok(());
        }
        let conflict = matches!(message.body, Body::AppendReply(AppendReply::Conflict { .. }));
        let refuses = matches!(
            message.body,
            Body::PreVoteReply(VoteReply { granted: false, .. })
                | Body::VoteReply(VoteReply { granted: false, .. })
                | Body::Stranger { .. }
                | Body::Removed { .. }
        );
        let binds_nobody = conflict || refuses && seat.since == LogId::ZERO;
        binds_nobody.then_some(()).ok_or(DropReason::NotAMember)
    }

    /// Whether a message comes from a time when its sender's id had this seat. What is known here may
    /// be old, and the sender the empty disk of a machine that has been removed since. So a member is met
    /// while it only listens, by its leader, who tells whoever hears that it is to vote: see
    /// [`Node::is_met`].
    fn speaks_for(&self, seat: SeatId, message: &Message) -> bool {
        match (&message.body, &self.role) {
            (Body::VoteReply(reply), Role::Candidate(..))
                if mutant!("a vote tells whose seat it is") =>
            {
                reply.asked == self.hard.term
            }
            (Body::PreVoteReply(_), _) if mutant!("a vote tells whose seat it is") => true,
            (Body::HeartbeatReply(reply), Role::Leader(leader)) => {
                let later = |peer: &Peer| peer.before < reply.round;
                let present = self.hard.term == message.term;
                let listens = !self.members.active().is_voter(seat.node);
                listens && present && leader.peers.get(seat.node).is_some_and(later)
            }
            _ => claimed_seat(message) == Some(seat),
        }
    }

    /// Whether it is known which disk a member is. Without that nobody is made a voter: whoever has its
    /// id could vote for it.
    pub(crate) fn is_met(&self, id: NodeId) -> bool {
        let is_known =
            |seat: SeatId| seat.since == LogId::ZERO || self.hard.peers.contains_key(&seat);
        id == self.config.id
            || self.members.active().seat_id(id).is_some_and(is_known)
            || mutant!("who was never met is made a voter")
    }

    /// Under its id, the sender is a member by a configuration that has not arrived here. It may well
    /// be elected, and lead. But where the other one was to be counted that had this id before, it
    /// does not count; and who voted for that one does not vote for this one in the same term.
    fn admit_successor(&self, message: &Message) -> Result<(), DropReason> {
        let voted = self.hard.term == message.term && self.hard.vote == Some(message.from);
        match &message.body {
            Body::Vote(_) if voted => Err(DropReason::NotAMember),
            Body::PreVoteReply(_)
            | Body::VoteReply(_)
            | Body::AppendReply(_)
            | Body::HeartbeatReply(_)
            | Body::SnapshotReply(_)
            | Body::ReadIndex(_) => Err(DropReason::NotAMember),
            Body::PreVote(_)
            | Body::Vote(_)
            | Body::Append(_)
            | Body::Heartbeat(_)
            | Body::SnapshotChunk(_)
            | Body::Stranger { .. }
            | Body::TimeoutNow
            | Body::ReadIndexReply { .. }
            | Body::Removed { .. } => Ok(()),
        }
    }

    /// The latest seat of an id that is known, and who holds it.
    fn last_seat_of(&self, id: NodeId) -> Option<(&SeatId, &Incarnation)> {
        self.hard.peers.iter().rev().find(|(held, _)| held.node == id)
    }

    /// Who needs no second look: members whose present seat is the latest that is known of them, and
    /// under which incarnations they hold it.
    pub(crate) fn find_familiar(&self) -> Familiar {
        let active = self.members.active();
        let present = |id| {
            let (seat, holder) = self.last_seat_of(id)?;
            (active.seat_id(id) == Some(*seat)).then_some((id, *holder))
        };
        Familiar(active.members().into_iter().filter_map(present).collect())
    }

    fn meet(&mut self, seat: SeatId, incarnation: Incarnation) {
        self.hard.peers.insert(seat, incarnation);
        self.persist_hard_state();
        // The others must know before long: see `Heartbeat::met`.
        if let Role::Leader(leader) = &mut self.role {
            leader.heartbeat_due = self.now;
        }
    }

    fn tell_stranger(&mut self, message: &Message, seat: SeatId) {
        let known = self.hard.peers.get(&seat).copied();
        if let Some(known) = known.filter(|known| *known != message.incarnation)
            && !matches!(message.body, Body::Stranger { .. })
        {
            self.promise(message.from, Body::Stranger { known });
        }
    }

    /// Learns from the leader under which incarnations the members are known. Answers false if it
    /// counts on one under another than we do: then one of us obeys a disk that has forgotten what it
    /// promised, and the leader may have been elected without regard to what is acknowledged.
    pub(crate) fn compare_notes(
        &mut self,
        from: NodeId,
        met: &BTreeMap<SeatId, Incarnation>,
    ) -> bool {
        let own = self.config.id;
        let known = |seat: &SeatId| self.hard.peers.get(seat);
        let differs = |(seat, met): &(&SeatId, &Incarnation)| {
            seat.node != own && known(seat).is_some_and(|known| known != *met)
        };
        if met.is_empty() {
            return true;
        }
        if let Some((seat, _)) = met.iter().filter(differs).find(|(seat, _)| self.counts_on(seat)) {
            self.drop_message(from, DropReason::OtherDisk { of: seat.node });
            return false;
        }
        self.take_notes(met);
        true
    }

    /// Whether somebody may have counted on the disk that is known on this seat: it is a founder's, or
    /// a voter's by what is committed. Of one that listens two leaders may have met different disks,
    /// if the first died before it had told anybody; and if it made that one a voter, then in vain.
    fn counts_on(&self, seat: &SeatId) -> bool {
        let settled = self.members.at(self.commit);
        seat.since == LogId::ZERO
            || settled.is_voter(seat.node) && settled.seat_id(seat.node) == Some(*seat)
            || mutant!("of a learner's disk the first word is the last")
    }

    /// Remembers what a leader says of the members. Of those it adds by the same message it is to be
    /// called again once they are: a newcomer would otherwise not know whose votes count. Of those that
    /// an earlier configuration names, too: it may become active again. Of those that nobody here
    /// counts on, the last word is believed.
    pub(crate) fn take_notes(&mut self, met: &BTreeMap<SeatId, Incarnation>) {
        let own = self.config.id;
        let (members, peers) = (&self.members, &self.hard.peers);
        let founder = |seat: &SeatId, met: Incarnation| {
            self.founder && seat.since == LogId::ZERO && met == self.config.incarnation
        };
        let holds = |it: &Membership, seat: &SeatId| it.seat_id(seat.node) == Some(*seat);
        let votes = |seat: &SeatId| {
            let votes = |it: &Membership| it.is_voter(seat.node) && holds(it, seat);
            seat.since == LogId::ZERO || members.all().any(votes)
        };
        // What is said of the own id matters before the configuration that it is about arrives.
        let concerns = |seat: &SeatId, met: Incarnation| {
            if seat.node == own {
                !founder(seat, met)
            } else {
                members.all().any(|it| holds(it, seat))
            }
        };
        let is_news = |seat: &SeatId, met: Incarnation| match peers.get(seat) {
            Some(known) => *known != met && seat.node != own && !votes(seat),
            None => concerns(seat, met),
        };
        let news: Vec<(SeatId, Incarnation)> = met
            .iter()
            .filter(|(seat, met)| is_news(seat, **met))
            .map(|(&seat, &met)| (seat, met))
            .collect();
        if !news.is_empty() {
            self.hard.peers.extend(news);
            self.persist_hard_state();
        }
    }

    /// Under which incarnations the present members are known, and this node, which may be leaving.
    pub(crate) fn acquaintances(&self) -> BTreeMap<SeatId, Incarnation> {
        let active = self.members.active();
        let own = SeatId { node: self.config.id, since: self.own_since() };
        let present = |seat: &SeatId| *seat == own || active.seat_id(seat.node) == Some(*seat);
        let known = self.hard.peers.iter().filter(|(seat, _)| present(seat));
        known.map(|(&seat, &it)| (seat, it)).collect()
    }

    /// Nobody who is in no configuration any more can come back under the same seat. What is said of
    /// configurations that have not arrived here is kept.
    pub(crate) fn forget_the_gone(&mut self) {
        let (members, last) = (&self.members, self.log.last());
        let held = |seat: &SeatId| members.all().any(|it| it.seat_id(seat.node) == Some(*seat));
        let before = self.hard.peers.len();
        self.hard.peers.retain(|seat, _| last < seat.since || held(seat));
        if self.hard.peers.len() != before {
            self.persist_hard_state();
        }
    }
}

/// Who this node is.
impl Node {
    /// Whether this node may be elected: a voter, or who was asked to stand in. A voter of an earlier
    /// configuration may, too, as long as it does not know for committed what follows: nobody else may
    /// have that entry, and those who lack it would never get its vote (dissertation §4.2.2). It does
    /// not count itself then. But whoever forgot what is committed may not.
    pub(crate) fn is_promotable(&self) -> bool {
        self.may_stand() && self.quiet_until() <= self.now
    }

    /// Whether this node may be elected as far as its own log and those who need it know.
    pub(crate) fn may_stand(&self) -> bool {
        let mut unsettled = self.members.unsettled(self.commit);
        let asked = unsettled.any(|it| it.is_voter(self.config.id) && self.has_seat_in(it))
            || self.now < self.needed_until;
        asked && self.owed <= self.log.last().index
    }

    /// Whether this very disk is the member that a configuration has under this id. A log that comes
    /// in from its beginning also tells of those that had the id before, and their votes were
    /// theirs.
    pub(crate) fn has_seat_in(&self, membership: &Membership) -> bool {
        let Some(seat) = membership.seat_id(self.config.id) else { return false };
        match self.hard.peers.get(&seat) {
            Some(holder) => *holder == self.config.incarnation,
            None => self.founder && seat.since == LogId::ZERO,
        }
    }

    /// Whether somebody who asks the member of this seat for a vote asks this one. A newcomer is not
    /// who had its id before: that one may have promised otherwise. But it may have got a seat
    /// without having heard of it.
    pub(crate) fn is_meant(&self, since: LogId) -> bool {
        match self.hard.peers.get(&SeatId { node: self.config.id, since }) {
            Some(holder) => *holder == self.config.incarnation,
            None if since == LogId::ZERO => self.founder,
            None => self.own_since() < since,
        }
    }

    /// The own voice, where it counts.
    pub(crate) fn own_voice(&self) -> BTreeMap<NodeId, bool> {
        let counts = self.has_seat_in(self.members.active());
        counts.then_some((self.config.id, true)).into_iter().collect()
    }

    /// Since when this node is a member: its latest seat.
    pub(crate) fn own_since(&self) -> LogId {
        let own = |(seat, holder): &(&SeatId, &Incarnation)| {
            seat.node == self.config.id && **holder == self.config.incarnation
        };
        self.hard.peers.iter().filter(own).map(|(seat, _)| seat.since).max().unwrap_or_default()
    }
}

/// Whether a message comes from the disk that founded the cluster in this seat. Nobody had the seat
/// before; but an empty disk may wait under this id by now, to be added again, and answer whoever does
/// not know yet that the founder has left. It grants nothing (see [`Node::is_meant`]), leads nobody, and
/// says in its answers that it is no founder.
fn speaks_for_founder(seat: SeatId, message: &Message) -> bool {
    if mutant!("whoever answers first is the founder") {
        return true;
    }
    match &message.body {
        Body::PreVoteReply(reply) | Body::VoteReply(reply) => reply.granted,
        Body::HeartbeatReply(reply) => reply.founder,
        Body::AppendReply(_)
        | Body::SnapshotReply(_)
        | Body::ReadIndex(_)
        | Body::Stranger { .. }
        | Body::Removed { .. } => false,
        Body::PreVote(_) | Body::Vote(_) => claimed_seat(message) == Some(seat),
        Body::Append(_)
        | Body::Heartbeat(_)
        | Body::SnapshotChunk(_)
        | Body::TimeoutNow
        | Body::ReadIndexReply { .. } => true,
    }
}

/// Which seat the sender says it has.
fn claimed_seat(message: &Message) -> Option<SeatId> {
    let node = message.from;
    let own_in = |met: &BTreeMap<SeatId, Incarnation>| {
        let own = |(seat, holder): &(&SeatId, &Incarnation)| {
            seat.node == node && **holder == message.incarnation
        };
        met.iter().filter(own).map(|(seat, _)| *seat).next_back()
    };
    match &message.body {
        Body::PreVote(plea) | Body::Vote(plea) => Some(SeatId { node, since: plea.since }),
        Body::Append(Append { met, .. }) | Body::Heartbeat(Heartbeat { met, .. }) => own_in(met),
        Body::SnapshotChunk(chunk) => own_in(&chunk.met),
        Body::PreVoteReply(_)
        | Body::VoteReply(_)
        | Body::AppendReply(_)
        | Body::HeartbeatReply(_)
        | Body::SnapshotReply(_)
        | Body::Stranger { .. }
        | Body::TimeoutNow
        | Body::ReadIndex(_)
        | Body::ReadIndexReply { .. }
        | Body::Removed { .. } => None,
    }
}
