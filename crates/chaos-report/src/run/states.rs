//! `states.jsonl`: how every node was, ten times a second, made into stretches of one state.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::lines;
use super::span::Span;

/// A node is taken to be as it was last seen for so long, unless it is seen again.
const HOLD_US: u64 = 1_000_000;

/// Stretches of a node that are kept, at most. More say nothing on a page.
const STRETCHES_MAX: usize = 100_000;

/// Changes of leader that are kept, at most.
const REIGNS_MAX: usize = 10_000;

/// What a node was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mode {
    Leader,
    Follower,
    Candidate,
    Learner,
    Down,
    Paused,
    /// It runs and does not answer.
    Silent,
    /// It answers with a word that is not known here.
    Other,
}

impl Mode {
    pub(crate) const ALL: [Self; 7] = [
        Self::Leader,
        Self::Follower,
        Self::Candidate,
        Self::Learner,
        Self::Down,
        Self::Paused,
        Self::Silent,
    ];

    fn of(state: &str, role: &str) -> Self {
        match (state, role) {
            ("down", _) => Self::Down,
            ("paused", _) => Self::Paused,
            ("silent", _) => Self::Silent,
            (_, "leader") => Self::Leader,
            (_, "follower") => Self::Follower,
            (_, "candidate" | "pre-candidate") => Self::Candidate,
            (_, "learner") => Self::Learner,
            _ => Self::Other,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
            Self::Down => "down",
            Self::Paused => "paused",
            Self::Silent => "silent",
            Self::Other => "other",
        }
    }

    pub(crate) fn letter(self) -> &'static str {
        match self {
            Self::Leader => "L",
            Self::Follower => "F",
            Self::Candidate => "C",
            Self::Learner => "N",
            Self::Down => "x",
            Self::Paused => "P",
            Self::Silent => "S",
            Self::Other => "?",
        }
    }
}

/// A stretch of time in which a node was the same, in microseconds from the begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) from_us: u64,
    pub(crate) to_us: u64,
    pub(crate) mode: Mode,
    pub(crate) term: u64,
}

/// When a leader was first seen in a term, in microseconds from the begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reign {
    pub(crate) at_us: u64,
    pub(crate) node: u64,
    pub(crate) term: u64,
}

/// How the nodes were.
#[derive(Debug, Default)]
pub(crate) struct States {
    pub(crate) nodes: BTreeMap<u64, Vec<Stretch>>,
    pub(crate) reigns: Vec<Reign>,
    pub(crate) tally: lines::Tally,
}

#[derive(Deserialize)]
struct Line {
    mono_us: u64,
    node: u64,
    state: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    term: u64,
}

impl States {
    pub(crate) fn read(path: &Path, span: Span) -> Result<Self, String> {
        let mut states = Self::default();
        states.tally = lines::each(path, |line: Line| states.add(&line, span))?;
        if states.nodes.is_empty() {
            return Err("states.jsonl has no line that can be read".to_owned());
        }
        Ok(states)
    }

    fn add(&mut self, state: &Line, span: Span) {
        let mode = Mode::of(&state.state, &state.role);
        let at_us = span.offset(state.mono_us);
        let stretches = self.nodes.entry(state.node).or_default();
        let hold_us = at_us.saturating_add(HOLD_US).min(span.length_us);
        if let Some(last) = stretches.last_mut() {
            last.to_us = last.to_us.min(at_us).max(last.from_us);
            let seamless = last.to_us == at_us;
            if seamless && last.mode == mode && last.term == state.term {
                last.to_us = hold_us;
                return;
            }
        }
        if stretches.len() < STRETCHES_MAX {
            let term = state.term;
            stretches.push(Stretch { from_us: at_us, to_us: hold_us, mode, term });
        }
        let newest = self.reigns.last().map(|reign| (reign.term, reign.node));
        let new = newest.is_none_or(|newest| newest < (state.term, state.node));
        if mode == Mode::Leader && new && self.reigns.len() < REIGNS_MAX {
            self.reigns.push(Reign { at_us, node: state.node, term: state.term });
        }
    }
}
