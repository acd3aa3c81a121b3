//! Who the members are, how that shall change, and the change itself.

mod change;
mod look;
mod plan;

use std::collections::BTreeMap;
use std::fmt;

use raft_api::pb;

pub use change::{ChangeError, Changed, MembershipChange, Refused, Safeguards};
pub use look::Lagging;
pub use plan::{Edit, PlanError, edited};

/// The part of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberRole {
    /// Counts for majorities.
    Voter,
    /// Receives everything and counts for nothing.
    Learner,
    /// A voter that a joint configuration is about to remove, or to make a learner.
    Outgoing,
}

/// A member and where it listens, each as `host:port`, or empty where that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub id: u64,
    /// Its part.
    pub role: MemberRole,
    /// For other members.
    pub peer: String,
    /// For clients.
    pub client: String,
    /// For health and metrics.
    pub http: String,
}

/// The configuration as a leader knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The cluster's name.
    pub cluster: String,
    /// Everybody, by ascending number.
    pub members: Vec<Member>,
    /// Whether it is a joint one, between an old and a new one.
    pub is_joint: bool,
    /// The leader, in the words of the node that told it; 0 if it knew none.
    pub leader: u64,
    /// That node's term.
    pub term: u64,
}

/// What happens to one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It stays as it is.
    Same(Member),
    /// It is new.
    Added(Member),
    /// It goes.
    Removed(Member),
    /// It stays with another role or other addresses.
    Altered {
        /// How it was.
        before: Member,
        /// How it is to be.
        after: Member,
    },
}

impl Difference {
    /// Whether something happens.
    pub fn is_change(&self) -> bool {
        !matches!(self, Self::Same(_))
    }
}

impl fmt::Display for MemberRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Voter => "voter",
            Self::Learner => "learner",
            Self::Outgoing => "outgoing",
        })
    }
}

impl Member {
    /// Peer, client and http address.
    pub fn addresses(&self) -> [&str; 3] {
        [&self.peer, &self.client, &self.http]
    }

    /// What is not said of the addresses is as it was.
    fn completed_from(&self, before: &Self) -> Self {
        let or = |new: &String, old: &String| if new.is_empty() { old } else { new }.clone();
        Self {
            id: self.id,
            role: self.role,
            peer: or(&self.peer, &before.peer),
            client: or(&self.client, &before.client),
            http: or(&self.http, &before.http),
        }
    }
}

impl Configuration {
    /// The member of this number.
    pub fn member(&self, id: u64) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }
}

impl From<pb::GetConfigurationResponse> for Configuration {
    fn from(answer: pb::GetConfigurationResponse) -> Self {
        let mut members: Vec<Member> = answer.members.into_iter().map(member_of_wire).collect();
        members.sort_by_key(|member| member.id);
        Self {
            cluster: answer.cluster,
            members,
            is_joint: answer.joint,
            leader: answer.leader_id,
            term: answer.term,
        }
    }
}

/// What is different in `target`, member by member.
pub fn differences(base: &[Member], target: &[Member]) -> Vec<Difference> {
    let mut pairs: BTreeMap<u64, [Option<&Member>; 2]> = BTreeMap::new();
    for (place, list) in [base, target].into_iter().enumerate() {
        for member in list {
            pairs.entry(member.id).or_default()[place] = Some(member);
        }
    }
    let difference = |pair: [Option<&Member>; 2]| match pair {
        [Some(before), Some(after)] => {
            let after = Member::completed_from(after, before);
            if *before == after {
                Some(Difference::Same(after))
            } else {
                Some(Difference::Altered { before: before.clone(), after })
            }
        }
        [Some(before), None] => Some(Difference::Removed(before.clone())),
        [None, Some(after)] => Some(Difference::Added(after.clone())),
        [None, None] => None,
    };
    pairs.into_values().filter_map(difference).collect()
}

fn member_of_wire(member: pb::Member) -> Member {
    let role = match member.role() {
        pb::MemberRole::Voter => MemberRole::Voter,
        pb::MemberRole::Learner => MemberRole::Learner,
        pb::MemberRole::Outgoing => MemberRole::Outgoing,
    };
    let pb::Member { id, peer_addr, client_addr, http_addr, .. } = member;
    Member { id, role, peer: peer_addr, client: client_addr, http: http_addr }
}

fn member_to_wire(member: &Member) -> pb::Member {
    let role = match member.role {
        MemberRole::Voter => pb::MemberRole::Voter,
        MemberRole::Learner => pb::MemberRole::Learner,
        MemberRole::Outgoing => pb::MemberRole::Outgoing,
    };
    pb::Member {
        id: member.id,
        peer_addr: member.peer.clone(),
        client_addr: member.client.clone(),
        role: role.into(),
        http_addr: member.http.clone(),
    }
}

/// Configurations for the tests of this module's parts.
#[cfg(test)]
mod samples {
    use super::{Configuration, Member, MemberRole};

    pub(super) fn member(id: u64, role: MemberRole) -> Member {
        let addr = |offset: u64| format!("127.0.0.1:{}", 7000 + offset + id);
        Member { id, role, peer: addr(0), client: addr(100), http: addr(200) }
    }

    pub(super) fn members(voters: &[u64], learners: &[u64], outgoing: &[u64]) -> Vec<Member> {
        let of = |ids: &[u64], role| ids.iter().map(|&id| member(id, role)).collect::<Vec<_>>();
        let mut all = of(voters, MemberRole::Voter);
        all.extend(of(learners, MemberRole::Learner));
        all.extend(of(outgoing, MemberRole::Outgoing));
        all.sort_by_key(|member| member.id);
        all
    }

    pub(super) fn configuration(members: Vec<Member>, is_joint: bool) -> Configuration {
        Configuration { cluster: "test".to_owned(), members, is_joint, leader: 1, term: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{member, members};
    use super::*;

    #[test]
    fn every_member_of_either_side_is_accounted_for() {
        let base = members(&[1, 2], &[3], &[]);
        let mut target = members(&[1, 3, 4], &[], &[]);
        let found = differences(&base, &target);
        let [one, two, three, four] = &*found else { panic!("{found:?}") };
        assert_eq!(*one, Difference::Same(base[0].clone()));
        assert_eq!(*two, Difference::Removed(base[1].clone()));
        let after = member(3, MemberRole::Voter);
        assert_eq!(*three, Difference::Altered { before: base[2].clone(), after });
        assert_eq!(*four, Difference::Added(target[2].clone()));
        // An address that is not said stays; another one is a change.
        target[0].http.clear();
        assert_eq!(differences(&base, &target)[0], *one);
        target[0].peer = "10.0.0.1:7001".to_owned();
        assert!(differences(&base, &target)[0].is_change());
    }
}
