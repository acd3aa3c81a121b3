//! Histories as text: one operation per line, as JSON.
//!
//! ```text
//! {"process":1,"key":"k","input":{"put":{"value":"a"}},"called_ns":10,"returned_ns":20,"outcome":{"ok":"done"},"index":7}
//! {"process":2,"key":"k","input":"get","called_ns":15,"returned_ns":30,"outcome":{"ok":{"value":"a"}}}
//! {"process":1,"key":"k","input":"delete","called_ns":25,"outcome":"unknown"}
//! ```

use std::io::{self, BufRead, Write};

use crate::history::{History, Malformed};

/// Why a history could not be read. Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input itself failed.
    #[error("could not read line {line} of the history")]
    Io {
        /// The line that was about to be read.
        line: usize,
        /// What the reader said.
        source: io::Error,
    },
    /// The line is no operation. A file cut short ends like this.
    #[error("line {line} of the history is not an operation: {source}")]
    Syntax {
        /// Which line.
        line: usize,
        /// What is wrong with it, and in which column.
        source: serde_json::Error,
    },
    /// The line is an operation that makes no sense.
    #[error("line {line} of the history: {source}")]
    Malformed {
        /// Which line.
        line: usize,
        /// What is wrong with it.
        source: Malformed,
    },
}

impl History {
    /// Reads JSON lines. Blank lines are skipped; anything else that is not an operation is an
    /// error, for a history with a hole in it is not the history.
    pub fn read(input: impl BufRead) -> Result<History, ReadError> {
        let mut history = History::new();
        for (position, text) in input.lines().enumerate() {
            let line = position + 1;
            let text = text.map_err(|source| ReadError::Io { line, source })?;
            if text.trim().is_empty() {
                continue;
            }
            let operation =
                serde_json::from_str(&text).map_err(|source| ReadError::Syntax { line, source })?;
            history.push(operation).map_err(|source| ReadError::Malformed { line, source })?;
        }
        Ok(history)
    }

    /// Writes JSON lines, one operation each. Operations in flight become unknown.
    pub fn write(&self, mut output: impl Write) -> io::Result<()> {
        for operation in self.operations() {
            serde_json::to_writer(&mut output, operation)?;
            output.write_all(b"\n")?;
        }
        output.flush()
    }
}
