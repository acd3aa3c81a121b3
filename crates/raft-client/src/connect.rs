//! Connections to one node.
//!
//! A connection that broke is thrown away and the next attempt makes a new one at once: whether a
//! pause is due is the retry loop's business alone, because a reconnect pause here would be added
//! to every failover.

use std::io;
use std::net::ToSocketAddrs as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use raft_api::pb::management_rpc_client::ManagementRpcClient;
use raft_rpc::KeepAlive;
use raft_rpc::client::Channel;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tonic::codegen::http::uri::Authority;

use crate::pipe::Pipe;
use crate::trace::Span;
use crate::{Fault, FaultKind, Options, Tracer};

/// Bytes in one command, at most: no server can be told to take more.
pub(crate) const COMMAND_BYTES_MAX: usize = 16 << 20;

/// Bytes in one message, at most: a command and what goes with it, or the answer to a read.
pub(crate) const MESSAGE_BYTES_MAX: usize = COMMAND_BYTES_MAX + (64 << 10);

/// HTTP/2 windows of a stream and of a connection: one large message fits without a round trip.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Bytes of one piece of a message on its way: one that comes in one piece need not be put together.
const PIECE_BYTES_MAX: u32 = 1 << 20;

/// A node that is gone without a word (power, a cut cable, a stopped process) is noticed on an idle
/// connection after twice this.
const KEEPALIVE: Duration = Duration::from_secs(1);

/// For so long a node that kept silent is asked only if no other can be.
const AVOIDANCE: Duration = Duration::from_secs(2);

/// The calls of a node, as they are generated.
pub(crate) type Api = ManagementRpcClient<Channel>;

/// One node's address and the connections to it.
#[derive(Debug)]
pub(crate) struct Link {
    addr: Arc<str>,
    connect_timeout: Duration,
    /// Whether writes go over streams.
    pub(crate) pipelined: bool,
    tracer: Option<Tracer>,
    /// Whether the last one that was met there greeted with something that is no HTTP/2.
    is_strange: Arc<AtomicBool>,
    /// Until when whoever has a choice asks another node: this one has kept silent.
    avoided_until: Mutex<Option<Instant>>,
    slots: Vec<Slot>,
    /// Where the next request goes: round about.
    next: AtomicUsize,
}

#[derive(Debug, Default)]
struct Slot {
    current: Mutex<Current>,
    /// Held by the one who connects. Keeps how and when that last went wrong, so that those who
    /// waited meanwhile take it for their answer too.
    connecting: tokio::sync::Mutex<Option<(Instant, Fault)>>,
}

#[derive(Debug, Default)]
struct Current {
    /// Counts the connections made here.
    number: u64,
    channel: Option<Arc<Channel>>,
    /// The stream of writes over it, once there is one.
    pipe: Option<Arc<Pipe>>,
}

/// A connection that was usable a moment ago.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// Shared, as a clone of the channel itself takes the lock that what comes and goes over it takes.
    pub(crate) channel: Arc<Channel>,
    slot: usize,
    number: u64,
}

