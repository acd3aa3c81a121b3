//! Linearizable reads without a log entry (ReadIndex, dissertation §6.4).

use crate::effects::{DropReason, ReadReady, Refusal};
use crate::message::{Body, ReadId};
use crate::node::Node;
use crate::quorum;
use crate::role::{Asked, Follower, Reader, Role};
use crate::types::{Index, NodeId, Token};

/// The leader's side.
impl Node {
    pub(crate) fn on_read(&mut self, token: Token) {
        match &mut self.role {
            Role::Leader(_) => self.queue_read(Reader::Here(token)),
            Role::Follower(_) if mutant!("a follower reads without asking") => {
                self.effects.reads.push(ReadReady { token, index: self.commit });
            }
            Role::Follower(follower) if follower.leader.is_some() => follower.reads.push(token),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(..) => {
                self.refuse(token, Refusal::NotLeader { leader: None });
            }
        }
    }

    /// A follower asks for reads of its own.
    pub(crate) fn on_read_index(&mut self, from: NodeId, id: ReadId) {
        // It answers heartbeats as well, and those say more: asking keeps nobody in office.
        let Role::Leader(leader) = &self.role else { return };
        if leader.peers.get(from).is_none() {
            return self.drop_message(from, DropReason::NotAMember);
        }
        self.queue_read(Reader::Peer(from, id));
    }

    /// A read joins the *next* round of heartbeats. A round that is under way may have been answered
    /// before the read began, and would confirm a leadership of the past (etcd #20418).
    fn queue_read(&mut self, reader: Reader) {
        let Role::Leader(leader) = &mut self.role else { return };
        if mutant!("a read joins the round under way") {
            leader.reads.push_back((leader.round, reader));
            return self.release_reads();
        }
        leader.reads.push_back((leader.round.saturating_add(1), reader));
    }

    /// Starts a round for the reads that wait for one, unless an earlier round still waits for its
    /// answers: reads that come meanwhile share the next one. Should answers get lost, the next
    /// heartbeat is soon due anyway.
    pub(crate) fn start_read_round(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let waiting = leader.reads.back().is_some_and(|(round, _)| leader.round < *round);
        if waiting && leader.round <= self.confirmed_round() {
            self.broadcast_heartbeat();
        }
    }

    /// Lets the confirmed reads go. They see everything committed by now, which includes all that
    /// was acknowledged before they began; but a new leader knows what that is only once an entry of
    /// its own term is committed (§8).
    pub(crate) fn release_reads(&mut self) {
        if !matches!(&self.role, Role::Leader(leader) if !leader.reads.is_empty()) {
            return;
        }
        let confirmed = self.confirmed_round();
        let confirmed = mutant!("a leader reads without asking", u64::MAX, confirmed);
        let index = self.commit;
        let Role::Leader(leader) = &mut self.role else { return };
        if index < leader.opened && !mutant!("a new leader reads before it has committed anything")
        {
            return;
        }
        let confirmed = |(round, _): &mut (u64, Reader)| *round <= confirmed;
        let mut answers = alloc::vec::Vec::new();
        while let Some((_, reader)) = leader.reads.pop_front_if(confirmed) {
            match reader {
                Reader::Here(token) => self.effects.reads.push(ReadReady { token, index }),
                Reader::Peer(to, id) => answers.push((to, id)),
            }
        }
        for (to, id) in answers {
            self.send(to, Body::ReadIndexReply { id, index });
        }
    }

    /// The latest round that a quorum answered.
    fn confirmed_round(&self) -> u64 {
        let Role::Leader(leader) = &self.role else { return 0 };
        quorum::reached(self.members.active(), |id| {
            if id == self.config.id {
                leader.round
            } else {
                leader.peers.get(id).map_or(0, |peer| peer.acked_round)
            }
        })
    }
}

/// The follower's side.
impl Node {
    /// Asks the leader for the reads of this turn, all at once. Each turn's question has a number of
    /// its own: a read never joins a question that left before it began.
    pub(crate) fn ask_for_reads(&mut self) {
        let (now, start) = (self.now, self.start);
        let Role::Follower(follower) = &mut self.role else { return };
        let Some(leader) = follower.leader else { return };
        if follower.reads.is_empty() {
            return;
        }
        self.questions = self.questions.saturating_add(1);
        let (number, tokens) = (self.questions, core::mem::take(&mut follower.reads));
        follower.asked.push_back(Asked { number, at: now, tokens });
        self.send(leader, Body::ReadIndex(ReadId { start, number }));
    }

    /// The leader spoke, and yet has not answered for a heartbeat: question or answer is lost. The
    /// reads are asked for anew, under a new number, so that a late answer is not mistaken.
    pub(crate) fn ask_again(&mut self) {
        let (now, patience) = (self.now, self.config.heartbeat);
        let Role::Follower(Follower { reads, asked, .. }) = &mut self.role else { return };
        while let Some(lost) = asked.pop_front_if(|asked| asked.at.after(patience) <= now) {
            reads.extend(lost.tokens);
        }
    }

    pub(crate) fn on_read_index_reply(&mut self, from: NodeId, id: ReadId, index: Index) {
        let start = self.start;
        let Role::Follower(follower) = &mut self.role else { return };
        if follower.leader != Some(from) || id.start != start {
            return;
        }
        let answered = follower.asked.iter().position(|asked| asked.number == id.number);
        if let Some(asked) = answered.and_then(|position| follower.asked.remove(position)) {
            let ready = |token| ReadReady { token, index };
            self.effects.reads.extend(asked.tokens.into_iter().map(ready));
        }
    }
}
