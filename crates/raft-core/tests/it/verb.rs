//! The verbs of the scripts.

/// One variant per verb.
#[derive(goldenscript::Command)]
pub(crate) enum Verb {
    /// Makes a cluster of so many voters, n1 first, and starts it.
    Cluster {
        voters: u64,
        #[arg(key, optional)]
        learners: Option<u64>,
        /// Entries kept behind a snapshot.
        #[arg(key, optional)]
        trailing: Option<u64>,
        /// Bytes of entries kept behind a snapshot, at most.
        #[arg(key, optional)]
        trailing_bytes: Option<u64>,
        /// Entries in one append, at most.
        #[arg(key, optional)]
        batch: Option<usize>,
        /// Appends under way to one peer, at most.
        #[arg(key, optional)]
        inflight: Option<usize>,
        /// Bytes of entries under way to one peer, at most.
        #[arg(key, optional)]
        inflight_bytes: Option<usize>,
        /// Uncommitted bytes, at most.
        #[arg(key, optional)]
        quota: Option<usize>,
        /// Bytes handed out to be applied in one turn, at most.
        #[arg(key, optional)]
        apply: Option<usize>,
        /// Bytes committed and not yet applied, at most.
        #[arg(key, optional)]
        lag: Option<usize>,
        /// Bytes that a successor may lack, at most.
        #[arg(key, optional)]
        transfer_lag: Option<usize>,
        /// Whether a leader whose process is gone is replaced at once.
        #[arg(key, optional)]
        failover: Option<bool>,
        /// Starts no node yet.
        #[arg(key, optional)]
        stopped: Option<bool>,
    },
    /// Writes the disk of a node before it starts, and starts it: `log=1,1,2` are the entries' terms.
    Node {
        id: u64,
        #[arg(key)]
        term: u64,
        #[arg(key, optional)]
        vote: Option<u64>,
        #[arg(key, optional)]
        log: Option<String>,
        /// The entry before the first of the log, as index@term; with it comes a snapshot up to there.
        #[arg(key, optional)]
        base: Option<String>,
        /// Where that snapshot ends, if it is not at `base`.
        #[arg(key, optional)]
        covers: Option<String>,
    },
    /// The node's clock moves to its next deadline: an election timeout, or a heartbeat.
    Timeout { id: u64 },
    /// The node's clock moves on, but the node does not notice before its next input.
    Pause { id: u64, ms: u64 },
    /// The node looks at its clock.
    Tick { id: u64 },
    /// The node gets turns for as long as it wants the next one at once.
    Turns { id: u64 },
    /// The node's state machine takes what it is given and reports nothing.
    SlowApply { id: u64 },
    /// The node's state machine has applied all it was given.
    FastApply { id: u64 },
    /// Time passes for all: deadlines are met, and every message arrives at once. Shows who changed its
    /// role and what became of requests, and nothing else.
    Live { ms: u64 },
    /// Commands arrive at a node, all in one turn.
    Propose {
        id: u64,
        #[arg(many)]
        commands: Vec<String>,
    },
    /// Reads arrive at a node, all in one turn.
    Read {
        id: u64,
        #[arg(optional)]
        count: Option<u64>,
    },
    /// Asks a node for another membership: `change 1 add="4,5" learner="6" remove="2"`. New ids in
    /// `add` become voters, and learners are promoted by it.
    Change {
        id: u64,
        #[arg(key, optional)]
        add: Option<String>,
        #[arg(key, optional)]
        learner: Option<String>,
        #[arg(key, optional)]
        remove: Option<String>,
        #[arg(key, optional)]
        force: Option<bool>,
        /// The voters that the wish was made up from.
        #[arg(key, optional)]
        from: Option<String>,
    },
    /// Asks a node to hand over.
    Transfer {
        id: u64,
        #[arg(optional)]
        to: Option<u64>,
    },
    /// Shows whether a leader could end without harm.
    Succession { id: u64 },
    /// The first node's connection from the second broke, and another was refused.
    PeerDown { id: u64, peer: u64 },
    /// Makes a node that belongs to nobody yet, with an empty disk, and starts it.
    Join { id: u64 },
    /// Delivers what waits now; what that causes waits in its turn.
    Deliver {
        #[arg(key, optional)]
        from: Option<u64>,
        #[arg(key, optional)]
        to: Option<u64>,
    },
    /// Delivers until nothing waits any more.
    Stabilize,
    /// Loses what waits.
    Drop {
        #[arg(key, optional)]
        from: Option<u64>,
        #[arg(key, optional)]
        to: Option<u64>,
    },
    /// Delivers what waits twice over.
    Duplicate,
    /// Reverses the order of what waits.
    Reverse,
    /// Loses everything from the first node to the second, from now on.
    Cut { from: u64, to: u64 },
    /// Loses everything from and to a node, from now on.
    Isolate { id: u64 },
    /// Ends all cuts.
    Heal,
    /// The node's disk works only when told to.
    SlowDisk { id: u64 },
    /// The node's disk works at once again, and finishes what waits.
    FastDisk { id: u64 },
    /// The node's disk finishes what waits, or the first so many writes of it.
    Persist {
        id: u64,
        #[arg(optional)]
        count: Option<usize>,
    },
    /// The node is told that a write is durable, whatever its disk has done: a report that comes twice.
    Persisted { id: u64, seq: u64 },
    /// The node's snapshot files are read and written only when told to.
    SlowFiles { id: u64 },
    /// The work on the node's snapshot files that waits is done.
    Serve { id: u64 },
    /// The node's disk fails.
    FailDisk { id: u64 },
    /// The process dies, and what was not durable with it.
    Crash { id: u64 },
    /// The node starts from its disk.
    Start { id: u64 },
    /// The process dies and the disk is replaced by an empty one.
    Wipe { id: u64 },
    /// The node makes a snapshot of what is committed.
    Snapshot { id: u64 },
    /// Elects the node: its timeout runs out and everything is delivered. Says who leads.
    Elect { id: u64 },
    /// Shows all nodes.
    Status,
    /// Shows what the node has on its disk.
    Disk { id: u64 },
    /// Shows the node's log.
    Log { id: u64 },
    /// Shows the node's active configuration.
    Members { id: u64 },
    /// Shows what waits.
    Wires,
    /// Shows what became of each request.
    Requests,
    /// A message that nobody of the cluster sent: see `message` for the kinds.
    Inject {
        from: u64,
        to: u64,
        kind: String,
        #[arg(key)]
        term: u64,
        /// The place it speaks of, as index@term.
        #[arg(key, optional)]
        at: Option<String>,
        /// Terms of the entries it carries.
        #[arg(key, optional)]
        log: Option<String>,
        #[arg(key, optional)]
        number: Option<u64>,
        /// An incarnation under which a leader says to know a node, as node:incarnation.
        #[arg(key, optional)]
        met: Option<String>,
        #[arg(key, optional)]
        cluster: Option<u64>,
        #[arg(key, optional)]
        incarnation: Option<u64>,
        /// The recipient it names, if it is not the one it is delivered to.
        #[arg(key, optional)]
        named: Option<u64>,
    },
}
