//! `range`

use std::ffi::OsString;

use bytes::{BufMut as _, Bytes, BytesMut};
use raft_client::{Client, Consistency};

use super::{Done, Failure, bytes_of, emit, printable};

#[derive(Debug, clap::Args)]
pub(crate) struct Range {
    /// The first key [default: the first of all].
    start: Option<OsString>,
    /// The key to end before [default: the end of the store].
    end: Option<OsString>,
    /// Print at most this many.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Take any node's own state, however old, instead of the latest.
    #[arg(long)]
    stale: bool,
}

impl Range {
    /// Reads page by page. Each page is consistent in itself.
    pub(crate) async fn run(self, client: &Client) -> Result<Done, Failure> {
        let consistency = if self.stale { Consistency::Stale } else { Consistency::Linearizable };
        let mut start = self.start.map(bytes_of).unwrap_or_default();
        let end = self.end.map(bytes_of).unwrap_or_default();
        let mut left = self.limit.unwrap_or(u32::MAX);
        while 0 < left {
            let bound = if self.limit.is_some() { left } else { 0 };
            let page = client.range(start, end.clone(), bound, consistency).await?.value;
            let mut data = Vec::new();
            for (key, value) in &page.pairs {
                data.extend_from_slice(printable(key).as_bytes());
                data.push(b'\t');
                data.extend_from_slice(printable(value).as_bytes());
                data.push(b'\n');
            }
            left = left.saturating_sub(u32::try_from(page.pairs.len()).unwrap_or(u32::MAX));
            match page.pairs.last() {
                Some((last, _)) if emit(&data)? && page.more => start = just_after(last),
                Some(_) | None => break,
            }
        }
        Ok(Done::default())
    }
}

/// The smallest key that is greater.
fn just_after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}
