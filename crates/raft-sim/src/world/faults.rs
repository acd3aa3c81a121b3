//! What goes wrong, and when.

use std::collections::BTreeSet;

use raft_core::{Membership, NodeId, RoleName};

use super::World;
use crate::agenda::{Arrival, Event};
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
        let ids: Vec<NodeId> = self.running();
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
                self.cut_off(&side);
            }
            Fault::Cut => self.cut(id),
            Fault::SlowDisk => {
                let times = self.nemesis.pick(&[5, 20, 100]);
                self.host(id).slow_down(times);
                let delay = self.nemesis.between(100_000, 1_000_000);
                self.env.after(delay, Event::Hasten(id));
            }
            Fault::Stall => {
                let most_us = self.env.scenario.election_us() * 4;
                let until_us = self.env.now_us + self.nemesis.between(10_000, most_us);
                self.host(id).stall(until_us);
            }
            Fault::FalseHint => {
                let told = self.nemesis.pick(&ids);
                if told != id {
                    self.env.witness.sometimes.hit(Mark::FalseHint);
                    self.env.after(0, Event::Arrive(told, Arrival::PeerDown(id)));
                }
            }
            Fault::DiskLost => self.lose_disk(id),
            // These are always there if they are there at all.
            Fault::Loss | Fault::Reorder | Fault::Drift => (),
        }
    }

    /// A member's disk is lost for good, and its machine goes on with an empty one: if the others can
    /// do without it, and all of them know whom they have lost. Of a disk that nobody has met nobody
    /// can say that it is another one.
    fn lose_disk(&mut self, id: NodeId) {
        let ledger = &self.env.witness.ledger;
        let Some(host) = self.hosts.get(&id) else { return };
        let Some(incarnation) = host.incarnation() else { return };
        let membership = ledger.membership();
        let Some(seat) = membership.seat_id(id) else { return };
        let met = |other: NodeId| {
            other == id
                || ledger.disks.get(&other).and_then(|disk| disk.peers.get(&seat))
                    == Some(&incarnation)
        };
        let members: BTreeSet<NodeId> = ledger.possible().flat_map(Membership::members).collect();
        let fit = !ledger.is_lost(membership, id) && members.into_iter().all(met);
        if !fit || !self.can_do_without(&BTreeSet::from([id])) {
            return;
        }
        self.env.witness.sometimes.hit(Mark::DiskLost);
        if let Some(host) = self.hosts.get_mut(&id) {
            host.wipe(&mut self.env);
        }
        let downtime = self.nemesis.between(1_000, 1_500_000);
        self.env.after(downtime, Event::Start(id));
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
            self.cut_off(&BTreeSet::from([id]));
        } else {
            self.env.witness.sometimes.hit(Mark::CutOneWay);
            let other = self.nemesis.pick(&self.env.scenario.ids());
            let (from, to) = if self.nemesis.chance(500) { (id, other) } else { (other, id) };
            self.env.network.cut(from, to);
            self.plan_mending();
        }
    }

    /// Cuts these off from all others.
    pub(super) fn cut_off(&mut self, side: &BTreeSet<NodeId>) {
        self.env.witness.sometimes.hit(Mark::Partitioned);
        self.env.network.partition(side);
        self.plan_mending();
    }

    fn plan_mending(&mut self) {
        self.cuts += 1;
        let delay = self.nemesis.between(50_000, 2_000_000);
        self.env.after(delay, Event::Mend(self.cuts));
    }

    /// Who leads the latest term, as far as somebody thinks so.
    pub(super) fn leader(&self) -> Option<NodeId> {
        let led = |host: &Host| {
            let node = host.replica()?.node();
            (node.role() == RoleName::Leader).then(|| (node.term(), host.id))
        };
        self.hosts.values().filter_map(led).max().map(|(_, id)| id)
    }

    /// The machines that are switched on.
    fn running(&self) -> Vec<NodeId> {
        self.hosts.values().filter(|host| host.is_on()).map(|host| host.id).collect()
    }

    fn host(&mut self, id: NodeId) -> &mut Host {
        self.hosts.get_mut(&id).expect("every id of the scenario has a host")
    }
}
