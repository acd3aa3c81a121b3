//! Elections (§5.2, §5.4.1; pre-vote: dissertation §9.6).

use alloc::collections::{BTreeSet, VecDeque};

use crate::effects::{ElectionCause, Event};
use crate::message::{Body, VoteReply, VoteRequest};
use crate::node::Node;
use crate::progress::Peer;
use crate::quorum::{self, Tally};
use crate::role::{Campaign, Follower, Leader, Role};
use crate::types::{LogId, NodeId, Payload, Term};

/// A node stands in for so many election timeouts after it was last asked for a vote: those who ask do
/// so again after one or two, and its own turn comes as late.
const STANDS_IN: u32 = 4;

impl Node {
    /// The leader is silent: asks the others whether they would give a vote, without disturbing
    /// anybody's term. A node that is cut off asks in vain for ever, and comes back harmless.
    pub(crate) fn ask_whether_to_campaign(&mut self) {
        self.refuse_pending();
        let asked = self.hard.term.next();
        let cause = match self.removed {
            Some(_) => ElectionCause::Doubt,
            None if self.leader_is_lost() => ElectionCause::LeaderLost,
            None => ElectionCause::Timeout,
        };
        self.effects.events.push(Event::Campaigning { cause, term: asked });
        self.role = Role::PreCandidate(self.new_campaign());
        self.announce_role();
        if mutant!("nobody asks before it campaigns") {
            return self.campaign(false);
        }
        for to in self.other_voters() {
            let plea = self.plea(to, false);
            self.send_in(to, asked, Body::PreVote(plea));
        }
        self.campaign_if_encouraged();
    }

    /// Asks for votes, once the term, the own vote and the log that the pleas tell of are durable. Else a
    /// crash could take them back: the node would stand in the same term again with a shorter log, and
    /// win by votes that it got for the longer one, without what was committed since.
    pub(crate) fn campaign(&mut self, handed_over: bool) {
        self.hard.term = self.hard.term.next();
        self.hard.vote = Some(self.config.id);
        self.persist_hard_state();
        let vote_seq = self.persist().seq;
        self.role = Role::Candidate(self.new_campaign(), vote_seq);
        self.announce_role();
        let early = mutant!("votes are asked for before the log is durable")
            || mutant!("a candidate leads before its own vote is durable");
        for to in self.other_voters() {
            let plea = Body::Vote(self.plea(to, handed_over));
            if early { self.send(to, plea) } else { self.promise(to, plea) }
        }
    }

    /// Says whether a vote would be given: only for a later term, to a log as complete as ours, and
    /// only if the leader is gone for us as well.
    pub(crate) fn on_pre_vote(&mut self, from: NodeId, asked: Term, request: &VoteRequest) {
        let later = self.hard.term < asked;
        let complete = self.is_as_complete(request.last);
        let wanted = later && self.is_meant(request.yours) && !self.hears_other_leader(from);
        if wanted && complete {
            self.promise(from, Body::PreVoteReply(VoteReply { granted: true, asked }));
            return;
        }
        self.refuse_pre_vote(from, asked);
        if wanted {
            self.stand_in();
        }
    }

    /// Somebody counts on this node's vote, and cannot have it, for its log lacks what this one has.
    /// If by its own log this node is no voter, it would not campaign, and perhaps nobody could ever
    /// win. So for a while it does (any server may, dissertation §4.2.2). It has no voice of its
    /// own then, and if it wins it hands over as soon as its configuration is committed.
    fn stand_in(&mut self) {
        if self.is_promotable() {
            return;
        }
        let timeout = self.config.election_timeout;
        self.needed_until = self.now.after(timeout.saturating_mul(STANDS_IN));
        let deadline = self.draw_campaign_deadline();
        self.role.postpone(deadline);
    }

    pub(crate) fn refuse_pre_vote(&mut self, to: NodeId, asked: Term) {
        self.promise(to, Body::PreVoteReply(VoteReply { granted: false, asked }));
    }

    pub(crate) fn on_pre_vote_reply(&mut self, from: NodeId, reply: &VoteReply) {
        let asked = self.hard.term.next();
        if mutant!("a pre-vote counts as a vote")
            && let Role::Candidate(campaign, _) = &mut self.role
            && reply.granted
        {
            campaign.votes.insert(from, true);
            return self.become_leader_if_elected();
        }
        let Role::PreCandidate(campaign) = &mut self.role else { return };
        if reply.asked == asked {
            campaign.votes.insert(from, reply.granted);
            self.campaign_if_encouraged();
        }
    }

