//! What is known of the members of a cluster of etcd: which process each is, and which of the random
//! numbers by which they know each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::NodeId;

/// What is known, shared by all who ask.
#[derive(Clone, Debug, Default)]
pub struct Members(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    pids: BTreeMap<NodeId, i32>,
    /// By etcd's own numbers.
    ids: BTreeMap<u64, NodeId>,
    /// Who was first to say that it leads, by the term.
    reigns: BTreeMap<u64, NodeId>,
    version: String,
}

impl Members {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member was started as this process.
    pub(crate) fn started(&self, id: NodeId, pid: i32) {
        self.known().pids.insert(id, pid);
    }

    /// The latest process of each member.
    pub(super) fn pids(&self) -> BTreeMap<NodeId, i32> {
        self.known().pids.clone()
    }

    /// The node of this number.
    pub(super) fn node(&self, member: u64) -> Option<NodeId> {
        self.known().ids.get(&member).copied()
    }

    /// Takes in how a member lists them all: names like `n1`, and numbers.
    pub(super) fn learn(&self, list: impl IntoIterator<Item = (String, u64)>) {
        let mut known = self.known();
        for (name, member) in list {
            let number = name.strip_prefix('n').and_then(|number| number.parse().ok());
            if let Some(number) = number {
                known.ids.insert(member, NodeId(number));
            }
        }
    }

    /// Whether a member leads in this term, as it says. The term that etcd tells is that of the last
    /// entry that it has applied, so a new leader may still tell its predecessor's.
    pub(super) fn leads(&self, id: NodeId, term: u64) -> bool {
        *self.known().reigns.entry(term).or_insert(id) == id
    }

    pub(super) fn note_version(&self, version: &str) {
        version.clone_into(&mut self.known().version);
    }

    /// What the members call their version; empty if none has answered yet.
    pub(crate) fn version(&self) -> String {
        self.known().version.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_known_by_names() {
        let members = Members::default();
        members.learn([("n2".to_owned(), 77), ("stranger".to_owned(), 78)]);
        assert_eq!((members.node(77), members.node(78)), (Some(NodeId(2)), None));
    }

    #[test]
    fn a_successor_counts_from_its_own_term() {
        let members = Members::default();
        assert!(members.leads(NodeId(1), 4) && members.leads(NodeId(1), 4));
        assert!(!members.leads(NodeId(2), 4), "it has not applied anything of its own yet");
        assert!(members.leads(NodeId(2), 5));
    }
}
