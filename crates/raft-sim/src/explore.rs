//! Bounded exhaustive exploration: the real consensus core in every order of events there is, within
//! bounds, and what must always hold checked after every step.
//!
//! # What is explored
//!
//! A state holds each node (the real [`raft_core::Node`]), what is on its disk, and the messages under
//! way. From there, any of these may happen next:
//!
//! * any message that was ever sent arrives: in any order, any number of times, or never;
//! * a node's time runs out: a follower or candidate asks for an election, a leader that has not heard
//!   from a majority for an election timeout steps down; a leader's next heartbeat is due;
//! * a follower is told that its leader's process is gone, rightly or not;
//! * a write becomes durable, and what waited for it leaves; the node hears of it;
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
//! # What is left out, and why that loses nothing
//!
//! Two facts carry most of it. All messages under way stay so: *having more of them never takes a
//! possibility away*. And what happens to one node touches no other one, but by the messages it sends.
//! Every rule is checked on each state that is found, and speaks of single nodes, of what has been
//! (which only grows), or of all nodes' logs and disks together.
//!
//! **Names.** States that differ only by the names of the nodes are one. Their fingerprints have 64
//! bits (see `fingerprint`), so of `n` states some two are taken for one with a probability of about
//! n²/2⁶⁵: [`Report::chance_missed`].
//!
//! **Writes** ([`Reduction::Writes`]). A write is durable at once or never. When it becomes durable
//! shows only by what it lets leave, and to a process that starts again. If it does before the crash, it
//! may as well at once: its messages are under way earlier, which is more. If it does not, neither does
//! any later one of that process, as they are written in order: so before any step that writes, the
//! explorer may decide that the node's disk keeps nothing any more (it is *doomed*), and that a crash
//! will follow. In between the node goes on, and all it says that does not wait for the disk is said.
//! What a doomed node learns but does not say, the same node says and learns in the state where
//! its disk is not doomed. One rule sees less by this: that what is committed is on a majority of disks
//! is not asked at the moments before a write that will be durable is; where a crash could make a
//! difference, the doomed disk shows it.
//!
//! A follower, and a candidate, hears at once that a write is durable, unless heartbeats ask how much is.
//! A follower does nothing else with it. A candidate may begin to lead: instead of hearing later that
//! its own vote is durable, the vote that decides may arrive later, which is another order of messages.
//! A leader hears when the explorer says so.
//!
//! A doomed node that neither leads nor may still ask for an election says nothing any more: its crash
//! comes at once. A crash and what happens elsewhere can be exchanged.
//!
//! **Messages** ([`Reduction::All`]). A message that makes its recipient send something and changes
//! nothing in it arrives at once: it only adds messages. A message that can do nothing any more, now or
//! later, is *spent*, and no longer under way: the module `spent` says which are, and why. That is a claim
//! about the core, and so [`audit()`] tries it out, on every state of a node that a search meets and
//! every message, and that it stays true whatever happens to the node.
//!
//! **More of it.** A state is not looked at if another one was found with the same nodes and the same
//! past that has all its messages, and whose bounds allow all it is allowed.
//!
//! **Order.** Things that happen to different nodes and could have happened in either order lead to
//! the same state; only one order is looked at: `Search::comes_in_turn` says which, and why the
//! state is found.
//!
//! None of that is left to arguments alone. [`Reduction::Nothing`] leaves out nothing but names, and must
//! come to the same [`Report::views`]; [`Reduction::Writes`] has the same nodes' states, and must come to
//! the same [`Report::scenes`]: tests compare them. And an exploration must find what is wrong: see
//! [`Sabotage`].

mod action;
mod audit;
mod bits;
mod fingerprint;
mod found;
mod machine;
mod rules;
mod sabotage;
mod search;
mod spent;
mod tables;
mod trace;

use std::mem;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use raft_core::NodeId;

pub use crate::invariants::Violation;
pub use sabotage::Sabotage;
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
    /// How much to leave out that cannot matter.
    pub reduction: Reduction,
    /// A rule to break.
    pub sabotage: Option<Sabotage>,
    /// States to find before giving up.
    pub states: usize,
}

/// Explores everything within the bounds, and tries out in every state of a node that was met what was
/// claimed of messages and nodes when they were left out. Answers how many claims there were, or one
/// that is wrong.
pub fn audit(bounds: Bounds) -> Result<u64, Violation> {
    let mut search = Search::new(bounds);
    while !search.frontier.is_empty() {
        for waiting in mem::take(&mut search.frontier) {
            search.expand(&waiting).map_err(|(_, found)| found)?;
        }
    }
    audit::audit(&mut search)
}

/// How much is left out that cannot matter. With less, the same is found, much later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Nothing, but that the nodes' names are not told apart.
    Nothing,
    /// When writes become durable, and when nodes hear of that.
    Writes,
    /// All that can be.
    All,
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
    /// Different combinations of nodes' states and what has been, whatever the messages under way. The
    /// reductions [`Reduction::Writes`] and [`Reduction::All`] have the same.
    pub scenes: usize,
    /// Different states of a single node.
    pub node_states: usize,
    /// Different messages.
    pub messages: usize,
    /// Times that the core itself ran.
    pub runs: usize,
    /// Different sets of messages under way.
    pub networks: usize,
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
        for waiting in mem::take(&mut search.frontier) {
            if search.states() <= wanted && search.expand(&waiting).is_err() {
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
        for (done, waiting) in level.into_iter().enumerate() {
            if done % LOOK == 0 {
                let waiting = size - done + search.frontier.len();
                let (states, depth) = (search.states(), search.depth);
                progress(Progress { states, waiting, depth, elapsed: started.elapsed() });
            }
            if bounds.states <= search.states() {
                complete = false;
                break 'search;
            }
            if let Err((action, found)) = search.expand(&waiting) {
                let mut way = search.way_to(waiting.number);
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
        scenes: search.scenes(),
        node_states,
        messages,
        runs,
        networks: search.sets.len(),
        elapsed: started.elapsed(),
        violation,
    }
}
