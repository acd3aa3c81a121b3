//! Looks for a linearization: the search of Wing and Gong ("Testing and Verifying Concurrent
//! Objects", 1993), with the memory Lowe gave it ("Testing for Linearizability", 2017).
//!
//! Calls and returns stand in one list in the order of time. Any call before the first return may
//! have taken effect first: the search tries one, lifts its call and return out of the list, and
//! goes on with what is left. If it meets a return with no call left to try before it, the operation
//! that returns there cannot be placed, and the search takes back its last choice.
//!
//! Lowe's memory: two ways to place the same operations that end in the same state have the same
//! future, so that one need be tried. Ours forgets a little more. Operations without an answer may
//! take effect at any time after their call, or never, and so need not be placed at all. They stand
//! in a list of their own, and are tried only after all others. A way that used some of them to get
//! where another got with fewer can do nothing the other could not: it is not tried either. Thus
//! unanswered operations mostly cost what they explain, rather than twofold each.
//!
//! The search is exponential in the worst case (the problem is NP-complete), and counts its steps.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;

use crate::model::Model;

/// One operation, as the search sees it.
#[derive(Clone, Debug)]
pub struct Call<I, O> {
    /// What was asked.
    pub input: I,
    /// When.
    pub called_ns: u64,
    /// What was answered, if anything. Without an answer the operation may never take effect.
    pub answer: Option<Answer<O>>,
}

/// The answer to a call.
#[derive(Clone, Debug)]
pub struct Answer<O> {
    /// What was answered.
    pub output: O,
    /// When.
    pub returned_ns: u64,
}

/// How many placements a search may try before it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    steps: u64,
}

impl Budget {
    /// At most `steps` tries. A step takes in the order of a microsecond, and remembers some hundred
    /// bytes at most.
    pub fn steps(steps: u64) -> Budget {
        Budget { steps }
    }

    /// Takes steps. False if there are not so many left.
    fn spend(&mut self, steps: u64) -> bool {
        let left = self.steps.checked_sub(steps);
        self.steps = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether no step is left.
    pub(crate) fn is_spent(self) -> bool {
        self.steps == 0
    }
}

impl Default for Budget {
    /// Some seconds and some hundred megabytes at worst.
    fn default() -> Budget {
        Budget::steps(4_000_000)
    }
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An order that explains all answers: positions in the slice of calls. Calls without an answer
    /// may be missing.
    Linearization(Vec<usize>),
    /// There is none. No order explains all that returned until this call did.
    Nothing {
        /// The position of the call.
        blocked: usize,
    },
    /// The budget ran out, so that nothing is known.
    GaveUp,
}

/// Looks for an order of `calls` in which each takes effect between its call and its return, and
/// gets its answer. Spends the budget.
pub fn search<M: Model>(calls: &[Call<M::Input, M::Output>], budget: &mut Budget) -> Found {
    Search::<M>::new(calls).run(budget)
}

/// The calls placed so far, and how to take that back.
struct Search<'c, M: Model> {
    calls: &'c [Call<M::Input, M::Output>],
    lists: Lists,
    state: M::State,
    /// The placed calls with an answer, and those without.
    answered: Set,
    unanswered: Set,
    placed: Vec<Placed<M::State>>,
    /// How many calls with an answer are not placed yet. None: done.
    missing: usize,
    /// The first return in the list, as of the last time the search met it. Taking back a choice
    /// leaves it right: an unanswered call has no return to put back, and after an answered one the
    /// search meets the first return again before it looks at this.
    first_return: usize,
    /// The latest return at which the search ever had to turn back.
    furthest_return: usize,
    /// By hash of the state and the answered set; see [`Search::is_new`].
    seen: HashMap<u64, Vec<Seen<M::State>>>,
    /// Words written to and compared with the memory since the last step.
    upkeep: u64,
}

/// What the memory costs is charged as well, or a step would have no bound in time or space.
const WORDS_PER_STEP: u64 = 32;

/// One choice.
struct Placed<S> {
    entry: usize,
    state_before: S,
}

/// A situation that was explored before, or is being explored.
struct Seen<S> {
    state: S,
    answered: Box<[u64]>,
    unanswered: Set,
}

