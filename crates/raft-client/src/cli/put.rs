//! `put`

use std::ffi::OsString;

use raft_client::Client;

use super::{Done, Failure, bytes_of, bytes_or_stdin, quoted};

#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    /// The key.
    key: OsString,
    /// The value; `-` reads standard input. After `--` it may begin with a dash.
    value: OsString,
}

impl Put {
    pub(crate) async fn run(self, client: &Client) -> Result<Done, Failure> {
        let key = bytes_of(self.key);
        let what = format!("could not put {}", quoted(&key));
        let value = bytes_or_stdin(self.value)?;
        let outcome = client.put(key, value).await;
        let done = outcome.map_err(|error| Failure::from(error).during(&what))?;
        let at = done.receipt;
        Ok(Done::with(format!("index {} term {}\n", at.index, at.term)))
    }
}
