//! The one place where processes are made.
//!
//! Every child is tied to this program with `PR_SET_PDEATHSIG`: if the runner is killed, however
//! hard, the kernel kills its children. That signal is sent when the parent *thread* ends, not the
//! parent process (prctl(2)), so a worker of the async runtime must never be the parent. Children
//! are made by one thread that does nothing else and lives as long as the [`Spawner`].

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid, setsid};
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// What to run.
#[derive(Debug)]
pub struct Launch {
    /// The executable.
    pub program: PathBuf,
    /// Its arguments, without its own name.
    pub args: Vec<OsString>,
    /// What to add to the environment.
    pub env: Vec<(String, String)>,
    /// Where its output goes.
    pub stdout: Stdio,
    /// Where its messages go.
    pub stderr: Stdio,
}

impl Launch {
    /// Runs a program whose output and messages both go to one file.
    pub fn logging_to(program: PathBuf, args: Vec<OsString>, log: File) -> io::Result<Self> {
        let stdout = Stdio::from(log.try_clone()?);
        Ok(Self { program, args, env: Vec::new(), stdout, stderr: Stdio::from(log) })
    }

    fn command(self, parent: Pid) -> Command {
        let mut command = Command::new(self.program);
        command.args(self.args).envs(self.env).stdin(Stdio::null());
        command.stdout(self.stdout).stderr(self.stderr);
        die_with(&mut command, parent);
        command
    }
}

/// A thread that makes child processes, each in a process group of its own. Children die with it:
/// keep it until all have ended.
#[derive(Debug)]
pub struct Spawner {
    // Holds as many orders as are ever open at once: one, as `spawn` waits for its answer. `None`
    // only while dropping.
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

type Order = (Launch, oneshot::Sender<io::Result<Child>>);

impl Spawner {
    /// Starts the thread. The runtime is the one that will wait for the children.
    pub fn start(runtime: Handle) -> io::Result<Self> {
        let (orders, inbox) = sync_channel(1);
        let thread = std::thread::Builder::new().name("spawner".into());
        let thread = thread.spawn(move || serve(&runtime, &inbox))?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Makes a process. It leads a new process group of the same number as its pid.
    pub async fn spawn(&self, launch: Launch) -> io::Result<Child> {
        let (answer, outcome) = oneshot::channel();
        let orders = self.orders.as_ref().expect("orders are open until drop");
        orders.send((launch, answer)).map_err(|_gone| gone())?;
        outcome.await.map_err(|_gone| gone())?
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        drop(self.orders.take());
        let thread = self.thread.take().expect("the thread is joined once");
        if thread.join().is_err() {
            tracing::error!("the spawner thread panicked");
        }
    }
}

fn serve(runtime: &Handle, inbox: &Receiver<Order>) {
    let _entered = runtime.enter();
    let parent = getpid();
    while let Ok((launch, answer)) = inbox.recv() {
        let child = tokio::process::Command::from(launch.command(parent)).spawn();
        if let Err(Ok(mut unwanted)) = answer.send(child) {
            // Whoever asked has gone. What nobody waits for must not live.
            if let Err(error) = unwanted.start_kill() {
                tracing::error!(%error, "could not end a process that nobody waits for");
            }
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the spawner thread has ended")
}

/// Makes the child the leader of its own process group, and lets the kernel kill it when the
/// calling thread ends.
#[expect(unsafe_code, reason = "between fork and exec is where the kernel must be told")]
fn die_with(command: &mut Command, parent: Pid) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
    let hook = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the line above, and then nobody will signal us.
        if getppid() == parent { Ok(()) } else { Err(io::Error::from(io::ErrorKind::NotFound)) }
    };
    // SAFETY: the hook runs in the child between fork and exec, where only async-signal-safe calls
    // are allowed. It makes two system calls, and neither allocates nor takes a lock: both errors
    // it can return are plain numbers.
    unsafe { command.pre_exec(hook) };
}

/// Lets the command run in a session of its own, so that a closed terminal does not reach it.
#[expect(unsafe_code, reason = "between fork and exec is where the session can be left")]
pub fn leave_session(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    // SAFETY: setsid is async-signal-safe, and its error is a plain number.
    unsafe { command.pre_exec(|| setsid().map(|_session| ()).map_err(io::Error::from)) };
}
