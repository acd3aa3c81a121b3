//! Three nodes in one process: a driver around raft-core with disks and a network in memory. It
//! writes, kills the leader, writes again, starts the dead one from its disk, reads, and tells the
//! story: `cargo run -p raft-core --example three_nodes`.
#![expect(clippy::print_stdout, reason = "it tells a story")]

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use raft_core::{
    Apply, ClusterId, Config, Effects, Entry, Event, Incarnation, Input, Instant, Membership,
    Message, Node, NodeId, Persist, Proposal, Restored, RoleName, Token,
};

/// A process: the node, and its state machine, a list of words.
struct Process {
    node: Node,
    words: Vec<String>,
}

#[derive(Default)]
struct World {
    now: Instant,
    disks: BTreeMap<NodeId, Restored>,
    running: BTreeMap<NodeId, Process>,
    network: VecDeque<Message>,
    /// Requests that came to their end, and how.
    outcomes: BTreeMap<Token, String>,
}

impl World {
    /// Duty 1: the node is made from its disk. The state machine begins anew and applies the log again.
    fn start(&mut self, id: NodeId) {
        let config = Config {
            seed: id.0 + self.now.0, // A real driver draws it at random.
            ..Config::new(ClusterId(1), id, Incarnation(id.0))
        };
        let node = Node::restore(config, self.disks[&id].clone(), self.now).expect("a sound disk");
        self.running.insert(id, Process { node, words: Vec::new() });
    }

    /// Duties 2 and 3: something happens to a node, and what it wants done is done, in order.
    fn step(&mut self, id: NodeId, input: Input) {
        let Some(process) = self.running.get_mut(&id) else { return };
        process.node.step(self.now, input);
        let Effects { send, persist, apply, reads, refused, events, .. } =
            process.node.take_effects();
        for event in events {
            if let Event::Became { .. } | Event::LeaderLost { .. } = event {
                println!("{:>6} ms  {id} {event}", self.now.0 / 1000);
            }
        }
        self.network.extend(send); // Duty 4.
        if let Some(persist) = persist {
            write(self.disks.get_mut(&id).expect("every node has one"), &persist); // Duty 5.
            process.node.step(self.now, Input::Persisted { seq: persist.seq }); // Duty 6.
            self.network.extend(persist.then_send);
        }
        for item in apply {
            let Apply::Entries(committed) = item else { panic!("nobody makes snapshots here") };
            for (entry, token) in committed.iter() {
                if let raft_core::Payload::Data(data) = &entry.payload {
                    process.words.push(String::from_utf8_lossy(data).into_owned()); // Duty 8.
                }
                let index = entry.id.index;
                process.node.step(self.now, Input::Applied { index });
                self.outcomes.extend(token.map(|token| (token, format!("applied at {index}"))));
            }
        }
        for read in reads {
            self.outcomes.insert(read.token, process.words.join(" ")); // Duty 9.
        }
        self.outcomes.extend(refused.into_iter().map(|(token, why)| (token, why.to_string())));
    }

    /// The event loop: messages first, and when there are none, time passes to the next deadline.
    /// Messages to the dead are lost.
    fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            if let Some(message) = self.network.pop_front() {
                self.step(message.to, Input::Message(message));
                continue;
            }
            let due = |(id, process): (&NodeId, &Process)| (process.node.next_deadline(), *id);
            let (at, id) = self.running.iter().map(due).min().expect("somebody runs");
            self.now = self.now.max(at);
            self.step(id, Input::Tick); // Duty 10.
        }
    }

    fn leader(&self) -> Option<NodeId> {
        let leads = |(_, it): &(&NodeId, &Process)| it.node.role() == RoleName::Leader;
        self.running.iter().find(leads).map(|(id, _)| *id)
    }

    /// Asks `id` for something, and waits for the outcome.
    fn ask(&mut self, id: NodeId, token: u64, input: impl Fn(Token) -> Input) -> String {
        self.step(id, input(Token(token)));
        self.run_until(|world| world.outcomes.contains_key(&Token(token)));
        println!("{:>6} ms  #{token}: {}", self.now.0 / 1000, self.outcomes[&Token(token)]);
        self.outcomes[&Token(token)].clone()
    }
}

/// Install, cut, hard state, entries, in this order; a real disk keeps all of it or nothing.
fn write(disk: &mut Restored, persist: &Persist) {
    if let Some(from) = persist.truncate_from {
        disk.entries.retain(|entry: &Entry| entry.id.index < from);
    }
    disk.hard_state = persist.hard_state.clone().unwrap_or(disk.hard_state.clone());
    disk.entries.extend(persist.entries.iter().cloned());
}

fn main() {
    let ids = [1, 2, 3].map(NodeId);
    let mut world = World::default();
    for id in ids {
        let bootstrap = Membership::of_voters(ids);
        world.disks.insert(id, Restored { bootstrap, ..Restored::default() });
        world.start(id);
    }
    let add = |word: &'static str| {
        move |token| {
            Input::Propose(vec![Proposal { token, data: Bytes::from_static(word.as_bytes()) }])
        }
    };
    world.run_until(|world| world.leader().is_some());
    let first = world.leader().expect("just elected");
    world.ask(first, 1, add("one"));
    println!("           {first} is killed");
    world.running.remove(&first);
    for id in ids {
        world.step(id, Input::PeerDown { peer: first }); // Its sockets closed: no need to wait.
    }
    world.run_until(|world| world.leader().is_some());
    let second = world.leader().expect("just elected");
    world.ask(second, 2, add("two"));
    println!("           {first} is started again");
    world.start(first);
    let last = world.running[&second].node.last().index;
    world.run_until(|world| world.running[&first].node.commit_index() >= last);
    // Any node may be asked for a linearizable read, even the one that was away.
    assert_eq!(world.ask(first, 3, Input::Read), "one two");
}

#[test]
fn the_story_ends_well() {
    main();
}
