//! What goes wrong, and when.

use std::collections::BTreeSet;

use raft_core::{NodeId, RoleName};

use super::World;
use crate::agenda::Event;
use crate::host::{End, Host};
use crate::scenario::Fault;
use crate::sometimes::Mark;

impl World {
    /// Something goes wrong, and the next thing that goes wrong is planned.
    pub(super) fn fault(&mut self) {
        if !self.env.faulty {
            return;
        }
        let gap_us = self.env.scenario.fault_gap_us;
        let gap_us = self.nemesis.between(gap_us / 10, gap_us * 2);
        self.env.after(gap_us, Event::Fault);
        let faults: Vec<Fault> = self.env.scenario.faults.iter().copied().collect();
        if faults.is_empty() {
            return;
        }
        let fault = self.nemesis.pick(&faults);
        let ids = self.env.scenario.ids();
        let id = self.leader().filter(|_| self.nemesis.chance(400));
        let id = id.unwrap_or_else(|| self.nemesis.pick(&ids));
        self.env.witness.trace.note(self.env.now_us, format_args!("fault: {fault:?}, {id}"));
        match fault {
            Fault::Power => self.end(id, End::Power),
            Fault::Kill => self.end(id, End::Kill),
            Fault::AllDown => {
                self.env.witness.sometimes.hit(Mark::AllDown);
                for id in ids {
                    let how = self.nemesis.pick(&[End::Power, End::Kill]);
                    self.end(id, how);
                }
            }
            Fault::Fuse => self.host(id).light_fuse(),
            Fault::SyncError => self.host(id).fail_next_sync(),
            Fault::Pause => {
                self.env.witness.sometimes.hit(Mark::Paused);
                let until_us = self.env.now_us + self.nemesis.between(10_000, 1_500_000);
                self.host(id).pause(until_us);
            }
            Fault::Partition => {
                let side = ids.into_iter().filter(|_| self.nemesis.chance(500)).collect();
                self.env.witness.sometimes.hit(Mark::Partitioned);
                self.env.network.partition(&side);
                self.plan_mending();
            }
            Fault::Cut => self.cut(id),
            Fault::SlowDisk => {
                let times = self.nemesis.pick(&[5, 20, 100]);
                self.host(id).slow_down(times);
                let delay = self.nemesis.between(100_000, 1_000_000);
                self.env.after(delay, Event::Hasten(id));
            }
            // These are always there if they are there at all.
            Fault::Loss | Fault::Reorder | Fault::Drift => (),
        }
    }

    fn end(&mut self, id: NodeId, how: End) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        if host.replica().is_some() {
            host.end(&mut self.env, how);
            let downtime = self.nemesis.between(1_000, 1_500_000);
            self.env.after(downtime, Event::Start(id));
        }
    }

    /// Cuts a node off, or a single link in one direction.
    fn cut(&mut self, id: NodeId) {
        if self.nemesis.chance(500) {
            self.env.witness.sometimes.hit(Mark::Partitioned);
            self.env.network.partition(&BTreeSet::from([id]));
        } else {
            self.env.witness.sometimes.hit(Mark::CutOneWay);
            let other = self.nemesis.pick(&self.env.scenario.ids());
            let (from, to) = if self.nemesis.chance(500) { (id, other) } else { (other, id) };
            self.env.network.cut(from, to);
        }
        self.plan_mending();
    }

    fn plan_mending(&mut self) {
        self.cuts += 1;
        let delay = self.nemesis.between(50_000, 2_000_000);
        self.env.after(delay, Event::Mend(self.cuts));
    }

    /// Who leads, as far as somebody thinks so.
    fn leader(&self) -> Option<NodeId> {
        let leads = |host: &&Host| {
            host.replica().is_some_and(|replica| replica.node().role() == RoleName::Leader)
        };
        self.hosts.values().find(leads).map(|host| host.id)
    }

    fn host(&mut self, id: NodeId) -> &mut Host {
        self.hosts.get_mut(&id).expect("every id of the scenario has a host")
    }
}
