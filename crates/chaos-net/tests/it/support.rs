//! A net with one link, and a target to break.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use chaos_net::{Counters, Link, Net, Shape};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

/// The link of these tests.
pub(crate) const LINK: Link = Link { from: 1, to: 2 };

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(20);

/// A net with one link to a target.
pub(crate) struct Lab {
    pub(crate) net: Net,
    pub(crate) proxy: SocketAddr,
    pub(crate) target: SocketAddr,
    /// None while the target is down.
    pub(crate) listener: Option<TcpListener>,
    /// Connections that the target keeps open, on which nobody has said anything.
    idle: RefCell<Vec<TcpStream>>,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        let listener = listen((std::net::Ipv4Addr::LOCALHOST, 0).into());
        let target = listener.local_addr().unwrap();
        let net = Net::new(7);
        let proxy = net.add(LINK, None, target).await.unwrap();
        Self { net, proxy, target, listener: Some(listener), idle: RefCell::default() }
    }

    pub(crate) async fn shape(&self, shape: Shape) {
        self.net.shape(LINK, shape).await.unwrap();
    }

    pub(crate) fn counters(&self) -> Counters {
        let counters = self.net.counters(LINK).unwrap();
        assert_eq!(counters.errors, 0, "{:?}", self.net.status(LINK));
        counters
    }

    /// A connection through the link: the end of the one who dialled, and that of the target.
    pub(crate) async fn connect(&self) -> (TcpStream, TcpStream) {
        let mut client = within(TcpStream::connect(self.proxy)).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        (client, self.accept().await)
    }

    /// The next connection at the target on which somebody says hello: idle ones, by which a link
    /// watches its target, are left alone.
    pub(crate) async fn accept(&self) -> TcpStream {
        let listener = self.listener.as_ref().unwrap();
        let mut idle = Vec::new();
        let accepted = async {
            loop {
                tokio::select! {
                    accepted = listener.accept() => idle.push(accepted.unwrap().0),
                    () = sleep(Duration::from_millis(1)) => (),
                }
                if let Some(at) = idle.iter().position(says_hello) {
                    return idle.swap_remove(at);
                }
            }
        };
        let stream = within(accepted).await;
        self.idle.borrow_mut().extend(idle);
        stream
    }

    /// Closes the target's port, and what it held open by itself.
    pub(crate) fn down(&mut self) {
        self.listener = None;
        self.idle.take();
    }

    /// Opens it again.
    pub(crate) fn up(&mut self) {
        self.listener = Some(listen(self.target));
    }
}

fn says_hello(stream: &TcpStream) -> bool {
    let mut hello = [0; 5];
    match stream.try_read(&mut hello) {
        Ok(0) | Err(_) => false,
        Ok(count) => {
            assert_eq!((count, &hello), (5, b"hello"));
            true
        }
    }
}

pub(crate) fn listen(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(1024).unwrap()
}

/// Waits for something that has to come.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it has to come")
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < PATIENCE, "never came about: {what}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// Says something on one end, which the other has to hear.
pub(crate) async fn says(from: &mut TcpStream, to: &mut TcpStream, what: &[u8]) {
    from.write_all(what).await.unwrap();
    hears(to, what).await;
}

pub(crate) async fn hears(at: &mut TcpStream, what: &[u8]) {
    let mut heard = vec![0; what.len()];
    within(at.read_exact(&mut heard)).await.unwrap();
    assert!(heard == what, "other bytes came");
}

/// Hears nothing for a while.
pub(crate) async fn hears_nothing(at: &mut TcpStream) {
    let mut byte = [0];
    let heard = timeout(Duration::from_millis(100), at.read(&mut byte)).await;
    assert!(heard.is_err(), "{heard:?}");
}

/// How a stream ends: `Ok` with the bytes until its close, or the error.
pub(crate) async fn ends(at: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    within(at.read_to_end(&mut heard)).await.map(|_| heard)
}

pub(crate) async fn is_reset(at: &mut TcpStream) {
    let ended = ends(at).await;
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

pub(crate) async fn is_refused(at: SocketAddr) -> bool {
    let dialled = within(TcpStream::connect(at)).await;
    dialled.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}
