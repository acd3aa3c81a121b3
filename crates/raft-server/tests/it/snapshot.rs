//! A snapshot on its way to a node that fell behind, while processes are killed: on real processes.

use std::time::Duration;

use tokio::time::sleep;

use crate::support::{Cluster, until};

/// Enough for a transfer that takes a while, in values of a mebibyte.
const VALUES: u64 = 48;
const MIB: u64 = 1 << 20;

/// A killed node goes on where its staging file ends.
#[tokio::test]
async fn a_transfer_goes_on_after_the_receiver_was_killed() {
    let (mut cluster, behind) = one_is_behind().await;
    let size = snapshot_size(&cluster, cluster.leader().await);
    cluster.start(behind);
    let before = received_some(&cluster, behind).await;
    cluster.kill(behind);
    cluster.start(behind);
    let again = received_all(&cluster, behind).await;
    // Whatever was on its way when it was killed may come once more.
    assert!(again < size - before + MIB, "{before} and then {again} of {size}");
}

/// The sender is killed: if the next leader has the same snapshot, it is asked for the rest.
#[tokio::test]
async fn a_transfer_goes_on_after_the_sender_was_killed() {
    let (mut cluster, behind) = one_is_behind().await;
    let leader = cluster.leader().await;
    let (size, held) =
        (snapshot_size(&cluster, leader), cluster.status(leader).await.snapshot_index);
    cluster.start(behind);
    let before = received_some(&cluster, behind).await;
    cluster.kill(leader);
    cluster.start(leader);
    let all = received_all(&cluster, behind).await;
    // Voters take snapshots in turn: the next leader may have another one. Of the first one less than
    // all had come, and the other one comes once.
    if cluster.status(behind).await.snapshot_index != held {
        let other = snapshot_size(&cluster, behind);
        assert!(all < size + other, "{all} of {size} and then {other}");
        return;
    }
    // The counter went on. From the beginning it would have counted all, once more.
    assert!(all < size + before, "{before} and then {all} of {size}");
}

/// Of three nodes one is down and lacks everything; the others have thrown away the log that it needs.
/// Whoever leads, the snapshot ends at the same entry.
async fn one_is_behind() -> (Cluster, u64) {
    let more = "raft: {snapshot: {entries: 1000000, bytes: 32MiB, trailing: 1}}\n";
    let mut cluster = Cluster::with(3, more);
    cluster.start_all();
    cluster.put("key", b"value").await;
    let leader = cluster.leader().await;
    let behind = cluster.ids().find(|&id| id != leader).unwrap();
    cluster.kill(behind);
    let value = vec![7; usize::try_from(MIB).unwrap()];
    for number in 0..VALUES {
        cluster.put(&format!("key {number}"), &value).await;
    }
    for id in cluster.ids().filter(|&id| id != behind) {
        until("a snapshot", async || 0 < cluster.status(id).await.snapshot_index).await;
    }
    (cluster, behind)
}

/// Bytes in a node's newest snapshot; a few belong to its header.
fn snapshot_size(cluster: &Cluster, id: u64) -> u64 {
    let files = std::fs::read_dir(cluster.data_dir(id).join("snapshots")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).max().unwrap()
}

/// Waits until a part of the snapshot is there, and says how much.
async fn received_some(cluster: &Cluster, id: u64) -> u64 {
    let mut management = cluster.management(id).await;
    loop {
        let request = raft_api::pb::StatusRequest::default();
        let status = management.status(request).await.unwrap().into_inner();
        assert_eq!(status.snapshot_index, 0, "it was too fast to be disturbed");
        if 4 * MIB <= status.snapshot_bytes_received {
            return status.snapshot_bytes_received;
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until the node has caught up, and says how much came since its start.
async fn received_all(cluster: &Cluster, id: u64) -> u64 {
    until("the node to have everything", async || cluster.status(id).await.keys == VALUES + 1)
        .await;
    cluster.status(id).await.snapshot_bytes_received
}
