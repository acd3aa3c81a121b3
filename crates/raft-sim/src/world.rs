//! The world of one seed: nodes, network and clients under one clock, and the loop that lets things
//! happen one after the other.

mod faults;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use lin_check::{History, OpId};
use raft_core::{Instant, NodeId, Token};

use crate::agenda::{Arrival, Env, Event};
use crate::client::{Client, Move, Surroundings};
use crate::host::{Host, show};
use crate::invariants::{Violation, Witness};
use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::sometimes::Mark;
use crate::trace::Trace;

/// After everything is healed, a write must be done within this time...
const RECOVERY_US: u64 = 10_000_000;
/// ...and then, once the clients are gone, all nodes must agree within this.
const CONVERGENCE_US: u64 = 20_000_000;

/// The world of one seed.
pub struct World {
    pub(crate) env: Env,
    pub(crate) hosts: BTreeMap<NodeId, Host>,
    pub(crate) history: History,
    /// Whose doing a command is.
    pub(crate) commands: BTreeMap<Bytes, OpId>,
    clients: Vec<Client>,
    /// Which client waits for which answer, and at which of its steps.
    tokens: BTreeMap<Token, (usize, u64)>,
    tokens_given: u64,
    /// Decides what goes wrong.
    nemesis: Rng,
    /// Counts the cuts of the network.
    cuts: u64,
    /// Whether clients may begin something.
    open: bool,
}

impl World {
    /// The world as it begins: every machine is switched on.
    pub fn new(scenario: Scenario, trace: Trace) -> Self {
        let witness = Witness::new(&scenario, trace);
        let mut env = Env::new(scenario, witness);
        let scenario = env.scenario.clone();
        let hosts = scenario.ids().into_iter().map(|id| (id, Host::new(&scenario, id))).collect();
        for id in scenario.ids() {
            let delay = env.delay((0, 200_000));
            env.after(delay, Event::Start(id));
        }
        let clients: Vec<Client> =
            (1..=scenario.clients).map(|number| Client::new(&scenario, number)).collect();
        for position in 0..clients.len() {
            env.after(scenario.think_us, Event::Client(position, 0));
        }
        env.after(scenario.fault_gap_us, Event::Fault);
        let nemesis = Rng::stream(scenario.seed, "nemesis");
        Self {
            env,
            hosts,
            history: History::new(),
            commands: BTreeMap::new(),
            clients,
            tokens: BTreeMap::new(),
            tokens_given: 0,
            nemesis,
            cuts: 0,
            open: true,
        }
    }

    /// Runs the whole of it: faults first, then recovery.
    pub fn run(&mut self) -> Result<(), Violation> {
        let until_us = self.env.scenario.faults_us;
        self.run_until(until_us, |_| false)?;
        self.heal()?;
        self.demand_progress()?;
        self.demand_agreement()
    }

    /// Lets things happen until a time, or until the world is as wanted. Returns whether it is.
    fn run_until(
        &mut self,
        until_us: u64,
        wanted: impl Fn(&Self) -> bool,
    ) -> Result<bool, Violation> {
        while !wanted(self) {
            let Some(event) = self.env.next(until_us) else {
                self.env.now_us = self.env.now_us.max(until_us);
                return Ok(false);
            };
            self.happen(event)?;
        }
        Ok(true)
    }

    /// From now on nothing goes wrong; everything runs.
    fn heal(&mut self) -> Result<(), Violation> {
        self.env.witness.trace.note(self.env.now_us, format_args!("all is healed"));
        self.env.faulty = false;
        self.env.network.heal();
        for host in self.hosts.values_mut() {
            host.heal();
            host.start(&mut self.env)?;
        }
        Ok(())
    }

    /// A write that was asked for after the healing is done within the bound.
    fn demand_progress(&mut self) -> Result<(), Violation> {
        let done = |world: &Self| world.env.witness.sometimes.count(Mark::WriteDone);
        let before = done(self);
        let until_us = self.env.now_us + RECOVERY_US;
        // The first few may have been asked for earlier.
        let enough = before + self.env.scenario.clients + 1;
        if self.run_until(until_us, |world| enough <= done(world))? {
            return Ok(());
        }
        let what =
            format!("no write was done within {} s; {}", RECOVERY_US / 1_000_000, self.show());
        Err(Violation::named("progress after healing")(what))
    }

    /// Without clients, all nodes come to the same state within the bound.
    fn demand_agreement(&mut self) -> Result<(), Violation> {
        self.open = false;
        let until_us = self.env.now_us + CONVERGENCE_US;
        if self.run_until(until_us, |world| world.clients_done() && world.agrees())? {
            return Ok(());
        }
        let what =
            format!("nodes differ after {} s of rest; {}", CONVERGENCE_US / 1_000_000, self.show());
        Err(Violation::named("agreement after healing")(what))
    }

