//! What a replica replicates.

use std::io::{self, Read, Write};

use bytes::Bytes;

/// A deterministic state machine over bytes: the same commands in the same order give the same
/// state and the same results on every replica. It reads no clock, draws no randomness and iterates
/// over nothing unordered.
///
/// What bytes mean is its own business; nothing around it looks into them. It need not care about
/// retries either: a command that a client sends twice under a session is applied once.
pub trait StateMachine: Sized + Send + 'static {
    /// A frozen copy of the state, cheap to take and written out on another thread while commands
    /// go on being applied.
    type Image: Image;

    /// Applies a committed command and gives its result. A command that makes no sense is answered
    /// with a result that says so, and changes nothing: by now it is in the log of every replica.
    fn apply(&mut self, command: &Bytes) -> Bytes;

    /// Whether a command makes sense, asked before it enters the log, where it costs all replicas
    /// space and can only come to nothing.
    fn validate(&self, command: &[u8]) -> Result<(), Invalid> {
        let _ = command;
        Ok(())
    }

    /// Answers a query from the present state.
    fn query(&self, query: &[u8]) -> Result<Bytes, Invalid>;

    /// Freezes the present state.
    fn image(&self) -> Self::Image;

    /// Builds a state from what [`Image::write_to`] wrote. The bytes are known to be whole; those of
    /// another format are refused with [`io::ErrorKind::Unsupported`], and all others that make no
    /// sense with [`io::ErrorKind::InvalidData`]. The node then does not start, or stops.
    fn restore(source: &mut dyn Read) -> io::Result<Self>;

    /// Number of items held, for the status page.
    fn len(&self) -> u64;

    /// Whether it holds nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A frozen state.
pub trait Image: Send + 'static {
    /// Writes all of it, the same bytes for the same state.
    fn write_to(&self, sink: &mut dyn Write) -> io::Result<()>;
}

/// A command or a query that makes no sense, in words for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// Says what is wrong with it.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}
