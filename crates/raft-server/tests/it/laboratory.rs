//! Nodes whose disk loses with the process what was not synced, and fails when it is told to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use assert_cmd::Command as Run;
use nix::sys::signal::Signal;
use raft_api::pb;
use raft_api::pb::kv_client::KvClient;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::support::{Cluster, is_gone, server, until};

/// Where the laboratory's files of a node are.
fn place(cluster: &Cluster, id: u64) -> PathBuf {
    cluster.dir.path().join(format!("lab{id}"))
}

pub(crate) fn laboratory(cluster: &Cluster, id: u64) -> Command {
    let mut command = server(&cluster.config(), id);
    command.arg("--debug-faults").arg(place(cluster, id));
    command
}

pub(crate) fn control(cluster: &Cluster, id: u64, control: &Value) {
    let dir = place(cluster, id);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("control.json.new"), control.to_string()).unwrap();
    std::fs::rename(dir.join("control.json.new"), dir.join("control.json")).unwrap();
}

pub(crate) fn ledger(cluster: &Cluster, id: u64) -> Value {
    let bytes = std::fs::read(place(cluster, id).join("ledger.json")).unwrap();
    assert_eq!(bytes.len(), 1024);
    serde_json::from_slice(&bytes).unwrap()
}

/// Waits until a control is in force.
pub(crate) async fn in_force(cluster: &Cluster, id: u64, generation: u64) {
    until("the control is in force", async || ledger(cluster, id)["generation"] == generation)
        .await;
}

/// Sets one key after the other until the node is gone or refuses; returns those acknowledged.
async fn write_until_gone(mut kv: KvClient<Channel>, writer: u64) -> Vec<String> {
    let mut acknowledged = Vec::new();
    loop {
        let key = format!("{writer}/{}", acknowledged.len());
        let value = vec![b'v'; 700].into();
        let put = pb::PutRequest { key: key.clone().into(), value, session: None };
        match kv.put(put).await {
            Ok(done) if done.get_ref().header.as_ref().unwrap().success => acknowledged.push(key),
            Ok(_) => return acknowledged,
            Err(status) if is_gone(&status) => return acknowledged,
            Err(status) => panic!("{status:?}"),
        }
    }
}

/// Writes to a cluster whose nodes are all killed in the middle of it, and returns what was
/// acknowledged.
async fn acknowledged_before_the_power_went(cluster: &mut Cluster) -> Vec<String> {
    let leader = cluster.leader().await;
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        writers.spawn(write_until_gone(cluster.kv(leader).await, writer));
    }
    until("there is some load", async || 512 < cluster.status(leader).await.entries_persisted)
        .await;
    for id in cluster.ids() {
        cluster.signal(id, Signal::SIGSTOP);
    }
    for id in cluster.ids() {
        cluster.kill(id);
    }
    let acknowledged = writers.join_all().await.concat();
    assert!(!acknowledged.is_empty());
    acknowledged
}

async fn lost(cluster: &Cluster, acknowledged: &[String]) -> usize {
    cluster.put("barrier", b"passed").await;
    let mut kv = cluster.kv(cluster.leader().await).await;
    let (mut found, mut start) = (BTreeMap::new(), Vec::new());
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
    acknowledged.iter().filter(|key| !found.contains_key(key.as_bytes())).count()
}

/// The power of all nodes goes at once, twice, and what was acknowledged is there.
async fn survives(size: usize, writeback: f64) {
    let more = "raft: {snapshot: {entries: 300, trailing: 100}}\n";
    let mut cluster = Cluster::with(size, more);
    for round in 0..2 {
        for id in cluster.ids() {
            control(&cluster, id, &json!({"generation": 7, "writeback": writeback, "seed": round}));
            cluster.run(id, laboratory(&cluster, id));
        }
        let acknowledged = acknowledged_before_the_power_went(&mut cluster).await;
        for id in cluster.ids() {
            let ledger = ledger(&cluster, id);
            assert!(ledger["generation"] == 7 && 0 < ledger["syncs"].as_u64().unwrap(), "{ledger}");
            cluster.run(id, laboratory(&cluster, id));
        }
        assert_eq!(lost(&cluster, &acknowledged).await, 0, "of {}", acknowledged.len());
        for id in cluster.ids() {
            cluster.kill(id);
        }
    }
    assert!(cluster.log(1).contains("this is a node of a laboratory"), "{}", cluster.log(1));
}

