//! Durable means durable: after a restart a node holds exactly what its log's writer had reported
//! done, and the one write that a crash cut short wholly or not at all.

use std::collections::BTreeMap;

use raft_core::{Incarnation, Index, Node, NodeId};
use raft_replica::OpenReport;

use super::ledger::checksum;
use super::{DiskModel, Invariant, Ledger, View};

#[derive(Default)]
pub(super) struct Durability {
    incarnations: BTreeMap<NodeId, Incarnation>,
}

impl Invariant for Durability {
    fn name(&self) -> &'static str {
        "what is durable survives"
    }

    fn on_wipe(&mut self, id: NodeId) {
        self.incarnations.remove(&id);
    }

    fn on_start(
        &mut self,
        ledger: &mut Ledger,
        view: &View<'_>,
        report: &OpenReport,
    ) -> Result<(), String> {
        let known = *self.incarnations.entry(view.id).or_insert(report.incarnation);
        if known != report.incarnation {
            return Err(format!("{} came back as a stranger", view.id));
        }
        let disk = ledger.disk(view.id);
        let perhaps = disk.perhaps.take();
        match (differs(disk, view.node()), perhaps) {
            (None, _) => Ok(()),
            (Some(_), Some(after)) if differs(&after, view.node()).is_none() => {
                *disk = *after;
                Ok(())
            }
            (Some(difference), _) => Err(format!("{} came back with {difference}", view.id)),
        }
    }
}

/// What a node has come back with, if it is not what the disk must hold.
fn differs(disk: &DiskModel, node: &Node) -> Option<String> {
    if (node.term(), node.vote()) != (disk.term, disk.vote) {
        let (term, vote) = (node.term(), node.vote());
        return Some(format!("term {term}, vote {vote:?}, not {}, {:?}", disk.term, disk.vote));
    }
    let snapshot = node.snapshot().map(|meta| meta.last);
    if snapshot != disk.snapshot {
        return Some(format!("snapshot {snapshot:?}, not {:?}", disk.snapshot));
    }
    let covered = disk.snapshot.map_or(Index(0), |last| last.index);
    let last = disk.entries.last_key_value().map_or(covered, |(&index, _)| index.max(covered));
    if node.last().index != last {
        return Some(format!("a log up to {}, not {last}", node.last().index));
    }
    for (&index, &(term, check)) in disk.entries.range(node.first_index()..) {
        let same =
            |entry: &raft_core::Entry| entry.id.term == term && checksum(&entry.payload) == check;
        if !node.entry(index).is_some_and(same) {
            return Some(format!("another entry at {index}, not {index}@{term}"));
        }
    }
    None
}
