//! The processes of one cluster: prepared, started, and gone at the end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{TcpListener, ToSocketAddrs as _};
use std::path::{Component, Path, PathBuf};

use anyhow::Context as _;
use futures_util::future::select_all;
use nix::sys::signal::Signal;
use raft_api::cluster::{ClusterConfig, NodeConfig};
use tokio::runtime::Handle;

use crate::NodeId;
use crate::exit::Failure;
use crate::home::{Home, Lock, NodeState, State};
use crate::process::{Exit, Process, Recipe, end_groups};
use crate::procfs::{self, Birth};
use crate::spawner::Spawner;
use crate::system::System;

/// A cluster that this process runs.
#[derive(Debug)]
pub struct Cluster {
    config: ClusterConfig,
    home: Home,
    program: PathBuf,
    system: System,
    extra: BTreeMap<NodeId, Extra>,
    processes: BTreeMap<NodeId, Process>,
    /// The latest process of each node: what must be gone in the end.
    latest: BTreeMap<NodeId, Birth>,
    ready: bool,
    problems: Vec<String>,
    // Declared last, dropped last: children die with the spawner, the lock goes after them.
    spawner: Spawner,
    _lock: Lock,
}

/// How to prepare a cluster.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The server's executable, if it was named.
    pub bin: Option<PathBuf>,
    /// Whether the nodes start with empty folders.
    pub fresh: bool,
    /// What some nodes are told besides what the file says; also nodes that come later.
    pub extra: BTreeMap<NodeId, Extra>,
    /// Whose servers they are.
    pub system: System,
}

/// More arguments and environment for one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// Added to the command line.
    pub args: Vec<OsString>,
    /// Added to the environment.
    pub env: Vec<(String, String)>,
    /// Whether its log goes through a pipe of ours, which can be blocked.
    pub piped: bool,
}

impl Cluster {
    /// Takes the cluster for this process, and makes sure that its nodes can start.
    pub async fn prepare(config: ClusterConfig, setup: &Setup) -> Result<Self, Failure> {
        let found = setup.system.program().filter(|_| setup.bin.is_none());
        let program = found.unwrap_or_else(|| server_program(setup.bin.as_deref(), &config))?;
        let home = Home::of(&config);
        let lock = home.lock()?;
        end_previous(&home).await?;
        check_ports(&config.nodes)?;
        if setup.fresh {
            for node in &config.nodes {
                wipe(&node.data_dir)?;
            }
        }
        let logs = &config.runner.logs_dir;
        fs::create_dir_all(logs).map_err(|error| {
            Failure::usage(format!("could not create {}: {error}", logs.display()))
        })?;
        let processes = config.nodes.iter().map(|node| {
            let extra = setup.extra.get(&node.id);
            let recipe = recipe((&setup.system, &program), &config, node, extra);
            (node.id, Process::new(node.id, recipe))
        });
        let processes = processes.collect();
        let spawner = Spawner::start(Handle::current()).context("could not start a thread")?;
        Ok(Self {
            config,
            home,
            program,
            system: setup.system.clone(),
            extra: setup.extra.clone(),
            processes,
            latest: BTreeMap::new(),
            ready: false,
            problems: Vec::new(),
            spawner,
            _lock: lock,
        })
    }

    /// Takes in a node that is not in the file and waits, once it is started, to be added. It has
    /// the place that the file would give it, and begins with an empty folder.
    pub fn add(&mut self, id: NodeId) -> Result<NodeConfig, Failure> {
        let mut node = self.config.newcomer(id, None).map_err(Failure::usage)?;
        check_ports([&node])?;
        wipe(&node.data_dir)?;
        node.args.push("--join".to_owned());
        let extra = self.extra.get(&id);
        let recipe = recipe((&self.system, &self.program), &self.config, &node, extra);
        let process = Process::new(id, recipe);
        let before = self.processes.insert(id, process);
        assert!(before.is_none_or(|before| !before.is_running()), "{id} runs already");
        Ok(node)
    }

    /// Its configuration.
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// Its folder.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The server's executable.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Whose servers they are.
    pub fn system(&self) -> &System {
        &self.system
    }

    /// Makes the processes. Others may use it too, for what must not outlive this program.
    pub fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// All nodes.
    pub fn ids(&self) -> Vec<NodeId> {
        self.processes.keys().copied().collect()
    }

    /// A node.
    pub fn process(&self, id: NodeId) -> &Process {
        self.processes.get(&id).expect("ids come from the configuration")
    }

