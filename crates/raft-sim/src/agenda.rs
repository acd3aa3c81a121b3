//! What happens when: one queue of events, and what all parts of the world share.

use std::collections::BTreeMap;

use raft_core::{Body, Entry, Message, NodeId, Payload, Token, VoteReply};
use raft_replica::{Outcome, SnapshotDone};

use crate::client::Ask;
use crate::invariants::{Violation, Witness};
use crate::machine::Machine;
use crate::network::{Network, Path};
use crate::rng::Rng;
use crate::scenario::{Sabotage, Scenario};

/// Something that will happen.
pub enum Event {
    /// Something reaches a node from outside.
    Arrive(NodeId, Arrival),
    /// Something of a process' own reaches it, if it still lives.
    Complete(NodeId, Life, Arrival),
    /// A node takes a turn.
    Wake(NodeId, Life),
    /// A node's log writer writes what has gathered.
    Write(NodeId, Life),
    /// A node does its next piece of work on snapshot files.
    Snapshot(NodeId, Life),
    /// A node makes a segment of its log ready.
    Prepare(NodeId, Life),
    /// A node's log writer looks for space, unless it has written since.
    LookForSpace(NodeId, Life, u64),
    /// A node starts.
    Start(NodeId),
    /// An answer reaches its client.
    Answer(Token, Outcome),
    /// A client wants to do something.
    Client(usize, u64),
    /// The operator looks after what is lost.
    Operator,
    /// Something planned.
    Act(usize),
    /// These links are mended, unless all of them were since.
    Mend(u64, Vec<Path>),
    /// A disk is as fast as before.
    Hasten(NodeId),
    /// A disk has space again.
    Free(NodeId),
}

/// Counts the starts of a node: what was meant for an earlier process never reaches a later one.
pub type Life = u64;

/// Something for a replica.
pub enum Arrival {
    /// From a peer.
    Message(Message),
    /// From a client.
    Ask(Token, Ask),
    /// The log's writer is done up to here.
    Persisted(u64),
    /// There is another amount of space for the log.
    Space,
    /// A piece of work on snapshot files is done.
    Snapshot(SnapshotDone<Machine>),
    /// The connection to this peer broke, and another attempt was refused.
    PeerDown(NodeId),
}

/// What all parts of the world share.
pub struct Env {
    /// Now, in microseconds.
    pub now_us: u64,
    /// What the seed means.
    pub scenario: Scenario,
    /// The links between the nodes.
    pub network: Network,
    /// Who watches.
    pub witness: Witness,
    /// Decides what a test has the network do.
    saboteur: Rng,
    /// Whether things still go wrong.
    pub faulty: bool,
    queue: BTreeMap<(u64, u64), Event>,
    scheduled: u64,
}

impl Env {
    /// An empty agenda.
    pub fn new(scenario: Scenario, witness: Witness) -> Self {
        Self {
            now_us: 0,
            network: Network::new(&scenario),
            saboteur: Rng::stream(scenario.seed, "saboteur"),
            scenario,
            witness,
            faulty: true,
            queue: BTreeMap::new(),
            scheduled: 0,
        }
    }

    /// Lets something happen `delay_us` from now.
    pub fn after(&mut self, delay_us: u64, event: Event) {
        self.at(self.now_us + delay_us, event);
    }

    /// Lets something happen at `at_us`; what is planned for one instant happens in the order of
    /// planning.
    pub fn at(&mut self, at_us: u64, event: Event) {
        self.scheduled += 1;
        self.queue.insert((at_us.max(self.now_us), self.scheduled), event);
    }

    /// Takes the next event, and moves the clock to it, unless it is later than `until_us`.
    pub fn next(&mut self, until_us: u64) -> Option<Event> {
        let next = self.queue.first_entry()?;
        let (at_us, _) = *next.key();
        if until_us < at_us {
            return None;
        }
        self.now_us = at_us;
        Some(next.remove())
    }

    /// Sends messages between nodes.
    pub fn send(&mut self, messages: Vec<Message>) -> Result<(), Violation> {
        for mut message in messages {
            self.witness.on_send(&message)?;
            self.sabotage(&mut message);
            let link = (message.from, message.to);
            let sometimes = &mut self.witness.sometimes;
            for at_us in self.network.arrivals(self.now_us, link, sometimes) {
                self.at(at_us, Event::Arrive(message.to, Arrival::Message(message.clone())));
            }
        }
        Ok(())
    }

    /// What a test has the network do to a message.
    fn sabotage(&mut self, message: &mut Message) {
        match (self.scenario.sabotage, &mut message.body) {
            // A refusal in a later term would end the campaign whatever it says.
            (
                Some(Sabotage::ForgedVotes),
                Body::VoteReply(VoteReply { granted, asked })
                | Body::PreVoteReply(VoteReply { granted, asked }),
            ) if message.term <= *asked => *granted = true,
            (Some(Sabotage::ForgedEntries), Body::Append(append)) => {
                let mut entries = append.entries.to_vec();
                if let Some(Entry { payload, .. }) = entries.last_mut()
                    && self.saboteur.chance(50)
                {
                    *payload = Payload::Noop;
                    append.entries = entries.into();
                }
            }
            _ => (),
        }
    }
}
