//! How a member is reached, as the log keeps it, and members as the wire shows them.

use bytes::Bytes;
use prost::Message as _;
use raft_core::{LogId, Membership, NodeId, Seat};

use crate::address;
use crate::pb;
use crate::pb::MemberRole;

/// Where a member listens, each as `host:port`, or empty where that is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// For other members.
    pub peer: String,
    /// For clients.
    pub client: String,
    /// For health and metrics.
    pub http: String,
}

/// Why a list of members is no membership.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    /// Ids begin at 1.
    #[error("0 is not a node id")]
    NoId,
    /// One member has one role.
    #[error("node {0} is in the list twice")]
    Twice(u64),
    /// A role that comes and goes by itself, or one that a later version invented.
    #[error("node {0} can be a voter or a learner")]
    Role(u64),
    /// Nobody could be reached there.
    #[error("node {id}: {why}")]
    Address {
        /// The member.
        id: u64,
        /// What is wrong with the address, and what it is.
        why: String,
    },
}

impl Contact {
    /// The bytes that the core carries. Nothing at all, if nothing is known.
    pub fn encode(&self) -> Bytes {
        pb::Contact::from(self.clone()).encode_to_vec().into()
    }

    /// Whether what is known are addresses.
    pub fn check(&self) -> Result<(), String> {
        let given = [&self.peer, &self.client, &self.http].into_iter().filter(|it| !it.is_empty());
        given.into_iter().try_for_each(|it| address::check(it))
    }

    /// What such bytes mean; what cannot be read is not known.
    pub fn decode(bytes: &Bytes) -> Self {
        pb::Contact::decode(bytes.clone()).unwrap_or_default().into()
    }
}

impl From<pb::Contact> for Contact {
    fn from(pb::Contact { peer, client, http }: pb::Contact) -> Self {
        Self { peer, client, http }
    }
}

impl From<Contact> for pb::Contact {
    fn from(Contact { peer, client, http }: Contact) -> Self {
        Self { peer, client, http }
    }
}

/// The members as the wire shows them.
pub fn members_to_wire(membership: &Membership) -> Vec<pb::Member> {
    let member = |id: NodeId| {
        let role = if membership.voters.contains(&id) {
            MemberRole::Voter
        } else if membership.outgoing.contains(&id) {
            MemberRole::Outgoing
        } else {
            MemberRole::Learner
        };
        let Contact { peer, client, http } = Contact::decode(&membership.contact(id));
        pb::Member {
            id: id.0,
            peer_addr: peer,
            client_addr: client,
            role: role.into(),
            http_addr: http,
        }
    };
    membership.members().into_iter().map(member).collect()
}

/// A membership that is said to be there: members and roles. Addresses are not looked at.
pub fn roles_from_wire(members: Vec<pb::Member>) -> Result<Membership, MembersError> {
    let bare = |pb::Member { id, role, .. }| pb::Member { id, role, ..pb::Member::default() };
    members_from_wire(members.into_iter().map(bare).collect())
}

/// A membership to be had, as the wire shows it.
pub fn members_from_wire(members: Vec<pb::Member>) -> Result<Membership, MembersError> {
    let mut membership = Membership::default();
    for pb::Member { id, peer_addr: peer, client_addr: client, role, http_addr: http } in members {
        let node = NodeId(id);
        if id == 0 {
            return Err(MembersError::NoId);
        }
        if membership.contains(node) {
            return Err(MembersError::Twice(id));
        }
        match MemberRole::try_from(role) {
            Ok(MemberRole::Voter) => membership.voters.insert(node),
            Ok(MemberRole::Learner) => membership.learners.insert(node),
            Ok(MemberRole::Outgoing) | Err(_) => return Err(MembersError::Role(id)),
        };
        let contact = Contact { peer, client, http };
        contact.check().map_err(|why| MembersError::Address { id, why })?;
        let contact = contact.encode();
        membership.seats.insert(node, Seat { since: LogId::ZERO, contact });
    }
    Ok(membership)
}
