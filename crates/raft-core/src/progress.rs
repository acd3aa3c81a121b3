//! What a leader knows of one peer.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::types::{Index, Instant, SnapshotMeta};

/// What a leader knows of one peer. `matched` never goes back within a term and an incarnation.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The last index known to agree, durably.
    pub(crate) matched: Index,
    /// When it last answered in this term, or when the leader began to wait for that.
    pub(crate) heard: Instant,
    /// The last heartbeat round before it was a peer.
    pub(crate) before: u64,
    /// The latest heartbeat round it answered.
    pub(crate) acked_round: u64,
    /// Whether its process was found gone since it last answered.
    pub(crate) down: bool,
    /// Whether its disk stalls, by its own word.
    pub(crate) slow: bool,
    /// How it is being served.
    pub(crate) progress: Progress,
}

/// How a peer is being served.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// Looking for the place where the logs agree: one append at a time.
    Probe {
        /// The first entry of the next append.
        next: Index,
        /// The append that waits for an answer.
        waiting: Option<Inflight>,
    },
    /// The logs agree: appends are sent without waiting.
    Replicate {
        /// The first entry of the next append.
        next: Index,
        /// Appends without an answer, oldest first.
        inflight: VecDeque<Inflight>,
    },
    /// It needs entries that are no longer held.
    Snapshot {
        /// The snapshot it gets instead.
        meta: SnapshotMeta,
        /// The next byte it wants, as far as is known.
        offset: u64,
        /// What was sent and has no answer; none while the piece at `offset` is being read.
        sent: Option<SentPiece>,
    },
}

/// A message about a snapshot that has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SentPiece {
    pub(crate) kind: PieceKind,
    /// When it left.
    pub(crate) at: Instant,
    /// The latest heartbeat round before it.
    pub(crate) round: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PieceKind {
    /// An empty piece: how far is it?
    Question,
    /// Bytes of the snapshot.
    Data,
}

/// An append without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inflight {
    /// Its last entry.
    pub(crate) last: Index,
    /// The latest heartbeat round before it. An answer to a later round that does not report it
    /// received says that it was lost.
    pub(crate) round: u64,
}

impl Peer {
    /// Whether it has answered in this term, within `patience`, and its process is not known to be gone.
    pub(crate) fn is_alive(&self, now: Instant, patience: Duration) -> bool {
        let has_answered = self.matched != Index(0) || self.acked_round != 0;
        has_answered && !self.down && now < self.heard.after(patience)
    }

    /// A peer about whose log nothing is known.
    pub(crate) fn new(next: Index, now: Instant, before: u64) -> Self {
        let progress = Progress::Probe { next, waiting: None };
        Self {
            matched: Index(0),
            heard: now,
            before,
            acked_round: 0,
            down: false,
            slow: false,
            progress,
        }
    }

    /// The first entry of the next append; during a snapshot the entry after it.
    pub(crate) fn next(&self) -> Index {
        match &self.progress {
            Progress::Probe { next, .. } | Progress::Replicate { next, .. } => *next,
            Progress::Snapshot { meta, .. } => meta.last.index.next(),
        }
    }

    /// The state's name.
    pub(crate) fn state(&self) -> &'static str {
        match &self.progress {
            Progress::Probe { .. } => "probe",
            Progress::Replicate { .. } => "replicate",
            Progress::Snapshot { .. } => "snapshot",
        }
    }

    /// Starts over at `next`, or just after what is known to agree.
    pub(crate) fn probe(&mut self, next: Index) {
        let next = next.max(self.matched.next());
        self.progress = Progress::Probe { next, waiting: None };
    }

    /// The connection is gone, and what was on it. The next append waits until the peer has answered
    /// a heartbeat.
    pub(crate) fn on_unreachable(&mut self) {
        self.down = true;
        if let Progress::Replicate { inflight, .. } = &mut self.progress
            && let Some(lost) = inflight.front().copied()
        {
            let next = self.matched.next();
            self.progress = Progress::Probe { next, waiting: Some(lost) };
        }
    }

    /// The peer's log agrees up to `index`, durably. `base` is the last index no longer held.
    pub(crate) fn on_matched(&mut self, index: Index, base: Index) {
        self.matched = mutant!("a match goes back", index, self.matched.max(index));
        let matched = self.matched;
        match &mut self.progress {
            Progress::Probe { next, waiting } => {
                // The logs agree where the probe began, so it will fit: no need to send it again.
                let fits = |probe: &Inflight| next.prev() <= matched && matched < probe.last;
                let inflight: VecDeque<Inflight> =
                    waiting.take_if(|it| fits(it)).into_iter().collect();
                let last = inflight.back().map_or(matched, |probe| probe.last);
                self.progress = Progress::Replicate { next: last.next(), inflight };
            }
            Progress::Replicate { next, inflight } => {
                *next = (*next).max(matched.next());
                while inflight.front().is_some_and(|append| append.last <= matched) {
                    inflight.pop_front();
                }
            }
            // Whatever the snapshot was needed for, the log is in reach again.
            Progress::Snapshot { .. } if base <= matched => self.probe(matched.next()),
            Progress::Snapshot { .. } => (),
        }
    }

    /// The peer answered heartbeat `round`, having received entries up to `received`. Appends that
    /// left before that round and did not arrive are lost: start over behind what did.
    pub(crate) fn on_received(&mut self, received: Index, round: u64) {
        let lost = |append: &Inflight| {
            append.round < round
                && received < append.last
                && !mutant!("what is lost is not sent again")
        };
        match &mut self.progress {
            Progress::Probe { waiting, .. } => {
                if waiting.as_ref().is_some_and(lost) {
                    *waiting = None;
                }
            }
            Progress::Replicate { next, inflight } => {
                if inflight.iter().any(lost) {
                    let next = received.next().min(*next);
                    self.probe(next);
                }
            }
            Progress::Snapshot { .. } => (),
        }
    }
}

#[cfg(test)]
mod tests;
