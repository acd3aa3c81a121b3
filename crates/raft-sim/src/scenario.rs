//! What a seed means: the size of the cluster, its limits and timing, and which faults it meets.
//! Every seed draws its own, with classes of faults left out, because what is always there hides
//! what only shows without it.

mod settings;

use std::collections::BTreeSet;
use std::time::Duration;

use raft_core::{ClusterId, Config, Incarnation, Membership, NodeId};
use raft_replica::Options;

use crate::rng::Rng;

/// No cluster has more machines than this.
const MACHINES_MAX: u64 = 7;

/// A class of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The power of a node fails between two events.
    Power,
    /// The power of a node fails in the middle of what it does with its disk.
    Fuse,
    /// A sync fails, and the system forgets that there was something to write.
    SyncError,
    /// A process is killed; the system's memory of its files stays.
    Kill,
    /// All nodes end at one instant.
    AllDown,
    /// A node stands still for a while.
    Pause,
    /// The network falls into two parts.
    Partition,
    /// The leader is cut off, or one link in one direction.
    Cut,
    /// Messages get lost, and arrive twice.
    Loss,
    /// Messages overtake each other.
    Reorder,
    /// A disk is slow for a while.
    SlowDisk,
    /// Clocks run at different speeds.
    Drift,
    /// A disk finishes nothing for a while.
    Stall,
    /// A node is told that a process is gone which is not.
    FalseHint,
    /// A member's disk is lost for good; a new one takes its place.
    DiskLost,
    /// A write fails.
    WriteError,
    /// A read fails.
    ReadError,
    /// A disk is full for a while.
    Full,
    /// A bit of a stopped node's disk flips.
    Rot,
    /// What a node sends and is sent waits.
    Clog,
    /// Several nodes are clogged one after the other, and let go in another order.
    Swizzle,
}

impl Fault {
    const ALL: &[Self] = &[
        Self::Power,
        Self::Fuse,
        Self::SyncError,
        Self::Kill,
        Self::AllDown,
        Self::Pause,
        Self::Partition,
        Self::Cut,
        Self::Loss,
        Self::Reorder,
        Self::SlowDisk,
        Self::Drift,
        Self::Stall,
        Self::FalseHint,
        Self::DiskLost,
        Self::WriteError,
        Self::ReadError,
        Self::Full,
        Self::Rot,
        Self::Clog,
        Self::Swizzle,
    ];

    /// Whether it is always there, if it is there at all.
    pub fn is_constant(self) -> bool {
        matches!(self, Self::Loss | Self::Reorder | Self::Drift)
    }
}

/// What an operator does, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// Whether members come, go, and change their roles.
    pub changes: bool,
    /// Whether leaders are asked to hand over.
    pub transfers: bool,
    /// Mean time between two wishes.
    pub gap_us: u64,
}

/// A deliberate fault of the world, which an invariant must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Disks say "synced" and keep nothing.
    LyingDisks,
    /// The network turns refused votes into given ones.
    ForgedVotes,
    /// The network changes entries on their way.
    ForgedEntries,
}

impl Sabotage {
    const ALL: &[Self] = &[Self::LyingDisks, Self::ForgedVotes, Self::ForgedEntries];
}

/// What a seed means.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// How long faults are injected, in simulated microseconds.
    pub faults_us: u64,
    /// Which faults.
    pub faults: BTreeSet<Fault>,
    /// Mean time between faults.
    pub fault_gap_us: u64,
    /// Number of nodes the cluster begins with.
    pub nodes: u64,
    /// How many of those only listen; the last ones.
    pub learners: u64,
    /// Number of machines that may join.
    pub spares: u64,
    /// What the operator does.
    pub habits: Habits,
    /// How many of the processes that could see another one end do so, in thousandths.
    pub hints_permille: u64,
    /// The clients.
    pub clients: BTreeSet<u64>,
    /// How many operations each of them begins before the world is healed, at most.
    pub client_ops: u64,
    /// Number of keys.
    pub keys: u64,
    /// How much longer than needed values are, in bytes.
    pub padding: usize,
    /// A client waits up to this long between two operations.
    pub think_us: u64,
    /// Delay of a message.
    pub delay_us: (u64, u64),
    /// Messages lost, in thousandths.
    pub loss_permille: u64,
    /// How long a write and its sync take.
    pub write_us: (u64, u64),
    /// How long after a write its replica hears of it.
    pub notice_us: (u64, u64),
    /// The deliberate fault of a test.
    pub sabotage: Option<Sabotage>,
    template: Options,
}

