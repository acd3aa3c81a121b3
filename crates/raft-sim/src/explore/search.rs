//! The search: breadth first, so that the first violation comes by a shortest way.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::atomic::Ordering;

use raft_core::RoleName;

use super::action::{Action, Kind};
use super::bits::{Bits, Sets};
use super::fingerprint::mix;
use super::found::{Allowed, Found};
use super::machine::Machine;
use super::rules::{History, Sight};
use super::spent::{self, Campaigns};
use super::tables::{Hashed, Number, Tables};
use super::{Bounds, Reduction, Violation};

/// Nodes a cluster may have here.
pub(super) const NODES_MAX: usize = 5;

/// A state of the whole cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// Each node's state; zero beyond the last node.
    pub(super) machines: [Number; NODES_MAX],
    /// What has been, as far as rules need it.
    history: Number,
    left: Left,
    /// The set of messages under way.
    pub(super) network: Number,
}

/// What the bounds still allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    timeouts: u8,
    hints: u8,
    entries: u8,
    crashes: u8,
    heartbeats: u8,
    reads: u8,
}

/// How a state was first come to: see [`Search::comes_in_turn`].
#[derive(Clone, Copy, Debug)]
struct Last {
    kind: Kind,
    at: u8,
    rank: u32,
    /// Nodes that something followed at, by position.
    touched: u8,
    /// The messages under way before.
    network: Number,
}

/// A state whose successors have not been looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) number: u32,
    state: State,
    last: Option<Last>,
    identity: Identity,
}

/// What makes a state another one; the same for states that differ only by the nodes' names.
#[derive(Clone, Copy, Debug)]
struct Identity {
    key: u64,
    allowed: Allowed,
    network: Number,
}

/// The search as it stands.
pub(super) struct Search {
    pub(super) bounds: Bounds,
    pub(super) tables: Tables,
    pub(super) sets: Sets,
    found: Found,
    /// What each set of messages is called in each lane.
    renamed: HashMap<u64, Number, Hashed>,
    /// What becomes of a history by an outcome.
    learnt: HashMap<u64, Number, Hashed>,
    /// Memory for sets that are being changed.
    scratch: (Bits, Bits),
    views: HashSet<u64, Hashed>,
    /// What [`Found`] would have for keys, if nothing is left out.
    scenes: HashSet<u64, Hashed>,
    /// For each state in the order of finding: the one it was first reached from, and by what.
    ways: Vec<(u32, u32)>,
    /// States whose successors have not been looked at, by depth.
    pub(super) frontier: Vec<Waiting>,
    /// Steps from the first state to those of the frontier.
    pub(super) depth: u64,
    /// Steps taken in all.
    pub(super) steps: u64,
}

impl Search {
    /// Knows the first state.
    pub(super) fn new(bounds: Bounds) -> Self {
        let mut search = Self {
            tables: Tables::new(bounds),
            bounds,
            sets: Sets::new(),
            found: Found::default(),
            renamed: HashMap::default(),
            learnt: HashMap::default(),
            scratch: <(Bits, Bits)>::default(),
            views: HashSet::default(),
            scenes: HashSet::default(),
            ways: Vec::new(),
            frontier: Vec::new(),
            depth: 0,
            steps: 0,
        };
        let first = search.first();
        search.keep(first, (0, 0), None).expect("nothing has happened yet");
        search
    }

    /// The state everything begins with.
    pub(super) fn first(&mut self) -> State {
        let mut machines = [0; NODES_MAX];
        for (slot, id) in machines.iter_mut().zip(self.bounds.ids()) {
            *slot = self.tables.add_machine(Machine::new(id, &self.bounds));
        }
        let Bounds { timeouts, hints, entries, crashes, heartbeats, reads, .. } = self.bounds;
        State {
            machines,
            history: self.tables.add_history(History::default()),
            left: Left { timeouts, hints, entries, crashes, heartbeats, reads },
            network: 0,
        }
    }

    /// How many states were found.
    pub(super) fn states(&self) -> usize {
        self.ways.len()
    }

    /// How many combinations of nodes' states and what has been there were.
    pub(super) fn scenes(&self) -> usize {
        if self.is_reduced() { self.found.keys() } else { self.scenes.len() }
    }

    /// How many views there were.
    pub(super) fn views(&self) -> usize {
        self.views.len()
    }

