//! `cas`

use std::ffi::OsString;

use raft_client::CasOutcome;
use serde_json::json;

use super::format::{Format, bytes_json, written};
use super::{Context, Done, Failure, NOT_FOUND, bytes_of, quoted, shortened, value_of};

#[derive(Debug, clap::Args)]
pub(crate) struct Cas {
    /// The key.
    key: OsString,
    /// The value it must have; `-` and `@FILE` as below.
    old: OsString,
    /// The value to set; `-` reads standard input, `@FILE` a file, and `@@` begins a value with @.
    /// After `--` values may begin with a dash.
    new: OsString,
}

impl Cas {
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let key = bytes_of(self.key);
        let name = quoted(&key);
        if self.old == "-" && self.new == "-" {
            let message = "standard input cannot be both values".to_owned();
            return Err(Failure::usage(message, Some("take one of them from a file: @FILE")));
        }
        let [old, new] = [value_of(self.old, context)?, value_of(self.new, context)?];
        let outcome =
            context.client.cas(key.clone(), Some(old), Some(new)).await.map_err(|error| {
                Failure::from(error).during(&format!("could not change {name}"))
            })?;
        let (swapped, actual, note) = match &outcome.value {
            CasOutcome::Swapped => (true, None, None),
            CasOutcome::Mismatch(Some(actual)) => {
                (false, Some(bytes_json(actual)), Some(format!("{name} is {}", shortened(actual))))
            }
            CasOutcome::Mismatch(None) => (false, None, Some(format!("{name} is not set"))),
        };
        let fields = json!({ "key": bytes_json(&key), "swapped": swapped, "actual": actual });
        let data = match context.format {
            Format::Table | Format::Raw if !swapped => Vec::new(),
            format => written(format, "cas", &outcome.receipt, String::new(), fields),
        };
        let note = note.filter(|_| context.format != Format::Json);
        Ok(Done { data, note, code: if swapped { 0 } else { NOT_FOUND } })
    }
}
