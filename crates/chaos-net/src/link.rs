//! The task of one link: it opens and closes the port as ordered and as the target does, and owns
//! the connections. Nothing of the link outlives it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::connection::carry;
use crate::counters::Tally;
use crate::shape::Cut;
use crate::shared::{Door, Order, Shared};
use crate::target::{DIAL_EVERY, watch_target};

/// Connections of a link at a time; more wait in the kernel, unaccepted.
pub const CONNECTIONS_MAX: usize = 1024;

/// Connections that the kernel accepts ahead of us.
const BACKLOG: u32 = 1024;

/// A port that is kept: bound, so that nobody else gets it while it is closed. A bound socket that
/// does not listen refuses connections, and does not hinder another one that listens.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    _reserved: TcpSocket,
}

impl Port {
    pub(crate) fn reserve(address: SocketAddr) -> io::Result<Self> {
        let reserved = bound(address)?;
        let address = reserved.local_addr()?;
        Ok(Self { address, _reserved: reserved })
    }

    pub(crate) fn open(&self) -> io::Result<TcpListener> {
        bound(self.address)?.listen(BACKLOG)
    }
}

/// Closes the port. To drop the listener is not enough: a process that is just being started has
/// a copy of it until it becomes another program, and the kernel would go on accepting.
pub(crate) fn shut(listener: &TcpListener) {
    // Where that means nothing it fails, and dropping has to do.
    rustix::net::shutdown(listener, rustix::net::Shutdown::Read).ok();
}

