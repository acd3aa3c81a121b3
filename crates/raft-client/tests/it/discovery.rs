//! Finding the leader.

use std::time::Duration;

use raft_api::pb::MemberRole;
use raft_client::{Client, ClientError, Consistency, FailedKind, FaultKind, Options, ReadFrom};

use crate::fake::{Act, Fakes, mute, nobody};

fn client(endpoints: impl IntoIterator<Item = String>) -> Client {
    let attempt_timeout = Duration::from_millis(400);
    Client::new(Options { attempt_timeout, ..Options::new(endpoints) })
}

/// One endpoint is enough, even if it does not lead and the others are dead or mute.
#[tokio::test]
async fn any_living_endpoint_leads_to_the_leader() {
    let fakes = Fakes::start(3);
    let (_mute, mute) = mute();
    let (_nobody, nobody) = nobody();
    let client = client([nobody, mute, fakes.addr(2)]);
    let leader = client.get_leader().await.unwrap();
    assert_eq!((leader.node, leader.addr, leader.term), (1, fakes.addr(1), 1));
    let known: Vec<String> = client.status_all().await.into_iter().map(|node| node.addr).collect();
    assert!(fakes.addrs().iter().all(|addr| known.contains(addr)), "the members are learnt");
}

/// A node that was removed says so, and whom it knew last: one of those tells the rest.
#[tokio::test]
async fn a_removed_endpoint_leads_to_those_who_stayed() {
    let fakes = Fakes::start(4);
    fakes.world().members.remove(&3);
    fakes.world().members.remove(&4);
    fakes.world().removed = [(3, vec![fakes.addr(4)]), (4, vec![fakes.addr(2)])].into();
    let client = client([fakes.addr(3)]);
    assert_eq!(client.get_leader().await.unwrap().node, 1);
    assert_eq!(client.removed_endpoints(), [fakes.addr(3)]);
    // With nobody left it is said as well.
    fakes.elect(0);
    let operation_timeout = Duration::from_millis(200);
    let lost = Client::new(Options { operation_timeout, ..Options::new([fakes.addr(3)]) });
    let error = lost.put("k".into(), "v".into()).await.unwrap_err().to_string();
    assert!(error.contains("removed from the cluster"), "{error}");
}

/// A node that was removed goes on naming the leader that removed it, which was removed itself.
#[tokio::test]
async fn the_leader_of_a_removed_endpoint_is_not_taken_on_trust() {
    let fakes = Fakes::start(4);
    for id in [1, 2] {
        fakes.world().members.remove(&id);
        let left = vec![fakes.addr(3), fakes.addr(4)];
        fakes.world().removed.insert(id, left);
    }
    fakes.world().bygone = 2;
    fakes.elect(4);
    let leader = client([fakes.addr(1)]).get_leader().await.unwrap();
    assert_eq!((leader.node, leader.addr), (4, fakes.addr(4)));
}

/// The members are learnt anew with the first operation after they became others, however soon that
/// is: a moment later those that were known may all be gone.
#[tokio::test]
async fn an_answer_that_tells_of_other_members_has_them_learnt() {
    let mut fakes = Fakes::start(2);
    fakes.world().members.remove(&2);
    let client = client([fakes.addr(1)]);
    client.put("k".into(), "1".into()).await.unwrap();
    client.put("k".into(), "2".into()).await.unwrap();
    let known = async |client: &Client| {
        let nodes = client.status_all().await;
        nodes.into_iter().map(|node| node.addr).collect::<Vec<_>>()
    };
    assert_eq!(known(&client).await, [fakes.addr(1)]);
    let joined = fakes.world().member(2, MemberRole::Voter);
    fakes.world().members.insert(2, joined);
    fakes.world().members_as_of = 7;
    // With the operation after it, unless that reading is slow: then with the next one. A hundred take
    // a fraction of the second after which the members are read without any news.
    for _ in 0..100 {
        client.put("k".into(), "3".into()).await.unwrap();
        if known(&client).await.len() == 2 {
            break;
        }
    }
    assert_eq!(known(&client).await, [fakes.addr(1), fakes.addr(2)]);
    fakes.kill(1);
    fakes.elect(2);
    client.put("k".into(), "4".into()).await.unwrap();
}

