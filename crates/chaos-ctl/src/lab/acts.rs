//! How each fault begins.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::change;
use super::disks::HANG_MAX;
use super::engine::Engine;
use super::heal::{Active, ChangeWork, Work, lasts};
use super::record::{Outcome, names};
use super::transfer::{HANDOVER_MAX, Handover};
use crate::NodeId;
use crate::events::{Shown, micros};
use crate::exit::{Code, Failure};
use crate::plan::{Draw, Fault, Membership, MembershipChange, NodeFault};
use crate::runner::role_in;
use crate::watch::View;

/// A change ends by itself; this is for a fault of ours.
const CHANGE_MAX: Duration = Duration::from_mins(5);

impl Engine {
    /// Begins a fault whose victims are known.
    pub(super) async fn begin(
        &mut self,
        record: usize,
        draw: &Draw,
        view: &View,
    ) -> Result<(), Failure> {
        let cannot = self.parts.system.cannot(&draw.fault).map(str::to_owned);
        if let Some(why) = cannot.or_else(|| self.not_here(draw.fault.needs())) {
            draw.fault.kind().clone_into(&mut self.records[record].what);
            self.skip(record, why);
            return Ok(());
        }
        let nodes = self.records[record].nodes.clone();
        let time = Shown(micros(lasts(&draw.fault)));
        let work = match &draw.fault {
            Fault::Kill(_) => self.kill(record, draw, view).await?,
            Fault::PowerLoss(_) => {
                self.hang_syncs(&nodes).await?;
                let work = self.kill(record, draw, view).await?;
                self.count_dropped(record);
                self.parts.disks.as_mut().map_or(Ok(()), |disks| disks.hang(&nodes, false))?;
                work
            }
            Fault::Restart(_) => return self.restart(record, view).await,
            Fault::Pause(_) => {
                self.records[record].what = format!("SIGSTOP {} for {time}", named(&nodes, view));
                for &id in &nodes {
                    self.runner.pause(id, role_in(view, id));
                }
                self.count_stopped(record, &nodes).await?;
                Work::Paused(nodes.clone())
            }
            Fault::Partition(_) | Fault::Link(_) | Fault::Swizzle(_) => {
                self.begin_links(record, draw, view).await?
            }
            Fault::SlowDisk(_) | Fault::DiskError(_) | Fault::DiskFull(_) => {
                self.begin_disks(record, draw, view)?
            }
            Fault::Clock(clock) => self.begin_clocks(record, clock, view)?,
            Fault::FileDescriptors(_) => self.begin_files(record, view, lasts(&draw.fault)),
            Fault::BitFlip(_) => return self.flip(record, draw, view).await,
            Fault::BlockLog(_) => self.begin_logs(record, view, lasts(&draw.fault)),
            Fault::Transfer(_) => self.begin_transfer(record, view)?,
            Fault::Membership(membership) => self.begin_change(record, membership).await?,
        };
        let ends = Instant::now()
            + match &work {
                Work::Change(_) => CHANGE_MAX,
                Work::Transfer(_) => HANDOVER_MAX,
                _ => lasts(&draw.fault),
            };
        let misses = match &draw.fault {
            Fault::Partition(_) => self.cut_off(record, draw),
            fault if fault.takes_down() => nodes,
            _ => BTreeSet::new(),
        };
        let fault = draw.fault.clone();
        self.active.push(Active { record, fault, ends, until: draw.until, misses, work });
        Ok(())
    }

    /// Why a fault cannot be had here.
    fn not_here(&self, needs: NodeFault) -> Option<String> {
        let missing = |part: &'static str| self.parts.missing.get(part).cloned();
        match needs {
            NodeFault::Net => self.parts.net.is_none().then(|| "no proxies".to_owned()),
            NodeFault::Disk => self
                .parts
                .disks
                .is_none()
                .then(|| missing("disk").unwrap_or_else(|| "no laboratory disks".to_owned())),
            NodeFault::Clock => missing("clock"),
            NodeFault::Log => missing("log"),
            NodeFault::None => None,
        }
    }

    async fn kill(&mut self, record: usize, draw: &Draw, view: &View) -> Result<Work, Failure> {
        let nodes = self.records[record].nodes.clone();
        let word = if draw.fault.kind() == "kill" { "SIGKILL" } else { "power loss" };
        self.records[record].what = format!("{word} {}", named(&nodes, view));
        let downtime = lasts(&draw.fault);
        // First all signals, then all funerals.
        if 1 < nodes.len() {
            self.runner.signal_kill(&nodes);
        }
        for id in nodes {
            match self.runner.kill(id, role_in(view, id), downtime).await? {
                Some(strike) => {
                    let record = &mut self.records[record];
                    record.count("killed by SIGKILL", 1);
                    record.took_us = record.took_us.max(Some(micros(strike.took)));
                }
                None => {
                    return Err(Failure::new(Code::Crashed, format!("{id} had ended by itself")));
                }
            }
        }
        Ok(Work::Down)
    }

    /// Looks whether the system shows these as stopped, which takes it a moment.
    async fn count_stopped(
        &mut self,
        record: usize,
        nodes: &BTreeSet<NodeId>,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_millis(100);
        let seen =
            |engine: &Self| nodes.iter().filter(|id| engine.runner.is_seen_paused(**id)).count();
        while seen(self) < nodes.len() && Instant::now() < deadline {
            self.pass(Duration::from_millis(2)).await?;
        }
        let seen = u64::try_from(seen(self)).unwrap_or(0);
        self.records[record].count("nodes seen stopped", seen);
        Ok(())
    }

