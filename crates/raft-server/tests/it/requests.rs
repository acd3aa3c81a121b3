//! Requests that are refused, parked, repeated or cut short.

use nix::sys::signal::Signal;
use raft_api::pb;
use raft_kv::{Command, Query, Reply};

use crate::support::{Cluster, until};

fn put(key: &str, value: Vec<u8>) -> bytes::Bytes {
    Command::Put { key: key.to_owned().into(), value: value.into() }.encode()
}

/// Limits are told by name; nothing is done.
#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    assert_eq!(cluster.leader().await, 1);
    let last = cluster.status(1).await.last_index;
    let mut client = cluster.management(1).await.max_encoding_message_size(64 << 20);
    let session =
        |id, sequence, first_outstanding| Some(pb::Session { id, sequence, first_outstanding });
    let cases = [
        (put("key", vec![0; 5 << 20]), None, pb::Refusal::TooLarge),
        (put("", vec![]), None, pb::Refusal::Invalid),
        (bytes::Bytes::from_static(b"what?"), None, pb::Refusal::Invalid),
        (bytes::Bytes::new(), None, pb::Refusal::Invalid),
        (put("key", vec![]), session(1, 0, 0), pb::Refusal::Invalid),
        (put("key", vec![]), session(1, 1, 2), pb::Refusal::Invalid),
    ];
    for (data, session, refusal) in cases {
        let response = client.propose(pb::ProposeRequest { data, session }).await.unwrap();
        let response = response.into_inner();
        assert!(!response.success);
        assert_eq!(response.refusal(), refusal, "{}", response.message);
        assert!(!response.message.is_empty());
    }
    assert_eq!(cluster.status(1).await.last_index, last);

    let query = pb::QueryRequest { data: b"what?".to_vec().into(), consistency: 0 };
    let header = client.query(query).await.unwrap().into_inner().header.unwrap();
    assert_eq!(header.refusal(), pb::Refusal::Invalid);
    let data = Query::Get { key: "key".into() }.encode();
    let found = client.query(pb::QueryRequest { data, consistency: 0 }).await.unwrap();
    let header = found.into_inner().header.unwrap();
    assert!(header.success && last <= header.index, "{header:?}");
}

/// The largest value the README promises fits, and so does the empty one.
#[tokio::test]
async fn values_of_all_sizes_fit() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    for size in [0, 1, 1 << 10, 1 << 20, 3 << 20] {
        let value: Vec<_> = (0_u8..=255).cycle().take(size).collect();
        cluster.put("key", &value).await;
        assert!(cluster.get("key").await == Some(value), "{size} bytes");
    }
}

/// Under a session a repeated write takes effect once, and says so; without the session it is
/// refused.
#[tokio::test]
async fn a_repeat_takes_effect_once() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    let mut client = cluster.management(1).await;
    let opened = client.open_session(pb::OpenSessionRequest {}).await.unwrap().into_inner();
    assert!(opened.header.unwrap().success);
    let propose = |id| pb::ProposeRequest {
        data: Command::Propose { data: "data".into() }.encode(),
        session: Some(pb::Session { id, sequence: 1, first_outstanding: 1 }),
    };
    let first = client.propose(propose(opened.session_id)).await.unwrap().into_inner();
    let repeat = client.propose(propose(opened.session_id)).await.unwrap().into_inner();
    assert_eq!((first.success, first.duplicate), (true, false));
    assert_eq!((repeat.success, repeat.duplicate), (true, true));
    assert_eq!(repeat.index, first.index);
    assert_eq!(Reply::decode(&repeat.result).unwrap(), Reply::Proposed { count: 1 });
    let status = cluster.status(1).await;
    assert_eq!((status.sessions, status.duplicates), (1, 1));

    let unknown = client.propose(propose(opened.session_id + 1)).await.unwrap().into_inner();
    assert_eq!(unknown.refusal(), pb::Refusal::SessionUnknown);
}

/// A node that knows no leader waits a moment for one, and then says so; its own state it shows at
/// once.
#[tokio::test]
async fn without_a_leader() {
    let mut cluster = Cluster::new(3);
    cluster.start(1);
    let mut kv = cluster.kv(1).await;
    let request = pb::PutRequest { key: "key".into(), value: "value".into(), session: None };
    let header = kv.put(request).await.unwrap().into_inner().header.unwrap();
    assert_eq!(header.refusal(), pb::Refusal::NotLeader);
    assert_eq!((header.leader_id, header.leader_addr.as_str()), (0, ""));
    let get = pb::GetRequest { key: "key".into(), consistency: 1 };
    let stale = kv.get(get).await.unwrap().into_inner();
    assert!(stale.header.unwrap().success);
}

/// A request that arrives before the election is served after it, without a retry.
#[tokio::test]
async fn a_request_waits_for_the_election() {
    let slow = "raft: {election_timeout: 300ms, heartbeat: 50ms}\n";
    let mut cluster = Cluster::with(1, slow);
    cluster.start(1);
    let mut kv = cluster.kv(1).await;
    let request = pb::PutRequest { key: "key".into(), value: "value".into(), session: None };
    let header = kv.put(request).await.unwrap().into_inner().header.unwrap();
    assert!(header.success, "{header:?}");
}

/// A node that is told to end tells those who wait for what it cannot finish.
#[tokio::test]
async fn the_end_leaves_nobody_waiting() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    let leader = cluster.leader().await;
    let mut kv = cluster.kv(leader).await;
    for id in cluster.ids().filter(|&id| id != leader) {
        cluster.kill(id);
    }
    let request = pb::PutRequest { key: "key".into(), value: "value".into(), session: None };
    let writing = kv.put(request);
    cluster.signal(leader, Signal::SIGTERM);
    let header = writing.await.unwrap().into_inner().header.unwrap();
    assert!(!header.success);
    let told = [pb::Refusal::OutcomeUnknown, pb::Refusal::Stopping, pb::Refusal::NotLeader];
    assert!(told.contains(&header.refusal()), "{header:?}");
    assert_eq!(cluster.ended(leader).await.code(), Some(0));
}

/// A second signal does not wait for those who wait.
#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    // The leader is not to give up before the signals come.
    let mut cluster = Cluster::with(3, "raft: {election_timeout: 2s}\n");
    cluster.start_all();
    let leader = cluster.leader().await;
    let mut kv = cluster.kv(leader).await;
    for id in cluster.ids().filter(|&id| id != leader) {
        cluster.kill(id);
    }
    let last = cluster.status(leader).await.last_index;
    let request = pb::PutRequest { key: "key".into(), value: "value".into(), session: None };
    let writing = tokio::task::JoinSet::from_iter([async move { kv.put(request).await }]);
    let node = &cluster;
    until("the write to begin", async || last < node.status(leader).await.last_index).await;
    cluster.signal(leader, Signal::SIGTERM);
    cluster.signal(leader, Signal::SIGINT);
    assert_eq!(cluster.ended(leader).await.code(), Some(130), "{}", cluster.log(leader));
    drop(writing);
}

/// A client that goes away in the middle of its requests leaves the node well.
#[tokio::test]
async fn clients_may_go_away() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    assert_eq!(cluster.leader().await, 1);
    for _ in 0..20 {
        let kv = cluster.kv(1).await;
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..20 {
            let mut kv = kv.clone();
            tasks.spawn(async move {
                let key = format!("key {number}").into();
                kv.put(pb::PutRequest { key, value: "value".into(), session: None }).await
            });
        }
        tasks.join_next().await;
        tasks.abort_all();
    }
    cluster.put("key", b"value").await;
    assert_eq!(cluster.get("key").await, Some(b"value".to_vec()));
}
