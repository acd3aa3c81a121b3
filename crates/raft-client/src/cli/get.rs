//! `get`

use std::ffi::OsString;

use raft_client::Consistency;
use serde_json::{Value, json};

use super::format::{Format, bytes_json, cell, line, object, receipt_json};
use super::{Context, Done, Failure, NOT_FOUND, bytes_of, quoted, table, value_alone};

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The key. After `--` it may begin with a dash.
    key: OsString,
    /// Take any node's own state, however old, instead of the latest.
    #[arg(long)]
    stale: bool,
}

impl Get {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let consistency = if self.stale { Consistency::Stale } else { Consistency::Linearizable };
        let key = bytes_of(self.key);
        let what = format!("could not read {}", quoted(&key));
        let outcome = context.client.get(key.clone(), consistency).await;
        let found = outcome.map_err(|error| Failure::from(error).during(&what))?;
        let at = found.receipt;
        let code = if found.value.is_some() { 0 } else { NOT_FOUND };
        if context.format == Format::Json {
            let value = found.value.as_deref().map_or(Value::Null, bytes_json);
            let fields = json!({ "key": bytes_json(&key), "found": code == 0, "value": value });
            let data = line(&object("raft-get/1", fields, receipt_json(&at)));
            return Ok(Done { code, ..Done::with(data) });
        }
        let Some(value) = found.value else {
            let note = Some(format!("{} is not set", quoted(&key)));
            return Ok(Done { note, code, ..Done::default() });
        };
        Ok(Done::with(match context.format {
            Format::Raw => value.to_vec(),
            Format::Table => {
                let row = [cell(&key), cell(&value), at.index.to_string()];
                table::lines(["KEY", "VALUE", "INDEX"], [row]).into_bytes()
            }
            Format::Text | Format::Json => value_alone(&value, context),
        }))
    }
}
