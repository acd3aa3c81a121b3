//! What reads the store, and what it finds.
//!
//! ```text
//! get    1 · key bytes
//! range  2 · start bytes · end bytes · limit u32
//!
//! value  1 · value option
//! pairs  2 · more flag · count u32 · (key bytes · value bytes)…
//! ```

use bytes::Bytes;

use crate::codec::{DecodeError, Reader, Writer};

/// Reads the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Reads one key.
    Get {
        /// The key.
        key: Bytes,
    },
    /// Reads keys in order.
    Range {
        /// The first key, inclusive. Empty: from the beginning.
        start: Bytes,
        /// The last key, exclusive. Empty: to the end.
        end: Bytes,
        /// At most this many pairs; 0: as many as the store's own bounds allow. Those bounds
        /// ([`crate::RANGE_PAIRS_MAX`], [`crate::RANGE_BYTES_MAX`]) hold in any case.
        limit: u32,
    },
}

/// What a query found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value of a key, if it is set.
    Value(Option<Bytes>),
    /// Keys with their values, in ascending order of the keys.
    Pairs {
        /// The keys and values.
        pairs: Vec<(Bytes, Bytes)>,
        /// Whether a bound cut the answer short: ask again from just after the last key.
        more: bool,
    },
}

const GET: u8 = 1;
const RANGE: u8 = 2;

/// Two lengths: what the smallest pair takes.
const PAIR_BYTES_MIN: usize = 8;

impl Query {
    /// The query as bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Get { key } => Writer::new(GET, key.len()).bytes(key),
            Self::Range { start, end, limit } => {
                Writer::new(RANGE, start.len() + end.len()).bytes(start).bytes(end).u32(*limit)
            }
        }
        .finish()
    }

    /// Reads a query. Its parts share the input's memory.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let query = match reader.u8()? {
            GET => Self::Get { key: bytes.slice_ref(reader.bytes()?) },
            RANGE => Self::Range {
                start: bytes.slice_ref(reader.bytes()?),
                end: bytes.slice_ref(reader.bytes()?),
                limit: reader.u32()?,
            },
            tag => return Err(DecodeError::UnknownTag(tag)),
        };
        reader.end()?;
        Ok(query)
    }
}

impl Answer {
    /// The answer as bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Value(value) => {
                let size = value.as_ref().map_or(0, Bytes::len);
                Writer::new(GET, size).option(value.as_deref())
            }
            Self::Pairs { pairs, more } => {
                let size = pairs.iter().map(|(key, value)| key.len() + value.len());
                let size = size.sum::<usize>() + PAIR_BYTES_MIN * pairs.len();
                let count = u32::try_from(pairs.len()).expect("an answer has few pairs");
                let mut writer = Writer::new(RANGE, size).flag(*more).u32(count);
                for (key, value) in pairs {
                    writer = writer.bytes(key).bytes(value);
                }
                writer
            }
        }
        .finish()
    }

    /// Reads an answer. Its parts share the input's memory.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let answer = match reader.u8()? {
            GET => Self::Value(reader.option()?.map(|value| bytes.slice_ref(value))),
            RANGE => {
                let more = reader.flag()?;
                let count = usize::try_from(reader.u32()?).unwrap_or(usize::MAX);
                if reader.remaining() / PAIR_BYTES_MIN < count {
                    return Err(DecodeError::Truncated);
                }
                let mut pairs = Vec::with_capacity(count);
                for _ in 0..count {
                    let key = bytes.slice_ref(reader.bytes()?);
                    pairs.push((key, bytes.slice_ref(reader.bytes()?)));
                }
                Self::Pairs { pairs, more }
            }
            tag => return Err(DecodeError::UnknownTag(tag)),
        };
        reader.end()?;
        Ok(answer)
    }
}
