//! Keys and values: from the command line, and in messages.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use bytes::Bytes;

use super::failure::LIMITS;
use super::{Context, Failure};

/// A value as an argument gives it: `-` stands for all of standard input, `@FILE` for what is in a file,
/// `@@` for one `@`.
pub(crate) fn value_of(argument: OsString, context: &Context) -> Result<Bytes, Failure> {
    let argument = bytes_of(argument);
    match argument.split_first() {
        Some((b'-', [])) if context.is_shell => {
            let hint = "write the value, or @FILE";
            Err(Failure::usage("standard input is this shell's".to_owned(), Some(hint)))
        }
        Some((b'-', [])) => all_of(io::stdin().lock(), "standard input"),
        Some((b'@', [b'@', ..])) => Ok(argument.slice(1..)),
        Some((b'@', path)) => {
            let path = Path::new(OsStr::from_bytes(path));
            let file = File::open(path).map_err(|error| {
                let message = format!("could not open `{}`: {error}", path.display());
                Failure::usage(message, Some("a value that begins with one @ is written with two"))
            })?;
            all_of(file, &format!("`{}`", path.display()))
        }
        _ => Ok(argument),
    }
}

fn all_of(source: impl Read, name: &str) -> Result<Bytes, Failure> {
    let mut data = Vec::new();
    let bound = raft_kv::VALUE_BYTES_MAX;
    // One byte more tells that there is too much, however much it is.
    match source.take(bound as u64 + 1).read_to_end(&mut data) {
        Ok(read) if bound < read => Err(Failure::usage(
            format!("{name} holds more than the {bound} bytes that a value may have"),
            Some(LIMITS),
        )),
        Ok(_) => Ok(data.into()),
        Err(error) => Err(Failure::usage(format!("could not read {name}: {error}"), None)),
    }
}

pub(crate) fn bytes_of(argument: OsString) -> Bytes {
    argument.into_vec().into()
}

/// Text as it is, except that backslashes, what would disturb a terminal and what is no text are
/// escaped: no two contents look the same.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for symbol in chunk.valid().chars() {
            if symbol == '\\' || symbol.is_control() {
                let mut place = [0; 4];
                let escaped = symbol.encode_utf8(&mut place).as_bytes().escape_ascii();
                shown.extend(escaped.map(char::from));
            } else {
                shown.push(symbol);
            }
        }
        shown.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    shown
}

/// Bytes of a key or value that a message shows, at most.
const SHOWN_MAX: usize = 64;

/// As much of it as a message has room for.
pub(crate) fn shortened(bytes: &[u8]) -> String {
    if bytes.len() <= SHOWN_MAX {
        return printable(bytes);
    }
    // Not amid a character.
    let begins = |place: &usize| bytes[*place] & 0xc0 != 0x80;
    let end = (SHOWN_MAX - 3..=SHOWN_MAX).rev().find(begins).unwrap_or(SHOWN_MAX);
    format!("{}… ({} bytes)", printable(&bytes[..end]), bytes.len())
}

/// A key as messages name it.
pub(crate) fn quoted(key: &[u8]) -> String {
    format!("`{}`", shortened(key))
}

/// A value alone: a terminal, or whoever reads a shell's answers line by line, gets a line end after it,
/// a file gets the value.
pub(crate) fn value_alone(value: &[u8], context: &Context) -> Vec<u8> {
    let mut data = value.to_vec();
    if context.is_shell || io::stdout().is_terminal() {
        data.push(b'\n');
    }
    data
}
