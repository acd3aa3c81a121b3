//! Where the time of writes goes, as three nodes measure it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use raft_api::pb;
use raft_kv::Command;
use tokio_stream::iter;

use crate::support::{Cluster, until};

const WRITES: usize = 200;

/// What a node has measured since its start.
async fn told(cluster: &Cluster, id: u64) -> BTreeMap<String, Histogram<u64>> {
    let request = pb::StatusRequest { stages: true };
    let status = cluster.management(id).await.status(request).await.unwrap().into_inner();
    let stages = status.stages.into_iter().map(|stage| {
        let times: Histogram<u64> =
            Deserializer::new().deserialize(&mut stage.histogram.as_ref()).unwrap();
        assert_eq!(times.len(), stage.count, "{}", stage.name);
        (stage.name, times)
    });
    stages.collect()
}

fn write() -> pb::ProposeRequest {
    pb::ProposeRequest { data: Command::Propose { data: "data".into() }.encode(), session: None }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap()
}

/// Every acknowledged write was measured at its leader, whichever way it came; what a write passed
/// through took no longer than the write; followers measured their part; and nobody is told who does
/// not ask.
#[tokio::test]
async fn every_write_is_measured() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    let leader = cluster.leader().await;
    let mut client = cluster.management(leader).await;
    let before = told(&cluster, leader).await;
    let mut whole = Histogram::<u64>::new(3).unwrap();
    for _ in 0..WRITES {
        let began = Instant::now();
        assert!(client.propose(write()).await.unwrap().into_inner().success);
        whole.record(nanos(began.elapsed())).unwrap();
    }
    assert_eq!(cluster.leader().await, leader, "the leader was not to be lost here");

    let since = |after: &BTreeMap<String, Histogram<u64>>, name: &str| {
        let mut times = after[name].clone();
        times.subtract(&before[name]).unwrap();
        times
    };
    let after = told(&cluster, leader).await;
    let mut sum = 0;
    for name in ["queue", "commit", "reply"] {
        let times = since(&after, name);
        assert_eq!(times.len(), WRITES as u64, "{name}");
        // Each write's part is smaller than the whole, so this holds on any machine.
        let (part, whole) = (times.value_at_quantile(0.5), whole.value_at_quantile(0.5));
        assert!(part <= whole + whole / 50, "{name}: {part} ns of {whole} ns");
        sum += part;
    }
    assert!(sum <= 3 * whole.value_at_quantile(0.5) + 1000, "{sum} ns");
    for name in ["apply", "wal wait", "wal write", "fsync"] {
        let count = since(&after, name).len();
        assert!((1..=2 * WRITES as u64).contains(&count), "{name}: {count}");
    }
    for id in cluster.ids().filter(|&id| id != leader) {
        until("a follower has measured its part", || async {
            let told = told(&cluster, id).await;
            let counted = |name: &str| !told[name].is_empty();
            counted("follow") && counted("fsync") && counted("apply") && !counted("queue")
        })
        .await;
    }

    let mut answers =
        client.propose_stream(iter(vec![write(); WRITES])).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    cluster.put("typed", b"1").await;
    let last = told(&cluster, leader).await;
    for name in ["queue", "commit", "reply"] {
        assert_eq!(since(&last, name).len(), 2 * WRITES as u64 + 1, "{name}");
    }
    assert_eq!(cluster.status(leader).await.stages, [], "it was not asked for");
}
