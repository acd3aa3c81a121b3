//! What happened, line by line: hashed, so that two runs can be compared; the last lines kept, so
//! that a failure can be explained; all of them written out if somebody wants to read along.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io;

use crate::rng::{FNV_START, fnv};

/// Lines kept for the explanation of a failure.
const KEPT: usize = 60;

/// The record of a run.
pub struct Trace {
    hash: u64,
    events: u64,
    recent: VecDeque<String>,
    out: Option<Box<dyn io::Write>>,
}

impl Trace {
    /// A record that is also written to `out`.
    pub fn new(out: Option<Box<dyn io::Write>>) -> Self {
        Self { hash: FNV_START, events: 0, recent: VecDeque::with_capacity(KEPT), out }
    }

    /// Something happened at `now_us`.
    pub fn note(&mut self, now_us: u64, what: fmt::Arguments<'_>) {
        let mut line = match self.recent.len() {
            KEPT => self.recent.pop_front().unwrap_or_default(),
            _ => String::new(),
        };
        line.clear();
        write!(line, "{:>4}.{:06} {what}", now_us / 1_000_000, now_us % 1_000_000)
            .expect("memory takes what is written to it");
        self.hash = fnv(self.hash, line.as_bytes());
        self.events += 1;
        // Nobody reads along any more: the run goes on.
        self.out.take_if(|out| writeln!(out, "{line}").is_err());
        self.recent.push_back(line);
    }

    /// The hash of all lines so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many lines there were.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The last lines.
    pub fn recent(&self) -> Vec<String> {
        self.recent.iter().cloned().collect()
    }
}