    /// Has something under way to the disks of these nodes when their power goes.
    async fn hang_syncs(&mut self, nodes: &BTreeSet<NodeId>) -> Result<(), Failure> {
        let Some(disks) = &mut self.parts.disks else { return Ok(()) };
        disks.hang(nodes, true)?;
        let deadline = Instant::now() + HANG_MAX;
        let waits =
            |engine: &Self| engine.parts.disks.as_ref().is_some_and(|it| !it.hold_back(nodes));
        while waits(self) && Instant::now() < deadline {
            self.pass(Duration::from_millis(2)).await?;
        }
        Ok(())
    }

    /// What a power loss took.
    fn count_dropped(&mut self, record: usize) {
        let Some(disks) = &self.parts.disks else { return };
        let ledgers = self.records[record].nodes.iter().filter_map(|id| disks.ledger(*id));
        let (mut bytes, mut names, mut count) = (0, 0, 0);
        for ledger in ledgers {
            (bytes, names, count) =
                (bytes + ledger.unsynced_bytes, names + ledger.unsynced_names, count + 1);
        }
        let record = &mut self.records[record];
        record.count("unsynced bytes dropped", bytes);
        record.count("unsynced names dropped", names);
        record.count("disks that held back what was not synced", count);
    }

    /// Ends a node with SIGTERM; the runner starts it again at once.
    async fn restart(&mut self, record: usize, view: &View) -> Result<(), Failure> {
        let nodes = self.records[record].nodes.clone();
        self.records[record].what = format!("SIGTERM {}", named(&nodes, view));
        for id in nodes {
            let Some(strike) = self.runner.terminate(id, role_in(view, id)).await? else {
                let what = format!("{id} did not end cleanly when it was asked to");
                return Err(Failure::new(Code::Crashed, what));
            };
            let record = &mut self.records[record];
            record.count("clean ends after SIGTERM", 1);
            record.took_us = record.took_us.max(Some(micros(strike.took)));
        }
        let record = &mut self.records[record];
        record.outcome = Outcome::Installed;
        let event = record.over();
        self.runner.journal().record(&event);
        Ok(())
    }

    fn begin_transfer(&mut self, record: usize, view: &View) -> Result<Work, Failure> {
        let to = self.records[record].nodes.first().copied();
        let leader = view.leader().map(|(leader, _)| leader);
        let (Some(to), Some(leader)) = (to, leader) else {
            return Err(Failure::new(Code::Internal, "a hand-over without a leader"));
        };
        self.records[record].what = format!("{leader} hands over to {to}");
        self.announce(record);
        Ok(Work::Transfer(Handover::begin(self.runner.client_of(leader)?, to)))
    }

    async fn begin_change(
        &mut self,
        record: usize,
        membership: &Membership,
    ) -> Result<Work, Failure> {
        let before: BTreeSet<NodeId> = self.runner.members().into_iter().collect();
        let mut members = before.clone();
        let target = self.records[record].nodes.first().copied();
        let what = match membership.change {
            MembershipChange::Grow => {
                let new = [self.newcomer().await?, self.newcomer().await?];
                members.extend(new);
                format!("grow to {}: add {} {}", members.len(), new[0], new[1])
            }
            MembershipChange::Shrink => {
                let leave: Vec<NodeId> = before.iter().copied().take(2).collect();
                members.retain(|id| !leave.contains(id));
                format!(
                    "shrink to {}: remove {}",
                    members.len(),
                    names(&leave.into_iter().collect())
                )
            }
            MembershipChange::Replace => {
                let new = self.newcomer().await?;
                let old = target.filter(|id| before.contains(id));
                let Some(old) = old.or_else(|| before.first().copied()) else {
                    return Err(Failure::new(Code::Internal, "a cluster without members"));
                };
                members.remove(&old);
                members.insert(new);
                format!("replace {old} by {new}")
            }
        };
        let before = std::mem::take(&mut self.records[record].what);
        self.records[record].what =
            if before.is_empty() { what } else { format!("{before}; {what}") };
        self.announce(record);
        let change = change::begin(&self.runner, &members)?;
        Ok(Work::Change(Box::new(ChangeWork { change, members, begun: Instant::now() })))
    }

    async fn newcomer(&mut self) -> Result<NodeId, Failure> {
        let id = NodeId(self.fresh);
        self.fresh += 1;
        self.runner.join(id).await?;
        Ok(id)
    }
}

/// Nodes and what they are: `n1 leader, n2 follower`.
pub(super) fn named(nodes: &BTreeSet<NodeId>, view: &View) -> String {
    let words = nodes.iter().map(|id| format!("{id} {}", role_in(view, *id)));
    words.collect::<Vec<_>>().join(", ")
}

/// How much larger some figures have become.
pub(crate) fn growth(
    before: &[(&'static str, u64)],
    after: &[(&'static str, u64)],
) -> BTreeMap<&'static str, u64> {
    let then: BTreeMap<_, _> = before.iter().copied().collect();
    let grown =
        after.iter().map(|(name, now)| (*name, now.saturating_sub(*then.get(name).unwrap_or(&0))));
    grown.filter(|(_, more)| 0 < *more).collect()
}
