//! Three nodes of tikv/raft-rs, driven as its example does it: `ready`, append to `MemStorage`,
//! `advance`, apply. It does the cells it reads from the standard input, one a line (`propose` or
//! `step`, bytes of a command, commands in a batch, commands), and answers each with nanoseconds per
//! command.
//!
//! Where there is a choice it is the cheaper one: the commands of a batch share their appends,
//! followers learn of a commit with the next append instead of one more message, no logger.
//!
//! The crate takes commands one by one. What it takes inside is a message, and one made by hand can
//! carry the whole batch: that way is measured as well. The first word of a line says which.

#[path = "../../cost/work.rs"]
mod work;

use std::io::{self, BufRead as _};

use raft::eraftpb::{Entry, EntryType, Message, MessageType};
use raft::storage::MemStorage;
use raft::{Config, RawNode};

use work::{
    APPEND_BYTES_MAX, Applied, Cell, Cluster, ENTRIES_KEPT, HEARTBEATS_PER_ELECTION,
    INFLIGHT_MESSAGES_MAX, NODES,
};

struct Node {
    raw: RawNode<MemStorage>,
    store: MemStorage,
    inbox: Vec<Message>,
    applied: Applied,
    applied_index: u64,
}

/// The cluster. A batch goes in as one message made by hand, or one command after the other.
struct RaftRs<const ONE_MESSAGE: bool> {
    nodes: Vec<Node>,
}

impl<const ONE_MESSAGE: bool> Cluster for RaftRs<ONE_MESSAGE> {
    fn elect() -> Self {
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let ids: Vec<u64> = (1..=NODES as u64).collect();
        let start = |&id: &u64| {
            let config = Config {
                id,
                election_tick: HEARTBEATS_PER_ELECTION as usize,
                heartbeat_tick: 1,
                max_size_per_msg: APPEND_BYTES_MAX as u64,
                max_inflight_msgs: INFLIGHT_MESSAGES_MAX,
                check_quorum: true,
                pre_vote: true,
                skip_bcast_commit: true,
                batch_append: true,
                ..Config::default()
            };
            let store = MemStorage::new_with_conf_state((ids.clone(), Vec::new()));
            let raw = RawNode::new(&config, store.clone(), &logger).expect("a valid configuration");
            Node { raw, store, inbox: Vec::new(), applied: Applied::default(), applied_index: 0 }
        };
        let mut cluster = Self { nodes: ids.iter().map(start).collect() };
        cluster.nodes[0].raw.campaign().expect("a voter may campaign");
        cluster.settle();
        assert_eq!(cluster.nodes[0].raw.raft.leader_id, 1);
        cluster
    }

    fn propose(&mut self, commands: Vec<Vec<u8>>) {
        let leader = &mut self.nodes[0].raw;
        if !ONE_MESSAGE {
            for command in commands {
                leader.propose(Vec::new(), command).expect("the leader takes it");
            }
            return self.settle();
        }
        let entries: Vec<Entry> = commands
            .into_iter()
            .map(|command| Entry { data: command.into(), ..Entry::default() })
            .collect();
        let mut message = Message { from: 1, ..Message::default() };
        message.set_msg_type(MessageType::MsgPropose);
        message.set_entries(entries.into());
        leader.raft.step(message).expect("the leader takes it");
        self.settle();
    }

    fn pass_heartbeat(&mut self) {
        for node in &mut self.nodes {
            node.raw.tick();
        }
        self.settle();
    }

    fn compact(&mut self) {
        for node in &self.nodes {
            let first_kept = (node.applied_index + 1).saturating_sub(ENTRIES_KEPT);
            node.store.wl().compact(first_kept).expect("it is applied");
        }
    }

    fn applied(&self) -> [Applied; NODES] {
        std::array::from_fn(|node| self.nodes[node].applied)
    }
}

impl<const ONE_MESSAGE: bool> RaftRs<ONE_MESSAGE> {
    /// Gives every node its turn until no message is on its way.
    fn settle(&mut self) {
        loop {
            let mut is_quiet = true;
            for node in 0..NODES {
                if self.nodes[node].inbox.is_empty() && !self.nodes[node].raw.has_ready() {
                    continue;
                }
                is_quiet = false;
                self.turn(node);
            }
            if is_quiet {
                return;
            }
        }
    }

    fn turn(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        for message in node.inbox.drain(..) {
            node.raw.step(message).expect("a message of the cluster");
        }
        if !node.raw.has_ready() {
            return;
        }
        let mut ready = node.raw.ready();
        let early = ready.take_messages();
        node.apply(ready.take_committed_entries());
        {
            let mut store = node.store.wl();
            store.append(ready.entries()).expect("it continues the log");
            if let Some(hard_state) = ready.hs() {
                store.set_hardstate(hard_state.clone());
            }
        }
        let promises = ready.take_persisted_messages();
        let mut light = node.raw.advance(ready);
        if let Some(commit) = light.commit_index() {
            node.store.wl().mut_hard_state().set_commit(commit);
        }
        let late = light.take_messages();
        node.apply(light.take_committed_entries());
        node.raw.advance_apply();
        for messages in [early, promises, late] {
            for message in messages {
                let to = usize::try_from(message.to - 1).expect("one of three");
                self.nodes[to].inbox.push(message);
            }
        }
    }
}

impl Node {
    fn apply(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.applied_index = entry.index;
            // An entry without data opens a term.
            if entry.get_entry_type() == EntryType::EntryNormal && !entry.data.is_empty() {
                self.applied.count(&entry.data);
            }
        }
    }
}

fn main() {
    for line in io::stdin().lock().lines() {
        let line = line.expect("the benchmark writes lines");
        let (way, numbers) = line.split_once(' ').expect("a way and three numbers");
        let numbers: Vec<u64> =
            numbers.split(' ').map(|word| word.parse().expect("a number")).collect();
        let [payload, batch, entries] = numbers[..] else { panic!("three numbers: {line}") };
        let cell = Cell { payload: payload as usize, batch: batch as usize, entries };
        match way {
            "propose" => println!("{}", work::run::<RaftRs<false>>(cell)),
            "step" => println!("{}", work::run::<RaftRs<true>>(cell)),
            _ => panic!("no way to propose: {line}"),
        }
    }
}
