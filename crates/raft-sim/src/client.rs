//! A client: one operation at a time, with a session or without, retried with the same number until
//! it is answered or given up, following what nodes say about the leader. What it saw goes into the
//! history.

use std::collections::BTreeMap;

use bytes::Bytes;
use lin_check::{History, Input, OpId, Output, Process};
use raft_core::{Membership, NodeId};
use raft_kv::{Answer, Command, Query, Reply};
use raft_replica::{Outcome, Refused, RequestKind, SessionHeader};

use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::sometimes::{Mark, Sometimes};

/// How long a client waits for an answer before it asks again.
const ATTEMPT_US: u64 = 400_000;
/// How long a client tries before it gives an operation up.
const PATIENCE_US: u64 = 3_000_000;
/// How long a client waits after a refusal.
const BACKOFF_US: u64 = 20_000;

/// What a client asks of a node.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Something for the log.
    Write(RequestKind),
    /// A linearizable read.
    Read(Bytes),
    /// An operator's: another membership; made up from which; by force.
    Change(Membership, Option<Membership>, bool),
    /// An operator's: another leader.
    Transfer(Option<NodeId>),
}

/// A client.
pub struct Client {
    process: Process,
    rng: Rng,
    nodes: Vec<NodeId>,
    keys: u64,
    padding: usize,
    think_us: u64,
    /// How many operations it may still begin before the world is healed.
    ops_left: u64,
    /// Whether it uses a session.
    wants_session: bool,
    session: Option<u64>,
    /// The number of the last write of the session.
    sequence: u64,
    target: NodeId,
    task: Task,
    /// Counts steps: a timer or an answer that belongs to an earlier one says nothing.
    pub step: u64,
    writes: u64,
    /// What it last saw in a key.
    seen: BTreeMap<String, Option<String>>,
}

enum Task {
    Nothing,
    Open,
    Operation(Operation),
}

struct Operation {
    op: OpId,
    key: String,
    input: Input,
    give_up_us: u64,
    /// Whether some attempt may have taken effect.
    perhaps: bool,
    attempts: u64,
}

/// What a client needs of the world.
pub struct Surroundings<'a> {
    /// Now.
    pub now_us: u64,
    /// Where it enters what it did and saw.
    pub history: &'a mut History,
    /// What it did.
    pub sometimes: &'a mut Sometimes,
    /// Which commands may take effect at which operation's behest.
    pub commands: &'a mut BTreeMap<Bytes, OpId>,
    /// Whether new operations may begin.
    pub open: bool,
    /// Whether the world is not yet healed.
    pub faulty: bool,
}

/// What a client does next.
pub struct Move {
    /// Asks this node.
    pub ask: Option<(NodeId, Ask)>,
    /// Wants to be woken after this time.
    pub timer_us: Option<u64>,
}

impl Client {
    /// Client number `number` of the scenario.
    pub fn new(scenario: &Scenario, number: u64) -> Self {
        let mut rng = Rng::stream(scenario.seed, &format!("client {number}"));
        let nodes = scenario.ids();
        Self {
            process: Process(number),
            wants_session: rng.chance(700),
            target: rng.pick(&nodes),
            rng,
            nodes,
            keys: scenario.keys,
            padding: scenario.padding,
            think_us: scenario.think_us,
            ops_left: scenario.client_ops,
            session: None,
            sequence: 0,
            task: Task::Nothing,
            step: 0,
            writes: 0,
            seen: BTreeMap::new(),
        }
    }

    /// Whether it waits for nothing.
    pub fn is_idle(&self) -> bool {
        matches!(self.task, Task::Nothing)
    }

