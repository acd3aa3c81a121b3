//! Sockets as the gRPC layer gets them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::server::Connected;

/// A TCP stream that does not offer vectored writes. Offered them, h2 writes every frame of 256
/// bytes or more by a system call of its own; without, it gathers frames in one buffer first, which
/// makes small requests up to 1.6 times cheaper.
#[derive(Debug)]
pub(crate) struct Socket(TcpStream);

impl Socket {
    /// Small writes leave at once: a request waits for its answer, not for company.
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }
}

/// The connections a listener accepts, for ever. An error is logged and waited out: most are the
/// fault of one connection, and running out of file descriptors passes.
pub(crate) fn accepted(listener: TcpListener) -> impl Stream<Item = io::Result<Socket>> {
    /// Long enough not to spin while file descriptors are short.
    const PAUSE: Duration = Duration::from_millis(100);
    futures_util::stream::unfold(listener, |listener| async {
        loop {
            match listener.accept().await.and_then(|(stream, _)| Socket::new(stream)) {
                Ok(socket) => return Some((Ok(socket), listener)),
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}

impl Connected for Socket {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    // `is_write_vectored` keeps its default: no.
}
