//! Every word survives its encoding, there is one encoding for it, and nothing else is believed.

use bytes::Bytes;
use proptest::prelude::*;
use raft_kv::{
    Answer, Command, DecodeError, KEY_BYTES_MAX, Query, Reply, Store, VALUE_BYTES_MAX, validate,
};

use crate::commands;

fn data() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from)
}

fn replies() -> impl Strategy<Value = Reply> {
    prop_oneof![
        any::<bool>().prop_map(|replaced| Reply::Put { replaced }),
        any::<bool>().prop_map(|existed| Reply::Deleted { existed }),
        (any::<bool>(), prop::option::of(data()))
            .prop_map(|(swapped, actual)| Reply::Cas { swapped, actual }),
        any::<u64>().prop_map(|len| Reply::Appended { len }),
        any::<u64>().prop_map(|count| Reply::Proposed { count }),
        ".{0,9}".prop_map(Reply::Invalid),
    ]
}

fn queries() -> impl Strategy<Value = Query> {
    prop_oneof![
        data().prop_map(|key| Query::Get { key }),
        (data(), data(), any::<u32>()).prop_map(|(start, end, limit)| Query::Range {
            start,
            end,
            limit
        }),
    ]
}

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        prop::option::of(data()).prop_map(Answer::Value),
        (prop::collection::vec((data(), data()), 0..4), any::<bool>())
            .prop_map(|(pairs, more)| Answer::Pairs { pairs, more }),
    ]
}

/// One of the four words, so that every law is checked for all of them.
#[derive(Clone, Debug, PartialEq)]
enum Word {
    Command(Command),
    Reply(Reply),
    Query(Query),
    Answer(Answer),
}

impl Word {
    fn encode(&self) -> Bytes {
        match self {
            Self::Command(command) => command.encode(),
            Self::Reply(reply) => reply.encode(),
            Self::Query(query) => query.encode(),
            Self::Answer(answer) => answer.encode(),
        }
    }

    /// Decodes a word of the same kind as this one.
    fn decode(&self, bytes: &Bytes) -> Result<Self, DecodeError> {
        match self {
            Self::Command(_) => Command::decode(bytes).map(Self::Command),
            Self::Reply(_) => Reply::decode(bytes).map(Self::Reply),
            Self::Query(_) => Query::decode(bytes).map(Self::Query),
            Self::Answer(_) => Answer::decode(bytes).map(Self::Answer),
        }
    }
}

fn words() -> impl Strategy<Value = Word> {
    prop_oneof![
        commands().prop_map(Word::Command),
        replies().prop_map(Word::Reply),
        queries().prop_map(Word::Query),
        answers().prop_map(Word::Answer),
    ]
}

