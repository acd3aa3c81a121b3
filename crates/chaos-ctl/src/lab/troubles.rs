//! Faults of one node's surroundings: its disk, its clock, its files, its log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use super::acts::named;
use super::disks::Ledger;
use super::engine::Engine;
use super::heal::{Work, lasts};
use crate::NodeId;
use crate::events::{Shown, micros};
use crate::exit::Failure;
use crate::plan::{Clock, Draw, Fault};
use crate::procfs;
use crate::watch::View;

impl Engine {
    pub(super) fn begin_disks(
        &mut self,
        record: usize,
        draw: &Draw,
        view: &View,
    ) -> Result<Work, Failure> {
        let nodes = self.records[record].nodes.clone();
        let time = lasts(&draw.fault);
        let disks = self.parts.disks.as_mut().expect("faults of disks come only with them");
        let before = nodes.iter().map(|id| (*id, disks.ledger(*id).unwrap_or_default())).collect();
        let who = named(&nodes, view);
        let shown = Shown(micros(time));
        self.records[record].what = match &draw.fault {
            Fault::SlowDisk(slow) => {
                format!("each sync of {who} takes {} longer for {shown}", slow.sync)
            }
            Fault::DiskError(_) => format!("the next sync of {who} fails"),
            _ => format!("the disk of {who} is full for {shown}"),
        };
        for &id in &nodes {
            let change: Box<dyn FnOnce(&mut super::disks::Control)> = match &draw.fault {
                Fault::SlowDisk(slow) => {
                    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                    let range = [ms(slow.sync.min()), ms(slow.sync.max())];
                    Box::new(move |control| control.slow_sync_ms = Some(range))
                }
                Fault::DiskError(_) => Box::new(|control| control.sync_error = true),
                _ => Box::new(|control| control.full = true),
            };
            let disks = self.parts.disks.as_mut().expect("looked at above");
            disks.order(id, change)?;
            if matches!(draw.fault, Fault::DiskError(_)) {
                self.runner.excuse(id, Some(time));
            }
        }
        self.announce(record);
        Ok(Work::Disks(nodes, before))
    }

    pub(super) fn end_disks(
        &mut self,
        record: usize,
        fault: &Fault,
        nodes: &BTreeSet<NodeId>,
        before: &BTreeMap<NodeId, Ledger>,
    ) -> Result<(), Failure> {
        let disks = self.parts.disks.as_mut().expect("faults of disks come only with them");
        for &id in nodes {
            let then = before.get(&id).copied().unwrap_or_default();
            let now = disks.ledger(id).unwrap_or_default();
            // A process that has ended since counts from 0.
            let more = |then: u64, now: u64| if then <= now { now - then } else { now };
            let found = &mut self.records[record];
            match fault {
                Fault::SlowDisk(_) => {
                    found.count("syncs slowed", more(then.syncs_slowed, now.syncs_slowed));
                }
                Fault::DiskError(_) => {
                    found.count("syncs failed", more(then.syncs_failed, now.syncs_failed));
                }
                _ => {
                    let refused = more(then.refused_full, now.refused_full);
                    found.count("writes refused", refused);
                }
            }
            disks.order(id, |control| match fault {
                Fault::SlowDisk(_) => control.slow_sync_ms = None,
                Fault::DiskError(_) => control.sync_error = false,
                _ => control.full = false,
            })?;
            if matches!(fault, Fault::DiskError(_))
                && self.runner.cluster().process(id).is_running()
                && !self.runner.absent().contains(&id)
            {
                // It made no sync in all this time.
                self.runner.excuse(id, None);
            }
        }
        Ok(())
    }

