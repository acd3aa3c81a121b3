//! A stream of writes: taken up in their order, answered in their order.
//!
//! Nothing runs beside the stream: whoever sends the answers also reads the requests, so that a
//! client that reads no answers is soon read no more requests from.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use raft_api::pb;
use raft_replica::Refused;
use tokio_stream::Stream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Status, Streaming};

use super::{Front, command};
use crate::handle::{Declined, Ended, Pending};

/// Writes of one stream that are taken up and not answered. Beyond it nothing more is read. As many
/// as one session may have under way.
const TAKEN_UP_MAX: usize = 4096;

/// The answers to a stream of writes.
pub(crate) struct Proposals {
    front: Front,
    /// `None`: nothing more is read.
    requests: Option<Streaming<pb::ProposeRequest>>,
    /// One that was read when there was no room for it.
    held: Option<pb::ProposeRequest>,
    /// In the order in which they came.
    taken_up: VecDeque<Write>,
    /// How the requests ended, if badly.
    broken: Option<Status>,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// A write that is to be answered.
enum Write {
    UnderWay(Pending),
    /// It got no further than here.
    Declined(Declined),
}

impl Proposals {
    pub(super) fn new(
        front: Front,
        requests: Streaming<pb::ProposeRequest>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            front,
            requests: Some(requests),
            held: None,
            taken_up: VecDeque::new(),
            broken: None,
            stop: Box::pin(stop.cancelled_owned()),
        }
    }

    /// How the first of the writes ended, if there is one.
    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<Option<Ended>> {
        let ended = match self.taken_up.front_mut() {
            None => return Poll::Ready(None),
            Some(Write::UnderWay(pending)) => ready!(Pin::new(pending).poll(context)),
            Some(Write::Declined(declined)) => Err(declined.clone()),
        };
        self.taken_up.pop_front();
        Poll::Ready(Some(ended))
    }

    /// Takes up what has come.
    fn take_up(&mut self, context: &mut Context<'_>) {
        if self.stop.as_mut().poll(context).is_ready() {
            self.read_no_more();
        }
        while self.taken_up.len() < TAKEN_UP_MAX {
            let Some(request) = self.next_request(context) else { return };
            // Those before it make room as they end, and bring us back here.
            if !self.taken_up.is_empty() && !self.front.handle.has_room_for(request.data.len()) {
                self.held = Some(request);
                return;
            }
            let pb::ProposeRequest { data, session } = request;
            let pending = command(data, session).and_then(|kind| self.front.handle.submit(kind));
            self.taken_up.push_back(pending.map_or_else(Write::Declined, Write::UnderWay));
        }
    }

    fn next_request(&mut self, context: &mut Context<'_>) -> Option<pb::ProposeRequest> {
        if let Some(request) = self.held.take() {
            return Some(request);
        }
        match Pin::new(self.requests.as_mut()?).poll_next(context) {
            Poll::Pending => return None,
            Poll::Ready(Some(Ok(request))) => return Some(request),
            Poll::Ready(Some(Err(status))) => self.broken = Some(status),
            Poll::Ready(None) => (),
        }
        self.requests = None;
        None
    }

    fn read_no_more(&mut self) {
        self.requests = None;
        self.held = None;
    }
}

impl Stream for Proposals {
    type Item = Result<pb::ProposeResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Answers first: they make room.
        let mut first = self.poll_first(context);
        if !matches!(first, Poll::Ready(Some(_))) {
            self.take_up(context);
            first = self.poll_first(context);
        }
        match first {
            Poll::Ready(Some(ended)) => {
                if leads_no_longer(&ended) {
                    self.read_no_more();
                }
                Poll::Ready(Some(self.front.proposed(ended)))
            }
            Poll::Ready(None) if self.requests.is_none() => {
                Poll::Ready(self.broken.take().map(Err))
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// Whether nothing that comes later will be put into the log here either.
fn leads_no_longer(ended: &Ended) -> bool {
    let Err(declined) = ended else { return false };
    match declined {
        Declined::Stopping => true,
        Declined::Replica(why) => {
            matches!(why, Refused::NotLeader { .. } | Refused::OutcomeUnknown)
        }
        Declined::TooLarge { .. } => false,
    }
}

impl fmt::Debug for Proposals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proposals").field("taken_up", &self.taken_up.len()).finish_non_exhaustive()
    }
}
