//! Disks that fail, fill up, or go away under real processes.
//!
//! What needs more rights than a test may have, or a program that is not there, is skipped, and that
//! is said.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use raft_api::pb;
use tokio::time::{Instant, sleep};
use tonic::transport::Endpoint;

use crate::support::{Cluster, PATIENCE, is_gone, server, until};

/// A small file system of its own, which goes with this.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Puts one there, or says why not.
    fn mount(at: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let output =
            Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
        match output {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            Ok(output) => {
                println!("skipped: no mount: {}", String::from_utf8_lossy(&output.stderr));
                None
            }
            Err(error) => {
                println!("skipped: no mount: {error}");
                None
            }
        }
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        use std::io::Write as _;
        let mut ballast = std::fs::File::create(self.ballast()).unwrap();
        for piece in [64 << 10, 4 << 10, 512, 1] {
            while ballast.write_all(&vec![1; piece]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// The program under strace, whose injections are these; `None` if there is no strace that may. It is
/// the program that is our child, so that it ends with its test, and strace with it (`-D`).
fn injected(cluster: &Cluster, id: u64, injection: &str) -> Option<Command> {
    let trace = injection.split(':').next().unwrap();
    let options =
        ["-D", "-f", "-q", "-o", "/dev/null", "-e", &format!("trace={trace}")].map(str::to_owned);
    let probe = Command::new("strace").args(&options).arg("true").output();
    if !probe.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: no strace: {probe:?}");
        return None;
    }
    let program = server(&cluster.config(), id);
    let mut command = Command::new("strace");
    command.args(&options).args(["-e", &format!("inject={injection}")]);
    command.arg(program.get_program()).args(program.get_args());
    command.env_remove("RUST_LOG").env_remove("RAFT_CONFIG");
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    Some(command)
}

/// Asks one node, once.
async fn put(
    cluster: &Cluster,
    id: u64,
    key: &str,
    bytes: usize,
) -> Result<pb::Header, tonic::Status> {
    let (key, value) = (key.to_owned().into(), vec![7; bytes].into());
    let request = pb::PutRequest { key, value, session: None };
    Ok(cluster.kv(id).await.put(request).await?.into_inner().header.unwrap())
}

/// Writes until there is no space. Returns how many were acknowledged.
async fn put_until_full(cluster: &Cluster, id: u64, from: u64) -> u64 {
    for number in from.. {
        let header = put(cluster, id, &format!("key {number}"), 10_000).await.unwrap();
        if !header.success {
            assert_eq!(header.refusal(), pb::Refusal::DiskFull, "{header:?}");
            assert!(header.message.contains("is full: nothing was written"), "{header:?}");
            return number;
        }
        assert!(number < 10_000, "a small disk is full at some time");
    }
    unreachable!("it counts far enough")
}

/// A full disk refuses writes and nothing else; the node goes on, survives a restart, and takes
/// writes again when there is space. What it acknowledged is there.
#[tokio::test]
async fn a_full_disk_refuses_writes_until_there_is_space() {
    let mut cluster = Cluster::new(1);
    let Some(disk) = SmallDisk::mount(&cluster.data_dir(1), "size=8m") else { return };
    cluster.start(1);
    cluster.put("first", b"value").await;
    disk.fill();
    let count = put_until_full(&cluster, 1, 0).await;
    assert!(10 < count, "the segments it has are used: {count}");
    assert_eq!(cluster.status(1).await.disk_space(), pb::DiskSpace::Short);
    assert_eq!(cluster.get("key 0").await.map(|value| value.len()), Some(10_000));
    for _ in 0..5 {
        assert_eq!(put(&cluster, 1, "no", 10).await.unwrap().refusal(), pb::Refusal::DiskFull);
    }

    cluster.kill(1);
    disk.fill();
    cluster.start(1);
    until("a full disk to be noticed again", async || {
        let header = put(&cluster, 1, "perhaps", 10_000).await.unwrap();
        header.refusal() == pb::Refusal::DiskFull
    })
    .await;
    assert_ne!(cluster.status(1).await.disk_space(), pb::DiskSpace::Enough);
    disk.free();
    let pid = cluster.pid(1);
    cluster.put("last", b"value").await;
    let again = (0..100).map(|number| format!("again {number}"));
    for key in again {
        assert!(put(&cluster, 1, &key, 10_000).await.unwrap().success);
    }
    assert_eq!(pid, cluster.pid(1), "it is the same process");
    assert_eq!(cluster.status(1).await.disk_space(), pb::DiskSpace::Enough);
    for number in 0..count {
        assert!(cluster.get(&format!("key {number}")).await.is_some(), "key {number} of {count}");
    }
    assert_eq!(cluster.get("no").await, None);
}

/// A leader whose disk is full makes way; the others go on without it, longer than any patience with
/// a dead disk lasts; with space it follows again.
#[tokio::test]
async fn a_leader_with_a_full_disk_makes_way() {
    let mut cluster = Cluster::new(3);
    let disks: Vec<_> =
        cluster.ids().map_while(|id| SmallDisk::mount(&cluster.data_dir(id), "size=64m")).collect();
    if disks.len() < 3 {
        return;
    }
    cluster.start_all();
    let full = cluster.leader().await;
    let disk = &disks[usize::try_from(full).unwrap() - 1];
    disk.fill();
    until("another leader", async || {
        for number in 0..20 {
            drop(put(&cluster, full, &format!("early {number}"), 10_000).await);
        }
        cluster.leader().await != full
    })
    .await;
    let pid = cluster.pid(full);
    // More than fits there. The watchdog gives a disk five seconds.
    let until = Instant::now() + Duration::from_secs(7);
    let mut number = 0;
    while number < 300 || Instant::now() < until {
        cluster.put(&format!("key {number}"), &[7; 10_000]).await;
        number += 1;
        sleep(Duration::from_millis(10)).await;
    }
    let leader = cluster.leader().await;
    assert_ne!(leader, full);
    assert_eq!(cluster.status(full).await.disk_space(), pb::DiskSpace::Out);
    assert_eq!(cluster.status(leader).await.disk_space(), pb::DiskSpace::Enough);
    assert!(
        cluster.log(full).contains("takes no writes: the disk is full"),
        "{}",
        cluster.log(full)
    );
    disk.free();
    agree(&cluster).await;
    assert_eq!(pid, cluster.pid(full), "it is the same process");
}

/// Waits until all nodes have applied the same, and compares what that has made of them.
async fn agree(cluster: &Cluster) {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let mut all = Vec::new();
        for id in cluster.ids() {
            let status = cluster.status(id).await;
            all.push((status.applied_index, status.state_hash));
        }
        if all.iter().all(|one| one.0 == all[0].0) {
            assert!(all.iter().all(|one| one.1 == all[0].1), "replicas differ: {all:?}");
            return;
        }
        assert!(Instant::now() < give_up, "{all:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// After a write or a sync that failed nothing is acknowledged: the process ends. The others go on,
/// and when it is back it agrees with them.
#[tokio::test]
async fn an_error_of_the_disk_ends_the_process_without_an_acknowledgement() {
    for (call, when, said) in [
        ("fdatasync", 60, "could not sync"),
        ("pwrite64", 60, "could not append to"),
        ("fdatasync", 61, "could not sync"),
    ] {
        let mut cluster = Cluster::new(3);
        let injection = format!("{call}:error=EIO:when={when}");
        let Some(command) = injected(&cluster, 1, &injection) else { return };
        cluster.run(1, command);
        cluster.start(2);
        cluster.start(3);
        cluster.leader().await;
        let mut written = 0;
        while !cluster.log(1).contains("the process ends") {
            cluster.put_anywhere(&format!("key {written}")).await;
            written += 1;
            assert!(written < 5_000, "{call} never failed:\n{}", cluster.log(1));
        }
        assert_eq!(cluster.ended(1).await.code(), Some(1), "{}", cluster.log(1));
        let log = cluster.log(1);
        assert!(log.contains(said) && log.contains("Input/output error"), "{call}:\n{log}");
        cluster.start(1);
        for number in 0..written {
            let key = format!("key {number}");
            assert!(cluster.get(&key).await.is_some(), "{key} of {written}, {call}");
        }
        agree(&cluster).await;
    }
}

/// The only node of a cluster: what it did not acknowledge before its sync failed may be there
/// afterwards, what it acknowledged must.
#[tokio::test]
async fn a_lonely_node_acknowledges_nothing_after_a_failed_sync() {
    for when in [12, 13, 20] {
        let mut cluster = Cluster::new(1);
        let injection = format!("fdatasync:error=EIO:when={when}+");
        let Some(command) = injected(&cluster, 1, &injection) else { return };
        cluster.run(1, command);
        let mut acknowledged = 0;
        loop {
            let key = format!("key {acknowledged}");
            match put(&cluster, 1, &key, 10).await {
                Ok(header) if header.success => acknowledged += 1,
                Ok(header) => assert!(!header.success),
                Err(status) => {
                    assert!(is_gone(&status), "{status:?}");
                    break;
                }
            }
            assert!(acknowledged < 1_000, "no sync has failed");
        }
        assert_eq!(cluster.ended(1).await.code(), Some(1), "{}", cluster.log(1));
        cluster.start(1);
        // Which waits until all is applied.
        assert_eq!(cluster.get("no such key").await, None);
        let keys = cluster.status(1).await.keys;
        assert!((acknowledged..=acknowledged + 1).contains(&keys), "{keys} of {acknowledged}");
    }
}

/// A file that cannot be read is no damaged one, and says which.
#[tokio::test]
async fn a_read_error_is_refused_at_the_start() {
    let mut cluster = Cluster::new(1);
    let Some(_) = injected(&cluster, 1, "pread64:error=EIO:when=1") else { return };
    cluster.start(1);
    cluster.put("key", b"value").await;
    cluster.kill(1);
    cluster.forget_log(1);
    let mut failed = 0;
    // Program and libraries are loaded by the same call.
    for when in 1..20 {
        let injection = format!("pread64:error=EIO:when={when}");
        let command = injected(&cluster, 1, &injection).expect("it was there before");
        cluster.run(1, command);
        let status = cluster.ended_or_ready(1).await;
        let log = cluster.log(1);
        cluster.forget_log(1);
        if status == Some(2) && log.contains("could not read ") {
            assert!(log.contains("Input/output error"), "{log}");
            assert!(!log.contains("is damaged") && log.contains("hint: the disk failed"), "{log}");
            failed += 1;
        } else if status.is_none() {
            break;
        }
    }
    assert!(1 <= failed, "nothing was read");
    cluster.kill(1);
    cluster.start(1);
    assert_eq!(cluster.get("key").await.as_deref(), Some(&b"value"[..]));
}

/// A directory that is deleted under a running node: it notices at the next write, and does not
/// acknowledge it.
#[tokio::test]
async fn a_vanished_directory_ends_the_process() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    cluster.put("key", b"value").await;
    std::fs::remove_dir_all(cluster.data_dir(1)).unwrap();
    let answer = put(&cluster, 1, "other", 10).await;
    assert!(answer.as_ref().is_err_and(is_gone), "{answer:?}");
    assert_eq!(cluster.ended(1).await.code(), Some(1));
    assert!(cluster.log(1).contains("was deleted while it was in use"), "{}", cluster.log(1));
}

/// What cannot be written is not started from.
#[test]
fn a_read_only_disk_is_refused_at_the_start() {
    let cluster = Cluster::new(1);
    let Some(_disk) = SmallDisk::mount(&cluster.data_dir(1), "size=8m,ro") else { return };
    let output = server(&cluster.config(), 1).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("Read-only file system") && said.contains("hint: "), "{said}");
}

impl Cluster {
    /// Sets a key wherever that can be done, while nodes come and go.
    async fn put_anywhere(&self, key: &str) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            for id in self.ids() {
                if self.put_if_there(id, key).await {
                    return;
                }
            }
            assert!(Instant::now() < give_up, "{}", self.log(2));
        }
    }

    /// Asks a node that may not run.
    async fn put_if_there(&self, id: u64, key: &str) -> bool {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.client_address(id)));
        let Ok(channel) = endpoint.unwrap().connect().await else { return false };
        let (key, value) = (key.to_owned().into(), vec![7; 10].into());
        let request = pb::PutRequest { key, value, session: None };
        let answer = pb::kv_client::KvClient::new(channel).put(request).await;
        answer.is_ok_and(|answer| answer.into_inner().header.unwrap().success)
    }

    /// The exit code of a node that did not start; none of one that did.
    async fn ended_or_ready(&mut self, id: u64) -> Option<i32> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.has_ended(id) {
                return status.code();
            }
            if self.log(id).contains("ready") {
                return None;
            }
            assert!(Instant::now() < give_up, "{}", self.log(id));
            sleep(Duration::from_millis(10)).await;
        }
    }
}
