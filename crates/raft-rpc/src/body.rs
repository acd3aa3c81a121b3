//! HTTP bodies between h2 and tonic.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use http_body::{Body, Frame};

/// The other end takes nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// What the other end sends, as tonic reads it.
#[derive(Debug)]
pub struct Incoming {
    stream: RecvStream,
    /// Whether only trailers are to come.
    data_is_over: bool,
}

impl Incoming {
    pub(crate) fn new(stream: RecvStream) -> Self {
        Self { stream, data_is_over: false }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_is_over {
            if let Some(data) = ready!(poll_data(&mut self.stream, context)) {
                return Poll::Ready(Some(data.map(Frame::data)));
            }
            self.data_is_over = true;
        }
        let trailers = ready!(self.stream.poll_trailers(context));
        Poll::Ready(trailers.transpose().map(|trailers| trailers.map(Frame::trailers)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

/// The next piece of a body. Who asks for the next one has room for it, so the window opens at once.
pub(crate) fn poll_data(
    stream: &mut RecvStream,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, h2::Error>>> {
    let piece = ready!(stream.poll_data(context));
    if let Some(Ok(piece)) = &piece {
        // An error: the stream is gone, which the next call tells.
        drop(stream.flow_control().release_capacity(piece.len()));
    }
    Poll::Ready(piece)
}

/// Sends a body, no faster than the other end takes it, until its end or the stream's.
pub(crate) async fn pump<B>(body: B, mut stream: SendStream<Bytes>)
where
    B: Body<Data = Bytes>,
{
    let mut body = pin!(body);
    loop {
        let next = tokio::select! {
            biased;
            frame = poll_fn(|context| body.as_mut().poll_frame(context)) => frame,
            _reset = poll_fn(|context| stream.poll_reset(context)) => return,
        };
        // What cannot be sent has no stream any more: nobody is left to be told.
        match next.map(|frame| frame.map(Frame::into_data)) {
            None => return drop(stream.send_data(Bytes::new(), true)),
            Some(Ok(Ok(data))) => {
                if send(data, &mut stream).await.is_err() {
                    return;
                }
            }
            Some(Ok(Err(frame))) => {
                let trailers = frame.into_trailers().unwrap_or_else(|_| HeaderMap::new());
                return drop(stream.send_trailers(trailers));
            }
            Some(Err(_)) => return stream.send_reset(Reason::INTERNAL_ERROR),
        }
    }
}

/// Sends a piece of a body as the other end makes room for it.
pub(crate) async fn send(mut data: Bytes, stream: &mut SendStream<Bytes>) -> Result<(), Gone> {
    poll_fn(|context| poll_send(&mut data, stream, context)).await
}

/// The same, as far as there is room now.
pub(crate) fn poll_send(
    data: &mut Bytes,
    stream: &mut SendStream<Bytes>,
    context: &mut Context<'_>,
) -> Poll<Result<(), Gone>> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = stream.capacity().min(data.len());
        if room == 0 {
            match ready!(stream.poll_capacity(context)) {
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Poll::Ready(Err(Gone)),
            }
        }
        if stream.send_data(data.split_to(room), false).is_err() {
            return Poll::Ready(Err(Gone));
        }
    }
    Poll::Ready(Ok(()))
}
