//! What the core knows of its own disk: which writes are under way, and how much of the log is
//! durable.

use alloc::collections::VecDeque;

use crate::types::Index;

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
}

#[derive(Clone, Debug)]
struct Write {
    seq: u64,
    /// The last index that is durable once this write is.
    covers: Index,
}

impl Disk {
    /// A disk that holds the log up to `durable`.
    pub(crate) fn new(durable: Index) -> Self {
        Self { next_seq: 1, durable_seq: 0, durable, pending: VecDeque::new() }
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

    /// A write starts, after which the log is durable up to `covers`.
    pub(crate) fn start(&mut self, covers: Index) {
        self.pending.push_back(Write { seq: self.next_seq, covers });
        self.next_seq = self.next_seq.saturating_add(1);
    }

    /// Everything up to `seq` is durable. Numbers that were never given out are ignored.
    pub(crate) fn finish(&mut self, seq: u64) {
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
