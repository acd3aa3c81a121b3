//! The log against the simplest thing that could hold the same entries: a vector that is searched from
//! one end to the other.

use alloc::vec::Vec;

use super::*;
use crate::types::Payload;
use bytes::Bytes;
use proptest::prelude::*;

/// All that is held, and what lies just before it.
#[derive(Clone, Debug)]
struct Naive {
    base: LogId,
    entries: Vec<Entry>,
}

impl Naive {
    fn last(&self) -> LogId {
        self.entries.last().map_or(self.base, |entry| entry.id)
    }

    /// Every place that has a term: the base and the entries.
    fn ids(&self) -> impl DoubleEndedIterator<Item = LogId> {
        core::iter::once(self.base).chain(self.entries.iter().map(|entry| entry.id))
    }

    fn between(&self, after: Index, upto: Index) -> Vec<Entry> {
        let is_in = |entry: &&Entry| after < entry.id.index && entry.id.index <= upto;
        self.entries.iter().filter(is_in).cloned().collect()
    }

    fn bytes_between(&self, after: Index, upto: Index) -> u64 {
        self.between(after, upto).iter().map(|entry| entry.size() as u64).sum()
    }

    fn slice(&self, from: Index, bytes_max: usize, entries_max: usize) -> Vec<Entry> {
        if from <= self.base.index {
            return Vec::new();
        }
        let mut slice: Vec<Entry> = Vec::new();
        for entry in self.between(from.prev(), Index(u64::MAX)).into_iter().take(entries_max) {
            let bytes: usize = slice.iter().chain([&entry]).map(Entry::size).sum();
            if bytes_max < bytes && !slice.is_empty() {
                break;
            }
            slice.push(entry);
        }
        slice
    }

    fn first_within(&self, from: Index, upto: Index, bytes_max: u64) -> Index {
        let fits = |first: &u64| self.bytes_between(Index(*first).prev(), upto) <= bytes_max;
        Index((from.0..=upto.0).find(fits).unwrap_or(upto.0.max(from.0.saturating_sub(1)) + 1))
    }
}

/// What happens to a log.
#[derive(Clone, Debug)]
enum Act {
    /// Entries that come together, each of a term so much later, with a command so long.
    Append(Vec<(u64, usize)>),
    /// Cut from so far behind the base.
    Truncate(u64),
    /// Shortened so far behind the base.
    Compact(u64),
    /// Replaced by a snapshot so far behind the end.
    Reset(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => proptest::collection::vec((0_u64..2, 0_usize..40), 1..5).prop_map(Act::Append),
        2 => (1_u64..12).prop_map(Act::Truncate),
        2 => (0_u64..12).prop_map(Act::Compact),
        1 => (1_u64..5).prop_map(Act::Reset),
    ];
    proptest::collection::vec(act, 0..24)
}

fn perform(log: &mut Log, naive: &mut Naive, act: &Act) {
    match act {
        Act::Append(stretch) => {
            let held = naive.entries.len();
            for (step, len) in stretch {
                let id = LogId::new(Term(naive.last().term.0 + step), naive.last().index.next());
                let payload = Payload::Data(Bytes::from(alloc::vec![b'x'; *len]));
                naive.entries.push(Entry { id, payload });
            }
            log.append(naive.entries.iter().skip(held).cloned().collect());
        }
        Act::Truncate(ahead) => {
            let from = Index(naive.base.index.0 + ahead);
            naive.entries.retain(|entry| entry.id.index < from);
            log.truncate_from(from);
        }
        Act::Compact(ahead) => {
            let first_kept = Index(naive.base.index.0 + ahead);
            let gone = |id: &LogId| id.index < first_kept;
            let base = naive.ids().rfind(gone);
            naive.base = base.unwrap_or(naive.base);
            naive.entries.retain(|entry| first_kept <= entry.id.index);
            log.compact(first_kept);
        }
        Act::Reset(ahead) => {
            let last = naive.last();
            let base = LogId::new(last.term, Index(last.index.0 + ahead));
            *naive = Naive { base, entries: Vec::new() };
            log.reset(base);
        }
    }
}

