//! One connection of a browser.

use std::convert::Infallible;
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::feed::{Feed, Line};
use super::wish::Wish;
use crate::events::monotonic_us;

/// Who connects speaks soon.
const SPEAK_MAX: Duration = Duration::from_secs(10);
/// A page that takes nothing for so long is dropped.
const STALL_MAX: Duration = Duration::from_secs(5);
/// Whatever else is asked has its answer by then: orders may take minutes.
const ANSWER_MAX: Duration = Duration::from_mins(6);
/// A wish is shorter than this.
const WISH_BYTES_MAX: usize = 1024;
/// What waits in this process to be sent to one page, at most.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// Who is let in, and to what.
#[derive(Debug)]
pub(super) struct Door {
    /// The names of this server. Another one is that of a page elsewhere, which has made its own name
    /// lead here.
    pub(super) hosts: [String; 2],
    pub(super) token: String,
    pub(super) feed: Feed,
    pub(super) readers: Arc<Semaphore>,
}

/// Whether a page takes what it is sent.
#[derive(Debug, Default)]
struct Pulse {
    reads_events: AtomicBool,
    /// When it was last handed something without having asked for more since; 0 if it has.
    handed_us: AtomicU64,
}

impl Pulse {
    /// Comes back when it has stopped.
    async fn stops(&self) {
        let begun = Instant::now();
        loop {
            sleep(STALL_MAX / 5).await;
            let handed = self.handed_us.load(Ordering::Relaxed);
            let since = Duration::from_micros(monotonic_us().saturating_sub(handed));
            let stalls = handed != 0 && STALL_MAX < since;
            let late = !self.reads_events.load(Ordering::Relaxed) && ANSWER_MAX < begun.elapsed();
            if stalls || late {
                return;
            }
        }
    }
}

