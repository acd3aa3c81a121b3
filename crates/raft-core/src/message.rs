//! What members say to each other.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use bytes::Bytes;

use crate::entries::Entries;
use crate::membership::SeatId;
use crate::types::{ClusterId, Incarnation, Index, LogId, NodeId, SnapshotMeta, Term};

/// A message between members. Nothing about it is trusted: a node checks cluster, recipient and
/// incarnation before it looks at the body, and drops what does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The sender's cluster.
    pub cluster: ClusterId,
    /// The sender.
    pub from: NodeId,
    /// The sender's incarnation.
    pub incarnation: Incarnation,
    /// The recipient.
    pub to: NodeId,
    /// The sender's term; in a pre-vote request the term it would campaign in.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Asks whether a vote would be given, without anybody changing term (dissertation §9.6).
    PreVote(VoteRequest),
    /// Answers a pre-vote request.
    PreVoteReply(VoteReply),
    /// Asks for a vote (§5.2).
    Vote(VoteRequest),
    /// Answers a vote request. Leaves only once the vote is durable.
    VoteReply(VoteReply),
    /// Replicates entries (§5.3).
    Append(Append),
    /// Answers an append. Leaves only once what it attests is durable.
    AppendReply(AppendReply),
    /// The leader is alive; confirms reads (dissertation §6.4).
    Heartbeat(Heartbeat),
    /// Answers a heartbeat. Promises nothing about the disk.
    HeartbeatReply(HeartbeatReply),
    /// A piece of a snapshot (§7).
    SnapshotChunk(Box<SnapshotChunk>),
    /// Answers a piece of a snapshot.
    SnapshotReply(SnapshotReply),
    /// Tells the recipient that its incarnation is not the one the sender knows: its disk was
    /// wiped, and it may not act as the member it was.
    Stranger {
        /// The incarnation the sender knows.
        known: Incarnation,
    },
    /// The leader hands over: campaign at once (dissertation §3.10).
    TimeoutNow,
    /// A follower asks from where on a linearizable read may be served (dissertation §6.4).
    ReadIndex(ReadId),
    /// Answers that.
    ReadIndexReply {
        /// The question.
        id: ReadId,
        /// Serve the reads from a state that has applied at least this.
        index: Index,
    },
    /// Tells the recipient that it is no member any more (dissertation §4.2.3).
    Removed {
        /// A committed entry as of which it is not.
        as_of: LogId,
    },
}

/// A plea for a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteRequest {
    /// The last entry of the candidate's log.
    pub last: LogId,
    /// Since when the candidate is a member: its latest seat. A voter may know only an earlier one.
    pub since: LogId,
    /// Since when the recipient is one, as far as the candidate knows: who had its id before, or has
    /// it since, is not asked.
    pub yours: LogId,
    /// Whether the leader itself wants this election: then nobody protects it (dissertation §4.2.3).
    pub handed_over: bool,
}

/// Names a question, so that an answer to an earlier one is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadId {
    /// Drawn when the asking node started.
    pub start: u64,
    /// Grows with every question.
    pub number: u64,
}

/// The answer to a plea.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteReply {
    /// Whether the vote is given.
    pub granted: bool,
    /// The term that was asked about, so that a late answer is not taken for a new one.
    pub asked: Term,
}

/// Entries that follow `prev`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The entry just before the first of `entries`.
    pub prev: LogId,
    /// The entries, contiguous and starting at `prev.index + 1`.
    pub entries: Entries,
    /// The leader's commit index.
    pub commit: Index,
    /// Under which incarnations the leader knows the members; with an append that looks for the
    /// place where the logs agree or carries a configuration, and empty otherwise.
    pub met: BTreeMap<SeatId, Incarnation>,
}

/// The answer to an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendReply {
    /// The recipient's log agrees with the leader's up to here, durably.
    Matched {
        /// The last index that is known to agree.
        index: Index,
    },
    /// The recipient has no entry `rejected`.
    Conflict {
        /// The `prev` that did not fit, so that a stale refusal is recognised.
        rejected: LogId,
        /// The last entry of the recipient's log whose term is at most `rejected.term`: agreement
        /// cannot begin later than that.
        hint: LogId,
    },
}

/// The leader is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Grows with every round of a term, so that an answer confirms reads of its own round and
    /// earlier ones, never of a later one (etcd #20418).
    pub round: u64,
    /// The leader's commit index, but never beyond what the recipient is known to hold.
    pub commit: Index,
    /// Under which incarnations the leader knows the members: those who follow one leader may never
    /// have spoken to each other, and must all the same know who has lost a disk.
    pub met: BTreeMap<SeatId, Incarnation>,
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// The round that is answered; 0 confirms nothing, and says that the sender's term is over.
    pub round: u64,
    /// The last index that agrees with the leader's log, durable or not: tells what got lost.
    pub received: Index,
    /// The last index that agrees and is durable already: repeats the latest acknowledgement, should
    /// it have been lost.
    pub matched: Index,
    /// Whether the disk stalls, or did lately: such a node should not become leader.
    pub slow: bool,
    /// Whether this is the disk of a founder: an empty one that waits under the id of a founder who has
    /// left is none, and must not be taken for that one by who does not know that it has left.
    pub founder: bool,
}

/// A piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotChunk {
    /// The snapshot; `meta.last` and `meta.checksum` identify it.
    pub meta: SnapshotMeta,
    /// Where the piece belongs, in bytes from the start.
    pub offset: u64,
    /// The piece.
    pub data: Bytes,
    /// CRC32C of `data`, made where it was read and checked where it is written. The core passes it
    /// on.
    pub checksum: u32,
    /// Under which incarnations the leader knows the members: of today, not of the snapshot.
    pub met: BTreeMap<SeatId, Incarnation>,
}

/// The answer to a piece of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotReply {
    /// The last entry of the snapshot this is about.
    pub last: LogId,
    /// The next byte wanted.
    pub next_offset: u64,
    /// Whether the recipient has all up to `last` durably, from this snapshot or otherwise.
    pub installed: bool,
}
