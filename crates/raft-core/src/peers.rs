//! Everyone a leader serves. There are few, and they are looked up several times for each entry: a
//! sorted list is quicker than a tree.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

use crate::node::Node;
use crate::progress::Peer;
use crate::role::Role;
use crate::types::{Index, Instant, NodeId};

/// The peers of a leader, by ascending id, each once. Shown like a map.
#[derive(Clone)]
pub(crate) struct Peers(Vec<(NodeId, Peer)>);

impl Peers {
    pub(crate) fn get(&self, id: NodeId) -> Option<&Peer> {
        self.0.iter().find(|(held, _)| *held == id).map(|(_, peer)| peer)
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Peer> {
        self.0.iter_mut().find(|(held, _)| *held == id).map(|(_, peer)| peer)
    }

    /// The peer at a position, for those who go through all of them and change the node meanwhile.
    pub(crate) fn nth(&self, position: usize) -> Option<(NodeId, &Peer)> {
        self.0.get(position).map(|(id, peer)| (*id, peer))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.0.iter().map(|(id, peer)| (*id, peer))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Peer)> {
        self.0.iter_mut().map(|(id, peer)| (*id, peer))
    }

    /// Keeps those who are in `ids`, and makes a peer of everybody else there. Answers who is gone.
    pub(crate) fn become_those(
        &mut self,
        ids: &BTreeSet<NodeId>,
        fresh: impl Fn() -> Peer,
    ) -> Vec<NodeId> {
        let gone = self.0.extract_if(.., |(id, _)| !ids.contains(id)).map(|(id, _)| id).collect();
        for &id in ids {
            if let Err(position) = self.0.binary_search_by_key(&id, |(held, _)| *held) {
                self.0.insert(position, (id, fresh()));
            }
        }
        gone
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl FromIterator<(NodeId, Peer)> for Peers {
    /// # Panics
    ///
    /// If the ids do not ascend.
    fn from_iter<T: IntoIterator<Item = (NodeId, Peer)>>(peers: T) -> Self {
        let peers: Vec<(NodeId, Peer)> = peers.into_iter().collect();
        assert!(peers.is_sorted_by(|(one, _), (next, _)| one < next), "peers out of order");
        Self(peers)
    }
}

impl Node {
    /// A leader's view of the others; empty elsewhere.
    pub fn peers(&self) -> Vec<PeerView> {
        let Role::Leader(leader) = &self.role else { return Vec::new() };
        let view = |(id, peer): (NodeId, &Peer)| PeerView {
            id,
            matched: peer.matched,
            next: peer.next(),
            state: peer.state(),
            heard: peer.heard,
        };
        leader.peers.iter().map(view).collect()
    }
}

/// A leader's view of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// The peer.
    pub id: NodeId,
    /// The last index known to agree, durably.
    pub matched: Index,
    /// The next index to be sent.
    pub next: Index,
    /// `probe`, `replicate` or `snapshot`.
    pub state: &'static str,
    /// When it last answered.
    pub heard: Instant,
}
