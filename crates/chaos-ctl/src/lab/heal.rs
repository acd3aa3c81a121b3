//! Faults under way, and how they end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use chaos_net::{Counters, Link, Shape};
use raft_api::units::DurationRange;

use super::change::Change;
use super::engine::Engine;
use super::record::Record;
use crate::NodeId;
use crate::events::{micros, monotonic_us};
use crate::exit::Failure;
use crate::plan::{Condition, Fault};

/// A fault under way.
#[derive(Debug)]
pub(crate) struct Active {
    /// Its record.
    pub(super) record: usize,
    pub(super) fault: Fault,
    /// When it ends, unless something else ends it.
    pub(super) ends: Instant,
    pub(super) until: Option<Condition>,
    /// Members that cannot take part meanwhile.
    pub(super) misses: BTreeSet<NodeId>,
    pub(super) work: Work,
}

/// What is undone in the end.
#[derive(Debug)]
pub(super) enum Work {
    /// The runner starts the nodes again.
    Down,
    /// These stand still.
    Paused(BTreeSet<NodeId>),
    /// These links are not clear.
    Links(LinksWork),
    /// These disks are in trouble.
    Disks(BTreeSet<NodeId>, BTreeMap<NodeId, super::disks::Ledger>),
    /// These clocks go wrong.
    Clocks(BTreeSet<NodeId>),
    /// These may open no files.
    Files(BTreeMap<NodeId, (u64, u64)>),
    /// Nobody reads the logs of these.
    Logs(BTreeSet<NodeId>),
    /// The leader hands over.
    Transfer(super::transfer::Handover),
    /// The membership changes.
    Change(Box<ChangeWork>),
}

/// Links that are not clear.
#[derive(Debug)]
pub(super) struct LinksWork {
    /// What they are made to do now.
    pub(super) shapes: BTreeMap<Link, Shape>,
    /// What happens to them later.
    pub(super) steps: VecDeque<(Instant, Link, Shape)>,
    /// What they had counted before.
    pub(super) before: BTreeMap<Link, Counters>,
}

/// A change of the membership under way.
#[derive(Debug)]
pub(super) struct ChangeWork {
    pub(super) change: Change,
    pub(super) members: BTreeSet<NodeId>,
    pub(super) begun: Instant,
}

impl Active {
    /// Whether another fault has to wait for this one.
    pub(super) fn excludes(&self, other: &Fault, victims: &BTreeSet<NodeId>) -> bool {
        let same_node = self.misses.iter().any(|node| victims.contains(node));
        let partitions = |fault: &Fault| matches!(fault, Fault::Partition(_) | Fault::Swizzle(_));
        let changes = |fault: &Fault| matches!(fault, Fault::Membership(_) | Fault::Transfer(_));
        let same_kind_there = self.fault.kind() == other.kind()
            && match &self.work {
                Work::Paused(nodes) | Work::Disks(nodes, _) | Work::Clocks(nodes) => {
                    nodes.iter().any(|node| victims.contains(node))
                }
                Work::Files(files) => files.keys().any(|node| victims.contains(node)),
                _ => false,
            };
        partitions(&self.fault) && partitions(other)
            || changes(&self.fault) && changes(other)
            || same_kind_there
            || same_node && other.takes_down() && self.fault.kind() == other.kind()
    }
}

impl Engine {
    /// Ends faults whose time is over, or that have reached what they were for.
    pub(super) async fn end_what_is_over(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        self.take_steps(now).await?;
        let mut place = 0;
        while place < self.active.len() {
            if self.is_over(place, now).await? {
                let active = self.active.remove(place);
                self.end(active).await?;
            } else {
                place += 1;
            }
        }
        Ok(())
    }

    /// Ends everything that is under way.
    pub(crate) async fn heal_all(&mut self) -> Result<(), Failure> {
        while let Some(active) = self.active.pop() {
            self.end(active).await?;
        }
        Ok(())
    }

