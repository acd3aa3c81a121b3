//! Members that come and go, leadership that is handed over, reads from any node: on real processes.

use std::time::Duration;

use nix::sys::signal::Signal;
use raft_api::pb;
use raft_api::pb::MemberRole::{Learner, Voter};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Cluster, PATIENCE, until};

#[expect(clippy::unwrap_used, reason = "a test may")]
impl Cluster {
    fn member(&self, id: u64, role: pb::MemberRole) -> pb::Member {
        pb::Member {
            id,
            peer_addr: self.peer_address(id),
            client_addr: self.client_address(id),
            role: role.into(),
            ..pb::Member::default()
        }
    }

    /// Asks the leader for a configuration until it says yes.
    async fn reconfigure(&self, members: Vec<pb::Member>) -> pb::SetConfigurationResponse {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let answer = self.try_reconfigure(members.clone(), Vec::new()).await;
            if answer.header.as_ref().unwrap().success {
                return answer;
            }
            assert!(Instant::now() < give_up, "{answer:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn try_reconfigure(
        &self,
        members: Vec<pb::Member>,
        expected: Vec<pb::Member>,
    ) -> pb::SetConfigurationResponse {
        let leader = self.leader().await;
        let request = pb::SetConfigurationRequest { members, expected, force: false };
        let mut management = self.management(leader).await;
        management.set_configuration(request).await.unwrap().into_inner()
    }

    /// When a node last wrote such a line to its log.
    fn logged_at(&self, id: u64, what: &str) -> String {
        let log = self.log(id);
        let line = log.lines().rfind(|line| line.contains(what));
        let time = line.and_then(|line| line.split_whitespace().next());
        time.unwrap_or_else(|| panic!("no line has `{what}`:\n{log}")).to_owned()
    }

    async fn caught_up(&self, id: u64) {
        let leader = self.leader().await;
        let index = self.status(leader).await.commit_index;
        until("a node to catch up", async || index <= self.status(id).await.applied_index).await;
    }
}

fn ids(members: &[pb::Member]) -> Vec<(u64, pb::MemberRole)> {
    members.iter().map(|member| (member.id, member.role())).collect()
}

/// Two nodes join, each from an empty directory; all the first ones leave; the new ones have
/// everything, know each other after a restart, and those that left fall silent.
#[tokio::test]
async fn every_founder_is_replaced() {
    let mut cluster = Cluster::with_newcomers(1, 2);
    cluster.start(1);
    for number in 0..20 {
        cluster.put(&format!("key {number}"), b"value").await;
    }
    cluster.join(2);
    cluster.join(3);
    until("n2 to wait", async || cluster.log(2).contains("belongs to no cluster yet")).await;

    let voters = |ids: &[u64]| ids.iter().map(|&id| cluster.member(id, Voter)).collect::<Vec<_>>();
    let answer = cluster.reconfigure(voters(&[1, 2, 3])).await;
    assert_eq!(ids(&answer.members), [(1, Voter), (2, Voter), (3, Voter)]);
    assert!(!answer.joint);
    cluster.caught_up(2).await;
    cluster.caught_up(3).await;

    // The leader removes itself: another takes over.
    let request = pb::SetConfigurationRequest {
        members: voters(&[2, 3]),
        ..pb::SetConfigurationRequest::default()
    };
    let mut founder = cluster.management(1).await;
    let answer = founder.set_configuration(request).await.unwrap().into_inner();
    assert!(answer.header.unwrap().success);
    until("n1 to be told", async || cluster.status(1).await.removed).await;
    // It sends clients away at once. If each of them waited there for a leader, of whom it will
    // never hear, this would last longer than our patience.
    let turned_away = async {
        for _ in 0..200 {
            let request = pb::OpenSessionRequest {};
            let header = founder.open_session(request).await.unwrap().into_inner().header;
            assert_eq!(header.unwrap().refusal(), pb::Refusal::Removed);
        }
    };
    timeout(PATIENCE, turned_away).await.expect("nobody waits at a node that was removed");
    // It says so, and who is left.
    let answer = founder.get_leader(pb::GetLeaderRequest {}).await.unwrap().into_inner();
    assert!(answer.removed && answer.leader_id == 0, "{answer:?}");
    assert_eq!(answer.member_addrs, [2, 3].map(|id| cluster.client_address(id)));
    let header = founder.open_session(pb::OpenSessionRequest {}).await.unwrap().into_inner().header;
    let message = header.unwrap().message;
    assert!(message.contains(&cluster.client_address(3)), "{message}");
    cluster.kill(1);
    cluster.put("later", b"value").await;
    until("n2 to have all", async || cluster.status(2).await.keys == 21).await;

    for id in [2, 3] {
        cluster.kill(id);
        cluster.join(id);
    }
    cluster.put("latest", b"value").await;
    assert_eq!(cluster.get("key 7").await.as_deref(), Some(&b"value"[..]));
    let leader = cluster.leader().await;
    let mut management = cluster.management(leader).await;
    let now = management.get_configuration(pb::GetConfigurationRequest {}).await.unwrap();
    assert_eq!(ids(&now.into_inner().members), [(2, Voter), (3, Voter)]);
}

/// A node that is in no file and has joined once needs nothing to be told to come back, not even its
/// address: its directory knows.
#[tokio::test]
async fn a_node_that_joined_starts_again_by_itself() {
    let mut cluster = Cluster::with_newcomers(1, 1);
    cluster.start(1);
    cluster.put("key", b"value").await;
    cluster.join(2);
    cluster.reconfigure(vec![cluster.member(1, Voter), cluster.member(2, Voter)]).await;
    cluster.caught_up(2).await;
    cluster.kill(2);
    cluster.start(2);
    cluster.put("key", b"other").await;
    assert_eq!(cluster.status(2).await.node_id, 2);
}

/// What makes no sense, or rests on what is no longer so, or would end in a standstill, is refused,
/// and changes nothing.
#[tokio::test]
async fn bad_changes_are_refused() {
    let mut cluster = Cluster::with_newcomers(3, 1);
    for id in 1..=3 {
        cluster.start(id);
    }
    cluster.put("key", b"value").await;
    let voters = |ids: &[u64]| ids.iter().map(|&id| cluster.member(id, Voter)).collect::<Vec<_>>();
    let learner = |id| cluster.member(id, Learner);
    let nowhere =
        |id, peer: &str| pb::Member { id, peer_addr: peer.to_owned(), ..pb::Member::default() };
    let cases = [
        (vec![learner(1)], vec![], pb::Refusal::MembershipSenseless),
        (voters(&[1, 1]), vec![], pb::Refusal::Invalid),
        (vec![pb::Member::default()], vec![], pb::Refusal::Invalid),
        ((1..=5000).map(|id| nowhere(id, "")).collect(), vec![], pb::Refusal::MembershipTooMany),
        (vec![nowhere(1, ""), nowhere(2, "host\n:7001")], vec![], pb::Refusal::Invalid),
        (vec![nowhere(1, ""), nowhere(2, " 127.0.0.1:7001")], vec![], pb::Refusal::Invalid),
        (
            vec![nowhere(1, ""), nowhere(2, &format!("{}:1", "h".repeat(300)))],
            vec![],
            pb::Refusal::Invalid,
        ),
        (vec![nowhere(1, ""), nowhere(2, "no address")], vec![], pb::Refusal::Invalid),
        (voters(&[1, 2]), voters(&[1, 2]), pb::Refusal::MembershipChanged),
    ];
    for (members, expected, refusal) in cases {
        let answer = cluster.try_reconfigure(members.clone(), expected).await;
        assert_eq!(answer.header.unwrap().refusal(), refusal, "{members:?}");
    }
    // n4 does not run: as a voter it would not catch up, and stays a learner.
    let answer = cluster.try_reconfigure(voters(&[1, 2, 3, 4]), voters(&[1, 2, 3])).await;
    assert_eq!(answer.header.unwrap().refusal(), pb::Refusal::MembershipBehind);
    assert_eq!(ids(&answer.members), [(1, Voter), (2, Voter), (3, Voter), (4, Learner)]);
    // Two of three down: the one that is left would have to agree with one that is gone.
    let leader = cluster.leader().await;
    let followers: Vec<u64> = (1..=3).filter(|&id| id != leader).collect();
    cluster.kill(followers[0]);
    until("the leader to miss it", async || {
        let peers = cluster.status(leader).await.peers;
        peers.iter().any(|peer| peer.id == followers[0] && 1000 < peer.heard_ms)
    })
    .await;
    let two = [leader, followers[0]].map(|id| cluster.member(id, Voter)).to_vec();
    let answer = cluster.try_reconfigure(two, vec![]).await;
    assert_eq!(answer.header.unwrap().refusal(), pb::Refusal::MembershipUnreachable);
    cluster.put("other", b"value").await;
}

/// A learner has everything, serves reads, and leads never.
#[tokio::test]
async fn a_learner_reads_and_does_not_lead() {
    let mut cluster = Cluster::with_newcomers(1, 1);
    cluster.start(1);
    cluster.put("key", b"value").await;
    cluster.join(2);
    let members = vec![cluster.member(1, Voter), cluster.member(2, Learner)];
    cluster.reconfigure(members).await;
    cluster.caught_up(2).await;
    let get = pb::GetRequest { key: "key".into(), consistency: 0 };
    let read = cluster.kv(2).await.get(get).await.unwrap().into_inner();
    assert_eq!(read.header.unwrap().node_id, 2);
    assert_eq!(read.value.as_deref(), Some(&b"value"[..]));
    let request = pb::TransferLeadershipRequest { to: 2 };
    let mut management = cluster.management(1).await;
    let refused = management.transfer_leadership(request).await.unwrap().into_inner();
    assert_eq!(refused.header.unwrap().refusal(), pb::Refusal::Transfer);
    assert_eq!(cluster.status(2).await.role(), pb::Role::Learner);
}

/// Linearizable reads from every node see what was acknowledged before, whoever is asked.
#[tokio::test]
async fn every_node_serves_fresh_reads() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    for number in 0..20_u32 {
        cluster.put("key", &number.to_be_bytes()).await;
        for id in cluster.ids() {
            let get = pb::GetRequest { key: "key".into(), consistency: 0 };
            let read = cluster.kv(id).await.get(get).await.unwrap().into_inner();
            assert!(read.header.as_ref().unwrap().success, "{read:?}");
            assert_eq!(read.header.unwrap().node_id, id);
            assert_eq!(read.value.as_deref(), Some(&number.to_be_bytes()[..]));
        }
    }
}