    pub(super) fn begin_clocks(
        &mut self,
        record: usize,
        clock: &Clock,
        view: &View,
    ) -> Result<Work, Failure> {
        let nodes = self.records[record].nodes.clone();
        let time = Shown(micros(clock.lasts.max()));
        let (setting, words) = match (clock.jump_s, clock.rate_percent) {
            (Some(jump), _) => (format!("{jump:+}"), format!("jumps by {jump:+} s")),
            (None, Some(rate)) => {
                let factor = f64::from(rate) / 100.0;
                (format!("+0 x{factor}"), format!("goes {factor} times as fast"))
            }
            (None, None) => ("+0".to_owned(), "is right".to_owned()),
        };
        self.records[record].what =
            format!("the wall clock of {} {words} for {time}", named(&nodes, view));
        self.announce(record);
        for &id in &nodes {
            self.set_clock(id, &setting)?;
        }
        Ok(Work::Clocks(nodes))
    }

    pub(super) fn end_clocks(
        &mut self,
        record: usize,
        nodes: &BTreeSet<NodeId>,
    ) -> Result<(), Failure> {
        for &id in nodes {
            let pid = self.runner.cluster().pid(id);
            let maps = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/maps")).ok());
            if maps.is_some_and(|maps| maps.contains("libfaketime")) {
                self.records[record].count("clocks read through libfaketime", 1);
            }
            self.set_clock(id, "+0")?;
        }
        Ok(())
    }

    fn set_clock(&self, id: NodeId, setting: &str) -> Result<(), Failure> {
        let dir = self.parts.clocks.as_ref().expect("faults of clocks come only with them");
        let file = dir.join(id.to_string());
        let written = fs::write(&file, format!("{setting}\n"));
        written
            .map_err(|error| Failure::usage(format!("could not write {}: {error}", file.display())))
    }

    pub(super) fn begin_logs(&mut self, record: usize, view: &View, time: Duration) -> Work {
        let nodes = self.records[record].nodes.clone();
        let shown = Shown(micros(time));
        self.records[record].what =
            format!("nobody reads the log of {} for {shown}", named(&nodes, view));
        self.announce(record);
        for &id in &nodes {
            self.runner.cluster().process(id).block_log(true);
        }
        Work::Logs(nodes)
    }

    pub(super) async fn end_logs(
        &mut self,
        record: usize,
        nodes: &BTreeSet<NodeId>,
    ) -> Result<(), Failure> {
        for &id in nodes {
            let before = self.runner.cluster().process(id).block_log(false).unwrap_or(0);
            self.pass(Duration::from_millis(20)).await?;
            let after = self.runner.cluster().process(id).block_log(false).unwrap_or(0);
            self.records[record].count("bytes stuck in the pipe", after.saturating_sub(before));
        }
        Ok(())
    }

    /// From now on the nodes may open no more files and accept no connections.
    pub(super) fn begin_files(&mut self, record: usize, view: &View, time: Duration) -> Work {
        let nodes = self.records[record].nodes.clone();
        let shown = Shown(micros(time));
        self.records[record].what =
            format!("{} can open no file and no socket for {shown}", named(&nodes, view));
        self.announce(record);
        let mut before = BTreeMap::new();
        for id in nodes {
            let Some(pid) = self.runner.cluster().pid(id) else { continue };
            let open = procfs::open_files(pid);
            if let Some(old) = procfs::limit_files(pid, open) {
                before.insert(id, old);
                // A node that must open a file and cannot may end itself.
                self.runner.excuse(id, Some(Duration::from_secs(1)));
            }
        }
        Work::Files(before)
    }

    pub(super) fn end_files(&mut self, record: usize, files: BTreeMap<NodeId, (u64, u64)>) {
        for (id, (soft, hard)) in files {
            // It may be back already, as a process that has all the files it wants.
            if self.runner.excuse(id, None).is_none() {
                self.records[record].count("nodes that ended for want of files", 1);
                continue;
            }
            let Some(pid) = self.runner.cluster().pid(id) else { continue };
            let now = procfs::file_limit(pid);
            if now.is_some_and(|(now, _)| now < soft) {
                self.records[record].count("limits seen in force", 1);
            }
            if procfs::set_file_limit(pid, (soft, hard)).is_none() {
                tracing::warn!(node = %id, "could not lift the limit of open files");
            }
        }
    }
}
