//! Calls of many messages both ways.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use prost::Message;
use tonic::Status;

use crate::body::{Gone, poll_data, poll_send};
use crate::budget::Share;
use crate::client::{self, Channel};
use crate::frame::{self, Pieces};

/// A call of many messages both ways, at either end. What is put together before it is flushed leaves
/// together. Dropped, it ends the call for both.
#[derive(Debug)]
pub struct Talk {
    inward: Inward,
    pieces: Pieces,
    /// Bytes in a message that comes in, at most.
    bytes_max: usize,
    outward: SendStream<Bytes>,
    /// What was put and is not yet on its way.
    buffer: BytesMut,
    sending: Bytes,
    /// At the calling end: it tells what the end of a connection means, and keeps it.
    channel: Option<Channel>,
}

/// Where the other end's messages come from.
#[derive(Debug)]
enum Inward {
    /// It has not begun to answer.
    Head(ResponseFuture),
    Body(RecvStream),
    /// All but how it ended.
    Trailers(RecvStream),
    Over,
}

/// What a desk does with a call of many messages, until it ends.
pub struct Talker(Box<dyn FnOnce(Talk) -> BoxFuture<'static, ()> + Send>);

/// What was put is gathered in pieces of memory of this size at least.
const BUFFER_BYTES: usize = 8 << 10;

impl Talker {
    /// Somebody who works on a call until this is done.
    pub fn new<F>(work: impl FnOnce(Talk) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Box::new(|talk| Box::pin(work(talk))))
    }

    pub(crate) fn begin(self, talk: Talk) -> BoxFuture<'static, ()> {
        (self.0)(talk)
    }
}

impl Talk {
    pub(crate) fn calling(
        channel: Channel,
        (answer, outward): (ResponseFuture, SendStream<Bytes>),
        bytes_max: usize,
    ) -> Self {
        Self::new(Inward::Head(answer), outward, bytes_max, Some(channel))
    }

    pub(crate) fn serving(
        body: RecvStream,
        outward: SendStream<Bytes>,
        (bytes_max, share): (usize, Share),
    ) -> Self {
        let pieces = Pieces::new(share);
        Self { pieces, ..Self::new(Inward::Body(body), outward, bytes_max, None) }
    }

    fn new(
        inward: Inward,
        outward: SendStream<Bytes>,
        bytes_max: usize,
        channel: Option<Channel>,
    ) -> Self {
        let (buffer, sending) = (BytesMut::new(), Bytes::new());
        Self { inward, pieces: Pieces::default(), bytes_max, outward, buffer, sending, channel }
    }

    /// The next message. `None`: the other end has said all it had to say, and that it ended well.
    pub fn poll_message(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            match self.pieces.next(self.bytes_max) {
                Ok(None) => (),
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Err(status) => return self.fail(status),
            }
            match &mut self.inward {
                Inward::Over => return Poll::Ready(None),
                Inward::Head(answer) => match ready!(Pin::new(answer).poll(context)) {
                    Err(error) => return self.break_off(error),
                    Ok(answer) => {
                        let (head, body) = answer.into_parts();
                        if let Err(status) = client::check_head(&head) {
                            return self.fail(status);
                        }
                        self.inward = Inward::Body(body);
                    }
                },
                Inward::Body(body) => match ready!(poll_data(body, context)) {
                    Some(Ok(piece)) => self.pieces.add(piece),
                    Some(Err(error)) => return self.break_off(error),
                    None if !self.pieces.is_empty() => return self.fail(frame::cut_short()),
                    None => {
                        self.inward = match std::mem::replace(&mut self.inward, Inward::Over) {
                            Inward::Body(body) if self.channel.is_some() => Inward::Trailers(body),
                            _ => Inward::Over,
                        };
                    }
                },
                Inward::Trailers(body) => {
                    let trailers = match ready!(body.poll_trailers(context)) {
                        Ok(trailers) => trailers,
                        Err(error) => return self.break_off(error),
                    };
                    self.inward = Inward::Over;
                    if let Err(status) = client::check_end(trailers.as_ref()) {
                        return self.fail(status);
                    }
                }
            }
        }
    }

    /// The next message, as [`Talk::poll_message`] has it.
    pub async fn message(&mut self) -> Option<Result<Bytes, Status>> {
        poll_fn(|context| self.poll_message(context)).await
    }

    fn fail<T>(&mut self, status: Status) -> Poll<Option<Result<T, Status>>> {
        self.inward = Inward::Over;
        self.pieces = Pieces::default();
        Poll::Ready(Some(Err(status)))
    }

    fn break_off<T>(&mut self, error: h2::Error) -> Poll<Option<Result<T, Status>>> {
        let status = match &self.channel {
            Some(channel) => channel.lost(error).into(),
            None => Status::from_error(Box::new(error)),
        };
        self.fail(status)
    }

    /// Has a message sent with the next flush.
    pub fn put(&mut self, message: &impl Message) {
        if self.buffer.capacity() - self.buffer.len() < BUFFER_BYTES / 16 {
            self.buffer.reserve(BUFFER_BYTES);
        }
        frame::put(message, &mut self.buffer);
    }

    /// Bytes that were put and that the other end had no room for yet.
    pub fn unsent(&self) -> usize {
        self.buffer.len() + self.sending.len()
    }

    /// Sends what was put, as the other end makes room for it.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        loop {
            if self.sending.is_empty() {
                if self.buffer.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                self.sending = self.buffer.split().freeze();
            }
            if let Err(Gone) = ready!(poll_send(&mut self.sending, &mut self.outward, context)) {
                self.sending.clear();
                self.buffer.clear();
                return Poll::Ready(Err(Gone));
            }
        }
    }

    /// Sends what was put, as the other end makes room for it.
    pub async fn flush(&mut self) -> Result<(), Gone> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    /// At the calling end: nothing more is sent. Call it when everything is flushed.
    pub fn close(&mut self) {
        // An error: there is nobody left who would hear it.
        drop(self.outward.send_data(Bytes::new(), true));
    }

    /// At the serving end: the end of the call, after what was put.
    pub async fn finish(mut self, ended: Result<(), Status>) {
        if self.flush().await.is_ok() {
            drop(self.outward.send_trailers(frame::end(ended)));
        }
    }
}
