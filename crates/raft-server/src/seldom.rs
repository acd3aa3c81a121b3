//! Log lines that somebody else could cause as often as they like.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one line for each key pass in a while.
#[derive(Debug)]
pub(crate) struct Seldom<K> {
    passed: Mutex<BTreeMap<K, Instant>>,
}

/// The while.
const PAUSE: Duration = Duration::from_mins(1);

/// Keys that are remembered. While there are more, new ones do not pass.
const KEYS_MAX: usize = 256;

impl<K: Ord> Seldom<K> {
    /// Whether the line may be written now.
    pub(crate) fn may(&self, key: K) -> bool {
        self.may_at(key, Instant::now())
    }

    fn may_at(&self, key: K, now: Instant) -> bool {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.retain(|_, at| now.saturating_duration_since(*at) < PAUSE);
        if passed.contains_key(&key) || KEYS_MAX <= passed.len() {
            return false;
        }
        passed.insert(key, now);
        true
    }
}

impl<K> Default for Seldom<K> {
    fn default() -> Self {
        Self { passed: Mutex::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_passes_once_in_a_while() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        assert!(seldom.may_at(1, start));
        assert!(!seldom.may_at(1, start + PAUSE / 2));
        assert!(seldom.may_at(2, start + PAUSE / 2));
        assert!(seldom.may_at(1, start + PAUSE));
        assert!(!seldom.may_at(2, start + PAUSE));
    }

    #[test]
    fn keys_cost_a_bounded_amount_of_memory() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let passed = (0..10_000).filter(|&key| seldom.may_at(key, start)).count();
        assert_eq!(passed, KEYS_MAX);
        assert!(seldom.may_at(0, start + PAUSE));
    }
}