/// The leader's death is noticed by its connection, and its successor found although the others
/// go on naming the dead one for a while.
#[tokio::test]
async fn a_dead_leaders_successor_is_found() {
    let mut fakes = Fakes::start(3);
    let client = client(fakes.addrs());
    client.put("k".into(), "1".into()).await.unwrap();
    fakes.kill(1);
    let (written, ()) = tokio::join!(client.put("k".into(), "2".into()), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        fakes.elect(3);
    });
    let receipt = written.unwrap().receipt;
    assert_eq!((receipt.node, receipt.term), (3, 2));
    let found = client.get("k".into(), Consistency::Linearizable).await.unwrap();
    assert_eq!((found.value, found.receipt.node), (Some("2".into()), 3));
}

/// A stopped leader costs no more than the silence after which others are asked, not even the whole
/// attempt.
#[tokio::test]
async fn a_mute_leader_is_left_as_soon_as_another_one_leads() {
    let fakes = Fakes::start(3);
    let patient = Duration::from_mins(1);
    let client = Client::new(Options {
        attempt_timeout: patient,
        operation_timeout: patient,
        ..Options::new(fakes.addrs())
    });
    client.put("k".into(), "1".into()).await.unwrap();
    fakes.script(1, [Act::ApplyAndHang]);
    let (written, ()) = tokio::join!(client.put("k".into(), "2".into()), async {
        fakes.writes_reach(2).await;
        fakes.elect(2);
    });
    let receipt = written.unwrap().receipt;
    assert_eq!((receipt.node, receipt.attempts, receipt.duplicate), (2, 2, true));
    assert_eq!(fakes.world().applied, 2);
    assert_eq!(client.counters().faults, [(FaultKind::Superseded, 1)]);
}

#[tokio::test]
async fn a_stale_read_asks_any_node() {
    let fakes = Fakes::start(2);
    let client = client([fakes.addr(2)]);
    let found = client.get("k".into(), Consistency::Stale).await.unwrap();
    assert_eq!((found.value, found.receipt.node), (None, 2));
}

/// Nobody there: not done, in time, with each node's reason.
#[tokio::test]
async fn without_a_cluster_every_node_has_its_reason() {
    let ((_dead, dead), (_mute, mute)) = (nobody(), mute());
    let operation_timeout = Duration::from_millis(600);
    let attempt_timeout = Duration::from_millis(200);
    let endpoints = [dead.clone(), mute.clone()];
    let client =
        Client::new(Options { operation_timeout, attempt_timeout, ..Options::new(endpoints) });
    let error = client.put("k".into(), "v".into()).await.unwrap_err();
    let ClientError::Failed(failed) = error else { panic!("{error}") };
    assert_eq!(failed.kind, FailedKind::NoCluster);
    let reasons: Vec<_> = failed.reasons.iter().map(|(addr, fault)| (addr, fault.kind)).collect();
    let mut expected = [(&*dead, FaultKind::ConnectRefused), (&*mute, FaultKind::TimedOut)];
    expected.sort_unstable();
    assert_eq!(reasons, expected);
}

#[tokio::test]
async fn without_a_leader_the_nodes_say_so() {
    let fakes = Fakes::start(2);
    fakes.elect(0);
    let operation_timeout = Duration::from_millis(200);
    let client = Client::new(Options { operation_timeout, ..Options::new(fakes.addrs()) });
    let error = client.put("k".into(), "v".into()).await.unwrap_err();
    let ClientError::Failed(failed) = error else { panic!("{error}") };
    assert_eq!(failed.kind, FailedKind::NoLeader);
    assert_eq!(failed.reasons.iter().count(), 2);
}

