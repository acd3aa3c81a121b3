//! A stream of writes to one node, shared by all operations that go there.
//!
//! The node answers in the order of the requests, so that an answer needs no name. What becomes of
//! requests without an answer depends on how the stream ends: see [`Loss`].

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use prost::Message as _;
use raft_api::pb;
use raft_rpc::client::Channel;
use raft_rpc::{Gone, Talk};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tonic::Status;
use tonic::codegen::http::uri::PathAndQuery;

use crate::connect::MESSAGE_BYTES_MAX;

/// Requests that wait for the stream to take them. Full: the next one waits.
const QUEUE: usize = 1024;

/// Bytes of requests that the node has no room for. Beyond it the rest waits in the queue.
const UNSENT_MAX: usize = 64 << 10;

const STREAM: PathAndQuery = PathAndQuery::from_static("/raft.v1.ManagementRpc/ProposeStream");

/// A stream of writes to one node. It ends when nobody has it any more.
#[derive(Debug)]
pub(crate) struct Pipe {
    requests: mpsc::Sender<Asked>,
    /// Sends them and reads the answers, for as long as this is there.
    _stream: JoinSet<()>,
}

/// A request and who waits for its answer.
#[derive(Debug)]
struct Asked {
    request: pb::ProposeRequest,
    answer: Answer,
}

type Answer = oneshot::Sender<Result<pb::ProposeResponse, Loss>>;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(crate) enum Loss {
    /// The node did not take it up, or it was never sent: it is not done.
    NotTakenUp,
    /// The stream broke: nobody knows.
    Broken(Status),
}

/// Both ends of what goes over the stream.
struct Ends {
    queue: mpsc::Receiver<Asked>,
    /// Who waits for the answers to what was sent, in its order.
    waiting: VecDeque<Answer>,
}

impl Pipe {
    /// Begins a stream on this connection.
    pub(crate) fn open(channel: Channel) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        let mut stream = JoinSet::new();
        stream.spawn(async move {
            let mut ends = Ends { queue, waiting: VecDeque::new() };
            let loss = match channel.talk(STREAM, MESSAGE_BYTES_MAX).await {
                Ok(mut talk) => poll_fn(|context| ends.poll(&mut talk, context)).await,
                Err(status) => Loss::Broken(status),
            };
            ends.end(&loss);
        });
        Self { requests, _stream: stream }
    }

    /// Whether it has ended, so that nothing can be sent over it.
    pub(crate) fn has_ended(&self) -> bool {
        self.requests.is_closed()
    }

    /// Sends a write and waits for its answer. The caller bounds the wait.
    pub(crate) async fn propose(
        &self,
        request: pb::ProposeRequest,
    ) -> Result<pb::ProposeResponse, Loss> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { request, answer };
        self.requests.send(asked).await.map_err(|_ended| Loss::NotTakenUp)?;
        // What was sent is waited for by somebody who answers; what is dropped was never sent.
        answered.await.unwrap_or(Err(Loss::NotTakenUp))
    }
}

impl Ends {
    /// Sends what is asked and hands out the answers, until the stream ends; then tells what that means
    /// for the rest.
    fn poll(&mut self, talk: &mut Talk, context: &mut Context<'_>) -> Poll<Loss> {
        loop {
            while let Poll::Ready(message) = talk.poll_message(context) {
                if let Err(loss) = self.answer(message) {
                    return Poll::Ready(loss);
                }
            }
            let full = self.put(talk, context);
            match talk.poll_flush(context) {
                Poll::Ready(Ok(())) if full => (),
                // Why the other end takes no more is heard from it.
                Poll::Ready(Ok(()) | Err(Gone)) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Hands the next answer to whom it belongs.
    fn answer(&mut self, message: Option<Result<Bytes, Status>>) -> Result<(), Loss> {
        let message = message.ok_or(Loss::NotTakenUp)?.map_err(Loss::Broken)?;
        let broken = |why: &str| Loss::Broken(Status::internal(why));
        let answer = pb::ProposeResponse::decode(message)
            .map_err(|error| broken(&format!("an answer that cannot be read: {error}")))?;
        let next = self.waiting.pop_front().ok_or_else(|| broken("an answer to nothing"))?;
        // Whoever has given up needs no answer.
        drop(next.send(Ok(answer)));
        Ok(())
    }

    /// Has what is asked sent. Tells whether it stopped because there is enough for now.
    fn put(&mut self, talk: &mut Talk, context: &mut Context<'_>) -> bool {
        while talk.unsent() < UNSENT_MAX {
            let Poll::Ready(Some(Asked { request, answer })) = self.queue.poll_recv(context) else {
                return false;
            };
            // Else its time was up before it could be sent.
            if !answer.is_closed() {
                talk.put(&request);
                self.waiting.push_back(answer);
            }
        }
        true
    }

    /// What is still in the queue was never sent, and is told so by being dropped.
    fn end(mut self, loss: &Loss) {
        self.queue.close();
        for answer in self.waiting {
            drop(answer.send(Err(loss.clone())));
        }
    }
}
