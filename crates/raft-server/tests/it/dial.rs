//! Peers that are reached through something.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use assert_cmd::Command;
use raft_api::pb;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::{Cluster, server, until};

/// Hands every connection on, and counts them. It ends with the test.
struct Relay {
    address: SocketAddr,
    count: Arc<AtomicUsize>,
    _work: JoinSet<()>,
}

impl Relay {
    async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let mut work = JoinSet::new();
        work.spawn(async move {
            let mut pairs = JoinSet::new();
            loop {
                let (inner, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::Relaxed);
                pairs.spawn(hand_on(inner, target.clone()));
            }
        });
        Self { address, count, _work: work }
    }
}

async fn hand_on(mut inner: TcpStream, target: String) {
    if let Ok(mut outer) = TcpStream::connect(target).await {
        drop(tokio::io::copy_bidirectional(&mut inner, &mut outer).await);
    }
}

/// Each node reaches each other one through a relay of their own, and only there: the file names
/// places where nobody listens. What clients are told is as ever.
#[tokio::test]
async fn peers_are_dialled_where_it_is_said() {
    let mut cluster = Cluster::new(3);
    let mut relays = Vec::new();
    for id in cluster.ids() {
        // Its file is right about itself only.
        let mut file = cluster.yaml("test", "");
        let mut command = server(&cluster.dir.path().join(format!("n{id}.yaml")), id);
        for peer in cluster.ids().filter(|&peer| peer != id) {
            file = file.replace(&cluster.peer_address(peer), &format!("127.0.0.1:{peer}"));
            let relay = Relay::to(cluster.peer_address(peer)).await;
            command.arg("--dial").arg(format!("{peer}={}", relay.address));
            relays.push(relay);
        }
        std::fs::write(cluster.dir.path().join(format!("n{id}.yaml")), file).unwrap();
        cluster.run(id, command);
    }
    cluster.put("key", b"value").await;
    let leader = cluster.leader().await;
    // They tell each other where they are; who would dial there would go past the relays.
    for id in cluster.ids() {
        until("everybody has the entry", async || {
            cluster.status(id).await.applied_index == cluster.status(leader).await.commit_index
        })
        .await;
    }
    assert!(relays.iter().all(|relay| 0 < relay.count.load(Ordering::Relaxed)));
    let others = cluster.ids().filter(|&id| id != leader);
    let mut follower = cluster.management(others.last().unwrap()).await;
    let told = follower.get_leader(pb::GetLeaderRequest {}).await.unwrap().into_inner();
    assert_eq!(told.leader_addr, cluster.client_address(leader));

    drop(relays);
    for id in cluster.ids() {
        let alone = async || cluster.status(id).await.leader_id == 0;
        until("who is reached by nobody has no leader", alone).await;
    }
}

/// What cannot be dialled is told before anything is opened.
#[test]
fn a_way_that_cannot_be() {
    let cluster = Cluster::new(2);
    let table: [(&[&str], &str); 5] = [
        (&["2"], "it is written N=HOST:PORT"),
        (&["x=127.0.0.1:1"], "the number of a node stands before the `=`"),
        (&["2=nowhere"], "`nowhere` is not an address: it is written host:port"),
        (&["1=127.0.0.1:1"], "error: --dial 1=127.0.0.1:1: a node does not dial itself\nhint: "),
        (
            &["2=127.0.0.1:1", "2=127.0.0.1:2"],
            "error: --dial names two places for node 2: 127.0.0.1:1, 127.0.0.1:2\nhint: ",
        ),
    ];
    for (ways, why) in table {
        let mut command = Command::from_std(server(&cluster.config(), 1));
        for way in ways {
            command.args(["--dial", way]);
        }
        let output = command.timeout(crate::support::PATIENCE).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
        assert!(!cluster.data_dir(1).exists());
    }
}
