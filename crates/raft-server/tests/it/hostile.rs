//! Strangers on the peers' listener.

use raft_api::cluster::ClusterConfig;
use raft_api::pb;
use raft_api::pb::peer_rpc_client::PeerRpcClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;

use crate::support::{Cluster, PATIENCE, connect};

/// Sends frames to node 1, and returns the greeting and what it says last.
async fn speak(
    cluster: &Cluster,
    frames: Vec<pb::PeerFrame>,
) -> (pb::PeerNotice, Option<pb::PeerNotice>) {
    let channel = connect(&cluster.peer_address(1)).await;
    let mut client = PeerRpcClient::new(channel);
    let frames = tokio_stream::iter(frames);
    let mut notices = client.stream(frames).await.unwrap().into_inner();
    let greeting = notices.message().await.unwrap().unwrap();
    let last = timeout(PATIENCE, notices.message()).await.unwrap().unwrap();
    (greeting, last)
}

fn frame(cluster: &Cluster) -> pb::PeerFrame {
    let config = ClusterConfig::load(&cluster.config()).unwrap();
    pb::PeerFrame {
        cluster: config.cluster_id().0,
        from: 2,
        to: 1,
        incarnation: 7,
        messages: Vec::new(),
        contact: None,
    }
}

/// A peer says who it is at once: one that does not would keep its place from others for ever.
#[tokio::test]
async fn whoever_says_nothing_is_hung_up_on() {
    let mut cluster = Cluster::new(3);
    cluster.start(1);
    let channel = connect(&cluster.peer_address(1)).await;
    let mut client = PeerRpcClient::new(channel.clone());
    let silent = tokio_stream::pending::<pb::PeerFrame>();
    let mut notices = client.stream(silent).await.unwrap().into_inner();
    notices.message().await.unwrap().unwrap();
    let mut client = PeerRpcClient::new(channel);
    let introduced = tokio_stream::iter([frame(&cluster)]).chain(tokio_stream::pending());
    let mut others = client.stream(introduced).await.unwrap().into_inner();
    others.message().await.unwrap().unwrap();
    let last = timeout(PATIENCE, notices.message()).await.unwrap().unwrap();
    assert_eq!(last, None);
    let kept = timeout(std::time::Duration::from_secs(2), others.message()).await;
    assert!(kept.is_err(), "the other one is heard on: {kept:?}");
}

/// Whoever speaks for another cluster, to another node, or as nobody known, is told so and cut off.
#[tokio::test]
async fn strangers_are_refused() {
    let mut cluster = Cluster::new(3);
    cluster.start(1);
    let good = frame(&cluster);
    let cases = [
        (pb::PeerFrame { cluster: 1, ..good.clone() }, "n1 belongs to another cluster"),
        (pb::PeerFrame { to: 3, ..good.clone() }, "this is n1, not n3"),
        (pb::PeerFrame { from: 0, ..good.clone() }, "n1 knows no peer n0"),
        (pb::PeerFrame { from: 1, ..good.clone() }, "n1 knows no peer n1"),
    ];
    for (frame, refusal) in cases {
        let (greeting, last) = speak(&cluster, vec![frame]).await;
        assert_eq!((greeting.cluster, greeting.node_id), (good.cluster, 1));
        assert_eq!(greeting.refusal, "");
        assert_eq!(last.unwrap().refusal, refusal);
    }
    assert_eq!(cluster.status(1).await.node_id, 1, "it still serves");
}

/// However often a stranger comes, the log says it once in a while.
#[tokio::test]
async fn a_stranger_does_not_fill_the_log() {
    let mut cluster = Cluster::new(3);
    cluster.start(1);
    let stranger = pb::PeerFrame { cluster: 1, ..frame(&cluster) };
    for _ in 0..20 {
        let (_, last) = speak(&cluster, vec![stranger.clone()]).await;
        assert_eq!(last.unwrap().refusal, "n1 belongs to another cluster");
    }
    let log = cluster.log(1);
    let lines = log.lines().filter(|line| line.contains("refused a peer's stream")).count();
    // Two, should a minute have passed.
    assert!((1..=2).contains(&lines), "{log}");
    assert!(log.contains("127.0.0.1"), "{log}");
}

