//! Writes over a stream: order, repeats, and how a stream ends.

use nix::sys::signal::Signal;
use raft_api::pb;
use raft_kv::{Command, Reply};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use crate::support::{Cluster, PATIENCE};

/// More than a node takes up at once.
const MANY: u64 = 10_000;

fn propose(session: Option<pb::Session>) -> pb::ProposeRequest {
    pb::ProposeRequest { data: Command::Propose { data: "data".into() }.encode(), session }
}

/// How often a write was proposed, as the store's answer to the last one tells.
fn count(answer: &pb::ProposeResponse) -> u64 {
    match Reply::decode(&answer.result) {
        Ok(Reply::Proposed { count }) => count,
        other => panic!("{other:?} of {answer:?}"),
    }
}

async fn next(
    answers: &mut Streaming<pb::ProposeResponse>,
) -> Result<Option<pb::ProposeResponse>, Status> {
    timeout(PATIENCE, answers.message()).await.expect("an answer, or the end")
}

/// A stream to a node, and the way into it.
async fn stream(
    cluster: &Cluster,
    id: u64,
) -> (mpsc::Sender<pb::ProposeRequest>, Streaming<pb::ProposeResponse>) {
    let (requests, queue) = mpsc::channel(64);
    let mut client = cluster.management(id).await;
    let answers = client.propose_stream(ReceiverStream::new(queue)).await.unwrap();
    (requests, answers.into_inner())
}

/// However many are under way: each goes into the log once, in its order, and is answered in it.
#[tokio::test]
async fn writes_are_carried_out_and_answered_in_their_order() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    assert_eq!(cluster.leader().await, 1);
    let (requests, mut answers) = stream(&cluster, 1).await;
    let sending = tokio::task::JoinSet::from_iter([async move {
        for _ in 0..MANY {
            requests.send(propose(None)).await.unwrap();
        }
    }]);
    let mut last = 0;
    for number in 1..=MANY {
        let answer = next(&mut answers).await.unwrap().unwrap();
        assert!(answer.success && last < answer.index, "{answer:?} after index {last}");
        assert_eq!(count(&answer), number);
        last = answer.index;
    }
    sending.join_all().await;
    assert_eq!(next(&mut answers).await.unwrap(), None, "all is answered, and no more comes");
}

/// What makes no sense is refused in its place, and those around it are done; a repeat is known.
#[tokio::test]
async fn each_write_has_an_answer_of_its_own() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    let mut client = cluster.management(1).await;
    let opened = client.open_session(pb::OpenSessionRequest {}).await.unwrap().into_inner();
    let id = opened.session_id;
    let under = |sequence| propose(Some(pb::Session { id, sequence, first_outstanding: 1 }));
    let (requests, mut answers) = stream(&cluster, 1).await;
    let nonsense = pb::ProposeRequest { data: "what?".into(), session: None };
    let lost = propose(Some(pb::Session { id: id + 1, sequence: 1, first_outstanding: 1 }));
    for request in [under(1), nonsense, under(1), lost, under(2)] {
        requests.send(request).await.unwrap();
    }
    let mut seen = Vec::new();
    for _ in 0..5 {
        let answer = next(&mut answers).await.unwrap().unwrap();
        seen.push((answer.refusal(), answer.duplicate));
    }
    let done = pb::Refusal::None;
    let expected = [
        (done, false),
        (pb::Refusal::Invalid, false),
        (done, true),
        (pb::Refusal::SessionUnknown, false),
        (done, false),
    ];
    assert_eq!(seen, expected);
}

/// A node that does not lead says who does, and ends the stream: nothing that came later is done.
#[tokio::test]
async fn a_follower_ends_the_stream() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    let leader = cluster.leader().await;
    let follower = cluster.ids().find(|&id| id != leader).unwrap();
    let last = cluster.status(leader).await.last_index;
    let (requests, mut answers) = stream(&cluster, follower).await;
    for _ in 0..10 {
        // It may have ended already.
        drop(requests.send(propose(None)).await);
    }
    let first = next(&mut answers).await.unwrap().unwrap();
    assert_eq!((first.refusal(), first.leader_id), (pb::Refusal::NotLeader, leader));
    let mut rest = 0;
    while let Some(answer) = next(&mut answers).await.unwrap() {
        assert_eq!(answer.refusal(), pb::Refusal::NotLeader);
        rest += 1;
    }
    assert!(rest < 10);
    assert_eq!(cluster.status(leader).await.last_index, last);
}

/// Leadership moves away in the middle. What was done is answered so, what may be done too, and the
/// stream ends without an error: all others are not done. The store's own count agrees.
#[tokio::test]
async fn a_change_of_the_leader_ends_the_stream_and_leaves_no_write_in_the_dark() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    let leader = cluster.leader().await;
    let (requests, mut answers) = stream(&cluster, leader).await;
    let sending = tokio::task::JoinSet::from_iter([async move {
        while requests.send(propose(None)).await.is_ok() {}
    }]);
    let (mut done, mut unknown) = (0, 0);
    for _ in 0..200 {
        assert!(next(&mut answers).await.unwrap().unwrap().success);
        done += 1;
    }
    let mut client = cluster.management(leader).await;
    let transferring = tokio::task::JoinSet::from_iter([async move {
        client.transfer_leadership(pb::TransferLeadershipRequest { to: 0 }).await.unwrap()
    }]);
    while let Some(answer) = next(&mut answers).await.unwrap() {
        match answer.refusal() {
            pb::Refusal::None => done += 1,
            pb::Refusal::OutcomeUnknown => unknown += 1,
            pb::Refusal::NotLeader | pb::Refusal::Transferring | pb::Refusal::Overloaded => (),
            other => panic!("{other:?}"),
        }
    }
    sending.join_all().await;
    transferring.join_all().await;
    let new = cluster.leader().await;
    assert_ne!(new, leader);
    let mut client = cluster.management(new).await;
    let last = client.propose(propose(None)).await.unwrap().into_inner();
    let counted = count(&last) - 1;
    assert!((done..=done + unknown).contains(&counted), "{done} <= {counted} <= {done}+{unknown}");
}

/// A node that is told to end does not wait for a stream that nobody uses.
#[tokio::test]
async fn the_end_of_a_node_ends_its_streams() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    assert_eq!(cluster.leader().await, 1);
    let (requests, mut answers) = stream(&cluster, 1).await;
    requests.send(propose(None)).await.unwrap();
    assert!(next(&mut answers).await.unwrap().unwrap().success);
    cluster.signal(1, Signal::SIGTERM);
    assert_eq!(next(&mut answers).await.unwrap(), None, "an end without an error");
    assert!(cluster.ended(1).await.success());
}
