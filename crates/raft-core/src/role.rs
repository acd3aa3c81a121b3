//! The roles, each with its own data.

use alloc::collections::{BTreeMap, VecDeque};

use crate::effects::RoleName;
use crate::progress::Peer;
use crate::types::{Index, Instant, NodeId, SnapshotMeta, Token};

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
    pub(crate) incoming: Option<SnapshotMeta>,
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
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    /// Whose request each proposed entry was, by ascending index; only entries not yet applied.
    pub(crate) tokens: VecDeque<(Index, Token)>,
    /// The no-op that opened the term: nothing before its commit may be read.
    pub(crate) opened: Index,
    /// The latest heartbeat round.
    pub(crate) round: u64,
    /// When the next round is due, at the latest.
    pub(crate) heartbeat_due: Instant,
    /// Reads, each with the first round that can confirm it, ascending.
    pub(crate) reads: VecDeque<(u64, Token)>,
}

impl Role {
    pub(crate) fn name(&self) -> RoleName {
        match self {
            Role::Follower(_) => RoleName::Follower,
            Role::PreCandidate(_) => RoleName::PreCandidate,
            Role::Candidate(..) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
        }
    }
}
