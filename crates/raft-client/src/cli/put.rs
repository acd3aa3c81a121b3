//! `put`

use std::ffi::OsString;

use serde_json::json;

use super::format::{bytes_json, written};
use super::{Context, Done, Failure, bytes_of, quoted, value_of};

#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    /// The key.
    key: OsString,
    /// The value; `-` reads standard input, `@FILE` a file, and `@@` begins a value with @. After
    /// `--` it may begin with a dash.
    value: OsString,
}

impl Put {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let key = bytes_of(self.key);
        let what = format!("could not put {}", quoted(&key));
        let fields = json!({ "key": bytes_json(&key) });
        let value = value_of(self.value, context)?;
        let outcome = context.client.put(key, value).await;
        let done = outcome.map_err(|error| Failure::from(error).during(&what))?;
        let at = done.receipt;
        let text = format!("index {} term {}\n", at.index, at.term);
        let mut fields = fields;
        fields["replaced"] = done.value.into();
        Ok(Done::with(written(context.format, "put", &at, text, fields)))
    }
}
