//! From a wish to the configuration that fulfils it.

use std::collections::{BTreeMap, BTreeSet};

use raft_api::{MEMBERS_MAX, address};

use super::{Configuration, Member, MemberRole};

/// One wish. Each member can have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Be a member with this role; for a member, have this role from now on.
    Add(Member),
    /// Be no member any more.
    Remove(u64),
    /// Of a learner: be a voter.
    Promote(u64),
    /// Of a voter: be a learner.
    Demote(u64),
}

/// Why a wish makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Ids begin at 1.
    #[error("0 is not a node id")]
    NoId,
    /// Two wishes for one member.
    #[error("n{0} is named twice")]
    Twice(u64),
    /// There is nobody of this number to remove, promote or demote.
    #[error("n{0} is not a member")]
    NotAMember(u64),
    /// It is that already.
    #[error("n{id} is a {role} already")]
    AlreadyThat {
        /// The member.
        id: u64,
        /// Its role, now and as wished for.
        role: MemberRole,
    },
    /// Nothing can be made of a joint configuration: it is about to pass.
    #[error("another change is under way")]
    UnderWay,
    /// Nobody would be left to decide anything.
    #[error("no voter would be left")]
    NoVoter,
    /// More than a cluster may have.
    #[error("{count} members are more than the {MEMBERS_MAX} a cluster may have")]
    TooMany {
        /// How many there would be.
        count: usize,
    },
    /// Nobody could be reached there.
    #[error("n{id}: {why}")]
    BadAddress {
        /// The member.
        id: u64,
        /// What is wrong with it, and what it is.
        why: String,
    },
    /// Two members, or two services of one, would listen at the same place.
    #[error("n{first} and n{second} would share the address {addr}")]
    SharedAddress {
        /// The one.
        first: u64,
        /// The other, or the same.
        second: u64,
        /// Where.
        addr: String,
    },
}

impl Edit {
    fn id(&self) -> u64 {
        match self {
            Self::Add(member) => member.id,
            Self::Remove(id) | Self::Promote(id) | Self::Demote(id) => *id,
        }
    }
}

/// The members after these wishes. `base` is not to be a joint configuration.
pub fn edited(base: &Configuration, edits: &[Edit]) -> Result<Vec<Member>, PlanError> {
    let mut named = BTreeSet::new();
    if let Some(edit) = edits.iter().find(|edit| !named.insert(edit.id())) {
        return Err(PlanError::Twice(edit.id()));
    }
    let mut members: BTreeMap<u64, Member> =
        base.members.iter().map(|member| (member.id, member.clone())).collect();
    for edit in edits {
        match edit {
            Edit::Add(new) => {
                let (id, role) = (new.id, new.role);
                let before = members.get(&id);
                if before.is_some_and(|before| before.role == role) {
                    return Err(PlanError::AlreadyThat { id, role });
                }
                let member = before.map_or_else(|| new.clone(), |old| new.completed_from(old));
                members.insert(id, member);
            }
            Edit::Remove(id) => {
                members.remove(id).ok_or(PlanError::NotAMember(*id))?;
            }
            Edit::Promote(id) => cast(&mut members, *id, MemberRole::Voter)?,
            Edit::Demote(id) => cast(&mut members, *id, MemberRole::Learner)?,
        }
    }
    let members: Vec<Member> = members.into_values().collect();
    check(&members)?;
    Ok(members)
}

fn cast(members: &mut BTreeMap<u64, Member>, id: u64, role: MemberRole) -> Result<(), PlanError> {
    let member = members.get_mut(&id).ok_or(PlanError::NotAMember(id))?;
    if member.role == role {
        return Err(PlanError::AlreadyThat { id, role });
    }
    member.role = role;
    Ok(())
}

