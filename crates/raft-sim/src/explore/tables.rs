//! Every node state, message and history that was ever met, once, by number; and what came of each
//! thing that happened to a node. A cluster's state is then a handful of numbers, and the core runs
//! once for each pair of a node's state and a happening, not once for each state of the cluster.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

use raft_core::{Body, Index, Message, Term, Token};

use super::action::{Action, Kind};
use super::fingerprint::{Fingerprints, Times, mix};
use super::machine::{Machine, TIMEOUT_US};
use super::rules::{self, History, Sight};
use super::{Bounds, Violation};

/// A number in a table.
pub(super) type Number = u32;

/// Something known, and its fingerprints.
pub(super) struct Known<T> {
    pub(super) it: T,
    pub(super) lanes: Box<[u64]>,
}

/// A node's state, and what the rules see of it.
pub(super) struct Seen {
    pub(super) machine: Machine,
    pub(super) sight: Sight,
}

/// What came of something that happened to a node.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The state after it.
    pub(super) machine: Number,
    /// Messages that left.
    pub(super) sent: Vec<Number>,
    /// Reads that may be served, and from where on.
    pub(super) reads: Vec<(Token, Index)>,
    /// Requests that came to nothing.
    pub(super) refused: Vec<Token>,
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
        Self {
            bounds,
            prints,
            machines: Table::default(),
            messages: Table::default(),
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

    pub(super) fn message(&self, number: Number) -> &Known<Message> {
        self.messages.get(number)
    }

    pub(super) fn history(&self, number: Number) -> &Known<History> {
        self.histories.get(number)
    }

    /// The number of a node's state.
    pub(super) fn add_machine(&mut self, machine: Machine) -> Number {
        let lanes = self.prints.take(&machine, machine.times(), &machine.disk.writes());
        match self.machines.numbers.get(&lanes[0]) {
            Some(&number) => number,
            None => {
                let sight = Sight::of(&machine);
                self.machines.add(Seen { machine, sight }, lanes)
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
        let number = self.messages.add(message, lanes);
        if position(number) == self.names.len() {
            self.names.push(names);
        }
        number
    }

    /// Finds out what comes of an action in this state of the node it is about. The first time, the
    /// node's code runs, and what it does by itself is checked.
    pub(super) fn try_out(&mut self, before: Number, action: Action) -> Result<(), Violation> {
        if self.find(before, action).is_some() {
            return Ok(());
        }
        let outcome = self.run(before, action)?;
        self.outcomes.push(outcome);
        let number = Number::try_from(self.outcomes.len()).expect("memory ends before numbers do");
        if action.kind == Kind::Deliver {
            let (before, message) = (position(before), position(action.about));
            if self.of_messages.len() <= before {
                self.of_messages.resize(before + 1, Vec::new());
            }
            let row = &mut self.of_messages[before];
            if row.len() <= message {
                row.resize(message + 1, 0);
            }
            row[message] = number;
        } else {
            self.of_others.insert(key(before, action), number);
        }
        Ok(())
    }

    /// What was found out.
    pub(super) fn outcome(&self, before: Number, action: Action) -> &Outcome {
        let number = self.find(before, action).expect("it was tried out");
        &self.outcomes[position(number) - 1]
    }

    fn find(&self, before: Number, action: Action) -> Option<Number> {
        if action.kind == Kind::Deliver {
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
        let ran = catch_unwind(AssertUnwindSafe(|| machine.happen(happening, bounds)));
        let done = ran.map_err(|panic| rules::assertion_failed(&*panic))?;
        rules::check_alone(old, &machine, &done)?;
        Ok(Outcome {
            machine: self.add_machine(machine),
            sent: done.sent.into_iter().map(|message| self.add_message(message)).collect(),
            reads: done.reads,
            refused: done.refused,
        })
    }
}

/// The term from which on, once durable at its recipient, a message can do nothing any more: what
/// answers an earlier term is ignored, and a durable term never goes back.
pub(super) fn dead_from(message: &Message) -> Term {
    match &message.body {
        Body::VoteReply(_)
        | Body::AppendReply(_)
        | Body::HeartbeatReply(_)
        | Body::ReadIndex(_)
        | Body::ReadIndexReply { .. }
        | Body::TimeoutNow => message.term.next(),
        Body::PreVoteReply(reply) => reply.asked.max(message.term),
        _ => Term(u64::MAX),
    }
}

fn position(number: Number) -> usize {
    usize::try_from(number).expect("numbers are positions")
}

fn key(before: Number, action: Action) -> u64 {
    u64::from(before) << 32 | u64::from(action.code())
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
