//! The serving end.

mod connection;
mod line;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{Id, JoinSet};
use tonic::Status;
use tonic::service::Routes;

use self::connection::Connection;
use self::line::Line;
pub use self::line::Teller;
use crate::KeepAlive;
use crate::budget::Budget;
use crate::talk::Talker;

/// Who answers calls without waiting for anything: it takes a call up and hands it on, and is told
/// later how it ended.
pub trait Desk: Send + Unpin + 'static {
    /// Which call.
    type Method: Copy + Send + Unpin + 'static;
    /// How a call ended.
    type Ended: Send + 'static;
    /// What is kept while a call is under way, and given up with its answer.
    type Held: Send + Unpin;

    /// The call of this path, as in `/package.Service/Method`, if it is one of this desk.
    fn method(&self, path: &str) -> Option<Self::Method>;

    /// Who takes over the call of many messages of this path, if it is one of this desk.
    fn talker(&self, path: &str) -> Option<Talker>;

    /// Takes a call up. Whoever gets the teller tells how it ended.
    fn take_up(
        &self,
        method: Self::Method,
        message: Bytes,
        teller: Teller<Self::Ended>,
    ) -> Result<Self::Held, Status>;

    /// Appends the answer, as [`crate::put`] does, or says what is wrong. `None`: nobody told.
    fn answer(
        &self,
        method: Self::Method,
        ended: Option<Self::Ended>,
        out: &mut BytesMut,
    ) -> Result<(), Status>;
}

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes on their way in one stream.
    pub stream_window: u32,
    /// Bytes on their way in one connection.
    pub connection_window: u32,
    /// Calls at a time. Beyond it the client's own stack waits.
    pub streams_max: u32,
    /// Streams that may be ended for the client's errors before the connection is.
    pub resets_max: usize,
    /// Streams that the client may end before they were looked at.
    pub pending_resets_max: usize,
    /// Bytes of a piece in which the client may send.
    pub frame_bytes_max: u32,
    /// Bytes in a message.
    pub message_bytes_max: usize,
    /// Bytes of messages that are not whole yet, of all connections. Beyond it the next piece is refused.
    pub unfinished_bytes_max: usize,
    /// Whether the client is still there.
    pub keepalive: KeepAlive,
}

/// Serves connections, each at a desk of its own and with these routes for every other call, until `stop`; then takes no new ones, and ends when those that are there have
/// their answers.
pub async fn serve<I, T, D>(
    incoming: I,
    (desks, routes): (impl Fn(&T) -> D, Routes),
    options: Options,
    stop: impl Future<Output = ()>,
) where
    I: Stream<Item = std::io::Result<T>>,
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    D: Desk,
{
    let mut incoming = pin!(incoming);
    let mut stop = pin!(stop);
    let mut connections = JoinSet::new();
    let mut lines: Vec<(Id, Arc<Line<D::Ended>>)> = Vec::new();
    let mut stopping = false;
    let budget = Budget::new(options.unfinished_bytes_max);
    while !stopping || !connections.is_empty() {
        tokio::select! {
            () = &mut stop, if !stopping => {
                stopping = true;
                for (_, line) in &lines {
                    line.leave();
                }
            }
            Some(ended) = connections.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                lines.retain(|(other, _)| *other != id);
            }
            next = poll_fn(|context| incoming.as_mut().poll_next(context)), if !stopping => {
                match next {
                    Some(Ok(socket)) => {
                        let line = Arc::new(Line::default());
                        let ends = (desks(&socket), routes.clone());
                        let limits = (options, budget.clone());
                        let connection = Connection::serve(socket, ends, limits, Arc::clone(&line));
                        lines.push((connections.spawn(connection).id(), line));
                    }
                    Some(Err(_)) => (), // Of one connection, that did not come about.
                    None => stopping = true,
                }
            }
        }
    }
}
