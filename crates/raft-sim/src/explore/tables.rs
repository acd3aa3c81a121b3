//! Every node state, message and history that was ever met, once, by number; and what came of each
//! thing that happened to a node. A cluster's state is then a handful of numbers, and the core runs
//! once for each pair of a node's state and a happening, not once for each state of the cluster.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use raft_core::{Body, Index, Message, Token};

use super::action::{Action, Kind};
use super::bits::Bits;
use super::fingerprint::{Fingerprints, Times, mix};
use super::machine::{Machine, TIMEOUT_US};
use super::rules::{self, History, Sight};
use super::spent::{self, Campaigns};
use super::{Bounds, Violation};

/// A number in a table.
pub(super) type Number = u32;

/// Something known, and its fingerprints.
pub(super) struct Known<T> {
    pub(super) it: T,
    pub(super) lanes: Box<[u64]>,
}

/// A node's state, what the rules see of it, and what is known of messages to it.
pub(super) struct Seen {
    pub(super) machine: Machine,
    pub(super) sight: Sight,
    /// Messages that leave the node as it is, of those that were tried out.
    still: Bits,
    /// Messages that change the node or get no answer, of those that were tried out.
    silent: Bits,
    /// Messages that can do nothing any more, and how many were looked at.
    spent: [Bits; Campaigns::COUNT],
    looked_at: [Number; Campaigns::COUNT],
    /// Messages that can do nothing any more unless the node crashes, of those that were tried out.
    held: Bits,
}

/// What came of something that happened to a node.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The state after it.
    pub(super) machine: Number,
    /// Messages that left.
    pub(super) sent: Vec<Number>,
    /// Whether something is to be written.
    pub(super) wrote: bool,
    /// Reads that may be served, and from where on.
    pub(super) reads: Vec<(Token, Index)>,
    /// Requests that came to nothing.
    pub(super) refused: Vec<Token>,
    /// Orders what happens to different nodes, whatever their names.
    pub(super) rank: u32,
}

/// Values by number, and numbers by fingerprint.
struct Table<T> {
    values: Vec<Known<T>>,
    numbers: HashMap<u64, Number, Hashed>,
}

/// All that is known.
pub(super) struct Tables {
    bounds: Bounds,
    prints: Fingerprints,
    machines: Table<Seen>,
    messages: Table<Message>,
    /// The messages to each node, by position.
    to: Vec<Bits>,
    /// The questions of each node whether it would get a vote.
    pleas: Vec<Bits>,
    /// What each message is called in each lane: renamed messages share their names.
    names: Vec<Box<[Number]>>,
    names_by_print: HashMap<u64, Number, Hashed>,
    histories: Table<History>,
    outcomes: Vec<Outcome>,
    /// For each node state and message the outcome's number plus one; 0 if not tried.
    of_messages: Vec<Vec<Number>>,
    of_others: HashMap<u64, Number, Hashed>,
}

impl Tables {
    /// Knows nothing yet.
    pub(super) fn new(bounds: Bounds) -> Self {
        let prints = Fingerprints::new(bounds.nodes, TIMEOUT_US);
        let none: Vec<Bits> = bounds.ids().map(|_| Bits::default()).collect();
        Self {
            bounds,
            prints,
            machines: Table::default(),
            messages: Table::default(),
            to: none.clone(),
            pleas: none,
            names: Vec::new(),
            names_by_print: HashMap::default(),
            histories: Table::default(),
            outcomes: Vec::new(),
            of_messages: Vec::new(),
            of_others: HashMap::default(),
        }
    }

