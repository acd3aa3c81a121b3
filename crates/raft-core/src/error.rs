//! What can be wrong with what a node is made from. Nothing else can fail.

use core::fmt;

use crate::types::{LogId, Term};

/// Why a node cannot be made from what its disk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// The entries are not contiguous after `base`, or their terms decrease.
    Disorder {
        /// The last entry that fits.
        after: LogId,
        /// The one that does not.
        found: LogId,
    },
    /// The log begins after an entry that no snapshot covers.
    Gap {
        /// Where the log begins.
        base: LogId,
        /// What the snapshot covers.
        snapshot: Option<LogId>,
    },
    /// The log holds an entry of a later term than the node ever saw.
    TermBehind {
        /// The recorded term.
        term: Term,
        /// The last entry.
        last: LogId,
    },
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disorder { after, found } => {
                write!(f, "the log has {found} after {after}")
            }
            Self::Gap { base, snapshot: None } => {
                write!(f, "the log begins after {base}, and there is no snapshot")
            }
            Self::Gap { base, snapshot: Some(covered) } => {
                write!(f, "the log begins after {base}, and the snapshot ends at {covered}")
            }
            Self::TermBehind { term, last } => {
                write!(f, "the log ends with {last}, but the recorded term is {term}")
            }
        }
    }
}

impl core::error::Error for RestoreError {}
