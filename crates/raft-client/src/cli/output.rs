//! What a command has to say: data on standard output, all else on standard error.

use std::io::{self, Write as _};

use serde_json::json;

use super::Failure;
use super::format::Format;

/// What a command has to say in the end.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// For standard output.
    pub(crate) data: Vec<u8>,
    /// A line for standard error.
    pub(crate) note: Option<String>,
    pub(crate) code: u8,
}

impl Done {
    pub(crate) fn with(data: impl Into<Vec<u8>>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }
}

/// Writes to standard output. A reader that has seen enough is no error; tells whether it wants
/// more.
pub(crate) fn emit(data: &[u8]) -> Result<bool, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(data).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => {
            Err(Failure::internal(format!("could not write to standard output: {error}")))
        }
    }
}

/// A line on standard error. If nobody reads that either, there is nobody left to tell.
pub(crate) fn complain(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// The same; for readers of JSON an object that says of what kind it is.
pub(crate) fn say(format: Format, level: &str, line: &str) {
    match format {
        Format::Json => complain(&json!({ "level": level, "message": line }).to_string()),
        Format::Text | Format::Table | Format::Raw => complain(line),
    }
}

/// Prints what came of it. Tells the exit code.
pub(crate) fn finish(outcome: Result<Done, Failure>, format: Format) -> u8 {
    let written = outcome.and_then(|done| {
        emit(&done.data)?;
        Ok(done)
    });
    match written {
        Ok(done) => {
            if let Some(note) = done.note {
                say(format, "note", &note);
            }
            done.code
        }
        Err(failure) => {
            match format {
                Format::Json => complain(&failure.json().to_string()),
                Format::Text | Format::Table | Format::Raw => complain(&failure.to_string()),
            }
            failure.code
        }
    }
}
