//! What goes wrong, and when.

use std::collections::BTreeSet;

use raft_core::{Membership, NodeId, RoleName};

use super::World;
use crate::agenda::{Arrival, Event};
use crate::host::{End, Host};
use crate::invariants::Violation;
use crate::network::Path;
use crate::plan::{Act, Who};
use crate::rng::Rng;
use crate::sometimes::Mark;
use crate::word::{Salt, Span};

impl World {
    /// Does what is planned, as far as that is possible now.
    pub(super) fn act(&mut self, act: Act) -> Result<(), Violation> {
        self.env.witness.trace.note(self.env.now_us, format_args!("act: {act}"));
        match act {
            Act::Wish { kind, salt } => {
                self.sow(salt);
                self.wish_for_members(kind);
            }
            Act::Lead { salt } => {
                self.sow(salt);
                self.wish_for_a_leader();
            }
            Act::PutAway { salt } => {
                self.sow(salt);
                self.put_away();
            }
            Act::AllDown { salt: Salt(salt) } => self.end_all(&mut Rng::stream(salt, "end")),
            Act::Partition { side, lasts } => self.cut_off(&side, lasts),
            Act::Cut { from, to, lasts } => {
                if let (Some(from), Some(to)) = (self.find(from), self.find(to)) {
                    self.env.witness.sometimes.hit(Mark::CutOneWay);
                    self.cut(vec![(from, to)], lasts);
                }
            }
            Act::FalseHint { told, of } => {
                if let (Some(told), Some(of)) = (self.find(told), self.find(of))
                    && told != of
                {
                    self.env.witness.sometimes.hit(Mark::FalseHint);
                    self.env.after(0, Event::Arrive(told, Arrival::PeerDown(of)));
                }
            }
            Act::Power { who, .. }
            | Act::Kill { who, .. }
            | Act::Fuse { who, .. }
            | Act::SyncError { who, .. }
            | Act::WriteError { who, .. }
            | Act::ReadError { who, .. }
            | Act::Full { who, .. }
            | Act::Rot { who, .. }
            | Act::DiskLost { who, .. }
            | Act::Pause { who, .. }
            | Act::CutOff { who, .. }
            | Act::Clog { who, .. }
            | Act::Slow { who, .. }
            | Act::Stall { who, .. } => {
                if let Some(id) = self.find(who) {
                    return self.strike(id, &act);
                }
            }
        }
        Ok(())
    }

    /// Something happens to one of them.
    fn strike(&mut self, id: NodeId, act: &Act) -> Result<(), Violation> {
        let now_us = self.env.now_us;
        let Some(host) = self.hosts.get_mut(&id) else { return Ok(()) };
        match *act {
            Act::Power { down, .. } => self.end(id, End::Power, down),
            Act::Kill { down, .. } => self.end(id, End::Kill, down),
            Act::Fuse { changes, .. } => host.disk().light_fuse(changes),
            Act::SyncError { stays, .. } => host.disk().fail_next_sync(stays),
            Act::WriteError { after, .. } => host.disk().fail_change(after),
            Act::ReadError { after, .. } => host.disk().fail_read(after),
            Act::Full { room, lasts, .. } => {
                host.disk().limit(Some(room));
                self.env.after(lasts.0, Event::Free(id));
            }
            Act::Rot { salt: Salt(salt), .. } => return self.rot(id, salt),
            Act::DiskLost { down, .. } => self.lose_disk(id, down),
            Act::Pause { lasts, .. } => {
                self.env.witness.sometimes.hit(Mark::Paused);
                let deposed = host.pause(&self.env, lasts.0);
                self.env.witness.sometimes.add(Mark::LeaderPaused, u64::from(deposed));
            }
            Act::CutOff { lasts, .. } => self.cut_off(&BTreeSet::from([id]), lasts),
            Act::Clog { lasts, .. } => self.env.network.clog(id, now_us + lasts.0),
            Act::Slow { times, lasts, .. } => {
                host.slow_down(times);
                self.env.after(lasts.0, Event::Hasten(id));
            }
            Act::Stall { lasts, .. } => host.stall(now_us + lasts.0),
            Act::AllDown { .. }
            | Act::Partition { .. }
            | Act::Cut { .. }
            | Act::FalseHint { .. }
            | Act::Wish { .. }
            | Act::Lead { .. }
            | Act::PutAway { .. } => (),
        }
        Ok(())
    }

    /// Who is meant: a machine that is switched on.
    fn find(&self, who: Who) -> Option<NodeId> {
        let id = match who {
            Who::Leader => self.leader()?,
            Who::Node(id) => id,
        };
        self.hosts.get(&id).filter(|host| host.is_on()).map(|host| host.id)
    }

    fn end_all(&mut self, rng: &mut Rng) {
        self.env.witness.sometimes.hit(Mark::AllDown);
        for id in self.running() {
            let how = rng.pick(&[End::Power, End::Kill]);
            self.end(id, how, Span(rng.between(1_000, 1_500_000)));
        }
    }

    /// A member's disk is lost for good, and its machine goes on with an empty one: if the others can
    /// do without it, and all of them know whom they have lost. Of a disk that nobody has met nobody
    /// can say that it is another one.
    fn lose_disk(&mut self, id: NodeId, down: Span) {
        if !self.can_be_lost(id) {
            return;
        }
        self.env.witness.sometimes.hit(Mark::DiskLost);
        if let Some(host) = self.hosts.get_mut(&id) {
            host.wipe(&mut self.env);
        }
        self.env.after(down.0, Event::Start(id));
    }

    /// A bit flips on a member's disk while its power is off. If it notices, the disk is as good as
    /// lost.
    fn rot(&mut self, id: NodeId, salt: u64) -> Result<(), Violation> {
        if !self.can_be_lost(id) {
            return Ok(());
        }
        let Some(host) = self.hosts.get_mut(&id) else { return Ok(()) };
        host.end(&mut self.env, End::Power);
        if host.rot(&mut self.env, salt)? {
            host.wipe(&mut self.env);
            self.env.after(1_000, Event::Start(id));
        }
        Ok(())
    }

    fn can_be_lost(&mut self, id: NodeId) -> bool {
        let ledger = &self.env.witness.ledger;
        let Some(host) = self.hosts.get(&id) else { return false };
        let Some(incarnation) = host.incarnation() else { return false };
        let membership = ledger.membership();
        let Some(seat) = membership.seat_id(id) else { return false };
        let met = |other: NodeId| {
            other == id
                || ledger.disks.get(&other).and_then(|disk| disk.peers.get(&seat))
                    == Some(&incarnation)
        };
        let members: BTreeSet<NodeId> = ledger.possible().flat_map(Membership::members).collect();
        let fit = !ledger.is_lost(membership, id) && members.into_iter().all(met);
        fit && self.can_do_without(&BTreeSet::from([id]))
    }

    fn end(&mut self, id: NodeId, how: End, down: Span) {
        let Some(host) = self.hosts.get_mut(&id) else { return };
        if host.replica().is_some() {
            host.end(&mut self.env, how);
            self.env.after(down.0, Event::Start(id));
        }
    }

    /// Cuts these off from all others.
    pub(super) fn cut_off(&mut self, side: &BTreeSet<NodeId>, lasts: Span) {
        self.env.witness.sometimes.hit(Mark::Partitioned);
        let links = self.env.network.crossing(side);
        self.cut(links, lasts);
    }

    fn cut(&mut self, links: Vec<Path>, lasts: Span) {
        self.env.network.cut(&links);
        self.env.after(lasts.0, Event::Mend(self.healings, links));
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
}
