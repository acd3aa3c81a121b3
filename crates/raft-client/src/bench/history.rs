//! Writes down what every operation asked and was answered, for a judge of linearizability.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use lin_check::{Input, Operation as Entry, Outcome as Ending, Output, Process};

use super::lane::Task;
use super::operation::{Operation, Outcome};
use super::recorder::Miss;
use super::target::Answered;
use super::workload::Workload;

/// A file of JSON lines, as `lin-check` reads it.
#[derive(Debug)]
pub(super) struct Journal {
    file: Mutex<(BufWriter<File>, Option<io::Error>)>,
}

/// Whose operation it was, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) worker: usize,
    pub(super) task: &'a Task,
    pub(super) span: Span,
}

/// When an operation was sent and when it ended, in nanoseconds from the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) called: u64,
    pub(super) returned: u64,
}

impl Journal {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        Ok(Self { file: Mutex::new((file, None)) })
    }

    /// Adds one operation of this worker. The first error is kept until the end.
    pub(super) fn add(
        &self,
        workload: &Workload,
        record: &Record<'_>,
        ended: &Result<Answered, Miss>,
    ) {
        let Record { worker, task, span } = *record;
        let Some((key, input)) = asked(workload, &task.operation) else { return };
        let outcome = match ended {
            Ok(answered) => Ending::Ok(answer(workload, &answered.outcome)),
            Err(Miss::Refused(_) | Miss::Failed(_)) => Ending::Fail,
            Err(Miss::Unknown(_)) => Ending::Unknown,
        };
        let answered = ended.as_ref().ok();
        let index = answered.and_then(|answered| answered.index);
        let term = answered.and_then(|answered| answered.reign).map(|reign| reign.term);
        let entry = Entry {
            process: Process(worker as u64),
            key,
            input,
            called_ns: span.called,
            returned_ns: Some(span.returned),
            outcome,
            index,
            node: answered.and_then(|answered| answered.node),
            term,
        };
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (writer, failed) = &mut *file;
        if failed.is_none() {
            let written = serde_json::to_writer(&mut *writer, &entry).map_err(io::Error::from);
            *failed = written.and_then(|()| writer.write_all(b"\n")).err();
        }
    }

    /// Ends the file. A history with a hole in it is not the history.
    pub(super) fn finish(&self) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (writer, failed) = &mut *file;
        match failed.take() {
            Some(error) => Err(error),
            None => writer.flush(),
        }
    }
}

fn asked(workload: &Workload, operation: &Operation) -> Option<(String, Input)> {
    let name = |value: &Bytes| name_of(workload, value);
    let (key, input) = match operation {
        Operation::Put { key, value } => (key, Input::Put { value: name(value) }),
        Operation::Get { key } => (key, Input::Get),
        Operation::Cas { key, expected, value } => {
            let (expected, value) = (expected.as_ref().map(name), Some(name(value)));
            (key, Input::Cas { expected, value })
        }
        Operation::Append { .. } | Operation::Propose { .. } => return None,
    };
    Some((String::from_utf8_lossy(key).into_owned(), input))
}

fn answer(workload: &Workload, outcome: &Outcome) -> Output {
    match outcome {
        Outcome::Written => Output::Done,
        Outcome::Value(value) => Output::Value(value.as_ref().map(|it| name_of(workload, it))),
        Outcome::Swapped => Output::Swapped,
        Outcome::Mismatch(there) => {
            Output::DiffersFrom(there.as_ref().map(|it| name_of(workload, it)))
        }
    }
}

/// A short name for a value: who wrote it, and as which of their writes. Two values with one name
/// are equal.
fn name_of(workload: &Workload, value: &Bytes) -> String {
    let author = workload
        .author(value)
        .filter(|(worker, number)| workload.payload(*worker, *number) == *value);
    match author {
        Some((worker, number)) => format!("{worker}:{number}"),
        None => value.iter().fold("0x".to_owned(), |name, byte| format!("{name}{byte:02x}")),
    }
}
