//! `del`

use std::ffi::OsString;

use serde_json::json;

use super::format::{Format, bytes_json, written};
use super::{Context, Done, Failure, bytes_of, quoted};

#[derive(Debug, clap::Args)]
pub(crate) struct Del {
    /// The key. After `--` it may begin with a dash.
    key: OsString,
}

impl Del {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let key = bytes_of(self.key);
        let what = format!("could not delete {}", quoted(&key));
        let outcome = context.client.delete(key.clone()).await;
        let done = outcome.map_err(|error| Failure::from(error).during(&what))?;
        let existed = done.value;
        let is_worth_a_word = !existed && context.format != Format::Json;
        let note = is_worth_a_word.then(|| format!("{} was not set", quoted(&key)));
        let fields = json!({ "key": bytes_json(&key), "existed": existed });
        let data = written(context.format, "del", &done.receipt, String::new(), fields);
        Ok(Done { note, ..Done::with(data) })
    }
}
