//! A server with a desk that echoes, over sockets in memory.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use raft_rpc::client::{self, Channel};
use raft_rpc::server::{self, Desk, Teller};
use raft_rpc::{Gone, KeepAlive, Talk, Talker};
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::codegen::http::uri::{Authority, PathAndQuery};
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

pub(crate) const ECHO: PathAndQuery = PathAndQuery::from_static("/test.Echo/Echo");
pub(crate) const HOLD: PathAndQuery = PathAndQuery::from_static("/test.Echo/Hold");
pub(crate) const TALK: PathAndQuery = PathAndQuery::from_static("/test.Echo/Talk");
pub(crate) const MISSING: PathAndQuery = PathAndQuery::from_static("/test.Echo/Missing");

/// The one message there is.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Text {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) bytes: Bytes,
}

pub(crate) fn text(bytes: impl Into<Bytes>) -> Text {
    Text { bytes: bytes.into() }
}

/// A call that waits to be told, and with what.
type Held = (Teller<Bytes>, Bytes);

/// Answers at once, or when it is told to.
#[derive(Clone, Default)]
struct Echo {
    held: Arc<Mutex<Vec<Held>>>,
    /// Calls of many messages that are under way.
    talks: Arc<AtomicUsize>,
}

#[derive(Clone, Copy)]
enum Method {
    Echo,
    Hold,
}

impl Desk for Echo {
    type Method = Method;
    type Ended = Bytes;
    type Held = ();

    fn talker(&self, path: &str) -> Option<Talker> {
        let talks = Arc::clone(&self.talks);
        (path == TALK.path()).then(|| Talker::new(|talk| echo(talk, UnderWay::begin(talks))))
    }

    fn method(&self, path: &str) -> Option<Method> {
        match path {
            "/test.Echo/Echo" => Some(Method::Echo),
            "/test.Echo/Hold" => Some(Method::Hold),
            _ => None,
        }
    }

    fn take_up(&self, method: Method, message: Bytes, teller: Teller<Bytes>) -> Result<(), Status> {
        let Text { bytes } = Text::decode(message).expect("a text");
        match (method, &bytes[..]) {
            (Method::Echo, b"refuse") => return Err(Status::permission_denied("no")),
            (Method::Echo, b"forget") => drop(teller),
            (Method::Echo, _) => teller.tell(bytes),
            (Method::Hold, _) => {
                self.held.lock().expect("nothing panics while it holds this").push((teller, bytes));
            }
        }
        Ok(())
    }

    fn answer(&self, _: Method, ended: Option<Bytes>, out: &mut BytesMut) -> Result<(), Status> {
        let bytes = ended.ok_or_else(|| Status::aborted("nobody told"))?;
        raft_rpc::put(&Text { bytes }, out);
        Ok(())
    }
}

/// Counts for as long as it is there.
struct UnderWay(Arc<AtomicUsize>);

