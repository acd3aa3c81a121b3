//! A stream of writes: taken up in their order, answered in their order.
//!
//! Nothing runs beside the stream: whoever sends the answers also reads the requests, so that a
//! client that reads no answers is soon read no more requests from.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use prost::Message as _;
use raft_api::pb;
use raft_replica::Refused;
use raft_rpc::{Gone, Talk};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

use super::{Front, command};
use crate::handle::{Declined, Ended, Pending};

/// Writes of one stream that are taken up and not answered. Beyond it nothing more is read. As many
/// as one session may have under way.
const TAKEN_UP_MAX: usize = 4096;

/// Times that the stream is looked at in one turn. A client that sends what is refused at once could go on
/// for ever.
const ROUNDS_MAX: usize = 4;

/// Bytes of answers that a client has no room for. Beyond it nothing more is answered, and soon nothing
/// read.
const UNSENT_MAX: usize = 64 << 10;

/// A stream of writes and its answers.
pub(crate) struct Proposals {
    front: Front,
    talk: Talk,
    /// Nothing more is read.
    read_all: bool,
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
    pub(super) fn new(front: Front, talk: Talk, stop: CancellationToken) -> Self {
        Self {
            front,
            talk,
            read_all: false,
            held: None,
            taken_up: VecDeque::new(),
            broken: None,
            stop: Box::pin(stop.cancelled_owned()),
        }
    }

    /// Serves until the stream ends.
    pub(super) async fn serve(mut self) {
        if let Ok(ended) = poll_fn(|context| self.poll(context)).await {
            self.talk.finish(ended).await;
        }
    }

    /// Ready with how the stream is to end.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Result<(), Status>, Gone>> {
        for _ in 0..ROUNDS_MAX {
            // Answers first: they make room.
            let answered = match self.answer(context) {
                Ok(answered) => answered,
                Err(ended) => return Poll::Ready(Ok(ended)),
            };
            if let Poll::Ready(Err(gone)) = self.talk.poll_flush(context) {
                return Poll::Ready(Err(gone));
            }
            let before = (self.taken_up.len(), self.read_all);
            self.take_up(context);
            if !answered && before == (self.taken_up.len(), self.read_all) {
                return Poll::Pending;
            }
        }
        // Others have their turn first.
        let _pending = pin!(tokio::task::yield_now()).poll(context);
        Poll::Pending
    }

    /// Answers what has ended, as far as the client has room. Tells whether there was any; an error is
    /// how the stream is to end.
    fn answer(&mut self, context: &mut Context<'_>) -> Result<bool, Result<(), Status>> {
        let mut any = false;
        while self.talk.unsent() < UNSENT_MAX
            && let Poll::Ready(first) = self.poll_first(context)
        {
            let Some(ended) = first else {
                let over = self.read_all.then(|| self.broken.take().map_or(Ok(()), Err));
                return over.map_or(Ok(any), Err);
            };
            if leads_no_longer(&ended) {
                self.read_no_more();
            }
            self.talk.put(&self.front.proposed(ended).map_err(Err)?);
            any = true;
        }
        Ok(any)
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
        if self.read_all {
            return None;
        }
        let message = match self.talk.poll_message(context) {
            Poll::Pending => return None,
            Poll::Ready(message) => message.map(|message| {
                pb::ProposeRequest::decode(message?)
                    .map_err(|error| Status::internal(error.to_string()))
            }),
        };
        match message {
            Some(Ok(request)) => return Some(request),
            Some(Err(status)) => self.broken = Some(status),
            None => (),
        }
        self.read_all = true;
        None
    }

    fn read_no_more(&mut self) {
        self.read_all = true;
        self.held = None;
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
