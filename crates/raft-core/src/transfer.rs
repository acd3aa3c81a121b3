//! Handing over leadership (dissertation §3.10).
//!
//! The leader takes no more proposals, waits until the other has its whole log and all of it is
//! committed, so that no request is left with an unknown outcome, and tells it to campaign at once.
//! If it has not heard of a new term after an election timeout, it goes on as before.

use crate::effects::{Event, Refusal, TransferRefusal};
use crate::message::Body;
use crate::node::Node;
use crate::progress::{Peer, Progress};
use crate::quorum;
use crate::role::{Follower, Role};
use crate::types::{Instant, NodeId, Token};

/// A handing over that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    /// The request, if somebody asked for it.
    token: Option<Token>,
    pub(crate) to: NodeId,
    deadline: Instant,
    /// Whether the word was sent since the last heartbeat.
    sent: bool,
}

/// How the others would do without this leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// Somebody could take over, and would find a quorum.
    Ready,
    /// Somebody could take over, and would commit nothing until another voter is back.
    NoQuorum,
    /// Nobody could take over, or this node does not lead.
    Nobody,
}

/// A leader whose disk stalls hands over at most so often, in heartbeats: where all disks stall,
/// leadership would only go round.
const STALLS_APART: u32 = 1200;

impl Node {
    pub(crate) fn on_transfer(&mut self, token: Token, to: Option<NodeId>) {
        match self.find_successor(to) {
            Ok(Some(to)) => self.start_transfer(Some(token), to),
            Ok(None) => self.effects.done.push(token),
            Err(refusal) => self.refuse(token, refusal),
        }
    }

    /// Hands over to whoever is fit, because this node should not lead. Answers false if there is
    /// nobody.
    pub(crate) fn hand_over(&mut self) -> bool {
        let Ok(Some(to)) = self.find_successor(None) else { return false };
        self.start_transfer(None, to);
        true
    }

    /// How the others would do if this leader handed over and ended. Whoever leads with the vote of a
    /// node that is gone leads nobody. Where two of two or one of one are a quorum, there is nothing
    /// to be waited for.
    pub fn succession(&self) -> Succession {
        let Role::Leader(leader) = &self.role else { return Succession::Nobody };
        let active = self.members.active();
        let fit = |id| leader.peers.get(id).is_some_and(|peer| self.is_fit(id, peer).is_ok());
        // Whoever is on its way out follows as well as any.
        let follows = |id| leader.peers.get(id).is_some_and(|peer| self.keeps_up(peer).is_ok());
        let is_other = |id| id != self.config.id;
        if !active.voters.iter().copied().any(fit) {
            Succession::Nobody
        } else if quorum::reached(active, follows) || !quorum::reached(active, is_other) {
            Succession::Ready
        } else {
            Succession::NoQuorum
        }
    }

    fn start_transfer(&mut self, token: Option<Token>, to: NodeId) {
        let deadline = self.now.after(self.config.election_timeout);
        let Role::Leader(leader) = &mut self.role else { return };
        leader.transfer = Some(Transfer { token, to, deadline, sent: false });
        self.effects.events.push(Event::Transferring { to });
    }

    /// The one who is named, or the best one. Nothing if it leads already.
    fn find_successor(&self, to: Option<NodeId>) -> Result<Option<NodeId>, Refusal> {
        let Role::Leader(leader) = &self.role else {
            return Err(Refusal::NotLeader { leader: self.leader() });
        };
        if leader.transfer.is_some() {
            return Err(Refusal::Transfer(TransferRefusal::InProgress));
        }
        if to == Some(self.config.id) {
            return Ok(None);
        }
        if let Some(to) = to {
            let Some(peer) = leader.peers.get(to) else {
                return Err(Refusal::Transfer(TransferRefusal::NotAVoter));
            };
            self.is_fit(to, peer).map_err(Refusal::Transfer)?;
            return Ok(Some(to));
        }
        let fit = leader.peers.iter().filter(|(id, peer)| self.is_fit(*id, peer).is_ok());
        let best = fit.max_by_key(|(_, peer)| peer.matched);
        best.map(|(id, _)| Some(id)).ok_or(Refusal::Transfer(TransferRefusal::Nobody))
    }