    /// The pid of a node that runs.
    pub fn pid(&self, id: NodeId) -> Option<i32> {
        self.process(id).birth().map(|birth| birth.pid)
    }

    /// How many nodes have a process.
    pub fn running(&self) -> usize {
        self.processes.values().filter(|process| process.is_running()).count()
    }

    /// Starts a node.
    pub async fn start(&mut self, id: NodeId) -> Result<i32, Failure> {
        let process = self.processes.get_mut(&id).expect("ids come from the configuration");
        process.start(&self.spawner).await.map_err(|error| {
            let (program, log) = (self.program.display(), process.log().display());
            Failure::usage(format!("could not start {program} with its log in {log}: {error}"))
        })?;
        let birth = process.birth().expect("it was just started").clone();
        let pid = birth.pid;
        self.system.started(id, pid);
        self.latest.insert(id, birth);
        self.renew_state()?;
        Ok(pid)
    }

    /// Signals a node that runs.
    pub fn signal(&mut self, id: NodeId, signal: Signal) {
        self.processes.get_mut(&id).expect("ids come from the configuration").signal(signal);
    }

    /// Signals all nodes that run.
    pub fn signal_all(&mut self, signal: Signal) {
        for process in self.processes.values_mut().filter(|process| process.is_running()) {
            process.signal(signal);
        }
    }

    /// Waits for the next process to end. May be dropped and called again.
    pub async fn next_exit(&mut self) -> Result<Exit, Failure> {
        let running = self.processes.values_mut().filter(|process| process.is_running());
        let exits: Vec<_> = running.map(|process| Box::pin(process.exit())).collect();
        if exits.is_empty() {
            return std::future::pending().await;
        }
        let (exit, _, _) = select_all(exits).await;
        let exit = exit.context("could not wait for a process")?;
        self.renew_state()?;
        Ok(exit)
    }

    /// Waits for one node's process to end.
    pub async fn exit_of(&mut self, id: NodeId) -> Result<Exit, Failure> {
        let process = self.processes.get_mut(&id).expect("ids come from the configuration");
        let exit = process.exit().await.context("could not wait for a process")?;
        self.renew_state()?;
        Ok(exit)
    }

    /// The cluster serves, whatever may be wrong with some of its nodes.
    pub fn set_ready(&mut self, problems: Vec<String>) -> Result<(), Failure> {
        self.ready = true;
        self.problems = problems;
        self.write_state()
    }

    /// Kills what is left, and returns what could not be ended.
    pub async fn end_leftovers(&mut self) -> Vec<i32> {
        let latest: Vec<Birth> = self.latest.values().cloned().collect();
        end_groups(&latest).await
    }

    /// The same once more. A full disk ends no cluster that has served: what stands there names processes
    /// for good, so that the old does no harm.
    fn renew_state(&self) -> Result<(), Failure> {
        match self.write_state() {
            Err(failure) if self.ready => {
                tracing::warn!(error = %format!("{:#}", failure.error), "others may not see what runs");
                Ok(())
            }
            written => written,
        }
    }

    /// Writes down what runs, for those who ask from outside.
    pub fn write_state(&self) -> Result<(), Failure> {
        let me = i32::try_from(std::process::id()).expect("pids are positive and small");
        let nodes = self.processes.iter().filter_map(|(id, process)| {
            Some(NodeState { id: id.0, process: process.birth()?.clone() })
        });
        let state = State {
            runner: Birth::of(me).context("this system has no /proc")?,
            ready: self.ready,
            problems: self.problems.clone(),
            config: self.config.path.clone(),
            nodes: nodes.collect(),
        };
        let written = self.home.write_state(&state);
        Ok(written.with_context(|| format!("could not write to {}", self.home.dir().display()))?)
    }
}

fn recipe(
    (system, program): (&System, &Path),
    config: &ClusterConfig,
    node: &NodeConfig,
    extra: Option<&Extra>,
) -> Recipe {
    let mut args = match system {
        System::Raft => {
            let id = node.id.0.to_string();
            let path = config.path.clone().into_os_string();
            vec!["--id".into(), id.into(), "--config".into(), path]
        }
        System::Etcd(etcd) => etcd.args(config, node),
    };
    args.extend(node.args.iter().map(OsString::from));
    let env = node.env.iter().map(|(name, value)| (name.clone(), value.clone()));
    let mut env: Vec<(String, String)> = env.collect();
    if let Some(extra) = extra {
        args.extend(extra.args.iter().cloned());
        env.extend(extra.env.iter().cloned());
    }
    let log = config.runner.logs_dir.join(format!("{}.log", node.id));
    let piped = extra.is_some_and(|extra| extra.piped);
    let ends_by_signal = system.foreign().is_some();
    Recipe { program: program.to_owned(), args, env, log, piped, ends_by_signal }
}

