//! Bounded exhaustive exploration: the real consensus core in every order of events there is, within
//! bounds, and what must always hold checked after every step.
//!
//! # What is explored
//!
//! A state holds each node (the real [`raft_core::Node`]), what is on its disk, the writes that are
//! under way, and the messages under way. From there, any of these may happen next:
//!
//! * any message that was ever sent arrives: in any order, any number of times, or never;
//! * a node's time runs out: a follower or candidate asks for an election, a leader that has not heard
//!   from a majority for an election timeout steps down; a leader's next heartbeat is due;
//! * a follower is told that its leader's process is gone, rightly or not;
//! * the oldest write of a node becomes durable, and what waited for it leaves; the node hears of it;
//! * a process crashes, loses what is not durable, and starts again;
//! * a client proposes a command or begins a read at a leader.
//!
//! Every input is a turn of its own; merging several into one turn is left to the simulator, as are
//! snapshots, lost disks, and changes of membership and leadership. Reads begin at leaders: a follower
//! may be asked for the same read over and over by a network that repeats everything.
//!
//! # Time
//!
//! A node compares its clock with deadlines, and does nothing else with it. So the clock of each
//! node stands still, but for the moment a turn takes, until the explorer decides that its time runs
//! out: then it shows just that time. Clocks of different nodes have nothing to do with each other,
//! which allows all that real clocks can do, and more: any drift, any pause, any delay. Points in time
//! are part of a state only by being ahead or past.
//!
//! Deadlines have no random part, so that an election may begin at the earliest moment, even while a
//! write is under way; a longer one makes no difference but two. It may make that write so old that the
//! node takes its disk for stalled, and waits; this only takes possibilities away. And a follower
//! may by then help to depose the leader without campaigning itself. That is what [`Bounds::lapses`]
//! is for: then the random part exceeds everything, and this moment is a step of its own.
//!
//! # What is left out
//!
//! States are told apart by a fingerprint of 64 bits (see `fingerprint`), so of `n` states some two are
//! taken for one with a probability of about n²/2⁶⁵: [`Report::chance_missed`]. States that differ only
//! by the names of the nodes are one. A state is not looked at if another one was found that differs
//! from it by having more messages under way, nor if something can happen in it after which all can
//! still happen that could before (see `Search::free_action`). None of that loses a violation; a test
//! compares with explorations that leave nothing out ([`Bounds::reduced`]).

mod action;
mod antichain;
mod fingerprint;
mod machine;
mod rules;
mod search;
mod tables;
mod trace;

use std::mem;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use raft_core::NodeId;

pub use crate::invariants::Violation;
use search::Search;

/// How much may happen. Everything is explored that needs no more than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Nodes, 1 to 5.
    pub nodes: u64,
    /// Elections are for terms up to this one.
    pub terms: u64,
    /// Commands proposed by clients; each term adds an entry of its own.
    pub entries: u8,
    /// Times that a node's time runs out, followers', candidates' and leaders' together.
    pub timeouts: u8,
    /// Times that a follower learns that its leader's process is gone.
    pub hints: u8,
    /// Crashes.
    pub crashes: u8,
    /// Heartbeats that are due by time.
    pub heartbeats: u8,
    /// Reads.
    pub reads: u8,
    /// Whether a follower may have waited for an election timeout and yet not campaign. Such a node
    /// helps to depose a leader; in turn, it never campaigns while a write is under way.
    pub lapses: bool,
    /// Entries in one append, at most.
    pub append_entries: usize,
    /// Whether to leave out what cannot matter. Without that, the same is found, much later.
    pub reduced: bool,
    /// States to find before giving up.
    pub states: usize,
}

/// What came of an exploration.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whether everything within the bounds was seen.
    pub complete: bool,
    /// States found.
    pub states: usize,
    /// Steps taken from one to another.
    pub steps: u64,
    /// Steps of the longest of all shortest ways to a state.
    pub depth: u64,
    /// Different views of the cluster: role, term, log and commit index of each node, whatever their
    /// names. A reduced exploration has as many as one that is not.
    pub views: usize,
    /// Different states of a single node.
    pub node_states: usize,
    /// Different messages.
    pub messages: usize,
    /// Times that the core itself ran.
    pub runs: usize,
    /// How long it took.
    pub elapsed: Duration,
    /// What should never have happened, if it did, and the shortest way to it.
    pub violation: Option<(Violation, Vec<String>)>,
}

/// How far an exploration is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// States found.
    pub states: usize,
    /// States found whose successors have not been looked at.
    pub waiting: usize,
    /// Steps from the first state.
    pub depth: u64,
    /// How long it has taken.
    pub elapsed: Duration,
}

impl Bounds {
    /// The nodes.
    pub(crate) fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.nodes).map(NodeId)
    }
}

impl Report {
    /// How likely it is that two different states were taken for one.
    pub fn chance_missed(&self) -> f64 {
        let states = f64::from(u32::try_from(self.states).unwrap_or(u32::MAX));
        states * states / 2_f64.powi(65)
    }
}

/// The number of the state whose successors are being looked at: a failed assertion of the core ends a
/// release build at once, and how it came to that must not be lost. See [`way`].
pub static LOOKING_AT: AtomicU32 = AtomicU32::new(0);

/// How an exploration within these bounds first came to the state with this number.
pub fn way(bounds: Bounds, number: u32) -> Vec<String> {
    let mut search = Search::new(bounds);
    let wanted = usize::try_from(number).expect("it is a position");
    while search.states() <= wanted && !search.frontier.is_empty() {
        for (number, state) in mem::take(&mut search.frontier) {
            if search.states() <= wanted && search.expand(number, &state).is_err() {
                return Vec::new();
            }
        }
    }
    if search.states() <= wanted {
        return Vec::new();
    }
    let way = search.way_to(number);
    trace::tell(&mut search, &way)
}

/// Explores everything within the bounds, or up to the first violation. Now and then, `progress` is
/// called.
pub fn explore(bounds: Bounds, mut progress: impl FnMut(Progress)) -> Report {
    const LOOK: usize = 10_000;
    assert!(0 < bounds.nodes && bounds.nodes <= 5, "{} nodes", bounds.nodes);
    let started = Instant::now();
    let mut search = Search::new(bounds);
    let mut violation = None;
    let mut complete = true;
    'search: while !search.frontier.is_empty() {
        let level = mem::take(&mut search.frontier);
        let size = level.len();
        for (done, (number, state)) in level.into_iter().enumerate() {
            if done % LOOK == 0 {
                let waiting = size - done + search.frontier.len();
                let (states, depth) = (search.states(), search.depth);
                progress(Progress { states, waiting, depth, elapsed: started.elapsed() });
            }
            if bounds.states <= search.states() {
                complete = false;
                break 'search;
            }
            if let Err((action, found)) = search.expand(number, &state) {
                let mut way = search.way_to(number);
                way.push(action);
                violation = Some((found, trace::tell(&mut search, &way)));
                complete = false;
                break 'search;
            }
        }
        if !search.frontier.is_empty() {
            search.depth += 1;
        }
    }
    let (node_states, messages, runs) = search.tables.sizes();
    Report {
        complete,
        states: search.states(),
        steps: search.steps,
        depth: search.depth,
        views: search.views(),
        node_states,
        messages,
        runs,
        elapsed: started.elapsed(),
        violation,
    }
}
