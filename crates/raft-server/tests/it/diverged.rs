//! A node whose state is not the others': it finds out, says so and ends; the others go on, and it
//! comes back with an empty directory.

use std::sync::Arc;

use raft_api::pb;
use raft_core::{Compact, Persist};
use raft_replica::{Disk, Identity, RealDisk, SnapshotStore, Wal};

use crate::support::{Cluster, until};

/// How many writes are sure to make the leader speak of its state, and how many at a time.
const WRITES: u64 = 4_200;
const WRITERS: u64 = 12;

#[tokio::test]
async fn a_node_with_another_state_ends() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    for number in 0..10 {
        cluster.put(&format!("before {number}"), b"value").await;
    }
    let victim = cluster.ids().find(|&id| id != 1).unwrap();
    let index = cluster.status(cluster.leader().await).await.applied_index;
    until("all to be applied", async || index <= cluster.status(victim).await.applied_index).await;
    cluster.kill(victim);
    forge(&cluster, victim);
    cluster.start(victim);

    write_many(&cluster).await;
    let status = cluster.ended(victim).await;
    assert_eq!(status.code(), Some(1), "{}", cluster.log(victim));
    let log = cluster.log(victim);
    let said = log.lines().find(|line| line.contains("the replicated state has diverged")).unwrap();
    assert!(said.contains("after entry 4096 it hashes to"), "{said}");
    assert!(said.contains(&format!("set-config --remove {victim}")), "{said}");
    assert!(said.ends_with("the process ends"), "{said}");

    // What is in its log it finds there again.
    cluster.forget_log(victim);
    cluster.start(victim);
    assert_eq!(cluster.ended(victim).await.code(), Some(1));
    assert!(cluster.log(victim).contains("has diverged"), "{}", cluster.log(victim));
    cluster.kill(victim);
    cluster.put("after", b"value").await;
    assert_eq!(cluster.get("after").await.as_deref(), Some(b"value".as_slice()));
    for id in cluster.ids().filter(|&id| id != victim) {
        assert!(!cluster.log(id).contains("diverged"), "{}", cluster.log(id));
    }
}

/// Gives a stopped node a snapshot that is sound in every respect but what it says: the store is
/// empty.
fn forge(cluster: &Cluster, id: u64) {
    let (disk, dir): (Arc<dyn Disk>, _) = (Arc::new(RealDisk), cluster.data_dir(id));
    let identity = Identity::load(&*disk, &dir).unwrap().unwrap();
    let options = identity.wal_options(1 << 20);
    let (mut wal, recovered, _) = Wal::open(Arc::clone(&disk), &dir, &options).unwrap();
    let last = recovered.entries.last().unwrap().id;
    let mut store = SnapshotStore::open(Arc::clone(&disk), &dir, identity.cluster).unwrap();
    let snapshot = store
        .write(last, &identity.bootstrap, |payload| {
            // Format, place in the log, state hash; clock, last sweep and number of sessions.
            for number in [1, last.term.0, last.index.0, 0xBAD, 0, 0, 0] {
                payload.write_all(&u64::to_le_bytes(number))?;
            }
            raft_kv::Store::default().image().write_to(payload)
        })
        .unwrap();
    let compact = Some(Compact { snapshot, first_kept: last.index.next() });
    wal.run(vec![Persist { seq: 1, compact, ..Persist::default() }]).unwrap();
}

/// Writes, several at a time.
async fn write_many(cluster: &Cluster) {
    let kv = cluster.kv(cluster.leader().await).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let mut kv = kv.clone();
        writers.spawn(async move {
            for number in 0..WRITES / WRITERS {
                let key = format!("{writer}/{number}").into();
                let request = pb::PutRequest { key, value: "value".into(), session: None };
                let header = kv.put(request).await.unwrap().into_inner().header.unwrap();
                assert!(header.success, "{header:?}");
            }
        });
    }
    writers.join_all().await;
}