/// Ends what a runner left behind that could not do so itself. The kernel kills the nodes of a
/// runner that dies, so there should be nothing, or nothing for long.
async fn end_previous(home: &Home) -> Result<(), Failure> {
    let nodes = home.state().map(|state| state.nodes).unwrap_or_default();
    let births: Vec<Birth> = nodes.into_iter().map(|node| node.process).collect();
    match end_groups(&births).await.first() {
        None => Ok(()),
        Some(pid) => {
            Err(Failure::usage(format!("process {pid} of an earlier run cannot be ended")))
        }
    }
}

/// The server's executable, as named on the command line, as configured, or wherever it is.
fn server_program(named: Option<&Path>, config: &ClusterConfig) -> Result<PathBuf, Failure> {
    let configured = config.runner.bin.as_deref();
    let (path, origin) = match (named, configured) {
        (Some(path), _) => (path, "--bin"),
        // A bare name leaves it to us where to look.
        (None, Some(name)) if name.components().count() == 1 => return find_program(name, config),
        (None, Some(path)) => (path, "runner.bin"),
        (None, None) => return find_program(Path::new("raft-server"), config),
    };
    let file = fs::canonicalize(path).ok().filter(|file| file.is_file());
    file.ok_or_else(|| {
        Failure::usage(format!("{origin} names {}, which is not a file", path.display()))
    })
}

/// A program of this project: beside this one, in the build folders around, or on the search path.
pub fn find_program(name: &Path, config: &ClusterConfig) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let here = std::env::current_dir().unwrap_or_default();
    let roots = here.ancestors().chain(config.path.ancestors().skip(1));
    let built =
        roots.flat_map(|root| ["target/release", "target/debug"].map(|profile| root.join(profile)));
    let search = std::env::var_os("PATH").unwrap_or_default();
    let places = beside.into_iter().chain(built).chain(std::env::split_paths(&search));
    places.map(|place| place.join(name)).find(|file| file.is_file()).ok_or_else(|| {
        let name = name.display();
        Failure::usage(format!("there is no program {name} to run"))
            .hint(format!("build it with `cargo build --release -p {name}`"))
    })
}

/// Makes sure that every port can be had, before anything is started.
pub(crate) fn check_ports<'a>(
    nodes: impl IntoIterator<Item = &'a NodeConfig>,
) -> Result<(), Failure> {
    for node in nodes {
        for (what, address) in
            [("peer", &node.peer), ("client", &node.client), ("http", &node.http)]
        {
            check_port(address).map_err(|(problem, hint)| {
                let failure = format!("{}'s {what} address {address} {problem}", node.id);
                let failure = Failure::usage(failure);
                Failure { hint, ..failure }
            })?;
        }
    }
    Ok(())
}

fn check_port(address: &str) -> Result<(), (String, Option<String>)> {
    let mut resolved = address
        .to_socket_addrs()
        .map_err(|error| (format!("cannot be resolved: {error}"), None))?;
    let Some(address) = resolved.next() else {
        return Err(("cannot be resolved".to_owned(), None));
    };
    // A listener as the servers make it: a port that only waits for old packets counts as free.
    match TcpListener::bind(address) {
        Ok(_free) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let holder = procfs::listener_on(address.port());
            let who = holder.map_or_else(
                || "another process".to_owned(),
                |stat| format!("process {} ({})", stat.pid, stat.name),
            );
            let hint = "end that process, change cluster.base_port in the file, or run a second \
                        cluster with --port-offset 1000";
            Err((format!("is taken by {who}"), Some(hint.to_owned())))
        }
        Err(error) => Err((format!("cannot be used here: {error}"), None)),
    }
}

/// Removes a data folder. A path that is too short to be one is left alone, and so is a link.
fn wipe(dir: &Path) -> Result<(), Failure> {
    let depth = dir.components().filter(|part| matches!(part, Component::Normal(_))).count();
    let here = std::env::current_dir().unwrap_or_default();
    if depth < 2 || here.starts_with(dir) {
        return Err(Failure::usage(format!("--fresh would remove {}: refused", dir.display())));
    }
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::usage(format!("could not remove {}: {error}", dir.display())))
        }
        _ => Ok(()),
    }
}
