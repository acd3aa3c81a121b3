//! The end of a run with etcd: what its members hold is compared by their own hashes, at one revision.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::{PATIENCE, Runner, finish};
use crate::NodeId;
use crate::events::{Event, grouped};

/// How long a member may take to hash all it holds.
const HASHING_MAX: Duration = Duration::from_secs(30);

impl Runner {
    /// Waits until all members have taken in the same changes, and compares their hashes of them.
    pub(super) async fn compare_revisions(&mut self, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        let nodes = self.members();
        let revision = loop {
            let all = self.revisions().await;
            let first = all.values().next().copied().filter(|revision| 0 < *revision);
            if let Some(first) = first
                && all.len() == nodes.len()
                && all.values().all(|other| *other == first)
            {
                break first;
            }
            if deadline < Instant::now() {
                return "hash not compared".to_owned();
            }
            sleep(Duration::from_millis(50)).await;
        };
        let index = u64::try_from(revision).unwrap_or(0);
        let mut hashes: BTreeMap<NodeId, u64> = BTreeMap::new();
        for (id, mut probe) in self.watch.probes() {
            match timeout(HASHING_MAX, probe.hash(revision)).await {
                Ok(Ok(hash)) => drop(hashes.insert(id, hash)),
                Ok(Err(_)) | Err(_) => return "hash not compared".to_owned(),
            }
        }
        self.compared = finish::Compared { index: Some(index), caught_up: true };
        let mut pairs = hashes.iter();
        let (one, hash) = pairs.next().map_or((NodeId(0), 0), |(id, hash)| (*id, *hash));
        if let Some((other, other_hash)) = pairs.find(|(_, other)| **other != hash) {
            self.journal.record(&Event::Diverged {
                node: one.0,
                other: other.0,
                index,
                hash: format!("{hash:016x}"),
                other_hash: format!("{other_hash:016x}"),
            });
            return "hash DIFFERS".to_owned();
        }
        let names: Vec<_> = hashes.keys().map(ToString::to_string).collect();
        format!("hash {} @ revision {}", names.join("="), grouped(index))
    }

    /// How far each member is that answers.
    async fn revisions(&self) -> BTreeMap<NodeId, i64> {
        let mut revisions = BTreeMap::new();
        for (id, mut probe) in self.watch.probes() {
            if let Ok(Ok(revision)) = timeout(PATIENCE, probe.revision()).await {
                revisions.insert(id, revision);
            }
        }
        revisions
    }
}
