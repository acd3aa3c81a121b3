//! A pipe between a node and its log, which can be blocked: then nobody reads what the node says.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// One process's pipe, as long as the process lives.
#[derive(Debug)]
pub(crate) struct LogPipe {
    blocked: watch::Sender<bool>,
    /// Bytes that stood in the pipe when it was opened again.
    stuck: Arc<AtomicU64>,
    tasks: JoinSet<()>,
}

/// What the pipe holds, as small as the system makes it: a blocked reader is soon felt.
const CAPACITY: usize = 4096;

impl LogPipe {
    /// Makes a pipe that ends in a file, and returns its other end.
    pub(crate) fn into_file(mut file: File) -> io::Result<(Self, OwnedFd)> {
        let (sender, mut receiver) = pipe::pipe()?;
        rustix::pipe::fcntl_setpipe_size(&receiver, CAPACITY)?;
        let (blocked, mut gate) = watch::channel(false);
        let stuck = Arc::new(AtomicU64::new(0));
        let (counter, mut tasks) = (Arc::clone(&stuck), JoinSet::new());
        tasks.spawn(async move {
            let mut buffer = vec![0; CAPACITY];
            while let Some(count) = next(&mut gate, &mut receiver, &counter, &mut buffer).await {
                if let Err(error) = file.write_all(&buffer[..count]) {
                    tracing::warn!(%error, "could not write a node's log");
                }
            }
        });
        Ok((Self { blocked, stuck, tasks }, sender.into_blocking_fd()?))
    }

    /// Nobody reads from now on, or somebody does again.
    pub(crate) fn set_blocked(&self, blocked: bool) {
        self.blocked.send_replace(blocked);
    }

    /// Bytes that have stood in the pipe while nobody read.
    pub(crate) fn stuck(&self) -> u64 {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Waits until all that was said is in the file. The process has ended.
    pub(crate) async fn drained(mut self) {
        self.set_blocked(false);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// The next bytes, once somebody may read; nothing when there are no more.
async fn next(
    gate: &mut watch::Receiver<bool>,
    receiver: &mut pipe::Receiver,
    stuck: &AtomicU64,
    buffer: &mut [u8],
) -> Option<usize> {
    loop {
        if *gate.borrow_and_update() {
            // Before the last owner goes, it opens the gate.
            gate.wait_for(|blocked| !*blocked).await.ok()?;
            let bytes = rustix::io::ioctl_fionread(&*receiver).unwrap_or(0);
            stuck.fetch_add(bytes, Ordering::Relaxed);
        }
        tokio::select! { biased;
            Ok(()) = gate.changed() => (),
            read = receiver.read(buffer) => return read.ok().filter(|count| 0 < *count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_said_while_nobody_reads_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let (log, end) = LogPipe::into_file(File::create(&path).unwrap()).unwrap();
        let mut end = File::from(end);
        end.write_all(b"one\n").unwrap();
        while std::fs::read(&path).unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        log.set_blocked(true);
        tokio::task::yield_now().await;
        end.write_all(b"two\n").unwrap();
        assert_eq!(log.stuck(), 0);
        log.set_blocked(false);
        drop(end);
        let stuck = Arc::clone(&log.stuck);
        log.drained().await;
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\n");
        assert_eq!(stuck.load(Ordering::Relaxed), 4);
    }
}