    /// How many node states, messages, and things that happened to nodes there are.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.machines.values.len(), self.messages.values.len(), self.outcomes.len())
    }

    /// How many renamings there are.
    pub(super) fn lanes(&self) -> usize {
        self.prints.lanes()
    }

    pub(super) fn machine(&self, number: Number) -> &Known<Seen> {
        self.machines.get(number)
    }

    pub(super) fn sight(&self, number: Number) -> &Sight {
        &self.machines.get(number).it.sight
    }

    pub(super) fn message(&self, number: Number) -> &Known<Message> {
        self.messages.get(number)
    }

    pub(super) fn history(&self, number: Number) -> &Known<History> {
        self.histories.get(number)
    }

    /// The messages to the node at this position.
    pub(super) fn to(&self, at: usize) -> &Bits {
        &self.to[at]
    }

    /// Its questions whether it would get a vote.
    pub(super) fn pleas(&self, at: usize) -> &Bits {
        &self.pleas[at]
    }

    /// The number of a node's state.
    pub(super) fn add_machine(&mut self, machine: Machine) -> Number {
        let lanes = self.prints.take(&machine, machine.times(), &machine.disk.writes());
        match self.machines.numbers.get(&lanes[0]) {
            Some(&number) => number,
            None => {
                let sight = Sight::of(&machine);
                self.machines.add(Seen::new(machine, sight), lanes)
            }
        }
    }

    /// The number of a history.
    pub(super) fn add_history(&mut self, history: History) -> Number {
        let lanes = self.prints.take(&history, Times::default(), &[]);
        self.histories.add(history, lanes)
    }

    /// What a message is called in a lane.
    pub(super) fn name(&self, message: Number, lane: usize) -> Number {
        self.names[position(message)][lane]
    }

    fn add_message(&mut self, message: Message) -> Number {
        let lanes = self.prints.take(&message, Times::default(), &[]);
        let mut name = |print: &u64| {
            let next = Number::try_from(self.names_by_print.len()).expect("messages are few");
            *self.names_by_print.entry(*print).or_insert(next)
        };
        let names = lanes.iter().map(&mut name).collect();
        let (from, to) = (spent::place(message.from), spent::place(message.to));
        let is_plea = matches!(message.body, Body::PreVote(_));
        let number = self.messages.add(message, lanes);
        if position(number) == self.names.len() {
            self.names.push(names);
            self.to[to].add(number);
            if is_plea {
                self.pleas[from].add(number);
            }
        }
        number
    }

    /// Messages that can do nothing any more once their recipient is in this state.
    pub(super) fn spent(&mut self, machine: Number, campaigns: Campaigns) -> &Bits {
        let seen = &mut self.machines.values[position(machine)].it;
        let known = Number::try_from(self.messages.values.len()).expect("numbers are small");
        let at = usize::from(campaigns == Campaigns::AreOver);
        let (spent, looked_at) = (&mut seen.spent[at], &mut seen.looked_at[at]);
        while *looked_at < known {
            let message = &self.messages.get(*looked_at).it;
            if message.to == seen.sight.id
                && spent::is_spent(message, &seen.sight, campaigns, self.bounds.terms)
            {
                spent.add(*looked_at);
            }
            *looked_at += 1;
        }
        spent
    }

    /// Messages that can do nothing any more unless this node crashes.
    pub(super) fn held(&self, machine: Number) -> &Bits {
        &self.machines.get(machine).it.held
    }

    /// Messages that leave a node in this state as it is, as far as they were tried out.
    pub(super) fn still(&self, machine: Number) -> &Bits {
        &self.machines.get(machine).it.still
    }

    /// Messages that get no answer from a node in this state without changing it, as far as they were
    /// tried out.
    pub(super) fn silent(&self, machine: Number) -> &Bits {
        &self.machines.get(machine).it.silent
    }

    /// Finds out what comes of an action in this state of the node it is about. The first time, the
    /// node's code runs, and what it does by itself is checked.
    pub(super) fn try_out(&mut self, before: Number, action: Action) -> Result<Number, Violation> {
        if let Some(number) = self.find(before, action) {
            return Ok(number);
        }
        let outcome = self.run(before, action)?;
        self.outcomes.push(outcome);
        let number = Number::try_from(self.outcomes.len()).expect("memory ends before numbers do");
        if is_plain_delivery(action) {
            let at = position(before);
            if self.of_messages.len() <= at {
                self.of_messages.resize(at + 1, Vec::new());
            }
            let (row, message) = (&mut self.of_messages[at], position(action.about));
            if row.len() <= message {
                row.resize(message + 1, 0);
            }
            row[message] = number;
            self.note(before, action.about);
        } else {
            self.of_others.insert(key(before, action), number);
        }
        Ok(number)
    }

    /// Remembers what kind of outcome the latest one is, of a message.
    fn note(&mut self, before: Number, about: Number) {
        let Some(outcome) = self.outcomes.last() else { return };
        let seen = &mut self.machines.values[position(before)].it;
        if outcome.machine != before || outcome.sent.is_empty() {
            seen.silent.add(about);
        }
        if outcome.machine != before {
            return;
        }
        seen.still.add(about);
        let message = &self.messages.get(about).it;
        for &reply in &outcome.sent {
            let reply = &self.messages.get(reply).it;
            if spent::is_held(message, reply, &seen.sight, self.bounds.terms) {
                seen.held.add(about);
            }
        }
    }

    /// What was found out.
    pub(super) fn outcome(&self, number: Number) -> &Outcome {
        &self.outcomes[position(number) - 1]
    }

    fn find(&self, before: Number, action: Action) -> Option<Number> {
        if is_plain_delivery(action) {
            let row = self.of_messages.get(position(before))?;
            row.get(position(action.about)).copied().filter(|&number| number != 0)
        } else {
            self.of_others.get(&key(before, action)).copied()
        }
    }

    fn run(&mut self, before: Number, action: Action) -> Result<Outcome, Violation> {
        let happening = action.happening(|number| self.messages.get(number).it.clone());
        let old = &self.machines.get(before).it.machine;
        let mut machine = old.clone();
        let bounds = &self.bounds;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            machine.happen(happening.clone(), action.loses, bounds)
        }));
        let done = ran.map_err(|panic| rules::assertion_failed(&*panic))?;
        rules::check_alone(old, &machine, &done)?;
        rules::check_failover(old, &machine, &happening, &done)?;
        let claims = machine.claims;
        let forge = |message| match self.bounds.sabotage {
            Some(sabotage) => sabotage.forge(message, claims),
            None => vec![message],
        };
        let sent: Vec<_> = done.sent.into_iter().flat_map(|sent| forge(sent.message)).collect();
        Ok(Outcome {
            rank: self.rank(before, action),
            machine: self.add_machine(machine),
            sent: sent.into_iter().map(|message| self.add_message(message)).collect(),
            wrote: done.wrote,
            reads: done.reads,
            refused: done.refused,
        })
    }

    fn rank(&self, before: Number, action: Action) -> u32 {
        let sum = |lanes: &[u64]| lanes.iter().fold(0_u64, |sum, &lane| sum.wrapping_add(lane));
        let about = match action.kind {
            Kind::Deliver => sum(&self.message(action.about).lanes),
            _ => action.about.into(),
        };
        let kind = Action { at: 0, about: 0, ..action }.code();
        let rank = mix(mix(about, kind.into()), sum(&self.machine(before).lanes));
        u32::try_from(rank >> 32).expect("it has 32 bits")
    }
}

