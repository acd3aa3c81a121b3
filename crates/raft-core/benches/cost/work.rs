//! The work that is measured, the same code for every implementation: three nodes in one thread
//! commit and apply commands that come in batches.
//!
//! What is counted is the processor time of the thread from the first proposal to the last, without
//! the making of the commands. A batch is proposed and carried to the end before the next one comes.
//! Messages are moved in memory, nothing is encoded; the disk takes no time; the state machine only
//! counts. Every so often time passes, so that heartbeats flow, and the log is shortened.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Nodes of the cluster.
pub(crate) const NODES: usize = 3;
/// Heartbeats in an election timeout.
pub(crate) const HEARTBEATS_PER_ELECTION: u32 = 6;
/// Batches between two heartbeats: as if each took a tenth of a millisecond.
const BATCHES_PER_HEARTBEAT: u64 = 500;
/// Appends under way to one peer, at most.
pub(crate) const INFLIGHT_MESSAGES_MAX: usize = 8;
/// Bytes of entries in one append, at most.
pub(crate) const APPEND_BYTES_MAX: usize = 1 << 20;
/// Entries between two shortenings of the log.
const ENTRIES_PER_COMPACTION: u64 = 16 * 1024;
/// Entries that stay in the log when it is shortened.
pub(crate) const ENTRIES_KEPT: u64 = 4 * 1024;

/// What one run proposes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    /// Bytes of a command: eight at least, for each begins with its number.
    pub(crate) payload: usize,
    /// Commands in a batch.
    pub(crate) batch: usize,
    /// Commands at least; the last batch is full.
    pub(crate) entries: u64,
}

/// What the state machine of a node has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// Commands.
    pub(crate) entries: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

impl Applied {
    /// Applies a command.
    pub(crate) fn count(&mut self, command: &[u8]) {
        self.entries += 1;
        self.bytes += command.len() as u64;
    }
}

/// Three nodes with a leader.
pub(crate) trait Cluster {
    /// Starts the nodes and elects a leader.
    fn elect() -> Self;
    /// Proposes commands to the leader, and goes on until no message is on its way.
    fn propose(&mut self, commands: Vec<Vec<u8>>);
    /// A heartbeat's time passes for every node, and no message is left on its way.
    fn pass_heartbeat(&mut self);
    /// Shortens every log to what was not applied and [`ENTRIES_KEPT`] before.
    fn compact(&mut self);
    /// What each node applied.
    fn applied(&self) -> [Applied; NODES];
}

/// Does the work of a cell on a fresh cluster. Answers nanoseconds of processor time per command.
///
/// # Panics
///
/// If a node has not applied every command at the end.
pub(crate) fn run<C: Cluster>(cell: Cell) -> f64 {
    let mut cluster = C::elect();
    let mut proposed = 0_u64;
    commit(&mut cluster, cell, ENTRIES_PER_COMPACTION, &mut proposed);
    let warm = proposed;
    let spent = commit(&mut cluster, cell, cell.entries, &mut proposed);
    // Followers learn with the next message that the last batch is committed.
    cluster.pass_heartbeat();
    let all = Applied { entries: proposed, bytes: proposed * cell.payload as u64 };
    assert_eq!(cluster.applied(), [all; NODES], "all nodes apply everything");
    let commands = u32::try_from(proposed - warm).expect("fewer than four billion");
    spent.as_secs_f64() * 1e9 / f64::from(commands)
}

/// Commits at least so many entries. Answers the processor time, without the making of commands.
fn commit(cluster: &mut impl Cluster, cell: Cell, entries: u64, proposed: &mut u64) -> Duration {
    let mut spent = Duration::ZERO;
    let goal = *proposed + entries;
    while *proposed < goal {
        let batches = ENTRIES_PER_COMPACTION.div_ceil(cell.batch as u64);
        let batches: Vec<Vec<Vec<u8>>> = (0..batches)
            .map(|_| (0..cell.batch).map(|_| command(cell, proposed)).collect())
            .collect();
        let started = thread_cpu_time();
        for (number, batch) in (1..).zip(batches) {
            cluster.propose(batch);
            if number % BATCHES_PER_HEARTBEAT == 0 {
                cluster.pass_heartbeat();
            }
        }
        cluster.compact();
        spent += thread_cpu_time().saturating_sub(started);
    }
    spent
}

/// The next command: no two are the same, and each has its own memory.
fn command(cell: Cell, proposed: &mut u64) -> Vec<u8> {
    *proposed += 1;
    let mut command = Vec::with_capacity(cell.payload);
    command.extend(proposed.to_le_bytes());
    command.resize(cell.payload, 0);
    command
}

fn thread_cpu_time() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has this clock");
    Duration::from(now)
}
