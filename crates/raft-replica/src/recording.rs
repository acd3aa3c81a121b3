//! Where a replica's recording goes, if somebody wants one.

use std::fmt;
use std::sync::Arc;

use raft_core::record::Sink;

/// Takes the recording of a replica's node, see [`raft_core::record`]. It is called on the replica's
/// own thread, for each step: it should put the bytes into a buffer and leave the writing to another
/// thread.
#[derive(Clone)]
pub struct RecordSink(Arc<dyn Sink + Send + Sync>);

impl RecordSink {
    /// Records into `sink`.
    pub fn new(sink: impl Sink + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }
}

impl Sink for RecordSink {
    fn write(&self, bytes: &[u8]) {
        self.0.write(bytes);
    }
}

impl fmt::Debug for RecordSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordSink")
    }
}
