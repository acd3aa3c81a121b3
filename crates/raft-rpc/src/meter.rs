//! How much is done for one connection at a time.
//!
//! All connections of a process may share one thread, and a connection that always has something to be read
//! would have it for itself: reading ends only where the socket is empty.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket of which a turn reads a limited amount.
#[derive(Debug)]
pub(crate) struct Metered<T> {
    socket: T,
    meter: Meter,
}

/// What is left to be read in this turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<AtomicUsize>);

/// Bytes read in a turn, or some more. The smallest frames that cost something take a few milliseconds.
const READ_MAX: usize = 32 << 10;

impl<T> Metered<T> {
    pub(crate) fn new(socket: T, meter: Meter) -> Self {
        Self { socket, meter }
    }
}

impl Meter {
    /// A turn begins.
    pub(crate) fn begin(&self) {
        self.0.store(READ_MAX, Ordering::Relaxed);
    }

    /// Whether there may be more to be read, and nobody else will wake this task for it.
    pub(crate) fn is_used_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// Has this task go on after the others had their turn, and the sockets were looked at.
pub(crate) fn step_back(context: &mut Context<'_>) {
    let pending = pin!(tokio::task::yield_now()).poll(context);
    debug_assert!(pending.is_pending(), "it yields once");
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.is_used_up() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        let read = buffer.filled().len() - before;
        let left = self.meter.0.load(Ordering::Relaxed);
        self.meter.0.store(left.saturating_sub(read), Ordering::Relaxed);
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, pieces)
    }
}
