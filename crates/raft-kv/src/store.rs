//! The ordered map, and its image on disk.
//!
//! The map is persistent in the functional sense: a clone shares everything with its original and
//! costs a counter, so that an image for a snapshot is taken without stopping the commands that
//! follow. It is a B-tree whose nodes hold short keys themselves: to find one among a hundred thousand
//! takes a handful of steps to other memory; a binary tree of pointers takes several at each level.
//! What is stored is copied out of the command first, or one small value would hold on to
//! the whole message it came in.
//!
//! ```text
//! image  "raftkv1\n" · proposals u64 · their hash u64 · pairs u64 · (key bytes · value bytes)…
//! ```
//!
//! Keys ascend strictly, so a state has one image. It says itself where it ends, and may be
//! followed by other things; it has no checksum, because what keeps it has one.

use std::io::{self, Read, Write};
use std::ops::Bound;

use bytes::Bytes;
use imbl::OrdMap;
use smallvec::SmallVec;

use crate::command::{Command, CommandRef, InvalidCommand, Reply};
use crate::query::{Answer, Query};
use crate::{KEY_BYTES_MAX, RANGE_BYTES_MAX, RANGE_PAIRS_MAX, VALUE_BYTES_MAX};

/// An ordered map of keys to values. A clone costs the same however large it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    pairs: OrdMap<Key, Bytes>,
    /// Opaque proposals carried out so far.
    proposals: u64,
    /// Changes with each of them: over their data and order.
    proposals_hash: u64,
}

/// A key, in its node if it has no more bytes than that.
type Key = SmallVec<[u8; 24]>;

/// The store as it was at one moment, for a snapshot.
#[derive(Clone, Debug)]
pub struct StoreImage(Store);

/// Opens every image. The digit is the version of the format.
const MAGIC: &[u8; 8] = b"raftkv1\n";

/// Writes to the snapshot's file are gathered up to this many bytes.
const WRITE_BYTES: usize = 64 << 10;

impl Store {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Carries out a command. One that breaks a limit changes nothing.
    pub fn apply(&mut self, command: &Command) -> Reply {
        let command = command.view();
        match command.check() {
            Ok(()) => self.apply_valid(command),
            Err(error) => Reply::Invalid(error.to_string()),
        }
    }

    /// Carries out an encoded command; the reply is encoded too. Bytes that are no command, or one
    /// that breaks a limit, change nothing.
    pub fn apply_bytes(&mut self, command: &Bytes) -> Bytes {
        match CommandRef::parse_valid(command) {
            Ok(command) => self.apply_valid(command),
            Err(error) => Reply::Invalid(error.to_string()),
        }
        .encode()
    }

    /// Answers a query.
    pub fn query(&self, query: &Query) -> Answer {
        match query {
            Query::Get { key } => Answer::Value(self.get(key).cloned()),
            Query::Range { start, end, limit } => self.range(start, end, *limit),
        }
    }

    /// Answers an encoded query; the answer is encoded too.
    pub fn query_bytes(&self, query: &[u8]) -> Result<Bytes, String> {
        let query = Query::decode(&Bytes::copy_from_slice(query))
            .map_err(|error| format!("not a query: {error}"))?;
        Ok(self.query(&query).encode())
    }

    /// The value of a key, if it is set.
    pub fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.pairs.get(key)
    }

    /// Number of keys that are set.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether no key is set.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Number of opaque proposals carried out.
    pub fn proposals(&self) -> u64 {
        self.proposals
    }

    /// All keys with their values, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Bytes)> {
        self.pairs.iter().map(|(key, value)| (&key[..], value))
    }

    /// The store as it is now, to be written while commands go on.
    pub fn image(&self) -> StoreImage {
        StoreImage(self.clone())
    }

    /// Reads an image. Takes exactly the image's bytes, in small pieces: the caller buffers.
    pub fn restore(input: &mut dyn Read) -> io::Result<Self> {
        let magic = read_array::<8>(input)?;
        if magic != *MAGIC {
            return Err(match magic {
                [b'r', b'a', b'f', b't', b'k', b'v', version, b'\n'] => of_version(version),
                _ => damaged("does not begin like one"),
            });
        }
        let mut store = Self {
            pairs: OrdMap::new(),
            proposals: read_u64(input)?,
            proposals_hash: read_u64(input)?,
        };
        let count = read_u64(input)?;
        let mut previous = Bytes::new(); // Sorts before every key.
        for _ in 0..count {
            let key = read_bytes(input, KEY_BYTES_MAX)?;
            if key <= previous {
                return Err(damaged("keys out of order"));
            }
            let value = read_bytes(input, VALUE_BYTES_MAX)?;
            previous.clone_from(&key);
            store.pairs.insert(Key::from_slice(&key), value);
        }
        Ok(store)
    }

    fn apply_valid(&mut self, command: CommandRef<'_>) -> Reply {
        match command {
            CommandRef::Put { key, value } => Reply::Put { replaced: self.put(key, value) },
            CommandRef::Delete { key } => {
                Reply::Deleted { existed: self.pairs.remove(key).is_some() }
            }
            CommandRef::Cas { key, expected, value } => {
                let actual = self.pairs.get(key);
                if actual.map(|actual| &**actual) != expected {
                    return Reply::Cas { swapped: false, actual: actual.cloned() };
                }
                match value {
                    Some(value) => self.put(key, value),
                    None => self.pairs.remove(key).is_some(),
                };
                Reply::Cas { swapped: true, actual: None }
            }
            CommandRef::Append { key, data } => self.append(key, data),
            CommandRef::Propose { data } => {
                self.proposals += 1;
                self.proposals_hash = mix(self.proposals_hash, data);
                Reply::Proposed { count: self.proposals }
            }
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.pairs.insert(Key::from_slice(key), Bytes::copy_from_slice(value)).is_some()
    }

    fn append(&mut self, key: &[u8], data: &[u8]) -> Reply {
        let old = self.pairs.get(key).map_or(&[][..], |value| value);
        let len = old.len() + data.len();
        if VALUE_BYTES_MAX < len {
            return Reply::Invalid(InvalidCommand::ValueTooLong(len).to_string());
        }
        let value = [old, data].concat();
        self.put(key, &value);
        Reply::Appended { len: len as u64 }
    }

    fn range(&self, start: &[u8], end: &[u8], limit: u32) -> Answer {
        let limit = match usize::try_from(limit) {
            Ok(0) | Err(_) => RANGE_PAIRS_MAX,
            Ok(limit) => limit.min(RANGE_PAIRS_MAX),
        };
        let mut pairs = Vec::new();
        let mut size = 0;
        if !end.is_empty() && end <= start {
            return Answer::Pairs { pairs, more: false }; // The map panics at a reversed range.
        }
        let start = Bound::Included(Key::from_slice(start));
        let end = match end {
            [] => Bound::Unbounded,
            end => Bound::Excluded(Key::from_slice(end)),
        };
        for (key, value) in self.pairs.range((start, end)) {
            size += key.len() + value.len();
            if limit <= pairs.len() || (RANGE_BYTES_MAX < size && !pairs.is_empty()) {
                return Answer::Pairs { pairs, more: true };
            }
            pairs.push((Bytes::copy_from_slice(key), value.clone()));
        }
        Answer::Pairs { pairs, more: false }
    }
}

