//! One connection: everything about it happens in one task.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response};
use slab::Slab;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::Status;
use tonic::service::Routes;
use tower::Service as _;

use super::line::Line;
use super::{Desk, Options};
use crate::body::{Incoming, poll_data, pump, send};
use crate::budget::Budget;
use crate::frame::{self, Assembly};
use crate::keepalive::Pinger;
use crate::meter::{Meter, Metered, step_back};
use crate::talk::{Talk, Talker};

/// A connection from its handshake to its end.
pub(super) struct Connection<T, D: Desk> {
    http: h2::server::Connection<Metered<T>, Bytes>,
    meter: Meter,
    budget: Budget,
    desk: D,
    routes: Routes,
    message_bytes_max: usize,
    line: Arc<Line<D::Ended>>,
    /// Calls that were taken up.
    calls: Slab<Call<D>>,
    /// What takes more than one step.
    slow: FuturesUnordered<Slow<D::Method>>,
    pinger: Option<Pinger>,
    /// Whether the other end was told that the connection ends.
    leaving: bool,
    /// Answers are put together here.
    out: BytesMut,
    told: Vec<(usize, Option<D::Ended>)>,
}

struct Call<D: Desk> {
    /// `None`: refused already, and kept until its teller has spoken.
    respond: Option<SendResponse<Bytes>>,
    method: D::Method,
    /// Given up together with the call.
    held: Option<D::Held>,
}

/// Something that takes more than one step: perhaps, in the end, a message for the desk.
type Slow<M> = Pin<Box<dyn Future<Output = Option<Arrived<M>>> + Send>>;

/// A call whose message is there, or will never be.
struct Arrived<M> {
    method: M,
    message: Result<Bytes, Status>,
    respond: SendResponse<Bytes>,
}

/// Calls taken up in one turn.
const ACCEPTED_MAX: usize = 128;

/// An answer up to this size is sent at once; a larger one as the client takes it.
const AT_ONCE: usize = 16 << 10;

/// Answers are put together in pieces of memory of this size.
const OUT_BYTES: usize = 8 << 10;

/// A client's headers, at most.
const HEADERS_MAX: u32 = 16 << 10;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

impl<T, D> Connection<T, D>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    D: Desk,
{
    /// Serves until the connection ends.
    pub(super) async fn serve(
        socket: T,
        (desk, routes): (D, Routes),
        (options, budget): (Options, Budget),
        line: Arc<Line<D::Ended>>,
    ) {
        let meter = Meter::default();
        meter.begin();
        let handshake = h2::server::Builder::new()
            .initial_window_size(options.stream_window)
            .initial_connection_window_size(options.connection_window)
            .max_frame_size(options.frame_bytes_max)
            .max_concurrent_streams(options.streams_max)
            .max_local_error_reset_streams(Some(options.resets_max))
            .max_pending_accept_reset_streams(options.pending_resets_max)
            .max_header_list_size(HEADERS_MAX)
            .handshake(Metered::new(socket, meter.clone()));
        // An error: the other end spoke no HTTP/2, or went away.
        let Ok(mut http) = handshake.await else { return line.close() };
        let pinger = http.ping_pong().map(|pings| Pinger::new(pings, options.keepalive));
        let mut connection = Self {
            http,
            meter,
            budget,
            desk,
            routes,
            message_bytes_max: options.message_bytes_max,
            line,
            calls: Slab::new(),
            slow: FuturesUnordered::new(),
            pinger,
            leaving: false,
            out: BytesMut::new(),
            told: Vec::new(),
        };
        poll_fn(|context| connection.poll(context)).await;
    }