    async fn is_over(&mut self, place: usize, now: Instant) -> Result<bool, Failure> {
        let due = self.active[place].ends <= now;
        if let Some(until) = self.active[place].until
            && self.holds(until, place).await
        {
            let what = match until {
                Condition::SnapshotNeeded => "snapshots needed",
                Condition::NewLeader => "new leaders",
            };
            let record = self.active[place].record;
            self.records[record].count(what, 1);
            return Ok(true);
        }
        let active = &mut self.active[place];
        Ok(match &mut active.work {
            // The nodes come back when the runner starts them.
            Work::Down => {
                let nodes = &self.records[active.record].nodes;
                due && nodes.iter().all(|id| !self.runner.absent().contains(id))
            }
            Work::Disks(nodes, _) if active.fault.kind() == "disk_error" => {
                due || nodes.iter().all(|id| !self.runner.cluster().process(*id).is_running())
            }
            Work::Transfer(handover) => handover.is_done() || due,
            Work::Change(work) => work.change.is_done(),
            _ => due,
        })
    }

    /// Whether a condition holds for a fault under way.
    async fn holds(&mut self, condition: Condition, place: usize) -> bool {
        let record = &self.records[self.active[place].record];
        let (nodes, before) = (record.nodes.clone(), record.before);
        match condition {
            Condition::NewLeader => {
                self.runner.leader().is_some_and(|now| before.is_none_or(|it| it.1 < now.1))
            }
            Condition::SnapshotNeeded => {
                let view = self.runner.observe().await;
                let applied = nodes.iter().map(|id| self.runner.applied(*id)).min().unwrap_or(0);
                let others: Vec<_> = view.answers().filter(|(id, _)| !nodes.contains(id)).collect();
                !others.is_empty()
                    && others.iter().all(|(_, status)| applied + 1 < status.first_index)
            }
        }
    }

    async fn end(&mut self, active: Active) -> Result<(), Failure> {
        let Active { record, fault, work, .. } = active;
        match work {
            Work::Down => {
                let nodes = self.records[record].nodes.clone();
                self.runner.hasten(&nodes);
            }
            Work::Paused(nodes) => {
                for id in nodes {
                    self.runner.resume(id);
                }
            }
            Work::Links(links) => self.end_links(record, links).await?,
            Work::Disks(nodes, before) => self.end_disks(record, &fault, &nodes, &before)?,
            Work::Clocks(nodes) => self.end_clocks(record, &nodes)?,
            Work::Files(files) => self.end_files(record, files),
            Work::Logs(nodes) => self.end_logs(record, &nodes).await?,
            Work::Transfer(handover) => self.end_transfer(record, handover),
            Work::Change(change) => self.end_change(record, *change)?,
        }
        let now = monotonic_us();
        let finished = &mut self.records[record];
        finished.until_us.get_or_insert(now);
        finished.conclude("nothing shows that it bit");
        let event = finished.over();
        self.runner.journal().record(&event);
        // Whoever was cut off has to show anew that it keeps up.
        for id in self.records[record].nodes.clone() {
            self.runner.doubt(id);
        }
        Ok(())
    }

    fn end_change(&mut self, record: usize, work: ChangeWork) -> Result<(), Failure> {
        let ChangeWork { change, members, begun } = work;
        let what = self.records[record].what.clone();
        match change.outcome() {
            Ok(done) => {
                let took = done.duration_since(begun);
                let before: BTreeSet<NodeId> = self.runner.members().into_iter().collect();
                self.runner.set_members(&members, took);
                let removed: Vec<NodeId> = before.difference(&members).copied().collect();
                self.watch_removed(&removed);
                let finished: &mut Record = &mut self.records[record];
                finished.took_us = Some(micros(took));
                finished.count("members changed", 1);
                Ok(())
            }
            Err(why) => Err(Failure::new(crate::exit::Code::TooSlow, format!("{what}: {why}"))),
        }
    }
}

/// How long a fault lasts, as it is settled.
pub(super) fn lasts(fault: &Fault) -> Duration {
    fault.lasts().map_or(Duration::ZERO, DurationRange::max)
}