/// Serves one connection, which carries one request.
pub(super) async fn serve(stream: TcpStream, door: Arc<Door>) {
    let pulse = Arc::new(Pulse::default());
    let service = service_fn(|request| {
        let (door, pulse) = (Arc::clone(&door), Arc::clone(&pulse));
        async move { Ok::<_, Infallible>(door.answer(request, pulse).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(SPEAK_MAX);
    server.keep_alive(false).max_buf_size(BUFFER_BYTES_MAX);
    tokio::select! {
        ended = server.serve_connection(TokioIo::new(stream), service) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a page has gone");
            }
        }
        () = pulse.stops() => tracing::debug!("a page that does not read was dropped"),
    }
}

type Refusal = (StatusCode, String);

impl Door {
    async fn answer(&self, request: Request<Incoming>, pulse: Arc<Pulse>) -> Response<Content> {
        let answered = match self.admit(request.headers(), request.uri().query()) {
            Ok(()) => self.serve(request, pulse).await,
            Err(why) => Err((StatusCode::FORBIDDEN, why.to_owned())),
        };
        let mut response = answered.unwrap_or_else(|(status, why)| {
            let mut response = text("text/plain; charset=utf-8", why);
            *response.status_mut() = status;
            response
        });
        let always: [(HeaderName, &str); 5] = [
            (header::CONTENT_SECURITY_POLICY, "frame-ancestors 'none'"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        for (name, value) in always {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    /// Lets in who was told the address by us, and no page of another server.
    fn admit(&self, headers: &HeaderMap, query: Option<&str>) -> Result<(), &'static str> {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next().map(HeaderValue::to_str), hosts.next()) {
            (Some(Ok(host)), None) if self.hosts.iter().any(|own| own == host) => host,
            _ => return Err("this server has another name"),
        };
        let own = format!("http://{host}");
        if headers.get_all(header::ORIGIN).iter().any(|origin| *origin != *own) {
            return Err("another page asks");
        }
        let mut tokens = query.unwrap_or_default().split('&');
        let token = tokens.find_map(|pair| pair.strip_prefix("token=")).unwrap_or_default();
        if !same(token.as_bytes(), self.token.as_bytes()) {
            return Err(
                "the token is missing or wrong: the address with it was printed at the start",
            );
        }
        Ok(())
    }

    async fn serve(
        &self,
        request: Request<Incoming>,
        pulse: Arc<Pulse>,
    ) -> Result<Response<Content>, Refusal> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/") => {
                let page = chaos_report::dashboard_page(&self.token);
                Ok(text("text/html; charset=utf-8", page))
            }
            (&Method::GET, "/events") => self.events(request.headers(), pulse),
            (&Method::POST, "/do") => self.obey(request).await,
            (_, "/" | "/events" | "/do") => {
                Err((StatusCode::METHOD_NOT_ALLOWED, "this is asked in another way".to_owned()))
            }
            _ => Err((StatusCode::NOT_FOUND, "there is no such page".to_owned())),
        }
    }

    fn events(&self, headers: &HeaderMap, pulse: Arc<Pulse>) -> Result<Response<Content>, Refusal> {
        let many = |_none| (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open".to_owned());
        let seat = Arc::clone(&self.readers).try_acquire_owned().map_err(many)?;
        let after = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
        let (missed, reader) = self.feed.read(after.unwrap_or(0));
        let live = stream::unfold(reader, |reader| async {
            let mut reader = reader?;
            // Who is too late has missed something: it connects again, and is told the latest events.
            let line = reader.recv().await.ok()?;
            Some((line, Some(reader)))
        });
        let lines = stream::iter(missed).chain(live).map(|line| sent(&line)).boxed();
        pulse.reads_events.store(true, Ordering::Relaxed);
        let mut response = Response::new(Content::Live { lines, pulse, _seat: seat });
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(response)
    }

    async fn obey(&self, request: Request<Incoming>) -> Result<Response<Content>, Refusal> {
        let bad = |why: String| (StatusCode::BAD_REQUEST, why);
        // No page of another server can send this without having asked whether it may.
        let json = |kind: &HeaderValue| kind.as_bytes().starts_with(b"application/json");
        if !request.headers().get(header::CONTENT_TYPE).is_some_and(json) {
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "send JSON".to_owned()));
        }
        let body = timeout(SPEAK_MAX, whole(request.into_body())).await;
        let body = body.ok().flatten().ok_or_else(|| bad("the request is too long".to_owned()))?;
        let wish: Wish = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
        let order = wish.order(&self.feed.nodes()).map_err(bad)?;
        match self.feed.ask(&order).await {
            Ok(lines) => Ok(text("text/plain; charset=utf-8", lines.join("\n"))),
            Err(failure) => {
                let hint = failure.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                Err((StatusCode::CONFLICT, format!("{:#}{hint}", failure.error)))
            }
        }
    }
}

/// Compares all of it, wherever the first difference is.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differ = one.iter().zip(other).fold(0, |differ, (a, b)| black_box(differ | (a ^ b)));
    one.len() == other.len() && differ == 0
}

fn sent(line: &Line) -> Bytes {
    format!("id: {}\ndata: {}\n\n", line.number, line.text).into()
}

fn text(kind: &'static str, text: String) -> Response<Content> {
    let mut response = Response::new(Content::Whole(Some(text.into())));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// All of a request, if it is not too long.
async fn whole(mut body: Incoming) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let data = frame.ok()?.into_data().unwrap_or_default();
        if WISH_BYTES_MAX < all.len() + data.len() {
            return None;
        }
        all.extend_from_slice(&data);
    }
    Some(all)
}

/// What is sent.
enum Content {
    Whole(Option<Bytes>),
    Live { lines: BoxStream<'static, Bytes>, pulse: Arc<Pulse>, _seat: OwnedSemaphorePermit },
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match self.get_mut() {
            Self::Whole(data) => Poll::Ready(data.take()),
            Self::Live { lines, pulse, .. } => {
                let next = lines.poll_next_unpin(context);
                let handed = if next.is_pending() { 0 } else { monotonic_us() };
                pulse.handed_us.store(handed, Ordering::Relaxed);
                next
            }
        };
        data.map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_the_same_or_not() {
        assert!(same(b"abc", b"abc"));
        for other in [&b"abd"[..], b"ab", b"abcd", b""] {
            assert!(!same(b"abc", other));
        }
    }
}
