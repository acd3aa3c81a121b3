//! The calling end.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri, Version};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tonic::Status;

use crate::KeepAlive;
use crate::body::{Incoming, poll_data, pump};
use crate::frame::{self, Assembly};
use crate::keepalive::Pinger;
use crate::talk::Talk;

/// A connection on which calls are made. Cheap to clone; it ends with its last clone.
#[derive(Clone, Debug)]
pub struct Channel {
    requests: SendRequest<Bytes>,
    authority: Authority,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The other end has kept silent.
    silent: Arc<AtomicBool>,
    /// The connection itself, and bodies on their way out.
    tasks: Mutex<JoinSet<()>>,
}

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes on their way in one stream.
    pub stream_window: u32,
    /// Bytes on their way in one connection.
    pub connection_window: u32,
    /// Bytes of a piece in which the server may send.
    pub frame_bytes_max: u32,
    /// Whether the server is still there.
    pub keepalive: KeepAlive,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Broken {
    /// The connection was gone before anything was sent, or the other end has refused to look at it
    /// (RFC 9113 §8.7).
    NotSent(h2::Error),
    /// The other end did not even answer a ping, so the connection was given up.
    Silent,
    /// The connection or the stream broke.
    Lost(h2::Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(_) => f.write_str("it was not taken"),
            Self::Silent => f.write_str("the other end keeps silent"),
            Self::Lost(_) => f.write_str("the connection broke"),
        }
    }
}

impl std::error::Error for Broken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotSent(error) | Self::Lost(error) => Some(error),
            Self::Silent => None,
        }
    }
}

impl From<Broken> for Status {
    fn from(broken: Broken) -> Self {
        let mut status = Self::unavailable(broken.to_string());
        status.set_source(Arc::new(broken));
        status
    }
}

