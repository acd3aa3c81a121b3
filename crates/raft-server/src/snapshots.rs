//! The thread that reads and writes snapshot files.

use raft_replica::{SnapshotJob, SnapshotStore};
use tokio::sync::mpsc;

use crate::driver::Completion;
use crate::fatal;
use crate::machine::Machine;
use crate::queue::Queue;

/// Snapshot jobs under way, at most: one that is built, and one piece per peer.
pub(crate) const JOBS_MAX: usize = 1024;

/// Does the jobs one after the other, until the queue is closed.
pub(crate) fn run(
    mut store: SnapshotStore,
    jobs: &Queue<SnapshotJob<Machine>>,
    completions: &mpsc::Sender<Completion>,
) {
    while let Some(batch) = jobs.take_all() {
        for job in batch {
            let resumed = store.resumed_bytes();
            let done = store.run(job);
            if resumed < store.resumed_bytes() {
                let bytes = store.resumed_bytes() - resumed;
                tracing::info!(bytes, "goes on with a snapshot of which a part is here");
            }
            match done {
                // Nobody listens once the process is ending.
                Ok(done) => drop(completions.blocking_send(Completion::Snapshot(Box::new(done)))),
                Err(error) => fatal::end(format_args!("could not work on a snapshot: {error}")),
            }
        }
    }
}
