//! Three processes.

use nix::sys::signal::Signal;
use raft_api::pb;

use crate::support::{Cluster, until};

/// Three nodes elect a leader; what it acknowledges reaches all; a follower names it.
#[tokio::test]
async fn replicates() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    let leader = cluster.leader().await;
    for number in 0..50 {
        cluster.put(&format!("key {number}"), b"value").await;
    }
    let index = cluster.status(leader).await.applied_index;
    let mut hashes = Vec::new();
    for id in cluster.ids() {
        let cluster = &cluster;
        until("a follower to catch up", async || index <= cluster.status(id).await.applied_index)
            .await;
        let status = cluster.status(id).await;
        assert_eq!((status.leader_id, status.keys), (leader, 50));
        if status.applied_index == index {
            hashes.push(status.state_hash);
        }
    }
    assert!(hashes.iter().all(|&hash| hash == hashes[0]), "{hashes:x?}");

    let follower = cluster.ids().find(|&id| id != leader).unwrap();
    let put = pb::PutRequest { key: "x".into(), value: "y".into(), session: None };
    let refused = cluster.kv(follower).await.put(put).await.unwrap().into_inner();
    let header = refused.header.unwrap();
    assert!(!header.success);
    assert_eq!(header.refusal(), pb::Refusal::NotLeader);
    assert_eq!(header.leader_id, leader);
    assert_eq!(header.leader_addr, cluster.client_address(leader));

    let mut management = cluster.management(follower).await;
    let configuration = management.get_configuration(pb::GetConfigurationRequest {}).await;
    let configuration = configuration.unwrap().into_inner();
    assert_eq!(configuration.cluster, "test");
    assert_eq!(configuration.members.len(), 3);
    assert_eq!(configuration.members[0].peer_addr, cluster.peer_address(1));
}

/// A killed leader is replaced, nothing that was acknowledged is lost, and the dead one catches up
/// when it is back.
#[tokio::test]
async fn survives_the_death_of_leaders() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    for round in 0..3 {
        for number in 0..20 {
            cluster.put(&format!("{round}/{number}"), b"value").await;
        }
        let dead = cluster.leader().await;
        cluster.kill(dead);
        let next = cluster.leader().await;
        assert_ne!(next, dead);
        for number in 0..20 {
            let key = format!("{round}/{number}");
            assert_eq!(cluster.get(&key).await.as_deref(), Some(&b"value"[..]), "{key}");
        }
        cluster.start(dead);
    }
    cluster.put("last", b"value").await;
    let leader = cluster.leader().await;
    let index = cluster.status(leader).await.applied_index;
    for id in cluster.ids() {
        let cluster = &cluster;
        until("all to catch up", async || index <= cluster.status(id).await.applied_index).await;
    }
}

/// Every node killed at the same moment: what was acknowledged is there when they are back.
#[tokio::test]
async fn survives_the_death_of_all() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    for round in 0..2 {
        for number in 0..30 {
            cluster.put(&format!("{round}/{number}"), b"value").await;
        }
        for id in cluster.ids() {
            cluster.kill(id);
        }
        cluster.start_all();
        let leader = cluster.leader().await;
        for number in 0..30 {
            let key = format!("{round}/{number}");
            assert_eq!(cluster.get(&key).await.as_deref(), Some(&b"value"[..]), "{key}");
        }
        assert_eq!(cluster.status(leader).await.keys, 30 * (round + 1));
    }
}

/// A leader that is suspended is replaced; when it wakes it follows, and serves no old state as new.
#[tokio::test]
async fn a_suspended_leader_steps_back_in_line() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    cluster.put("key", b"old").await;
    let asleep = cluster.leader().await;
    let mut kv_asleep = cluster.kv(asleep).await;
    cluster.signal(asleep, Signal::SIGSTOP);

    let awake = cluster.ids().find(|&id| id != asleep).unwrap();
    let mut management = cluster.management(awake).await;
    let mut next = 0;
    while next == 0 || next == asleep {
        let leader = management.get_leader(pb::GetLeaderRequest {}).await.unwrap();
        next = leader.into_inner().leader_id;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let put = pb::PutRequest { key: "key".into(), value: "new".into(), session: None };
    let done = cluster.kv(next).await.put(put).await.unwrap().into_inner();
    assert!(done.header.unwrap().success);

    cluster.signal(asleep, Signal::SIGCONT);
    let get = pb::GetRequest { key: "key".into(), consistency: 0 };
    let read = kv_asleep.get(get).await.unwrap().into_inner();
    if read.header.unwrap().success {
        assert_eq!(read.value.as_deref(), Some(&b"new"[..]), "a stale read passed for a fresh one");
    }
    let leader = cluster.leader().await;
    assert_eq!(cluster.get("key").await, Some(b"new".to_vec()), "leader {leader}");
}

/// A follower that was away while the log was compacted gets a snapshot, and the same state.
#[tokio::test]
async fn catches_up_by_snapshot() {
    let low = "raft:\n  snapshot: {entries: 50, trailing: 10}\n";
    let mut cluster = Cluster::with(3, low);
    cluster.start_all();
    let leader = cluster.leader().await;
    let away = cluster.ids().find(|&id| id != leader).unwrap();
    cluster.put("first", b"value").await;
    cluster.kill(away);
    for number in 0..200 {
        cluster.put(&format!("key {number}"), &[b'v'; 1000]).await;
    }
    let first = cluster.status(leader).await.first_index;
    assert!(100 < first, "the log was not compacted: {first}");
    cluster.start(away);
    let index = cluster.status(leader).await.applied_index;
    until("the snapshot", async || index <= cluster.status(away).await.applied_index).await;
    let status = cluster.status(away).await;
    assert_eq!(status.keys, 201);
    assert!(100 <= status.snapshot_index, "{status:?}");
    assert!(cluster.log(away).contains("installed a snapshot"), "{}", cluster.log(away));
}

/// A member whose directory was lost is not listened to, and both sides say so.
#[tokio::test]
async fn another_data_dir_is_not_listened_to() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    cluster.put("key", b"value").await;
    for id in cluster.ids() {
        until("every node has applied it", async || cluster.status(id).await.applied_index >= 2)
            .await;
    }
    cluster.kill(3);
    std::fs::rename(cluster.data_dir(3), cluster.dir.path().join("old")).unwrap();
    cluster.start(3);
    let says = |id, what: &str| cluster.log(id).lines().filter(|line| line.contains(what)).count();
    until("the node says it", async || says(3, "a peer knows this node under another") != 0).await;
    let member = "a peer comes with another data directory";
    until("a member says it", async || says(1, member) + says(2, member) != 0).await;
    cluster.kill(3);
    std::fs::remove_dir_all(cluster.data_dir(3)).unwrap();
    std::fs::rename(cluster.dir.path().join("old"), cluster.data_dir(3)).unwrap();
    cluster.start(3);
    cluster.put("key", b"other").await;
    until("the old one is back", async || {
        let (ours, theirs) = (cluster.status(3).await, cluster.status(1).await);
        ours.leader_id != 0 && ours.applied_index == theirs.applied_index
    })
    .await;
    assert!(cluster.log(1).matches(member).count() <= 1, "{}", cluster.log(1));
}
