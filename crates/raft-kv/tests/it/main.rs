//! The store and its words, from the outside.

#[cfg(test)]
mod encoding;
#[cfg(test)]
mod image;
#[cfg(test)]
mod model;

use bytes::Bytes;
use proptest::prelude::*;
use raft_kv::Command;

/// Keys from a small set, so that commands meet one another.
pub(crate) fn keys() -> impl Strategy<Value = Bytes> {
    "[ab]{1,3}".prop_map(Bytes::from)
}

/// Values from a small set, so that comparisons succeed now and then.
pub(crate) fn values() -> impl Strategy<Value = Bytes> {
    "[xy]{0,2}".prop_map(Bytes::from)
}

/// Commands within the limits.
pub(crate) fn commands() -> impl Strategy<Value = Command> {
    let (expected, value) = (prop::option::of(values()), prop::option::of(values()));
    prop_oneof![
        3 => (keys(), values()).prop_map(|(key, value)| Command::Put { key, value }),
        2 => keys().prop_map(|key| Command::Delete { key }),
        3 => (keys(), expected, value)
            .prop_map(|(key, expected, value)| Command::Cas { key, expected, value }),
        1 => (keys(), values()).prop_map(|(key, data)| Command::Append { key, data }),
        1 => values().prop_map(|data| Command::Propose { data }),
    ]
}
