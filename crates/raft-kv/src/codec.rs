//! The parts that all encodings are made of: a tag byte first, then fields without padding.
//!
//! ```text
//! bytes     len u32 · that many bytes
//! option    0, or 1 · bytes
//! flag      0 or 1
//! ```
//!
//! Numbers are little-endian. There is one way to write a value, and a reader accepts no other:
//! what follows the last field is an error too.

use bytes::Bytes;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end before the value does.
    #[error("cut short")]
    Truncated,
    /// They continue after the value.
    #[error("{0} bytes too many")]
    Trailing(usize),
    /// The first byte names nothing we know.
    #[error("unknown kind {0}")]
    UnknownTag(u8),
    /// A byte that should be 0 or 1 is neither.
    #[error("{0} where 0 or 1 belongs")]
    NotAFlag(u8),
    /// A text is not UTF-8.
    #[error("text that is not UTF-8")]
    NotUtf8,
}

/// Takes fields off the front of a slice, which they borrow from.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*first))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        let (first, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(u64::from_le_bytes(*first))
    }

    pub(crate) fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::NotAFlag(other)),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        // A length beyond the address space is beyond the input as well.
        let len = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        let (first, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(first)
    }

    pub(crate) fn option(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        if self.flag()? { self.bytes().map(Some) } else { Ok(None) }
    }

    /// Bytes that are left. Bounds how much a count in the input may claim.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// All fields are read: nothing may be left.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            surplus => Err(DecodeError::Trailing(surplus)),
        }
    }
}

/// Puts fields after one another.
pub(crate) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Starts with the tag. `size` is what will follow, as far as it is known.
    pub(crate) fn new(tag: u8, size: usize) -> Self {
        /// Enough for the tag, three lengths and two flags.
        const HEAD: usize = 16;
        let mut out = Vec::with_capacity(size.saturating_add(HEAD));
        out.push(tag);
        Self { out }
    }

    pub(crate) fn u32(mut self, number: u32) -> Self {
        self.out.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(crate) fn u64(mut self, number: u64) -> Self {
        self.out.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(crate) fn flag(mut self, flag: bool) -> Self {
        self.out.push(u8::from(flag));
        self
    }

    /// # Panics
    ///
    /// If there are 4 GiB or more: the limits on keys and values are far below that, and a caller
    /// that ignores them must not write a length that lies.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).expect("keys and values are far below 4 GiB");
        let mut this = self.u32(len);
        this.out.extend_from_slice(bytes);
        this
    }

    pub(crate) fn option(self, bytes: Option<&[u8]>) -> Self {
        let this = self.flag(bytes.is_some());
        match bytes {
            Some(bytes) => this.bytes(bytes),
            None => this,
        }
    }

    pub(crate) fn finish(self) -> Bytes {
        self.out.into()
    }
}
