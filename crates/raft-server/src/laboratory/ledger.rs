//! What went wrong, for those who come after a SIGKILL: a file of fixed size that is written over and
//! over in place and never synced. The system's memory outlives the process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use raft_core::NodeId;
use serde_json::json;

/// Since the process began, but for what is as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Of the control that is in force.
    pub(super) generation: u64,
    /// Controls that made no sense.
    pub(super) rejected: u64,
    pub(super) syncs: u64,
    pub(super) syncs_slowed: u64,
    pub(super) slowed_ms: u64,
    pub(super) syncs_failed: u64,
    pub(super) syncs_lied: u64,
    pub(super) refused_full: u64,
    pub(super) reads_flipped: u64,
    /// Now.
    pub(super) unsynced_bytes: u64,
    pub(super) unsynced_names: u64,
}

pub(super) struct Ledger {
    file: File,
    node: NodeId,
    counts: Counts,
    /// It could not be written, and that was said.
    said: bool,
}

/// Room for every number at its greatest.
const LEDGER_BYTES: usize = 1024;

impl Ledger {
    /// A new ledger. What the process before this one left is kept beside it.
    pub(super) fn create(dir: &Path, node: NodeId) -> io::Result<Self> {
        let path = dir.join("ledger.json");
        match std::fs::rename(&path, dir.join("ledger.last.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            renamed => renamed?,
        }
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let ledger = Self { file, node, counts: Counts::default(), said: false };
        ledger.write()?;
        Ok(ledger)
    }

    pub(super) fn note(&mut self, change: impl FnOnce(&mut Counts)) {
        let before = self.counts.clone();
        change(&mut self.counts);
        if self.counts == before {
            return;
        }
        if let Err(error) = self.write()
            && !std::mem::replace(&mut self.said, true)
        {
            tracing::error!(node = %self.node, %error, "the laboratory's ledger cannot be written");
        }
    }

    fn write(&self) -> io::Result<()> {
        let Counts {
            generation,
            rejected,
            syncs,
            syncs_slowed,
            slowed_ms,
            syncs_failed,
            syncs_lied,
            refused_full,
            reads_flipped,
            unsynced_bytes,
            unsynced_names,
        } = self.counts;
        let text = json!({
            "schema": "raft-disk-ledger/1",
            "node": self.node.0,
            "pid": std::process::id(),
            "generation": generation,
            "rejected": rejected,
            "syncs": syncs,
            "syncs_slowed": syncs_slowed,
            "slowed_ms": slowed_ms,
            "syncs_failed": syncs_failed,
            "syncs_lied": syncs_lied,
            "refused_full": refused_full,
            "reads_flipped": reads_flipped,
            "unsynced_bytes": unsynced_bytes,
            "unsynced_names": unsynced_names,
        });
        let mut bytes = text.to_string().into_bytes();
        bytes.resize(LEDGER_BYTES - 1, b' ');
        bytes.push(b'\n');
        self.file.write_all_at(&bytes, 0)
    }
}
