//! A state machine that nobody here knows, in three processes of its own: `examples/counter.rs`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use raft_api::pb;
use tonic::Code;

use crate::support::{Cluster, until};

/// The example, which cargo has built unless it was asked for this test binary alone.
fn program() -> PathBuf {
    let server = Path::new(env!("CARGO_BIN_EXE_raft-server"));
    let program = server.with_file_name("examples").join("counter");
    if !program.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "-p", "raft-server", "--example", "counter"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "the example compiles");
    }
    program
}

fn node(cluster: &Cluster, id: u64) -> Command {
    let mut command = Command::new(program());
    command.arg("--id").arg(id.to_string()).arg("--config").arg(cluster.config());
    command.env_remove("RUST_LOG").env_remove("RAFT_CONFIG");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

async fn propose(cluster: &Cluster, data: &'static str) -> pb::ProposeResponse {
    let mut leader = cluster.management(cluster.leader().await).await;
    let request = pb::ProposeRequest { data: data.into(), session: None };
    leader.propose(request).await.unwrap().into_inner()
}

/// What a node says, linearizably.
async fn query(cluster: &Cluster, id: u64, data: &'static str) -> pb::QueryResponse {
    let request = pb::QueryRequest { data: data.into(), consistency: 0 };
    cluster.management(id).await.query(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_counter_is_replicated() {
    let mut cluster = Cluster::with(3, "raft: {snapshot: {entries: 10}}\n");
    for id in cluster.ids() {
        cluster.run(id, node(&cluster, id));
    }
    let mut sum = 0;
    for _ in 0..10 {
        assert_eq!(propose(&cluster, "add 5").await.result, (sum + 5).to_string());
        assert_eq!(propose(&cluster, "add -2").await.result, (sum + 3).to_string());
        sum += 3;
    }
    for id in cluster.ids() {
        assert_eq!(query(&cluster, id, "value").await.result, "30");
        assert_eq!(query(&cluster, id, "largest").await.result, "32");
    }

    // It says itself what makes no sense, and is believed before it gets into the log.
    let last = cluster.status(1).await.last_index;
    let refused = propose(&cluster, "multiply 5").await;
    assert_eq!(refused.refusal(), pb::Refusal::Invalid);
    assert!(refused.message.contains("a command is `add`"), "{}", refused.message);
    let refused = query(&cluster, 2, "smallest").await.header.unwrap();
    assert_eq!(refused.refusal(), pb::Refusal::Invalid);
    assert_eq!(cluster.status(1).await.last_index, last);
    // The store's own methods are not there.
    let get = pb::GetRequest { key: "x".into(), consistency: 0 };
    let unknown = cluster.kv(1).await.get(get).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);

    // Its image is what it starts from.
    until("a snapshot", async || 0 < cluster.status(3).await.snapshot_index).await;
    cluster.signal(3, Signal::SIGKILL);
    cluster.ended(3).await;
    cluster.run(3, node(&cluster, 3));
    until("the node to be back", async || cluster.status(3).await.leader_id != 0).await;
    assert_eq!(query(&cluster, 3, "largest").await.result, "32");
}
