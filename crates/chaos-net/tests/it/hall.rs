//! A port that links share: each connection meets what its own link does, and nobody else's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use chaos_net::{Link, Net, Shape};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::support::{ends, eventually, is_refused, is_reset, listen, within};

/// Nodes 1 and 2 dial node 3 at one port.
struct Hall {
    net: Net,
    proxy: SocketAddr,
    target: SocketAddr,
    known: Arc<Mutex<BTreeMap<SocketAddr, u64>>>,
}

impl Hall {
    async fn new() -> (Self, TcpListener) {
        let listener = listen((std::net::Ipv4Addr::LOCALHOST, 0).into());
        let target = listener.local_addr().unwrap();
        let known: Arc<Mutex<BTreeMap<SocketAddr, u64>>> = Arc::default();
        let names = Arc::clone(&known);
        let who = Arc::new(move |from| names.lock().unwrap().get(&from).copied());
        let net = Net::new(7);
        let proxy = net.add_shared(&BTreeSet::from([1, 2]), 3, target, who).await.unwrap();
        let hall = Self { net, proxy, target, known };
        eventually("open", || !hall.is_closed()).await;
        (hall, listener)
    }

    fn is_closed(&self) -> bool {
        std::net::TcpStream::connect(self.proxy).is_err()
    }

    /// A connection of this node, which says its name.
    async fn dial(&self, node: u64) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        self.known.lock().unwrap().insert(socket.local_addr().unwrap(), node);
        let mut stream = within(socket.connect(self.proxy)).await.unwrap();
        stream.write_all(&[u8::try_from(node).unwrap()]).await.unwrap();
        stream
    }

    fn carried(&self, node: u64) -> u64 {
        self.net.counters(Link::new(node, 3)).unwrap().bytes_towards
    }
}

/// Answers whoever says something.
async fn echo(listener: TcpListener) {
    let mut answering = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        answering.spawn(async move {
            let mut said = [0; 1];
            if stream.read_exact(&mut said).await.is_ok() {
                stream.write_all(&said).await.ok();
                stream.read_exact(&mut said).await.ok();
            }
        });
    }
}

#[tokio::test]
async fn each_dialler_meets_its_own_link() {
    let (hall, listener) = Hall::new().await;
    let mut answering = JoinSet::new();
    answering.spawn(echo(listener));
    let mut heard = [0; 1];
    let (mut one, mut two) = (hall.dial(1).await, hall.dial(2).await);
    for stream in [&mut one, &mut two] {
        within(stream.read_exact(&mut heard)).await.unwrap();
    }
    assert_eq!((hall.carried(1), hall.carried(2)), (1, 1));

    // One is cut off: what it has is reset, and so is what it tries; the other one goes on.
    hall.net.shape(Link::new(1, 3), Shape::refuse()).await.unwrap();
    is_reset(&mut one).await;
    is_reset(&mut hall.dial(1).await).await;
    let mut more = hall.dial(2).await;
    within(more.read_exact(&mut heard)).await.unwrap();
    assert_eq!((heard, hall.carried(1), hall.carried(2)), ([2], 1, 2));

    // It hangs: accepted, and heard only when all is well again.
    hall.net.shape(Link::new(1, 3), Shape::hang()).await.unwrap();
    let mut late = hall.dial(1).await;
    let held = || hall.net.counters(Link::new(1, 3)).unwrap().connections_hung;
    eventually("hung", || held() == 1).await;
    hall.net.heal().await.unwrap();
    within(late.read_exact(&mut heard)).await.unwrap();
    assert_eq!((heard, hall.carried(1)), ([1], 2));
}

#[tokio::test]
async fn strangers_are_reset() {
    let (hall, _listener) = Hall::new().await;
    is_reset(&mut hall.dial(9).await).await;
    let mut unnamed = within(TcpStream::connect(hall.proxy)).await.unwrap();
    is_reset(&mut unnamed).await;
    assert_eq!((hall.carried(1), hall.carried(2)), (0, 0));
}

/// The port is open when the target's is, and nothing is left in the end.
#[tokio::test]
async fn it_does_as_its_target_does() {
    let (hall, listener) = Hall::new().await;
    drop(listener);
    eventually("closed", || hall.is_closed()).await;
    let listener = listen(hall.target);
    eventually("open again", || !hall.is_closed()).await;
    let mut open = hall.dial(1).await;
    hall.net.shutdown().await;
    drop(ends(&mut open).await); // Closed or reset.
    assert!(is_refused(hall.proxy).await);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    drop(listener);
}
