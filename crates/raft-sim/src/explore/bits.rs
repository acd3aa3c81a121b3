//! Sets of small numbers, and each set once, by number.

use std::collections::HashMap;

use super::fingerprint::mix;
use super::tables::{Hashed, Number};

/// A set of small numbers. Equal sets have equal words: the last one is never zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

/// Sets by number. The empty one is number 0.
pub(super) struct Sets {
    all: Vec<Box<[u64]>>,
    numbers: HashMap<u64, Number, Hashed>,
}

impl Bits {
    /// Whether it is there.
    pub(super) fn has(&self, number: Number) -> bool {
        has(&self.0, number)
    }

    /// Adds a number.
    pub(super) fn add(&mut self, number: Number) {
        let (word, bit) = place(number);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    /// Becomes this set.
    pub(super) fn become_set(&mut self, words: &[u64]) {
        self.0.clear();
        self.0.extend_from_slice(words);
    }

    /// Adds all of these.
    pub(super) fn extend(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own |= other;
        }
    }

    /// Adds what is both here and there.
    pub(super) fn extend_common(&mut self, here: &Self, there: &Self) {
        let words = here.0.len().min(there.0.len());
        if self.0.len() < words {
            self.0.resize(words, 0);
        }
        for ((own, here), there) in self.0.iter_mut().zip(&here.0).zip(&there.0) {
            *own |= here & there;
        }
        self.trim();
    }

    /// Removes all of these.
    pub(super) fn remove_all(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own &= !other;
        }
        self.trim();
    }

    /// Removes the smallest number, and answers it.
    pub(super) fn pop(&mut self) -> Option<Number> {
        let word = self.0.iter().position(|&word| word != 0)?;
        let bit = self.0[word].trailing_zeros();
        self.0[word] &= self.0[word] - 1;
        self.trim();
        Some(number(word, bit))
    }

    /// The numbers, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = Number> {
        iter(&self.0)
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }
}

impl Sets {
    /// Knows the empty set.
    pub(super) fn new() -> Self {
        let mut sets = Self { all: Vec::new(), numbers: HashMap::default() };
        sets.add(&Bits::default());
        sets
    }

    /// The number of a set.
    pub(super) fn add(&mut self, set: &Bits) -> Number {
        let hash = set.0.iter().fold(7, |hash, &word| mix(hash, word));
        let next = Number::try_from(self.all.len()).expect("memory ends before numbers do");
        let number = *self.numbers.entry(hash).or_insert(next);
        if number == next {
            self.all.push(set.0.as_slice().into());
        }
        number
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The words of a set.
    pub(super) fn words(&self, set: Number) -> &[u64] {
        &self.all[usize::try_from(set).expect("numbers are positions")]
    }

    /// The numbers in a set.
    pub(super) fn iter(&self, set: Number) -> impl Iterator<Item = Number> {
        iter(self.words(set))
    }

    /// Whether a number is in a set.
    pub(super) fn has(&self, set: Number, number: Number) -> bool {
        has(self.words(set), number)
    }

    /// Whether one set has all that the other one has.
    pub(super) fn contains(&self, set: Number, other: Number) -> bool {
        let (own, other) = (self.words(set), self.words(other));
        other.len() <= own.len() && own.iter().zip(other).all(|(own, other)| other & !own == 0)
    }
}

fn has(words: &[u64], number: Number) -> bool {
    let (word, bit) = place(number);
    words.get(word).is_some_and(|word| word & bit != 0)
}

fn iter(words: &[u64]) -> impl Iterator<Item = Number> {
    words.iter().enumerate().flat_map(|(at, &word)| {
        let mut rest = word;
        std::iter::from_fn(move || {
            let bit = rest.trailing_zeros();
            rest &= rest.checked_sub(1)?;
            Some(number(at, bit))
        })
    })
}

fn place(number: Number) -> (usize, u64) {
    (usize::try_from(number / 64).expect("it is small"), 1 << (number % 64))
}

fn number(word: usize, bit: u32) -> Number {
    Number::try_from(word).expect("it is small") * 64 + bit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(numbers: &[Number]) -> Bits {
        let mut bits = Bits::default();
        for &number in numbers {
            bits.add(number);
        }
        bits
    }

    #[test]
    fn sets_are_sets() {
        let mut set = bits(&[70, 3, 200]);
        assert!(set.has(70) && !set.has(71) && !set.has(1_000));
        set.extend(&bits(&[4]));
        assert_eq!(set.iter().collect::<Vec<_>>(), [3, 4, 70, 200]);
        set.remove_all(&bits(&[200, 500]));
        assert_eq!(set, bits(&[3, 4, 70]));
        let mut common = bits(&[1]);
        common.extend_common(&set, &bits(&[4, 3, 1_000]));
        assert_eq!(common, bits(&[1, 3, 4]));
        set.remove_all(&bits(&[70]));
        assert_eq!((set.pop(), set.pop(), set.pop()), (Some(3), Some(4), None));
        assert_eq!(set, Bits::default());
    }

    #[test]
    fn each_set_has_one_number() {
        let mut sets = Sets::new();
        let large = sets.add(&bits(&[1, 2, 70]));
        let small = sets.add(&bits(&[2]));
        assert_eq!(sets.add(&bits(&[70, 2, 1])), large);
        assert_eq!(sets.len(), 3);
        assert!(sets.contains(large, small) && !sets.contains(small, large));
        assert!(sets.contains(small, 0) && sets.has(small, 2) && !sets.has(small, 70));
        assert_eq!(sets.iter(large).collect::<Vec<_>>(), [1, 2, 70]);
    }
}
