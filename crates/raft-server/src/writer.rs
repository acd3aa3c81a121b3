//! The log's writer, and the thread that works with it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use raft_core::Persist;
use raft_replica::{Durable, PrepareJob, Prepared, StateMachine, Wal};
use tokio::sync::mpsc;

use crate::driver::{self, Completion};
use crate::inline::{WATCH_STEP, Waits, Watch};
use crate::queue::Queue;
use crate::stages::{Moment, Stages};
use crate::transport::Peers;
use crate::{background, fatal};

/// Something for the log's writer.
pub(crate) enum Job {
    /// Make this durable.
    Persist(Persist, Origin),
    /// A segment for later is ready.
    Prepared(Prepared),
}

/// Since when a job has been under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// When the replica wanted it.
    pub(crate) wanted: Moment,
    /// When the entries came from the leader that it acknowledges, if it does.
    pub(crate) followed: Option<Moment>,
}

/// What the writer has done since the start, for the status page.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    entries: AtomicU64,
    syncs: AtomicU64,
    /// A [`Space`].
    space: AtomicU8,
}

/// The log's writer. It has a thread, where whatever gathers while that waits for the disk becomes one
/// write and one sync. What may be said once that is durable it says itself: the way through the
/// driver would cost another wake-up. A driver that has nothing else to do uses it without the thread.
pub(crate) struct Writer<S: StateMachine> {
    pub(crate) wal: Wal,
    pub(crate) jobs: Arc<Queue<Job>>,
    /// Set while the driver waits for the disk itself.
    pub(crate) waits: Arc<Waits>,
    pub(crate) peers: Peers,
    pub(crate) completions: mpsc::Sender<Completion<S>>,
    /// Segments to make ready.
    pub(crate) preparations: Arc<Queue<PrepareJob>>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) stages: Arc<Stages>,
    /// Since when what is being written has been waited for by a leader.
    pub(crate) followed: Vec<Moment>,
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

/// How often the thread asks for the writer while the driver has it.
const LOCK_STEP: Duration = Duration::from_millis(1);

const NO_POISON: &str = "a panic ends the process before it can poison a lock";

/// While there is no space, it is looked for so often.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

impl<S: StateMachine> Writer<S> {
    /// The work of the thread: writes until the queue is closed and empty, or closed and there is no
    /// space.
    pub(crate) fn run(shared: &Mutex<Self>) {
        let (jobs, waits) = {
            let mut writer = lock(shared);
            writer.prepare();
            (Arc::clone(&writer.jobs), Arc::clone(&writer.waits))
        };
        let mut full = false;
        let mut watch = Watch::default();
        // Without space not for long: there may be some even if there is no job.
        while let Some(taken) = jobs.take_all_within(if full { LOOK_AGAIN } else { WATCH_STEP }) {
            if watch.is_stalled(Moment::now(), &waits) {
                fatal::end(driver::stalled());
            }
            if taken.is_empty() && !full {
                continue;
            }
            // The driver has the writer while it waits for the disk, which may be for ever. A segment that
            // has become ready waits meanwhile.
            let mut writer = loop {
                match shared.try_lock() {
                    Ok(writer) => break writer,
                    Err(TryLockError::WouldBlock) => jobs.pause(LOCK_STEP),
                    Err(TryLockError::Poisoned(_)) => unreachable!("{NO_POISON}"),
                }
                if watch.is_stalled(Moment::now(), &waits) {
                    fatal::end(driver::stalled());
                }
            };
            if !writer.work(taken) {
                return;
            }
            full = writer.wal.is_full();
        }
    }

    /// False if the process ends before there is space.
    fn work(&mut self, jobs: VecDeque<Job>) -> bool {
        if self.wal.is_full() && jobs.is_empty() {
            self.wal.try_again();
        }
        let persists = self.sort(jobs);
        if !persists.is_empty() && !self.persist(persists) {
            return false;
        }
        self.prepare();
        self.tell_space(if self.wal.is_short_of_space() { Space::Short } else { Space::Enough });
        true
    }

    /// Whether to make this durable takes no more than a write and a sync.
    pub(crate) fn has_room(&self, persist: &Persist) -> bool {
        !self.wal.is_full() && self.wal.has_room(std::slice::from_ref(persist))
    }

    /// Makes this durable while the caller waits, and returns its number. The caller is the driver, when
    /// there is room and the thread has nothing to do.
    pub(crate) fn write_here(&mut self, persist: Persist, origin: Origin) -> u64 {
        self.stages.wal_wait.record_between(origin.wanted, Moment::now());
        self.followed.extend(origin.followed);
        self.waits.begin();
        let seq = self.write(vec![persist]);
        self.waits.end();
        self.prepare();
        seq
    }

    /// What is to be written; the rest is done.
    fn sort(&mut self, jobs: VecDeque<Job>) -> Vec<Persist> {
        let mut persists = Vec::with_capacity(jobs.len());
        let taken = Moment::now();
        for job in jobs {
            match job {
                Job::Persist(persist, Origin { wanted, followed }) => {
                    self.stages.wal_wait.record_between(wanted, taken);
                    self.followed.extend(followed);
                    persists.push(persist);
                }
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
        let seq = self.write(persists);
        // Nobody listens once the process is ending; the log is as durable as it was.
        drop(self.completions.blocking_send(Completion::Persisted { seq }));
        true
    }

    /// Writes and syncs, says what may be said then, and returns the number of the last job.
    fn write(&mut self, persists: Vec<Persist>) -> u64 {
        let (began, mut synced_from) = (Moment::now(), None);
        let written = self.wal.run_watched(persists, &mut || synced_from = Some(Moment::now()));
        let ended = Moment::now();
        if let Some(from) = synced_from {
            self.stages.wal_write.record_between(began, from);
            self.stages.fsync.record_between(from, ended);
        }
        let length = ended.saturating_duration_since(began);
        if WRITE_NOTABLE <= length {
            tracing::debug!(ms = length.as_millis(), "a write to the log took a while");
        }
        match written {
            Ok(Durable { seq, then_send }) => {
                self.peers.send(then_send);
                self.note_followed();
                self.stats.note(&self.wal);
                seq
            }
            Err(error) => fatal::end(format_args!("could not write to the log: {error}")),
        }
    }

    /// Leaders have been answered.
    fn note_followed(&mut self) {
        if !self.followed.is_empty() {
            let now = Moment::now();
            let waits = self.followed.drain(..).map(|since| now.saturating_duration_since(since));
            self.stages.follow.record_all(waits);
        }
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

/// The writer, for as long as it is used.
pub(crate) fn lock<S: StateMachine>(shared: &Mutex<Writer<S>>) -> MutexGuard<'_, Writer<S>> {
    shared.lock().expect(NO_POISON)
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
