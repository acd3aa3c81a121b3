//! Where everybody can be reached.
//!
//! The log says it of every member that was added by a change of the membership. The cluster file
//! says it of those the cluster began with, and may know newer addresses than the log. And whoever
//! speaks to this node says so itself: a newcomer would otherwise not know whom to answer.

use std::collections::{BTreeMap, BTreeSet};

use raft_api::Contact;
use raft_api::cluster::{ClusterConfig, NodeConfig};
use raft_core::{Membership, NodeId};
use tokio::sync::watch;

/// Where everybody can be reached, as far as this node knows. Nobody is ever forgotten: a removed
/// member may have to be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roster {
    known: BTreeMap<NodeId, Known>,
    /// Who was in the latest configuration.
    members: BTreeSet<NodeId>,
    /// Where to dial a node, and nowhere else: it is reached through something, or somewhere else
    /// than it says.
    dialed: BTreeMap<NodeId, String>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    log: Contact,
    file: Contact,
    own_word: Contact,
}

/// The one roster of this process, to be looked at and added to from everywhere.
#[derive(Debug)]
pub(crate) struct Rosters {
    me: NodeId,
    now: watch::Sender<Roster>,
}

impl Rosters {
    /// What the cluster file says, and where to dial nodes whatever anybody says.
    pub(crate) fn new(
        config: &ClusterConfig,
        me: &NodeConfig,
        dialed: BTreeMap<NodeId, String>,
    ) -> Self {
        let mut known = BTreeMap::new();
        for node in config.nodes.iter().filter(|node| node.id != me.id).chain([me]) {
            known.insert(node.id, Known { file: node.contact(), ..Known::default() });
        }
        let (now, _) = watch::channel(Roster { known, members: BTreeSet::new(), dialed });
        Self { me: me.id, now }
    }

    /// Tells of every change.
    pub(crate) fn watch(&self) -> watch::Receiver<Roster> {
        self.now.subscribe()
    }

    /// The members of the latest configuration but this node, and where they serve clients.
    pub(crate) fn other_members(&self) -> Vec<(NodeId, String)> {
        let roster = self.now.borrow();
        let others = roster.members.iter().filter(|id| **id != self.me);
        others.map(|&id| (id, self.address_in(&roster, id))).collect()
    }

    /// Where a node serves clients, as host:port; empty if nobody knows.
    pub(crate) fn client_address(&self, id: NodeId) -> String {
        self.address_in(&self.now.borrow(), id)
    }

    fn address_in(&self, roster: &Roster, id: NodeId) -> String {
        let Some(known) = roster.known.get(&id) else { return String::new() };
        // Nobody knows better where this node is than itself.
        let order =
            if id == self.me { [&known.file, &known.log] } else { [&known.log, &known.file] };
        let mut addresses = order.into_iter().chain([&known.own_word]).map(|it| &it.client);
        addresses.find(|it| !it.is_empty()).cloned().unwrap_or_default()
    }

    /// Whether this node has heard of another.
    pub(crate) fn knows(&self, id: NodeId) -> bool {
        self.now.borrow().known.contains_key(&id)
    }

    /// The log says where the members are.
    pub(crate) fn learn(&self, membership: &Membership) {
        self.now.send_if_modified(|roster| {
            let mut changed = false;
            roster.members = membership.members();
            for &id in &roster.members {
                let contact = Contact::decode(&membership.contact(id));
                let known = roster.known.entry(id).or_default();
                if !contact.peer.is_empty() && known.log != contact {
                    known.log = contact;
                    changed = true;
                }
            }
            changed
        });
    }

    /// A node says where it is.
    pub(crate) fn hear(&self, id: NodeId, contact: &Contact) {
        if contact.peer.is_empty() || contact.check().is_err() {
            return;
        }
        self.now.send_if_modified(|roster| {
            if STRANGERS_MAX <= roster.known.len() && !roster.known.contains_key(&id) {
                return false;
            }
            let known = roster.known.entry(id).or_default();
            let changed = known.own_word != *contact;
            known.own_word.clone_from(contact);
            changed
        });
    }
}

/// Nodes known by their own word are no longer added when so many are known: anybody can say that.
const STRANGERS_MAX: usize = 64;

impl Roster {
    /// Everybody who can be reached, perhaps.
    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.known.keys().copied()
    }

    /// Where to dial a node as a peer, the likeliest first.
    pub(crate) fn peer_addresses(&self, id: NodeId) -> Vec<String> {
        if let Some(address) = self.dialed.get(&id) {
            return vec![address.clone()];
        }
        let mut addresses: Vec<String> = Vec::new();
        if let Some(Known { log, file, own_word }) = self.known.get(&id) {
            for contact in [log, file, own_word] {
                if !contact.peer.is_empty() && !addresses.contains(&contact.peer) {
                    addresses.push(contact.peer.clone());
                }
            }
        }
        addresses
    }
}
