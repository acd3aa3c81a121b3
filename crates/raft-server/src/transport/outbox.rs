//! What waits to be sent to one peer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use raft_core::{Body, Message};
use tokio::sync::Notify;

/// Messages for one peer. Senders are the driver and the log writer's thread, neither of which ever
/// waits: a message that finds the queue full, or the peer not connected, is dropped and counted.
/// The protocol repeats what matters.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    dropped: AtomicU64,
    /// The peer gave a sign of life while nobody was connected to it.
    nudge: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    /// Bytes of entries and snapshot pieces in `messages`.
    bytes: usize,
    /// Whether somebody at the other end is listening.
    open: bool,
    /// Counts connections, so that the remains of an old one take nothing from a new one.
    generation: u64,
    /// Whom to wake when there is something to take.
    waker: Option<Waker>,
}

/// More than the flow control of the protocol ever has under way to one peer.
const MESSAGES_MAX: usize = 4096;
const BYTES_MAX: usize = 64 << 20;

/// Goes into one frame, at most; one message always fits.
const BATCH_BYTES_MAX: usize = 2 << 20;

/// What the rest of a message costs, roughly, beside entries and snapshot pieces.
const MESSAGE_OVERHEAD: usize = 64;

/// The batches of one connection: everything that gathered since the last one, bounded.
#[derive(Debug)]
pub(crate) struct Batches {
    outbox: Arc<Outbox>,
    generation: u64,
}

impl Outbox {
    /// Queues a message, or drops it. Returns whether it was queued.
    pub(crate) fn push(&self, message: Message) -> bool {
        let cost = cost(&message);
        let mut state = self.lock();
        let full = MESSAGES_MAX <= state.messages.len() || BYTES_MAX < state.bytes + cost;
        if !state.open || full {
            drop(state);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        state.bytes += cost;
        state.messages.push_back(message);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Begins a connection: what was queued for an earlier one is void, and nothing is accepted
    /// before [`Outbox::open`].
    pub(crate) fn begin(self: &Arc<Self>) -> Batches {
        let generation = self.shut();
        Batches { outbox: Arc::clone(self), generation }
    }

    /// The peer is there and is the right one.
    pub(crate) fn open(&self) {
        self.lock().open = true;
    }

    /// The connection is gone, and the messages with it.
    pub(crate) fn close(&self) {
        self.shut();
    }

    /// The peer speaks, so it can be reached: there is no point in waiting to dial it.
    pub(crate) fn nudge(&self) {
        if !self.lock().open {
            self.nudge.notify_one();
        }
    }

    /// Waits for a sign of life.
    pub(crate) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// Number of messages dropped since the start.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn shut(&self) -> u64 {
        let mut state = self.lock();
        let generation = state.generation + 1;
        let old = std::mem::replace(&mut *state, State { generation, ..State::default() });
        drop(state);
        // The remains of the old connection learn that it is over.
        if let Some(waker) = old.waker {
            waker.wake();
        }
        generation
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("a panic ends the process before it can poison a lock")
    }
}

impl Stream for Batches {
    type Item = Vec<Message>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.outbox.lock();
        if state.generation != self.generation {
            return Poll::Ready(None);
        }
        let mut bytes = 0_usize;
        let mut batch = Vec::new();
        while let Some(message) = state.messages.front() {
            let cost = cost(message);
            if !batch.is_empty() && BATCH_BYTES_MAX < bytes + cost {
                break;
            }
            bytes += cost;
            batch.extend(state.messages.pop_front());
        }
        if batch.is_empty() {
            state.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        state.bytes -= bytes;
        Poll::Ready(Some(batch))
    }
}

fn cost(message: &Message) -> usize {
    let body = match &message.body {
        Body::Append(append) => append.entries.iter().map(raft_core::Entry::size).sum(),
        Body::SnapshotChunk(chunk) => chunk.data.len(),
        _ => 0,
    };
    MESSAGE_OVERHEAD + body
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};
    use std::collections::BTreeMap;

    use raft_core::{ClusterId, Heartbeat, Incarnation, Index, NodeId, Term};

    use super::*;

    fn heartbeat(round: u64) -> Message {
        Message {
            cluster: ClusterId(1),
            from: NodeId(1),
            incarnation: Incarnation(1),
            to: NodeId(2),
            term: Term(1),
            body: Body::Heartbeat(Heartbeat { round, commit: Index(0), met: BTreeMap::new() }),
        }
    }

    /// A message waits only for a peer that is there; a batch takes all that wait; a new connection
    /// gets nothing of the old one's, and the old one ends.
    #[test]
    fn belongs_to_one_connection_at_a_time() {
        let outbox = Arc::new(Outbox::default());
        assert!(!outbox.push(heartbeat(1)), "nobody is connected");
        let mut first = outbox.begin();
        assert!(!outbox.push(heartbeat(2)), "nobody has greeted");
        outbox.open();
        assert!(outbox.push(heartbeat(3)));
        assert!(outbox.push(heartbeat(4)));
        let batch = first.next().now_or_never().flatten();
        assert_eq!(batch, Some(vec![heartbeat(3), heartbeat(4)]));
        assert_eq!(first.next().now_or_never(), None, "nothing waits");

        assert!(outbox.push(heartbeat(5)));
        let mut second = outbox.begin();
        outbox.open();
        assert!(outbox.push(heartbeat(6)));
        assert_eq!(first.next().now_or_never(), Some(None), "the first connection is over");
        assert_eq!(second.next().now_or_never().flatten(), Some(vec![heartbeat(6)]));
        assert_eq!(outbox.dropped(), 2);
    }

    /// A peer that takes nothing costs a bounded amount of memory.
    #[test]
    fn drops_what_does_not_fit() {
        let outbox = Arc::new(Outbox::default());
        let _batches = outbox.begin();
        outbox.open();
        let queued = (0..10_000).filter(|&round| outbox.push(heartbeat(round))).count();
        assert_eq!(queued, MESSAGES_MAX);
        assert_eq!(outbox.dropped(), 10_000 - 4096);
    }
}
