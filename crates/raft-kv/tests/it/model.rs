//! The store does what the obvious map would do.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use raft_kv::{
    Answer, Command, Query, RANGE_BYTES_MAX, RANGE_PAIRS_MAX, Reply, Store, VALUE_BYTES_MAX,
};

use crate::{commands, keys};

/// The obvious map.
#[derive(Clone, Debug, Default)]
struct Model {
    pairs: BTreeMap<Bytes, Bytes>,
    proposals: u64,
}

impl Model {
    fn apply(&mut self, command: &Command) -> Reply {
        match command.clone() {
            Command::Put { key, value } => {
                Reply::Put { replaced: self.pairs.insert(key, value).is_some() }
            }
            Command::Delete { key } => {
                Reply::Deleted { existed: self.pairs.remove(&key).is_some() }
            }
            Command::Cas { key, expected, value } => {
                let actual = self.pairs.get(&key).cloned();
                if actual != expected {
                    return Reply::Cas { swapped: false, actual };
                }
                self.pairs.remove(&key);
                self.pairs.extend(value.map(|value| (key, value)));
                Reply::Cas { swapped: true, actual: None }
            }
            Command::Append { key, data } => {
                let value = self.pairs.entry(key).or_default();
                *value = [&value[..], &data[..]].concat().into();
                Reply::Appended { len: value.len() as u64 }
            }
            Command::Propose { .. } => {
                self.proposals += 1;
                Reply::Proposed { count: self.proposals }
            }
        }
    }

    fn range(&self, start: &Bytes, end: &Bytes, limit: usize) -> Answer {
        let inside = |key: &Bytes| start <= key && (end.is_empty() || key < end);
        let mut pairs: Vec<_> = self.pairs.clone().into_iter().collect();
        pairs.retain(|(key, _)| inside(key));
        let more = limit != 0 && limit < pairs.len();
        if more {
            pairs.truncate(limit);
        }
        Answer::Pairs { pairs, more }
    }
}

fn same(store: &Store, model: &Model) -> bool {
    store.iter().eq(model.pairs.iter().map(|(key, value)| (&key[..], value)))
}

/// Bounds of a range: keys, and the empty one.
fn bounds() -> impl Strategy<Value = Bytes> {
    prop_oneof![1 => Just(Bytes::new()), 4 => keys()]
}

proptest! {
    /// Every command gets the model's reply, whichever way it comes in, and leaves the model's
    /// state; an image taken on the way is not touched by what follows.
    #[test]
    fn the_store_is_an_ordered_map(
        commands in prop::collection::vec(commands(), 0..60),
        ranges in prop::collection::vec((bounds(), bounds(), 0..5_u32), 1..8),
        image_after: prop::sample::Index,
    ) {
        let (mut store, mut model) = (Store::new(), Model::default());
        let image_after = image_after.index(commands.len().max(1));
        let mut then = None;
        for (position, command) in commands.iter().enumerate() {
            let expected = model.apply(command);
            if position % 2 == 0 {
                prop_assert_eq!(store.apply(command), expected);
            } else {
                prop_assert_eq!(store.apply_bytes(&command.encode()), expected.encode());
            }
            if position == image_after {
                then = Some((store.image(), model.clone()));
            }
        }
        prop_assert_eq!(store.len(), model.pairs.len());
        prop_assert_eq!(store.is_empty(), model.pairs.is_empty());
        prop_assert_eq!(store.proposals(), model.proposals);
        prop_assert!(same(&store, &model));
        for (start, end, limit) in ranges {
            let get = Query::Get { key: start.clone() };
            prop_assert_eq!(store.query(&get), Answer::Value(model.pairs.get(&start).cloned()));
            let expected = model.range(&start, &end, limit as usize);
            let range = Query::Range { start, end, limit };
            prop_assert_eq!(store.query_bytes(&range.encode()), Ok(expected.encode()));
        }
        if let Some((image, model)) = then {
            let mut bytes = Vec::new();
            image.write_to(&mut bytes).unwrap();
            let restored = Store::restore(&mut &bytes[..]).unwrap();
            prop_assert!(same(&restored, &model));
            prop_assert_eq!(restored.proposals(), model.proposals);
        }
    }
}

fn pairs_of(answer: Answer) -> (Vec<(Bytes, Bytes)>, bool) {
    match answer {
        Answer::Pairs { pairs, more } => (pairs, more),
        Answer::Value(value) => panic!("a range gives pairs, not {value:?}"),
    }
}

fn all(start: Bytes) -> Query {
    Query::Range { start, end: Bytes::new(), limit: 0 }
}

/// An answer is bounded by pairs and by bytes, but always brings the reader further.
#[test]
fn answers_are_bounded() {
    let mut store = Store::new();
    let put = |store: &mut Store, key: String, len| {
        store.apply(&Command::Put { key: key.into(), value: vec![0; len].into() })
    };
    for number in 0..=RANGE_PAIRS_MAX {
        put(&mut store, format!("a{number:06}"), 1);
    }
    let (pairs, more) = pairs_of(store.query(&all(Bytes::new())));
    assert_eq!((pairs.len(), more), (RANGE_PAIRS_MAX, true));
    let start = Bytes::from([&pairs[pairs.len() - 1].0[..], b"\0"].concat());
    let (pairs, more) = pairs_of(store.query(&all(start)));
    assert_eq!((pairs.len(), more), (1, false));

    put(&mut store, "b1".to_owned(), RANGE_BYTES_MAX / 2);
    put(&mut store, "b2".to_owned(), RANGE_BYTES_MAX / 2);
    put(&mut store, "b3".to_owned(), VALUE_BYTES_MAX);
    for (start, found, more) in [("b1", "b1", true), ("b2", "b2", true), ("b3", "b3", false)] {
        let (pairs, cut) = pairs_of(store.query(&all(start.into())));
        let keys: Vec<_> = pairs.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!((keys, cut), (vec![Bytes::from(found)], more));
    }
}

/// What is stored does not hold on to the message it came in.
#[test]
fn values_are_copied_out_of_their_message() {
    let put = Command::Put { key: Bytes::from_static(b"k"), value: Bytes::from_static(b"v") };
    let message = put.encode();
    let mut store = Store::new();
    store.apply_bytes(&message);
    let (key, value) = store.iter().next().unwrap();
    for kept in [key, value] {
        let inside = message.as_ptr_range().contains(&kept.as_ptr());
        assert!(!inside, "{kept:?} shares the message's memory");
    }
}
