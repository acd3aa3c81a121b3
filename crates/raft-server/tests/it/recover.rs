//! `raft-server recover`: two of three disks are gone for good, and the cluster lives on in the third.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

use raft_api::pb;

use crate::inspect::json;
use crate::support::{Cluster, server, until};

fn recover(dir: &Path, config: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft-server"));
    command.env_remove("RUST_LOG").env_remove("RAFT_CONFIG");
    command.arg("recover").arg(dir).arg("--config").arg(config).args(more).output().unwrap()
}

/// The error and the hint of a recovery that did not take place.
fn refused(dir: &Path, config: &Path, more: &[&str]) -> (String, String) {
    let Output { status, stdout: _, stderr } = recover(dir, config, more);
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{stderr}");
    let mut lines = stderr.lines();
    let error = lines.next().and_then(|line| line.strip_prefix("error: "));
    let hint = lines.next().and_then(|line| line.strip_prefix("hint: "));
    (error.unwrap().to_owned(), hint.unwrap_or_default().to_owned())
}

const YES: &str = "--accept-data-loss";

/// The file of a cluster of the first node alone, with the same directories.
fn new_file(cluster: &Cluster, name: &str) -> PathBuf {
    let all = cluster.yaml(name, "");
    let only = |line: &&str| !line.contains("{id: ") || line.contains("{id: 1,");
    let path = cluster.dir.path().join("new.yaml");
    std::fs::write(&path, all.lines().filter(only).collect::<Vec<_>>().join("\n")).unwrap();
    path
}

/// Three nodes under load. Two are destroyed in the middle of it; the third becomes a cluster of its
/// own, with everything it had applied, and two new nodes join it. What is left of the old cluster
/// can do nothing with it.
#[tokio::test]
async fn a_survivor_carries_on() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    cluster.put("first", b"value").await;
    let (survivor, written) = (1, AtomicU64::new(0));
    let applied = load(&cluster, survivor, &written).await;
    // What it had applied when its cluster died is there; it may have got more.
    let (config, new) = (cluster.config(), new_file(&cluster, "next"));
    let dir = cluster.data_dir(survivor);
    for id in [2, 3] {
        cluster.kill(id);
        std::fs::remove_dir_all(cluster.data_dir(id)).unwrap();
    }
    let (error, _) = refused(&dir, &new, &[YES]);
    assert_eq!(error, format!("{} is in use by process {}", dir.display(), cluster.pid(survivor)));
    cluster.kill(survivor);

    let before = json(&dir);
    refuse_what_makes_no_sense(&cluster, &dir, &new);
    assert_eq!(json(&dir), before, "nothing has changed");

    let done = recover(&dir, &new, &[YES]);
    let said = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("the only member of the new cluster `next`"), "{said}");
    let backup = said.lines().find_map(|line| line.split("The old directory is ").nth(1)).unwrap();
    let backup = Path::new(backup.trim_end_matches('.'));
    assert_eq!(json(backup)["log"], repath(&before["log"], &dir, backup), "the old one is kept");
    let after = json(&dir);
    assert_eq!(after["log"]["last"], before["log"]["last"]);
    assert_ne!(after["identity"]["cluster"], before["identity"]["cluster"]);
    assert_ne!(after["identity"]["incarnation"], before["identity"]["incarnation"]);

    // A node of the old cluster that comes back is not listened to, and disturbs nobody.
    cluster.start_from(2, &config);
    cluster.start_from(survivor, &new);
    until("the survivor to lead", async || cluster.leader_by(survivor).await == survivor).await;
    let now = cluster.status(survivor).await;
    assert!(applied.applied_index <= now.applied_index);
    assert!(applied.keys <= now.keys, "{} keys of {}", now.keys, applied.keys);
    cluster.kill(2);
    std::fs::remove_dir_all(cluster.data_dir(2)).unwrap();
    grow(&mut cluster, survivor, now.keys).await;
    let total = written.load(Ordering::Relaxed);
    let missing = missing_keys(&cluster, total).await;
    // One write at a time was under way, so what was acknowledged and is missing is at the end.
    let first = missing.first().copied().unwrap_or(total);
    assert!(missing.iter().copied().eq(first..total), "holes: {missing:?} of {total}");
    // Besides these it had the first key of all, and perhaps the one that was under way.
    assert!(
        applied.keys <= first + 2,
        "{missing:?} of {total} are gone, {} were applied",
        applied.keys
    );
}

