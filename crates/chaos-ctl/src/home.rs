//! The runner's own folder, `.raft/<cluster>/`: the lock, what runs at present, and what happened.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use raft_api::cluster::ClusterConfig;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::procfs::Birth;

/// The folder of one cluster.
#[derive(Clone, Debug)]
pub struct Home {
    dir: PathBuf,
}

impl Home {
    /// The folder follows from where the logs go: `.raft/demo` for `.raft/demo/logs`.
    pub fn of(config: &ClusterConfig) -> Self {
        let logs = &config.runner.logs_dir;
        let parent = logs.parent().filter(|_| logs.file_name().is_some_and(|name| name == "logs"));
        Self { dir: parent.unwrap_or(logs).to_owned() }
    }

    /// This folder.
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What happened, one JSON object a line.
    pub fn events(&self) -> PathBuf {
        self.dir.join("events.jsonl")
    }

    /// The output of a runner in the background.
    pub fn runner_log(&self) -> PathBuf {
        self.dir.join("runner.log")
    }

    /// Where the runner takes orders.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("control.sock")
    }

    /// Takes the cluster for this process, until the lock is dropped or the process ends.
    pub fn lock(&self) -> Result<Lock, Failure> {
        let path = self.dir.join("lock");
        let mut file = self.open_lock(&path).map_err(|error| {
            Failure::usage(format!("could not open {}: {error}", path.display()))
        })?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => return Err(held(&mut file, &path)),
            Err(TryLockError::Error(error)) => {
                return Err(Failure::usage(format!("could not lock {}: {error}", path.display())));
            }
        }
        let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.with_context(|| format!("could not write {}", path.display()))?;
        Ok(Lock { _file: file })
    }

    fn open_lock(&self, path: &Path) -> io::Result<File> {
        fs::create_dir_all(&self.dir)?;
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)
    }

    /// What runs, as the runner wrote it down. `None` if nothing does, or nothing that can be read.
    pub fn state(&self) -> Option<State> {
        serde_json::from_str(&fs::read_to_string(self.state_path()).ok()?).ok()
    }

    /// Writes down what runs, in one piece: a reader sees the old or the new.
    pub fn write_state(&self, state: &State) -> io::Result<()> {
        let fresh = self.dir.join("state.json.new");
        fs::write(&fresh, serde_json::to_string_pretty(state)?)?;
        fs::rename(fresh, self.state_path())
    }

    /// Nothing runs any more.
    pub fn clear_state(&self) -> io::Result<()> {
        match fs::remove_file(self.state_path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn state_path(&self) -> PathBuf {
        self.dir.join("state.json")
    }
}

fn held(file: &mut File, path: &Path) -> Failure {
    let mut pid = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut pid));
    let who = match read {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
        _ => "another process".to_owned(),
    };
    Failure::usage(format!("this cluster is run by {who} already ({} is locked)", path.display()))
        .hint("`chaos-ctl status` shows it, `chaos-ctl down` stops it")
}

/// Keeps others from running the same cluster. The system lets go of it when the process ends,
/// however it does.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who runs the cluster, and which processes it consists of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// The runner.
    pub runner: Birth,
    /// Whether the cluster has served once.
    pub ready: bool,
    /// What was wrong with some nodes when it did.
    #[serde(default)]
    pub problems: Vec<String>,
    /// The configuration file.
    pub config: PathBuf,
    /// The nodes that have a process.
    pub nodes: Vec<NodeState>,
}

/// A node that runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeState {
    /// Which.
    pub id: u64,
    /// Its process.
    pub process: Birth,
}
