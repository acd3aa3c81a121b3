//! What changes the store, and what comes of it.
//!
//! ```text
//! put      1 · key bytes · value bytes
//! delete   2 · key bytes
//! cas      3 · key bytes · expected option · value option
//! propose  4 · data bytes
//! append   6 · key bytes · data bytes
//!
//! put      1 · replaced flag
//! deleted  2 · existed flag
//! cas      3 · swapped flag · actual option
//! proposed 4 · count u64
//! invalid  5 · text bytes
//! appended 6 · len u64
//! ```

use bytes::Bytes;

use crate::codec::{DecodeError, Reader, Writer};
use crate::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Changes the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Sets a key.
    Put {
        /// The key.
        key: Bytes,
        /// Its new value.
        value: Bytes,
    },
    /// Removes a key.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Compares and swaps: changes a key if its value is the expected one.
    Cas {
        /// The key.
        key: Bytes,
        /// The value it must have; `None`: it must not be set.
        expected: Option<Bytes>,
        /// The value to set; `None`: remove the key.
        value: Option<Bytes>,
    },
    /// Adds to the end of a key's value; a key that is not set begins empty. Unlike a put it shows
    /// in the value how often it was carried out.
    Append {
        /// The key.
        key: Bytes,
        /// What to add.
        data: Bytes,
    },
    /// Data that means something to the client alone. It is not kept: the store counts it and mixes
    /// it into a running hash, so that replicas which saw different proposals can be told apart.
    Propose {
        /// The data.
        data: Bytes,
    },
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The key is set.
    Put {
        /// Whether it had a value before.
        replaced: bool,
    },
    /// The key is not set.
    Deleted {
        /// Whether it was before.
        existed: bool,
    },
    /// The comparison was made.
    Cas {
        /// Whether the value was the expected one, and so was changed.
        swapped: bool,
        /// What was found instead when nothing was swapped; `None`: the key is not set.
        actual: Option<Bytes>,
    },
    /// The value has grown.
    Appended {
        /// Bytes in it now.
        len: u64,
    },
    /// The proposal is noted.
    Proposed {
        /// How many there have been, this one included.
        count: u64,
    },
    /// The command made no sense, and changed nothing.
    Invalid(String),
}

/// Why a command that could be read is refused all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCommand {
    /// It cannot be read.
    #[error("not a command: {0}")]
    Unreadable(#[from] DecodeError),
    /// Its key is empty.
    #[error("the key is empty")]
    KeyEmpty,
    /// Its key is longer than [`KEY_BYTES_MAX`].
    #[error("the key has {0} bytes, more than the {KEY_BYTES_MAX} allowed")]
    KeyTooLong(usize),
    /// A value of it is longer than [`VALUE_BYTES_MAX`].
    #[error("the value has {0} bytes, more than the {VALUE_BYTES_MAX} allowed")]
    ValueTooLong(usize),
}

/// Whether these bytes are a command that the store would carry out: to be asked before the bytes
/// enter the log, where a refusal costs a round of replication.
pub fn validate(bytes: &[u8]) -> Result<(), String> {
    CommandRef::parse_valid(bytes).map(drop).map_err(|error| error.to_string())
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const CAS: u8 = 3;
const PROPOSE: u8 = 4;
const INVALID: u8 = 5;
const APPEND: u8 = 6;

/// A command whose parts lie in somebody else's memory: so that to check one, or to carry it out,
/// takes no copy of what is not kept.
#[derive(Clone, Copy)]
pub(crate) enum CommandRef<'a> {
    Put { key: &'a [u8], value: &'a [u8] },
    Delete { key: &'a [u8] },
    Cas { key: &'a [u8], expected: Option<&'a [u8]>, value: Option<&'a [u8]> },
    Propose { data: &'a [u8] },
    Append { key: &'a [u8], data: &'a [u8] },
}

impl<'a> CommandRef<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let command = match reader.u8()? {
            PUT => Self::Put { key: reader.bytes()?, value: reader.bytes()? },
            DELETE => Self::Delete { key: reader.bytes()? },
            CAS => Self::Cas {
                key: reader.bytes()?,
                expected: reader.option()?,
                value: reader.option()?,
            },
            PROPOSE => Self::Propose { data: reader.bytes()? },
            APPEND => Self::Append { key: reader.bytes()?, data: reader.bytes()? },
            tag => return Err(DecodeError::UnknownTag(tag)),
        };
        reader.end()?;
        Ok(command)
    }

    /// Reads a command and holds it against the limits.
    pub(crate) fn parse_valid(bytes: &'a [u8]) -> Result<Self, InvalidCommand> {
        let command = Self::parse(bytes)?;
        command.check()?;
        Ok(command)
    }

    /// Holds the command against the limits.
    pub(crate) fn check(&self) -> Result<(), InvalidCommand> {
        let (key, values) = match *self {
            Self::Put { key, value } => (Some(key), [Some(value), None]),
            Self::Delete { key } => (Some(key), [None, None]),
            Self::Cas { key, expected, value } => (Some(key), [expected, value]),
            Self::Propose { data } => (None, [Some(data), None]),
            Self::Append { key, data } => (Some(key), [Some(data), None]),
        };
        match key.map(<[u8]>::len) {
            Some(0) => return Err(InvalidCommand::KeyEmpty),
            Some(len) if KEY_BYTES_MAX < len => return Err(InvalidCommand::KeyTooLong(len)),
            Some(_) | None => (),
        }
        let too_long = values.iter().flatten().find(|value| VALUE_BYTES_MAX < value.len());
        too_long.map_or(Ok(()), |value| Err(InvalidCommand::ValueTooLong(value.len())))
    }
}