    /// Looks at all that can follow from this state.
    pub(super) fn expand(&mut self, waiting: &Waiting) -> Result<(), (Action, Violation)> {
        let Waiting { number, state, identity, .. } = waiting;
        let Identity { key, allowed, network } = *identity;
        if !self.found.holds(key, allowed, network) {
            return Ok(());
        }
        super::LOOKING_AT.store(*number, Ordering::Relaxed);
        let mut done = Vec::new();
        for action in self.actions(state) {
            let before = state.machines[usize::from(action.at)];
            let outcome = self.tables.try_out(before, action).map_err(|found| (action, found))?;
            self.step(waiting, action, outcome, &mut done)?;
            let may_lose = 0 < state.left.crashes && self.bounds.reduction != Reduction::Nothing;
            if may_lose && self.tables.outcome(outcome).wrote && !self.sight(before).is_doomed {
                let action = Action { loses: true, ..action };
                let outcome = self.tables.try_out(before, action);
                let outcome = outcome.map_err(|found| (action, found))?;
                self.step(waiting, action, outcome, &mut done)?;
            }
        }
        Ok(())
    }

    fn step(
        &mut self,
        waiting: &Waiting,
        action: Action,
        outcome: Number,
        done: &mut Vec<Action>,
    ) -> Result<(), (Action, Violation)> {
        let Waiting { number, state, last, .. } = waiting;
        let rank = self.tables.outcome(outcome).rank;
        if !self.changes(state, action, outcome) || !self.comes_in_turn(last.as_ref(), action, rank)
        {
            return Ok(());
        }
        self.steps += 1;
        done.clear();
        let next = self.successor(state, action, done);
        // The way goes by this action, even if one that follows at once is to blame.
        let (next, touched) = next.map_err(|(_, found)| (action, found))?;
        let (kind, at, network) = (action.kind, action.at, state.network);
        let last = Last { kind, at, rank, touched, network };
        self.keep(next, (*number, action.code()), Some(last)).map_err(|found| (action, found))
    }

    /// What happens to different nodes, and could happen in either order, is only looked at in one.
    ///
    /// If `action` could have happened before the last one, then that state was found as well, or one
    /// that makes it superfluous, and from there the last one leads here; unless it does not come in
    /// turn there either. But then another one came last there, of a higher rank, and so on, which comes
    /// to an end. Ranks do not depend on the nodes' names.
    fn comes_in_turn(&self, last: Option<&Last>, action: Action, rank: u32) -> bool {
        let Some(last) = last.filter(|_| self.is_reduced()) else { return true };
        let could_be_earlier =
            action.kind != Kind::Deliver || self.sets.has(last.network, action.about);
        // Reads are compared with what was committed when they began, and commands are numbered.
        let depend = action.kind == Kind::Read
            || last.kind == Kind::Read
            || action.kind == Kind::Propose && last.kind == Kind::Propose;
        action.at == last.at
            || last.touched >> action.at & 1 == 1
            || !could_be_earlier
            || depend
            || last.rank <= rank
    }

    fn keep(&mut self, state: State, way: (u32, u32), last: Option<Last>) -> Result<(), Violation> {
        let identity = self.identity(&state);
        let Identity { key, allowed, network } = identity;
        if !self.found.add(&self.sets, key, allowed, network) {
            return Ok(());
        }
        self.check(&state)?;
        let number = u32::try_from(self.ways.len()).expect("memory ends before numbers do");
        self.ways.push(way);
        self.frontier.push(Waiting { number, state, last, identity });
        Ok(())
    }

    /// The actions on the way from the first state to this one.
    pub(super) fn way_to(&self, mut number: u32) -> Vec<Action> {
        let mut way = Vec::new();
        while number != 0 {
            let (before, code) = self.ways[usize::try_from(number).expect("it is a position")];
            way.push(Action::from_code(code));
            number = before;
        }
        way.reverse();
        way
    }

    /// All that may happen in this state, but for messages that arrive and change nothing.
    fn actions(&self, state: &State) -> Vec<Action> {
        let mut actions = Vec::new();
        for (at, &machine) in (0..).zip(&state.machines[..self.nodes()]) {
            let sight = self.sight(machine);
            let mut may = |allowed: bool, kind, about| {
                if allowed {
                    actions.push(Action::new(kind, at, about));
                }
            };
            let leads = sight.role == RoleName::Leader;
            let follows = sight.role == RoleName::Follower;
            let campaigns = sight.term.0 < self.bounds.terms;
            may(0 < state.left.timeouts && (leads || campaigns), Kind::Timeout, 0);
            may(self.bounds.lapses && follows, Kind::Lapse, 0);
            may(0 < state.left.hints && follows && campaigns, Kind::Hint, 0);
            may(leads && 0 < state.left.heartbeats, Kind::Beat, 0);
            may(sight.is_writing, Kind::Sync, 0);
            may(sight.is_synced, Kind::Told, 0);
            may(0 < state.left.crashes || sight.is_doomed, Kind::Crash, 0);
            let (entries, reads) = (u32::from(state.left.entries), u32::from(state.left.reads));
            may(leads && 0 < entries, Kind::Propose, entries);
            // Numbers of their own, apart from those of proposals.
            may(leads && 0 < reads, Kind::Read, u32::from(self.bounds.entries) + reads);
        }
        let mut network = Bits::default();
        network.become_set(self.sets.words(state.network));
        if self.is_reduced() {
            for &machine in &state.machines[..self.nodes()] {
                network.remove_all(self.tables.still(machine));
            }
        }
        actions.extend(network.iter().map(|message| self.delivery(message)));
        actions
    }