impl StoreImage {
    /// Writes the image: the same bytes for the same state.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self(store) = self;
        let mut out = io::BufWriter::with_capacity(WRITE_BYTES, out);
        out.write_all(MAGIC)?;
        for number in [store.proposals, store.proposals_hash, store.pairs.len() as u64] {
            out.write_all(&number.to_le_bytes())?;
        }
        for (key, value) in &store.pairs {
            write_bytes(&mut out, key)?;
            write_bytes(&mut out, value)?;
        }
        out.flush()
    }

    /// Number of keys in the image.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no key is in the image.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Mixes data and its length into a hash, eight bytes at a time. Tells accidents apart, not
/// attacks.
fn mix(hash: u64, data: &[u8]) -> u64 {
    /// The multiplier of rustc's hash: odd, with bits all over.
    const MULTIPLIER: u64 = 0xf135_7aea_2e62_a9c5;
    let step = |hash: u64, word: u64| {
        (hash.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER).wrapping_add(MULTIPLIER)
    };
    let (words, rest) = data.as_chunks::<8>();
    let mut tail = [0; 8];
    tail[..rest.len()].copy_from_slice(rest);
    let hash = words.iter().fold(hash, |hash, word| step(hash, u64::from_le_bytes(*word)));
    let hash = step(step(hash, u64::from_le_bytes(tail)), data.len() as u64);
    hash ^ hash >> 32
}

fn write_bytes(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).expect("keys and values were checked before they came in");
    out.write_all(&len.to_le_bytes())?;
    out.write_all(bytes)
}

fn read_bytes(input: &mut dyn Read, len_max: usize) -> io::Result<Bytes> {
    let len = u32::from_le_bytes(read_array(input)?);
    if usize::try_from(len).map_or(true, |len| len_max < len) {
        return Err(damaged("a key or value longer than any can be"));
    }
    // Grows with what is really there, so that a length that lies costs nothing.
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0).min(WRITE_BYTES));
    input.take(u64::from(len)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != u64::from(len) {
        return Err(cut_short());
    }
    // No longer than it has to be: there may be a million of them.
    Ok(bytes.into_boxed_slice().into())
}

fn read_u64(input: &mut dyn Read) -> io::Result<u64> {
    read_array(input).map(u64::from_le_bytes)
}

fn read_array<const LEN: usize>(input: &mut dyn Read) -> io::Result<[u8; LEN]> {
    let mut array = [0; LEN];
    match input.read_exact(&mut array) {
        Ok(()) => Ok(array),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(cut_short()),
        Err(error) => Err(error),
    }
}

fn cut_short() -> io::Error {
    let message = "the image of the store is cut short";
    io::Error::new(io::ErrorKind::UnexpectedEof, message)
}

/// The image may be whole, but this program does not know what it says.
fn of_version(version: u8) -> io::Error {
    let text = format!(
        "the image of the store is in format version {}, and this program reads {}",
        version.escape_ascii(),
        MAGIC[6].escape_ascii()
    );
    io::Error::new(io::ErrorKind::Unsupported, text)
}

fn damaged(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an image of the store: {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(store: &mut Store, data: &[u8]) -> Reply {
        let (key, data) = (Bytes::from_static(b"list"), Bytes::copy_from_slice(data));
        let command = Command::Append { key, data }.encode();
        Reply::decode(&store.apply_bytes(&command)).unwrap()
    }

    /// Appending twice is visible, appending nothing still sets the key, and a value that would
    /// outgrow the limit stays as it was.
    #[test]
    fn append_adds_to_what_is_there() {
        let mut store = Store::new();
        assert_eq!(append(&mut store, b""), Reply::Appended { len: 0 });
        assert_eq!(append(&mut store, b"ab"), Reply::Appended { len: 2 });
        assert_eq!(append(&mut store, b"ab"), Reply::Appended { len: 4 });
        assert_eq!(store.get(b"list").map(|value| &value[..]), Some(&b"abab"[..]));
        let refused = append(&mut store, &vec![0; VALUE_BYTES_MAX - 3]);
        assert!(matches!(refused, Reply::Invalid(_)), "{refused:?}");
        assert_eq!(store.get(b"list").map(Bytes::len), Some(4));
    }
}
