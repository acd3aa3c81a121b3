//! Whether the replicas still hold the same state.
//!
//! Every so many entries the leader puts into the log what its state hashed to after one of them.
//! Whoever applies that compares it with what its own state hashed to there. A difference means that
//! one of the two is no replica any more: a bit that flipped in memory, a state machine that is not
//! deterministic, a directory that somebody mended by hand. Nobody can say from one difference which
//! of the two it is, but it must not go on unnoticed: the one that notices stops.
//!
//! What a replica does not know, because it got the state after that entry from a snapshot, it does
//! not compare. So neither a restart, a snapshot nor another leader can raise a false alarm.

use std::collections::{BTreeSet, VecDeque};

use raft_core::{Index, LogId, NodeId};

/// What the leader says about its state; the content of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// After which entry...
    pub(crate) index: Index,
    /// ...its state hashed to this.
    pub(crate) hash: u64,
    /// Who says so.
    pub(crate) by: NodeId,
}

/// A state that is not the one the leader has, or had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the replicated state has diverged: after entry {index} it hashes to {own:016x} here, and to \
     {theirs:016x} at node {by}, which led when it said so"
)]
pub struct Divergence {
    /// After which entry.
    pub index: Index,
    /// The hash here.
    pub own: u64,
    /// The hash there.
    pub theirs: u64,
    /// Whose that is.
    pub by: NodeId,
}

impl Divergence {
    /// What its reader can do about it, at node `me`.
    pub fn hint(&self, me: NodeId) -> String {
        let (me, by) = (me.0, self.by.0);
        format!(
            "if the other nodes go on, the state of this one is wrong: stop it, move its data \
             directory away, remove it (raft-client set-config --remove {me}), start it with an empty \
             directory and --join, and add it again. If most of them stop like this one, that of node \
             {by} is wrong: replace node {by} in the same way, and start the others with \
             --distrust {by} meanwhile"
        )
    }
}

/// When states are compared.
#[derive(Clone, Debug, Default)]
pub(crate) struct CheckPolicy {
    /// After every so many entries; 0 is never.
    pub(crate) entries: u64,
    /// With whose states there is no comparing.
    pub(crate) distrust: BTreeSet<NodeId>,
}

/// What this replica's state hashed to, and how it compared.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    policy: CheckPolicy,
    /// The last few points at which a leader would speak up, oldest first.
    own: VecDeque<(Index, u64)>,
    /// The last point that the leader, if it is this replica, has not yet spoken about.
    due: Option<(Index, u64)>,
    /// The last point at which the state was the leader's.
    agreed: Index,
    divergence: Option<Divergence>,
}

/// Points remembered. A leader speaks right after it has come to one, so that only as many entries lie
/// between it and the check as are in flight.
const OWN_MAX: usize = 16;

impl Checks {
    pub(crate) fn new(policy: CheckPolicy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// The state came from a snapshot: what lies before it is not known.
    pub(crate) fn restart(&mut self, applied: LogId, hash: u64) {
        self.own.clear();
        self.due = None;
        if applied != LogId::ZERO && self.is_point(applied.index) {
            self.own.push_back((applied.index, hash));
        }
    }

    /// An entry has been applied, which made the state hash to `hash`. A check is no occasion for
    /// another one: an idle cluster stays idle.
    pub(crate) fn note(&mut self, index: Index, hash: u64, check: Option<Check>) {
        if self.is_point(index) {
            if OWN_MAX <= self.own.len() {
                self.own.pop_front();
            }
            self.own.push_back((index, hash));
            if check.is_none() {
                self.due = Some((index, hash));
            }
        }
        if let Some(check) = check {
            self.compare(check);
        }
    }

    fn compare(&mut self, Check { index, hash: theirs, by }: Check) {
        if self.policy.distrust.contains(&by) {
            return;
        }
        let known = self.own.iter().find(|(point, _)| *point == index);
        match known {
            Some((_, own)) if *own == theirs => self.agreed = self.agreed.max(index),
            Some((_, own)) => self.divergence = Some(Divergence { index, own: *own, theirs, by }),
            None => (),
        }
    }

    /// What the replica should say, if it leads: once.
    pub(crate) fn take_due(&mut self, by: NodeId) -> Option<Check> {
        self.due.take().map(|(index, hash)| Check { index, hash, by })
    }

    pub(crate) fn is_due(&self) -> bool {
        self.due.is_some()
    }

    pub(crate) fn agreed(&self) -> Index {
        self.agreed
    }

    pub(crate) fn divergence(&self) -> Option<&Divergence> {
        self.divergence.as_ref()
    }

    fn is_point(&self, index: Index) -> bool {
        self.policy.entries != 0 && index.0.is_multiple_of(self.policy.entries)
    }
}
