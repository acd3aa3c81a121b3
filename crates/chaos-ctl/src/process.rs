//! One node's process: stopped or running, and nothing in between.
//!
//! A process is waited for and signalled by one owner, and signalled only while it has not been
//! waited for. So a signal cannot reach a stranger that got the same pid.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Child;

use crate::NodeId;
use crate::log_pipe::LogPipe;
use crate::procfs::Birth;
use crate::spawner::{Launch, Spawner};

/// How many of a node's last log lines are shown when it ends by itself.
const TAIL_LINES: usize = 20;
/// A log that is longer than this when its node starts is put aside.
const LOG_BYTES_MAX: u64 = 64 << 20;

/// A process that is younger may not listen to signals yet.
const LISTENS_AFTER: Duration = Duration::from_secs(2);

/// How to start a node.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What to add to its environment.
    pub env: Vec<(String, String)>,
    /// The file that its output and messages are appended to.
    pub log: PathBuf,
    /// Whether they go there through a pipe of ours, which can be blocked.
    pub piped: bool,
    /// Whether it ends by the very SIGTERM that asked it to, once it has put everything in order.
    pub ends_by_signal: bool,
}

/// A node and, while it runs, its process.
#[derive(Debug)]
pub struct Process {
    id: NodeId,
    recipe: Recipe,
    state: State,
}

#[derive(Debug)]
enum State {
    Stopped,
    Running(Box<Running>),
}

#[derive(Debug)]
struct Running {
    child: Child,
    birth: Birth,
    since: Instant,
    /// How long the log was before.
    log_start: u64,
    /// The signal that was sent to end it, if it was.
    ending: Option<Signal>,
    /// What its log goes through, if it does.
    pipe: Option<LogPipe>,
}

/// How a process ended.
#[derive(Debug)]
pub struct Exit {
    /// Whose it was.
    pub id: NodeId,
    /// The process.
    pub birth: Birth,
    /// What it told, or what killed it.
    pub status: ExitStatus,
    /// The signal that we had sent to end it.
    pub ending: Option<Signal>,
    /// How long it ran.
    pub uptime: Duration,
    /// Whether SIGTERM is a clean end of it.
    pub ends_by_signal: bool,
    /// The last lines of its log.
    pub tail: Vec<String>,
}

impl Exit {
    /// Whether it ended as we told it to: by the SIGKILL that we sent, or cleanly after SIGTERM, or by
    /// that SIGTERM if it had hardly begun and was not listening yet.
    pub fn is_expected(&self) -> bool {
        match self.ending {
            Some(Signal::SIGKILL) => self.status.signal() == Some(Signal::SIGKILL as i32),
            Some(signal) => {
                let by_it = self.status.signal() == Some(signal as i32);
                let at_rest = self.ends_by_signal || self.uptime < LISTENS_AFTER;
                self.status.success() || by_it && at_rest
            }
            None => false,
        }
    }

    /// The status in words: `exit code 2`, `SIGABRT`.
    pub fn cause(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(number)) => match Signal::try_from(number) {
                Ok(signal) => signal.as_str().to_owned(),
                Err(_unnamed) => format!("signal {number}"),
            },
            (None, None) => self.status.to_string(),
        }
    }
}

impl Process {
    /// A node that does not run yet.
    pub fn new(id: NodeId, recipe: Recipe) -> Self {
        Self { id, recipe, state: State::Stopped }
    }

