//! Histories as text: one operation per line, as JSON.
//!
//! ```text
//! {"process":1,"key":"k","input":{"put":{"value":"a"}},"called_ns":10,"returned_ns":20,"outcome":{"ok":"done"},"index":7}
//! {"process":2,"key":"k","input":"get","called_ns":15,"returned_ns":30,"outcome":{"ok":{"value":"a"}}}
//! {"process":1,"key":"k","input":"delete","called_ns":25,"outcome":"unknown"}
//! ```

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::certificate::Certificate;
use crate::history::{History, Malformed};

/// Why a history could not be read. Lines count from 1.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input itself failed.
    #[error("could not read line {line} of the history: {source}")]
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

/// Why a file of a run could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file could not be opened, made or written.
    #[error("{}: {why}", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// The history in it is damaged.
    #[error("{}: {why}", .path.display())]
    History {
        /// Which file.
        path: PathBuf,
        /// Where and how.
        why: ReadError,
    },
    /// It holds no certificate.
    #[error("{}: this is not a certificate: {why}", .path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it, and where.
        why: serde_json::Error,
    },
}

impl FileError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> FileError {
        move |why| FileError::Io { path: path.to_owned(), why }
    }
}

impl Certificate {
    /// Reads `certificate.json`.
    pub fn load(path: impl AsRef<Path>) -> Result<Certificate, FileError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(FileError::io(path))?;
        serde_json::from_reader(BufReader::new(file))
            .map_err(|why| FileError::Certificate { path: path.to_owned(), why })
    }

    /// Writes `certificate.json`.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        let mut file = BufWriter::new(File::create(path).map_err(FileError::io(path))?);
        let written = serde_json::to_writer(&mut file, self).map_err(io::Error::from);
        written
            .and_then(|()| file.write_all(b"\n").and_then(|()| file.flush()))
            .map_err(FileError::io(path))
    }
}

impl History {
    /// Reads a file of JSON lines.
    pub fn load(path: impl AsRef<Path>) -> Result<History, FileError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(FileError::io(path))?;
        History::read(BufReader::with_capacity(1 << 18, file))
            .map_err(|why| FileError::History { path: path.to_owned(), why })
    }

    /// Writes a file of JSON lines.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        let file = File::create(path).map_err(FileError::io(path))?;
        self.write(BufWriter::new(file)).map_err(FileError::io(path))
    }

    /// Reads JSON lines. Blank lines are skipped; anything else that is not an operation is an
    /// error, for a history with a hole in it is not the history.
    pub fn read(mut input: impl BufRead) -> Result<History, ReadError> {
        let mut history = History::new();
        let (mut line, mut text) = (0, String::new());
        loop {
            line += 1;
            text.clear();
            let read = input.read_line(&mut text);
            if read.map_err(|source| ReadError::Io { line, source })? == 0 {
                return Ok(history);
            }
            if text.trim().is_empty() {
                continue;
            }
            // Without the end of the line, or an end too early would be said to be on the next.
            let operation = serde_json::from_str(text.trim_end())
                .map_err(|source| ReadError::Syntax { line, source })?;
            history.push(operation).map_err(|source| ReadError::Malformed { line, source })?;
        }
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
