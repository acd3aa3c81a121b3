//! After the faults: what is healed must go on, in bounded time.

use std::collections::BTreeSet;

use raft_core::{Instant, NodeId};

use super::World;
use crate::client::Client;
use crate::host::{End, Host};
use crate::invariants::Violation;
use crate::plan::Recovery;
use crate::rng::Rng;
use crate::sometimes::Mark;
use crate::word::Salt;

/// After a majority is healed, a write must be done within this time, and joint configurations left...
const RECOVERY_US: u64 = 30_000_000;
/// ...and then, once everything is healed and the clients are gone, all members must agree within
/// this.
const CONVERGENCE_US: u64 = 30_000_000;

impl World {
    /// Heals a mere majority first, in half of the runs, and then everything.
    pub(super) fn recover(&mut self) -> Result<(), Violation> {
        self.env.faulty = false;
        if let Recovery::Majority { salt, down } = self.recovery {
            self.heal_a_majority(salt, down)?;
            self.demand_progress()?;
        }
        self.heal()?;
        self.demand_progress()?;
        self.demand_agreement()
    }

    /// From now on nothing goes wrong, but for some nodes that stay away: as many as the others can
    /// do without.
    fn heal_a_majority(&mut self, Salt(salt): Salt, down: bool) -> Result<(), Violation> {
        let mut rng = Rng::stream(salt, "recovery");
        let mut away = BTreeSet::new();
        for id in self.env.scenario.ids() {
            let more: BTreeSet<NodeId> = away.iter().copied().chain([id]).collect();
            if rng.chance(500) && self.can_do_without(&more) {
                away = more;
            }
        }
        self.env.witness.trace.note(self.env.now_us, format_args!("healed but for {away:?}"));
        self.env.witness.sometimes.add(Mark::MajorityHealed, u64::from(!away.is_empty()));
        self.heal_network();
        if !down {
            let links = self.env.network.crossing(&away);
            self.env.network.cut(&links);
        }
        for (id, host) in &mut self.hosts {
            let stays_down = down && away.contains(id);
            if stays_down && host.replica().is_some() {
                host.end(&mut self.env, End::Kill);
            }
            host.switch(!stays_down);
            host.heal();
            host.start(&mut self.env)?;
        }
        Ok(())
    }

    /// From now on nothing goes wrong; everything runs.
    fn heal(&mut self) -> Result<(), Violation> {
        self.env.witness.trace.note(self.env.now_us, format_args!("all is healed"));
        self.heal_network();
        for host in self.hosts.values_mut() {
            host.switch(true);
            host.heal();
            host.start(&mut self.env)?;
        }
        Ok(())
    }

    fn heal_network(&mut self) {
        self.env.network.heal();
        self.healings += 1; // What was to be mended is.
    }

    /// A write that was asked for after the healing is done within the bound, and the membership
    /// comes to rest.
    fn demand_progress(&mut self) -> Result<(), Violation> {
        let done = |world: &Self| world.env.witness.sometimes.count(Mark::WriteDone);
        let before = done(self);
        let until_us = self.env.now_us + RECOVERY_US;
        // The first few may have been asked for earlier.
        let enough = before + self.clients.len() as u64 + 1;
        if !self.run_until(until_us, |world| enough <= done(world))? {
            let seconds = RECOVERY_US / 1_000_000;
            let what = format!("no write was done within {seconds} s; {}", self.show());
            return Err(Violation::named("progress after healing")(what));
        }
        if !self.run_until(until_us, Self::is_settled)? {
            let seconds = RECOVERY_US / 1_000_000;
            let what = format!("a change did not end within {seconds} s; {}", self.show());
            return Err(Violation::named("joint configurations end")(what));
        }
        Ok(())
    }

    /// Without clients, all members come to the same state within the bound, and no request is left
    /// without an outcome.
    fn demand_agreement(&mut self) -> Result<(), Violation> {
        self.open = false;
        let until_us = self.env.now_us + CONVERGENCE_US;
        let at_rest = |world: &Self| world.clients_done() && world.agrees();
        // A wish that has no outcome yet may still change who has to agree.
        let asked = |world: &Self| world.env.witness.pending.waiting().next().is_some();
        if self.run_until(until_us, |world| at_rest(world) && !asked(world))? {
            return Ok(());
        }
        if at_rest(self) {
            let waiting: Vec<_> = self.env.witness.pending.waiting().take(5).collect();
            let what = format!("nobody hears of {waiting:?}; {}", self.show());
            return Err(Violation::named("every request has one outcome")(what));
        }
        let seconds = CONVERGENCE_US / 1_000_000;
        let what = format!("members differ after {seconds} s of rest; {}", self.show());
        Err(Violation::named("agreement after healing")(what))
    }

    fn clients_done(&self) -> bool {
        self.clients.iter().all(Client::is_idle)
    }

    /// Whether all members are up and have applied the same, which is all there is.
    fn agrees(&self) -> bool {
        let ledger = &self.env.witness.ledger;
        let membership = ledger.membership();
        let mut ends = BTreeSet::new();
        for id in membership.members() {
            let replica = self.hosts.get(&id).and_then(Host::replica);
            let Some(replica) = replica.filter(|_| !ledger.is_lost(membership, id)) else {
                return false;
            };
            let status = replica.status(Instant(0));
            if status.applied != status.last || status.applied < ledger.commit() {
                return false;
            }
            ends.insert((status.applied, status.state_hash));
        }
        ends.len() == 1 && self.is_settled()
    }

    /// How every node is.
    fn show(&self) -> String {
        let show = |(id, host): (&NodeId, &Host)| {
            let Some(replica) = host.replica() else { return format!("{id} is down") };
            let status = replica.status(Instant(0));
            format!(
                "{id} {:?} term {} log {}..{} durable {} commit {} applied {} snapshot {} of {}{}",
                status.role,
                status.term,
                status.first,
                status.last,
                status.durable,
                status.commit,
                status.applied,
                status.snapshot,
                status.membership,
                if status.removed { ", removed" } else { "" },
            )
        };
        self.hosts.iter().map(show).collect::<Vec<_>>().join("; ")
    }
}
