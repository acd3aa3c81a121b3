//! The words of the protocol: ids, terms, indexes, entries, members.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use crate::membership::{Membership, SeatId};

/// Identifies a member for the life of a cluster. Shown as `n3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// Identifies a cluster, so that a message meant for another one is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

/// Drawn at random when a data directory is created. A node whose disk was wiped comes back under
/// the same [`NodeId`] with another incarnation, and so cannot pass for the member that promised
/// something on the old disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

/// A leadership epoch (§5.1). Terms only grow; 0 is "before the first election".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

/// A position in the log, from 1; 0 is "before the first entry".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(pub u64);

/// An entry's identity. Ordered by term first, then index: the order in which one log is "at least
/// as up-to-date" as another (§5.4.1). Shown as `index@term`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The term of the leader that appended the entry.
    pub term: Term,
    /// Its position.
    pub index: Index,
}

/// A point on the driver's monotonic clock, in microseconds since a start of its choosing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(pub u64);

/// Names a client's request between the driver and the core. The core never looks inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its identity.
    pub id: LogId,
    /// What it carries.
    pub payload: Payload,
}

/// What an entry carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Opens a leader's term, so that something of its own term can be committed (§8).
    Noop,
    /// A command for the state machine. Opaque to the core.
    Data(Bytes),
    /// A configuration: active from the moment it is appended (§4.1 of the dissertation).
    Config(Box<Membership>),
}

/// What must survive a crash besides the log (Figure 2): promises made to others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The latest term this node has seen.
    pub term: Term,
    /// The candidate this node voted for in `term`.
    pub vote: Option<NodeId>,
    /// The incarnation under which each member has first been met. One that shows another has lost
    /// its disk, and its promises with it.
    pub peers: BTreeMap<SeatId, Incarnation>,
}

/// Describes a snapshot: everything up to and including `last` is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The last entry the snapshot covers.
    pub last: LogId,
    /// The membership as of `last`.
    pub membership: Box<Membership>,
    /// Length of the snapshot in bytes.
    pub size: u64,
    /// Checksum of those bytes (CRC32C).
    pub checksum: u32,
}

impl LogId {
    /// Before the first entry.
    pub const ZERO: Self = Self { term: Term(0), index: Index(0) };

    /// The entry at `index` of `term`.
    pub fn new(term: Term, index: Index) -> Self {
        Self { term, index }
    }
}

impl Term {
    /// The term after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Index {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The position before this one; 0 stays 0.
    #[must_use]
    pub fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl Instant {
    /// The point `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// What index, term, kind and length of an entry take in any encoding.
const ENTRY_OVERHEAD: usize = 32;

impl Entry {
    /// An estimate of the entry's cost in memory, on the wire and on disk, in bytes. Used on every
    /// path that adds to or takes from a quota, so that the two can never disagree.
    pub fn size(&self) -> usize {
        let body = match &self.payload {
            Payload::Noop => 0,
            Payload::Data(data) => data.len(),
            Payload::Config(membership) => membership.size(),
        };
        ENTRY_OVERHEAD.saturating_add(body)
    }

    /// The same for a command of this length.
    pub(crate) fn size_of_data(len: usize) -> usize {
        ENTRY_OVERHEAD.saturating_add(len)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}