    /// Its timer rang: begin something, or try again.
    pub fn on_timer(&mut self, around: &mut Surroundings<'_>) -> Move {
        self.step += 1;
        match &mut self.task {
            Task::Nothing if around.faulty && self.ops_left == 0 => self.rest(),
            Task::Nothing if around.open => self.begin(around),
            Task::Nothing => Move { ask: None, timer_us: None },
            Task::Open if !around.open => self.rest(),
            Task::Open => {
                self.target = self.rng.pick(&self.nodes);
                self.ask()
            }
            Task::Operation(operation) => {
                // Whoever has not answered may have done it.
                operation.perhaps |= 0 < operation.attempts;
                let repeatable = operation.input == Input::Get || self.session.is_some();
                if operation.give_up_us <= around.now_us || (operation.perhaps && !repeatable) {
                    return self.give_up(around);
                }
                if 0 < operation.attempts {
                    around.sometimes.hit(Mark::Retried);
                    self.target = self.rng.pick(&self.nodes);
                }
                self.ask()
            }
        }
    }

    /// The answer to its last request.
    pub fn on_answer(&mut self, around: &mut Surroundings<'_>, outcome: Outcome) -> Move {
        self.step += 1;
        match (&mut self.task, outcome) {
            (Task::Open, Outcome::SessionOpened { session, .. }) => {
                (self.session, self.sequence) = (Some(session), 0);
                self.rest()
            }
            (Task::Operation(_), Outcome::Applied { id, result, duplicate }) => {
                if duplicate {
                    around.sometimes.hit(Mark::DuplicateSuppressed);
                }
                self.applied(around, id.index.0, &result)
            }
            (Task::Operation(_), Outcome::Read { applied, result }) => {
                self.read(around, applied.0, &result)
            }
            (Task::Operation(operation), Outcome::Refused(refused)) => {
                match refused {
                    Refused::OutcomeUnknown => operation.perhaps = true,
                    Refused::SessionUnknown | Refused::SessionStale => {
                        around.sometimes.hit(Mark::SessionExpired);
                        self.session = None;
                        return self.give_up(around);
                    }
                    Refused::NotLeader { leader } => self.redirect(leader),
                    Refused::Overloaded | Refused::DiskFull | Refused::Transferring { .. } => (),
                    refused @ (Refused::Membership(_) | Refused::Transfer(_)) => {
                        panic!("that is no answer to a command: {refused:?}")
                    }
                    Refused::Invalid(text) => panic!("a sound request was refused: {text}"),
                }
                // This attempt has been answered, and so did nothing that `perhaps` does not say.
                if let Task::Operation(operation) = &mut self.task {
                    operation.attempts = u64::from(operation.perhaps);
                }
                self.wait(BACKOFF_US)
            }
            (Task::Open, Outcome::Refused(Refused::NotLeader { leader })) => {
                self.redirect(leader);
                self.wait(BACKOFF_US)
            }
            (Task::Open, _) => self.wait(BACKOFF_US),
            (Task::Nothing, outcome) => panic!("nobody asked for {outcome:?}"),
            (Task::Operation(_), outcome) => panic!("that is no answer to a command: {outcome:?}"),
        }
    }

    fn redirect(&mut self, leader: Option<NodeId>) {
        self.target = leader.unwrap_or_else(|| self.rng.pick(&self.nodes));
    }

    fn begin(&mut self, around: &mut Surroundings<'_>) -> Move {
        if self.wants_session && self.session.is_none() {
            self.task = Task::Open;
            return self.ask();
        }
        self.ops_left = self.ops_left.saturating_sub(1);
        let key = format!("k{}", self.rng.between(1, self.keys));
        let input = self.draw_input(&key);
        if input != Input::Get {
            self.sequence += 1;
        }
        let op = around.history.invoke(self.process, &*key, input.clone(), around.now_us * 1_000);
        if let Some(command) = command(&key, &input) {
            around.commands.insert(command.encode(), op);
        }
        let give_up_us = around.now_us + PATIENCE_US;
        let operation = Operation { op, key, input, give_up_us, perhaps: false, attempts: 0 };
        self.task = Task::Operation(operation);
        self.ask()
    }

    fn draw_input(&mut self, key: &str) -> Input {
        let length = self.rng.below(self.padding + 1);
        let mut value = || {
            self.writes += 1;
            format!("{}-{}{:.<length$}", self.process.0, self.writes, "")
        };
        match self.rng.between(0, 9) {
            0..=3 => Input::Get,
            4..=6 => Input::put(value()),
            _ => {
                let expected = self.seen.get(key).cloned().flatten();
                Input::Cas { expected, value: Some(value()) }
            }
        }
    }

