//! `cas`

use std::ffi::OsString;

use raft_client::{CasOutcome, Client};

use super::{Done, Failure, NOT_FOUND, bytes_of, bytes_or_stdin, quoted, shortened};

#[derive(Debug, clap::Args)]
pub(crate) struct Cas {
    /// The key.
    key: OsString,
    /// The value it must have.
    old: OsString,
    /// The value to set; `-` reads standard input. After `--` values may begin with a dash.
    new: OsString,
}

impl Cas {
    pub(crate) async fn run(self, client: &Client) -> Result<Done, Failure> {
        let (key, old) = (bytes_of(self.key), bytes_of(self.old));
        let name = quoted(&key);
        let new = bytes_or_stdin(self.new)?;
        let outcome = client
            .cas(key, Some(old), Some(new))
            .await
            .map_err(|error| Failure::from(error).during(&format!("could not change {name}")))?;
        let note = match outcome.value {
            CasOutcome::Swapped => return Ok(Done::default()),
            CasOutcome::Mismatch(Some(actual)) => format!("{name} is {}", shortened(&actual)),
            CasOutcome::Mismatch(None) => format!("{name} is not set"),
        };
        Ok(Done { note: Some(note), code: NOT_FOUND, ..Done::default() })
    }
}
