//! Judges a history from a file, and writes its certificate if it is linearizable.
//!
//! ```text
//! cargo run --release -p lin-check --example judge -- HISTORY.jsonl [CERTIFICATE.json]
//! ```
//!
//! Exit code: 0 it is linearizable, 5 it is not, 10 nobody knows, 2 the files cannot be read or written.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the command line")]

use std::process::ExitCode;
use std::time::Instant;

use lin_check::{Budget, FileError, History, Verdict, judge};

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let (history, certificate) = match paths.as_slice() {
        [history] => (history, None),
        [history, certificate] => (history, Some(certificate)),
        _ => {
            eprintln!("usage: judge HISTORY.jsonl [CERTIFICATE.json]");
            return ExitCode::from(2);
        }
    };
    run(history, certificate).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

fn run(history: &str, certificate: Option<&String>) -> Result<ExitCode, FileError> {
    let start = Instant::now();
    let history = History::load(history)?;
    let read = start.elapsed();
    let start = Instant::now();
    let judgement = judge(&history, Budget::default());
    let judged = start.elapsed();
    println!("{judgement}");
    println!("read in {read:.2?}, judged in {judged:.2?}");
    if let (Some(path), Some(proof)) = (certificate, &judgement.certificate) {
        proof.save(path)?;
    }
    Ok(ExitCode::from(match judgement.verdict {
        Verdict::Linearizable => 0,
        Verdict::Violation(_) => 5,
        Verdict::Undecided { .. } => 10,
    }))
}
