//! How things look in a script, where that is not how they look everywhere.

use raft_core::Entry;

pub(crate) fn entries(entries: &[Entry]) -> String {
    entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
