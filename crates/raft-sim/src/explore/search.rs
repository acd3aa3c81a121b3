//! The search: breadth first, so that the first violation comes by a shortest way.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::{iter, mem};

use raft_core::RoleName;

use super::action::{Action, Kind};
use super::antichain::{Antichain, Bits};
use super::fingerprint::mix;
use super::machine::Machine;
use super::rules::{History, Sight, Writing};
use super::tables::{Hashed, Number, Tables, dead_from};
use super::{Bounds, Violation};

/// Nodes a cluster may have here.
pub(super) const NODES_MAX: usize = 5;

/// A state of the whole cluster.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Each node's state; zero beyond the last node.
    pub(super) machines: [Number; NODES_MAX],
    /// What has been, as far as rules need it.
    history: Number,
    left: Left,
    /// Messages under way, ascending.
    pub(super) network: Vec<Number>,
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

/// The search as it stands.
pub(super) struct Search {
    pub(super) bounds: Bounds,
    pub(super) tables: Tables,
    found: Antichain,
    views: HashSet<u64, Hashed>,
    /// For each state in the order of finding: the one it was first reached from, and by what.
    ways: Vec<(u32, u32)>,
    /// States whose successors have not been looked at, with their numbers, by depth.
    pub(super) frontier: Vec<(u32, State)>,
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
            found: Antichain::default(),
            views: HashSet::default(),
            ways: Vec::new(),
            frontier: Vec::new(),
            depth: 0,
            steps: 0,
        };
        let first = search.first();
        search.keep(first, (0, 0));
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
            network: Vec::new(),
        }
    }

    /// How many states were found.
    pub(super) fn states(&self) -> usize {
        self.ways.len()
    }

    /// How many views there were.
    pub(super) fn views(&self) -> usize {
        self.views.len()
    }

    /// Looks at all that can follow from the state with this number.
    pub(super) fn expand(&mut self, number: u32, state: &State) -> Result<(), (Action, Violation)> {
        let (key, messages) = self.identity(state);
        if !self.found.holds(key, &messages) {
            return Ok(());
        }
        super::LOOKING_AT.store(number, Ordering::Relaxed);
        for action in self.actions(state) {
            self.steps += 1;
            let mut done = Vec::new();
            let next = self.successor(state, action, &mut done);
            // The way goes by this action, even if one that follows at once is to blame.
            if let Some(next) = next.map_err(|(_, found)| (action, found))? {
                self.keep(next, (number, action.code()));
            }
        }
        Ok(())
    }

    fn keep(&mut self, state: State, way: (u32, u32)) {
        let (key, messages) = self.identity(&state);
        if self.found.add(key, messages) {
            let number = u32::try_from(self.ways.len()).expect("memory ends before numbers do");
            self.ways.push(way);
            self.frontier.push((number, state));
        }
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
            let sight = &self.tables.machine(machine).it.sight;
            let mut may = |allowed: bool, kind, about| {
                if allowed {
                    actions.push(Action { kind, at, about });
                }
            };
            let leads = sight.role == RoleName::Leader;
            let follows = sight.role == RoleName::Follower;
            let campaigns = sight.term.0 < self.bounds.terms;
            may(0 < state.left.timeouts && (leads || campaigns), Kind::Timeout, 0);
            may(self.bounds.lapses && follows, Kind::Lapse, 0);
            may(0 < state.left.hints && follows && campaigns, Kind::Hint, 0);
            may(leads && 0 < state.left.heartbeats, Kind::Beat, 0);
            may(sight.writing != Writing::Nothing, Kind::Sync, 0);
            may(sight.is_synced, Kind::Told, 0);
            may(0 < state.left.crashes, Kind::Crash, 0);
            let (entries, reads) = (u32::from(state.left.entries), u32::from(state.left.reads));
            may(leads && 0 < entries, Kind::Propose, entries);
            // Numbers of their own, apart from those of proposals.
            may(leads && 0 < reads, Kind::Read, u32::from(self.bounds.entries) + reads);
        }
        actions.extend(state.network.iter().map(|&message| self.delivery(message)));
        actions
    }

    fn delivery(&self, about: Number) -> Action {
        let to = self.tables.message(about).it.to;
        let at = u8::try_from(to.0 - 1).expect("nodes are few");
        Action { kind: Kind::Deliver, at, about }
    }

    fn nodes(&self) -> usize {
        usize::try_from(self.bounds.nodes).expect("nodes are few")
    }

    /// The state after an action and all that may as well happen at once; none if nothing changes.
    /// What happened, one after the other, is added to `done`.
    pub(super) fn successor(
        &mut self,
        state: &State,
        action: Action,
        done: &mut Vec<Action>,
    ) -> Result<Option<State>, (Action, Violation)> {
        if !self.changes(state, action).map_err(|found| (action, found))? {
            return Ok(None);
        }
        let mut next = state.clone();
        self.act(&mut next, action).map_err(|found| (action, found))?;
        done.push(action);
        while let Some(action) = self.free_action(&next)? {
            self.act(&mut next, action).map_err(|found| (action, found))?;
            done.push(action);
        }
        let mut network = mem::take(&mut next.network);
        network.retain(|&message| !self.is_dead(&next, message));
        next.network = network;
        Ok(Some(next))
    }

    /// Something after which all can happen that could happen before, and more: then there is no need
    /// to look at a state in which it has not happened. Such is
    ///
    /// * a write that becomes durable, if no crash will make a difference of that;
    /// * a follower that hears of it, unless heartbeats ask it how much is durable: until it leads,
    ///   nothing else depends on that, and it will not lead before it has heard;
    /// * a message that makes its recipient send something and changes nothing in it, as all messages
    ///   stay under way.
    fn free_action(&mut self, state: &State) -> Result<Option<Action>, (Action, Violation)> {
        if !self.bounds.reduced {
            return Ok(None);
        }
        let is_asked = 0 < self.bounds.heartbeats || 0 < self.bounds.reads;
        for (at, &machine) in (0..).zip(&state.machines[..self.nodes()]) {
            let sight = &self.tables.machine(machine).it.sight;
            let may_hear = !is_asked && sight.role == RoleName::Follower;
            let is_silent = match sight.writing {
                Writing::Nothing => false,
                Writing::HeardAtOnce => may_hear,
                Writing::HeardLater => true,
            };
            if state.left.crashes == 0 && is_silent {
                return Ok(Some(Action { kind: Kind::Sync, at, about: 0 }));
            }
            if may_hear && sight.is_synced {
                return Ok(Some(Action { kind: Kind::Told, at, about: 0 }));
            }
        }
        for &message in &state.network {
            let action = self.delivery(message);
            let before = state.machines[usize::from(action.at)];
            self.tables.try_out(before, action).map_err(|found| (action, found))?;
            let outcome = self.tables.outcome(before, action);
            if outcome.machine == before && outcome.sent.iter().any(|it| self.is_new(state, *it)) {
                return Ok(Some(action));
            }
        }
        Ok(None)
    }

    /// Whether an action changes anything.
    fn changes(&mut self, state: &State, action: Action) -> Result<bool, Violation> {
        let before = state.machines[usize::from(action.at)];
        self.tables.try_out(before, action)?;
        let outcome = self.tables.outcome(before, action);
        Ok(outcome.machine != before || outcome.sent.iter().any(|it| self.is_new(state, *it)))
    }

    /// Lets an action happen.
    fn act(&mut self, state: &mut State, action: Action) -> Result<(), Violation> {
        let at = usize::from(action.at);
        let before = state.machines[at];
        self.tables.try_out(before, action)?;
        let outcome = self.tables.outcome(before, action);
        let sent: Vec<_> =
            outcome.sent.iter().copied().filter(|it| self.is_new(state, *it)).collect();
        state.machines[at] = outcome.machine;
        state.network.extend(sent);
        state.network.sort_unstable();
        state.network.dedup();
        let left = &mut state.left;
        match action.kind {
            Kind::Timeout => left.timeouts -= 1,
            Kind::Hint => left.hints -= 1,
            Kind::Beat => left.heartbeats -= 1,
            Kind::Crash => left.crashes -= 1,
            Kind::Propose => left.entries -= 1,
            Kind::Read => left.reads -= 1,
            Kind::Deliver | Kind::Lapse | Kind::Sync | Kind::Told => (),
        }
        state.history = self.remember(state.history, before, action)?;
        let view = state.machines[..self.nodes()].iter();
        let view = view.map(|&number| self.tables.machine(number).it.sight.view());
        self.views.insert(view.fold(0, u64::wrapping_add));
        self.check(state, at)
    }

    /// The history after an action in it.
    fn remember(
        &mut self,
        history: Number,
        before: Number,
        action: Action,
    ) -> Result<Number, Violation> {
        let known = |tables: &Tables, number| tables.history(number).it.clone();
        let mut after = None;
        if action.kind == Kind::Read {
            let mut begun = known(&self.tables, history);
            begun.begin_read(action.about);
            after = Some(begun);
        }
        let outcome = self.tables.outcome(before, action);
        let sight = &self.tables.machine(outcome.machine).it.sight;
        let held = after.as_ref().unwrap_or(&self.tables.history(history).it);
        if !held.knows(sight, outcome) {
            let mut learnt = held.clone();
            learnt.learn(sight, outcome)?;
            after = Some(learnt);
        }
        Ok(after.map_or(history, |after| self.tables.add_history(after)))
    }

    fn check(&self, state: &State, at: usize) -> Result<(), Violation> {
        let sights = state.machines[..self.nodes()].iter();
        let sights: Vec<&Sight> =
            sights.map(|&number| &self.tables.machine(number).it.sight).collect();
        self.tables.history(state.history).it.check(sights[at], &sights)
    }

    fn is_new(&self, state: &State, message: Number) -> bool {
        state.network.binary_search(&message).is_err() && !self.is_dead(state, message)
    }

    /// Whether this message can do nothing any more.
    fn is_dead(&self, state: &State, number: Number) -> bool {
        let message = &self.tables.message(number).it;
        let to = usize::try_from(message.to.0 - 1).expect("nodes are few");
        let sight = &self.tables.machine(state.machines[to]).it.sight;
        dead_from(message) <= sight.durable_term
    }

    /// What the state is but for the messages under way, and these; the same for states that differ
    /// only by the nodes' names.
    fn identity(&self, state: &State) -> (u64, Bits) {
        let Left { timeouts, hints, entries, crashes, heartbeats, reads } = state.left;
        let left = [timeouts, hints, entries, crashes, heartbeats, reads, 0, 0];
        let left = u64::from_le_bytes(left);
        let key = |lane: usize| {
            let history = mix(left, self.tables.history(state.history).lanes[lane]);
            let nodes = state.machines[..self.nodes()].iter();
            let nodes = nodes.map(|&number| mix(5, self.tables.machine(number).lanes[lane]));
            (nodes.fold(history, u64::wrapping_add), lane)
        };
        let (key, lane) = (0..self.tables.lanes()).map(key).min().expect("there is one lane");
        let names = state.network.iter().map(|&number| self.tables.name(number, lane));
        if !self.bounds.reduced {
            let key = names.fold(key, |key, name| key.wrapping_add(mix(6, name.into())));
            return (key, Bits::of(iter::empty()));
        }
        (key, Bits::of(names))
    }
}
