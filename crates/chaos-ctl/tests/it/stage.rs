//! What the tests stand on: a folder with a cluster.yaml, stand-ins for servers, and a look at what
//! is left running.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use chaos_ctl::procfs::Stat;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than anything here takes on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Nine ports that are free, one after the other. They lie below those that the system gives to
/// connections, which may take a node's port while the node is down.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 1000).unwrap();
    wait_for("nine free ports", || {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let first = 12_000 + (own * 18 + step * 9) % 18_000;
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        (first..first + 9).all(free).then_some(first)
    })
}

/// A folder of its own, with a three-node cluster on ports that were free a moment ago.
pub(crate) struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stage = Self { dir };
        let first = free_ports();
        let mut yaml = "version: 1\ncluster: {name: test}\nnodes:\n".to_owned();
        for id in 1..=3 {
            let address = |place| format!("127.0.0.1:{}", first + 3 * (id - 1) + place);
            let (peer, client, http) = (address(0), address(1), address(2));
            let line = format!("  - {{id: {id}, peer: {peer}, client: {client}, http: {http}}}\n");
            yaml.push_str(&line);
        }
        yaml.push_str("runner: {ready_timeout: 50s, stop: {grace: 500ms}}\n");
        fs::write(stage.path("cluster.yaml"), yaml).unwrap();
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A shell script that takes a server's place.
    pub(crate) fn script(&self, name: &str, body: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// `chaos-ctl COMMAND -f cluster.yaml ARGS…`
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        // Whoever runs the tests under nohup must not have its way with SIGHUP here.
        let mut command = Command::new("env");
        command.arg("--default-signal=HUP").arg(assert_cmd::cargo::cargo_bin!("chaos-ctl"));
        command.arg(args[0]).arg("--config").arg(self.path("cluster.yaml")).args(&args[1..]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_remove("RAFT_CONFIG");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        finish(self.command(args).spawn().unwrap())
    }

    /// The pids that scripts have written, one to a line.
    pub(crate) fn pids(&self, count: usize) -> Vec<i32> {
        let file = self.path("pids");
        wait_for(&format!("{count} pids in {}", file.display()), || {
            let text = fs::read_to_string(&file).unwrap_or_default();
            let pids: Vec<i32> = text.lines().map_while(|line| line.parse().ok()).collect();
            (count <= pids.len()).then_some(pids)
        })
    }
}

/// Waits for a process to end and takes its output. It is killed if it does not.
pub(crate) fn finish(child: Child) -> Output {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (done, ended) = mpsc::sync_channel(1);
    let waiter = std::thread::spawn(move || done.send(child.wait_with_output().unwrap()).unwrap());
    let output = ended.recv_timeout(2 * PATIENCE);
    if output.is_err() {
        kill(pid, Signal::SIGKILL).unwrap();
    }
    waiter.join().unwrap();
    output.or_else(|_| ended.recv()).unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// Looks again and again until there is something to see.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    let (_never, pause) = mpsc::channel::<()>();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "there never was: {what}");
        pause.recv_timeout(Duration::from_millis(5)).unwrap_err();
    }
}

pub(crate) fn wait_until_gone(pids: &[i32]) {
    for &pid in pids {
        let gone = || (!Stat::of(pid).is_some_and(|stat| stat.is_alive())).then_some(());
        wait_for(&format!("the end of process {pid}"), gone);
    }
}

pub(crate) fn assert_alive(pids: &[i32]) {
    for &pid in pids {
        assert!(Stat::of(pid).is_some_and(|stat| stat.is_alive()), "process {pid} lives");
    }
}

/// The events of a run, as lines of JSON.
pub(crate) fn events(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn of_kind<'a>(
    events: &'a [serde_json::Value],
    kind: &str,
) -> Vec<&'a serde_json::Value> {
    events.iter().filter(|event| event["kind"] == kind).collect()
}
