//! The world of one seed: nodes, network and clients under one clock, and the loop that lets things
//! happen one after the other.

mod arrivals;
mod faults;
mod operator;
mod recovery;

use std::collections::BTreeMap;

use bytes::Bytes;
use lin_check::{History, OpId};
use raft_core::{NodeId, Token};
use raft_replica::Outcome;

use crate::agenda::{Arrival, Env, Event};
use crate::client::{Ask, Client, Move, Surroundings};
use crate::host::{Host, show};
use crate::invariants::{Violation, Witness};
use crate::plan::{Plan, Planned, Recovery};
use crate::rng::Rng;
use crate::trace::Trace;
use operator::Operator;

/// Who asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// A client, at one of its steps.
    Client(usize, u64),
    Operator,
}

/// The world of one seed.
pub struct World {
    pub(crate) env: Env,
    pub(crate) hosts: BTreeMap<NodeId, Host>,
    pub(crate) history: History,
    /// Whose doing a command is.
    pub(crate) commands: BTreeMap<Bytes, OpId>,
    clients: Vec<Client>,
    operator: Operator,
    /// Who waits for which answer.
    tokens: BTreeMap<Token, Asker>,
    tokens_given: u64,
    acts: Vec<Planned>,
    recovery: Recovery,
    /// Decides how long requests are under way, and which get lost, for each who asks.
    roads: BTreeMap<Option<usize>, Rng>,
    /// Counts how often the whole network was healed.
    healings: u64,
    /// How many events there were.
    happened: u64,
    /// Whether clients may begin something.
    open: bool,
}

/// A run has so many events at most: a hundred times as many as usual.
const HAPPENINGS_MAX: u64 = 3_000_000;

impl World {
    /// The world as it begins: every machine is switched on.
    pub fn new(plan: Plan, trace: Trace) -> Self {
        let Plan { scenario, acts, recovery } = plan;
        let witness = Witness::new(&scenario, trace);
        let mut env = Env::new(scenario, witness);
        let scenario = env.scenario.clone();
        let hosts = scenario.ids().into_iter().map(|id| (id, Host::new(&scenario, id))).collect();
        for id in scenario.ids() {
            let mut rng = Rng::stream(scenario.seed, &format!("start {id}"));
            env.after(rng.between(0, 200_000), Event::Start(id));
        }
        let clients: Vec<Client> =
            scenario.clients.iter().map(|&number| Client::new(&scenario, number)).collect();
        for position in 0..clients.len() {
            env.after(scenario.think_us, Event::Client(position, 0));
        }
        for (position, planned) in acts.iter().enumerate() {
            env.at(planned.at.0, Event::Act(position));
        }
        env.after(scenario.habits.gap_us, Event::Operator);
        let numbers = scenario.clients.iter().enumerate();
        let mut roads: BTreeMap<_, _> = numbers
            .map(|(client, number)| {
                (Some(client), Rng::stream(scenario.seed, &format!("road {number}")))
            })
            .collect();
        roads.insert(None, Rng::stream(scenario.seed, "road of the operator"));
        Self {
            env,
            hosts,
            history: History::new(),
            commands: BTreeMap::new(),
            clients,
            operator: Operator::new(scenario.seed),
            tokens: BTreeMap::new(),
            tokens_given: 0,
            acts,
            recovery,
            roads,
            healings: 0,
            happened: 0,
            open: true,
        }
    }