    fn clients_done(&self) -> bool {
        self.clients.iter().all(Client::is_idle)
    }

    /// Whether all nodes are up and have applied the same, which is all there is.
    fn agrees(&self) -> bool {
        let mut ends = BTreeSet::new();
        for host in self.hosts.values() {
            let Some(replica) = host.replica() else { return false };
            let status = replica.status(Instant(0));
            if status.applied != status.last || status.applied < self.env.witness.ledger.commit() {
                return false;
            }
            ends.insert((status.applied, status.state_hash));
        }
        ends.len() == 1
    }

    /// How every node is.
    fn show(&self) -> String {
        let show = |(id, host): (&NodeId, &Host)| {
            let Some(replica) = host.replica() else { return format!("{id} is down") };
            let status = replica.status(Instant(0));
            format!(
                "{id} {:?} term {} log {}..{} durable {} commit {} applied {} snapshot {}",
                status.role,
                status.term,
                status.first,
                status.last,
                status.durable,
                status.commit,
                status.applied,
                status.snapshot
            )
        };
        self.hosts.iter().map(show).collect::<Vec<_>>().join("; ")
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Arrive(to, arrival) => {
                if let Arrival::Message(message) = &arrival {
                    let shown = show(message);
                    self.env.witness.trace.note(self.env.now_us, format_args!("{shown}"));
                }
                let Some(host) = self.hosts.get_mut(&to) else { return Ok(()) };
                host.arrive(&mut self.env, arrival);
                Ok(())
            }
            Event::Complete(id, life, arrival) => self.of_life(id, life, |host, env| {
                host.arrive(env, arrival);
                Ok(())
            }),
            Event::Wake(id, life) => self.of_life(id, life, Host::wake),
            Event::Write(id, life) => self.of_life(id, life, Host::write),
            Event::Snapshot(id, life) => self.of_life(id, life, Host::snapshot),
            Event::Prepare(id, life) => self.of_life(id, life, Host::prepare),
            Event::Start(id) => match self.hosts.get_mut(&id) {
                Some(host) => host.start(&mut self.env),
                None => Ok(()),
            },
            Event::Answer(token, outcome) => {
                let Some((client, step)) = self.tokens.remove(&token) else { return Ok(()) };
                if self.clients[client].step == step {
                    let now_us = self.env.now_us;
                    let trace = &mut self.env.witness.trace;
                    trace.note(now_us, format_args!("client {client} is told {outcome:?}"));
                    let (clients, mut around) = self.surroundings();
                    let next = clients[client].on_answer(&mut around, outcome);
                    self.carry_out(client, next);
                }
                Ok(())
            }
            Event::Client(client, step) => {
                if self.clients[client].step == step {
                    let (clients, mut around) = self.surroundings();
                    let next = clients[client].on_timer(&mut around);
                    self.carry_out(client, next);
                }
                Ok(())
            }
            Event::Fault => {
                self.fault();
                Ok(())
            }
            Event::Mend(cut) => {
                if cut == self.cuts {
                    self.env.network.mend();
                    self.env.witness.trace.note(self.env.now_us, format_args!("network mended"));
                }
                Ok(())
            }
            Event::Hasten(id) => {
                if let Some(host) = self.hosts.get_mut(&id) {
                    host.slow_down(1);
                }
                Ok(())
            }
        }
    }

    /// Something happens to a process, unless it has ended.
    fn of_life(
        &mut self,
        id: NodeId,
        life: u64,
        happen: impl FnOnce(&mut Host, &mut Env) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        match self.hosts.get_mut(&id) {
            Some(host) if host.life() == life => happen(host, &mut self.env),
            _ => Ok(()),
        }
    }

    fn surroundings(&mut self) -> (&mut Vec<Client>, Surroundings<'_>) {
        let around = Surroundings {
            now_us: self.env.now_us,
            history: &mut self.history,
            sometimes: &mut self.env.witness.sometimes,
            commands: &mut self.commands,
            open: self.open,
        };
        (&mut self.clients, around)
    }

    fn carry_out(&mut self, client: usize, next: Move) {
        let step = self.clients[client].step;
        if let Some(timer_us) = next.timer_us {
            self.env.after(timer_us, Event::Client(client, step));
        }
        let Some((to, ask)) = next.ask else { return };
        self.tokens_given += 1;
        let token = Token(self.tokens_given);
        self.tokens.insert(token, (client, step));
        self.env
            .witness
            .trace
            .note(self.env.now_us, format_args!("client {client} asks {to} {ask:?}"));
        if self.env.faulty && self.env.timing.chance(20) {
            return; // Lost on the way.
        }
        let delay = self.env.delay(self.env.scenario.delay_us);
        self.env.after(delay, Event::Arrive(to, Arrival::Ask(token, ask)));
    }
}
