//! The roles, each with its own data.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use crate::change::Change;
use crate::effects::RoleName;
use crate::membership::SeatId;
use crate::message::ReadId;
use crate::peers::Peers;
use crate::transfer::Transfer;
use crate::types::{Incarnation, Index, Instant, NodeId, SnapshotMeta, Token};

/// What a node is in its term.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Follows a leader, or waits for one.
    Follower(Follower),
    /// Asks whether it could win an election.
    PreCandidate(Campaign),
    /// Asks for votes. `vote_seq` is the persist that makes its own vote durable.
    Candidate(Campaign, u64),
    /// Leads.
    Leader(Leader),
}

#[derive(Clone, Debug)]
pub(crate) struct Follower {
    /// Who leads this term, once it has spoken.
    pub(crate) leader: Option<NodeId>,
    /// When the leader last spoke. Meaningful while there is one.
    pub(crate) heard: Instant,
    /// When to campaign.
    pub(crate) deadline: Instant,
    /// The log agrees with the leader's up to here, durable or not.
    pub(crate) received: Index,
    /// The snapshot that is coming in.
    pub(crate) incoming: Option<Incoming>,
    /// Reads for which the leader is to be asked.
    pub(crate) reads: Vec<Token>,
    /// Reads for which it has been asked.
    pub(crate) asked: VecDeque<Asked>,
}

/// A snapshot that the leader sends.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub(crate) meta: SnapshotMeta,
    /// Under which incarnations the leader knows its members.
    pub(crate) met: BTreeMap<SeatId, Incarnation>,
}

/// A question to the leader, without an answer.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) number: u64,
    pub(crate) at: Instant,
    /// The reads that began before it was asked.
    pub(crate) tokens: Vec<Token>,
}

#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    /// The answers, and the own one. Keyed by id, so that nobody counts twice.
    pub(crate) votes: BTreeMap<NodeId, bool>,
    /// When to give up and try again.
    pub(crate) deadline: Instant,
}

#[derive(Clone, Debug)]
pub(crate) struct Leader {
    /// Everyone else in the active configuration.
    pub(crate) peers: Peers,
    /// Whose request each proposed entry was, by ascending index; only entries not yet applied.
    pub(crate) tokens: VecDeque<(Index, Token)>,
    /// The no-op that opened the term: nothing before its commit may be read.
    pub(crate) opened: Index,
    /// The latest heartbeat round.
    pub(crate) round: u64,
    /// Until then a quorum counts as heard, as long as the members stay the same.
    pub(crate) quorum_until: Instant,
    /// When the next round is due, at the latest.
    pub(crate) heartbeat_due: Instant,
    /// Reads, each with the first round that can confirm it, ascending.
    pub(crate) reads: VecDeque<(u64, Reader)>,
    /// The change of membership that is wanted.
    pub(crate) change: Option<Change>,
    /// Who has been removed and will be told once that is committed.
    pub(crate) leaving: BTreeSet<NodeId>,
    /// The handing over that is under way.
    pub(crate) transfer: Option<Transfer>,
}

/// Who waits for a read.
#[derive(Clone, Debug)]
pub(crate) enum Reader {
    /// A client of this node.
    Here(Token),
    /// A follower, for clients of its own.
    Peer(NodeId, ReadId),
}

impl Follower {
    /// Follows `leader`, or waits for one, until `deadline`.
    pub(crate) fn new(leader: Option<NodeId>, heard: Instant, deadline: Instant) -> Self {
        Self {
            leader,
            heard,
            deadline,
            received: Index(0),
            incoming: None,
            reads: Vec::new(),
            asked: VecDeque::new(),
        }
    }
}

impl Role {
    /// Moves the time of the next campaign.
    pub(crate) fn postpone(&mut self, until: Instant) {
        match self {
            Role::Follower(follower) => follower.deadline = until,
            Role::PreCandidate(campaign) | Role::Candidate(campaign, _) => {
                campaign.deadline = until;
            }
            Role::Leader(_) => (),
        }
    }

    pub(crate) fn name(&self) -> RoleName {
        match self {
            Role::Follower(_) => RoleName::Follower,
            Role::PreCandidate(_) => RoleName::PreCandidate,
            Role::Candidate(..) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
        }
    }
}