impl Channel {
    /// Begins to speak HTTP/2 on a socket to `authority`, as in `host:port`.
    pub async fn open<T>(
        socket: T,
        authority: Authority,
        options: Options,
    ) -> Result<Self, h2::Error>
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (requests, mut connection) = h2::client::Builder::new()
            .initial_window_size(options.stream_window)
            .initial_connection_window_size(options.connection_window)
            .max_frame_size(options.frame_bytes_max)
            // Calls that are given up reset their stream. By default the 1024th ends the connection.
            .max_local_error_reset_streams(None)
            .enable_push(false)
            .handshake(socket)
            .await?;
        let silent = Arc::new(AtomicBool::new(false));
        let pinger = connection.ping_pong().map(|pings| Pinger::new(pings, options.keepalive));
        let mut tasks = JoinSet::new();
        tasks.spawn(drive(connection, pinger, Arc::clone(&silent)));
        let shared = Arc::new(Shared { silent, tasks: Mutex::new(tasks) });
        Ok(Self { requests, authority, shared })
    }

    /// Makes a call: one message there, one back, of at most so many bytes each.
    pub async fn unary<Q, A>(
        &self,
        path: PathAndQuery,
        message: &Q,
        bytes_max: usize,
    ) -> Result<A, Status>
    where
        Q: Message,
        A: Message + Default,
    {
        let length = message.encoded_len();
        if bytes_max < length {
            return Err(Status::out_of_range(format!(
                "Error, encoded message length too large: found {length} bytes, the limit is: \
                 {bytes_max} bytes"
            )));
        }
        let mut body = BytesMut::new();
        frame::put(message, &mut body);
        let mut requests = self.ready().await?;
        let request = self.request(path);
        let (answer, mut stream) =
            requests.send_request(request, false).map_err(|error| self.lost(error))?;
        stream.send_data(body.freeze(), true).map_err(|error| self.lost(error))?;
        let (head, mut body) = answer.await.map_err(|error| self.lost(error))?.into_parts();
        check_head(&head)?;
        let mut assembly = Assembly::default();
        while let Some(piece) = poll_fn(|context| poll_data(&mut body, context)).await {
            assembly.add(piece.map_err(|error| self.lost(error))?, bytes_max)?;
        }
        let trailers = body.trailers().await.map_err(|error| self.lost(error))?;
        check_end(trailers.as_ref())?;
        let message = assembly.finish()?.ok_or_else(|| Status::internal("an empty answer"))?;
        A::decode(message).map_err(|error| Status::internal(error.to_string()))
    }

    /// Begins a call of many messages both ways, of at most so many bytes each.
    pub async fn talk(&self, path: PathAndQuery, bytes_max: usize) -> Result<Talk, Status> {
        let mut requests = self.ready().await?;
        let sent = requests.send_request(self.request(path), false);
        let call = sent.map_err(|error| self.lost(error))?;
        Ok(Talk::calling(self.clone(), call, bytes_max))
    }

    /// The head of a call.
    fn request(&self, path: PathAndQuery) -> Request<()> {
        let mut headers = HeaderMap::with_capacity(3);
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(USER_AGENT, HeaderValue::from_static("raft-rpc"));
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = headers;
        *request.uri_mut() = self.uri(path);
        request
    }

    /// Waits until another call may be made.
    async fn ready(&self) -> Result<SendRequest<Bytes>, Broken> {
        let mut requests = self.requests.clone();
        match poll_fn(|context| requests.poll_ready(context)).await {
            Ok(()) => Ok(requests),
            Err(_) if self.is_silent() => Err(Broken::Silent),
            Err(error) => Err(Broken::NotSent(error)),
        }
    }

    pub(crate) fn lost(&self, error: h2::Error) -> Broken {
        if error.reason() == Some(h2::Reason::REFUSED_STREAM) {
            return Broken::NotSent(error);
        }
        // A stream that the other end ends says nothing about the connection.
        if self.is_silent() && !error.is_reset() { Broken::Silent } else { Broken::Lost(error) }
    }

    fn is_silent(&self) -> bool {
        self.shared.silent.load(Ordering::Acquire)
    }

    fn uri(&self, path: PathAndQuery) -> Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).expect("all three parts are there")
    }

    /// Sends a body beside everything else.
    fn pump(&self, body: tonic::body::Body, stream: h2::SendStream<Bytes>) {
        let mut tasks = self.shared.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(pump(body, stream));
    }

    async fn general(
        self,
        request: Request<tonic::body::Body>,
    ) -> Result<Response<Incoming>, Broken> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().cloned();
        head.uri = self.uri(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        head.version = Version::HTTP_2;
        let mut requests = self.ready().await?;
        let is_over = http_body::Body::is_end_stream(&body);
        let sent = requests.send_request(Request::from_parts(head, ()), is_over);
        let (answer, stream) = sent.map_err(|error| self.lost(error))?;
        if !is_over {
            self.pump(body, stream);
        }
        let answer = answer.await.map_err(|error| self.lost(error))?;
        Ok(answer.map(Incoming::new))
    }
}

/// What generated clients want of a connection.
impl tower::Service<Request<tonic::body::Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Broken>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        Box::pin(self.clone().general(request))
    }
}

/// Reads and writes until the connection ends, or the other end keeps silent.
async fn drive<T>(
    connection: h2::client::Connection<T, Bytes>,
    mut pinger: Option<Pinger>,
    silent: Arc<AtomicBool>,
) where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let silence = poll_fn(|context| match &mut pinger {
        Some(pinger) => pinger.poll_silence(context),
        None => Poll::Pending,
    });
    tokio::select! {
        biased;
        // How it ended is told to every call that it cuts short.
        _ended = connection => (),
        () = silence => silent.store(true, Ordering::Release),
    }
}

/// Whether an answer follows. One that is only a head says why there is none.
pub(crate) fn check_head(head: &http::response::Parts) -> Result<(), Status> {
    if head.status != http::StatusCode::OK {
        return Err(Status::unknown(format!("HTTP status {} instead of an answer", head.status)));
    }
    match Status::from_header_map(&head.headers) {
        Some(status) if status.code() != tonic::Code::Ok => Err(status),
        Some(_) | None => Ok(()),
    }
}

/// Whether an answer ended well.
pub(crate) fn check_end(trailers: Option<&HeaderMap>) -> Result<(), Status> {
    match trailers.and_then(Status::from_header_map) {
        Some(status) if status.code() == tonic::Code::Ok => Ok(()),
        Some(status) => Err(status),
        None => Err(Status::internal("the answer ends without a status")),
    }
}
