//! What is done to a world at some time: by mishap, or by its operator.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use raft_core::NodeId;

use crate::word::{Salt, Span, Word, named};

/// Whom something happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever leads then.
    Leader,
    /// This one.
    Node(NodeId),
}

/// What can be done to a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody comes, and listens.
    AddLearner,
    /// Somebody comes, and votes.
    AddVoter,
    /// Somebody goes.
    Remove,
    /// The leader goes.
    RemoveLeader,
    /// A learner votes.
    Promote,
    /// A voter listens.
    Demote,
    /// A voter goes, and another one comes.
    Replace,
    /// Any other membership.
    Anything,
}

impl Kind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::AddLearner,
        Self::AddVoter,
        Self::Remove,
        Self::RemoveLeader,
        Self::Promote,
        Self::Demote,
        Self::Replace,
        Self::Anything,
    ];
}

macro_rules! acts {
    ($($(#[doc = $doc:expr])+ $name:ident = $word:literal { $($field:ident: $type:ty,)+ },)+) => {
        /// What is done to a world.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the fields are explained with the variant")]
        pub enum Act {
            $($(#[doc = $doc])+ $name { $($field: $type,)+ },)+
        }

        /// As in `power who=leader down=0.300000`.
        impl fmt::Display for Act {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name { $($field,)+ } => {
                        f.write_str($word)?;
                        $(write!(f, " {}={}", stringify!($field), $field.show())?;)+
                        Ok(())
                    })+
                }
            }
        }

        impl FromStr for Act {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let mut words = text.split_whitespace();
                match words.next() {
                    $(Some($word) => {
                        let act = Self::$name {
                            $($field: field(words.next(), stringify!($field))?,)+
                        };
                        match words.next() {
                            None => Ok(act),
                            Some(more) => Err(format!("`{more}` is too much")),
                        }
                    })+
                    Some(other) => Err(format!("nobody knows how to do `{other}`")),
                    None => Err("there is nothing to do".to_owned()),
                }
            }
        }
    };
}

acts! {
    /// The power of a machine fails, for so long.
    Power = "power" { who: Who, down: Span, },
    /// A process is killed, and started again after so long.
    Kill = "kill" { who: Who, down: Span, },
    /// All end at once, each in its way, for a time of its own.
    AllDown = "all-down" { salt: Salt, },
    /// After so many more changes to its disk the power of a machine fails, or its process ends.
    Fuse = "fuse" { who: Who, changes: u64, },
    /// The next sync of a file fails, and later ones do not write what it should have written.
    /// Whether that stays to be read meanwhile.
    SyncError = "sync-error" { who: Who, stays: bool, },
    /// After so many more changes to a disk one of them fails.
    WriteError = "write-error" { who: Who, after: u64, },
    /// After so many more reads of a disk one of them fails.
    ReadError = "read-error" { who: Who, after: u64, },
    /// No more than so many bytes fit on a disk, for so long.
    Full = "full" { who: Who, room: u64, lasts: Span, },
    /// A bit flips on the disk of a stopped node, if the others can do without it.
    Rot = "rot" { who: Who, salt: Salt, },
    /// A disk is lost for good, if the others can do without it; the machine goes on with another.
    DiskLost = "disk-lost" { who: Who, down: Span, },
    /// A process stands still.
    Pause = "pause" { who: Who, lasts: Span, },
    /// The network falls into these and the others.
    Partition = "partition" { side: BTreeSet<NodeId>, lasts: Span, },
    /// Nobody hears one of them, which hears nobody.
    CutOff = "cut-off" { who: Who, lasts: Span, },
    /// Nothing gets from one to the other.
    Cut = "cut" { from: Who, to: Who, lasts: Span, },
    /// All that a node sends and is sent waits.
    Clog = "clog" { who: Who, lasts: Span, },
    /// A disk takes so many times as long as usual.
    Slow = "slow" { who: Who, times: u64, lasts: Span, },
    /// A disk finishes nothing.
    Stall = "stall" { who: Who, lasts: Span, },
    /// A node is told that a process is gone, which is not.
    FalseHint = "false-hint" { told: Who, of: Who, },
    /// The operator wishes for another membership. What exactly depends on what there is.
    Wish = "wish" { kind: Kind, salt: Salt, },
    /// The operator wishes for another leader.
    Lead = "lead" { salt: Salt, },
    /// The operator switches a machine off that is no member.
    PutAway = "put-away" { salt: Salt, },
}

fn field<T: Word>(word: Option<&str>, name: &str) -> Result<T, String> {
    let value = word.and_then(|word| word.strip_prefix(name)?.strip_prefix('='));
    T::read(value.ok_or_else(|| format!("`{name}=` is missing"))?)
}

impl Act {
    /// How long it lasts, if it ends by itself.
    pub fn span(&mut self) -> Option<&mut Span> {
        match self {
            Self::Power { down: span, .. }
            | Self::Kill { down: span, .. }
            | Self::DiskLost { down: span, .. }
            | Self::Full { lasts: span, .. }
            | Self::Pause { lasts: span, .. }
            | Self::Partition { lasts: span, .. }
            | Self::CutOff { lasts: span, .. }
            | Self::Cut { lasts: span, .. }
            | Self::Clog { lasts: span, .. }
            | Self::Slow { lasts: span, .. }
            | Self::Stall { lasts: span, .. } => Some(span),
            Self::AllDown { .. }
            | Self::Fuse { .. }
            | Self::SyncError { .. }
            | Self::WriteError { .. }
            | Self::ReadError { .. }
            | Self::Rot { .. }
            | Self::FalseHint { .. }
            | Self::Wish { .. }
            | Self::Lead { .. }
            | Self::PutAway { .. } => None,
        }
    }
}

impl Word for Who {
    fn show(&self) -> String {
        match self {
            Self::Leader => "leader".to_owned(),
            Self::Node(id) => id.show(),
        }
    }

    fn read(word: &str) -> Result<Self, String> {
        if word == "leader" { Ok(Self::Leader) } else { NodeId::read(word).map(Self::Node) }
    }
}

impl Word for Kind {
    fn show(&self) -> String {
        format!("{self:?}")
    }

    fn read(word: &str) -> Result<Self, String> {
        named(Self::ALL, word)
    }
}
