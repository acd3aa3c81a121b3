//! Failover faster than a timeout.
//!
//! When a process dies, its sockets are closed at once and new connections are refused. A follower
//! that sees both forgets the leader, without leaving the term, and soon asks the others whether
//! they would vote for it. They would only if they have lost the leader as well, or their own time
//! has run out. A broken link therefore harms nobody; and since no rule of safety rests on when an
//! election begins, a mistaken hint costs at most an election.

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
                if let Some(peer) = leader.peers.get_mut(&peer) {
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
        let soon = self.rng.up_to(micros(self.config.failover_jitter));
        let deadline = Instant(self.now.0.saturating_add(soon));
        self.follow(None);
        self.role.postpone(deadline);
        self.lost = Some(self.now);
        let term = self.hard.term;
        self.effects.events.push(Event::LeaderLost { leader, term });
        self.effects.events.push(Event::LeaderChanged { leader: None, term });
    }

    /// Whether the leader's process was found gone not long ago, and no leader has spoken since.
    pub(crate) fn leader_is_lost(&self) -> bool {
        self.lost.is_some_and(|at| self.now < at.after(self.config.election_timeout))
    }

    /// When to give up a campaign, or to try the next one. Usually that takes an election timeout;
    /// but while the others are still finding out that the leader is gone, a few moments.
    pub(crate) fn draw_campaign_deadline(&mut self) -> Instant {
        if !self.leader_is_lost() {
            return self.draw_deadline();
        }
        let jitter = self.config.failover_jitter;
        let more = self.rng.up_to(micros(jitter));
        Instant(self.now.after(jitter.saturating_mul(2)).0.saturating_add(more))
    }
}

fn micros(duration: core::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
