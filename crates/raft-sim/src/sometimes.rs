//! What must happen sometimes. A batch of runs in which one of these never happened has not tested
//! what it claims to test.

use std::collections::BTreeMap;
use std::fmt;

macro_rules! sometimes {
    ($($(#[doc = $doc:expr])+ $name:ident = $text:expr,)+) => {
        /// Something that must happen in some of the runs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Mark {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mark {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// What happened, in words.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

sometimes! {
    /// A node became leader.
    Elected = "leaders elected",
    /// Two nodes campaigned in one term.
    SplitVote = "split votes",
    /// A node that followed one leader follows another.
    LeaderChanged = "leader changes",
    /// A leader gave up because it heard no majority.
    QuorumLost = "leaders that gave up for lack of a quorum",
    /// A follower cut entries that contradicted the leader's.
    Truncated = "conflicting entries cut",
    /// A leader began to send a snapshot.
    SnapshotSent = "snapshots sent",
    /// What had been cut was less than what came in its place.
    Regrown = "logs that outgrew what was cut from them",
    /// A follower installed a snapshot.
    SnapshotInstalled = "snapshots installed",
    /// A follower installed a snapshot in the place of entries that were never committed.
    SnapshotOverConflict = "snapshots installed over a contradicting log",
    /// A piece arrived of a snapshot that is not ahead of what is committed.
    SnapshotOutdated = "pieces of snapshots behind the commit index",
    /// A process ended in the middle of a transfer.
    SnapshotBrokenOff = "snapshot transfers broken off",
    /// A node was ended in the middle of a transfer and went on with it where it stood.
    SnapshotResumed = "snapshot transfers resumed after a restart",
    /// A node was opened with a snapshot and entries after it.
    OpenedOnSnapshot = "restarts on a snapshot",
    /// The log went on in another segment.
    SegmentRolled = "log segments begun",
    /// Power failed.
    PowerLost = "power losses",
    /// A process was killed; what it wrote stayed in memory.
    Killed = "processes killed",
    /// All nodes ended at one instant.
    AllDown = "whole clusters ended at once",
    /// Power failed in the middle of a write, a sync or a rename.
    CrashedInWrite = "crashes in the middle of a write",
    /// A sync, a write or a read failed, or there was no space, and the process ended.
    DiskFailed = "processes that ended because their disk failed",
    /// A sync failed, and the process ended.
    SyncFailed = "processes that ended because a sync failed",
    /// A bit flipped on a stopped node's disk.
    Rotted = "bits flipped on disks",
    /// A node noticed that a bit of its disk had flipped, and refused to start.
    RotRefused = "starts refused because of a flipped bit",
    /// Power failed while a node was being opened.
    CrashedInOpen = "crashes in the middle of opening",
    /// A power loss took unsynced bytes or names.
    UnsyncedLost = "power losses that took unsynced data",
    /// A power loss tore a write.
    WriteTorn = "writes torn by a power loss",
    /// Recovery wiped what stood behind the last whole frame of a log.
    TailCut = "ends of logs wiped by recovery",
    /// Several persists shared one write.
    WritesMerged = "writes that carried several persists",
    /// A node stood still.
    Paused = "pauses",
    /// The network was cut in two.
    Partitioned = "partitions",
    /// A link was cut in one direction.
    CutOneWay = "one-way cuts",
    /// A message was lost.
    MessageLost = "messages lost",
    /// A message arrived twice.
    MessageDuplicated = "messages duplicated",
    /// A message had to wait.
    MessageHeldUp = "messages held up",
    /// A message was overtaken.
    MessageReordered = "messages overtaken",
    /// A node was sent entries that it already held.
    AppendRepeated = "appends of entries that were there already",
    /// A vote was given that is no longer needed.
    VoteLate = "votes that came after the election was decided",
    /// A write was acknowledged.
    WriteDone = "writes acknowledged",
    /// A read was answered.
    ReadDone = "reads served",
    /// A swap found something else.
    SwapRefused = "swaps that found something else",
    /// A client tried again.
    Retried = "requests retried",
    /// A retry was recognised.
    DuplicateSuppressed = "duplicates suppressed",
    /// A client gave up without knowing.
    OutcomeUnknown = "writes of unknown outcome",
    /// A write of unknown outcome is in the log.
    UnknownTookEffect = "writes of unknown outcome that got into the log",
    /// A session expired.
    SessionExpired = "sessions expired",
    /// A membership was committed that is another than the one before.
    MembershipChanged = "memberships changed",
    /// A joint configuration was committed, and a majority of one half had held it alone for a while.
    BothHalvesNeeded = "joint configurations that waited for their other half",
    /// A joint configuration was left by another leader than the one that began it.
    JointInherited = "joint configurations left by another leader",
    /// A leader committed its own removal.
    LeaderRemovedItself = "leaders that removed themselves",
    /// A leader committed that it only listens from now on.
    LeaderDemotedItself = "leaders that demoted themselves",
    /// A member that listened votes.
    LearnerPromoted = "learners promoted",
    /// A member that voted only listens.
    VoterDemoted = "voters demoted",
    /// A membership has none of the voters of the one before.
    AllReplaced = "memberships without any voter of the one before",
    /// A node that began with nothing got a snapshot.
    NewcomerBySnapshot = "newcomers that began with a snapshot",
    /// An id is a member again, with another disk.
    ReAddedWiped = "ids added again with a new disk",
    /// An id is a member again, with the disk it had.
    ReAddedKept = "ids added again with the old disk",
    /// A node was told that it is no member any more.
    RemovedTold = "removed nodes told so",
    /// A follower cut entries, and a configuration among them.
    MembershipRolledBack = "memberships rolled back",
    /// A change was refused because something stood in its way.
    ChangeRefused = "changes of membership refused",
    /// A change was given up because a newcomer did not catch up.
    NewcomerBehind = "newcomers given up",
    /// A change was refused because its quorum was silent.
    Unreachable = "changes refused for want of a quorum",
    /// A member's disk was lost.
    DiskLost = "disks lost for good",
    /// A node was told that its disk is not the known one.
    StrangerTold = "nodes with a lost disk told so",
    /// An operator was told that the leadership is handed over.
    TransferDone = "transfers done",
    /// A successor did not take over in time.
    TransferTimedOut = "transfers that timed out",
    /// A leader does not hand over, for another reason.
    TransferRefused = "transfers refused",
    /// A node campaigned because the leader was silent.
    CampaignTimeout = "campaigns because of silence",
    /// A node campaigned because the leader's process was gone.
    CampaignLost = "campaigns because the leader was gone",
    /// A node campaigned because the leader handed over.
    CampaignTransfer = "campaigns because of a transfer",
    /// A node was told of an end that did not happen.
    FalseHint = "processes wrongly said to be gone",
    /// A leader whose disk stalled handed over.
    StalledHandedOver = "leaders with a stalled disk that handed over",
    /// A voter that does not lead served a read.
    ReadByFollower = "reads served by followers",
    /// A node that does not vote served a read.
    ReadByLearner = "reads served by learners",
    /// A leader stepped down before it could answer a read.
    ReadAborted = "reads refused because their leader stepped down",
    /// A replica's state was found to be the leader's.
    StatesCompared = "states compared and found equal",
    /// Most of the nodes were healed, and the others kept away.
    MajorityHealed = "recoveries with a mere majority",
    /// A message of an earlier term arrived.
    StaleTerm = "messages of an earlier term",
    /// A node with a longer log was asked for its vote.
    ShorterLogPleads = "votes asked of longer logs",
    /// A node that follows a leader was asked whether it would vote.
    PleaDespiteLeader = "pre-votes asked of those who hear a leader",
    /// A node that campaigns heard the leader of its term.
    CandidateMetLeader = "candidates that heard a leader of their term",
    /// A leader learnt of a later term from an answer.
    DeposedByAnswer = "leaders deposed by an answer",
    /// A read came to a leader that had not yet committed anything of its own.
    ReadBeforeFirstCommit = "reads that came before a leader's first commit",
    /// An entry was committed in a later term than its own.
    CommittedLater = "entries committed in a later term than their own",
    /// A new leader holds an entry of an earlier term that a majority holds, and nobody knows whether
    /// it is committed (Figure 8).
    HeldNotCommitted = "entries of earlier terms on a majority and not committed",
    /// A power loss took a term or a vote that was about to be written.
    PromiseLost = "power losses that took a term or a vote",
    /// A node was opened in the middle of a change.
    OpenedJoint = "restarts in a joint configuration",
    /// A retry was recognised in a later term than that of the write.
    DuplicateAfterChange = "duplicates suppressed in a later term",
    /// A retry was recognised whose write is covered by a snapshot.
    DuplicateAfterSnapshot = "duplicates suppressed behind a snapshot",
    /// A write of unknown outcome is not in the log.
    UnknownWithoutEffect = "writes of unknown outcome that came to nothing",
    /// A node could not be opened for want of space.
    FullAtStart = "starts put off because the disk was full",
    /// There was no space for what the log was to write, and it waited.
    DiskFull = "logs that waited for space",
    /// A log that had waited for space went on.
    SpaceFound = "logs that went on when there was space again",
    /// A node refused a client because its disk was nearly full.
    RefusedWhenFull = "requests refused because a disk was full",
    /// A leader whose disk was full handed over.
    FullHandedOver = "leaders with a full disk that handed over",
    /// There was no space for a snapshot, and its node went on.
    NoSpaceForSnapshot = "snapshots put off because the disk was full",
    /// A leader stood still for longer than an election takes.
    LeaderPaused = "leaders that stood still for longer than an election",
    /// Reads had gathered meanwhile.
    ReadsAfterPause = "leaders that woke late to find reads waiting",
    /// The history was proven by the indexes of its answers.
    Certified = "histories proven by certificate",
}

/// How often each happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sometimes(BTreeMap<Mark, u64>);

impl Sometimes {
    /// It happened.
    pub fn hit(&mut self, mark: Mark) {
        self.add(mark, 1);
    }

    /// It happened so many times.
    pub fn add(&mut self, mark: Mark, count: u64) {
        *self.0.entry(mark).or_default() += count;
    }

    /// How often it happened.
    pub fn count(&self, mark: Mark) -> u64 {
        self.0.get(&mark).copied().unwrap_or_default()
    }

    /// Adds what happened in another run.
    pub fn merge(&mut self, other: &Self) {
        for (&mark, &count) in &other.0 {
            self.add(mark, count);
        }
    }

    /// What never happened.
    pub fn missing(&self) -> Vec<Mark> {
        Mark::ALL.iter().copied().filter(|&mark| self.count(mark) == 0).collect()
    }
}

impl fmt::Display for Sometimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &mark in Mark::ALL {
            writeln!(f, "{:>10}  {}", self.count(mark), mark.text())?;
        }
        Ok(())
    }
}