impl<'c, M: Model> Search<'c, M> {
    fn new(calls: &'c [Call<M::Input, M::Output>]) -> Search<'c, M> {
        let lists = Lists::new::<M>(calls);
        Search {
            calls,
            state: M::initial(),
            answered: Set::default(),
            unanswered: Set::default(),
            placed: Vec::new(),
            missing: calls.iter().filter(|call| call.answer.is_some()).count(),
            first_return: 0,
            furthest_return: 0,
            seen: HashMap::new(),
            upkeep: 0,
            lists,
        }
    }

    fn run(mut self, budget: &mut Budget) -> Found {
        self.is_new(); // Remembers the start, so that steps which lead back to it are not tried.
        let mut cursor = self.lists.next(ANSWERED);
        while 0 < self.missing {
            match self.lists.entries[cursor].kind {
                Kind::Return => {
                    self.first_return = cursor;
                    cursor = self.lists.next(UNANSWERED);
                }
                Kind::Call { .. } if self.is_open(cursor) => {
                    let upkeep = mem::take(&mut self.upkeep) / WORDS_PER_STEP;
                    if !budget.spend(1 + upkeep) {
                        return Found::GaveUp;
                    }
                    let from = if self.place(cursor) { ANSWERED } else { cursor };
                    cursor = self.lists.next(from);
                }
                Kind::Call { .. } | Kind::End => {
                    self.furthest_return = self.furthest_return.max(self.first_return);
                    match self.take_back() {
                        Some(entry) => cursor = self.lists.next(entry),
                        None => {
                            let blocked = self.lists.entries[self.furthest_return].call;
                            return Found::Nothing { blocked };
                        }
                    }
                }
            }
        }
        let call_of = |placed: &Placed<M::State>| self.lists.entries[placed.entry].call;
        Found::Linearization(self.placed.iter().map(call_of).collect())
    }

    /// Whether the call came before the first return. Those with an answer are met in the order of
    /// time, so that they did.
    fn is_open(&self, entry: usize) -> bool {
        let call = self.lists.entries[entry].call;
        self.calls[call].answer.is_some() || entry < self.first_return
    }

    /// Places the call next, unless it could not have been answered so, or that leads nowhere new.
    fn place(&mut self, entry: usize) -> bool {
        let Entry { call, kind, .. } = self.lists.entries[entry];
        let Call { input, answer, .. } = &self.calls[call];
        let output = answer.as_ref().map(|answer| &answer.output);
        let Some(state) = M::step(&self.state, input, output) else {
            return false;
        };
        if self.is_detour(call, &state) {
            return false;
        }
        let state_before = mem::replace(&mut self.state, state);
        self.set_of(entry).toggle(kind.bit());
        if !self.is_new() {
            self.set_of(entry).toggle(kind.bit());
            self.state = state_before;
            return false;
        }
        self.missing -= usize::from(self.calls[call].answer.is_some());
        self.lists.lift(entry);
        self.placed.push(Placed { entry, state_before });
        true
    }

    /// Whether the call leads to `state` just as well without the unanswered one placed before it.
    /// That way is tried from where that one was placed.
    fn is_detour(&self, call: usize, state: &M::State) -> bool {
        let Some(Placed { entry, state_before }) = self.placed.last() else {
            return false;
        };
        let Call { input, answer, .. } = &self.calls[call];
        let output = answer.as_ref().map(|answer| &answer.output);
        self.calls[self.lists.entries[*entry].call].answer.is_none()
            && M::step(state_before, input, output).as_ref() == Some(state)
    }

    /// Takes back the last choice, and says which it was.
    fn take_back(&mut self) -> Option<usize> {
        let Placed { entry, state_before } = self.placed.pop()?;
        let Entry { call, kind, .. } = self.lists.entries[entry];
        self.lists.unlift(entry);
        self.missing += usize::from(self.calls[call].answer.is_some());
        self.set_of(entry).toggle(kind.bit());
        self.state = state_before;
        Some(entry)
    }

    fn set_of(&mut self, entry: usize) -> &mut Set {
        let call = self.lists.entries[entry].call;
        match self.calls[call].answer {
            Some(_) => &mut self.answered,
            None => &mut self.unanswered,
        }
    }

    /// Remembers the present situation. False if one at least as promising is known already: the
    /// same answered calls placed, the same state, and no unanswered call used up that is not here.
    fn is_new(&mut self) -> bool {
        let mut hasher = DefaultHasher::new();
        self.state.hash(&mut hasher);
        let bucket = self.seen.entry(hasher.finish() ^ self.answered.hash).or_default();
        let answered = self.answered.packed();
        let words = bucket.len() * (1 + self.unanswered.words.len()) + answered.len();
        self.upkeep += words as u64;
        let known = bucket.iter().any(|seen| {
            seen.state == self.state
                && seen.answered == answered
                && seen.unanswered.is_subset(&self.unanswered)
        });
        if !known {
            let (state, unanswered) = (self.state.clone(), self.unanswered.clone());
            bucket.push(Seen { state, answered, unanswered });
        }
        !known
    }
}

/// Where the list of calls with an answer, and of their returns, begins and ends.
const ANSWERED: usize = 0;
/// Where the list of calls without an answer begins and ends.
const UNANSWERED: usize = 1;

/// Two circular, doubly linked lists of events. Positions follow time, across both.
struct Lists {
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    call: usize,
    kind: Kind,
    previous: usize,
    next: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    End,
    /// `bit` is its number in its list; `returns` the entry of its return, or itself.
    Call {
        bit: usize,
        returns: usize,
    },
    Return,
}

impl Kind {
    fn bit(self) -> usize {
        match self {
            Kind::Call { bit, .. } => bit,
            Kind::End | Kind::Return => unreachable!("only calls are placed"),
        }
    }
}

impl Lists {
    fn new<M: Model>(calls: &[Call<M::Input, M::Output>]) -> Lists {
        // At the same instant calls come before returns, or closed intervals that touch would be
        // ordered: a false alarm.
        let mut events = Vec::new();
        for (call, Call { input, called_ns, answer }) in calls.iter().enumerate() {
            if let Some(answer) = answer {
                events.push((answer.returned_ns, true, call));
            } else if M::is_read(input) {
                continue;
            }
            events.push((*called_ns, false, call));
        }
        events.sort_unstable();

        let end = |entry| Entry { call: 0, kind: Kind::End, previous: entry, next: entry };
        let mut lists = Lists { entries: vec![end(ANSWERED), end(UNANSWERED)] };
        let mut called_at = vec![0; calls.len()];
        let mut bits = [0; 2];
        for (_, returns, call) in events {
            let entry = lists.entries.len();
            let list = if calls[call].answer.is_some() { ANSWERED } else { UNANSWERED };
            let kind = if returns {
                let Kind::Call { returns, .. } = &mut lists.entries[called_at[call]].kind else {
                    unreachable!("a call comes before its return");
                };
                *returns = entry;
                Kind::Return
            } else {
                called_at[call] = entry;
                bits[list] += 1;
                Kind::Call { bit: bits[list] - 1, returns: entry }
            };
            let previous = lists.entries[list].previous;
            lists.entries.push(Entry { call, kind, previous, next: list });
            lists.entries[previous].next = entry;
            lists.entries[list].previous = entry;
        }
        lists
    }