/// To be told of a leader that did not serve is something else than to be told of none.
#[tokio::test]
async fn a_node_that_names_a_dead_leader_is_quoted() {
    let mut fakes = Fakes::start(2);
    let operation_timeout = Duration::from_millis(500);
    let client = Client::new(Options { operation_timeout, ..Options::new(fakes.addrs()) });
    client.put("k".into(), "1".into()).await.unwrap();
    fakes.kill(1);
    let error = client.put("k".into(), "2".into()).await.unwrap_err().to_string();
    assert!(error.contains("it names n1, which did not serve us"), "{error}");
    assert!(!error.contains("knows no leader"), "{error}");
}

/// Another cluster at the known addresses, founded on what was left of this one, perhaps: it gets
/// nothing that was meant for this one.
#[tokio::test]
async fn another_cluster_at_the_same_addresses_is_not_used() {
    let fakes = Fakes::start(2);
    let client = |cluster: &str| {
        Client::new(Options {
            cluster: Some(cluster.to_owned()),
            operation_timeout: Duration::from_millis(300),
            ..Options::new(fakes.addrs())
        })
    };
    client("fake").put("k".into(), "1".into()).await.unwrap();
    let error = client("mine").put("k".into(), "2".into()).await.unwrap_err();
    let ClientError::Failed(failed) = error else { panic!("{error}") };
    let kinds: Vec<_> = failed.reasons.iter().map(|(_, fault)| fault.kind).collect();
    assert_eq!(kinds, [FaultKind::OtherCluster; 2]);
    assert!(failed.to_string().contains("it serves 'fake', not 'mine'"), "{failed}");
    let members = client("mine").configuration().await;
    assert!(members.is_err(), "{members:?}");
}

/// Endpoints of two clusters: the one that is found first is meant, and the other is left alone.
#[tokio::test]
async fn endpoints_of_another_cluster_are_not_read_from() {
    let (ours, theirs) = (Fakes::start(1), Fakes::start(1));
    theirs.world().cluster = "another".into();
    let read = async |client: &Client| {
        let key = raft_kv::Query::Get { key: "k".into() }.encode();
        let (level, within) = (Consistency::Linearizable, Duration::from_secs(2));
        client.query_from(key, level, ReadFrom::Any, within).await.unwrap().receipt.attempts
    };
    let client = client([ours.addr(1), theirs.addr(1)]);
    client.ready(Duration::from_secs(2)).await.unwrap();
    let mine = client.get_leader().await.unwrap().addr;
    let (strange, own) = if mine == ours.addr(1) { (&theirs, &ours) } else { (&ours, &theirs) };
    let reads_before = strange.world().reads;
    for _ in 0..20 {
        assert_eq!(read(&client).await, 1);
    }
    assert_eq!(strange.world().reads, reads_before);
    assert_eq!(own.world().reads, 20);
    assert_eq!(client.strange_endpoints(), [strange.addr(1)]);
}

/// A member that keeps silent costs one read half of its time, and the next ones nothing.
#[tokio::test]
async fn a_silent_member_is_avoided_by_reads_from_any() {
    let fakes = Fakes::start(2);
    let (_mute, mute) = mute();
    let silent = raft_api::pb::Member {
        client_addr: mute.clone(),
        ..fakes.world().member(2, MemberRole::Voter)
    };
    fakes.world().members.insert(2, silent);
    let client = client([fakes.addr(1)]);
    client.ready(Duration::from_secs(2)).await.unwrap();
    let mut attempts = Vec::new();
    for _ in 0..40 {
        let key = raft_kv::Query::Get { key: "k".into() }.encode();
        let (level, within) = (Consistency::Linearizable, Duration::from_millis(600));
        let found = client.query_from(key, level, ReadFrom::Any, within).await.unwrap();
        attempts.push(found.receipt.attempts);
    }
    let twice = attempts.iter().filter(|count| 1 < **count).count();
    assert!((1..=2).contains(&twice), "{attempts:?}");
    assert_eq!(client.counters().retries, twice as u64, "a read that is tried again is counted");
}