impl Scenario {
    /// What `seed` means.
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::stream(seed, "scenario");
        let rng = &mut rng;
        let plain = Self::plain();
        let nodes = rng.pick(&[3, 3, 3, 3, 3, 5, 5, 5, 4, 4, 6, 7, 2, 1]);
        let changes = rng.chance(700);
        let mut scenario = Self {
            seed,
            faults_us: rng.between(4, 12) * 1_000_000,
            // Each class is there in some seeds only, and in some there is hardly any.
            faults: draw_faults(rng),
            fault_gap_us: rng.pick(&[150_000, 400_000, 900_000, 4_000_000]),
            nodes,
            learners: if rng.chance(300) { rng.between(0, nodes / 2) } else { 0 },
            spares: if changes { rng.between(0, MACHINES_MAX - nodes) } else { 0 },
            habits: Habits {
                changes,
                transfers: rng.chance(500),
                gap_us: rng.pick(&[60_000, 250_000, 1_000_000]),
            },
            hints_permille: rng.pick(&[0, 500, 1_000]),
            // Many ask a leader that is cut off for much that comes to nothing.
            clients: (1..=rng.pick(&[1, 2, 2, 3, 3, 4, 4, 12, 12, 12])).collect(),
            client_ops: u64::MAX,
            keys: rng.between(1, 4),
            padding: rng.pick(&[0, 0, 600, 3_000]),
            think_us: rng.pick(&[2_000, 20_000, 100_000]),
            delay_us: (rng.between(50, 200), rng.pick(&[300, 2_000, 8_000])),
            loss_permille: rng.pick(&[10, 50, 200]),
            write_us: rng.pick(&[(50, 400), (500, 5_000), (5_000, 30_000)]),
            notice_us: (1, rng.pick(&[100, 3_000, 50_000])),
            ..plain
        };
        scenario.draw_limits(rng);
        // The largest states in the smallest pieces, one after the other over the worst links, take half
        // of the time that members have to agree: too long for a second leader to begin anew.
        if scenario.padding == 3_000
            && scenario.loss_permille == 200
            && scenario.delay_us.1 == 8_000
        {
            let piece = &mut scenario.template.core.snapshot_chunk_bytes;
            *piece = (*piece).max(300);
        }
        if !scenario.is_fit_for_many() {
            scenario.clients.retain(|&number| number <= 4);
        }
        scenario.settle();
        scenario
    }

    /// Limits that are often met.
    fn draw_limits(&mut self, rng: &mut Rng) {
        let election = rng.between(100, 300);
        let core = &mut self.template.core;
        core.heartbeat = Duration::from_millis(election / rng.between(3, 8));
        core.election_timeout = Duration::from_millis(election);
        core.election_jitter = Duration::from_millis(rng.between(election / 2, election * 2));
        core.append_bytes_max = rng.pick(&[64, 1 << 10, 1 << 20]);
        core.append_entries_max = rng.pick(&[1, 4, 64, 4096]);
        core.inflight_messages_max = rng.pick(&[1, 2, 8]);
        core.inflight_bytes_max = rng.pick(&[256, 8 << 20]);
        core.uncommitted_bytes_max = rng.pick(&[2 << 10, 64 << 20, 64 << 20]);
        core.snapshot_chunk_bytes = rng.pick(&[60, 60, 300, 2_000, 1 << 20]);
        core.trailing_entries = rng.pick(&[0, 0, 3, 20, 100]);
        core.fast_failover = rng.chance(700);
        core.failover_stagger = Duration::from_millis(rng.between(1, 30));
        core.transfer_lag_bytes_max = rng.pick(&[0, 2 << 10, 8 << 20]);
        core.apply_bytes_max = rng.pick(&[64, 1 << 20, 1 << 20]);
        core.apply_lag_bytes_max = rng.pick(&[4 << 10, 32 << 20]);
        self.template.segment_bytes = rng.pick(&[8 << 10, 16 << 10, 64 << 10]);
        self.template.snapshot_entries = rng.pick(&[3, 3, 20, 60, 200]);
        self.template.snapshot_bytes = rng.pick(&[500, 1 << 20]);
        self.template.session_ttl_ms = rng.pick(&[300, 2_000, 60_000]);
        self.template.check_entries = rng.pick(&[0, 1, 5, 20, 60]);
    }

    /// Whether a message holds more than an entry or two. If not, many clients ask for
    /// more than it can do before they lose patience, and go on doing so for ever.
    fn is_fit_for_many(&self) -> bool {
        let core = &self.template.core;
        8 <= core.append_entries_max && (8 << 10) <= core.append_bytes_max
    }

    /// A quiet world: three nodes, a client, nothing that goes wrong, and no limit that is met. What
    /// a plan does not say is as here.
    pub fn plain() -> Self {
        let mut plain = Self {
            seed: 0,
            faults_us: 5_000_000,
            faults: BTreeSet::new(),
            fault_gap_us: 1_000_000,
            nodes: 3,
            learners: 0,
            spares: 0,
            habits: Habits { changes: false, transfers: false, gap_us: 250_000 },
            hints_permille: 0,
            clients: BTreeSet::from([1]),
            client_ops: u64::MAX,
            keys: 1,
            padding: 0,
            think_us: 20_000,
            delay_us: (100, 300),
            loss_permille: 0,
            write_us: (50, 400),
            notice_us: (1, 100),
            sabotage: None,
            template: options(),
        };
        plain.settle();
        plain
    }

    /// Brings what follows from the settings into line with them.
    fn settle(&mut self) {
        let seed = self.seed;
        self.template.cluster = ClusterId(Rng::stream(seed, "cluster").draw());
        self.template.core.cluster = self.template.cluster;
        let first_learner = self.nodes - self.learners + 1;
        self.template.bootstrap = Membership {
            learners: (first_learner..=self.nodes).map(NodeId).collect(),
            ..Membership::of_voters((1..first_learner).map(NodeId))
        };
    }

    /// Whether the seed has this class of faults.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// The ids of all machines.
    pub fn ids(&self) -> Vec<NodeId> {
        (1..=self.nodes + self.spares).map(NodeId).collect()
    }

    /// The membership the cluster begins with.
    pub fn bootstrap(&self) -> &Membership {
        &self.template.bootstrap
    }

    /// A follower campaigns after at least so long a silence, in microseconds.
    pub fn election_us(&self) -> u64 {
        u64::try_from(self.template.core.election_timeout.as_micros()).unwrap_or(u64::MAX)
    }

    /// What a node is started with; `fresh` seeds what must differ from start to start.
    pub fn options(&self, id: NodeId, fresh: u64) -> Options {
        let mut options = self.template.clone();
        options.id = id;
        options.fresh_incarnation = Incarnation(fresh);
        options.core.seed = fresh;
        options
    }
}

/// Each class of faults is left out in some of the seeds, and in some of them most are.
fn draw_faults(rng: &mut Rng) -> BTreeSet<Fault> {
    let permille = rng.pick(&[150, 500, 500, 700]);
    Fault::ALL.iter().copied().filter(|_| rng.chance(permille)).collect()
}

fn options() -> Options {
    let (cluster, id) = (ClusterId(0), NodeId(0));
    Options {
        cluster,
        cluster_name: "simulated".to_owned(),
        id,
        bootstrap: Membership::default(),
        fresh_incarnation: Incarnation(0),
        core: Config::new(cluster, id, Incarnation(0)),
        segment_bytes: 64 << 10,
        snapshot_entries: 10_000,
        snapshot_bytes: 1 << 20,
        session_ttl_ms: 60_000,
        check_entries: 0,
        distrust: BTreeSet::new(),
        record: None,
    }
}