#[tokio::test]
async fn one_node_loses_nothing_acknowledged_with_its_power() {
    survives(1, 0.0).await;
}

#[tokio::test]
async fn three_nodes_lose_nothing_acknowledged_with_all_their_power() {
    survives(3, 0.3).await;
}

/// Slow syncs are waited for, however slow, and no longer than they are wanted.
#[tokio::test]
async fn slow_syncs_only_take_longer() {
    let cluster = waited_for(&json!({"generation": 1, "slow_sync_ms": [600_000, 600_000]})).await;
    assert!(0 < ledger(&cluster, 1)["syncs_slowed"].as_u64().unwrap());
}

/// A sync that hangs tells nobody that it is done; what it was to write would be lost.
#[tokio::test]
async fn a_sync_that_hangs_acknowledges_nothing() {
    waited_for(&json!({"generation": 1, "sync_hangs": true})).await;
}

/// A node that acknowledges nothing while this is in force, and goes on afterwards.
async fn waited_for(trouble: &Value) -> Cluster {
    let mut cluster = Cluster::new(1);
    cluster.run(1, laboratory(&cluster, 1));
    cluster.put("before", b"value").await;
    control(&cluster, 1, trouble);
    in_force(&cluster, 1, 1).await;
    let mut kv = cluster.kv(1).await;
    let put = pb::PutRequest { key: "a".into(), value: "b".into(), session: None };
    let put = tokio::time::timeout(Duration::from_millis(300), kv.put(put)).await;
    assert!(put.is_err(), "acknowledged before it was durable: {put:?}");
    assert!(0 < ledger(&cluster, 1)["unsynced_bytes"].as_u64().unwrap(), "nothing would be lost");
    control(&cluster, 1, &json!({"generation": 2}));
    in_force(&cluster, 1, 2).await;
    cluster.put("after", b"value").await;
    assert_eq!(cluster.get("a").await.as_deref(), Some(&b"b"[..]));
    cluster
}

/// A sync that fails ends the node; what it had acknowledged is there.
#[tokio::test]
async fn a_failed_sync_ends_the_node() {
    let mut cluster = Cluster::new(1);
    cluster.run(1, laboratory(&cluster, 1));
    cluster.put("key", b"value").await;
    // The node may end before anything is written: its next file is made ready in the background.
    let kv = cluster.kv(1).await;
    control(&cluster, 1, &json!({"generation": 1, "sync_error": true}));
    in_force(&cluster, 1, 1).await;
    let acknowledged = write_until_gone(kv, 1).await;
    assert_eq!(acknowledged, [""; 0]);
    assert_eq!(cluster.ended(1).await.code(), Some(1));
    assert!(cluster.log(1).contains("(os error 5); the process ends"), "{}", cluster.log(1));
    assert!(0 < ledger(&cluster, 1)["syncs_failed"].as_u64().unwrap());
    control(&cluster, 1, &json!({"generation": 2}));
    cluster.run(1, laboratory(&cluster, 1));
    assert_eq!(cluster.get("key").await.as_deref(), Some(&b"value"[..]));
}

/// A full disk refuses writes and nothing else, until there is space.
#[tokio::test]
async fn a_full_disk_refuses_until_there_is_space() {
    let mut cluster = Cluster::new(1);
    cluster.run(1, laboratory(&cluster, 1));
    cluster.put("key", b"value").await;
    control(&cluster, 1, &json!({"generation": 1, "full": true}));
    in_force(&cluster, 1, 1).await;
    let acknowledged = write_until_gone(cluster.kv(1).await, 1).await;
    assert_eq!(cluster.status(1).await.disk_space(), pb::DiskSpace::Short);
    assert!(0 < ledger(&cluster, 1)["refused_full"].as_u64().unwrap());
    control(&cluster, 1, &json!({"generation": 2}));
    cluster.put("later", b"value").await;
    assert_eq!(lost(&cluster, &acknowledged).await, 0);
}

/// A bit that is read wrong in the middle of the log keeps the node from starting.
#[tokio::test]
async fn what_is_read_wrong_is_noticed() {
    let mut cluster = Cluster::new(1);
    cluster.run(1, laboratory(&cluster, 1));
    for key in ["a", "b", "c"] {
        cluster.put(key, b"value").await;
    }
    cluster.kill(1);
    let flip = json!({"file": "wal/0000000000000001.log", "offset": 1030, "bits": 4});
    control(&cluster, 1, &json!({"generation": 1, "read_flip": flip}));
    cluster.run(1, laboratory(&cluster, 1));
    assert_eq!(cluster.ended(1).await.code(), Some(2), "{}", cluster.log(1));
    assert!(cluster.log(1).contains("is damaged at byte 1024"), "{}", cluster.log(1));
    assert!(0 < ledger(&cluster, 1)["reads_flipped"].as_u64().unwrap());
}

