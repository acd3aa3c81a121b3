//! Real servers, in a directory of their own, that end with the test.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

static SERVER: LazyLock<PathBuf> = LazyLock::new(|| {
    let program = assert_cmd::cargo::cargo_bin!("raft-client").with_file_name("raft-server");
    if !program.is_file() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "-p", "raft-server"]);
        let folder = program.parent().and_then(|folder| folder.file_name());
        if folder.is_some_and(|folder| folder == "release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "raft-server can be built");
    }
    program
});

/// A cluster of three.
pub(crate) struct Real {
    pub(crate) dir: TempDir,
    nodes: Vec<Option<Child>>,
}

impl Real {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = free_ports(9);
        let node = |(place, ports): (usize, &[u16])| {
            let [peer, client, http] = [ports[0], ports[1], ports[2]];
            let id = place + 1;
            format!(
                "  - {{id: {id}, peer: 127.0.0.1:{peer}, client: 127.0.0.1:{client}, \
                 http: 127.0.0.1:{http}}}\n"
            )
        };
        let nodes: String = ports.chunks(3).enumerate().map(node).collect();
        let yaml = format!(
            "version: 1\ncluster: {{name: real}}\nnodes:\n{nodes}storage: {{dir: 'n{{id}}', segment: 1MiB}}\n"
        );
        std::fs::write(dir.path().join("cluster.yaml"), yaml).unwrap();
        let mut real = Self { dir, nodes: vec![None, None, None] };
        (1..=3).for_each(|id| real.start_node(id));
        real
    }

    pub(crate) fn start_node(&mut self, id: usize) {
        let log = self.dir.path().join(format!("n{id}.log"));
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut server = Command::new(&*SERVER);
        server.arg("--id").arg(id.to_string()).arg("--config").arg("cluster.yaml");
        server.current_dir(self.dir.path()).env_remove("RUST_LOG").env_remove("RAFT_CONFIG");
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.nodes[id - 1] = Some(server.spawn().unwrap());
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, id: usize) {
        end(&mut self.nodes[id - 1]);
    }

    /// The client, told where the cluster is.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        let mut client = Command::new(assert_cmd::cargo::cargo_bin!("raft-client"));
        client.current_dir(self.dir.path()).args(["-f", "cluster.yaml"]).args(arguments);
        client.env_remove("RAFT_ENDPOINTS").env_remove("RAFT_CONFIG").env_remove("RAFT_OUTPUT");
        client.stdin(Stdio::null());
        client
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.client(arguments).output().unwrap()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.nodes.iter_mut().for_each(end);
    }
}

fn end(node: &mut Option<Child>) {
    if let Some(mut child) = node.take() {
        drop(child.kill());
        drop(child.wait());
    }
}

/// Ports nobody listens on, below the range the system gives to outgoing connections.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
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
