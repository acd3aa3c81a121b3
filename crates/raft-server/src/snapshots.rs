//! The thread that reads and writes snapshot files.

use std::time::Duration;

use raft_replica::{SnapshotJob, SnapshotStore, StateMachine};
use tokio::sync::mpsc;

use crate::driver::Completion;
use crate::queue::Queue;
use crate::{background, fatal};

/// Snapshot jobs under way, at most: one that is built, and one piece per peer.
pub(crate) const JOBS_MAX: usize = 1024;

/// How long a job that found no space keeps the others waiting.
const FULL_PAUSE: Duration = Duration::from_millis(250);

/// Does the jobs one after the other, until the queue is closed.
pub(crate) fn run<S: StateMachine>(
    mut store: SnapshotStore,
    jobs: &Queue<SnapshotJob<S>>,
    completions: &mpsc::Sender<Completion<S>>,
) {
    background::step_back();
    let mut said_full = false;
    while let Some(batch) = jobs.take_all() {
        for job in batch {
            let resumed = store.resumed_bytes();
            let done = store.run(job);
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