/// Writes one key after the other, and stops in the middle of it. Returns what the node has then.
async fn load(cluster: &Cluster, node: u64, written: &AtomicU64) -> pb::StatusResponse {
    let load = async {
        loop {
            let number = written.load(Ordering::Relaxed);
            cluster.put(&format!("key {number}"), b"value").await;
            written.store(number + 1, Ordering::Relaxed);
        }
    };
    let enough = until("some writes", async || 200 <= written.load(Ordering::Relaxed));
    tokio::select! {
        () = load => unreachable!("it never ends"),
        () = enough => (),
    }
    cluster.status(node).await
}

/// Two new nodes join; then they can do without the survivor.
async fn grow(cluster: &mut Cluster, survivor: u64, keys: u64) {
    // Those that join may know all addresses beforehand.
    let all = cluster.dir.path().join("all.yaml");
    std::fs::write(&all, cluster.yaml("next", "")).unwrap();
    for id in [2, 3] {
        cluster.join_at(id, &all);
        cluster.add(survivor, id).await;
    }
    for id in [2, 3] {
        until("a new node to have it all", async || cluster.status(id).await.keys == keys).await;
    }
    cluster.kill(survivor);
    until("the new nodes to carry on", async || [2, 3].contains(&cluster.leader_by(2).await)).await;
}

/// Numbers of the keys that are not there.
async fn missing_keys(cluster: &Cluster, count: u64) -> Vec<u64> {
    let mut missing = Vec::new();
    for number in 0..count {
        let key = format!("key {number}");
        let request = pb::GetRequest { key: key.into(), consistency: 0 };
        let leader = [2, 3];
        let mut found = None;
        while found.is_none() {
            for id in leader {
                let answer = cluster.kv(id).await.get(request.clone()).await;
                let answer = answer.ok().map(tonic::Response::into_inner);
                found = found.or(answer.filter(|a| a.header.as_ref().unwrap().success));
            }
        }
        if found.unwrap().value.is_none() {
            missing.push(number);
        }
    }
    missing
}

fn refuse_what_makes_no_sense(cluster: &Cluster, dir: &Path, new: &Path) {
    let output = recover(dir, new, &[]);
    assert_eq!(output.status.code(), Some(2));
    let outlook = String::from_utf8(output.stdout).unwrap();
    assert!(outlook.contains("lost would be whatever the others committed after"), "{outlook}");
    let (error, _) = refused(dir, new, &[]);
    assert_eq!(error, "nothing was done: this needs --accept-data-loss");
    let (error, hint) = refused(dir, &cluster.config(), &[YES]);
    assert!(error.ends_with("names nodes 1, 2, 3, but the new cluster begins with node 1 alone"));
    assert!(hint.contains("--join"), "{hint}");
    let same = new_file(cluster, "test");
    let (error, hint) = refused(dir, &same, &[YES]);
    assert!(error.ends_with("belongs to cluster `test` already"), "{error}");
    assert!(hint.starts_with("give the new cluster another name"), "{hint}");
    new_file(cluster, "next");
    let nowhere = cluster.dir.path().join("nowhere");
    let (error, _) = refused(&nowhere, new, &[YES]);
    assert!(error.contains("No such file"), "{error}");
}

/// The same with paths in another directory.
fn repath(value: &serde_json::Value, from: &Path, to: &Path) -> serde_json::Value {
    let text = value.to_string().replace(from.to_str().unwrap(), to.to_str().unwrap());
    serde_json::from_str(&text).unwrap()
}

impl Cluster {
    /// Starts a node by another file than everybody's.
    fn start_from(&mut self, id: u64, config: &Path) {
        self.run(id, server(config, id));
    }

    fn join_at(&mut self, id: u64, config: &Path) {
        let mut command = server(config, id);
        command.arg("--join");
        self.run(id, command);
    }

    /// Who leads, as a node sees it.
    async fn leader_by(&self, id: u64) -> u64 {
        let mut management = self.management(id).await;
        let answer = management.get_leader(pb::GetLeaderRequest {}).await.unwrap();
        answer.into_inner().leader_id
    }

    /// Makes a node that has joined a voter.
    async fn add(&self, leader: u64, id: u64) {
        let mut management = self.management(leader).await;
        let now = management.get_configuration(pb::GetConfigurationRequest {}).await.unwrap();
        let mut members = now.into_inner().members;
        members.push(pb::Member {
            id,
            peer_addr: self.peer_address(id),
            client_addr: self.client_address(id),
            role: pb::MemberRole::Voter.into(),
            ..pb::Member::default()
        });
        until("a node to be added", async || {
            let members = members.clone();
            let request = pb::SetConfigurationRequest { members, expected: vec![], force: false };
            let answer = management.clone().set_configuration(request).await;
            answer.is_ok_and(|answer| answer.into_inner().header.unwrap().success)
        })
        .await;
    }
}
