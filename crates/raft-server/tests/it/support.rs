//! A cluster of real processes in a directory of its own.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use raft_api::pb;
use raft_api::pb::kv_client::KvClient;
use raft_api::pb::management_rpc_client::ManagementRpcClient;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// Longer than anything here takes on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A cluster file, a place for the data, and the nodes that run. They die with it.
pub(crate) struct Cluster {
    pub(crate) dir: TempDir,
    ports: Vec<u16>,
    /// How many were there from the beginning, and never join again: they know the leader.
    founders: usize,
    nodes: Vec<Option<Node>>,
}

/// A process.
pub(crate) struct Node {
    child: Child,
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Cluster {
    /// Nodes 1 to `size`, none of which runs yet.
    pub(crate) fn new(size: usize) -> Self {
        Self::with(size, "")
    }

    /// The same, with more in the cluster file.
    pub(crate) fn with(size: usize, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = free_ports(3 * size);
        let nodes = (0..size).map(|_| None).collect();
        let cluster = Self { dir, ports, founders: size, nodes };
        std::fs::write(cluster.config(), cluster.yaml("test", more)).unwrap();
        cluster
    }

    /// Nodes 1 to `size`, and so many more that are to join later: their own file has all nodes.
    pub(crate) fn with_newcomers(size: usize, newcomers: usize) -> Self {
        let cluster = Self { founders: size, ..Self::new(size + newcomers) };
        let all = cluster.yaml("test", "");
        std::fs::write(cluster.newcomers_config(), &all).unwrap();
        let later = |line: &&str| {
            let id = line.trim().strip_prefix("- {id: ").and_then(|rest| rest.split(',').next());
            id.is_none_or(|id| id.parse::<usize>().unwrap() <= size)
        };
        let founders: Vec<&str> = all.lines().filter(later).collect();
        std::fs::write(cluster.config(), founders.join("\n")).unwrap();
        cluster
    }

    /// Starts a node that joins, and knows all others. It may not serve yet.
    pub(crate) fn join(&mut self, id: u64) {
        self.join_by(id, &self.newcomers_config());
    }

    /// The same, with everybody's file.
    pub(crate) fn start_joining(&mut self, id: u64) {
        self.founders = 0;
        self.join_by(id, &self.config());
    }

    fn join_by(&mut self, id: u64, config: &Path) {
        let log = File::options().create(true).append(true).open(self.log_path(id)).unwrap();
        let mut command = server(config, id);
        let child = command.arg("--join").stderr(log).spawn().unwrap();
        self.nodes[at(id)] = Some(Node { child });
    }

    fn newcomers_config(&self) -> PathBuf {
        self.dir.path().join("all.yaml")
    }

    /// The text of a cluster file for the nodes.
    pub(crate) fn yaml(&self, name: &str, more: &str) -> String {
        let node = |(id, ports): (usize, &[u16])| {
            format!(
                "  - {{id: {}, peer: 127.0.0.1:{}, client: 127.0.0.1:{}, http: 127.0.0.1:{}}}\n",
                id + 1,
                ports[0],
                ports[1],
                ports[2]
            )
        };
        let nodes: String = self.ports.chunks(3).enumerate().map(node).collect();
        format!(
            "version: 1\ncluster: {{name: {name}}}\nnodes:\n{nodes}storage:\n  dir: data/n{{id}}\n  \
             segment: 1MiB\n{more}"
        )
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("cluster.yaml")
    }

    pub(crate) fn data_dir(&self, id: u64) -> PathBuf {
        self.dir.path().join("data").join(format!("n{id}"))
    }

    pub(crate) fn log(&self, id: u64) -> String {
        std::fs::read_to_string(self.log_path(id)).unwrap_or_default()
    }

    pub(crate) fn peer_address(&self, id: u64) -> String {
        format!("127.0.0.1:{}", self.ports[3 * at(id)])
    }

    pub(crate) fn client_address(&self, id: u64) -> String {
        format!("127.0.0.1:{}", self.ports[3 * at(id) + 1])
    }

    /// Starts a node. It may not serve yet.
    pub(crate) fn start(&mut self, id: u64) {
        self.run(id, server(&self.config(), id));
    }

    /// Starts a node by a command of one's own.
    pub(crate) fn run(&mut self, id: u64, command: Command) {
        let log = File::options().create(true).append(true).open(self.log_path(id)).unwrap();
        self.run_with_stderr(id, command, log.into());
    }

    /// The same, with its log elsewhere.
    pub(crate) fn run_with_stderr(&mut self, id: u64, mut command: Command, stderr: Stdio) {
        let child = command.stderr(stderr).spawn().unwrap();
        self.nodes[at(id)] = Some(Node { child });
    }

    /// Starts a node whose run is recorded.
    pub(crate) fn start_recorded(&mut self, id: u64) {
        let log = File::options().create(true).append(true).open(self.log_path(id)).unwrap();
        let mut command = server(&self.config(), id);
        let child = command.arg("--record").arg(self.recordings()).stderr(log).spawn().unwrap();
        self.nodes[at(id)] = Some(Node { child });
    }

    pub(crate) fn recordings(&self) -> PathBuf {
        self.dir.path().join("recordings")
    }

    /// Starts a node that may have so many files open.
    pub(crate) fn start_with_descriptors(&mut self, id: u64, count: u32) {
        let program = server(&self.config(), id);
        let mut shell = Command::new("bash");
        shell.arg("-c").arg(format!("ulimit -n {count}; exec \"$@\"")).arg("bash");
        shell.arg(program.get_program()).args(program.get_args());
        shell.env_remove("RUST_LOG").env_remove("RAFT_CONFIG");
        let log = File::options().create(true).append(true).open(self.log_path(id)).unwrap();
        let child = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.nodes[at(id)] = Some(Node { child });
    }

    pub(crate) fn start_all(&mut self) {
        for id in self.ids() {
            self.start(id);
        }
    }

    /// SIGKILL, and gone when this returns.
    pub(crate) fn kill(&mut self, id: u64) {
        self.nodes[at(id)] = None;
    }

    pub(crate) fn signal(&self, id: u64, signal: Signal) {
        kill(self.pid(id), signal).unwrap();
    }

    pub(crate) fn pid(&self, id: u64) -> Pid {
        let node = self.nodes[at(id)].as_ref().unwrap();
        Pid::from_raw(i32::try_from(node.child.id()).unwrap())
    }

    /// Waits for a node to end by itself.
    pub(crate) async fn ended(&mut self, id: u64) -> ExitStatus {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let node = self.nodes[at(id)].as_mut().unwrap();
            if let Some(status) = node.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < give_up, "still there:\n{}", self.log(id));
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// How a node ended, if it has.
    pub(crate) fn has_ended(&mut self, id: u64) -> Option<ExitStatus> {
        self.nodes[at(id)].as_mut().unwrap().child.try_wait().unwrap()
    }

    /// What a node said so far is of no interest any more.
    pub(crate) fn forget_log(&self, id: u64) {
        std::fs::write(self.log_path(id), "").unwrap();
    }

    pub(crate) async fn management(&self, id: u64) -> ManagementRpcClient<Channel> {
        ManagementRpcClient::new(connect(&self.client_address(id)).await)
    }

    pub(crate) async fn kv(&self, id: u64) -> KvClient<Channel> {
        let limit = 64 << 20;
        KvClient::new(connect(&self.client_address(id)).await)
            .max_decoding_message_size(limit)
            .max_encoding_message_size(limit)
    }

    pub(crate) async fn status(&self, id: u64) -> pb::StatusResponse {
        let mut client = self.management(id).await;
        client.status(pb::StatusRequest::default()).await.unwrap().into_inner()
    }

    /// Waits until a node that runs leads, and the others that run agree.
    pub(crate) async fn leader(&self) -> u64 {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let mut known = Vec::new();
            for id in self.ids().filter(|&id| self.nodes[at(id)].is_some()) {
                let mut client = self.management(id).await;
                let leader = client.get_leader(pb::GetLeaderRequest {}).await.unwrap();
                let leader = leader.into_inner().leader_id;
                // A newcomer need not belong to the cluster yet.
                if leader != 0 || at(id) < self.founders {
                    known.push(leader);
                }
            }
            let runs = |id: u64| id != 0 && self.nodes[at(id)].is_some();
            if known.first().is_some_and(|&id| runs(id)) && known.iter().all(|&id| id == known[0]) {
                return known[0];
            }
            assert!(Instant::now() < give_up, "no leader:\n{}", self.log(1));
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sets a key on whichever node leads.
    pub(crate) async fn put(&self, key: &str, value: &[u8]) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let leader = self.leader().await;
            let request = pb::PutRequest {
                key: key.to_owned().into(),
                value: value.to_vec().into(),
                session: None,
            };
            match self.kv(leader).await.put(request).await {
                Ok(response) if response.get_ref().header.as_ref().unwrap().success => return,
                outcome => assert!(Instant::now() < give_up, "{outcome:?}\n{}", self.log(leader)),
            }
        }
    }