/// Leadership goes where it is sent, and a leader that is told to end hands over first: no election
/// because of silence.
#[tokio::test]
async fn leadership_is_handed_over() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    cluster.put("key", b"value").await;
    let leader = cluster.leader().await;
    let to = cluster.ids().find(|&id| id != leader).unwrap();
    let mut management = cluster.management(leader).await;
    let request = pb::TransferLeadershipRequest { to };
    let answer = management.transfer_leadership(request).await.unwrap().into_inner();
    assert!(answer.header.unwrap().success);
    until("the chosen one to lead", async || cluster.leader().await == to).await;
    assert_eq!(cluster.status(to).await.campaigns_transfer, 1);

    cluster.signal(to, Signal::SIGTERM);
    assert!(cluster.ended(to).await.success());
    cluster.kill(to);
    let next = cluster.leader().await;
    assert_eq!(cluster.status(next).await.campaigns_transfer, 1);
    assert!(cluster.log(to).contains("hands over leadership"), "{}", cluster.log(to));
}

/// A leader that is told to end while another node is away stays until that one is back: its
/// successor would have no majority to lead.
#[tokio::test]
async fn a_leader_waits_until_it_can_be_done_without() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    cluster.put("key", b"value").await;
    let leader = cluster.leader().await;
    let away = cluster.ids().find(|&id| id != leader).unwrap();
    cluster.kill(away);
    until("the leader to notice", async || {
        let status = cluster.status(leader).await;
        status.peers.iter().any(|peer| peer.id == away && 200 < peer.heard_ms)
    })
    .await;
    cluster.signal(leader, Signal::SIGTERM);
    cluster.start(away);
    assert!(cluster.ended(leader).await.success());
    let handed_over = cluster.logged_at(leader, "hands over leadership");
    // Its log is that of both lives.
    assert!(cluster.logged_at(away, " ready ") < handed_over, "{}", cluster.log(leader));
    cluster.kill(leader);
    cluster.put("key", b"other").await;
}

