//! Deliberate bugs bite in real processes: a laboratory that looks for them has something to find.

use std::process::Command;

use raft_api::pb;
use serde_json::json;

use crate::inspect;
use crate::laboratory::{control, in_force, laboratory, ledger};
use crate::support::{Cluster, server, until};

/// A node with a bug.
fn with_bug(mut command: Command, name: &str) -> Command {
    command.env("RAFT_MUTANT", name);
    command
}

fn start_all(cluster: &mut Cluster, bug: &str) {
    for id in cluster.ids() {
        let command = with_bug(server(&cluster.config(), id), bug);
        cluster.run(id, command);
    }
}

async fn put(cluster: &Cluster, id: u64, key: &str) -> bool {
    let put = pb::PutRequest { key: key.to_owned().into(), value: "v".into(), session: None };
    let done = cluster.kv(id).await.put(put).await;
    done.is_ok_and(|done| done.into_inner().header.unwrap().success)
}

/// Appends to a key as the first write of a session.
async fn append_once(cluster: &Cluster, id: u64, session: u64) {
    let command = raft_kv::Command::Append { key: "log".into(), data: "x".into() };
    let session = Some(pb::Session { id: session, sequence: 1, first_outstanding: 1 });
    let request = pb::ProposeRequest { data: command.encode(), session };
    let done = cluster.management(id).await.propose(request).await.unwrap().into_inner();
    assert!(done.success, "{done:?}");
}

async fn open_session(cluster: &Cluster, id: u64) -> u64 {
    let mut client = cluster.management(id).await;
    client.open_session(pb::OpenSessionRequest {}).await.unwrap().into_inner().session_id
}

#[tokio::test]
async fn an_acknowledgement_of_what_is_only_proposed() {
    let mut cluster = Cluster::new(3);
    start_all(&mut cluster, "a write is acknowledged when it is proposed");
    cluster.put("key", b"value").await;
    let leader = cluster.leader().await;
    for id in cluster.ids().filter(|&id| id != leader) {
        cluster.kill(id);
    }
    assert!(put(&cluster, leader, "lost").await);
    cluster.kill(leader);
    for id in cluster.ids().filter(|&id| id != leader) {
        cluster.start(id);
    }
    assert_eq!(cluster.get("lost").await, None);
}

#[tokio::test]
async fn a_read_that_asks_nobody() {
    let mut cluster = Cluster::new(3);
    start_all(&mut cluster, "a leader reads without asking");
    cluster.put("key", b"value").await;
    let leader = cluster.leader().await;
    for id in cluster.ids().filter(|&id| id != leader) {
        cluster.kill(id);
    }
    let request = pb::GetRequest { key: "key".into(), consistency: 0 };
    let read = cluster.kv(leader).await.get(request).await.unwrap().into_inner();
    assert!(read.header.unwrap().success, "it has nobody to ask");
}

#[tokio::test]
async fn answers_that_are_not_in_the_snapshot() {
    let mut cluster = Cluster::with(1, "raft: {snapshot: {entries: 10, trailing: 1}}\n");
    start_all(&mut cluster, "a snapshot has sessions without answers");
    cluster.leader().await;
    let session = open_session(&cluster, 1).await;
    append_once(&cluster, 1, session).await;
    for number in 0..30 {
        cluster.put(&format!("{number}"), b"value").await;
    }
    append_once(&cluster, 1, session).await;
    assert_eq!(cluster.get("log").await.as_deref(), Some(&b"x"[..]), "a repeat is none yet");
    until("there is a snapshot", async || {
        inspect::json(&cluster.data_dir(1))["log"]["snapshot"]["index"].as_u64() > Some(5)
    })
    .await;
    cluster.kill(1);
    start_all(&mut cluster, "a snapshot has sessions without answers");
    cluster.leader().await;
    append_once(&cluster, 1, session).await;
    assert_eq!(cluster.get("log").await.as_deref(), Some(&b"xx"[..]), "it was carried out twice");
}

#[tokio::test]
async fn answers_that_the_leader_alone_knows() {
    let mut cluster = Cluster::new(3);
    start_all(&mut cluster, "only who is asked remembers its answers");
    cluster.put("key", b"value").await;
    let leader = cluster.leader().await;
    let session = open_session(&cluster, leader).await;
    append_once(&cluster, leader, session).await;
    assert_eq!(cluster.get("log").await.as_deref(), Some(&b"x"[..]));
    cluster.kill(leader);
    let next = cluster.leader().await;
    append_once(&cluster, next, session).await;
    assert_eq!(cluster.get("log").await.as_deref(), Some(&b"xx"[..]), "it was carried out twice");
}

#[tokio::test]
async fn a_log_that_is_cut_before_its_snapshot_is_durable() {
    let mut cluster = Cluster::with(1, "raft: {snapshot: {entries: 10, trailing: 1}}\n");
    let command = with_bug(laboratory(&cluster, 1), "a snapshot is not synced");
    cluster.run(1, command);
    for number in 0..30 {
        cluster.put(&format!("{number}"), b"value").await;
    }
    until("the log is cut", async || {
        0 < inspect::json(&cluster.data_dir(1))["log"]["snapshot"]["index"].as_u64().unwrap_or(0)
    })
    .await;
    cluster.kill(1);
    assert!(0 < ledger(&cluster, 1)["unsynced_bytes"].as_u64().unwrap());
    let command = laboratory(&cluster, 1);
    cluster.run(1, command);
    assert_eq!(cluster.ended(1).await.code(), Some(2), "{}", cluster.log(1));
}

/// Changes a byte in the middle of the log of a node, and starts it with a bug.
async fn damaged(bug: &str) -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    for key in ["one", "two", "three"] {
        cluster.put(key, b"value").await;
    }
    cluster.kill(1);
    let segment = cluster.data_dir(1).join("wal/0000000000000001.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(3).position(|window| window == b"two").unwrap();
    let value = at + bytes[at..].windows(5).position(|window| window == b"value").unwrap();
    bytes[value] = b'V';
    std::fs::write(&segment, bytes).unwrap();
    start_all(&mut cluster, bug);
    cluster
}

#[tokio::test]
async fn checksums_that_nobody_looks_at() {
    let cluster = damaged("the log's checksums are not looked at").await;
    assert_eq!(cluster.get("two").await.as_deref(), Some(&b"Value"[..]));
}

#[tokio::test]
async fn damage_that_is_cut() {
    let cluster = damaged("damage in the middle of the log is cut").await;
    assert_eq!(cluster.get("one").await.as_deref(), Some(&b"value"[..]));
    assert_eq!(cluster.get("three").await, None);
}

#[tokio::test]
async fn a_failed_sync_that_nobody_minds() {
    let mut cluster = Cluster::new(1);
    let command = with_bug(laboratory(&cluster, 1), "a failed sync is ignored");
    cluster.run(1, command);
    cluster.put("before", b"value").await;
    // Nothing else is under way: who makes segments ready would mind. The next one is not due yet.
    until("everything is on the disk", async || {
        let ledger = ledger(&cluster, 1);
        ledger["unsynced_bytes"] == 0 && ledger["unsynced_names"] == 0
    })
    .await;
    control(&cluster, 1, &json!({"generation": 1, "sync_error": true}));
    in_force(&cluster, 1, 1).await;
    assert!(put(&cluster, 1, "lost").await);
    cluster.kill(1);
    control(&cluster, 1, &json!({"generation": 2}));
    let command = laboratory(&cluster, 1);
    cluster.run(1, command);
    assert_eq!(cluster.get("before").await.as_deref(), Some(&b"value"[..]));
    assert_eq!(cluster.get("lost").await, None);
}