fn bound(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Where a link's connections come from.
pub(crate) enum Entrance {
    /// A port of its own, and its listener while it is open.
    Own(Port, Option<TcpListener>),
    /// A port that several links share: somebody else accepts there, and hands them on.
    Shared(mpsc::Receiver<TcpStream>),
}

impl Entrance {
    /// Whether connections can come. Those through a shared port always can: whatever the link is to do
    /// with them is done after they were accepted.
    fn is_open(&self) -> bool {
        match self {
            Self::Own(_, listener) => listener.is_some(),
            Self::Shared(_) => true,
        }
    }

    async fn accept(&mut self) -> io::Result<TcpStream> {
        match self {
            Self::Own(_, Some(listener)) => listener.accept().await.map(|(stream, _)| stream),
            Self::Own(_, None) => std::future::pending().await,
            Self::Shared(arrivals) => match arrivals.recv().await {
                Some(stream) => Ok(stream),
                // The port is gone, and the link will be.
                None => std::future::pending().await,
            },
        }
    }
}

/// What a link's task is made with.
pub(crate) struct Serve {
    pub(crate) entrance: Entrance,
    pub(crate) seed: u64,
    /// Closed when the link is to end.
    pub(crate) orders: watch::Receiver<Order>,
    pub(crate) door: watch::Sender<Door>,
    pub(crate) questions: mpsc::Receiver<oneshot::Sender<bool>>,
    pub(crate) shared: Arc<Shared>,
}

/// Serves a link until its orders end.
pub(crate) async fn serve(link: Serve) {
    let Serve { entrance, seed, orders, door, questions, shared } = link;
    let (tell, accepts) = watch::channel(None);
    let chance = ChaCha8Rng::seed_from_u64(seed);
    let connections = JoinSet::new();
    let mut gate = Gate { entrance, chance, orders, door, accepts, shared, connections };
    let shared = Arc::clone(&gate.shared);
    tokio::select! {
        never = watch_target(&shared, questions, tell) => match never {},
        () = gate.attend() => (),
    }
}

/// The port of a link, and the connections through it.
struct Gate {
    entrance: Entrance,
    chance: ChaCha8Rng,
    orders: watch::Receiver<Order>,
    door: watch::Sender<Door>,
    accepts: watch::Receiver<Option<bool>>,
    shared: Arc<Shared>,
    connections: JoinSet<()>,
}

impl Gate {
    async fn attend(&mut self) {
        loop {
            let order = *self.orders.borrow_and_update();
            let target = *self.accepts.borrow_and_update();
            let cut = order.shape.cut;
            let wanted = match cut {
                Cut::None => target == Some(true),
                Cut::Hang => true,
                Cut::Refuse => false,
            };
            self.open_or_close(wanted, cut).await;
            let (open, ordered) = (self.entrance.is_open(), cut != Cut::None);
            let failed = wanted && !open;
            self.door.send_modify(|door| {
                *door = Door { generation: door.generation, open, ordered, target, failed };
            });
            if cut == Cut::Refuse {
                // They have the same order, and end.
                while let Some(ended) = self.connections.join_next().await {
                    joined(ended);
                }
            }
            self.door.send_modify(|door| door.generation = order.generation);
            if self.wait(failed).await.is_err() {
                break;
            }
        }
        if let Entrance::Own(_, listener) = &mut self.entrance
            && let Some(listener) = listener.take()
        {
            shut(&listener);
        }
        self.door.send_modify(|door| (door.open, door.ordered) = (false, true));
        while let Some(ended) = self.connections.join_next().await {
            joined(ended);
        }
    }

    /// Accepts connections until something else has to be done. An error when orders have ended.
    async fn wait(&mut self, failed: bool) -> Result<(), watch::error::RecvError> {
        loop {
            let room = self.connections.len() < CONNECTIONS_MAX;
            tokio::select! {
                biased;
                changed = self.orders.changed() => return changed,
                // The watch ends with this task, not before.
                changed = self.accepts.changed() => return changed,
                Some(ended) = self.connections.join_next() => joined(ended),
                accepted = self.entrance.accept(), if room => self.accepted(accepted).await,
                () = sleep(DIAL_EVERY), if failed => return Ok(()),
            }
        }
    }

    async fn accepted(&mut self, accepted: io::Result<TcpStream>) {
        match accepted {
            Ok(stream) => {
                // It fails on a connection that is gone already, which is found out soon enough.
                drop(stream.set_nodelay(true));
                let (seed, orders) = (self.chance.random(), self.orders.clone());
                self.connections.spawn(carry(stream, seed, orders, Arc::clone(&self.shared)));
            }
            Err(error) => {
                // Too many open files, say: it is not better at once.
                self.shared.report("could not accept a connection", &error);
                sleep(DIAL_EVERY).await;
            }
        }
    }

    async fn open_or_close(&mut self, wanted: bool, cut: Cut) {
        let Entrance::Own(port, listener) = &mut self.entrance else { return };
        let tally = &self.shared.tally;
        if wanted && listener.is_none() {
            match port.open() {
                Ok(open) => *listener = Some(open),
                Err(error) => {
                    let what = format!("could not open {} again", port.address);
                    self.shared.report(&what, &error);
                }
            }
        } else if !wanted && let Some(listener) = listener.take() {
            shut(&listener);
            drop(listener);
            Tally::one(&tally.closures);
            if cut == Cut::None {
                Tally::one(&tally.closures_mirrored);
            }
            let address = port.address;
            self.see_refusal(address).await;
        }
    }

    /// A refusal by the kernel is not seen by anybody here, so it is tried.
    async fn see_refusal(&self, address: SocketAddr) {
        match timeout(DIAL_EVERY * 100, TcpStream::connect(address)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Tally::one(&self.shared.tally.refusals_seen);
            }
            Ok(Err(error)) => self.shared.report("could not dial the closed port", &error),
            Ok(Ok(_)) => {
                self.shared.report("dialled the closed port", &io::ErrorKind::AddrInUse.into());
            }
            Err(_) => {
                self.shared.report("dialled the closed port", &io::ErrorKind::TimedOut.into());
            }
        }
    }
}

/// A connection's task is never aborted while its link lives, so an error is a panic.
fn joined(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        std::panic::resume_unwind(error.into_panic());
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// A closed port refuses even while somebody has a copy of the listener, and can be opened
    /// again.
    #[tokio::test]
    async fn a_port_that_is_shut_refuses() {
        let port = Port::reserve("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut copies = Vec::new();
        for _ in 0..3 {
            let listener = port.open().unwrap();
            TcpStream::connect(port.address).await.unwrap();
            copies.push(listener.as_fd().try_clone_to_owned().unwrap());
            shut(&listener);
            drop(listener);
            let error = TcpStream::connect(port.address).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        }
    }
}