/// A killed leader is noticed by its sockets, unless that is switched off.
#[tokio::test]
async fn a_killed_leader_is_noticed_by_its_sockets() {
    for fast in [true, false] {
        let more = format!("raft: {{fast_failover: {fast}}}\n");
        let mut cluster = Cluster::with(3, &more);
        cluster.start_all();
        cluster.put("key", b"value").await;
        let dead = cluster.leader().await;
        let alive: Vec<u64> = cluster.ids().filter(|&id| id != dead).collect();
        let campaigns = async |cluster: &Cluster| {
            let mut counts = (0, 0);
            for &id in &alive {
                let status = cluster.status(id).await;
                counts.0 += status.campaigns_leader_lost;
                counts.1 += status.campaigns_timeout;
            }
            counts
        };
        let before = campaigns(&cluster).await;
        cluster.kill(dead);
        cluster.put("key", b"other").await;
        let (lost, silent) = campaigns(&cluster).await;
        assert_eq!(0 < lost, fast, "lost {lost}, silent {silent}, before {before:?}");
        assert!(fast || before.1 < silent);
    }
}

/// A node whose disk is gone comes back as a new member under its old id; one that was removed and
/// kept running is told, and disturbs nobody.
#[tokio::test]
async fn a_replaced_disk_comes_back_as_a_new_member() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    cluster.put("key", b"value").await;
    let leader = cluster.leader().await;
    let lost = cluster.ids().find(|&id| id != leader).unwrap();
    cluster.kill(lost);
    std::fs::remove_dir_all(cluster.data_dir(lost)).unwrap();
    let others: Vec<u64> = cluster.ids().filter(|&id| id != lost).collect();
    let voters = |cluster: &Cluster, ids: &[u64]| {
        ids.iter().map(|&id| cluster.member(id, Voter)).collect::<Vec<_>>()
    };
    cluster.reconfigure(voters(&cluster, &others)).await;
    cluster.start_joining(lost);
    cluster.reconfigure(voters(&cluster, &[1, 2, 3])).await;
    cluster.caught_up(lost).await;
    assert!(!cluster.log(leader).contains("another data directory"), "{}", cluster.log(leader));

    let term = cluster.status(leader).await.term;
    cluster.reconfigure(voters(&cluster, &others)).await;
    until("the removed one to be told", async || cluster.status(lost).await.removed).await;
    sleep(Duration::from_secs(1)).await;
    cluster.put("key", b"other").await;
    assert_eq!(cluster.status(leader).await.term, term, "{}", cluster.log(lost));
}

/// A newcomer that was silent, and was asked for at a wrong address, gets its vote when it is there and
/// asked for again.
#[tokio::test]
async fn a_silent_newcomer_may_be_asked_for_again() {
    let mut cluster = Cluster::with_newcomers(1, 1);
    cluster.start(1);
    cluster.put("key", b"value").await;
    let nowhere = pb::Member { peer_addr: "127.0.0.1:1".to_owned(), ..cluster.member(2, Voter) };
    let answer = cluster.try_reconfigure(vec![cluster.member(1, Voter), nowhere], vec![]).await;
    assert_eq!(answer.header.unwrap().refusal(), pb::Refusal::MembershipBehind);
    cluster.join(2);
    let both = vec![cluster.member(1, Voter), cluster.member(2, Voter)];
    let answer = cluster.try_reconfigure(both, vec![]).await;
    assert!(answer.header.as_ref().unwrap().success, "{answer:?}");
    assert_eq!(ids(&answer.members), [(1, Voter), (2, Voter)]);
    assert_eq!(answer.members[1].peer_addr, cluster.peer_address(2));
}