impl Connection {
    /// The calls of the node.
    pub(crate) fn api(&self) -> Api {
        Api::new(Channel::clone(&self.channel))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

impl Link {
    pub(crate) fn new(addr: &str, options: &Options) -> Self {
        Self {
            addr: addr.into(),
            connect_timeout: options.connect_timeout,
            pipelined: options.pipelined,
            tracer: options.tracer.clone(),
            is_strange: Arc::default(),
            avoided_until: Mutex::default(),
            slots: (0..options.connections.max(1)).map(|_| Slot::default()).collect(),
            next: AtomicUsize::new(0),
        }
    }

    pub(crate) fn addr(&self) -> &Arc<str> {
        &self.addr
    }

    /// It has kept silent: whoever has a choice asks another one for a while.
    pub(crate) fn avoid(&self) {
        let until = Instant::now() + AVOIDANCE;
        *self.avoided_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Whether it has kept silent lately.
    pub(crate) fn is_avoided(&self) -> bool {
        let until = *self.avoided_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    /// To be told to whoever follows it, when the node has answered.
    pub(crate) fn span(&self, what: &'static str) -> Span<'_> {
        Span::begin(self.tracer.as_ref(), &self.addr, what)
    }

    /// Whether HTTP/2 is not spoken there.
    pub(crate) fn is_strange(&self) -> bool {
        self.is_strange.load(Ordering::Relaxed)
    }

    /// A connection, made now if there is none.
    pub(crate) async fn connection(&self) -> Result<Connection, Fault> {
        let slot = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        self.connection_at(slot).await
    }

    /// Makes all connections that are missing.
    pub(crate) async fn connect_all(&self) -> Result<(), Fault> {
        for slot in 0..self.slots.len() {
            self.connection_at(slot).await?;
        }
        Ok(())
    }

    async fn connection_at(&self, slot: usize) -> Result<Connection, Fault> {
        if let Some(connection) = self.current(slot) {
            return Ok(connection);
        }
        let since = Instant::now();
        let mut failure = self.slots[slot].connecting.lock().await;
        if let Some(connection) = self.current(slot) {
            return Ok(connection);
        }
        if let Some((_, fault)) = failure.as_ref().filter(|(at, _)| since <= *at) {
            return Err(fault.clone());
        }
        match channel(&self.addr, self.connect_timeout, &self.is_strange).await {
            Ok(channel) => {
                let channel = Arc::new(channel);
                let mut current = self.lock(slot);
                current.number += 1;
                current.channel = Some(Arc::clone(&channel));
                current.pipe = None;
                Ok(Connection { channel, slot, number: current.number })
            }
            Err(fault) => {
                *failure = Some((Instant::now(), fault.clone()));
                Err(fault)
            }
        }
    }

    /// Throws a connection away, unless somebody else has already replaced it.
    pub(crate) fn discard(&self, connection: &Connection) {
        let mut current = self.lock(connection.slot);
        if current.number == connection.number {
            current.channel = None;
            current.pipe = None;
        }
    }

    /// The stream of writes over a connection, begun now if there is none.
    pub(crate) fn pipe(&self, connection: &Connection) -> Arc<Pipe> {
        let mut current = self.lock(connection.slot);
        if current.number != connection.number {
            // It was given up meanwhile; what is sent over it will find out.
            return Arc::new(Pipe::open(Channel::clone(&connection.channel)));
        }
        match &current.pipe {
            Some(pipe) if !pipe.has_ended() => Arc::clone(pipe),
            Some(_) | None => {
                let pipe = Arc::new(Pipe::open(Channel::clone(&connection.channel)));
                current.pipe = Some(Arc::clone(&pipe));
                pipe
            }
        }
    }

    fn current(&self, slot: usize) -> Option<Connection> {
        let current = self.lock(slot);
        let channel = current.channel.clone()?;
        Some(Connection { channel, slot, number: current.number })
    }

    fn lock(&self, slot: usize) -> std::sync::MutexGuard<'_, Current> {
        self.slots[slot].current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection over which any service can be asked.
pub(crate) async fn channel(
    addr: &str,
    within: Duration,
    is_strange: &Arc<AtomicBool>,
) -> Result<Channel, Fault> {
    let unreachable =
        |error: &dyn std::fmt::Display| Fault::new(FaultKind::Unreachable, error.to_string());
    let authority = Authority::try_from(addr)
        .map_err(|error| unreachable(&format_args!("not an address: {error}")))?;
    let stream = match timeout(within, TcpStream::connect(resolve(addr).await?)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(Fault::new(FaultKind::ConnectRefused, ""));
        }
        Ok(Err(error)) => return Err(unreachable(&error)),
        Err(_elapsed) => {
            return Err(unreachable(&format_args!("no connection in {} ms", within.as_millis())));
        }
    };
    stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
    let greeting = Some(Arc::clone(is_strange));
    let options = raft_rpc::client::Options {
        stream_window: STREAM_WINDOW,
        connection_window: CONNECTION_WINDOW,
        frame_bytes_max: PIECE_BYTES_MAX,
        keepalive: KeepAlive { interval: KEEPALIVE, patience: KEEPALIVE },
    };
    timeout(within, Channel::open(PlainStream { stream, greeting }, authority, options))
        .await
        .map_err(|_elapsed| unreachable(&"no HTTP/2 in time"))?
        .map_err(|error| unreachable(&error))
}

/// Numbers need no resolver; names are looked up beside the runtime, which would wait for them.
async fn resolve(addr: &str) -> Result<std::net::SocketAddr, Fault> {
    if let Ok(addr) = addr.parse() {
        return Ok(addr);
    }
    let name = addr.to_owned();
    let found =
        tokio::task::spawn_blocking(move || name.to_socket_addrs().map(|mut all| all.next()));
    match found.await {
        Ok(Ok(Some(addr))) => Ok(addr),
        Ok(Ok(None)) => Err(Fault::new(FaultKind::Unreachable, "the name has no address")),
        Ok(Err(error)) => Err(Fault::new(FaultKind::Unreachable, error.to_string())),
        Err(error) => Err(Fault::new(FaultKind::Unreachable, error.to_string())),
    }
}

/// A TCP stream that does not offer vectored writes. With them h2 flushes every data frame of 256
/// bytes or more by itself; without them it gathers small frames first, which carries up to 1.6
/// times as many requests.
struct PlainStream {
    stream: TcpStream,
    /// To be told whether the other side does not begin as HTTP/2 does; nothing once it has begun.
    greeting: Option<Arc<AtomicBool>>,
}

/// A server's first frame is of this kind (RFC 9113 §3.4): `SETTINGS`, told by the fourth byte.
const FIRST_FRAME: u8 = 4;

impl AsyncRead for PlainStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(kind) = buffer.filled()[before..].get(3).copied()
            && let Some(is_strange) = self.greeting.take()
        {
            is_strange.store(kind != FIRST_FRAME, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for PlainStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        if matches!(written, Poll::Ready(Err(_))) && self.greeting.is_some() {
            // Whoever hung up may have said before who it is: that, or the end, is what is read next.
            return Poll::Ready(Ok(buffer.len()));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        false
    }
}
