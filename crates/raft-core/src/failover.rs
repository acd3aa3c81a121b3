//! Failover faster than a timeout.
//!
//! When a process dies, its sockets are closed at once and new connections are refused. A follower
//! that sees both forgets the leader, without leaving the term, and soon, in its turn, asks the
//! others whether they would vote for it. They would only if they have lost the leader as well, or
//! their own time has run out. A broken link therefore harms nobody; and since no rule of safety
//! rests on when an election begins, a mistaken hint costs at most an election.

use crate::effects::Event;
use crate::node::Node;
use crate::role::{Follower, Role};
use crate::types::{Instant, NodeId};

impl Node {
    /// The process of a peer is gone.
    pub(crate) fn on_peer_down(&mut self, peer: NodeId) {
        match &mut self.role {
            Role::Leader(leader) => {
                // What was under way is lost. Nothing is sent into the void until it answers again.
                if let Some(peer) = leader.peers.get_mut(peer) {
                    peer.on_unreachable();
                }
            }
            Role::Follower(Follower { leader: Some(leader), .. })
                if *leader == peer && self.config.fast_failover =>
            {
                self.forget_leader(peer);
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(..) => (),
        }
    }

    fn forget_leader(&mut self, leader: NodeId) {
        self.refuse_pending();
        self.follow(None);
        self.lost = Some((leader, self.now));
        let deadline = self.in_turn(self.now, leader);
        self.role.postpone(deadline);
        let term = self.hard.term;
        self.effects.events.push(Event::LeaderLost { leader, term });
        self.effects.events.push(Event::LeaderChanged { leader: None, term });
    }

    /// Whether the leader's process was found gone not long ago, and no leader has spoken since.
    pub(crate) fn leader_is_lost(&self) -> bool {
        self.lost.is_some_and(|(_, at)| self.now < at.after(self.config.election_timeout))
    }

    /// When to give up a campaign, or to try the next one. Usually that takes an election timeout;
    /// but while the others are still finding out that the leader is gone, a few moments.
    pub(crate) fn draw_campaign_deadline(&mut self) -> Instant {
        match self.lost {
            Some((leader, _)) if self.leader_is_lost() => {
                let patience = self.config.failover_stagger.saturating_mul(PATIENCE);
                self.in_turn(self.now.after(patience), leader)
            }
            Some(_) | None => self.draw_deadline(),
        }
    }

    /// Those who are left begin one after the other, by their ids, each a little later than its turn.
    /// The first has mostly won before the second begins.
    fn in_turn(&mut self, from: Instant, lost: NodeId) -> Instant {
        let (own, stagger) = (self.config.id, self.config.failover_stagger);
        let before = |id: &NodeId| *id < own && *id != lost;
        let turn = self.members.active().voters.iter().filter(|&id| before(id)).count();
        let turn = u32::try_from(turn).unwrap_or(u32::MAX);
        let jitter = micros(stagger.checked_div(JITTER).unwrap_or_default());
        let late = self.rng.up_to(jitter);
        Instant(from.after(stagger.saturating_mul(turn)).0.saturating_add(late))
    }
}

/// A campaign may take so many turns before it is given up.
const PATIENCE: u32 = 2;

/// The part of a turn that chance decides.
const JITTER: u32 = 4;

fn micros(duration: core::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
