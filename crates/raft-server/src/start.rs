//! From a configuration to a node that serves, and back to nothing.

mod error;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use raft_api::Contact;
use raft_api::cluster::{ClusterConfig, NodeConfig};
use raft_core::{Incarnation, Membership, NodeId};
use raft_replica::disk::DirLock;
use raft_replica::{
    Cut, Disk, OpenError, OpenReport, Opened, ReadOnlyDisk, RecordSink, SnapshotStore,
    StateMachine, Wal, survey,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

pub use self::error::StartError;
use self::error::{unknown_node, unopened};
use crate::clock::Clock;
use crate::driver::{Completion, Counters, Driver, Inbox, Outlets};
use crate::handle::{Handle, View};
use crate::limits::Limits;
use crate::machine::Services;
use crate::ports::Port;
use crate::queue::Queue;
use crate::recording::Recording;
use crate::roster::Rosters;
use crate::service::{Front, NodeFacts};
use crate::stages::Stages;
use crate::transport::inbound::Inbound;
use crate::transport::outbound::Dialing;
use crate::transport::{Identity, Peers, frame_bytes_max};
use crate::writer::{self, Writer};
use crate::{laboratory, listeners, snapshots};

/// What a node runs on.
#[derive(Debug)]
pub struct Options {
    /// The cluster.
    pub config: ClusterConfig,
    /// Which of its nodes this is.
    pub id: NodeId,
    /// Whether this node, if its data directory is new, waits to be added to a running cluster
    /// instead of beginning one; and its address for peers, if the file does not have it.
    pub join: Option<Option<String>>,
    /// The directory into which to record what happens to the node, if at all.
    pub record: Option<PathBuf>,
    /// Nodes whose state is known to be wrong: what they said of it in the log does not count.
    pub distrust: BTreeSet<NodeId>,
    /// Where to dial these nodes as peers, as host:port, whatever the file, the log and they
    /// themselves say.
    pub dial: BTreeMap<NodeId, String>,
    /// The directory of a laboratory, whose files say what is to go wrong with this node's disk. With
    /// it, what was not synced is lost with the process.
    pub debug_faults: Option<PathBuf>,
}

/// Messages from peers, in batches, between the streams and the driver. Full: streams wait.
const PEER_BATCHES_MAX: usize = 1024;

/// Peers found gone, between the streams and the driver. Full: forgotten.
const GONE_MAX: usize = 64;

/// Finished jobs between the disk's threads and the driver. Full: the thread waits.
const COMPLETIONS_MAX: usize = 1024;

/// How long connections may take to close after the driver has ended, and the log to be written.
const CLOSE_MAX: Duration = Duration::from_millis(500);
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// Runs a node, with a state machine of the kind `S` that begins at its default, until `stop` is cancelled: then it takes nothing new, answers what is pending, makes
/// what was queued durable, and returns.
pub async fn run<S: StateMachine + Default>(
    options: Options,
    stop: CancellationToken,
) -> Result<(), StartError> {
    let Options { config, id, join, record, distrust, dial, debug_faults } = options;
    let node =
        match (&join, config.node(id)) {
            (Some(Some(addr)), _) => config.newcomer(id, Some(addr)).map_err(|error| {
                StartError::Newcomer { id, addr: addr.clone(), error: error.into() }
            })?,
            (Some(None) | None, Some(node)) => node.clone(),
            (Some(None) | None, None) => match (returning(&config, id), &join) {
                (Some(node), _) => node,
                (None, Some(_)) => config.newcomer(id, None).map_err(|error| {
                    StartError::Unplaced { id, file: config.path.clone(), error: error.into() }
                })?,
                (None, None) => return Err(unknown_node(&config, id)),
            },
        };
    let bootstrap = if join.is_some() { Membership::default() } else { config.membership() };
    let clock = Clock::start();
    let limits = Limits::raise();
    // Whoever has the ports may have the directory as well, so they come first. Nobody is let in
    // before the log is read: a peer takes a refusal for what it is, and silence for a fault.
    let peers = Port::bind("peers", &node.peer, &node).await?;
    let clients = Port::bind("clients", &node.client, &node).await?;
    let recording = record.map(|dir| record_into(dir, id)).transpose()?;
    let sink = recording.as_ref().map(Recording::sink);
    let disk = laboratory::disk(&node, debug_faults.as_deref())?;
    let opened = open::<S>(&config, &node, &disk, (bootstrap, sink, distrust), clock)
        .map_err(|error| unopened(error, || way_back(&config, &node)))?;
    let doors = Doors {
        peers: (peers.listen()?, limits.peers),
        clients: (clients.listen()?, limits.clients),
    };
    for warning in config.warnings() {
        tracing::warn!(node = %id, "{warning}");
    }
    report_cut(id, &opened.report);
    ready(&config, &node, &opened.report);
    if opened.replica.node().membership().is_empty() {
        tracing::info!(
            node = %id,
            "belongs to no cluster yet: add it with raft-client set-config --add {}={}",
            id.0, node.peer
        );
    }
    let leave = CancellationToken::new();
    let running = Running::start(config, node, opened, dial, (clock, stop, leave.clone()))?;
    running.until_stopped(doors, leave).await;
    if let Some(recording) = recording {
        recording.finish();
    }
    tracing::info!(node = %id, "stopped");
    Ok(())
}

fn record_into(dir: PathBuf, id: NodeId) -> Result<Recording, StartError> {
    Recording::start(&dir, id).map_err(|error| StartError::Record { dir, error })
}

fn open<S: StateMachine + Default>(
    config: &ClusterConfig,
    node: &NodeConfig,
    disk: &Arc<dyn Disk>,
    (bootstrap, record, distrust): (Membership, Option<RecordSink>, BTreeSet<NodeId>),
    clock: Clock,
) -> Result<Opened<S>, OpenError> {
    let cluster = config.cluster_id();
    let fresh_incarnation = Incarnation(rand::random());
    let raft = &config.raft;
    let core = raft_core::Config {
        // A restart draws other timeouts than the run before it.
        seed: rand::random(),
        heartbeat: raft.heartbeat,
        election_timeout: raft.election_timeout.min(),
        election_jitter: raft.election_timeout.width(),
        fast_failover: raft.fast_failover,
        failover_stagger: raft.heartbeat.mul_f64(FAILOVER_STAGGER),
        trailing_entries: raft.trailing_entries,
        ..raft_core::Config::new(cluster, node.id, fresh_incarnation)
    };
    let options = raft_replica::Options {
        cluster,
        cluster_name: config.name.clone(),
        id: node.id,
        bootstrap,
        fresh_incarnation,
        core,
        segment_bytes: config.storage.segment_bytes,
        snapshot_entries: raft.snapshot_entries,
        snapshot_bytes: raft.snapshot_bytes,
        session_ttl_ms: SESSION_TTL_MS,
        check_entries: CHECK_ENTRIES,
        distrust,
        record,
    };
    raft_replica::open(disk, &node.data_dir, options, S::default, clock.now())
}

/// How far apart nodes that found the leader gone begin to campaign; in heartbeats.
const FAILOVER_STAGGER: f64 = 0.4;

/// A session that has not been used for so long, by the leaders' clocks, is forgotten.
const SESSION_TTL_MS: u64 = 60 * 60 * 1000;

/// States are compared after every so many entries. A check costs an entry of 33 bytes; this many
/// pass in a second or less under load.
const CHECK_ENTRIES: u64 = 4096;

/// The one line that tells people and programs that the node serves.
fn ready(config: &ClusterConfig, node: &NodeConfig, report: &OpenReport) {
    let build = if cfg!(debug_assertions) { "debug build" } else { "release build" };
    tracing::info!(
        node = %node.id,
        cluster = %config.name,
        peers = %node.peer,
        clients = %node.client,
        data_dir = %node.data_dir.display(),
        incarnation = %report.incarnation,
        last_index = %report.last,
        pid = std::process::id(),
        build,
        "ready"
    );
}

/// Says what was wiped behind the log's last batch.
fn report_cut(node: NodeId, report: &OpenReport) {
    let Some(Cut { path, offset, torn }) = &report.log.cut else { return };
    let (file, last_index) = (path.display(), report.last);
    if *torn {
        tracing::warn!(
            %node, %file, offset, %last_index,
            "cut a torn batch off the log's end: a crash leaves one that nobody was told about; \
             without a crash, the disk has damaged the last batch"
        );
    } else {
        tracing::info!(%node, %file, offset, %last_index, "wiped leftovers behind the log's end");
    }
}

/// Where connections come in, and how many at a time.
struct Doors {
    peers: (TcpListener, usize),
    clients: (TcpListener, usize),
}

/// A node at work.
struct Running<S: StateMachine> {
    front: Front,
    inbound: Inbound,
    peers: Peers,
    driver: Driver<S>,
    dialing: Dialing,
    jobs: Arc<Queue<writer::Job>>,
    /// Resolves once the log's writer has ended.
    written: oneshot::Receiver<()>,
    /// Keeps other processes out of the data directory until the end.
    lock: Box<dyn DirLock>,
}

impl<S: StateMachine> Running<S> {
    fn start(
        config: ClusterConfig,
        node: NodeConfig,
        opened: Opened<S>,
        dial: BTreeMap<NodeId, String>,
        (clock, stop, leave): (Clock, CancellationToken, CancellationToken),
    ) -> Result<Self, StartError> {
        let Opened { replica, wal, snapshots, report, lock } = opened;
        let rosters = Arc::new(Rosters::new(&config, &node, dial));
        let peers = Peers::default();
        let command_bytes_max =
            usize::try_from(config.raft.command_bytes_max).unwrap_or(usize::MAX);
        let me =
            Identity { cluster: config.cluster_id(), id: node.id, incarnation: report.incarnation };
        let (gone_end, gone) = mpsc::channel(GONE_MAX);
        let dialing = Dialing {
            me,
            contact: node.contact(),
            rosters: Arc::clone(&rosters),
            peers: peers.clone(),
            frame_bytes_max: frame_bytes_max(command_bytes_max),
            gone: gone_end,
        };
        let (batches_end, batches) = mpsc::channel(PEER_BATCHES_MAX);
        let inbound = Inbound::new(me, (Arc::clone(&rosters), peers.clone()), batches_end);
        let stages = Arc::new(Stages::default());
        let disk = DiskThreads::start((wal, snapshots), &peers, &stages)?;
        let view = View::of(replica.node());
        let (handle, ends) = Handle::new(view, command_bytes_max, Arc::clone(&stages));
        let inbox = Inbox { ends, peers: batches, completions: disk.completions, gone };
        let outlets = Outlets {
            peers: peers.clone(),
            jobs: Arc::clone(&disk.jobs),
            writer: disk.writer,
            snapshots: disk.snapshots,
            rosters: Arc::clone(&rosters),
            stages: Arc::clone(&stages),
        };
        let (node_id, counters) = (node.id, Arc::new(Counters::default()));
        let way_back = way_back(&config, &node);
        let facts = NodeFacts {
            counters: Arc::clone(&counters),
            rosters,
            id: node.id,
            incarnation: report.incarnation,
            data_dir: node.data_dir,
            config,
            started: Instant::now(),
            stats: disk.stats,
            stages,
            services: Services::of::<S>(),
        };
        Ok(Self {
            front: Front { handle, node: Arc::new(facts) },
            inbound,
            peers,
            driver: Driver::new(
                (replica, node_id),
                inbox,
                outlets,
                (clock, counters, way_back),
                (stop, leave),
            ),
            dialing,
            jobs: disk.jobs,
            written: disk.written,
            lock,
        })
    }

    /// Serves, and ends in this order: clients, driver, log, peers. What a write still waits for
    /// when the process is told to end comes from the peers.
    async fn until_stopped(self, doors: Doors, leave: CancellationToken) {
        let node = self.front.node.id;
        let command_bytes_max = self.front.handle.command_bytes_max();
        let counters = self.inbound.counters();
        let mut clients = JoinSet::new();
        clients.spawn(listeners::serve_clients(self.front, doors.clients, leave));
        let mut network = JoinSet::new();
        let frame_bytes_max = frame_bytes_max(command_bytes_max);
        network.spawn(listeners::serve_peers(self.inbound, doors.peers, frame_bytes_max));
        network.spawn(self.dialing.run());
        let mut driver = JoinSet::new();
        driver.spawn(self.driver.run());

        driver.join_next().await;
        self.jobs.close();
        if timeout(FLUSH_MAX, self.written).await.is_err() {
            tracing::warn!(%node, "the disk is too slow to wait for: what it has not finished was not acknowledged");
        }
        // The answers of the last moment are on their way out.
        drop(timeout(CLOSE_MAX, clients.join_next()).await);
        network.shutdown().await;
        drop(self.lock);
        tracing::debug!(
            %node,
            dropped = self.peers.dropped(),
            refused = counters.refused(),
            unreadable = counters.unreadable(),
            "messages that were not delivered"
        );
    }
}

/// The threads that work on the disk, as the others see them.
struct DiskThreads<S: StateMachine> {
    writer: Arc<Mutex<Writer<S>>>,
    jobs: Arc<Queue<writer::Job>>,
    snapshots: Arc<Queue<raft_replica::SnapshotJob<S>>>,
    completions: mpsc::Receiver<Completion<S>>,
    stats: Arc<writer::Stats>,
    written: oneshot::Receiver<()>,
}

impl<S: StateMachine> DiskThreads<S> {
    fn start(
        (wal, store): (Wal, SnapshotStore),
        peers: &Peers,
        stages: &Arc<Stages>,
    ) -> Result<Self, StartError> {
        let jobs = Arc::new(Queue::new(writer::JOBS_MAX));
        let preparations = Arc::new(Queue::new(1));
        let snapshots = Arc::new(Queue::new(snapshots::JOBS_MAX));
        let stats = Arc::new(writer::Stats::default());
        let (completions_end, completions) = mpsc::channel(COMPLETIONS_MAX);
        let (written_end, written) = oneshot::channel();
        let writer = Writer {
            wal,
            jobs: Arc::clone(&jobs),
            waits: Arc::default(),
            peers: peers.clone(),
            completions: completions_end.clone(),
            preparations: Arc::clone(&preparations),
            stats: Arc::clone(&stats),
            stages: Arc::clone(stages),
            followed: Vec::new(),
            space: writer::Space::default(),
        };
        let writer = Arc::new(Mutex::new(writer));
        let shared = Arc::clone(&writer);
        let (to_prepare, prepared) = (Arc::clone(&preparations), Arc::clone(&jobs));
        thread("segments", move || writer::prepare_segments(&to_prepare, &prepared))?;
        thread("log", move || {
            Writer::run(&shared);
            preparations.close();
            drop(written_end);
        })?;
        let snapshot_jobs = Arc::clone(&snapshots);
        thread("snapshots", move || snapshots::run(store, &snapshot_jobs, &completions_end))?;
        Ok(Self { writer, jobs, snapshots, completions, stats, written })
    }
}

/// Starts a thread that lives until its queue is closed, or as long as the process.
fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map(drop).map_err(StartError::Thread)
}