/// What makes no sense keeps a node from starting, and is refused by one that runs.
#[tokio::test]
async fn a_control_that_makes_no_sense() {
    let mut cluster = Cluster::new(1);
    let table = [
        ("{", "control.json: EOF while parsing an object at line 1 column 1"),
        ("[]", "control.json: it is not an object"),
        ("{}", "control.json: `generation` is missing"),
        (r#"{"generation": 1, "ful": true}"#, "control.json: there is no `ful`"),
        (r#"{"generation": 1, "full": 1}"#, "control.json: `full` cannot be 1"),
        (
            r#"{"generation": 1, "slow_sync_ms": [2, 1]}"#,
            "control.json: `slow_sync_ms` cannot be [2,1]",
        ),
    ];
    std::fs::create_dir_all(place(&cluster, 1)).unwrap();
    for (text, why) in table {
        std::fs::write(place(&cluster, 1).join("control.json"), text).unwrap();
        let output = Run::from_std(laboratory(&cluster, 1)).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("error: --debug-faults ") && said.contains(why), "{said}");
        assert!(said.contains("\nhint: "), "{said}");
    }
    control(&cluster, 1, &json!({"generation": 1}));
    cluster.run(1, laboratory(&cluster, 1));
    cluster.put("key", b"value").await;
    control(&cluster, 1, &json!({"generation": 2, "nonsense": true}));
    until("it is rejected", async || ledger(&cluster, 1)["rejected"] == 1).await;
    assert_eq!(ledger(&cluster, 1)["generation"], 1);
    assert!(cluster.log(1).contains("there is no `nonsense`; what was in force stays so"));
    cluster.put("key", b"value").await;
}

/// With the bug that nobody waits for the disk, what no disk has is acknowledged, and gone with the
/// power: the laboratory would notice.
#[cfg(debug_assertions)]
#[tokio::test]
async fn what_was_never_synced_is_really_lost() {
    let mut cluster = Cluster::new(3);
    for id in cluster.ids() {
        let mut command = laboratory(&cluster, id);
        command.env("RAFT_MUTANT", "nobody waits for the disk");
        cluster.run(id, command);
    }
    cluster.put("before", b"value").await;
    let said = "this node carries the deliberate bug `nobody waits for the disk`";
    assert!(cluster.log(1).contains(said), "{}", cluster.log(1));
    // Until nothing of it is under way.
    for id in cluster.ids() {
        until("everybody has it", async || cluster.status(id).await.keys == 1).await;
        control(&cluster, id, &json!({"generation": 1, "slow_sync_ms": [600_000, 600_000]}));
        in_force(&cluster, id, 1).await;
    }
    cluster.put("one", b"value").await;
    cluster.put("two", b"value").await;
    let acknowledged = ["one".to_owned(), "two".to_owned()];
    for id in cluster.ids() {
        cluster.kill(id);
        let ledger = ledger(&cluster, id);
        assert!(0 < ledger["unsynced_bytes"].as_u64().unwrap(), "{ledger}");
    }
    for id in cluster.ids() {
        control(&cluster, id, &json!({"generation": 2}));
        cluster.run(id, laboratory(&cluster, id));
    }
    assert_eq!(lost(&cluster, &acknowledged).await, 2);
    assert_eq!(cluster.get("before").await.as_deref(), Some(&b"value"[..]));
}

/// A deliberate bug is there only if it is asked for by its name, in a build that has any.
#[test]
fn a_bug_that_is_not_there() {
    let cluster = Cluster::new(1);
    let mut command = Run::from_std(server(&cluster.config(), 1));
    let output = command.env("RAFT_MUTANT", "no such bug").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let error = if cfg!(debug_assertions) {
        "error: RAFT_MUTANT: there is no deliberate bug `no such bug`\nhint: "
    } else {
        "error: RAFT_MUTANT is set: this build contains no deliberate bugs\nhint: "
    };
    assert!(said.starts_with(error), "{said}");
}
