//! Everything that can happen to a node.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::membership::Membership;
use crate::message::Message;
use crate::types::{Index, LogId, NodeId, SnapshotMeta, Token};

/// Everything that can happen to a node. Nothing else changes it, so that a recorded list of inputs
/// replays a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time passed. Any input tells the time; this one says nothing else.
    Tick,
    /// A message arrived from a peer.
    Message(Message),
    /// Clients want these commands in the log.
    Propose(Vec<Proposal>),
    /// A client wants to read: answered with the index that must be applied first (ReadIndex). Any
    /// member may be asked; a follower asks the leader.
    Read(Token),
    /// An operator wants another membership.
    ChangeMembership(MembershipChange),
    /// The leader is to hand over.
    Transfer {
        /// Names the request in the outcome.
        token: Token,
        /// To whom; to the voter that is furthest along, if nobody is named.
        to: Option<NodeId>,
    },
    /// The state machine has applied everything up to here.
    Applied {
        /// The last entry applied.
        index: Index,
    },
    /// The connection from this peer broke, and another attempt was refused at once: its process is
    /// gone. A hint, no more; a timeout is none.
    PeerDown {
        /// The peer.
        peer: NodeId,
    },
    /// Everything persisted up to and including this number is durable.
    Persisted {
        /// The number of the [`crate::Persist`].
        seq: u64,
    },
    /// The disk failed: whatever was not reported durable may be lost. The node says nothing more.
    PersistFailed,
    /// A snapshot of the own state machine is durable.
    SnapshotBuilt(SnapshotMeta),
    /// The piece of the own snapshot that was asked for.
    SnapshotRead {
        /// The peer it is for.
        to: NodeId,
        /// The snapshot it belongs to.
        meta: SnapshotMeta,
        /// Where it begins, in bytes.
        offset: u64,
        /// The piece.
        data: Bytes,
        /// Its CRC32C.
        checksum: u32,
    },
    /// A piece received from the leader is in the staging file, or the file was started anew.
    SnapshotStaged {
        /// The snapshot it belongs to.
        meta: SnapshotMeta,
        /// The next byte wanted.
        next_offset: u64,
        /// Whether the snapshot is whole, verified and durable.
        complete: bool,
    },
    /// The snapshot could not be read or staged; the transfer starts again.
    SnapshotFailed {
        /// The last entry of the snapshot.
        last: LogId,
    },
}

/// A command on its way into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Names the request in the outcome.
    pub token: Token,
    /// The command. Opaque to the core.
    pub data: Bytes,
}

/// A wish for another membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipChange {
    /// Names the request in the outcome.
    pub token: Token,
    /// The membership wanted: voters, learners and contacts. Members that stay keep their seats; a
    /// contact that is left empty stays as it is.
    pub target: Membership,
    /// The membership that the wish was made up from. If another one is active by now, with other
    /// members or other roles, the change is refused.
    pub from: Option<Membership>,
    /// Whether to do without the check that the new quorum can be reached, and without waiting until
    /// new voters have caught up. They must have answered once all the same: whoever has the id could
    /// vote otherwise.
    pub force: bool,
}
