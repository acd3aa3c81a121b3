//! Who belongs to the cluster, and how one configuration becomes another.

use alloc::collections::{BTreeMap, BTreeSet};
use core::fmt;

use bytes::Bytes;

use crate::types::{LogId, NodeId};

/// How many members a cluster may have, in all roles. A leader speaks to each of them several times a
/// second and keeps a window of messages for each, and every commit sorts the voters: with thousands
/// nobody would lead. Between an old and a new configuration there may be twice as many.
pub const MEMBERS_MAX: usize = 31;

/// Who votes and who listens. During a joint change `outgoing` holds the old voters, and every
/// decision needs a majority of both sets (§6). A voter that is to become a learner is in `outgoing`
/// and `learners` meanwhile, and still votes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Membership {
    /// The voters, in a joint configuration the incoming ones.
    pub voters: BTreeSet<NodeId>,
    /// The outgoing voters of a joint configuration; empty otherwise.
    pub outgoing: BTreeSet<NodeId>,
    /// Members that receive the log but do not vote.
    pub learners: BTreeSet<NodeId>,
    /// What else is known of members. One that is missing here has been there from the beginning,
    /// and cannot be reached by what the log says.
    pub seats: BTreeMap<NodeId, Seat>,
}

/// What a configuration knows of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seat {
    /// The entry that made it a member; zero for those the cluster began with. An id that is removed
    /// and added again is another member than before.
    pub since: LogId,
    /// How to reach it, as its driver understands it. Opaque to the core.
    pub contact: Bytes,
}

/// One stay of an id in the cluster. What was promised during an earlier stay binds nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeatId {
    /// The member.
    pub node: NodeId,
    /// The entry that made it a member. Its index alone would not do: the entry can be lost at a change
    /// of leader, and another in its place add the id again.
    pub since: LogId,
}

impl Membership {
    /// A plain configuration of these voters.
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Self {
        Self { voters: voters.into_iter().collect(), ..Self::default() }
    }

    /// Whether `id` may vote and be elected.
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.voters.contains(&id) || self.outgoing.contains(&id)
    }

    /// Whether `id` belongs to the configuration in any role.
    pub fn contains(&self, id: NodeId) -> bool {
        self.is_voter(id) || self.learners.contains(&id)
    }

    /// Everybody in the configuration, each once.
    pub fn members(&self) -> BTreeSet<NodeId> {
        let mut all = self.voters.clone();
        all.extend(&self.outgoing);
        all.extend(&self.learners);
        all
    }

    /// Whether decisions need two majorities.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Number of ids in all three lists.
    pub fn len(&self) -> usize {
        self.voters.len().saturating_add(self.outgoing.len()).saturating_add(self.learners.len())
    }

    /// Whether nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The present stay of a member; none if `id` is not a member.
    pub fn seat_id(&self, id: NodeId) -> Option<SeatId> {
        self.contains(id).then(|| SeatId { node: id, since: self.since(id) })
    }

    /// How to reach a member; empty if that is not known.
    pub fn contact(&self, id: NodeId) -> Bytes {
        self.seats.get(&id).map(|seat| seat.contact.clone()).unwrap_or_default()
    }

    /// Whether the same members have the same roles. What else is known of them is not compared.
    pub fn has_roles_of(&self, other: &Self) -> bool {
        (&self.voters, &self.outgoing, &self.learners)
            == (&other.voters, &other.outgoing, &other.learners)
    }

    /// Whether everybody here has the seat that `other` gives it.
    pub(crate) fn seats_agree(&self, other: &Self) -> bool {
        let seat = |of: &Self, id| (of.since(id), of.contact(id));
        self.members().into_iter().all(|id| seat(self, id) == seat(other, id))
    }

    fn since(&self, id: NodeId) -> LogId {
        self.seats.get(&id).map(|seat| seat.since).unwrap_or_default()
    }

    /// An estimate of its cost in memory, on the wire and on disk, in bytes.
    pub(crate) fn size(&self) -> usize {
        let contacts = self.seats.values().map(|seat| 32 + seat.contact.len()).sum::<usize>();
        contacts.saturating_add(self.len().saturating_mul(8))
    }

    /// Whether a change could ask for this: there is a voter, and nobody has two roles.
    pub(crate) fn is_plain(&self) -> bool {
        !self.voters.is_empty() && !self.is_joint() && self.voters.is_disjoint(&self.learners)
    }

    /// This configuration with the members of `target` that are new in it as learners, so that they
    /// can catch up before they count. The entry that says so will be `entry`.
    pub(crate) fn with_newcomers(&self, target: &Self, entry: LogId) -> Self {
        let mut staged = self.clone();
        staged.learners.extend(target.members().difference(&self.members()));
        staged.with_seats_of(target, self, entry)
    }

    /// The joint configuration on the way from this one to `target` (§6).
    pub(crate) fn joint_with(&self, target: &Self, entry: LogId) -> Self {
        let mut joint = target.clone();
        joint.outgoing.clone_from(&self.voters);
        joint.with_seats_of(target, self, entry)
    }

    /// `target` as the configuration that follows this one.
    pub(crate) fn replaced_by(&self, target: &Self, entry: LogId) -> Self {
        target.clone().with_seats_of(target, self, entry)
    }

    /// What follows a joint configuration: the old voters go, but for those that stay as learners.
    pub(crate) fn left(&self) -> Self {
        let mut plain = self.clone();
        plain.outgoing.clear();
        let members = plain.members();
        plain.seats.retain(|id, _| members.contains(id));
        plain
    }

    /// Seats for everybody here: contacts as `target` has them, or else as they were; stays go on,
    /// and begin with `entry` for newcomers.
    fn with_seats_of(mut self, target: &Self, before: &Self, entry: LogId) -> Self {
        let members = self.members();
        let seat = |&id: &NodeId| {
            let since = if before.contains(id) { before.since(id) } else { entry };
            let contact = target.contact(id);
            let contact = if contact.is_empty() { before.contact(id) } else { contact };
            (id, Seat { since, contact })
        };
        self.seats = members.iter().map(seat).collect();
        self
    }
}

impl fmt::Display for SeatId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.since == LogId::ZERO {
            return self.node.fmt(f);
        }
        write!(f, "{}(since {})", self.node, self.since)
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list(f, "", &self.voters)?;
        if !self.outgoing.is_empty() {
            list(f, " leaving ", &self.outgoing)?;
        }
        if !self.learners.is_empty() {
            list(f, " learners ", &self.learners)?;
        }
        Ok(())
    }
}

fn list(f: &mut fmt::Formatter<'_>, title: &str, ids: &BTreeSet<NodeId>) -> fmt::Result {
    f.write_str(title)?;
    for (position, id) in ids.iter().enumerate() {
        write!(f, "{}{id}", if position == 0 { "" } else { "," })?;
    }
    Ok(())
}
