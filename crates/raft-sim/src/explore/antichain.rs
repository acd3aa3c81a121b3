//! What was found: for the same nodes, the largest sets of messages under way.
//!
//! All messages under way stay so. What can happen with fewer of them can happen with more, and so a
//! state is not worth looking at if one was found that differs by having more.

use std::collections::HashMap;

use super::tables::Hashed;

/// A set of small numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bits(Box<[u64]>);

/// For each key, sets none of which contains another.
#[derive(Default)]
pub(super) struct Antichain {
    sets: HashMap<u64, Vec<Bits>, Hashed>,
}

impl Bits {
    /// The set of these.
    pub(super) fn of(numbers: impl Iterator<Item = u32>) -> Self {
        let mut words = Vec::new();
        for number in numbers {
            let word = usize::try_from(number / 64).expect("it is small");
            if words.len() <= word {
                words.resize(word + 1, 0);
            }
            words[word] |= 1 << (number % 64);
        }
        Self(words.into())
    }

    fn contains(&self, other: &Self) -> bool {
        let common = self.0.iter().zip(&other.0).all(|(own, other)| other & !own == 0);
        common && other.0.iter().skip(self.0.len()).all(|&word| word == 0)
    }
}

impl Antichain {
    /// Adds a set, unless one is there that contains it. Answers whether it was added.
    pub(super) fn add(&mut self, key: u64, set: Bits) -> bool {
        let sets = self.sets.entry(key).or_default();
        if sets.iter().any(|held| held.contains(&set)) {
            return false;
        }
        sets.retain(|held| !set.contains(held));
        sets.push(set);
        true
    }

    /// Whether this very set is there: no larger one has taken its place.
    pub(super) fn holds(&self, key: u64, set: &Bits) -> bool {
        self.sets.get(&key).is_some_and(|sets| sets.contains(set))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_largest_stay() {
        let bits = |numbers: &[u32]| Bits::of(numbers.iter().copied());
        let mut chain = Antichain::default();
        assert!(chain.add(7, bits(&[1, 70])));
        assert!(!chain.add(7, bits(&[70])));
        assert!(!chain.add(7, bits(&[])));
        assert!(chain.add(8, bits(&[])), "another key");
        assert!(chain.add(7, bits(&[1, 2])));
        assert!(chain.add(7, bits(&[1, 2, 70, 200])));
        assert!(!chain.holds(7, &bits(&[1, 2])));
        assert!(chain.holds(7, &bits(&[1, 2, 70, 200])));
    }
}
