//! What a node wants done.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::entries::Entries;
use crate::membership::Membership;
use crate::message::Message;
use crate::types::{
    Entry, HardState, Incarnation, Index, LogId, NodeId, SnapshotMeta, Term, Token,
};

/// What the driver must do, in the order of the fields: a driver that walks them top to bottom is
/// correct.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Messages that promise nothing about the own disk (a leader's appends, heartbeats and their
    /// answers, questions), or whose promise is durable already. They travel while the disk works
    /// (dissertation §10.2.1).
    pub send: Vec<Message>,
    /// What to make durable, and what to send afterwards. One writer takes these in `seq` order; it
    /// may merge several into one write and one sync, and reports the last.
    pub persist: Option<Persist>,
    /// Committed entries and installed snapshots, in log order, for the state machine.
    pub apply: Vec<Apply>,
    /// Reads that may be served once the given index is applied.
    pub reads: Vec<ReadReady>,
    /// Changes of membership and leadership that are complete.
    pub done: Vec<Token>,
    /// Requests that came to an end without an entry to apply.
    pub refused: Vec<(Token, Refusal)>,
    /// Work on snapshot files.
    pub snapshots: Vec<SnapshotCommand>,
    /// What happened, for logs and metrics.
    pub events: Vec<Event>,
}

impl Effects {
    /// Moves all of it to `other`, whose memory stays here. What was there is forgotten.
    pub(crate) fn move_to(&mut self, other: &mut Self) {
        let Self { send, persist, apply, reads, done, refused, snapshots, events } = self;
        exchange(send, &mut other.send);
        if persist.is_some() || other.persist.is_some() {
            other.persist = persist.take();
        }
        exchange(apply, &mut other.apply);
        exchange(reads, &mut other.reads);
        exchange(done, &mut other.done);
        exchange(refused, &mut other.refused);
        exchange(snapshots, &mut other.snapshots);
        exchange(events, &mut other.events);
    }
}

/// Moves a list to a place whose memory is used again. Mostly both are empty.
fn exchange<T>(from: &mut Vec<T>, to: &mut Vec<T>) {
    if !to.is_empty() {
        to.clear();
    }
    if !from.is_empty() {
        core::mem::swap(from, to);
    }
}

/// Memory of lists that the driver has left in the effects it took before: most are short, and one is
/// needed for each write and each commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spare {
    pub(crate) messages: Vec<Message>,
    pub(crate) tokens: Vec<(Index, Token)>,
}

impl Spare {
    /// What is in the lists is forgotten.
    pub(crate) fn take_from(&mut self, effects: &mut Effects) {
        if let Some(persist) = &mut effects.persist {
            self.messages = core::mem::take(&mut persist.then_send);
            self.messages.clear();
        }
        if let Some(Apply::Entries(committed)) = effects.apply.first_mut() {
            self.tokens = core::mem::take(&mut committed.tokens);
            self.tokens.clear();
        }
    }
}

/// A write to the log file. The order inside is: install, truncate, hard state, entries; all of it
/// or nothing survives a crash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Persist {
    /// Grows by one each time.
    pub seq: u64,
    /// A snapshot that replaces the whole log up to `last`, and beyond it unless the log continues
    /// it. Its file is durable already.
    pub install: Option<SnapshotMeta>,
    /// A snapshot that was built here; entries up to `Compact::first_kept` are no longer needed.
    pub compact: Option<Compact>,
    /// Entries from this index on are void.
    pub truncate_from: Option<Index>,
    /// Term, vote and known peers, if they changed.
    pub hard_state: Option<HardState>,
    /// Entries to append, contiguous.
    pub entries: Entries,
    /// Messages to send once all of this and of every earlier persist is durable.
    pub then_send: Vec<Message>,
}

/// The log may be shortened at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compact {
    /// The snapshot that covers what is given up.
    pub snapshot: SnapshotMeta,
    /// The first entry that is still wanted.
    pub first_kept: Index,
}

/// Something for the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apply {
    /// Committed entries.
    Entries(Committed),
    /// Replace the whole state by this snapshot.
    Install(SnapshotMeta),
}

/// Committed entries, and whose requests they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The entries.
    pub entries: Entries,
    /// The requests to answer with the results, by ascending index: those that came from here.
    pub tokens: Vec<(Index, Token)>,
}

impl Committed {
    /// The entries in log order, each with the request to answer with its result.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (&Entry, Option<Token>)> {
        let mut tokens = self.tokens.iter().peekable();
        self.entries.iter().map(move |entry| {
            let asked = tokens.next_if(|(index, _)| *index == entry.id.index);
            (entry, asked.map(|(_, token)| *token))
        })
    }
}

/// A read whose place in the order is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadReady {
    /// The request.
    pub token: Token,
    /// Serve it from a state that has applied at least this.
    pub index: Index,
}

/// Why a request was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This node does not lead, and did nothing. Try the leader, if it is known.
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// Too much is waiting to be committed or applied; nothing was done.
    Overloaded,
    /// The leadership ended meanwhile: what was asked for may or may not take effect.
    Unknown,
    /// The leader is handing over; nothing was done. Try again in a moment.
    Transferring {
        /// To whom.
        to: NodeId,
    },
    /// The membership stays as it is, or as far as the change had come.
    Membership(MembershipRefusal),
    /// The leader stays.
    Transfer(TransferRefusal),
}

