//! What a replica replicates.

use std::io::{self, Read, Write};

use bytes::Bytes;

/// A deterministic state machine over bytes: the same commands in the same order give the same
/// state and the same results on every replica. It reads no clock, draws no randomness and iterates
/// over nothing unordered.
pub trait StateMachine: Sized + Send + 'static {
    /// A frozen copy of the state, cheap to take and written out on another thread while commands
    /// go on being applied.
    type Image: Image;

    /// Applies a committed command and gives its result. A command that makes no sense is answered
    /// with a result that says so, and changes nothing: by now it is in the log of every replica.
    fn apply(&mut self, command: &Bytes) -> Bytes;

    /// Whether a command makes sense, asked before it enters the log.
    fn validate(&self, command: &[u8]) -> Result<(), String>;

    /// Answers a query from the present state.
    fn query(&self, query: &[u8]) -> Result<Bytes, String>;

    /// Freezes the present state.
    fn image(&self) -> Self::Image;

    /// Builds a state from what [`Image::write_to`] wrote.
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