    /// Runs the whole of it: faults first, then recovery.
    pub fn run(&mut self) -> Result<(), Violation> {
        let until_us = self.env.scenario.faults_us;
        self.run_until(until_us, |_| false)?;
        self.recover()
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
            self.happened += 1;
            if HAPPENINGS_MAX < self.happened {
                let what = format!("still busy after {HAPPENINGS_MAX} events");
                return Err(Violation::named("a run comes to its end")(what));
            }
        }
        Ok(true)
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Arrive(to, arrival) => {
                self.arrive(to, arrival);
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
            Event::LookForSpace(id, life, since) => {
                self.of_life(id, life, |host, env| host.look_for_space(env, since))
            }
            Event::Start(id) => match self.hosts.get_mut(&id) {
                Some(host) => host.start(&mut self.env),
                None => Ok(()),
            },
            Event::Answer(token, outcome) => match self.tokens.remove(&token) {
                None => Ok(()),
                Some(Asker::Operator) => self.on_outcome(token, &outcome),
                Some(Asker::Client(client, step)) => {
                    self.tell(client, step, outcome);
                    Ok(())
                }
            },
            Event::Client(client, step) => {
                if self.clients[client].step == step {
                    let (clients, mut around) = self.surroundings();
                    let next = clients[client].on_timer(&mut around);
                    self.carry_out(client, next);
                }
                Ok(())
            }
            Event::Operator => {
                self.look_after_the_lost();
                Ok(())
            }
            Event::Act(position) => match self.acts.get(position) {
                Some(planned) if self.env.faulty => self.act(planned.act.clone()),
                _ => Ok(()),
            },
            Event::Mend(healings, links) => {
                if healings == self.healings {
                    self.env.network.mend(&links);
                    self.env.witness.trace.note(self.env.now_us, format_args!("links mended"));
                }
                Ok(())
            }
            Event::Free(id) => {
                if let Some(host) = self.hosts.get_mut(&id) {
                    host.disk().limit(None);
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

    /// Something reaches a node from outside.
    fn arrive(&mut self, to: NodeId, arrival: Arrival) {
        if let Arrival::Message(message) = &arrival {
            let shown = show(message);
            self.env.witness.trace.note(self.env.now_us, format_args!("{shown}"));
        }
        if let Arrival::Ask(token, _) = &arrival {
            self.operator.arrived(*token);
        }
        let Some(host) = self.hosts.get_mut(&to) else { return };
        if let Some(replica) = host.replica() {
            arrivals::count(replica.node(), &arrival, &mut self.env.witness.sometimes);
        }
        host.arrive(&mut self.env, arrival);
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

    /// A client is told what came of what it asked at one of its steps.
    fn tell(&mut self, client: usize, step: u64, outcome: Outcome) {
        if self.clients[client].step == step {
            let now_us = self.env.now_us;
            let trace = &mut self.env.witness.trace;
            trace.note(now_us, format_args!("client {client} is told {outcome:?}"));
            let (clients, mut around) = self.surroundings();
            let next = clients[client].on_answer(&mut around, outcome);
            self.carry_out(client, next);
        }
    }

    fn surroundings(&mut self) -> (&mut Vec<Client>, Surroundings<'_>) {
        let around = Surroundings {
            now_us: self.env.now_us,
            history: &mut self.history,
            sometimes: &mut self.env.witness.sometimes,
            commands: &mut self.commands,
            open: self.open,
            faulty: self.env.faulty,
        };
        (&mut self.clients, around)
    }

    fn carry_out(&mut self, client: usize, next: Move) {
        let step = self.clients[client].step;
        if let Some(timer_us) = next.timer_us {
            self.env.after(timer_us, Event::Client(client, step));
        }
        let Some((to, ask)) = next.ask else { return };
        self.env
            .witness
            .trace
            .note(self.env.now_us, format_args!("client {client} asks {to} {ask:?}"));
        self.ask(Asker::Client(client, step), to, ask);
    }

    /// Sends a request on its way.
    fn ask(&mut self, asker: Asker, to: NodeId, ask: Ask) {
        let token = self.next_token();
        self.tokens.insert(token, asker);
        let road = match asker {
            Asker::Client(client, _) => Some(client),
            Asker::Operator => None,
        };
        let road = self.roads.get_mut(&road).expect("everybody who asks has a road");
        let delay = road.within(self.env.scenario.delay_us);
        if road.chance(20) && self.env.faulty {
            return; // Lost on the way.
        }
        self.env.after(delay, Event::Arrive(to, Arrival::Ask(token, ask)));
    }

    fn next_token(&mut self) -> Token {
        self.tokens_given += 1;
        Token(self.tokens_given)
    }
}
