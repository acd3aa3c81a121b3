//! A member whose disk was lost: what its log says is what brings it back.

use std::process::{Command, Stdio};

use raft_api::pb;
use raft_api::pb::MemberRole::{self, Learner, Voter};

use crate::support::{Cluster, until};

/// A node comes back with nothing and does not know that it lost something. It is told, and by the
/// very commands that it is told it becomes a member again: first removed, then without a vote, then
/// with one.
#[tokio::test]
async fn a_lost_disk_comes_back_by_the_words_of_the_log() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    cluster.put("key", b"value").await;
    for id in cluster.ids() {
        until("all to have it", async || cluster.status(id).await.keys == 1).await;
    }
    cluster.kill(3);
    std::fs::remove_dir_all(cluster.data_dir(3)).unwrap();
    cluster.start(3);
    let marker = "let the node come back as another member: ";
    until("it to be told", async || cluster.log(3).contains(marker)).await;
    cluster.kill(3);
    let log = cluster.log(3);
    let told = log.lines().find_map(|line| line.split(marker).nth(1)).unwrap();
    let commands: Vec<&str> = told.split('`').skip(1).step_by(2).collect();
    let [remove, aside, start, add, promote] = commands.as_slice() else { panic!("{told}") };
    let config = cluster.config().display().to_string();
    let client = format!("raft-client set-config --config {config}");
    assert_eq!(*remove, format!("{client} --remove 3"));
    let peer = cluster.peer_address(3);
    assert_eq!(*add, format!("{client} --add 3={peer} --learner"));
    assert_eq!(*promote, format!("{client} --promote 3"));

    cluster.set_members(&[(1, Voter), (2, Voter)]).await;
    assert!(Command::new("sh").args(["-c", aside]).status().unwrap().success(), "{aside}");
    assert!(!cluster.data_dir(3).exists() && cluster.data_dir(3).with_extension("lost").exists());
    let mut words = start.split(' ');
    assert_eq!(words.next(), Some("raft-server"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft-server"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null());
    cluster.run(3, command);
    cluster.set_members(&[(1, Voter), (2, Voter), (3, Learner)]).await;
    until("it to have all", async || cluster.status(3).await.keys == 1).await;
    cluster.set_members(&[(1, Voter), (2, Voter), (3, Voter)]).await;

    // It counts: without it there would be no majority.
    let leader = cluster.leader().await;
    let other = (1..=2).find(|&id| id != leader).unwrap();
    cluster.kill(other);
    cluster.put("other", b"value").await;
    assert_eq!(cluster.get("key").await.as_deref(), Some(&b"value"[..]));
}

/// A node is started on a copy that was made a while ago, under the leader that knows how far it was. It
/// says so, once, whether anybody writes or not; and it stays where it is.
#[tokio::test]
async fn an_older_copy_of_a_disk_is_noticed() {
    let more = "raft: {snapshot: {entries: 4, trailing: 1}}\n";
    let mut cluster = Cluster::with(3, more);
    cluster.start_all();
    for number in 0..10 {
        cluster.put(&format!("before {number}"), b"value").await;
    }
    let leader = cluster.leader().await;
    let victim = cluster.ids().find(|&id| id != leader).unwrap();
    until("a snapshot", async || 0 < cluster.status(victim).await.snapshot_index).await;
    cluster.kill(victim);
    let copy = cluster.data_dir(victim).with_extension("copy");
    let is_done = |command: &mut Command| command.status().unwrap().success();
    assert!(is_done(Command::new("cp").arg("-r").arg(cluster.data_dir(victim)).arg(&copy)));
    cluster.start(victim);
    for number in 0..10 {
        cluster.put(&format!("after {number}"), b"value").await;
    }
    let has_confirmed = async || {
        let status = cluster.status(leader).await;
        let peer = status.peers.iter().find(|peer| peer.id == victim);
        peer.is_some_and(|peer| peer.match_index == status.last_index)
    };
    until("it to confirm all", has_confirmed).await;
    cluster.kill(victim);
    std::fs::remove_dir_all(cluster.data_dir(victim)).unwrap();
    std::fs::rename(&copy, cluster.data_dir(victim)).unwrap();
    cluster.start(victim);

    let told = "an older copy of itself";
    until("it to say so", async || cluster.log(victim).contains(told)).await;
    until("more heartbeats", async || 10 < cluster.status(victim).await.messages_dropped).await;
    assert_eq!(cluster.log(victim).matches(told).count(), 1, "{}", cluster.log(victim));
    assert!(cluster.log(victim).contains(&format!(
        "set-config --config {} --remove {victim}",
        cluster.config().display()
    )));
    let (led, here) = (cluster.status(leader).await, cluster.status(victim).await);
    let peer = led.peers.iter().find(|peer| peer.id == victim).unwrap();
    assert!(here.last_index < peer.match_index, "{here:?} {peer:?}");
}

/// A damaged directory is refused with the same words, after the advice to put it back.
#[tokio::test]
async fn a_damaged_disk_is_told_the_way_back() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    cluster.put("key", b"value").await;
    cluster.put("other", b"value").await;
    cluster.kill(1);
    std::fs::remove_file(cluster.data_dir(1).join("wal/0000000000000001.log")).unwrap();
    cluster.start(1);
    assert_eq!(cluster.ended(1).await.code(), Some(2));
    let log = cluster.log(1);
    let hint = log.lines().find(|line| line.starts_with("hint: put the file back")).unwrap();
    let (dir, config) = (cluster.data_dir(1), cluster.config());
    for command in [
        format!("`mv {0} {0}.lost`", dir.display()),
        format!("`raft-server --id 1 --config {} --join`", config.display()),
    ] {
        assert!(hint.contains(&command), "{hint}");
    }
}

impl Cluster {
    /// Has the leader make this the configuration.
    async fn set_members(&self, members: &[(u64, MemberRole)]) {
        let member = |&(id, role): &(u64, MemberRole)| pb::Member {
            id,
            peer_addr: self.peer_address(id),
            client_addr: self.client_address(id),
            role: role.into(),
            ..pb::Member::default()
        };
        let members: Vec<_> = members.iter().map(member).collect();
        until("the configuration", async || {
            let mut done = false;
            for id in [1, 2] {
                let members = members.clone();
                let request =
                    pb::SetConfigurationRequest { members, expected: vec![], force: false };
                let answer = self.management(id).await.set_configuration(request).await;
                done |= answer.is_ok_and(|answer| answer.into_inner().header.unwrap().success);
            }
            done
        })
        .await;
    }
}
