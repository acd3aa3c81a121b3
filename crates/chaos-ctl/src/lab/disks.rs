//! The laboratory disks of the nodes: what they shall suffer, and what they say they did.
//!
//! A node that is started with `--debug-faults DIR` reads `control.json` there and writes
//! `ledger.json`, which outlives its process. See the server's documentation for both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::NodeId;
use crate::exit::Failure;

/// The disks of all nodes.
#[derive(Debug)]
pub(crate) struct Disks {
    dir: PathBuf,
    orders: BTreeMap<NodeId, Control>,
}

/// What a disk shall do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Control {
    generation: u64,
    /// Each sync takes so much longer: from, to.
    pub(crate) slow_sync_ms: Option<[u64; 2]>,
    /// No sync ends.
    pub(crate) sync_hangs: bool,
    /// The next sync fails.
    pub(crate) sync_error: bool,
    /// No write finds room.
    pub(crate) full: bool,
    /// The share of unsynced bytes that reaches the disk all the same, and what decides which.
    writeback: f64,
    seed: u64,
}

/// What a disk has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Ledger {
    /// The order in force.
    pub(crate) generation: u64,
    /// Syncs that were done.
    pub(crate) syncs: u64,
    /// Syncs that took longer on purpose.
    pub(crate) syncs_slowed: u64,
    /// Syncs that failed on purpose.
    pub(crate) syncs_failed: u64,
    /// Writes that found the disk full on purpose.
    pub(crate) refused_full: u64,
    /// Bytes that were written and not synced at the last moment.
    pub(crate) unsynced_bytes: u64,
    /// Names that were made, changed or removed and not synced at the last moment.
    pub(crate) unsynced_names: u64,
}

/// How long a loss of power waits at most until something is on its way to the disk.
pub(crate) const HANG_MAX: Duration = Duration::from_millis(100);

/// What a kernel writes back by itself before a power loss, as a share.
const WRITEBACK: f64 = 0.2;

impl Disks {
    /// Makes the directories for nodes with these ids, without faults.
    pub(crate) fn prepare(dir: &Path, ids: &BTreeSet<u64>, seed: u64) -> Result<Self, Failure> {
        let dir = std::path::absolute(dir).map_err(anyhow::Error::from)?;
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::usage(format!("could not remove {}: {error}", dir.display())));
            }
            _ => (),
        }
        let mut disks = Self { dir, orders: BTreeMap::new() };
        for &id in ids {
            let node = NodeId(id);
            let place = disks.place(node);
            let failed = |error: io::Error| {
                Failure::usage(format!("could not write to {}: {error}", place.display()))
            };
            fs::create_dir_all(&place).map_err(failed)?;
            let seed = seed.wrapping_add(id);
            disks.orders.insert(node, Control { writeback: WRITEBACK, seed, ..Control::default() });
            disks.order(node, |_as_it_is| ())?;
        }
        Ok(disks)
    }

    /// The directory of a node.
    pub(crate) fn place(&self, node: NodeId) -> PathBuf {
        self.dir.join(node.to_string())
    }

    /// Changes what a disk shall do, and returns the number of that order.
    pub(crate) fn order(
        &mut self,
        node: NodeId,
        change: impl FnOnce(&mut Control),
    ) -> Result<u64, Failure> {
        let place = self.place(node);
        let control = self.orders.entry(node).or_default();
        change(control);
        control.generation += 1;
        let text = serde_json::to_string(control).expect("plain data becomes JSON");
        // A reader must never see half of it.
        let (new, file) = (place.join("control.json.new"), place.join("control.json"));
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &file));
        written.map_err(|error| {
            Failure::usage(format!("could not write {}: {error}", file.display()))
        })?;
        Ok(control.generation)
    }

    /// Lets syncs of these nodes hang from now on, or end again. A write that comes alone is synced a
    /// moment later: without this a loss of power that comes between two of them takes nothing.
    pub(crate) fn hang(&mut self, nodes: &BTreeSet<NodeId>, hangs: bool) -> Result<(), Failure> {
        for &node in nodes {
            self.order(node, |control| control.sync_hangs = hangs)?;
        }
        Ok(())
    }

    /// Whether each of these disks has something that it would lose with its power.
    pub(crate) fn hold_back(&self, nodes: &BTreeSet<NodeId>) -> bool {
        nodes.iter().all(|id| self.ledger(*id).is_none_or(|ledger| 0 < ledger.unsynced_bytes))
    }

    /// What a disk says it has done; nothing if it says nothing.
    pub(crate) fn ledger(&self, node: NodeId) -> Option<Ledger> {
        let text = fs::read_to_string(self.place(node).join("ledger.json")).ok()?;
        serde_json::from_str(text.trim_end()).ok()
    }
}