proptest! {
    #[test]
    fn words_survive_their_encoding(word in words()) {
        prop_assert_eq!(word.decode(&word.encode()), Ok(word));
    }

    /// Neither less nor more than the encoding is accepted.
    #[test]
    fn cut_and_trailing_bytes_are_refused(word in words(), surplus in 1..9_usize) {
        let bytes = word.encode();
        for len in 0..bytes.len() {
            prop_assert_eq!(word.decode(&bytes.slice(..len)), Err(DecodeError::Truncated));
        }
        let longer = Bytes::from([&bytes[..], &vec![0; surplus]].concat());
        prop_assert_eq!(word.decode(&longer), Err(DecodeError::Trailing(surplus)));
    }

    /// Altered bytes give an error, or another word whose only encoding they are.
    #[test]
    fn there_is_one_encoding(word in words(), position: prop::sample::Index, byte: u8) {
        let mut bytes = word.encode().to_vec();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        let bytes = Bytes::from(bytes);
        if let Ok(other) = word.decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    /// Bytes from a stranger are survived everywhere, and change the store only if they are a
    /// command.
    #[test]
    fn garbage_is_survived(tag in 0..9_u8, garbage in prop::collection::vec(any::<u8>(), 0..40)) {
        let bytes = Bytes::from([&[tag], &garbage[..]].concat());
        for word in [
            Word::Command(Command::Propose { data: Bytes::new() }),
            Word::Reply(Reply::Put { replaced: true }),
            Word::Query(Query::Get { key: Bytes::new() }),
            Word::Answer(Answer::Value(None)),
        ] {
            if let Ok(other) = word.decode(&bytes) {
                prop_assert_eq!(other.encode(), bytes.clone());
            }
        }
        let mut store = Store::new();
        let before = store.clone();
        let reply = Reply::decode(&store.apply_bytes(&bytes)).unwrap();
        prop_assert_eq!(matches!(reply, Reply::Invalid(_)), validate(&bytes).is_err());
        if matches!(reply, Reply::Invalid(_)) {
            prop_assert_eq!(&store, &before);
        }
        prop_assert_eq!(store.query_bytes(&bytes).is_ok(), Query::decode(&bytes).is_ok());
    }
}

/// A count or length that lies is refused before memory is taken for it.
#[test]
fn lengths_that_lie_cost_nothing() {
    let huge = [&[2, 0][..], &u32::MAX.to_le_bytes(), &[0; 16]].concat();
    assert_eq!(Answer::decode(&huge.into()), Err(DecodeError::Truncated));
    let huge = [&[2][..], &u32::MAX.to_le_bytes(), b"key"].concat();
    assert_eq!(Command::decode(&huge.into()), Err(DecodeError::Truncated));
}

/// The format is written to disks: these bytes may never change.
#[test]
fn the_format_is_this() {
    let bytes = Bytes::from_static;
    let put = Command::Put { key: bytes(b"k"), value: bytes(b"vw") };
    assert_eq!(put.encode(), &b"\x01\x01\0\0\0k\x02\0\0\0vw"[..]);
    let cas = Command::Cas { key: bytes(b"k"), expected: None, value: Some(bytes(b"v")) };
    assert_eq!(cas.encode(), &b"\x03\x01\0\0\0k\0\x01\x01\0\0\0v"[..]);
    assert_eq!(Command::Delete { key: bytes(b"k") }.encode(), &b"\x02\x01\0\0\0k"[..]);
    assert_eq!(Command::Propose { data: bytes(b"d") }.encode(), &b"\x04\x01\0\0\0d"[..]);
    let append = Command::Append { key: bytes(b"k"), data: bytes(b"d") };
    assert_eq!(append.encode(), &b"\x06\x01\0\0\0k\x01\0\0\0d"[..]);
    assert_eq!(Reply::Proposed { count: 258 }.encode(), &b"\x04\x02\x01\0\0\0\0\0\0"[..]);
    assert_eq!(Reply::Invalid("no".to_owned()).encode(), &b"\x05\x02\0\0\0no"[..]);
    let range = Query::Range { start: bytes(b"a"), end: Bytes::new(), limit: 9 };
    assert_eq!(range.encode(), &b"\x02\x01\0\0\0a\0\0\0\0\x09\0\0\0"[..]);
}

/// The limits hold wherever a command comes in, and a command at a limit is within it.
#[test]
fn limits_are_kept() {
    let key = |len| Bytes::from(vec![b'k'; len]);
    let value = |len| Bytes::from(vec![b'v'; len]);
    let put = |key, value| Command::Put { key, value };
    let rows = [
        (put(key(KEY_BYTES_MAX), value(0)), None),
        (put(key(1), value(VALUE_BYTES_MAX)), None),
        (put(key(0), value(1)), Some("the key is empty")),
        (put(key(KEY_BYTES_MAX + 1), value(1)), Some("the key has 4097 bytes, more than the 4096")),
        (put(key(1), value(VALUE_BYTES_MAX + 1)), Some("the value has 8388609 bytes")),
        (Command::Delete { key: key(0) }, Some("the key is empty")),
        (
            Command::Cas { key: key(1), expected: None, value: Some(value(VALUE_BYTES_MAX + 1)) },
            Some("the value has"),
        ),
        (
            Command::Cas { key: key(1), expected: Some(value(VALUE_BYTES_MAX + 1)), value: None },
            Some("the value has"),
        ),
        (Command::Propose { data: value(VALUE_BYTES_MAX + 1) }, Some("the value has")),
        (Command::Append { key: key(0), data: value(1) }, Some("the key is empty")),
    ];
    for (command, complaint) in rows {
        let mut store = Store::new();
        let reply = store.apply(&command);
        assert_eq!(Store::new().apply_bytes(&command.encode()), reply.encode());
        match (complaint, validate(&command.encode())) {
            (None, Ok(())) => assert_eq!(store.len(), 1),
            (Some(complaint), Err(error)) => {
                assert!(error.contains(complaint), "{error}");
                assert_eq!(reply, Reply::Invalid(error));
                assert_eq!(store, Store::new());
            }
            (complaint, verdict) => panic!("wanted {complaint:?}, got {verdict:?}"),
        }
    }
}
