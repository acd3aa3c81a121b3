//! What was found: for the same nodes, the states that no other one makes superfluous.
//!
//! All messages under way stay so, and what bounds allow is allowed whatever else happens. What can
//! happen with fewer messages or narrower bounds can happen with more, and so a state is not worth
//! looking at if one was found that differs from it by having more of either.

use std::collections::HashMap;

use super::bits::Sets;
use super::tables::{Hashed, Number};

/// What the bounds still allow, each by itself.
pub(super) type Allowed = [u8; 4];

/// For each key, entries none of which has all that another one has.
#[derive(Default)]
pub(super) struct Found {
    /// For each key the position of its first entry.
    first: HashMap<u64, u32, Hashed>,
    entries: Vec<Entry>,
    /// Positions that are free.
    free: Vec<u32>,
}

struct Entry {
    allowed: Allowed,
    set: Number,
    /// The position of the next one with this key, or [`NONE`].
    next: u32,
}

const NONE: u32 = u32::MAX;

impl Found {
    /// Adds an entry, unless one is there that has all it has. Answers whether it was added.
    pub(super) fn add(&mut self, sets: &Sets, key: u64, allowed: Allowed, set: Number) -> bool {
        let first = self.first.get(&key).copied().unwrap_or(NONE);
        let mut at = first;
        while at != NONE {
            let held = &self.entries[position(at)];
            if covers(held.allowed, allowed) && sets.contains(held.set, set) {
                return false;
            }
            at = held.next;
        }
        let rest = self.remove_covered(sets, first, (allowed, set));
        let entry = Entry { allowed, set, next: rest };
        let at = match self.free.pop() {
            Some(at) => {
                self.entries[position(at)] = entry;
                at
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("memory ends before numbers do")
            }
        };
        self.first.insert(key, at);
        true
    }

    /// What is left of the entries from `first` on without those that this one covers.
    fn remove_covered(&mut self, sets: &Sets, first: u32, by: (Allowed, Number)) -> u32 {
        let (mut kept, mut last, mut at) = (NONE, NONE, first);
        while at != NONE {
            let Entry { allowed, set, next } = self.entries[position(at)];
            if covers(by.0, allowed) && sets.contains(by.1, set) {
                self.free.push(at);
            } else {
                match last {
                    NONE => kept = at,
                    last => self.entries[position(last)].next = at,
                }
                last = at;
            }
            at = next;
        }
        if last != NONE {
            self.entries[position(last)].next = NONE;
        }
        kept
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> usize {
        self.first.len()
    }

    /// Whether this very entry is there: no other one has taken its place.
    pub(super) fn holds(&self, key: u64, allowed: Allowed, set: Number) -> bool {
        let mut at = self.first.get(&key).copied().unwrap_or(NONE);
        while at != NONE {
            let held = &self.entries[position(at)];
            if held.allowed == allowed && held.set == set {
                return true;
            }
            at = held.next;
        }
        false
    }
}

fn covers(own: Allowed, other: Allowed) -> bool {
    own.iter().zip(other).all(|(&own, other)| other <= own)
}

fn position(at: u32) -> usize {
    usize::try_from(at).expect("it is a position")
}

#[cfg(test)]
mod tests {
    use super::super::bits::Bits;
    use super::*;

    #[test]
    fn only_those_stay_that_none_covers() {
        let mut sets = Sets::new();
        let mut set = |numbers: &[u32]| {
            let mut bits = Bits::default();
            for &number in numbers {
                bits.add(number);
            }
            sets.add(&bits)
        };
        let none = set(&[]);
        let (one, two, both) = (set(&[1]), set(&[2]), set(&[1, 2]));
        let (less, more) = ([0, 1, 0, 0], [0, 1, 2, 0]);
        let mut found = Found::default();
        assert!(found.add(&sets, 7, less, one));
        assert!(!found.add(&sets, 7, less, none));
        assert!(!found.add(&sets, 7, [0; 4], one));
        assert!(found.add(&sets, 8, less, none), "another key");
        assert!(found.add(&sets, 7, more, none));
        assert!(found.add(&sets, 7, less, two));
        assert!(found.holds(7, less, one) && found.holds(7, more, none));
        assert!(found.add(&sets, 7, less, both));
        assert!(!found.holds(7, less, one) && !found.holds(7, less, two));
        assert!(found.holds(7, less, both) && found.holds(7, more, none));
        assert!(found.add(&sets, 7, more, both));
        assert!(!found.holds(7, less, both) && !found.holds(7, more, none));
        assert!(found.holds(7, more, both) && found.holds(8, less, none));
    }
}
