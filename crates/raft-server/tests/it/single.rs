//! A cluster of one.

use std::collections::BTreeMap;
use std::time::Duration;

use nix::sys::signal::Signal;
use raft_api::pb;
use raft_api::pb::kv_client::KvClient;
use raft_api::pb::kv_server;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic_reflection::pb::v1 as reflection;

use crate::support::{Cluster, is_gone};

/// Every method of the typed store does what it says.
#[tokio::test]
async fn serves_the_store() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    cluster.put("a", b"1").await;
    cluster.put("b", b"2").await;
    assert_eq!(cluster.get("a").await, Some(b"1".to_vec()));
    assert_eq!(cluster.get("c").await, None);

    let mut kv = cluster.kv(1).await;
    let cas = |expected: Option<&str>, value: Option<&str>| pb::CasRequest {
        key: "a".into(),
        expected: expected.map(|text| text.to_owned().into()),
        value: value.map(|text| text.to_owned().into()),
        session: None,
    };
    let refused = kv.cas(cas(Some("0"), Some("9"))).await.unwrap().into_inner();
    assert!(!refused.swapped);
    assert_eq!(refused.actual.as_deref(), Some(&b"1"[..]));
    assert!(kv.cas(cas(Some("1"), Some("9"))).await.unwrap().into_inner().swapped);

    let range = pb::RangeRequest { consistency: 1, limit: 1, ..pb::RangeRequest::default() };
    let range = kv.range(range).await.unwrap().into_inner();
    assert!(range.more);
    assert_eq!(range.pairs, vec![pb::KeyValue { key: "a".into(), value: "9".into() }]);

    let delete = pb::DeleteRequest { key: "a".into(), session: None };
    assert!(kv.delete(delete.clone()).await.unwrap().into_inner().existed);
    assert!(!kv.delete(delete).await.unwrap().into_inner().existed);
    assert_eq!(cluster.get("a").await, None);

    let status = cluster.status(1).await;
    assert_eq!((status.leader_id, status.keys, status.node_id), (1, 1, 1));
    assert_eq!(status.role(), pb::Role::Leader);
    assert_eq!(status.leader_addr, cluster.client_address(1));
    assert!(status.syncs <= status.entries_persisted + 1, "{status:?}");
}

/// A write that was acknowledged is there after a SIGKILL in the middle of the load, and the node
/// that comes back is the same one.
#[tokio::test]
async fn keeps_acknowledged_writes_over_a_kill() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    assert_eq!(cluster.leader().await, 1);
    let incarnation = cluster.status(1).await.incarnation;

    let mut writers = JoinSet::new();
    for writer in 0..8 {
        writers.spawn(write_until_gone(cluster.kv(1).await, writer));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    cluster.kill(1);
    let acknowledged: Vec<_> = writers.join_all().await.concat();
    assert!(!acknowledged.is_empty());

    cluster.start(1);
    assert_eq!(cluster.leader().await, 1);
    let mut found = BTreeMap::new();
    let mut kv = cluster.kv(1).await;
    let mut start = Vec::new();
    loop {
        let range = pb::RangeRequest { start: start.into(), ..pb::RangeRequest::default() };
        let range = kv.range(range).await.unwrap().into_inner();
        found.extend(range.pairs.into_iter().map(|pair| (pair.key, pair.value)));
        if !range.more {
            break;
        }
        start = found.keys().next_back().unwrap().to_vec();
        start.push(0);
    }
    let lost = acknowledged.iter().filter(|key| !found.contains_key(key.as_bytes())).count();
    assert_eq!(lost, 0, "of {}", acknowledged.len());
    assert_eq!(cluster.status(1).await.incarnation, incarnation);
}

/// Sets one key after the other until the node is gone; returns those that were acknowledged.
async fn write_until_gone(mut kv: KvClient<Channel>, writer: u64) -> Vec<String> {
    let mut acknowledged = Vec::new();
    loop {
        let key = format!("{writer}/{}", acknowledged.len());
        let value = vec![b'v'; 300].into();
        let put = pb::PutRequest { key: key.clone().into(), value, session: None };
        match kv.put(put).await {
            Ok(done) => assert!(done.into_inner().header.unwrap().success),
            Err(status) if is_gone(&status) => return acknowledged,
            Err(status) => panic!("{status:?}"),
        }
        acknowledged.push(key);
    }
}

/// SIGTERM ends the node with 0 and without losing anything; so does Ctrl-C.
#[tokio::test]
async fn ends_cleanly_when_asked_to() {
    let mut cluster = Cluster::new(1);
    for (round, signal) in [Signal::SIGTERM, Signal::SIGINT].into_iter().enumerate() {
        cluster.start(1);
        assert_eq!(cluster.get("key").await, (0 < round).then(|| b"value".to_vec()));
        cluster.put("key", b"value").await;
        cluster.signal(1, signal);
        let status = cluster.ended(1).await;
        assert_eq!(status.code(), Some(0), "{}", cluster.log(1));
    }
}

/// The health service says who serves, and who leads; reflection names the services.
#[tokio::test]
async fn tells_its_health() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    assert_eq!(cluster.leader().await, 1);
    let channel = crate::support::connect(&cluster.client_address(1)).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    for service in ["", "raft.Leader"] {
        let check = tonic_health::pb::HealthCheckRequest { service: service.to_owned() };
        let status = health.check(check).await.unwrap().into_inner().status();
        assert_eq!(status, tonic_health::pb::health_check_response::ServingStatus::Serving);
    }
    let unknown = tonic_health::pb::HealthCheckRequest { service: "no.such".to_owned() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), tonic::Code::NotFound);

    let mut client = reflection::server_reflection_client::ServerReflectionClient::new(channel);
    let list = reflection::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(reflection::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let answers = client.server_reflection_info(tokio_stream::once(list)).await.unwrap();
    let answer = answers.into_inner().message().await.unwrap().unwrap();
    let listed = format!("{answer:?}");
    let kv = kv_server::SERVICE_NAME;
    assert!(listed.contains(kv) && listed.contains("raft.v1.ManagementRpc"), "{listed}");
    assert_eq!(kv, <kv_server::KvServer<()> as tonic::server::NamedService>::NAME);
}
