//! How members talk to each other.
//!
//! Every node dials every other member and keeps one stream open, on which its own messages go out;
//! what the others say comes in on the streams they dialled. A stream that breaks loses what was on
//! it, which the protocol is made for; nothing is ever sent twice.

pub(crate) mod inbound;
pub(crate) mod outbound;
mod outbox;
pub(crate) mod socket;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use raft_core::{ClusterId, Incarnation, Message, NodeId};
use raft_rpc::KeepAlive;

use self::outbox::Outbox;

/// The ways to all peers. Cheap to clone, and usable from any thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    /// Grows with the roster.
    outboxes: Arc<RwLock<BTreeMap<NodeId, Arc<Outbox>>>>,
}

/// Who this node is to the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    pub(crate) cluster: ClusterId,
    pub(crate) id: NodeId,
    pub(crate) incarnation: Incarnation,
}

/// What may be under way on one stream, and on one connection, before the reader has read it.
pub(crate) const STREAM_WINDOW: u32 = 4 << 20;
pub(crate) const CONNECTION_WINDOW: u32 = 8 << 20;

/// Bytes of one piece of a message on its way: one that comes in one piece need not be put together.
pub(crate) const PIECE_BYTES_MAX: u32 = 1 << 20;

/// A peer that is suspended accepts connections and says nothing: only asking tells.
pub(crate) const KEEPALIVE: KeepAlive =
    KeepAlive { interval: Duration::from_secs(1), patience: Duration::from_secs(2) };

/// Bytes in a frame, at most, however small the commands are.
const FRAME_BYTES_MIN: usize = 16 << 20;

/// A frame holds one message of any size, or several up to a bound: with a command of the greatest
/// size in it, it has this many bytes at most.
pub(crate) fn frame_bytes_max(command_bytes_max: usize) -> usize {
    FRAME_BYTES_MIN.max(command_bytes_max.saturating_add(4 << 20))
}

impl Peers {
    /// Sends messages, or drops those that cannot be sent. Never waits.
    pub(crate) fn send(&self, messages: Vec<Message>) {
        if messages.is_empty() {
            return;
        }
        let outboxes = self.outboxes.read().unwrap_or_else(PoisonError::into_inner);
        for message in messages {
            // No outbox: nobody knows where that node is.
            if let Some(outbox) = outboxes.get(&message.to) {
                outbox.push(message);
            }
        }
    }

    /// This peer has spoken.
    pub(crate) fn nudge(&self, peer: NodeId) {
        let outboxes = self.outboxes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(outbox) = outboxes.get(&peer) {
            outbox.nudge();
        }
    }

    /// Messages dropped since the start, for all peers together.
    pub(crate) fn dropped(&self) -> u64 {
        let outboxes = self.outboxes.read().unwrap_or_else(PoisonError::into_inner);
        outboxes.values().map(|outbox| outbox.dropped()).sum()
    }

    /// The way to a peer; made if there is none.
    fn outbox(&self, peer: NodeId) -> Arc<Outbox> {
        let outboxes = self.outboxes.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(outbox) = outboxes.get(&peer) {
            return Arc::clone(outbox);
        }
        drop(outboxes);
        let mut outboxes = self.outboxes.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(outboxes.entry(peer).or_default())
    }
}
