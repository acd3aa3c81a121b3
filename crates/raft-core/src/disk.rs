//! What the core knows of its own disk: which writes are under way, and how much of the log is
//! durable.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::types::{Index, Instant};

/// A disk that stalled is taken for slow for so many times the patience with it.
const STALL_REMEMBERED: u32 = 10;

/// Writes under way, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// The number the next write gets.
    next_seq: u64,
    /// Everything up to this number is durable.
    durable_seq: u64,
    /// The log is durable up to here.
    durable: Index,
    pending: VecDeque<Write>,
    /// When the last write that took too long was finished.
    stalled_until: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Write {
    seq: u64,
    started: Instant,
    /// The last index that is durable once this write is.
    covers: Index,
}

impl Disk {
    /// A disk that holds the log up to `durable`.
    pub(crate) fn new(durable: Index) -> Self {
        let pending = VecDeque::new();
        Self { next_seq: 1, durable_seq: 0, durable, pending, stalled_until: None }
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    pub(crate) fn durable(&self) -> Index {
        self.durable
    }

    pub(crate) fn is_durable(&self, seq: u64) -> bool {
        seq <= self.durable_seq
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether a write has been under way for longer than `patience`.
    pub(crate) fn is_stalled(&self, now: Instant, patience: Duration) -> bool {
        self.pending.front().is_some_and(|write| write.started.after(patience) <= now)
    }

    /// Whether a write takes longer than `patience`, or one did not long ago.
    pub(crate) fn is_slow(&self, now: Instant, patience: Duration) -> bool {
        let lately = patience.saturating_mul(STALL_REMEMBERED);
        self.is_stalled(now, patience)
            || self.stalled_until.is_some_and(|until| now < until.after(lately))
    }

    /// A write starts, after which the log is durable up to `covers`.
    pub(crate) fn start(&mut self, covers: Index, started: Instant) {
        self.pending.push_back(Write { seq: self.next_seq, started, covers });
        self.next_seq = self.next_seq.saturating_add(1);
    }

    /// Everything up to `seq` is durable. Numbers that were never given out are ignored.
    pub(crate) fn finish(&mut self, seq: u64, now: Instant, patience: Duration) {
        if self.is_stalled(now, patience) {
            self.stalled_until = Some(now);
        }
        while let Some(write) = self.pending.front()
            && write.seq <= seq
        {
            self.durable = self.durable.max(write.covers);
            self.durable_seq = write.seq;
            self.pending.pop_front();
        }
    }

    /// Entries after `last` are void. A write under way that was to make them durable attests
    /// nothing about what takes their place (the ABA of etcd-raft's asynchronous writes).
    pub(crate) fn clamp(&mut self, last: Index) {
        self.durable = self.durable.min(last);
        for write in &mut self.pending {
            write.covers = write.covers.min(last);
        }
    }
}