/// Asks both everything there is to ask.
fn compare(log: &Log, naive: &Naive) -> Result<(), TestCaseError> {
    prop_assert_eq!(log.base(), naive.base);
    prop_assert_eq!(log.last(), naive.last());
    let places = naive.base.index.0.saturating_sub(2)..naive.last().index.0 + 3;
    for index in places.clone().map(Index) {
        let id = naive.ids().find(|id| id.index == index);
        prop_assert_eq!(log.id_at(index), id);
        prop_assert_eq!(log.term_at(index), id.map(|id| id.term));
        let entry = naive.entries.iter().find(|entry| entry.id.index == index);
        prop_assert_eq!(log.get(index), entry);
        for term in (0..naive.last().term.0 + 2).map(Term) {
            let asked = LogId { term, index };
            prop_assert_eq!(log.contains(asked), id == Some(asked));
            let brute = naive.ids().rfind(|id| id.term <= term && id.index <= index);
            prop_assert_eq!(log.last_at_most(term, index), brute, "{:?}", asked);
        }
        for bytes_max in [0, 32, 70, 150, usize::MAX] {
            for entries_max in [1, 3, usize::MAX] {
                let slice = naive.slice(index, bytes_max, entries_max);
                prop_assert_eq!(&*log.slice(index, bytes_max, entries_max), &*slice);
            }
        }
        for upto in places.clone().map(Index) {
            let between: Vec<Entry> = log.between(index, upto).cloned().collect();
            prop_assert_eq!(&between, &naive.between(index, upto));
            let mut stretches = log.stretches_between(index, upto).collect();
            prop_assert_eq!(&*Entries::concat(&mut stretches), &*between);
            prop_assert_eq!(log.bytes_between(index, upto), naive.bytes_between(index, upto));
        }
        // Asked of what is held only: that is where snapshots end.
        let upto = naive.last().index;
        if naive.base.index < index && index <= upto {
            for bytes_max in [0, 31, 64, 150, u64::MAX] {
                let first = naive.first_within(index, upto, bytes_max);
                prop_assert_eq!(log.first_within(index, upto, bytes_max), first);
                let within = |last: &u64| bytes_max <= naive.bytes_between(index, Index(*last));
                let last = (index.0 + 1..upto.0).find(within).unwrap_or(upto.0.max(index.0 + 1));
                let bytes_max = usize::try_from(bytes_max).unwrap();
                prop_assert_eq!(log.last_within(index, upto, bytes_max), Index(last));
            }
        }
    }
    Ok(())
}

proptest! {
    /// After any history the log answers every question as the vector does.
    #[test]
    fn answers_as_a_vector_would((base, term) in (0_u64..4, 0_u64..3), acts in acts()) {
        let base = LogId::new(Term(term), Index(base));
        let (mut log, mut naive) = (Log::new(base), Naive { base, entries: Vec::new() });
        compare(&log, &naive)?;
        for act in &acts {
            perform(&mut log, &mut naive, act);
            compare(&log, &naive)?;
        }
    }
}

#[test]
fn a_stretch_is_never_empty_where_there_is_an_entry() {
    let mut log = Log::new(LogId::ZERO);
    let id = LogId::new(Term(1), Index(1));
    log.append(Vec::from([Entry { id, payload: Payload::Noop }]).into());
    assert_eq!(log.slice(Index(1), 0, 9).len(), 1);
    assert!(log.slice(Index(2), usize::MAX, 9).is_empty());
}

#[test]
#[should_panic(expected = "gap after")]
fn a_gap_is_not_appended() {
    let mut log = Log::new(LogId::ZERO);
    log.append(
        Vec::from([Entry { id: LogId::new(Term(1), Index(2)), payload: Payload::Noop }]).into(),
    );
}

#[test]
#[should_panic(expected = "term goes back")]
fn a_term_does_not_go_back() {
    let mut log = Log::new(LogId::new(Term(2), Index(0)));
    log.append(
        Vec::from([Entry { id: LogId::new(Term(1), Index(1)), payload: Payload::Noop }]).into(),
    );
}

#[test]
#[should_panic(expected = "cannot cut")]
fn what_a_snapshot_covers_is_not_cut() {
    Log::new(LogId::new(Term(2), Index(5))).truncate_from(Index(5));
}