    /// Ready when the connection has ended.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.line.register(context.waker());
        if !self.leaving && self.line.is_leaving() {
            self.leaving = true;
            self.http.graceful_shutdown();
        }
        self.answer_told();
        // Also reads what there is, up to a bound, and writes the answers.
        self.meter.begin();
        let mut accepted = 0;
        while accepted < ACCEPTED_MAX {
            match self.http.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => self.accept(context, request, respond),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
            accepted += 1;
        }
        if accepted == ACCEPTED_MAX || self.meter.is_used_up() {
            step_back(context);
        }
        while let Poll::Ready(Some(done)) = self.slow.poll_next_unpin(context) {
            if let Some(Arrived { method, message, respond }) = done {
                self.arrived(method, message, respond);
            }
        }
        match &mut self.pinger {
            Some(pinger) => pinger.poll_silence(context),
            None => Poll::Pending,
        }
    }

    /// Answers what has ended.
    fn answer_told(&mut self) {
        let mut told = std::mem::take(&mut self.told);
        self.line.take(&mut told);
        for (slot, ended) in told.drain(..) {
            let Call { respond, method, held } = self.calls.remove(slot);
            drop(held);
            if let Some(respond) = respond {
                self.answer(respond, method, ended);
            }
        }
        self.told = told;
    }

    fn answer(&mut self, respond: SendResponse<Bytes>, method: D::Method, ended: Option<D::Ended>) {
        if self.out.capacity() < OUT_BYTES / 16 {
            self.out.reserve(OUT_BYTES);
        }
        match self.desk.answer(method, ended, &mut self.out) {
            Ok(()) => {
                let message = self.out.split().freeze();
                if let Some(rest) = respond_with(respond, message) {
                    self.slow.push(rest_of_answer(rest));
                }
            }
            Err(status) => {
                self.out.clear();
                refuse(respond, status);
            }
        }
    }

    /// Takes up a call, or at least what is there of it.
    fn accept(
        &mut self,
        context: &mut Context<'_>,
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
    ) {
        let plain = is_plain(request.headers());
        if plain && let Some(talker) = self.desk.talker(request.uri().path()) {
            return self.talk(talker, request, respond);
        }
        let method = self.desk.method(request.uri().path());
        let Some(method) = method.filter(|_| plain) else {
            let other = serve_other(self.routes.clone(), request, respond);
            return self.slow.push(Box::pin(other));
        };
        let mut body = request.into_body();
        let mut assembly = Assembly::new(self.budget.share());
        match poll_message(&mut body, &mut assembly, self.message_bytes_max, context) {
            Poll::Ready(message) => self.arrived(method, message, respond),
            Poll::Pending => {
                let max = self.message_bytes_max;
                self.slow.push(Box::pin(async move {
                    let message =
                        poll_fn(|context| poll_message(&mut body, &mut assembly, max, context));
                    Some(Arrived { method, message: message.await, respond })
                }));
            }
        }
    }

    /// Hands over a call of many messages.
    fn talk(
        &mut self,
        talker: Talker,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) {
        // An error: the client has given the call up.
        let Ok(outward) = respond.send_response(head(), false) else { return };
        let talk = Talk::serving(
            request.into_body(),
            outward,
            (self.message_bytes_max, self.budget.share()),
        );
        let talking = talker.begin(talk);
        self.slow.push(Box::pin(async move {
            talking.await;
            None
        }));
    }

    fn arrived(
        &mut self,
        method: D::Method,
        message: Result<Bytes, Status>,
        respond: SendResponse<Bytes>,
    ) {
        let message = match message {
            Ok(message) => message,
            Err(status) => return refuse(respond, status),
        };
        let slot = self.calls.insert(Call { respond: Some(respond), method, held: None });
        match self.desk.take_up(method, message, self.line.teller(slot)) {
            Ok(held) => self.calls[slot].held = Some(held),
            // Its teller is gone, which is heard next time; until then the slot is taken.
            Err(status) => {
                if let Some(respond) = self.calls[slot].respond.take() {
                    refuse(respond, status);
                }
            }
        }
    }
}

impl<T, D: Desk> Drop for Connection<T, D> {
    fn drop(&mut self) {
        self.line.close();
    }
}

/// Whether a call's message needs nothing done to it but to be decoded.
fn is_plain(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let encoding = headers.get("grpc-encoding").map_or(&b"identity"[..], HeaderValue::as_bytes);
    (kind == b"application/grpc" || kind == b"application/grpc+proto") && encoding == b"identity"
}

/// Reads on until the message is whole.
fn poll_message(
    body: &mut RecvStream,
    assembly: &mut Assembly,
    max: usize,
    context: &mut Context<'_>,
) -> Poll<Result<Bytes, Status>> {
    loop {
        match poll_data(body, context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(piece))) => {
                if let Err(status) = assembly.add(piece, max) {
                    return Poll::Ready(Err(status));
                }
                if !body.is_end_stream() {
                    continue;
                }
            }
            Poll::Ready(Some(Err(error))) => {
                return Poll::Ready(Err(Status::from_error(Box::new(error))));
            }
            Poll::Ready(None) => (),
        }
        let message = std::mem::take(assembly).finish();
        return Poll::Ready(message.and_then(|message| {
            message.ok_or_else(|| Status::internal("Missing request message."))
        }));
    }
}

/// A large answer that is not yet sent.
struct Rest {
    stream: h2::SendStream<Bytes>,
    message: Bytes,
}

/// Answers with a message. Returns what is to be sent when there is room for it.
fn respond_with(mut respond: SendResponse<Bytes>, message: Bytes) -> Option<Rest> {
    // Errors: the client has given the call up.
    let mut stream = respond.send_response(head(), false).ok()?;
    if AT_ONCE < message.len() {
        return Some(Rest { stream, message });
    }
    stream.send_data(message, false).ok()?;
    stream.send_trailers(frame::end(Ok(()))).ok()?;
    None
}

/// The head of an answer that is one.
fn head() -> Response<()> {
    let mut head = Response::new(());
    head.headers_mut().insert(CONTENT_TYPE, GRPC);
    head
}

fn rest_of_answer<M>(Rest { mut stream, message }: Rest) -> Slow<M>
where
    M: Send + 'static,
{
    Box::pin(async move {
        send(message, &mut stream).await.ok()?;
        stream.send_trailers(frame::end(Ok(()))).ok()?;
        None
    })
}

/// Answers with nothing but what is wrong.
fn refuse(mut respond: SendResponse<Bytes>, status: Status) {
    drop(respond.send_response(status.into_http(), true));
}

/// Hands a call to the general stack.
async fn serve_other<M>(
    mut routes: Routes,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Option<Arrived<M>> {
    let answer = tokio::select! {
        biased;
        answer = routes.call(request.map(Incoming::new)) => answer,
        _reset = poll_fn(|context| respond.poll_reset(context)) => return None,
    };
    let (head, body) = answer.unwrap_or_else(|never| match never {}).into_parts();
    let is_over = http_body::Body::is_end_stream(&body);
    let stream = respond.send_response(Response::from_parts(head, ()), is_over).ok()?;
    if !is_over {
        pump(body, stream).await;
    }
    None
}
