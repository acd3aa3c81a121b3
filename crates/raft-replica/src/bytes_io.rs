//! Numbers and byte strings in a snapshot: little-endian, strings with their length in front.

use std::io::{self, Read, Write};

use bytes::Bytes;
use raft_core::{Index, LogId, Term};

/// A string is read in pieces of this size, so that a damaged length cannot allocate everything.
const PIECE: u64 = 1 << 20;

pub(crate) fn put_u64(sink: &mut dyn Write, number: u64) -> io::Result<()> {
    sink.write_all(&number.to_le_bytes())
}

pub(crate) fn get_u64(source: &mut dyn Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    source.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

pub(crate) fn put_log_id(sink: &mut dyn Write, id: LogId) -> io::Result<()> {
    put_u64(sink, id.term.0)?;
    put_u64(sink, id.index.0)
}

pub(crate) fn get_log_id(source: &mut dyn Read) -> io::Result<LogId> {
    Ok(LogId { term: Term(get_u64(source)?), index: Index(get_u64(source)?) })
}

pub(crate) fn put_bytes(sink: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    put_u64(sink, bytes.len() as u64)?;
    sink.write_all(bytes)
}

pub(crate) fn get_bytes(source: &mut dyn Read) -> io::Result<Bytes> {
    let mut left = get_u64(source)?;
    let mut bytes = Vec::new();
    while 0 < left {
        let piece = left.min(PIECE);
        let before = bytes.len() as u64;
        (&mut *source).take(piece).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != before + piece {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= piece;
    }
    Ok(bytes.into())
}
