//! When two states are the same: the fingerprint of what they show of themselves.
//!
//! A fingerprint is taken from the [`Debug`] text, which names every field of every type, also those
//! that will be added next year: what is forgotten here makes states differ that need not, never the
//! other way round. Of the text is left out, or seen more coarsely,
//!
//! * the configuration, which is a node's for good, the state of its random numbers, which decide
//!   nothing but deadlines, and whether a disk is slow or a peer's process gone, which decides nothing
//!   but when and to whom leadership is handed over;
//! * a point in time: only whether it is ahead, past, or past by an election timeout; of the beginning
//!   of a write, only whether it will have taken an election timeout when the node's time runs out;
//! * the number of a write: only its place among those under way.
//!
//! What stands in braces has no order: fields are told apart by their names, and sets and maps must
//! not depend on the names of the nodes. These can be exchanged: a fingerprint has one *lane* for each
//! renaming, and states that differ by a renaming only share the smallest.

use std::fmt::{Debug, Write as _};

use raft_core::Instant;

use crate::rng::{FNV_START, fnv};

/// Fields that decide nothing.
const SKIPPED: [&[u8]; 8] =
    [b"config", b"rng", b"now", b"starts", b"slow", b"down", b"stalled", b"stalled_until"];

/// What stands in these fields.
const SENSES: [(&[u8], Sense); 6] = [
    (b"started", Sense::Start),
    (b"seq", Sense::Sequence),
    (b"next_seq", Sense::Sequence),
    (b"durable_seq", Sense::Sequence),
    (b"pending", Sense::Runs),
    (b"then_send", Sense::Bag),
];

/// What the points in time are compared with that a value holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// What the node's clock shows.
    pub(super) now: Instant,
    /// When its timer runs out.
    pub(super) deadline: Instant,
}

/// Takes fingerprints.
pub(super) struct Fingerprints {
    /// For each lane what each id, from 1, is called in it. The first changes nothing.
    renamings: Vec<Vec<u64>>,
    /// Election timeout in microseconds.
    timeout_us: u64,
    text: String,
}

impl Fingerprints {
    /// One lane for each order of so many nodes.
    pub(super) fn new(nodes: u64, timeout_us: u64) -> Self {
        let mut renamings = vec![Vec::new()];
        for _ in 0..nodes {
            let extend = |order: Vec<u64>| {
                let free = (1..=nodes).filter(|id| !order.contains(id)).collect::<Vec<_>>();
                free.into_iter().map(move |id| [order.clone(), vec![id]].concat())
            };
            renamings = renamings.into_iter().flat_map(extend).collect();
        }
        Self { renamings, timeout_us, text: String::new() }
    }

    /// How many lanes there are.
    pub(super) fn lanes(&self) -> usize {
        self.renamings.len()
    }

    /// The fingerprint of what a node holds, in each lane.
    /// `writes` are the numbers of its writes under way, ascending.
    pub(super) fn take(&mut self, value: &impl Debug, times: Times, writes: &[u64]) -> Box<[u64]> {
        self.text.clear();
        write!(self.text, "{value:?}").expect("memory takes what is written to it");
        let durable = number_after(&self.text, "durable_seq: ");
        let (text, timeout_us) = (self.text.as_bytes(), self.timeout_us);
        let lane = |names: &Vec<u64>| {
            Reader { text, at: 0, names, times, timeout_us, durable, writes }.value(Sense::Plain)
        };
        self.renamings.iter().map(lane).collect()
    }
}

/// Goes on hashing.
pub(super) fn mix(hash: u64, value: u64) -> u64 {
    let mut z = hash.rotate_left(29).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ value;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn number_after(text: &str, label: &str) -> u64 {
    let digits = text.split_once(label).map_or("", |(_, rest)| rest);
    digits.split(|c: char| !c.is_ascii_digit()).next().and_then(|it| it.parse().ok()).unwrap_or(0)
}

/// What a bare number or list stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sense {
    Plain,
    Node,
    Time,
    /// When a write began.
    Start,
    /// The number of a write.
    Sequence,
    /// Writes, of which several may have become one.
    Runs,
    /// Things whose order does not matter.
    Bag,
}

