//! The log's writer: the only thread that writes to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use raft_core::Persist;
use raft_replica::{Durable, PrepareJob, Prepared, Wal};
use tokio::sync::mpsc;

use crate::driver::Completion;
use crate::fatal;
use crate::queue::Queue;
use crate::transport::Peers;

/// Something for the log's writer.
pub(crate) enum Job {
    /// Make this durable.
    Persist(Persist),
    /// A segment for later is ready.
    Prepared(Prepared),
}

/// What the writer has done since the start, for the status page.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    entries: AtomicU64,
    syncs: AtomicU64,
}

/// The log's writer. Whatever gathers while it waits for the disk becomes one write and one sync.
/// What may be said once that is durable it says itself: the way through the driver would cost
/// another wake-up.
pub(crate) struct Writer {
    pub(crate) wal: Wal,
    pub(crate) jobs: Arc<Queue<Job>>,
    pub(crate) peers: Peers,
    pub(crate) completions: mpsc::Sender<Completion>,
    /// Segments to make ready.
    pub(crate) preparations: Arc<Queue<PrepareJob>>,
    pub(crate) stats: Arc<Stats>,
}

/// Jobs for the writer, at most. The driver lets no client in long before that.
pub(crate) const JOBS_MAX: usize = 1 << 16;

impl Writer {
    /// Writes until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        self.prepare();
        while let Some(jobs) = self.jobs.take_all() {
            let mut persists = Vec::with_capacity(jobs.len());
            for job in jobs {
                match job {
                    Job::Persist(persist) => persists.push(persist),
                    Job::Prepared(prepared) => self.wal.prepared(prepared),
                }
            }
            if !persists.is_empty() {
                self.persist(persists);
            }
            self.prepare();
        }
    }

    fn persist(&mut self, persists: Vec<Persist>) {
        match self.wal.run(persists) {
            Ok(Durable { seq, then_send }) => {
                self.peers.send(then_send);
                self.stats.note(&self.wal);
                // Nobody listens once the process is ending; the log is as durable as it was.
                drop(self.completions.blocking_send(Completion::Persisted { seq }));
            }
            Err(error) => fatal::end(format_args!("could not write to the log: {error}")),
        }
    }

    fn prepare(&mut self) {
        if let Some(job) = self.wal.prepare() {
            // Closed: the process is ending. Full: there is never more than one.
            drop(self.preparations.push(job));
        }
    }
}

/// Makes segments ready, away from the writer, until the queue is closed.
pub(crate) fn prepare_segments(preparations: &Queue<PrepareJob>, writer: &Queue<Job>) {
    let mut said = false;
    while let Some(jobs) = preparations.take_all() {
        for job in jobs {
            match job.run() {
                Ok(prepared) => {
                    if let Some(error) = prepared.full().filter(|_| !said) {
                        said = true;
                        tracing::warn!(
                            %error,
                            "the disk is full: unless there is space by then, this node ends when its log \
                             needs another segment"
                        );
                    }
                    drop(writer.push(Job::Prepared(prepared)));
                }
                Err(error) => {
                    fatal::end(format_args!("could not make a segment of the log ready: {error}"))
                }
            }
        }
    }
}

impl Stats {
    /// Entries written since the start.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Syncs of the log since the start.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    fn note(&self, wal: &Wal) {
        let stats = wal.stats();
        self.entries.store(stats.entries, Ordering::Relaxed);
        self.syncs.store(stats.syncs, Ordering::Relaxed);
    }
}
