//! `propose`

use std::ffi::OsString;

use raft_client::Client;

use super::{Done, Failure, bytes_or_stdin};

#[derive(Debug, clap::Args)]
pub(crate) struct Propose {
    /// The data; `-` reads standard input. After `--` it may begin with a dash.
    data: OsString,
}

impl Propose {
    pub(crate) async fn run(self, client: &Client) -> Result<Done, Failure> {
        let done = client
            .propose_data(bytes_or_stdin(self.data)?)
            .await
            .map_err(|error| Failure::from(error).during("could not propose"))?;
        let at = done.receipt;
        Ok(Done::with(format!("index {} term {} leader n{}\n", at.index, at.term, at.leader)))
    }
}
