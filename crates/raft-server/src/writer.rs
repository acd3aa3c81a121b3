//! The log's writer: the only thread that writes to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use raft_core::Persist;
use raft_replica::{Durable, PrepareJob, Prepared, StateMachine, Wal};
use tokio::sync::mpsc;

use crate::driver::Completion;
use crate::queue::Queue;
use crate::transport::Peers;
use crate::{background, fatal};

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
    /// A [`Space`].
    space: AtomicU8,
}

/// The log's writer. Whatever gathers while it waits for the disk becomes one write and one sync.
/// What may be said once that is durable it says itself: the way through the driver would cost
/// another wake-up.
pub(crate) struct Writer<S: StateMachine> {
    pub(crate) wal: Wal,
    pub(crate) jobs: Arc<Queue<Job>>,
    pub(crate) peers: Peers,
    pub(crate) completions: mpsc::Sender<Completion<S>>,
    /// Segments to make ready.
    pub(crate) preparations: Arc<Queue<PrepareJob>>,
    pub(crate) stats: Arc<Stats>,
    /// What the driver was told last.
    pub(crate) space: Space,
}

/// Jobs for the writer, at most. The driver lets no client in long before that.
pub(crate) const JOBS_MAX: usize = 1 << 16;

/// How much space the log has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Space {
    /// As much as it needs, as far as anybody can say.
    #[default]
    Enough,
    /// No more than for votes and the like.
    Short,
    /// The writer waits for some.
    Out,
}

/// A write to the log that takes so long is noticed by clients.
const WRITE_NOTABLE: Duration = Duration::from_millis(20);

/// So long the segments' thread leaves the disk to others after it has removed a segment: a log that is
/// cut may give up a gigabyte of them at once.
const REMOVAL_PAUSE: Duration = Duration::from_millis(50);

/// While there is no space, it is looked for so often.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

impl<S: StateMachine> Writer<S> {
    /// Writes until the queue is closed and empty, or closed and there is no space.
    pub(crate) fn run(mut self) {
        self.prepare();
        while let Some(jobs) = self.next_jobs() {
            if self.wal.is_full() && jobs.is_empty() {
                self.wal.try_again();
            }
            let persists = self.sort(jobs);
            if !persists.is_empty() && !self.persist(persists) {
                return;
            }
            self.prepare();
            self.tell_space(if self.wal.is_short_of_space() {
                Space::Short
            } else {
                Space::Enough
            });
        }
    }

    /// Waits for jobs. Without space, not for long: there may be some even if there is no job.
    fn next_jobs(&self) -> Option<VecDeque<Job>> {
        if self.wal.is_full() {
            self.jobs.take_all_within(LOOK_AGAIN)
        } else {
            self.jobs.take_all()
        }
    }

    /// What is to be written; the rest is done.
    fn sort(&mut self, jobs: VecDeque<Job>) -> Vec<Persist> {
        let mut persists = Vec::with_capacity(jobs.len());
        for job in jobs {
            match job {
                Job::Persist(persist) => persists.push(persist),
                Job::Prepared(prepared) => self.wal.prepared(prepared),
            }
        }
        persists
    }

    /// Makes all of this durable. False if the process ends before there is space for it.
    fn persist(&mut self, mut persists: Vec<Persist>) -> bool {
        while let Err(error) = self.wal.make_room(&persists) {
            if !error.is_full() {
                fatal::end(format_args!("could not write to the log: {error}"));
            }
            self.tell_space(Space::Out);
            let Some(more) = self.jobs.take_all_within(LOOK_AGAIN) else { return false };
            persists.extend(self.sort(more));
        }
        let began = Instant::now();
        let written = self.wal.run(persists);
        let length = began.elapsed();
        if WRITE_NOTABLE <= length {
            tracing::debug!(ms = length.as_millis(), "a write to the log took a while");
        }
        match written {
            Ok(Durable { seq, then_send }) => {
                self.peers.send(then_send);
                self.stats.note(&self.wal);
                // Nobody listens once the process is ending; the log is as durable as it was.
                drop(self.completions.blocking_send(Completion::Persisted { seq }));
            }
            Err(error) => fatal::end(format_args!("could not write to the log: {error}")),
        }
        true
    }

    fn tell_space(&mut self, space: Space) {
        if self.space == space {
            return;
        }
        self.space = space;
        self.stats.space.store(space as u8, Ordering::Relaxed);
        drop(self.completions.blocking_send(Completion::Space(space)));
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
    background::step_back();
    let mut said = false;
    while let Some(jobs) = preparations.take_all() {
        for job in jobs {
            match job.run_slowly(|| preparations.pause(REMOVAL_PAUSE)) {
                Ok(prepared) => {
                    match prepared.full() {
                        Some(error) if !said => tracing::warn!(
                            %error,
                            "the disk is full: this node takes no more writes once the segment of \
                             the log that it has is nearly full, until there is space"
                        ),
                        None if said => tracing::info!("there is space for the log again"),
                        Some(_) | None => (),
                    }
                    said = prepared.full().is_some();
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

    /// What space the log has.
    pub(crate) fn space(&self) -> Space {
        let now = self.space.load(Ordering::Relaxed);
        let known = [Space::Enough, Space::Short, Space::Out];
        known.into_iter().find(|space| *space as u8 == now).unwrap_or_default()
    }

    fn note(&self, wal: &Wal) {
        let stats = wal.stats();
        self.entries.store(stats.entries, Ordering::Relaxed);
        self.syncs.store(stats.syncs, Ordering::Relaxed);
    }
}