/// Reads a `Debug` text once, for one lane.
struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    names: &'a [u64],
    times: Times,
    timeout_us: u64,
    durable: u64,
    writes: &'a [u64],
}

impl<'a> Reader<'a> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn while_in(&mut self, class: impl Fn(u8) -> bool) -> &'a [u8] {
        let from = self.at;
        while class(self.peek()) {
            self.at += 1;
        }
        &self.text[from..self.at]
    }

    fn space(&mut self) {
        self.while_in(|byte| byte == b' ');
    }

    fn value(&mut self, sense: Sense) -> u64 {
        self.space();
        match self.peek() {
            b'0'..=b'9' => self.number(sense),
            b'"' => self.string(),
            b'{' | b'[' | b'(' => self.group(b"", sense),
            _ => {
                let name = self.while_in(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                assert!(!name.is_empty(), "no value at {}", self.rest());
                if name == b"b" && self.peek() == b'"' {
                    return self.string();
                }
                self.space();
                match self.peek() {
                    b'{' | b'(' => self.group(name, sense),
                    _ => word(name),
                }
            }
        }
    }

    fn number(&mut self, sense: Sense) -> u64 {
        let digits = self.while_in(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        let text = std::str::from_utf8(digits).unwrap_or_default();
        let Ok(number) = text.parse::<u64>() else { return word(digits) };
        let seen = match sense {
            Sense::Plain | Sense::Runs | Sense::Bag => number,
            Sense::Node => {
                let position = number.checked_sub(1).and_then(|at| usize::try_from(at).ok());
                *position.and_then(|at| self.names.get(at)).unwrap_or(&number)
            }
            Sense::Time if self.times.now.0 < number => 0,
            Sense::Time => {
                1 + u64::from(number.saturating_add(self.timeout_us) <= self.times.now.0)
            }
            Sense::Start => {
                u64::from(number.saturating_add(self.timeout_us) <= self.times.deadline.0)
            }
            Sense::Sequence if number <= self.durable => 0,
            Sense::Sequence => {
                let before = self.writes.partition_point(|&write| write < number);
                u64::try_from(before).unwrap_or(u64::MAX).saturating_add(1)
            }
        };
        mix(1, seen)
    }

    fn string(&mut self) -> u64 {
        self.at += 1;
        let from = self.at;
        while self.peek() != b'"' {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
            assert!(self.at < self.text.len(), "a string without an end");
        }
        self.at += 1;
        word(&self.text[from..self.at])
    }

    /// What stands in brackets; `name` stands before them.
    fn group(&mut self, name: &[u8], outer: Sense) -> u64 {
        let is_ordered = self.peek() != b'{' && outer != Sense::Bag;
        self.at += 1;
        let (mut all, mut last) = (word(name), None);
        for position in 0_u64.. {
            self.while_in(|byte| byte == b' ' || byte == b',');
            if matches!(self.peek(), b'}' | b']' | b')') {
                self.at += 1;
                break;
            }
            let sense = match (name, position) {
                (b"NodeId", _) => Sense::Node,
                (b"Instant", _) if outer == Sense::Start => Sense::Start,
                (b"Instant", _) => Sense::Time,
                (b"Candidate", 1) => Sense::Sequence,
                _ => Sense::Plain,
            };
            let item = self.item(sense);
            if last.replace(item) != Some(item) || outer != Sense::Runs {
                all = if is_ordered { mix(all, item) } else { all.wrapping_add(item) };
            }
        }
        mix(2, all)
    }

    /// A value, or a field or key with its value.
    fn item(&mut self, sense: Sense) -> u64 {
        let from = self.at;
        let first = self.value(sense);
        if self.peek() != b':' {
            return first;
        }
        let field = &self.text[from..self.at];
        self.at += 1;
        if SKIPPED.contains(&field) {
            self.skip();
            return 0;
        }
        let sense = SENSES.iter().find(|(name, _)| *name == field);
        let sense = sense.map_or(Sense::Plain, |(_, sense)| *sense);
        mix(first, self.value(sense))
    }

    /// Passes over a value, which holds no strings.
    fn skip(&mut self) {
        let mut depth = 0_u32;
        loop {
            match self.peek() {
                b'{' | b'[' | b'(' => depth += 1,
                b',' | b'}' | b']' | b')' if depth == 0 => return,
                b'}' | b']' | b')' => depth -= 1,
                _ => assert!(self.at < self.text.len(), "a value without an end"),
            }
            self.at += 1;
        }
    }

    fn rest(&self) -> String {
        String::from_utf8_lossy(&self.text[self.at..]).chars().take(40).collect()
    }
}

fn word(bytes: &[u8]) -> u64 {
    mix(3, fnv(FNV_START, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use raft_core::{Index, LogId, NodeId, Term};
    use std::collections::{BTreeMap, BTreeSet};

    /// Read by their `Debug` text only.
    #[derive(Debug)]
    #[expect(dead_code, reason = "shown, not read")]
    struct Sample {
        config: u64,
        heard: Instant,
        next_seq: u64,
        durable_seq: u64,
        votes: BTreeMap<NodeId, bool>,
        members: BTreeSet<NodeId>,
        last: LogId,
        data: bytes::Bytes,
    }

    fn sample() -> Sample {
        Sample {
            config: 7,
            heard: Instant(1_000),
            next_seq: 9,
            durable_seq: 8,
            votes: BTreeMap::from([(NodeId(1), true), (NodeId(2), false)]),
            members: [NodeId(1), NodeId(3)].into(),
            last: LogId::new(Term(1), Index(4)),
            data: bytes::Bytes::from_static(b"a\"}b"),
        }
    }

    fn same(left: &Sample, right: &Sample) -> bool {
        let mut prints = Fingerprints::new(3, 100);
        let times = Times { now: Instant(1_050), deadline: Instant(1_090) };
        prints.take(left, times, &[9])[0] == prints.take(right, times, &[12])[0]
    }

    #[test]
    fn what_decides_nothing_is_not_seen() {
        let other =
            Sample { config: 8, heard: Instant(951), next_seq: 12, durable_seq: 11, ..sample() };
        assert!(same(&sample(), &other));
    }

    #[test]
    fn everything_else_is_seen() {
        let differ = [
            Sample { heard: Instant(950), ..sample() },
            Sample { heard: Instant(1_051), ..sample() },
            Sample { next_seq: 8, ..sample() },
            Sample { votes: BTreeMap::from([(NodeId(1), false), (NodeId(2), true)]), ..sample() },
            Sample { members: [NodeId(1), NodeId(2)].into(), ..sample() },
            Sample { last: LogId::new(Term(4), Index(1)), ..sample() },
            Sample { data: bytes::Bytes::from_static(b"a\"}c"), ..sample() },
        ];
        for other in differ {
            assert!(!same(&sample(), &other), "{other:?}");
        }
    }

    #[test]
    fn renamed_states_share_their_lanes() {
        let mut prints = Fingerprints::new(3, 100);
        assert_eq!(prints.lanes(), 6);
        let rename = |id: u64| NodeId(id % 3 + 1);
        let renamed = Sample {
            votes: BTreeMap::from([(rename(1), true), (rename(2), false)]),
            members: [rename(1), rename(3)].into(),
            ..sample()
        };
        let mut left = prints.take(&sample(), Times::default(), &[9]);
        let mut right = prints.take(&renamed, Times::default(), &[9]);
        assert_ne!(left, right);
        left.sort_unstable();
        right.sort_unstable();
        assert_eq!(left, right);
    }
}
