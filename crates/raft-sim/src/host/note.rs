//! What a node says has happened: counted, believed only if it can be so, and put on record.

use raft_core::{DropReason, ElectionCause, Event, NodeId, RoleName, Token, TransferRefusal};
use raft_replica::{Outcome, Refused, Replica};

use super::Host;
use super::process::{Before, is_errand};
use crate::agenda::Env;
use crate::invariants::Violation;
use crate::sometimes::Mark;

impl Host {
    /// What happened in a turn, in order.
    pub(super) fn note_all(
        &mut self,
        env: &mut Env,
        before: &Before,
        events: &[Event],
    ) -> Result<(), Violation> {
        for (position, event) in events.iter().enumerate() {
            let after = events.get(position + 1);
            match (event, after) {
                (Event::Truncated { .. }, Some(Event::MembershipChanged { .. })) => {
                    env.witness.sometimes.hit(Mark::MembershipRolledBack);
                }
                (Event::DiskStalled, Some(Event::Transferring { .. })) => {
                    env.witness.sometimes.hit(Mark::StalledHandedOver);
                }
                (Event::SnapshotInstalled { last }, _) => {
                    let ledger = &env.witness.ledger;
                    let held = before.tail.iter().filter(|it| it.index <= last.index);
                    let over = held.copied().any(|it| ledger.contradicts(it));
                    env.witness.sometimes.add(Mark::SnapshotOverConflict, u64::from(over));
                }
                _ => (),
            }
            if let Event::Truncated { .. } = event {
                self.cut_from = self.cut_from.max(Some(before.last.index));
            }
            self.note(env, event)?;
        }
        let last = self.replica().map(|replica| replica.node().last().index);
        if self.cut_from.take_if(|cut| last.is_some_and(|last| *cut < last)).is_some() {
            env.witness.sometimes.hit(Mark::Regrown);
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
    pub(super) fn note_answer(&mut self, env: &mut Env, token: Token, outcome: &Outcome) {
        let Some(process) = &mut self.process else { return };
        let led = process.reads.remove(&token);
        let node = process.replica.node();
        match outcome {
            Outcome::Refused(refused) => {
                let leads = node.role() == RoleName::Leader && led == Some(node.term());
                let marks = &mut env.witness.sometimes;
                marks.add(Mark::ReadAborted, u64::from(led.is_some() && !leads));
                marks.add(Mark::RefusedWhenFull, u64::from(*refused == Refused::DiskFull));
            }
            Outcome::Done if is_errand(token) => env.witness.sometimes.hit(Mark::FullHandedOver),
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
