//! Recording what happens to the node, for `raft-server replay`.
//!
//! The driver's thread only appends to a buffer; a thread of its own writes that to the file, several
//! times a second. Nothing is synced: what the process wrote outlives the process, but not the
//! machine. When the process ends because of a bug, the buffer is written first, so that the last
//! input, the one it was about, is in the file.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use raft_core::NodeId;
use raft_core::record::Sink;
use raft_replica::RecordSink;

use crate::clock::wall_ms;

/// What is written no later than this after it happened...
const FLUSH_EVERY: Duration = Duration::from_millis(250);

/// ...or when there is so much of it.
const FLUSH_BYTES: usize = 1 << 20;

/// When so much waits to be written, the disk does not keep up. The recording ends there: the node
/// does not wait for it.
const BUFFER_MAX: usize = 256 << 20;

/// The recording of this process, for its last moment.
static LAST_WORDS: OnceLock<Arc<Shared>> = OnceLock::new();

/// A recording that is being made.
#[derive(Debug)]
pub(crate) struct Recording {
    shared: Arc<Shared>,
    writer: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    buffer: Mutex<Buffer>,
    wake: Condvar,
    /// Locked before the buffer is taken, so that pieces are written in order. None after an error.
    file: Mutex<Option<File>>,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    closed: bool,
    /// Too much waited: nothing more is recorded.
    full: bool,
}

impl Recording {
    /// Begins a recording in a new file of this directory, which is made if need be.
    pub(crate) fn start(dir: &Path, id: NodeId) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join(format!("{id}-{}.raftrec", wall_ms()));
        let file = File::options().write(true).create_new(true).open(&path)?;
        tracing::info!(node = %id, file = %path.display(), "recording");
        let shared = Arc::new(Shared {
            path,
            buffer: Mutex::default(),
            wake: Condvar::new(),
            file: Mutex::new(Some(file)),
        });
        let writing = Arc::clone(&shared);
        let thread = thread::Builder::new().name("recording".to_owned());
        let writer = thread.spawn(move || writing.write_until_closed())?;
        drop(LAST_WORDS.set(Arc::clone(&shared)));
        Ok(Self { shared, writer })
    }

    /// Where the node's recording goes.
    pub(crate) fn sink(&self) -> RecordSink {
        RecordSink::new(Ear(Arc::clone(&self.shared)))
    }

    /// Writes what is left. The node is gone by now.
    pub(crate) fn finish(self) {
        self.shared.buffer().closed = true;
        self.shared.wake.notify_one();
        if self.writer.join().is_err() {
            tracing::warn!("the recording may lack its end: its thread panicked");
        }
    }
}

/// Writes what has been recorded, because the process is about to end in a hurry.
pub(crate) fn flush_last_words() {
    if let Some(shared) = LAST_WORDS.get() {
        shared.write();
    }
}

/// Hears what happens to the node.
struct Ear(Arc<Shared>);

impl Sink for Ear {
    fn write(&self, bytes: &[u8]) {
        let mut buffer = self.0.buffer();
        if buffer.full {
            return;
        }
        if BUFFER_MAX < buffer.bytes.len().saturating_add(bytes.len()) {
            buffer.full = true;
            let file = self.0.path.display();
            tracing::error!(%file, "the recording ends here: its disk does not keep up");
            return;
        }
        let before = buffer.bytes.len();
        buffer.bytes.extend_from_slice(bytes);
        if before < FLUSH_BYTES && FLUSH_BYTES <= buffer.bytes.len() {
            self.0.wake.notify_one();
        }
    }
}

impl Shared {
    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_until_closed(&self) {
        loop {
            let buffer = self.buffer();
            let waits = |buffer: &mut Buffer| !buffer.closed && buffer.bytes.len() < FLUSH_BYTES;
            let waited = self.wake.wait_timeout_while(buffer, FLUSH_EVERY, waits);
            let (buffer, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let closed = buffer.closed;
            drop(buffer);
            self.write();
            if closed {
                return;
            }
        }
    }

    /// Writes what waits.
    fn write(&self) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = std::mem::take(&mut self.buffer().bytes);
        let Some(open) = file.as_mut() else { return };
        if let Err(error) = open.write_all(&bytes) {
            let path = self.path.display();
            tracing::error!(file = %path, %error, "the recording ends here");
            *file = None;
        }
    }
}
