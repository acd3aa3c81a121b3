//! `get`

use std::ffi::OsString;

use raft_client::{Client, Consistency};

use super::{Done, Failure, NOT_FOUND, bytes_of, quoted, value_alone};

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The key. After `--` it may begin with a dash.
    key: OsString,
    /// Take any node's own state, however old, instead of the latest.
    #[arg(long)]
    stale: bool,
}

impl Get {
    pub(crate) async fn run(self, client: &Client) -> Result<Done, Failure> {
        let consistency = if self.stale { Consistency::Stale } else { Consistency::Linearizable };
        let key = bytes_of(self.key);
        let what = format!("could not read {}", quoted(&key));
        let outcome = client.get(key.clone(), consistency).await;
        let found = outcome.map_err(|error| Failure::from(error).during(&what))?;
        Ok(match found.value {
            Some(value) => Done::with(value_alone(&value)),
            None => {
                let note = Some(format!("{} is not set", quoted(&key)));
                Done { note, code: NOT_FOUND, ..Done::default() }
            }
        })
    }
}