/// For the audit.
impl Tables {
    /// Messages that can do nothing any more to a node in this state if they were answered.
    pub(super) fn said(&self, machine: Number, campaigns: Campaigns) -> Bits {
        let sight = self.sight(machine);
        let mut said = Bits::default();
        for message in self.to[spent::place(sight.id)].iter() {
            if spent::is_said(&self.message(message).it, sight, campaigns, self.bounds.terms) {
                said.add(message);
            }
        }
        said
    }

    /// Every thing that is known to have happened to a node: the state before it, and the outcome.
    pub(super) fn happenings(&self) -> Vec<(Number, Action, Number)> {
        let deliveries = self.of_messages.iter().enumerate().flat_map(|(before, row)| {
            let before = Number::try_from(before).expect("numbers are positions");
            let outcomes = row.iter().enumerate().filter(|(_, outcome)| **outcome != 0);
            outcomes.map(move |(about, &outcome)| {
                let about = Number::try_from(about).expect("numbers are positions");
                (before, Action::new(Kind::Deliver, 0, about), outcome)
            })
        });
        let mut others: Vec<_> =
            self.of_others.iter().map(|(&key, &outcome)| (key, outcome)).collect();
        others.sort_unstable();
        let others = others.into_iter().map(|(key, outcome)| {
            let before = Number::try_from(key >> 32).expect("it has 32 bits");
            let code = Number::try_from(key & u64::from(u32::MAX)).expect("it has 32 bits");
            (before, Action::from_code(code), outcome)
        });
        deliveries.chain(others).collect()
    }
}

fn is_plain_delivery(action: Action) -> bool {
    action.kind == Kind::Deliver && !action.loses
}

fn position(number: Number) -> usize {
    usize::try_from(number).expect("numbers are positions")
}

fn key(before: Number, action: Action) -> u64 {
    u64::from(before) << 32 | u64::from(action.code())
}

impl Seen {
    fn new(machine: Machine, sight: Sight) -> Self {
        Self {
            machine,
            sight,
            still: Bits::default(),
            silent: Bits::default(),
            spent: Default::default(),
            looked_at: Default::default(),
            held: Bits::default(),
        }
    }
}

impl<T> Table<T> {
    fn get(&self, number: Number) -> &Known<T> {
        &self.values[position(number)]
    }

    fn add(&mut self, it: T, lanes: Box<[u64]>) -> Number {
        let next = Number::try_from(self.values.len()).expect("memory ends before numbers do");
        let number = *self.numbers.entry(lanes[0]).or_insert(next);
        if number == next {
            self.values.push(Known { it, lanes });
        }
        number
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: HashMap::default() }
    }
}

/// A map whose keys are nearly hashes already.
pub(super) type Hashed = BuildHasherDefault<Mixed>;

/// See [`Hashed`].
#[derive(Default)]
pub(super) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &byte| mix(hash, u64::from(byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = mix(self.0, number);
    }
}