    fn next(&self, entry: usize) -> usize {
        self.entries[entry].next
    }

    /// Takes a call and its return out of their list.
    fn lift(&mut self, entry: usize) {
        let returns = self.return_of(entry);
        self.unlink(entry);
        if returns != entry {
            self.unlink(returns);
        }
    }

    /// Puts back what was lifted last.
    fn unlift(&mut self, entry: usize) {
        let returns = self.return_of(entry);
        if returns != entry {
            self.relink(returns);
        }
        self.relink(entry);
    }

    fn return_of(&self, entry: usize) -> usize {
        match self.entries[entry].kind {
            Kind::Call { returns, .. } => returns,
            Kind::End | Kind::Return => unreachable!("only calls are lifted"),
        }
    }

    fn unlink(&mut self, entry: usize) {
        let Entry { previous, next, .. } = self.entries[entry];
        self.entries[previous].next = next;
        self.entries[next].previous = previous;
    }

    fn relink(&mut self, entry: usize) {
        let Entry { previous, next, .. } = self.entries[entry];
        self.entries[previous].next = entry;
        self.entries[next].previous = entry;
    }
}

/// A set of small numbers, and its hash kept up to date (Zobrist's: the exclusive or of one random
/// word per member).
#[derive(Clone, Default)]
struct Set {
    words: Vec<u64>,
    hash: u64,
}

impl Set {
    fn toggle(&mut self, bit: usize) {
        let word = bit / 64;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] ^= 1 << (bit % 64);
        self.hash ^= scramble(bit as u64);
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    fn is_subset(&self, other: &Set) -> bool {
        let covered = |(word, other): (&u64, &u64)| word & !other == 0;
        self.words.len() <= other.words.len() && self.words.iter().zip(&other.words).all(covered)
    }

    /// The same for the same set, and short: calls are numbered in the order of time and placed
    /// about in that order, so that long sets begin with many full words.
    fn packed(&self) -> Box<[u64]> {
        let full = self.words.iter().take_while(|word| **word == u64::MAX).count();
        let rest = self.words.iter().skip(full).copied();
        std::iter::once(full as u64).chain(rest).collect()
    }
}

/// A word that looks random (the finalizer of `SplitMix64`: Steele, Lea and Flood, 2014).
fn scramble(number: u64) -> u64 {
    let mut word = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
