//! `propose`

use std::ffi::OsString;

use serde_json::json;

use super::format::written;
use super::{Context, Done, Failure, value_of};

#[derive(Debug, clap::Args)]
pub(crate) struct Propose {
    /// The data; `-` reads standard input, `@FILE` a file, and `@@` begins data with @. After `--` it
    /// may begin with a dash.
    data: OsString,
}

impl Propose {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let done = context
            .client
            .propose_data(value_of(self.data, context)?)
            .await
            .map_err(|error| Failure::from(error).during("could not propose"))?;
        let at = done.receipt;
        let text = format!("index {} term {} leader n{}\n", at.index, at.term, at.leader);
        let fields = json!({ "count": done.value });
        Ok(Done::with(written(context.format, "propose", &at, text, fields)))
    }
}
