//! The shipped store as a replica's state machine, and whether a state machine is that one.

use std::any::TypeId;
use std::io::{self, Read, Write};

use bytes::Bytes;
use raft_kv::{Store, StoreImage};
use raft_replica::{Invalid, StateMachine};

/// The shipped store as a replica's state machine: neither of the two crates knows the other.
#[derive(Debug, Default)]
pub struct KvStore(Store);

/// A frozen store.
#[derive(Debug)]
pub struct KvImage(StoreImage);

impl StateMachine for KvStore {
    type Image = KvImage;

    fn apply(&mut self, command: &Bytes) -> Bytes {
        self.0.apply_bytes(command)
    }

    fn validate(&self, command: &[u8]) -> Result<(), Invalid> {
        raft_kv::validate(command).map_err(Invalid)
    }

    fn query(&self, query: &[u8]) -> Result<Bytes, Invalid> {
        self.0.query_bytes(query).map_err(Invalid)
    }

    fn image(&self) -> KvImage {
        KvImage(self.0.image())
    }

    fn restore(source: &mut dyn Read) -> io::Result<Self> {
        Store::restore(source).map(Self)
    }

    fn len(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }
}

impl raft_replica::Image for KvImage {
    fn write_to(&self, sink: &mut dyn Write) -> io::Result<()> {
        self.0.write_to(sink)
    }
}

/// Which services a node has for its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Services {
    /// Those that make sense for any state machine.
    General,
    /// And the typed methods of the shipped store.
    WithKv,
}

impl Services {
    /// Those that make sense for this state machine.
    pub(crate) fn of<S: StateMachine>() -> Self {
        if TypeId::of::<S>() == TypeId::of::<KvStore>() { Self::WithKv } else { Self::General }
    }
}
