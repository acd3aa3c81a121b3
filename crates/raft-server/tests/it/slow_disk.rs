//! Disks that are slow, under real processes: every sync of one node takes longer than an election
//! timeout. That needs strace; without it, or without the right to use it, these tests say that they
//! are skipped.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use raft_api::pb;

use crate::support::{Cluster, until};

/// Holds up every sync of a running process for as long as this lives.
struct SlowDisk {
    tracer: Child,
    /// What it says; it would end if nobody listened.
    _words: BufReader<ChildStderr>,
}

impl SlowDisk {
    fn of(cluster: &Cluster, id: u64) -> Option<Self> {
        let injection = "inject=fdatasync,fsync:delay_enter=900000";
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", injection]);
        command.arg("-p").arg(cluster.pid(id).to_string());
        let spawned = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
        let Ok(mut child) = spawned else {
            println!("skipped: no strace: {spawned:?}");
            return None;
        };
        let mut words = BufReader::new(child.stderr.take()?);
        let mut line = String::new();
        words.read_line(&mut line).unwrap();
        let tracer = Self { tracer: child, _words: words };
        if !line.contains("attached") {
            println!("skipped: strace may not: {line}");
            return None;
        }
        Some(tracer)
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        // It lets go of the process only if it is asked to.
        let pid = Pid::from_raw(self.tracer.id().try_into().unwrap());
        kill(pid, Signal::SIGTERM).unwrap_or_default();
        drop(self.tracer.wait());
    }
}

/// A leader whose disk stalls makes way for another before a client would notice much; nobody
/// elects it again while that lasts; and with a good disk it can be chosen again.
#[tokio::test]
async fn a_leader_whose_disk_stalls_makes_way() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    cluster.put("before", b"value").await;
    let slow = cluster.leader().await;
    let Some(stall) = SlowDisk::of(&cluster, slow) else { return };
    until("another leader", async || {
        cluster.put("meanwhile", b"value").await;
        cluster.leader().await != slow
    })
    .await;
    let stalled = cluster.log(slow).contains("the disk stalls: another node should lead");
    assert!(stalled, "{}", cluster.log(slow));

    // The others go on, by themselves and when they are told to hand over to whomever they like.
    for round in 0..5 {
        cluster.put(&format!("round {round}"), b"value").await;
        let leader = cluster.leader().await;
        assert_ne!(leader, slow);
        until("its disk to be called slow", async || cluster.status(slow).await.disk_slow).await;
        let mut management = cluster.management(leader).await;
        let request = pb::TransferLeadershipRequest::default();
        management.transfer_leadership(request).await.unwrap();
    }
    assert_ne!(cluster.leader().await, slow);

    drop(stall);
    until("its disk to be called good", async || {
        cluster.put("after", b"value").await;
        !cluster.status(slow).await.disk_slow
    })
    .await;
    until("it to lead again", async || {
        let leader = cluster.leader().await;
        let request = pb::TransferLeadershipRequest { to: slow };
        drop(cluster.management(leader).await.transfer_leadership(request).await);
        cluster.leader().await == slow
    })
    .await;
    for round in 0..5 {
        assert!(cluster.get(&format!("round {round}")).await.is_some());
    }
}