    /// Which node this is.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.recipe.log
    }

    /// The process, while there is one.
    pub fn birth(&self) -> Option<&Birth> {
        match &self.state {
            State::Running(running) => Some(&running.birth),
            State::Stopped => None,
        }
    }

    /// Whether there is a process.
    pub fn is_running(&self) -> bool {
        matches!(self.state, State::Running(_))
    }

    /// Starts the process.
    pub async fn start(&mut self, spawner: &Spawner) -> io::Result<()> {
        assert!(!self.is_running(), "{} runs already", self.id);
        let log = open_log(&self.recipe.log)?;
        let log_start = log.metadata()?.len();
        let (program, args) = (self.recipe.program.clone(), self.recipe.args.clone());
        let (pipe, log) = if self.recipe.piped {
            let (pipe, end) = LogPipe::into_file(log)?;
            (Some(pipe), File::from(end))
        } else {
            (None, log)
        };
        let launch = Launch::logging_to(program, args, log)?;
        let launch = Launch { env: self.recipe.env.clone(), ..launch };
        let child = spawner.spawn(launch).await?;
        let pid = child.id().expect("a child that was not waited for has a pid");
        let pid = i32::try_from(pid).expect("pids are positive and small");
        let birth =
            Birth::of(pid).expect("a child that was not waited for is listed, if only as a zombie");
        let since = Instant::now();
        let running = Running { child, birth, since, log_start, ending: None, pipe };
        self.state = State::Running(Box::new(running));
        Ok(())
    }

    /// Signals the whole process group. A signal that ends a process is remembered, so that the
    /// exit is not mistaken for a crash.
    pub fn signal(&mut self, signal: Signal) {
        let State::Running(running) = &mut self.state else {
            panic!("{} does not run and cannot be signalled", self.id);
        };
        // The pid is there until the child has been waited for, which only `exit` does.
        assert!(running.child.id().is_some(), "{} has been waited for already", self.id);
        if matches!(signal, Signal::SIGTERM | Signal::SIGKILL) {
            running.ending = Some(signal);
        }
        signal_group(running.birth.pid, signal);
    }

    /// Its log is not read from now on, or is again. Returns how many bytes have been stuck so far;
    /// nothing if there is no process, or no pipe.
    pub fn block_log(&self, blocked: bool) -> Option<u64> {
        let State::Running(running) = &self.state else { return None };
        let pipe = running.pipe.as_ref()?;
        pipe.set_blocked(blocked);
        Some(pipe.stuck())
    }

    /// Waits for the process to end; for ever if there is none. May be dropped and called again.
    pub async fn exit(&mut self) -> io::Result<Exit> {
        let State::Running(running) = &mut self.state else {
            return std::future::pending().await;
        };
        let status = running.child.wait().await?;
        let State::Running(mut ended) = std::mem::replace(&mut self.state, State::Stopped) else {
            unreachable!("the state was looked at above");
        };
        // Whatever it had started in its group goes with it.
        if !ended.birth.group_members().is_empty() {
            signal_group(ended.birth.pid, Signal::SIGKILL);
        }
        if let Some(pipe) = ended.pipe.take() {
            pipe.drained().await;
        }
        let tail = tail(&self.recipe.log, ended.log_start).unwrap_or_default();
        let (id, birth, ending) = (self.id, ended.birth, ended.ending);
        let ends_by_signal = self.recipe.ends_by_signal;
        let uptime = ended.since.elapsed();
        Ok(Exit { id, birth, status, ending, uptime, ends_by_signal, tail })
    }

    /// The last lines that the process has logged so far.
    pub fn tail(&self) -> Vec<String> {
        match &self.state {
            State::Running(running) => {
                tail(&self.recipe.log, running.log_start).unwrap_or_default()
            }
            // What an earlier process has logged says nothing about this one.
            State::Stopped => Vec::new(),
        }
    }
}

/// Kills what is left of the groups that these processes opened, and waits until it is gone.
/// Returns the processes that do not go.
pub async fn end_groups(leaders: &[Birth]) -> Vec<i32> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let alive = leaders.iter().map(|leader| (leader.pid, leader.group_members()));
        let alive: Vec<_> = alive.filter(|(_, members)| !members.is_empty()).collect();
        if alive.is_empty() || deadline < Instant::now() {
            return alive.into_iter().flat_map(|(_, members)| members).collect();
        }
        for (group, _) in alive {
            signal_group(group, Signal::SIGKILL);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An empty group is as good as a signalled one.
fn signal_group(group: i32, signal: Signal) {
    if let Err(error) = killpg(Pid::from_raw(group), signal)
        && error != nix::errno::Errno::ESRCH
    {
        tracing::error!(group, %signal, %error, "could not signal a process group");
    }
}

fn open_log(path: &Path) -> io::Result<File> {
    let long = std::fs::metadata(path).is_ok_and(|found| found.len() > LOG_BYTES_MAX);
    if long {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// The last lines of a file after an offset.
fn tail(path: &Path, start: u64) -> io::Result<Vec<String>> {
    const BYTES_MAX: u64 = 64 << 10;
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(end.saturating_sub(BYTES_MAX)).min(end)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(TAIL_LINES);
    Ok(lines.into_iter().skip(skipped).map(str::to_owned).collect())
}
