//! Nodes that have one thing to do at a time, and write to the log without its thread.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::laboratory::{control, in_force, laboratory};
use crate::support::{Cluster, until};

/// A cluster in a laboratory whose leader writes to the log itself.
async fn unhurried(nodes: usize) -> (Cluster, u64) {
    let mut cluster = Cluster::new(nodes);
    for id in cluster.ids() {
        let mut command = laboratory(&cluster, id);
        command.env("RUST_LOG", "raft_server=debug");
        cluster.run(id, command);
    }
    cluster.put("before", b"value").await;
    let leader = cluster.leader().await;
    until("the leader to write to the log itself", async || {
        cluster.put("one at a time", b"value").await;
        cluster.log(leader).contains("writes to the log without its thread")
    })
    .await;
    (cluster, leader)
}

/// A leader that its disk holds up says nothing at all. The others go on without it, it learns that, and
/// it is called slow as any other is.
#[tokio::test]
async fn a_leader_that_waits_for_its_disk_itself_is_replaced() {
    let (cluster, slow) = unhurried(3).await;
    control(&cluster, slow, &json!({"generation": 1, "slow_sync_ms": [900, 900]}));
    until("another leader", async || {
        cluster.put("meanwhile", b"value").await;
        cluster.leader().await != slow
    })
    .await;
    until("its disk to be called slow", async || {
        cluster.put("meanwhile", b"other").await;
        cluster.status(slow).await.disk_slow
    })
    .await;
    control(&cluster, slow, &json!({"generation": 2}));
    in_force(&cluster, slow, 2).await;
    until("its disk to be called good", async || {
        cluster.put("after", b"value").await;
        !cluster.status(slow).await.disk_slow
    })
    .await;
    assert_eq!(cluster.get("meanwhile").await.as_deref(), Some(&b"other"[..]));
}

/// Nor does a disk that never comes back keep a process for ever that waits for it itself.
#[tokio::test]
async fn a_disk_that_stops_ends_a_node_that_waits_for_it_itself() {
    let (mut cluster, node) = unhurried(1).await;
    control(&cluster, node, &json!({"generation": 1, "slow_sync_ms": [600_000, 600_000]}));
    in_force(&cluster, node, 1).await;
    let mut kv = cluster.kv(node).await;
    let mut put = JoinSet::new();
    put.spawn(async move {
        let key = "never".into();
        let value = "acknowledged".into();
        kv.put(raft_api::pb::PutRequest { key, value, session: None }).await
    });
    let ended = cluster.ended(node).await;
    assert_eq!(ended.code(), Some(1), "{}", cluster.log(node));
    assert!(cluster.log(node).contains("the disk has not finished a write in 5 s"));
    let put = timeout(Duration::from_secs(10), put.join_next()).await.expect("it is broken off");
    put.unwrap().unwrap().unwrap_err();
}
