//! A node that has nothing to do does nothing.

use std::time::Duration;

use crate::support::Cluster;

/// CPU time a process has used, in its threads together.
fn cpu(cluster: &Cluster, id: u64) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", cluster.pid(id))).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // utime and stime, the 14th and 15th field of the line, in ticks of 10 ms.
    let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// CPU time used in two seconds of quiet.
async fn used(cluster: &Cluster, id: u64) -> Duration {
    // What starting up took is not the question.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = cpu(cluster, id);
    tokio::time::sleep(Duration::from_secs(2)).await;
    cpu(cluster, id).saturating_sub(before)
}

const LITTLE: Duration = Duration::from_millis(200);

/// Peers that are not there are dialled now and then, not all the time.
#[tokio::test]
async fn unreachable_peers_cost_little() {
    let mut cluster = Cluster::new(3);
    cluster.start(1);
    drop(cluster.management(1).await);
    let used = used(&cluster, 1).await;
    assert!(used < LITTLE, "{used:?}");
}

/// A quiet cluster is quiet on every node.
#[tokio::test]
async fn a_quiet_cluster_is_quiet() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    let leader = cluster.leader().await;
    let used = used(&cluster, leader).await;
    assert!(used < LITTLE, "{used:?}");
}