    /// Sends the request of the present task.
    fn ask(&mut self) -> Move {
        let ask = match &mut self.task {
            Task::Nothing => return self.rest(),
            Task::Open => Ask::Write(RequestKind::OpenSession),
            Task::Operation(operation) => {
                operation.attempts += 1;
                match command(&operation.key, &operation.input) {
                    None => Ask::Read(Query::Get { key: bytes(&operation.key) }.encode()),
                    Some(command) => {
                        let session = self.session.map(|id| SessionHeader {
                            id,
                            sequence: self.sequence,
                            first_outstanding: self.sequence,
                        });
                        Ask::Write(RequestKind::Command { session, command: command.encode() })
                    }
                }
            }
        };
        Move { ask: Some((self.target, ask)), timer_us: Some(ATTEMPT_US) }
    }

    fn applied(&mut self, around: &mut Surroundings<'_>, index: u64, result: &Bytes) -> Move {
        let Task::Operation(operation) = std::mem::replace(&mut self.task, Task::Nothing) else {
            panic!("nobody wrote anything");
        };
        let output = match Reply::decode(result).expect("the store's replies are sound") {
            Reply::Put { replaced } => Output::Put { replaced },
            Reply::Cas { swapped: true, .. } => Output::Swapped,
            Reply::Cas { swapped: false, actual } => {
                around.sometimes.hit(Mark::SwapRefused);
                let actual = actual.map(|value| text(&value));
                self.seen.insert(operation.key, actual.clone());
                Output::DiffersFrom(actual)
            }
            reply => panic!("that is no answer to {}: {reply:?}", operation.input),
        };
        around.sometimes.hit(Mark::WriteDone);
        around.history.ok(operation.op, output, around.now_us * 1_000);
        around.history.place(operation.op, index);
        self.rest()
    }

    fn read(&mut self, around: &mut Surroundings<'_>, applied: u64, result: &Bytes) -> Move {
        let Task::Operation(operation) = std::mem::replace(&mut self.task, Task::Nothing) else {
            panic!("nobody read anything");
        };
        let Ok(Answer::Value(value)) = Answer::decode(result) else {
            panic!("that is no value: {result:?}");
        };
        let value = value.map(|value| text(&value));
        around.sometimes.hit(Mark::ReadDone);
        around.history.ok(operation.op, Output::Value(value.clone()), around.now_us * 1_000);
        around.history.place(operation.op, applied);
        self.seen.insert(operation.key, value);
        self.rest()
    }

    /// Ends the operation without an answer.
    fn give_up(&mut self, around: &mut Surroundings<'_>) -> Move {
        if let Task::Operation(operation) = std::mem::replace(&mut self.task, Task::Nothing) {
            if operation.perhaps {
                around.history.unknown(operation.op);
                if operation.input != Input::Get {
                    around.sometimes.hit(Mark::OutcomeUnknown);
                }
            } else {
                around.history.fail(operation.op);
            }
        }
        self.rest()
    }

    fn rest(&mut self) -> Move {
        self.task = Task::Nothing;
        self.wait(self.think_us)
    }

    fn wait(&mut self, most_us: u64) -> Move {
        Move { ask: None, timer_us: Some(self.rng.between(1, most_us)) }
    }
}

/// What an operation asks of the log; nothing if it reads.
fn command(key: &str, input: &Input) -> Option<Command> {
    let key = bytes(key);
    match input {
        Input::Get | Input::Range { .. } => None,
        Input::Put { value } => Some(Command::Put { key, value: bytes(value) }),
        Input::Delete => Some(Command::Delete { key }),
        Input::Cas { expected, value } => Some(Command::Cas {
            key,
            expected: expected.as_deref().map(bytes),
            value: value.as_deref().map(bytes),
        }),
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// A value as text.
pub fn text(value: &Bytes) -> String {
    String::from_utf8_lossy(value).into_owned()
}
