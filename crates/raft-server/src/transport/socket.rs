//! Sockets as the gRPC layer gets them.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use crate::seldom::Seldom;

/// A TCP stream that does not offer vectored writes. Offered them, h2 writes every frame of 256
/// bytes or more by a system call of its own; without, it gathers frames in one buffer first, which
/// makes small requests up to 1.6 times cheaper.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    remote: Option<IpAddr>,
    /// Set while the other end has not introduced itself.
    preface: Option<Preface>,
    /// Its place among the connections that are let in.
    _place: Option<OwnedSemaphorePermit>,
}

/// What the other end still has to say before it is believed to speak HTTP/2.
#[derive(Debug)]
struct Preface {
    missing: usize,
    give_up: Pin<Box<Sleep>>,
}

/// Length of HTTP/2's connection preface.
const PREFACE: usize = 24;

/// How long the other end may take for it. Silent connections would keep others out.
const PREFACE_PATIENCE: Duration = Duration::from_secs(10);

impl Socket {
    /// Small writes leave at once: a request waits for its answer, not for company.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, remote: None, preface: None, _place: None })
    }

    /// Whom it comes from, if it was accepted.
    pub(crate) fn remote(&self) -> Option<IpAddr> {
        self.remote
    }

    fn accepted(
        stream: TcpStream,
        remote: IpAddr,
        place: OwnedSemaphorePermit,
    ) -> io::Result<Self> {
        let give_up = Box::pin(tokio::time::sleep(PREFACE_PATIENCE));
        Ok(Self {
            remote: Some(remote),
            preface: Some(Preface { missing: PREFACE, give_up }),
            _place: Some(place),
            ..Self::new(stream)?
        })
    }
}

/// The connections of `whom` a listener accepts, for ever, at most `places` at a time: the next one
/// is closed at once. An error is logged and waited out: most are the fault of one connection, and
/// running out of file descriptors passes.
pub(crate) fn accepted(
    listener: TcpListener,
    whom: &'static str,
    places: usize,
) -> impl Stream<Item = io::Result<Socket>> {
    /// Long enough not to spin while file descriptors are short.
    const PAUSE: Duration = Duration::from_millis(100);
    let semaphore = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
    let door = (listener, semaphore, Seldom::default());
    futures_util::stream::unfold(door, move |door| async move {
        let (listener, semaphore, seldom) = &door;
        loop {
            let accepted = listener.accept().await.and_then(|(stream, remote)| {
                match Arc::clone(semaphore).try_acquire_owned() {
                    Ok(place) => Socket::accepted(stream, remote.ip(), place).map(Some),
                    Err(_) => Ok(None),
                }
            });
            match accepted {
                Ok(Some(socket)) => return Some((Ok(socket), door)),
                Ok(None) if seldom.may("full") => {
                    tracing::warn!(whom, places, "too many connections: closes new ones");
                }
                Ok(None) => (),
                Err(error) => {
                    if seldom.may("error") {
                        tracing::warn!(whom, %error, "could not accept a connection");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(preface) = &mut self.preface else { return polled };
        preface.missing = preface.missing.saturating_sub(buffer.filled().len() - before);
        if preface.missing == 0 {
            self.preface = None;
        } else if polled.is_pending() && preface.give_up.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    // `is_write_vectored` keeps its default: no.
}
