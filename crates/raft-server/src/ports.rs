//! The ports a node listens on: taken first, opened last.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use raft_api::cluster::NodeConfig;
use raft_replica::{Disk as _, LockError, OpenError, RealDisk};
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::time::{Instant, sleep};

use crate::start::StartError;

/// A port that is ours but closed: whoever dials it is refused.
#[derive(Debug)]
pub(crate) struct Port {
    socket: TcpSocket,
    whom: &'static str,
    address: String,
}

/// How long to wait for a port: the predecessor may just have been killed.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(50);

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

impl Port {
    /// Takes a port of `node`, and is patient with one that is still taken. If it is taken by a
    /// process that also has the node's directory, that is what is said.
    pub(crate) async fn bind(
        whom: &'static str,
        address: &str,
        node: &NodeConfig,
    ) -> Result<Self, StartError> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let error = match bind(address).await {
                Ok(socket) => return Ok(Self { socket, whom, address: address.to_owned() }),
                Err(error) => error,
            };
            if error.kind() != io::ErrorKind::AddrInUse || give_up <= Instant::now() {
                return Err(StartError::Listen { whom, address: address.to_owned(), error });
            }
            if let Err(held @ LockError::Held { .. }) = RealDisk.lock(&node.data_dir) {
                return Err(OpenError::Lock(held).into());
            }
            sleep(PAUSE).await;
        }
    }

    /// Opens the port.
    pub(crate) fn listen(self) -> Result<TcpListener, StartError> {
        let Self { socket, whom, address } = self;
        socket.listen(BACKLOG).map_err(|error| StartError::Listen { whom, address, error })
    }
}

/// Binds to the first address of a name that can be bound to. While somebody listens there, that
/// fails, although the address may be reused.
async fn bind(address: &str) -> io::Result<TcpSocket> {
    let mut failed = None;
    for address in lookup_host(address).await? {
        match bind_to(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::other("the name has no address")))
}

fn bind_to(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