impl Command {
    /// The command as bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Put { key, value } => {
                Writer::new(PUT, key.len() + value.len()).bytes(key).bytes(value)
            }
            Self::Delete { key } => Writer::new(DELETE, key.len()).bytes(key),
            Self::Cas { key, expected, value } => {
                let values = [expected, value].into_iter().flatten();
                let size = key.len() + values.map(Bytes::len).sum::<usize>();
                let writer = Writer::new(CAS, size).bytes(key);
                writer.option(expected.as_deref()).option(value.as_deref())
            }
            Self::Propose { data } => Writer::new(PROPOSE, data.len()).bytes(data),
            Self::Append { key, data } => {
                Writer::new(APPEND, key.len() + data.len()).bytes(key).bytes(data)
            }
        }
        .finish()
    }

    /// Reads a command. Its parts share the input's memory. The limits on keys and values are not
    /// looked at: [`validate`] and the store do that.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let part = |part: &[u8]| bytes.slice_ref(part);
        Ok(match CommandRef::parse(bytes)? {
            CommandRef::Put { key, value } => Self::Put { key: part(key), value: part(value) },
            CommandRef::Delete { key } => Self::Delete { key: part(key) },
            CommandRef::Cas { key, expected, value } => {
                Self::Cas { key: part(key), expected: expected.map(part), value: value.map(part) }
            }
            CommandRef::Propose { data } => Self::Propose { data: part(data) },
            CommandRef::Append { key, data } => Self::Append { key: part(key), data: part(data) },
        })
    }

    pub(crate) fn view(&self) -> CommandRef<'_> {
        match self {
            Self::Put { key, value } => CommandRef::Put { key, value },
            Self::Delete { key } => CommandRef::Delete { key },
            Self::Cas { key, expected, value } => {
                CommandRef::Cas { key, expected: expected.as_deref(), value: value.as_deref() }
            }
            Self::Propose { data } => CommandRef::Propose { data },
            Self::Append { key, data } => CommandRef::Append { key, data },
        }
    }
}

impl Reply {
    /// The reply as bytes.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Put { replaced } => Writer::new(PUT, 0).flag(*replaced),
            Self::Deleted { existed } => Writer::new(DELETE, 0).flag(*existed),
            Self::Cas { swapped, actual } => {
                let size = actual.as_ref().map_or(0, Bytes::len);
                Writer::new(CAS, size).flag(*swapped).option(actual.as_deref())
            }
            Self::Proposed { count } => Writer::new(PROPOSE, 0).u64(*count),
            Self::Appended { len } => Writer::new(APPEND, 0).u64(*len),
            Self::Invalid(reason) => Writer::new(INVALID, reason.len()).bytes(reason.as_bytes()),
        }
        .finish()
    }

    /// Reads a reply. Its parts share the input's memory.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let reply = match reader.u8()? {
            PUT => Self::Put { replaced: reader.flag()? },
            DELETE => Self::Deleted { existed: reader.flag()? },
            CAS => Self::Cas {
                swapped: reader.flag()?,
                actual: reader.option()?.map(|actual| bytes.slice_ref(actual)),
            },
            PROPOSE => Self::Proposed { count: reader.u64()? },
            APPEND => Self::Appended { len: reader.u64()? },
            INVALID => {
                let text = str::from_utf8(reader.bytes()?).ok().ok_or(DecodeError::NotUtf8)?;
                Self::Invalid(text.to_owned())
            }
            tag => return Err(DecodeError::UnknownTag(tag)),
        };
        reader.end()?;
        Ok(reply)
    }
}