    fn delivery(&self, about: Number) -> Action {
        let at = spent::place(self.tables.message(about).it.to);
        Action::new(Kind::Deliver, u8::try_from(at).expect("nodes are few"), about)
    }

    fn nodes(&self) -> usize {
        usize::try_from(self.bounds.nodes).expect("nodes are few")
    }

    fn is_reduced(&self) -> bool {
        self.bounds.reduction == Reduction::All
    }

    fn sight(&self, machine: Number) -> &Sight {
        self.tables.sight(machine)
    }

    /// Whether an action changes anything.
    fn changes(&self, state: &State, action: Action, outcome: Number) -> bool {
        let outcome = self.tables.outcome(outcome);
        let is_new = |&message: &Number| !self.sets.has(state.network, message);
        outcome.machine != state.machines[usize::from(action.at)] || outcome.sent.iter().any(is_new)
    }

    /// The state after an action and all that may as well happen at once. What happened, one after the
    /// other, is added to `done`. Also answers at which nodes something followed.
    pub(super) fn successor(
        &mut self,
        state: &State,
        action: Action,
        done: &mut Vec<Action>,
    ) -> Result<(State, u8), (Action, Violation)> {
        let mut next = *state;
        let (mut network, mut fresh) = mem::take(&mut self.scratch);
        network.become_set(self.sets.words(state.network));
        let mut touched = 0;
        let mut following = Some(action);
        while let Some(action) = following {
            fresh.become_set(&[]);
            self.act(&mut next, action, &mut network, &mut fresh).map_err(|it| (action, it))?;
            done.push(action);
            if self.is_reduced() {
                touched |= self.let_answer(&next, &mut fresh, &mut network, done)?;
            }
            following = self.pointless(&next);
            if let Some(crash) = following {
                touched |= 1 << crash.at;
                self.check(&next).map_err(|found| (action, found))?;
            }
        }
        if self.is_reduced() {
            self.drop_spent(&next, &mut network);
        }
        next.network = self.sets.add(&network);
        self.scratch = (network, fresh);
        Ok((next, touched))
    }

    /// Messages that make their recipient send something and change nothing in it: as all messages stay
    /// under way, all can happen after that what could happen before, and more. So they arrive at once.
    /// Answers which nodes sent something.
    fn let_answer(
        &mut self,
        state: &State,
        fresh: &mut Bits,
        network: &mut Bits,
        done: &mut Vec<Action>,
    ) -> Result<u8, (Action, Violation)> {
        let mut touched = 0;
        for &machine in &state.machines[..self.nodes()] {
            fresh.remove_all(self.tables.silent(machine));
        }
        while let Some(message) = fresh.pop() {
            let action = self.delivery(message);
            let machine = state.machines[usize::from(action.at)];
            let outcome = self.tables.try_out(machine, action).map_err(|found| (action, found))?;
            let outcome = self.tables.outcome(outcome);
            let is_new = |sent: &Number| !network.has(*sent);
            if outcome.machine != machine || !outcome.sent.iter().any(is_new) {
                continue;
            }
            done.push(action);
            touched |= 1 << action.at;
            for &sent in &outcome.sent {
                if !network.has(sent) {
                    network.add(sent);
                    fresh.add(sent);
                }
            }
        }
        Ok(touched)
    }

    /// A crash that may as well come at once: nobody but a leader, and those whose time runs out, says
    /// anything that need not be durable, and so the others' doings are lost without a trace.
    fn pointless(&self, state: &State) -> Option<Action> {
        if 0 < state.left.timeouts || 0 < self.bounds.heartbeats || 0 < self.bounds.reads {
            return None;
        }
        if self.bounds.sabotage.is_some() {
            return None; // Nothing is certain then.
        }
        let is_lost = |machine: &Number| {
            let sight = self.sight(*machine);
            sight.is_doomed && matches!(sight.role, RoleName::Follower | RoleName::Candidate)
        };
        let at = state.machines[..self.nodes()].iter().position(is_lost)?;
        Some(Action::new(Kind::Crash, u8::try_from(at).expect("nodes are few"), 0))
    }