/// Whether a cluster could consist of these members.
pub(super) fn check(members: &[Member]) -> Result<(), PlanError> {
    if MEMBERS_MAX < members.len() {
        return Err(PlanError::TooMany { count: members.len() });
    }
    let mut ids = BTreeSet::new();
    let mut places: BTreeMap<String, u64> = BTreeMap::new();
    for member in members {
        if member.id == 0 {
            return Err(PlanError::NoId);
        }
        if !ids.insert(member.id) {
            return Err(PlanError::Twice(member.id));
        }
        if member.role == MemberRole::Outgoing {
            return Err(PlanError::UnderWay);
        }
        for addr in member.addresses().into_iter().filter(|addr| !addr.is_empty()) {
            let bad = |why| PlanError::BadAddress { id: member.id, why };
            address::check(addr).map_err(bad)?;
            let place = addr.to_ascii_lowercase().replace("localhost:", "127.0.0.1:");
            if let Some(first) = places.insert(place, member.id) {
                let (second, addr) = (member.id, addr.to_owned());
                return Err(PlanError::SharedAddress { first, second, addr });
            }
        }
    }
    if members.iter().any(|member| member.role == MemberRole::Voter) {
        Ok(())
    } else {
        Err(PlanError::NoVoter)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{configuration, member, members};
    use super::*;

    fn base() -> Configuration {
        configuration(members(&[1, 2, 3], &[4], &[]), false)
    }

    fn add(id: u64, role: MemberRole) -> Edit {
        Edit::Add(member(id, role))
    }

    #[test]
    fn wishes_are_fulfilled_together() {
        let edits = [add(5, MemberRole::Voter), Edit::Remove(2), Edit::Promote(4), Edit::Demote(3)];
        assert_eq!(edited(&base(), &edits), Ok(members(&[1, 4, 5], &[3], &[])));
        assert_eq!(edited(&base(), &[]), Ok(base().members));
        let all = [1, 2, 3].map(Edit::Remove);
        let new = [5, 6, 7].map(|id| add(id, MemberRole::Voter));
        let swapped = edited(&base(), &[&all[..], &new].concat());
        assert_eq!(swapped, Ok(members(&[5, 6, 7], &[4], &[])));
    }

    /// A newcomer that did not catch up in time is a learner: to add it again makes it a voter.
    #[test]
    fn adding_a_learner_as_a_voter_promotes_it() {
        let bare = Member { peer: String::new(), ..member(4, MemberRole::Voter) };
        let voters = members(&[1, 2, 3, 4], &[], &[]);
        assert_eq!(edited(&base(), &[Edit::Add(bare)]), Ok(voters));
    }

    #[test]
    fn senseless_wishes_are_told_apart() {
        let (voter, learner) = (MemberRole::Voter, MemberRole::Learner);
        let shared = Member { http: "LOCALHOST:7103".to_owned(), ..member(5, voter) };
        let inward = Member { http: "127.0.0.1:7005".to_owned(), ..member(5, voter) };
        let table = [
            (vec![Edit::Remove(9)], PlanError::NotAMember(9)),
            (vec![Edit::Promote(9)], PlanError::NotAMember(9)),
            (vec![Edit::Demote(9)], PlanError::NotAMember(9)),
            (vec![Edit::Promote(1)], PlanError::AlreadyThat { id: 1, role: voter }),
            (vec![Edit::Demote(4)], PlanError::AlreadyThat { id: 4, role: learner }),
            (vec![add(1, voter)], PlanError::AlreadyThat { id: 1, role: voter }),
            (vec![add(4, learner)], PlanError::AlreadyThat { id: 4, role: learner }),
            (vec![Edit::Remove(2), Edit::Demote(2)], PlanError::Twice(2)),
            (vec![add(2, voter), Edit::Remove(2)], PlanError::Twice(2)),
            (vec![add(0, voter)], PlanError::NoId),
            ([1, 2, 3].map(Edit::Remove).to_vec(), PlanError::NoVoter),
            ([1, 2, 3].map(Edit::Demote).to_vec(), PlanError::NoVoter),
            (
                vec![Edit::Add(shared)],
                PlanError::SharedAddress { first: 3, second: 5, addr: "LOCALHOST:7103".to_owned() },
            ),
            (
                vec![Edit::Add(inward)],
                PlanError::SharedAddress { first: 5, second: 5, addr: "127.0.0.1:7005".to_owned() },
            ),
        ];
        for (edits, expected) in table {
            assert_eq!(edited(&base(), &edits), Err(expected), "{edits:?}");
        }
    }
}
