//! A stream of writes to one node, shared by all operations that go there.
//!
//! The node answers in the order of the requests, so that an answer needs no name. What becomes of
//! requests without an answer depends on how the stream ends: see [`Loss`].

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use raft_api::pb;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tonic::Status;

use crate::connect::Api;

/// Requests that wait for the stream to take them. Full: the next one waits.
const QUEUE: usize = 1024;

/// A stream of writes to one node. It ends when nobody has it any more.
#[derive(Debug)]
pub(crate) struct Pipe {
    requests: mpsc::Sender<Asked>,
    /// Reads the answers, for as long as this is there.
    _reader: JoinSet<()>,
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

/// Who waits for the answers to what was sent, in its order. `None`: the stream has ended.
#[derive(Debug)]
struct Waiting(Mutex<Option<VecDeque<Answer>>>);

impl Pipe {
    /// Begins a stream on this connection.
    pub(crate) fn open(api: Api) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Waiting(Mutex::new(Some(VecDeque::new()))));
        let outgoing = Outgoing { queue, waiting: Arc::clone(&waiting) };
        let mut reader = JoinSet::new();
        reader.spawn(async move {
            let loss = read(api, outgoing, &waiting).await;
            waiting.end(&loss);
        });
        Self { requests, _reader: reader }
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

/// Hands out the answers, until the stream ends; tells what that means for the rest.
async fn read(mut api: Api, outgoing: Outgoing, waiting: &Waiting) -> Loss {
    let mut answers = match api.propose_stream(outgoing).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return Loss::Broken(status),
    };
    loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                if !waiting.answer(answer) {
                    return Loss::Broken(Status::internal("an answer to nothing"));
                }
            }
            Ok(None) => return Loss::NotTakenUp,
            Err(status) => return Loss::Broken(status),
        }
    }
}

impl Waiting {
    /// Takes note that a request is about to be sent. Gives it back if the stream has ended.
    fn add(&self, answer: Answer) -> Result<(), Answer> {
        match &mut *self.lock() {
            Some(waiting) => {
                waiting.push_back(answer);
                Ok(())
            }
            None => Err(answer),
        }
    }

    /// Hands the next answer to whom it belongs. Tells whether there was somebody.
    fn answer(&self, response: pb::ProposeResponse) -> bool {
        let next = self.lock().as_mut().and_then(VecDeque::pop_front);
        // Whoever has given up needs no answer.
        next.map(|answer| drop(answer.send(Ok(response)))).is_some()
    }

    fn end(&self, loss: &Loss) {
        let rest = self.lock().take();
        for answer in rest.into_iter().flatten() {
            drop(answer.send(Err(loss.clone())));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<VecDeque<Answer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The requests, as the connection takes them.
struct Outgoing {
    queue: mpsc::Receiver<Asked>,
    waiting: Arc<Waiting>,
}

impl Stream for Outgoing {
    type Item = pb::ProposeRequest;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<pb::ProposeRequest>> {
        loop {
            let Some(Asked { request, answer }) = ready!(self.queue.poll_recv(context)) else {
                return Poll::Ready(None);
            };
            if answer.is_closed() {
                continue; // Its time was up before it could be sent.
            }
            // Dropping what comes too late tells its owner that it was not sent.
            let sent = self.waiting.add(answer).is_ok();
            return Poll::Ready(sent.then_some(request));
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.queue.close();
    }
}
