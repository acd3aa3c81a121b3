//! Linearizable reads without a log entry (ReadIndex, dissertation §6.4).

use crate::effects::{ReadReady, Refusal};
use crate::node::Node;
use crate::quorum;
use crate::role::Role;
use crate::types::Token;

impl Node {
    /// A read joins the *next* round of heartbeats. A round that is under way may have been answered
    /// before the read began, and would confirm a leadership of the past (etcd #20418).
    pub(crate) fn on_read(&mut self, token: Token) {
        let leader_id = self.leader();
        let Role::Leader(leader) = &mut self.role else {
            self.refuse(token, Refusal::NotLeader { leader: leader_id });
            return;
        };
        leader.reads.push_back((leader.round.saturating_add(1), token));
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
        let confirmed = self.confirmed_round();
        let index = self.commit;
        let Role::Leader(leader) = &mut self.role else { return };
        if index < leader.opened {
            return;
        }
        while let Some((_, token)) = leader.reads.pop_front_if(|(round, _)| *round <= confirmed) {
            self.effects.reads.push(ReadReady { token, index });
        }
    }

    /// The latest round that a quorum answered.
    fn confirmed_round(&self) -> u64 {
        let Role::Leader(leader) = &self.role else { return 0 };
        quorum::reached(self.members.active(), |id| {
            if id == self.config.id {
                leader.round
            } else {
                leader.peers.get(&id).map_or(0, |peer| peer.acked_round)
            }
        })
    }
}