    /// Reads a key on whichever node leads.
    pub(crate) async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let leader = self.leader().await;
            let request = pb::GetRequest { key: key.to_owned().into(), consistency: 0 };
            match self.kv(leader).await.get(request).await {
                Ok(response) if response.get_ref().header.as_ref().unwrap().success => {
                    return response.into_inner().value.map(Vec::from);
                }
                outcome => assert!(Instant::now() < give_up, "{outcome:?}\n{}", self.log(leader)),
            }
        }
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> + use<> {
        1..=u64::try_from(self.nodes.len()).unwrap()
    }

    fn log_path(&self, id: u64) -> PathBuf {
        self.dir.path().join(format!("n{id}.log"))
    }
}

/// The program, about to run a node, deaf to this test's own environment.
pub(crate) fn server(config: &Path, id: u64) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft-server"));
    command.arg("--id").arg(id.to_string()).arg("--config").arg(config);
    command.env_remove("RUST_LOG").env_remove("RAFT_CONFIG");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Waits until somebody listens there and serves.
pub(crate) async fn connect(address: &str) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let give_up = Instant::now() + PATIENCE;
    loop {
        match endpoint.connect().await {
            Ok(channel) => return channel,
            Err(error) => assert!(Instant::now() < give_up, "{address}: {error:?}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a condition holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let give_up = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < give_up, "waited in vain for: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a node could not be reached, as opposed to having answered.
pub(crate) fn is_gone(status: &tonic::Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled)
}

fn at(id: u64) -> usize {
    usize::try_from(id).unwrap() - 1
}

/// Ports nobody listens on, below the range the system gives to outgoing connections.
fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 1_000).unwrap() * 11;
    let mut ports = Vec::new();
    while ports.len() < count {
        let port = 20_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            ports.push(port);
        }
    }
    ports
}
