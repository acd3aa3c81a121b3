//! `del`

use std::ffi::OsString;

use raft_client::Client;

use super::{Done, Failure, bytes_of, quoted};

#[derive(Debug, clap::Args)]
pub(crate) struct Del {
    /// The key. After `--` it may begin with a dash.
    key: OsString,
}

impl Del {
    pub(crate) async fn run(self, client: &Client) -> Result<Done, Failure> {
        let key = bytes_of(self.key);
        let what = format!("could not delete {}", quoted(&key));
        let outcome = client.delete(key.clone()).await;
        let existed = outcome.map_err(|error| Failure::from(error).during(&what))?.value;
        let note = (!existed).then(|| format!("{} was not set", quoted(&key)));
        Ok(Done { note, ..Done::default() })
    }
}
