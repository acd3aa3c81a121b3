//! How the program ends: codes that scripts rely on, and failures with a hint.

use std::fmt;
use std::process::ExitCode;

/// The exit codes, the same in all programs of this project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// It went well.
    Done = 0,
    /// A fault of this program.
    Internal = 1,
    /// A wrong command line or configuration.
    Usage = 2,
    /// No cluster, or one that does not serve.
    NotReady = 3,
    /// A promise of the cluster is broken.
    Unsafe = 5,
    /// It did not recover in time.
    TooSlow = 6,
    /// Some node is missing.
    Degraded = 8,
    /// A node ended by itself.
    Crashed = 9,
    /// Nothing can be concluded.
    Inconclusive = 10,
    /// It was interrupted before its work was done.
    Interrupted = 130,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// Why a command could not do its work.
#[derive(Debug)]
pub struct Failure {
    /// What the program exits with.
    pub code: Code,
    /// What went wrong.
    pub error: anyhow::Error,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of the given kind.
    pub fn new(code: Code, what: impl fmt::Display) -> Self {
        Self { code, error: anyhow::anyhow!("{what}"), hint: None }
    }

    /// The user can mend this.
    pub fn usage(what: impl fmt::Display) -> Self {
        Self::new(Code::Usage, what)
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { code: Code::Internal, error, hint: None }
    }
}
