//! The shipped store as a replica's state machine: neither of the two crates knows the other.

use std::io::{self, Read, Write};

use bytes::Bytes;
use raft_kv::{Store, StoreImage};
use raft_replica::{Invalid, StateMachine};

/// The shipped store as a replica's state machine.
#[derive(Debug, Default)]
pub struct Machine(Store);

/// A frozen store.
#[derive(Debug)]
pub struct Image(StoreImage);

impl StateMachine for Machine {
    type Image = Image;

    fn apply(&mut self, command: &Bytes) -> Bytes {
        self.0.apply_bytes(command)
    }

    fn validate(&self, command: &[u8]) -> Result<(), Invalid> {
        raft_kv::validate(command).map_err(Invalid)
    }

    fn query(&self, query: &[u8]) -> Result<Bytes, Invalid> {
        self.0.query_bytes(query).map_err(Invalid)
    }

    fn image(&self) -> Image {
        Image(self.0.image())
    }

    fn restore(source: &mut dyn Read) -> io::Result<Self> {
        Store::restore(source).map(Self)
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl raft_replica::Image for Image {
    fn write_to(&self, sink: &mut dyn Write) -> io::Result<()> {
        self.0.write_to(sink)
    }
}