    /// Grants at most one vote per term (§5.2), and only to a log at least as complete as ours
    /// (§5.4.1). Together these elect at most one leader per term, and never one that lacks a
    /// committed entry.
    pub(crate) fn on_vote(&mut self, from: NodeId, request: &VoteRequest) {
        let asked = self.hard.term;
        let unpledged = self.hard.vote.is_none_or(|vote| vote == from)
            || mutant!("a node votes twice in a term");
        let complete = self.is_as_complete(request.last);
        // Only a follower without a leader can be unpledged: a candidate voted for itself.
        let leaderless = matches!(&self.role, Role::Follower(Follower { leader: None, .. }));
        if !(unpledged && complete && leaderless && self.is_meant(request.yours)) {
            self.refuse_vote(from, asked);
            return;
        }
        if self.hard.vote.is_none() {
            self.hard.vote = Some(from);
            self.persist_hard_state();
        }
        // Somebody may soon lead: give it the time.
        if !mutant!("who votes does not wait for the elected") {
            let deadline = self.draw_campaign_deadline();
            self.role.postpone(deadline);
        }
        self.promise(from, Body::VoteReply(VoteReply { granted: true, asked }));
    }

    /// Whether a log that ends there is as complete as the own one (§5.4.1), and as that should be.
    fn is_as_complete(&self, last: LogId) -> bool {
        if mutant!("a vote is given to any log") {
            return true;
        } else if mutant!("logs are compared by their length") {
            return self.log.last().index <= last.index;
        } else if mutant!("an equal log gets no vote") {
            return self.log.last() < last;
        }
        self.log.last() <= last && self.owed <= last.index
    }

    pub(crate) fn refuse_vote(&mut self, to: NodeId, asked: Term) {
        self.promise(to, Body::VoteReply(VoteReply { granted: false, asked }));
    }

    pub(crate) fn on_vote_reply(&mut self, from: NodeId, reply: &VoteReply) {
        let asked = self.hard.term;
        let Role::Candidate(campaign, _) = &mut self.role else { return };
        if reply.asked == asked || mutant!("a vote of another term counts") {
            campaign.votes.insert(from, reply.granted);
            self.become_leader_if_elected();
        }
    }

    fn campaign_if_encouraged(&mut self) {
        let Role::PreCandidate(campaign) = &self.role else { return };
        match quorum::tally(self.members.active(), &campaign.votes) {
            Tally::Won => self.campaign(false),
            // Refused by too many: wait for the leader they hear, or for the next timeout.
            Tally::Lost => self.lose_election(),
            Tally::Open => (),
        }
    }

    fn lose_election(&mut self) {
        self.follow(None);
        if self.leader_is_lost() {
            let deadline = self.draw_campaign_deadline();
            self.role.postpone(deadline);
        }
        self.announce_role();
    }

    /// Becomes leader once a quorum agreed and the own (term, vote) is durable. Without the second
    /// condition a candidate that crashes after having led could campaign in the same term again,
    /// and two different entries could be committed at one place.
    pub(crate) fn become_leader_if_elected(&mut self) {
        let Role::Candidate(campaign, vote_seq) = &self.role else { return };
        match quorum::tally(self.members.active(), &campaign.votes) {
            Tally::Won
                if self.disk.is_durable(*vote_seq)
                    || mutant!("a candidate leads before its own vote is durable") =>
            {
                self.become_leader();
            }
            Tally::Lost => self.lose_election(),
            Tally::Won | Tally::Open => (),
        }
    }

    fn become_leader(&mut self) {
        let next = self.log.last().index.next();
        let mut members = self.members.active().members();
        members.remove(&self.config.id);
        let peers = members.into_iter().map(|id| (id, Peer::new(next, self.now, 0))).collect();
        self.role = Role::Leader(Leader {
            peers,
            tokens: VecDeque::new(),
            opened: next,
            round: 0,
            quorum_until: self.now,
            heartbeat_due: self.now.after(self.config.heartbeat),
            reads: VecDeque::new(),
            change: None,
            leaving: BTreeSet::new(),
            transfer: None,
        });
        self.lost = None;
        self.announce_role();
        let event = Event::LeaderChanged { leader: Some(self.config.id), term: self.hard.term };
        self.effects.events.push(event);
        // Only an entry of the own term can be committed by counting (§5.4.2, Figure 8), and reads
        // must wait for one (§8): begin with one at once.
        if !mutant!("no entry opens a term") {
            self.append_own(Payload::Noop);
        }
        self.advance_commit();
    }

    fn plea(&self, to: NodeId, handed_over: bool) -> VoteRequest {
        let yours = self.members.active().seat_id(to).map(|seat| seat.since).unwrap_or_default();
        VoteRequest { last: self.log.last(), since: self.own_since(), yours, handed_over }
    }

    fn new_campaign(&mut self) -> Campaign {
        Campaign { votes: self.own_voice(), deadline: self.draw_campaign_deadline() }
    }

    fn other_voters(&self) -> alloc::vec::Vec<NodeId> {
        let membership = self.members.active();
        let mut voters = membership.voters.clone();
        voters.extend(&membership.outgoing);
        voters.remove(&self.config.id);
        voters.into_iter().collect()
    }
}
