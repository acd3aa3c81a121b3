//! The thread that reads and writes snapshot files.

use std::sync::Arc;
use std::time::{Duration, Instant};

use raft_replica::{SnapshotDone, SnapshotJob, SnapshotStore, StateMachine};
use tokio::sync::mpsc;

use crate::driver::Completion;
use crate::queue::Queue;
use crate::{background, fatal};

/// Snapshot jobs under way, at most: one that is built, and one piece per peer.
pub(crate) const JOBS_MAX: usize = 1024;

/// How long a job that found no space keeps the others waiting.
const FULL_PAUSE: Duration = Duration::from_millis(250);

/// After a step of a long work the disk and the processor are left to others for so many times as long
/// as the step took. What takes long because others are busy makes for longer pauses.
const PAUSE_FACTOR: u32 = 3;

/// But no longer than that: a disk that hangs for a while shall not hold a snapshot up for minutes.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Does the jobs one after the other, until the queue is closed.
pub(crate) fn run<S: StateMachine>(
    mut store: SnapshotStore,
    jobs: &Arc<Queue<SnapshotJob<S>>>,
    completions: &mpsc::Sender<Completion<S>>,
) {
    background::step_back();
    store.set_pace(pace(Arc::clone(jobs)));
    let mut said_full = false;
    while let Some(batch) = jobs.take_all() {
        for job in batch {
            let resumed = store.resumed_bytes();
            let began = Instant::now();
            let done = store.run(job);
            if let Some(meta) = done.as_ref().ok().and_then(SnapshotDone::built) {
                let (last, ms) = (meta.last, began.elapsed().as_millis());
                tracing::info!(%last, bytes = meta.size, ms, "took a snapshot");
            }
            if resumed < store.resumed_bytes() {
                let bytes = store.resumed_bytes() - resumed;
                tracing::info!(bytes, "goes on with a snapshot of which a part is here");
            }
            match done {
                Ok(done) if done.full().is_some() => {
                    // A peer that is told will ask again at once.
                    jobs.pause(FULL_PAUSE);
                    if let Some(error) = done.full().filter(|_| !said_full) {
                        tracing::warn!(%error, "the disk is full: no snapshot is taken or received");
                    }
                    said_full = true;
                    drop(completions.blocking_send(Completion::Snapshot(Box::new(done))));
                }
                // Nobody listens once the process is ending.
                Ok(done) => drop(completions.blocking_send(Completion::Snapshot(Box::new(done)))),
                Err(error) => fatal::end(format_args!("could not work on a snapshot: {error}")),
            }
        }
    }
}

/// Pauses after each step of a long work, unless a peer waits that gets a snapshot, or sends one.
fn pace<S: StateMachine>(jobs: Arc<Queue<SnapshotJob<S>>>) -> impl FnMut() + Send + 'static {
    let mut since: Option<Instant> = None;
    move || {
        let worked = since.map_or(Duration::ZERO, |since| since.elapsed());
        let pause = worked.saturating_mul(PAUSE_FACTOR).min(PAUSE_MAX);
        jobs.pause_unless(pause, SnapshotJob::is_for_a_peer);
        since = Some(Instant::now());
    }
}
