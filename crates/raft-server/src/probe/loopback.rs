//! How long a small message takes over loopback and back, between two threads and two processes.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::{Figures, ProbeError, Stop};

/// About what a small request is on the wire.
pub(crate) const MESSAGE_BYTES: usize = 200;

/// An answer that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where two processes run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Where the system puts them, as it does with servers and clients.
    Anywhere,
    /// Both on one processor: nobody has to be woken elsewhere.
    Together,
    /// Each on one of its own.
    Apart,
}

/// The process at the other end. It ends with the connection; whatever happens, it is waited for.
struct Peer(Child);

/// Between two threads of this process.
pub(crate) fn between_threads(count: u64, stop: &Stop) -> Result<Figures, ProbeError> {
    let (near, far) = connected().map_err(ProbeError::Loopback)?;
    std::thread::scope(|scope| {
        let answering = scope.spawn(move || answer(far));
        let figures = trips(near, count, stop);
        answering.join().expect("a panic ends the process").map_err(ProbeError::Loopback)?;
        figures
    })
}

/// Between this process and another one: this program, told to call [`answer_on_stdin`] by these
/// arguments. The connection is there before the process is, so that nobody waits for one. Nothing, if
/// there are not enough processors for the placement.
pub(crate) fn between_processes(
    arguments: &[&str],
    placement: Placement,
    count: u64,
    stop: &Stop,
) -> Result<Option<Figures>, ProbeError> {
    let Some((here, there)) = places(placement).map_err(ProbeError::Loopback)? else {
        return Ok(None);
    };
    let (near, far) = connected().map_err(ProbeError::Loopback)?;
    let start = |program| {
        let mut command = Command::new(program);
        command.args(arguments).stdin(OwnedFd::from(far)).stdout(Stdio::null()).spawn()
    };
    let peer = std::env::current_exe().and_then(start).map_err(ProbeError::Loopback)?;
    let peer = Peer(peer);
    let pid = i32::try_from(peer.0.id()).expect("the system's ids are small");
    let pin = |pid, set: &CpuSet| {
        sched_setaffinity(Pid::from_raw(pid), set)
            .map_err(|error| ProbeError::Loopback(error.into()))
    };
    pin(pid, &there)?;
    // A thread of its own: whoever calls stays where it was.
    std::thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            pin(0, &here)?;
            trips(near, count, stop)
        });
        measuring.join().expect("a panic ends the process").map(Some)
    })
}

/// The processors for this process and for the other one.
fn places(placement: Placement) -> io::Result<Option<(CpuSet, CpuSet)>> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let is_allowed = |cpu: &usize| allowed.is_set(*cpu).unwrap_or(false);
    let mut cpus = (0..CpuSet::count()).filter(is_allowed);
    let (first, second) = (cpus.next(), cpus.next());
    let only = |cpu: usize| {
        let mut set = CpuSet::new();
        set.set(cpu).map(|()| set)
    };
    Ok(match (placement, first, second) {
        (Placement::Anywhere, ..) => Some((allowed, allowed)),
        (Placement::Together, Some(cpu), _) => Some((only(cpu)?, only(cpu)?)),
        (Placement::Apart, Some(here), Some(there)) => Some((only(here)?, only(there)?)),
        (Placement::Together | Placement::Apart, ..) => None,
    })
}

/// The other process: answers until the connection, which is its standard input, ends.
pub(crate) fn answer_on_stdin() -> io::Result<()> {
    answer(TcpStream::from(io::stdin().as_fd().try_clone_to_owned()?))
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended already, and there is nobody to tell if it cannot be waited for.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn connected() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (far, _) = listener.accept()?;
    for end in [&near, &far] {
        end.set_nodelay(true)?;
        end.set_read_timeout(Some(PATIENCE))?;
        end.set_write_timeout(Some(PATIENCE))?;
    }
    Ok((near, far))
}

/// Sends everything back, until the other end is closed.
fn answer(mut far: TcpStream) -> io::Result<()> {
    let mut message = [0; MESSAGE_BYTES];
    loop {
        match far.read_exact(&mut message) {
            Ok(()) => far.write_all(&message)?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The connection ends with them.
fn trips(mut near: TcpStream, count: u64, stop: &Stop) -> Result<Figures, ProbeError> {
    let mut message = [7; MESSAGE_BYTES];
    // The other end has to be there before its answers are timed.
    round_trip(&mut near, &mut message)?;
    let (mut took, whole) = (Vec::new(), Instant::now());
    for _ in 0..count {
        stop.check()?;
        let began = Instant::now();
        round_trip(&mut near, &mut message)?;
        took.push(began.elapsed());
    }
    Ok(Figures::of(took, whole.elapsed()))
}

fn round_trip(near: &mut TcpStream, message: &mut [u8; MESSAGE_BYTES]) -> Result<(), ProbeError> {
    let sent = near.write_all(message).and_then(|()| near.read_exact(message));
    sent.map_err(ProbeError::Loopback)
}