    fn drop_spent(&mut self, state: &State, network: &mut Bits) {
        let campaigns = Campaigns::with(state.left.timeouts);
        for (at, &machine) in state.machines[..self.nodes()].iter().enumerate() {
            network.remove_all(self.tables.spent(machine, campaigns));
            if state.left.crashes == 0 {
                network.remove_all(self.tables.held(machine));
            }
            let sight = self.tables.sight(machine);
            // Whatever is answered, it is spent.
            if campaigns == Campaigns::AreOver
                && sight.role != RoleName::PreCandidate
                && sight.durable_term.0 == self.bounds.terms
            {
                network.remove_all(self.tables.pleas(at));
            }
        }
    }

    /// Lets an action happen. To `fresh` is added what may get an answer now that did not before.
    fn act(
        &mut self,
        state: &mut State,
        action: Action,
        network: &mut Bits,
        fresh: &mut Bits,
    ) -> Result<(), Violation> {
        let at = usize::from(action.at);
        let before = state.machines[at];
        let number = self.tables.try_out(before, action)?;
        let outcome = self.tables.outcome(number);
        for &sent in &outcome.sent {
            if !network.has(sent) {
                network.add(sent);
                fresh.add(sent);
            }
        }
        if outcome.machine != before {
            state.machines[at] = outcome.machine;
            fresh.extend_common(network, self.tables.to(at));
        }
        let is_doomed = self.sight(before).is_doomed;
        let left = &mut state.left;
        match action.kind {
            Kind::Timeout => left.timeouts -= 1,
            Kind::Hint => left.hints -= 1,
            Kind::Beat => left.heartbeats -= 1,
            Kind::Crash if is_doomed => (),
            Kind::Crash => left.crashes -= 1,
            Kind::Propose => left.entries -= 1,
            Kind::Read => left.reads -= 1,
            Kind::Deliver | Kind::Lapse | Kind::Sync | Kind::Told => (),
        }
        if action.loses {
            left.crashes -= 1;
        }
        state.history = self.remember(state.history, action, number)?;
        Ok(())
    }

    /// The history after an action in it.
    fn remember(
        &mut self,
        history: Number,
        action: Action,
        outcome: Number,
    ) -> Result<Number, Violation> {
        // The same outcome teaches the same, but for reads, which begin when they begin.
        let key = u64::from(history) << 32 | u64::from(outcome);
        let is_read = action.kind == Kind::Read;
        if let Some(&after) = self.learnt.get(&key).filter(|_| !is_read) {
            return Ok(after);
        }
        let outcome = self.tables.outcome(outcome);
        let sight = self.sight(outcome.machine);
        let mut after = self.tables.history(history).it.clone();
        if is_read {
            after.begin_read(action.about);
        }
        after.learn(sight, outcome)?;
        let after = self.tables.add_history(after);
        if !is_read {
            self.learnt.insert(key, after);
        }
        Ok(after)
    }

    /// Notes what is seen of a state, and checks that it may be.
    fn check(&mut self, state: &State) -> Result<(), Violation> {
        let sights = state.machines[..self.nodes()].iter();
        let sights: Vec<&Sight> = sights.map(|&number| self.sight(number)).collect();
        let view = sights.iter().fold(0, |view: u64, sight| view.wrapping_add(sight.view()));
        self.tables.history(state.history).it.check(&sights)?;
        self.views.insert(view);
        Ok(())
    }

    fn identity(&mut self, state: &State) -> Identity {
        let Left { timeouts, hints, entries, crashes, heartbeats, reads } = state.left;
        let allowed = [timeouts, hints, crashes, heartbeats];
        let left = u64::from_le_bytes([entries, reads, 0, 0, 0, 0, 0, 0]);
        let key = |lane: usize| {
            let history = mix(left, self.tables.history(state.history).lanes[lane]);
            let nodes = state.machines[..self.nodes()].iter();
            let nodes = nodes.map(|&number| mix(5, self.tables.machine(number).lanes[lane]));
            (nodes.fold(history, u64::wrapping_add), lane)
        };
        let (key, lane) = (0..self.tables.lanes()).map(key).min().expect("there is one lane");
        let network = self.rename(state.network, lane);
        if self.is_reduced() {
            return Identity { key, allowed, network };
        }
        self.scenes.insert(key);
        let key = mix(mix(key, u32::from_le_bytes(allowed).into()), network.into());
        Identity { key, allowed: [0; 4], network: 0 }
    }

    /// What a set of messages is called in a lane.
    fn rename(&mut self, set: Number, lane: usize) -> Number {
        let key = u64::from(set) << 8 | u64::try_from(lane).expect("lanes are few");
        if let Some(&renamed) = self.renamed.get(&key) {
            return renamed;
        }
        let mut names = Bits::default();
        for message in self.sets.iter(set) {
            names.add(self.tables.name(message, lane));
        }
        let renamed = self.sets.add(&names);
        self.renamed.insert(key, renamed);
        renamed
    }
}