impl UnderWay {
    fn begin(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Says every message back, until there are no more or one asks to be refused.
async fn echo(mut talk: Talk, _under_way: UnderWay) {
    while let Some(message) = talk.message().await {
        let ended = match message.map(|message| Text::decode(message).expect("a text")) {
            Ok(text) if text.bytes == "refuse" => Err(Status::permission_denied("no, ö\n")),
            Ok(text) => {
                talk.put(&text);
                Ok(())
            }
            Err(status) => Err(status),
        };
        if ended.is_err() {
            return talk.finish(ended).await;
        }
        if talk.flush().await == Err(Gone) {
            return;
        }
    }
    talk.finish(Ok(())).await;
}

/// A server and the way to it.
pub(crate) struct Rig {
    sockets: mpsc::Sender<DuplexStream>,
    desk: Echo,
    health: HealthReporter,
    stop: watch::Sender<bool>,
    server: tokio::sync::Mutex<JoinSet<()>>,
}

pub(crate) fn socket_pair() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(64 << 10)
}

const KEEPALIVE: KeepAlive =
    KeepAlive { interval: Duration::from_millis(100), patience: Duration::from_secs(1) };

pub(crate) async fn open(socket: DuplexStream) -> Channel {
    let options = client::Options {
        stream_window: 1 << 20,
        connection_window: 2 << 20,
        frame_bytes_max: 64 << 10,
        keepalive: KEEPALIVE,
    };
    Channel::open(socket, Authority::from_static("here:1"), options)
        .await
        .expect("it speaks HTTP/2")
}

impl Rig {
    pub(crate) fn start() -> Self {
        let (sockets, accepted) = mpsc::channel(4);
        let (stop, mut stopped) = watch::channel(false);
        let desk = Echo::default();
        let (health, service) = tonic_health::server::health_reporter();
        let options = server::Options {
            stream_window: 1 << 20,
            connection_window: 2 << 20,
            streams_max: 1000,
            resets_max: 100,
            pending_resets_max: 100,
            frame_bytes_max: 64 << 10,
            message_bytes_max: 4 << 20,
            unfinished_bytes_max: 20 << 20,
            keepalive: KEEPALIVE,
        };
        let desks = desk.clone();
        let ends = (move |_: &DuplexStream| desks.clone(), Routes::new(service).prepare());
        let mut server = JoinSet::new();
        server.spawn(async move {
            let accepted = ReceiverStream::new(accepted).map(io::Result::Ok);
            let stopped = async { drop(stopped.wait_for(|stop| *stop).await) };
            server::serve(accepted, ends, options, stopped).await;
        });
        Self { sockets, desk, health, stop, server: tokio::sync::Mutex::new(server) }
    }

    /// A socket to the server, which holds so many bytes on their way.
    pub(crate) async fn socket(&self, bytes: usize) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(bytes);
        self.sockets.send(theirs).await.expect("the server is there");
        ours
    }

    pub(crate) async fn connect(&self) -> Channel {
        let (ours, theirs) = socket_pair();
        self.sockets.send(theirs).await.expect("the server is there");
        open(ours).await
    }

    pub(crate) async fn connect_with_tonic(&self) -> tonic::transport::Channel {
        let (ours, theirs) = socket_pair();
        self.sockets.send(theirs).await.expect("the server is there");
        let mut socket = Some(hyper_util::rt::TokioIo::new(ours));
        let connector = tower::service_fn(move |_| {
            let socket = socket.take().ok_or(io::ErrorKind::NotConnected);
            std::future::ready(socket.map_err(io::Error::from))
        });
        let endpoint = tonic::transport::Endpoint::from_static("http://here:1");
        endpoint.connect_with_connector(connector).await.expect("it speaks HTTP/2")
    }

    pub(crate) fn release(&self) {
        for (teller, bytes) in
            self.desk.held.lock().expect("nothing panics while it holds this").drain(..)
        {
            teller.tell(bytes);
        }
    }

    pub(crate) async fn not_serving(&self) {
        self.health.set_service_status("", ServingStatus::NotServing).await;
    }

    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Ends everything at once.
    pub(crate) async fn kill(&self) {
        self.server.lock().await.shutdown().await;
    }

    pub(crate) async fn until_ended(&self) {
        let mut server = self.server.lock().await;
        let ended = tokio::time::timeout(Duration::from_secs(10), server.join_next()).await;
        ended.expect("it ends").expect("it was there").expect("it ends well");
    }

    pub(crate) async fn until_held(&self, count: usize) {
        self.until(|held| held.len() == count).await;
    }

    pub(crate) async fn until_nobody_listens(&self) {
        self.until(|held| held.iter().all(|(teller, _)| teller.is_closed())).await;
    }

    /// Waits until no call of many messages is under way.
    pub(crate) async fn until_nobody_talks(&self) {
        self.until(|_| self.desk.talks.load(Ordering::SeqCst) == 0).await;
    }

    async fn until(&self, is_so: impl Fn(&[Held]) -> bool) {
        for _ in 0..1000 {
            if is_so(&self.desk.held.lock().expect("nothing panics while it holds this")) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it did not come about in 10 s");
    }
}
