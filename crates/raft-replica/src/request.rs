//! What clients ask of a replica, and how it ends.

use bytes::Bytes;
use raft_core::{Index, LogId, MembershipRefusal, NodeId, Token, TransferRefusal};

/// A request for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names the request in its answer. Never reused while the process lives.
    pub token: Token,
    /// What is asked.
    pub kind: RequestKind,
}

/// What a client asks to be put into the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Apply a command.
    Command {
        /// Makes a retry recognisable.
        session: Option<SessionHeader>,
        /// The state machine's command.
        command: Bytes,
    },
    /// Open a session.
    OpenSession,
}

/// Identifies one write of one client (dissertation §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionHeader {
    /// The session, as it was given when it was opened.
    pub id: u64,
    /// Numbers the session's writes from 1.
    pub sequence: u64,
    /// The smallest number whose answer is still waited for.
    pub first_outstanding: u64,
}

/// How fresh an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// As fresh as any write acknowledged before the request.
    Linearizable,
    /// The own state, however old.
    Stale,
}

/// The end of a request. Every request ends in exactly one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The request.
    pub token: Token,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command was applied.
    Applied {
        /// Where; for a repeat, where it was first.
        id: LogId,
        /// The state machine's result.
        result: Bytes,
        /// Whether an earlier attempt did it.
        duplicate: bool,
    },
    /// The session is open.
    SessionOpened {
        /// Where the opening stands in the log.
        id: LogId,
        /// The session.
        session: u64,
    },
    /// The query was answered.
    Read {
        /// The index the state had applied.
        applied: Index,
        /// The state machine's result.
        result: Bytes,
    },
    /// The membership is as it was to be, or the leadership is handed over.
    Done,
    /// Nothing was done, or nobody knows.
    Refused(Refused),
}

/// Why a request was not served. Everything but `OutcomeUnknown` means that nothing was done; a change
/// of membership may have got as far as new learners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// This node does not lead.
    NotLeader {
        /// Who does, if that is known.
        leader: Option<NodeId>,
    },
    /// Too much is waiting.
    Overloaded,
    /// There is no space left on the disk.
    DiskFull,
    /// Leadership ended after the command was appended.
    OutcomeUnknown,
    /// The session was never opened, or has expired.
    SessionUnknown,
    /// The answer to this sequence number is forgotten.
    SessionStale,
    /// The command or query makes no sense.
    Invalid(String),
    /// The leader is handing over.
    Transferring {
        /// To whom.
        to: NodeId,
    },
    /// The membership does not change, or not further.
    Membership(MembershipRefusal),
    /// The leader stays.
    Transfer(TransferRefusal),
}
