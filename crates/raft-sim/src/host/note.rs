//! What a node says has happened: counted, believed only if it can be so, and put on record.

use raft_core::{DropReason, ElectionCause, Event, NodeId, RoleName, TransferRefusal};
use raft_replica::{Outcome, Replica};

use super::Host;
use crate::agenda::Env;
use crate::invariants::Violation;
use crate::sometimes::Mark;

impl Host {
    /// What happened in a turn, in order.
    pub(super) fn note_all(&mut self, env: &mut Env, events: &[Event]) -> Result<(), Violation> {
        for (position, event) in events.iter().enumerate() {
            let after = events.get(position + 1);
            match (event, after) {
                (Event::Truncated { .. }, Some(Event::MembershipChanged { .. })) => {
                    env.witness.sometimes.hit(Mark::MembershipRolledBack);
                }
                (Event::DiskStalled, Some(Event::Transferring { .. })) => {
                    env.witness.sometimes.hit(Mark::StalledHandedOver);
                }
                _ => (),
            }
            self.note(env, event)?;
        }
        Ok(())
    }

    fn note(&mut self, env: &mut Env, event: &Event) -> Result<(), Violation> {
        if let Event::Became { role: RoleName::Candidate, term } = event {
            env.witness.on_campaign(self.id, *term);
        }
        let marks = &mut env.witness.sometimes;
        match event {
            Event::Became { role: RoleName::Leader, .. } => marks.hit(Mark::Elected),
            Event::LeaderChanged { leader: Some(leader), .. } => {
                let before = self.following.replace(*leader);
                if before.is_some_and(|before| before != *leader) {
                    marks.hit(Mark::LeaderChanged);
                }
            }
            Event::QuorumLost => marks.hit(Mark::QuorumLost),
            Event::Truncated { .. } => marks.hit(Mark::Truncated),
            Event::SnapshotStarted { .. } => marks.hit(Mark::SnapshotSent),
            Event::SnapshotInstalled { .. } => {
                marks.hit(Mark::SnapshotInstalled);
                marks.add(Mark::NewcomerBySnapshot, u64::from(self.bootstrap.is_empty()));
            }
            Event::Campaigning { cause, .. } => marks.hit(match cause {
                ElectionCause::Timeout | ElectionCause::Doubt => Mark::CampaignTimeout,
                ElectionCause::LeaderLost => Mark::CampaignLost,
                ElectionCause::Transfer => Mark::CampaignTransfer,
            }),
            Event::TransferFailed { reason: TransferRefusal::TimedOut, .. } => {
                marks.hit(Mark::TransferTimedOut);
            }
            Event::Removed { .. } => marks.hit(Mark::RemovedTold),
            Event::Stranger { .. } if self.renewed => marks.hit(Mark::StrangerTold),
            Event::Became { .. }
            | Event::LeaderChanged { leader: None, .. }
            | Event::MembershipChanged { .. }
            | Event::LeaderLost { .. }
            | Event::Transferring { .. }
            | Event::TransferFailed { .. }
            | Event::DiskStalled
            // A refusal that was overtaken contradicts what has been said since; and those who come
            // and go are not members before they are told, and not after.
            | Event::Dropped {
                reason: DropReason::Contradiction | DropReason::NotAMember, ..
            } => (),
            Event::Dropped { reason: DropReason::Forgotten, .. } if self.renewed => {}
            Event::Dropped { from, reason: DropReason::WrongIncarnation }
                if env.witness.ledger.was_wiped(*from) => {}
            Event::Dropped { .. } | Event::Stranger { .. } => {
                // None of the nodes lies.
                let what = format!("{}: {event:?}", self.id);
                return Err(Violation::named("nodes believe each other")(what));
            }
            // Whatever may be told of one day is noted below.
            _ => (),
        }
        env.witness.trace.note(env.now_us, format_args!("{} {event:?}", self.id));
        Ok(())
    }

    /// It has answered a client.
    pub(super) fn note_answer(&self, env: &mut Env, outcome: &Outcome) {
        let Some(node) = self.replica().map(Replica::node) else { return };
        match outcome {
            Outcome::Read { .. } => self.note_read(env),
            Outcome::Applied { id, duplicate: true, .. } => {
                let covered = node.snapshot().is_some_and(|meta| id.index <= meta.last.index);
                let marks = &mut env.witness.sometimes;
                marks.add(Mark::DuplicateAfterSnapshot, u64::from(covered));
                marks.add(Mark::DuplicateAfterChange, u64::from(id.term < node.term()));
            }
            _ => (),
        }
    }

    fn note_read(&self, env: &mut Env) {
        let Some(node) = self.replica().map(Replica::node) else { return };
        let votes = |id: NodeId| node.membership().is_voter(id);
        match (node.role(), votes(self.id)) {
            (RoleName::Leader, _) => (),
            (_, true) => env.witness.sometimes.hit(Mark::ReadByFollower),
            (_, false) => env.witness.sometimes.hit(Mark::ReadByLearner),
        }
    }
}
