//! Work that can wait, beside work that cannot.

/// How much less than others the calling thread wants the processor: a tenth of its share while
/// others want it too, and all of it while nobody does. Not less than that, since a thread that is
/// kept waiting while it holds a lock of the allocator makes others wait for it.
const NICER: i32 = 10;

/// Lets the replica and the log's writer go before the calling thread, wherever there are not
/// processors enough for all. To write a large state costs as much as thousands of requests; without
/// this, nodes that share two processors took each other's heartbeats away, and leaders were deposed.
pub(crate) fn step_back() {
    // On Linux a thread has a nice value of its own.
    if let Err(error) = rustix::process::nice(NICER) {
        tracing::debug!(%error, "snapshots take as much of the processor as everything else");
    }
}