/// More silent connections than there are file descriptors, on both ports.
#[tokio::test]
async fn silent_connections_do_not_stop_a_node() {
    let mut cluster = Cluster::new(1);
    cluster.start_with_descriptors(1, 128);
    cluster.put("key", b"value").await;
    let mut kv = cluster.kv(1).await;
    let get = pb::GetRequest { key: "key".into(), consistency: 0 };
    assert!(kv.get(get).await.unwrap().into_inner().header.unwrap().success);
    let mut silent = Vec::new();
    for address in [cluster.client_address(1), cluster.peer_address(1)] {
        for _ in 0..300 {
            silent.push(TcpStream::connect(&address).await.unwrap());
        }
    }
    for number in 0..40 {
        // 100 kB each: the log needs descriptors for several new segments.
        let request = pb::PutRequest {
            key: format!("key {number}").into(),
            value: vec![7; 100_000].into(),
            session: None,
        };
        assert!(kv.put(request).await.unwrap().into_inner().header.unwrap().success);
    }
    let mut answer = Vec::new();
    for mut socket in silent {
        // Closed or reset, but not left hanging.
        drop(timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap());
    }
    cluster.put("key", b"somebody new is let in").await;
    let log = cluster.log(1);
    let full = log.lines().filter(|line| line.contains("too many connections"));
    assert!((2..=4).contains(&full.count()), "{log}");
    assert!(!log.contains("could not accept"), "{log}");
}

/// Bytes without sense end their connection, on both listeners, and nothing else.
#[tokio::test]
async fn garbage_ends_its_connection() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    assert_eq!(cluster.leader().await, 1);
    for address in [cluster.peer_address(1), cluster.client_address(1)] {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        socket.write_all(&[0xa5; 4096]).await.unwrap();
        let mut answer = Vec::new();
        // Closed or reset, but not left hanging.
        drop(timeout(PATIENCE, socket.read_to_end(&mut answer)).await.unwrap());
    }
    cluster.put("key", b"value").await;
    assert_eq!(cluster.status(1).await.term, 1);
}

/// Frames without sense are dropped and their stream lives on, even if they come from a member:
/// neither do they end the node nor keep the cluster from working.
#[tokio::test]
async fn a_mad_peer_does_not_stop_the_cluster() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    cluster.put("key", b"value").await;
    let incarnation = cluster.status(2).await.incarnation;
    let term = cluster.status(1).await.term;
    let good = pb::PeerFrame { incarnation, ..frame(&cluster) };
    let message = |body| pb::PeerMessage { term, body: Some(body) };
    let nothing = pb::PeerMessage { term, body: None };
    let garbled = message(pb::peer_message::Body::Append(pb::Append {
        prev: Some(pb::LogId { term: 9, index: u64::MAX }),
        entries: vec![1; 100].into(),
        commit: u64::MAX,
        met: vec![pb::Acquaintance { id: 3, incarnation: 9, since: Some(pb::LogId::default()) }],
    }));
    let ahead =
        message(pb::peer_message::Body::AppendMatched(pb::AppendMatched { index: u64::MAX }));
    let chunk = message(pb::peer_message::Body::SnapshotChunk(pb::SnapshotChunk {
        meta: Some(pb::SnapshotMeta { size: u64::MAX, ..pb::SnapshotMeta::default() }),
        offset: u64::MAX,
        data: vec![0; 10].into(),
        checksum: 0,
        met: vec![],
    }));
    let mut frames = Vec::new();
    for message in [nothing, garbled, ahead, chunk] {
        frames.push(pb::PeerFrame { messages: vec![message], ..good.clone() });
    }
    let (_, last) = speak(&cluster, frames).await;
    assert_eq!(last, None, "the stream ended because its sender ended it");
    cluster.put("key", b"other").await;
    for id in cluster.ids() {
        assert_eq!(cluster.status(id).await.node_id, id, "{}", cluster.log(id));
    }
}