/// A node that is not in the file and has been here before: its directory, where the file would put
/// it, says that it is one of this cluster, and its log where it listens.
fn returning(config: &ClusterConfig, id: NodeId) -> Option<NodeConfig> {
    let node = config.newcomer(id, None).ok()?;
    let disk: Arc<dyn Disk> = Arc::new(ReadOnlyDisk);
    // What is wrong with it is told when it is opened.
    let survey = survey(&disk, &node.data_dir).ok()?;
    let identity = survey.identity.as_ref()?;
    if (identity.cluster, identity.node) != (config.cluster_id(), id) {
        return None;
    }
    let contact = survey.membership().map(|it| it.contact(id));
    let Contact { peer, client, http } = Contact::decode(&contact.unwrap_or_default());
    let or = |known: String, derived: String| if known.is_empty() { derived } else { known };
    Some(NodeConfig {
        peer: or(peer, node.peer),
        client: or(client, node.client),
        http: or(http, node.http),
        ..node
    })
}

/// The commands by which a member whose data directory is lost becomes one again: as another one, of
/// whom nobody expects anything, and at first without a vote.
fn way_back(config: &ClusterConfig, node: &NodeConfig) -> String {
    let (id, file, dir) = (node.id.0, config.path.display(), node.data_dir.display());
    let peer = &node.peer;
    let addr = match config.node(node.id) {
        Some(_) => String::new(),
        None => format!(" --addr {peer}"),
    };
    format!(
        "`raft-client set-config --config {file} --remove {id}`, `mv {dir} {dir}.lost`, `raft-server \
         --id {id} --config {file} --join{addr}`, `raft-client set-config --config {file} --add \
         {id}={peer} --learner`, `raft-client set-config --config {file} --promote {id}`"
    )
}
