//! Digests of effects and of states: 64 bits over their bytes, or over their text where they have no
//! encoding. They tell accidents apart, not adversaries.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::codec::{put_entry, put_hard_state, put_message, put_snapshot_meta};
use crate::effects::{Apply, Compact, Effects, Persist, RoleName, SnapshotCommand};
use crate::message::Message;
use crate::node::Node;
use crate::types::{Entry, SnapshotMeta};

/// Each step can be undone by whoever knows the word, so two texts that differ in one word only never
/// have the same hash.
pub(super) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    for (place, byte) in last.iter_mut().zip(rest) {
        *place = *byte;
    }
    let mut state = mix(seed, len);
    for word in words.iter().chain([&last]) {
        state = mix(state, u64::from_le_bytes(*word));
    }
    mix(state, len)
}

fn mix(state: u64, word: u64) -> u64 {
    let mixed = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 32)
}

/// Makes digests; kept for its memory.
#[derive(Default)]
pub(super) struct Digest {
    sum: u64,
    bytes: Vec<u8>,
    text: String,
}

impl Digest {
    /// Everything that a driver is to do.
    pub(super) fn of_effects(&mut self, effects: &Effects) -> u64 {
        let Effects { send, persist, apply, reads, done, refused, snapshots, events } = effects;
        self.sum = 0;
        self.messages(send);
        if let Some(persist) = persist {
            self.persist(persist);
        }
        for apply in apply {
            match apply {
                Apply::Entries(committed) => {
                    for entry in &committed.entries {
                        self.add(|out| put_entry(out, entry));
                    }
                    self.debug(&committed.tokens);
                }
                Apply::Install(meta) => self.meta(meta),
            }
        }
        for command in snapshots {
            self.snapshot(command);
        }
        self.debug(&(reads, done, refused, events));
        self.sum
    }

    /// The state's outline: a few numbers, quickly had.
    pub(super) fn of_outline(node: &Node) -> u64 {
        let role = match node.role() {
            RoleName::Follower => 0,
            RoleName::PreCandidate => 1,
            RoleName::Candidate => 2,
            RoleName::Leader => 3,
        };
        let numbers = [
            node.term().0,
            node.vote().map_or(u64::MAX, |id| id.0),
            node.leader().map_or(u64::MAX, |id| id.0),
            node.first_index().0,
            node.last().term.0,
            node.last().index.0,
            node.durable_index().0,
            node.commit_index().0,
            node.next_deadline().0,
        ];
        numbers.into_iter().fold(role, mix)
    }

    /// The whole state but for the configuration, which never changes, and the entries of the log,
    /// which have been in the effects.
    pub(super) fn of_state(&mut self, node: &Node) -> u64 {
        let Node {
            config: _,
            now,
            hard,
            role,
            log,
            members,
            familiar: _,
            snapshot,
            commit,
            handed_out,
            applied,
            disk,
            effects,
            fresh,
            spare: _,
            rng,
            lost,
            owed,
            needed_until,
            stalled,
            removed,
            staging,
            founder,
            start,
            questions,
            failed,
        } = node;
        self.sum = self.of_effects(effects);
        for entry in fresh.iter().flatten() {
            self.entry(entry);
        }
        self.debug(&(now, hard, role, members, snapshot, commit, handed_out, applied));
        let gone = (lost, owed, needed_until, stalled, removed);
        self.debug(&(disk, rng, gone, staging, founder, start, questions));
        self.debug(failed);
        self.debug(&(
            log.base(),
            log.last(),
            log.bytes_between(log.base().index, log.last().index),
        ));
        self.sum
    }

    /// The whole state with the entries of the log.
    pub(super) fn of_state_and_log(&mut self, node: &Node) -> u64 {
        self.sum = self.of_state(node);
        for entry in node.log.between(node.log.base().index, node.log.last().index) {
            self.entry(entry);
        }
        self.sum
    }

    fn persist(&mut self, persist: &Persist) {
        let Persist { seq, install, compact, truncate_from, hard_state, entries, then_send } =
            persist;
        self.debug(&(seq, truncate_from));
        if let Some(meta) = install {
            self.meta(meta);
        }
        if let Some(Compact { snapshot, first_kept }) = compact {
            self.meta(snapshot);
            self.debug(first_kept);
        }
        if let Some(state) = hard_state {
            self.add(|out| put_hard_state(out, state));
        }
        for entry in entries {
            self.entry(entry);
        }
        self.messages(then_send);
    }

    fn snapshot(&mut self, command: &SnapshotCommand) {
        match command {
            SnapshotCommand::Read { to, meta, offset, len } => {
                self.meta(meta);
                self.debug(&(to, offset, len));
            }
            SnapshotCommand::Stage { meta, offset, data, checksum } => {
                self.meta(meta);
                self.debug(&(offset, checksum));
                self.add(|out| out.extend_from_slice(data));
            }
        }
    }

    fn messages(&mut self, messages: &[Message]) {
        for message in messages {
            self.add(|out| put_message(out, message));
        }
    }

    fn entry(&mut self, entry: &Entry) {
        self.add(|out| put_entry(out, entry));
    }

    fn meta(&mut self, meta: &SnapshotMeta) {
        self.add(|out| put_snapshot_meta(out, meta));
    }

    fn add(&mut self, put: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.clear();
        put(&mut self.bytes);
        self.sum = hash(self.sum, &self.bytes);
    }

    fn debug(&mut self, value: &impl core::fmt::Debug) {
        self.text.clear();
        write!(self.text, "{value:?}").expect("a string takes everything");
        self.sum = hash(self.sum, self.text.as_bytes());
    }
}