    fn is_fit(&self, id: NodeId, peer: &Peer) -> Result<(), TransferRefusal> {
        // Whoever is about to lose its vote would have to hand over in its turn.
        if !self.members.active().voters.contains(&id) {
            return Err(TransferRefusal::NotAVoter);
        }
        self.keeps_up(peer)?;
        if peer.slow { Err(TransferRefusal::Slow) } else { Ok(()) }
    }

    fn keeps_up(&self, peer: &Peer) -> Result<(), TransferRefusal> {
        let lag = self.log.bytes_between(peer.matched, self.log.last().index);
        let lag_max = u64::try_from(self.config.transfer_lag_bytes_max).unwrap_or(u64::MAX);
        if !peer.is_alive(self.now, self.config.election_timeout) {
            Err(TransferRefusal::Silent)
        } else if lag_max < lag || !matches!(peer.progress, Progress::Replicate { .. }) {
            Err(TransferRefusal::Behind)
        } else {
            Ok(())
        }
    }

    /// Gives the word once the successor has everything; gives up if it cannot take over any more.
    pub(crate) fn drive_transfer(&mut self) {
        let last = self.log.last().index;
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(transfer) = &mut leader.transfer else { return };
        let to = transfer.to;
        let Some(peer) = leader.peers.get(to) else {
            return self.abort_transfer(TransferRefusal::NotAVoter);
        };
        if !self.members.active().voters.contains(&to) {
            return self.abort_transfer(TransferRefusal::NotAVoter);
        }
        if transfer.deadline <= self.now {
            return self.abort_transfer(TransferRefusal::TimedOut);
        }
        let ready = peer.matched == last && self.commit == last
            || mutant!("the word to take over does not wait for the log");
        if ready && !transfer.sent {
            transfer.sent = true;
            self.send(to, Body::TimeoutNow);
        }
    }

    fn abort_transfer(&mut self, reason: TransferRefusal) {
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(Transfer { token, to, .. }) = leader.transfer.take() else { return };
        self.effects.events.push(Event::TransferFailed { to, reason });
        if let Some(token) = token {
            self.refuse(token, Refusal::Transfer(reason));
        } else {
            // It was not a wish but a need: then it is better that nobody leads for a moment.
            self.become_follower(self.hard.term, None);
        }
    }

    /// With every heartbeat the word is given again: it may have been lost.
    pub(crate) fn repeat_transfer(&mut self) {
        let Role::Leader(leader) = &mut self.role else { return };
        if let Some(transfer) = &mut leader.transfer {
            transfer.sent = false;
        }
    }

    /// `from` campaigns in a later term. If it was told to, that is the end of a good transfer.
    pub(crate) fn note_successor(&mut self, from: NodeId) {
        let Role::Leader(leader) = &mut self.role else { return };
        if let Some(transfer) = leader.transfer.take_if(|transfer| transfer.to == from) {
            self.effects.done.extend(transfer.token);
        }
    }

    /// Answers the request for a transfer that leadership did not survive.
    pub(crate) fn end_transfer(&mut self) {
        let Role::Leader(leader) = &mut self.role else { return };
        if let Some(Transfer { token: Some(token), .. }) = leader.transfer.take() {
            self.refuse(token, Refusal::Unknown);
        }
    }

    /// The leader wants this node to take over.
    pub(crate) fn on_timeout_now(&mut self, from: NodeId) {
        let follows = matches!(&self.role, Role::Follower(Follower { leader: Some(leader), .. }) if *leader == from);
        if follows && self.is_promotable() {
            self.refuse_pending();
            let (cause, term) = (crate::effects::ElectionCause::Transfer, self.hard.term.next());
            self.effects.events.push(Event::Campaigning { cause, term });
            self.campaign(true);
            self.become_leader_if_elected();
        }
    }

    /// A leader whose disk stalls still commits what the others have on theirs, but it lives on
    /// borrowed time: it hands over.
    pub(crate) fn hand_over_if_stalled(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        let apart = self.config.heartbeat.saturating_mul(STALLS_APART);
        let lately = self.stalled.is_some_and(|at| self.now < at.after(apart));
        if leader.transfer.is_some()
            || lately
            || !self.disk.is_stalled(self.now, self.config.election_timeout)
        {
            return;
        }
        self.effects.events.push(Event::DiskStalled);
        self.stalled = Some(self.now);
        self.hand_over();
    }
}
