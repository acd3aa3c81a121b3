//! How a replica is, for whoever asks.

use raft_core::{Incarnation, Index, Instant, Membership, Node, NodeId, RoleName, Term};

/// How a replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its id.
    pub id: NodeId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Its role.
    pub role: RoleName,
    /// Whether it only listens.
    pub is_learner: bool,
    /// Its term.
    pub term: Term,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// The first entry held.
    pub first: Index,
    /// The last entry.
    pub last: Index,
    /// Durable here up to this entry.
    pub durable: Index,
    /// Known to be committed.
    pub commit: Index,
    /// Applied to the state machine.
    pub applied: Index,
    /// Covered by a snapshot.
    pub snapshot: Index,
    /// The rolling hash at `applied`.
    pub state_hash: u64,
    /// The last entry after which the state was seen to be the same as the leader's.
    pub checked: Index,
    /// A leader's view of the others.
    pub peers: Vec<PeerStatus>,
    /// Open sessions.
    pub sessions: u64,
    /// Writes answered from a session's memory since the start.
    pub duplicates: u64,
    /// Items in the state machine.
    pub items: u64,
    /// The active configuration.
    pub membership: Membership,
    /// Whether it has been told that it is no member any more.
    pub removed: bool,
    /// Whether the log's disk stalls, or did lately.
    pub disk_slow: bool,
}

/// A leader's view of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The peer.
    pub id: NodeId,
    /// The last index known to agree, durably.
    pub matched: Index,
    /// The next index to be sent.
    pub next: Index,
    /// `probe`, `replicate` or `snapshot`.
    pub state: &'static str,
    /// How long ago it last answered, in milliseconds.
    pub heard_ms: u64,
}

impl Status {
    /// What the node knows; what only the state machine knows is left at zero.
    pub(crate) fn of_node(node: &Node, now: Instant) -> Self {
        let membership = node.membership().clone();
        let heard_ms = |heard| u64::try_from(now.since(heard).as_millis()).unwrap_or(u64::MAX);
        let peers = node.peers().into_iter().map(|peer| PeerStatus {
            id: peer.id,
            matched: peer.matched,
            next: peer.next,
            state: peer.state,
            heard_ms: heard_ms(peer.heard),
        });
        Self {
            id: node.id(),
            incarnation: node.incarnation(),
            role: node.role(),
            is_learner: !membership.is_voter(node.id()),
            term: node.term(),
            leader: node.leader(),
            first: node.first_index(),
            last: node.last().index,
            durable: node.durable_index(),
            commit: node.commit_index(),
            applied: Index(0),
            snapshot: node.snapshot().map_or(Index(0), |meta| meta.last.index),
            state_hash: 0,
            checked: Index(0),
            peers: peers.collect(),
            sessions: 0,
            duplicates: 0,
            items: 0,
            membership,
            removed: node.is_removed(),
            disk_slow: node.is_disk_slow(),
        }
    }
}
