//! `range`

use std::ffi::OsString;

use bytes::{BufMut as _, Bytes, BytesMut};
use raft_client::Consistency;
use serde_json::json;

use super::format::{Format, bytes_json, cell};
use super::{Context, Done, Failure, bytes_of, emit, table};

#[derive(Debug, clap::Args)]
pub(crate) struct Range {
    /// The first key [default: the first of all].
    start: Option<OsString>,
    /// The key to end before [default: the end of the store].
    end: Option<OsString>,
    /// All keys that begin so.
    #[arg(long, value_name = "KEY", conflicts_with_all = ["start", "end"])]
    prefix: Option<OsString>,
    /// Print at most this many.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Take any node's own state, however old, instead of the latest.
    #[arg(long)]
    stale: bool,
}

type Pair = (Bytes, Bytes);

impl Range {
    /// Reads page by page. Each page is consistent in itself.
    pub(crate) async fn run(self, context: &Context) -> Result<Done, Failure> {
        let consistency = if self.stale { Consistency::Stale } else { Consistency::Linearizable };
        let (mut start, end) = match self.prefix {
            Some(prefix) => {
                let prefix = bytes_of(prefix);
                let end = after_all(&prefix);
                (prefix, end)
            }
            None => {
                let [start, end] =
                    [self.start, self.end].map(|key| key.map(bytes_of).unwrap_or_default());
                (start, end)
            }
        };
        let mut left = self.limit.unwrap_or(u32::MAX);
        let mut printer = Printer::begin(context.format);
        let mut complete = false;
        while 0 < left {
            let bound = if self.limit.is_some() { left } else { 0 };
            let page = context.client.range(start, end.clone(), bound, consistency).await;
            let page = match page {
                Ok(found) => found.value,
                Err(error) => {
                    emit(&printer.end(false))?;
                    return Err(Failure::from(error).during("could not read the keys"));
                }
            };
            left = left.saturating_sub(u32::try_from(page.pairs.len()).unwrap_or(u32::MAX));
            let last = page.pairs.last().map(|(key, _)| just_after(key));
            let goes_on = emit(&printer.page(page.pairs))?;
            match last {
                Some(next) if goes_on && page.more => start = next,
                Some(_) | None => {
                    complete = !page.more;
                    break;
                }
            }
        }
        Ok(Done::with(printer.end(complete)))
    }
}

/// Writes pairs as they come; a table's columns are known only in the end.
struct Printer {
    format: Format,
    rows: Vec<[String; 2]>,
    is_first: bool,
}

impl Printer {
    fn begin(format: Format) -> Self {
        Self { format, rows: Vec::new(), is_first: true }
    }

    fn page(&mut self, pairs: Vec<Pair>) -> Vec<u8> {
        let mut data = Vec::new();
        for (key, value) in pairs {
            match self.format {
                Format::Table => self.rows.push([cell(&key), cell(&value)]),
                Format::Text => {
                    data.extend(format!("{}\t{}\n", cell(&key), cell(&value)).into_bytes());
                }
                Format::Raw => data.extend([&key, &b"\t"[..], &value, b"\n"].concat()),
                Format::Json => {
                    data.extend(if self.is_first { HEAD } else { "," }.bytes());
                    let pair = json!({ "key": bytes_json(&key), "value": bytes_json(&value) });
                    data.extend(pair.to_string().into_bytes());
                }
            }
            self.is_first = false;
        }
        data
    }

    fn end(&mut self, complete: bool) -> Vec<u8> {
        match self.format {
            Format::Table => {
                table::lines(["KEY", "VALUE"], std::mem::take(&mut self.rows)).into_bytes()
            }
            Format::Json => {
                let head = if self.is_first { HEAD } else { "" };
                format!("{head}],\"complete\":{complete}}}\n").into_bytes()
            }
            Format::Text | Format::Raw => Vec::new(),
        }
    }
}

/// How the object begins whose last part is not known before all keys have been read.
const HEAD: &str = "{\"schema\":\"raft-range/1\",\"pairs\":[";

/// The smallest key that is greater.
fn just_after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}

/// The smallest key that is greater than all that begin so; empty, the end of the store, if there is none.
fn after_all(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_no_key_begins_so() {
        let table: [(&[u8], &[u8]); 4] =
            [(b"ab", b"ac"), (b"a\xff", b"b"), (b"\xff\xff", b""), (b"", b"")];
        for (prefix, end) in table {
            assert_eq!(after_all(prefix), end, "{prefix:?}");
        }
    }
}
