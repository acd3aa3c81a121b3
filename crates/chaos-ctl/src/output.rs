//! The screen, or whatever the output was sent to.

use std::io::{self, ErrorKind, Write as _};
use std::sync::OnceLock;

use anstream::AutoStream;

/// Standard output. It may go away at any moment, as a closed terminal or a closed pipe: then
/// what is written is dropped, and whoever runs the nodes can still stop them.
#[derive(Debug)]
pub struct Output {
    stream: AutoStream<io::Stdout>,
    broken: bool,
}

/// Why something that was to be kept in a file is not there.
static UNWRITTEN: OnceLock<String> = OnceLock::new();

/// Why output is missing that somebody will look for, if some is: nobody who went away, but a file
/// without space. To be asked before saying that all went well.
pub fn unwritten() -> Option<&'static str> {
    UNWRITTEN.get().map(String::as_str)
}

impl Output {
    /// Standard output, with colours if it is a terminal that wants them.
    pub fn stdout() -> Self {
        Self { stream: AutoStream::auto(io::stdout()), broken: false }
    }

    /// Writes a line.
    pub fn line(&mut self, text: &str) {
        if self.broken {
            return;
        }
        if let Err(error) = writeln!(self.stream, "{text}").and_then(|()| self.stream.flush()) {
            self.broken = true;
            if matches!(
                error.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
            ) {
                UNWRITTEN.get_or_init(|| error.to_string());
            }
        }
    }

    /// Whether nobody reads any more.
    pub fn is_broken(&self) -> bool {
        self.broken
    }
}
