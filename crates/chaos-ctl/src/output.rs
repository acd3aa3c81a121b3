//! The screen, or whatever the output was sent to.

use std::io::{self, Write as _};

use anstream::AutoStream;

/// Standard output. It may go away at any moment, as a closed terminal or a closed pipe: then
/// what is written is dropped, and whoever runs the nodes can still stop them.
#[derive(Debug)]
pub struct Output {
    stream: AutoStream<io::Stdout>,
    broken: bool,
}

impl Output {
    /// Standard output, with colours if it is a terminal that wants them.
    pub fn stdout() -> Self {
        Self { stream: AutoStream::auto(io::stdout()), broken: false }
    }

    /// Writes a line.
    pub fn line(&mut self, text: &str) {
        if !self.broken {
            self.broken =
                writeln!(self.stream, "{text}").and_then(|()| self.stream.flush()).is_err();
        }
    }

    /// Whether nobody reads any more.
    pub fn is_broken(&self) -> bool {
        self.broken
    }
}
