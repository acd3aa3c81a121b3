//! What every node holds in the end, read from each of them and laid side by side.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use raft_api::pb::kv_client::KvClient;
use raft_api::pb::{Consistency, RangeRequest};
use tokio::time::timeout;
use tonic::transport::Endpoint;

use crate::NodeId;
use crate::runner::Runner;

/// What one node holds: how many keys, and a hash of all keys and values in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) keys: u64,
    pub(crate) hash: u64,
}

/// What came of reading.
pub(crate) type Contents = BTreeMap<NodeId, Result<Content, String>>;

/// Keys that are asked for at once.
const PAGE: u32 = 1000;
/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A difference is looked at again so often: what was committed last may have reached some only.
const LOOKS: usize = 4;
/// And so much later each time.
const LATER: Duration = Duration::from_millis(300);

/// Reads everything from every member, until all hold the same or have had their time.
pub(crate) async fn read(runner: &Runner) -> Contents {
    let mut contents = read_once(runner).await;
    for _ in 1..LOOKS {
        let mut held = contents.values().flatten();
        let first = held.next();
        if held.all(|other| Some(other) == first) {
            break;
        }
        tokio::time::sleep(LATER).await;
        contents = read_once(runner).await;
    }
    contents
}

/// Each from its own state.
async fn read_once(runner: &Runner) -> Contents {
    let mut contents = Contents::new();
    for id in runner.members() {
        let config = runner.cluster().config();
        let node = match config.node(id) {
            Some(node) => Ok(node.client.clone()),
            None => config.newcomer(id, None).map(|node| node.client),
        };
        let read = match node {
            Ok(address) => read_one(&address).await,
            Err(error) => Err(error.to_string()),
        };
        contents.insert(id, read);
    }
    contents
}

async fn read_one(address: &str) -> Result<Content, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| error.to_string())?;
    let mut client = KvClient::new(endpoint.connect_lazy()).max_decoding_message_size(64 << 20);
    let (mut keys, mut hasher, mut start) = (0, DefaultHasher::new(), Vec::new());
    loop {
        let request = RangeRequest {
            start: start.into(),
            limit: PAGE,
            consistency: Consistency::Stale.into(),
            ..RangeRequest::default()
        };
        let asked = timeout(ANSWER_MAX, client.range(request)).await;
        let answer = asked.map_err(|_elapsed| format!("no answer within {ANSWER_MAX:?}"))?;
        let page = answer.map_err(|status| status.message().to_owned())?.into_inner();
        for pair in &page.pairs {
            (&pair.key[..], &pair.value[..]).hash(&mut hasher);
            keys += 1;
        }
        match page.pairs.last() {
            Some(last) if page.more => start = [&last.key[..], &[0]].concat(),
            Some(_) | None => return Ok(Content { keys, hash: hasher.finish() }),
        }
    }
}