/// Why a membership does not change, or not further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipRefusal {
    /// No voter would be left, or somebody would be voter and learner.
    Senseless,
    /// More than [`MEMBERS_MAX`](crate::MEMBERS_MAX) would be members.
    TooMany,
    /// Nothing of the leader's own term is committed yet: try again in a moment.
    TooEarly,
    /// Another change is under way.
    InProgress,
    /// The membership is not the one that the wish was made up from.
    Changed,
    /// No quorum of the new membership has been heard from lately.
    Unreachable,
    /// This new voter does not catch up, or is silent. It stays a learner.
    Behind {
        /// Who.
        id: NodeId,
    },
}

/// Why the leader does not hand over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferRefusal {
    /// It is handing over to somebody already.
    InProgress,
    /// The one that was named is no voter, or ceased to be one.
    NotAVoter,
    /// The one that was named has not been heard from lately.
    Silent,
    /// The one that was named lacks too much of the log.
    Behind,
    /// The disk of the one that was named stalls.
    Slow,
    /// There is nobody who could take over.
    Nobody,
    /// The one that was named did not take over in time. The leader goes on.
    TimedOut,
}

/// Work on snapshot files, to be done beside the log's writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotCommand {
    /// Read a piece of the own snapshot; answer with `Input::SnapshotRead`.
    Read {
        /// The peer it is for.
        to: NodeId,
        /// The snapshot.
        meta: SnapshotMeta,
        /// Where to begin, in bytes.
        offset: u64,
        /// How many bytes at most.
        len: usize,
    },
    /// Put a piece into the staging file of this snapshot; answer with `Input::SnapshotStaged`. A
    /// piece at another offset than the file's end, or with a wrong checksum, is not written, and
    /// answered with that end. The file of any other snapshot is given up.
    Stage {
        /// The snapshot.
        meta: SnapshotMeta,
        /// Where the piece belongs.
        offset: u64,
        /// The piece.
        data: Bytes,
        /// Its CRC32C.
        checksum: u32,
    },
}

/// What happened, for logs, metrics and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The node's role or term changed.
    Became {
        /// The role.
        role: RoleName,
        /// The term.
        term: Term,
    },
    /// The node learnt who leads its term, or that it does not know.
    LeaderChanged {
        /// The leader.
        leader: Option<NodeId>,
        /// The term.
        term: Term,
    },
    /// The leader gave up because it did not hear from a majority (CheckQuorum).
    QuorumLost,
    /// The node wants to be elected.
    Campaigning {
        /// Why.
        cause: ElectionCause,
        /// The term it would lead.
        term: Term,
    },
    /// The leader's process is gone: its connection broke, and another was refused.
    LeaderLost {
        /// The leader.
        leader: NodeId,
        /// The term it leads.
        term: Term,
    },
    /// The leader begins to hand over.
    Transferring {
        /// To whom.
        to: NodeId,
    },
    /// The leader gave up handing over.
    TransferFailed {
        /// To whom it tried.
        to: NodeId,
        /// What was wrong.
        reason: TransferRefusal,
    },
    /// The own disk has not finished a write for an election timeout.
    DiskStalled,
    /// A peer says that this node is no member any more: it will not campaign again, unless a leader
    /// speaks to it.
    Removed {
        /// The peer.
        by: NodeId,
        /// A committed entry as of which it is not.
        as_of: LogId,
    },
    /// Entries that conflicted with the leader's were cut.
    Truncated {
        /// The first index cut.
        from: Index,
    },
    /// The active configuration changed.
    MembershipChanged {
        /// The new one.
        membership: Membership,
    },
    /// A message was not believed.
    Dropped {
        /// Who sent it, or claims to have.
        from: NodeId,
        /// What was wrong.
        reason: DropReason,
    },
    /// A peer says that this node lost its disk: it may not act as the member it was.
    Stranger {
        /// The peer.
        by: NodeId,
        /// The incarnation it knows this node under.
        known: Incarnation,
    },
    /// A snapshot is being sent to a peer that needs entries which are no longer in the log.
    SnapshotStarted {
        /// The peer.
        to: NodeId,
        /// The last entry of the snapshot.
        last: LogId,
    },
    /// A snapshot from the leader replaced the own state.
    SnapshotInstalled {
        /// The last entry of the snapshot.
        last: LogId,
    },
}

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// It names another cluster.
    WrongCluster,
    /// It is meant for another node.
    WrongRecipient,
    /// It claims to come from this node.
    FromSelf,
    /// Its sender is no member and the message needs one.
    NotAMember,
    /// Its sender's incarnation is not the known one.
    WrongIncarnation,
    /// Its parts do not fit together, or no elections could have led to its term.
    Malformed,
    /// It contradicts what is known to be committed, or a second leader speaks in one term.
    Contradiction,
    /// It comes from a leader that knows this member by another disk than this node does. One of the
    /// two disks has forgotten what the member promised.
    OtherDisk {
        /// Whose disk.
        of: NodeId,
    },
    /// The leader knows that this node held entries which are not here: its disk is an older copy of
    /// itself, or a new one.
    Forgotten,
}

/// What makes a node want to be elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionCause {
    /// No leader spoke for an election timeout.
    Timeout,
    /// The leader's process is known to be gone.
    LeaderLost,
    /// The leader hands over.
    Transfer,
    /// It was told that it is removed, and asks whether that still holds.
    Doubt,
}

/// A role without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleName {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it could win an election.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}
