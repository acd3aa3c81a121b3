//! Writes over a stream promise what they promise over calls.

use std::time::Duration;

use futures_util::future::join_all;
use raft_api::pb::Refusal;
use raft_client::{Client, ClientError, FaultKind, Options};

use crate::fake::{Act, Fakes};

fn client(fakes: &Fakes) -> Client {
    Client::new(Options {
        attempt_timeout: Duration::from_millis(300),
        pipelined: true,
        ..Options::new([fakes.addr(1)])
    })
}

async fn put(client: &Client, key: u64) -> Result<raft_client::Receipt, ClientError> {
    let put = client.put(key.to_string().into(), "v".into());
    put.await.map(|found| found.receipt)
}

/// Sequences of the writes that arrived, in their order.
fn arrived(fakes: &Fakes) -> Vec<(u64, u64)> {
    fakes.world().writes.iter().map(|(node, session)| (*node, session.sequence)).collect()
}

#[tokio::test]
async fn many_at_once_are_each_done_once() {
    let fakes = Fakes::start(1);
    let client = client(&fakes);
    let receipts = join_all((0..500).map(|key| put(&client, key))).await;
    assert!(receipts.iter().all(|it| it.as_ref().is_ok_and(|it| it.attempts == 1)));
    let mut sequences: Vec<u64> = arrived(&fakes).into_iter().map(|(_, number)| number).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=500).collect::<Vec<_>>());
}

/// A refusal ends the stream: its own write follows the hint, and those behind it, which were not
/// taken up, go out again under their numbers. None is in doubt.
#[tokio::test]
async fn what_was_not_taken_up_goes_out_again() {
    let fakes = Fakes::start(2);
    let client = client(&fakes);
    put(&client, 0).await.unwrap();
    fakes.elect(2);
    let receipts = join_all((1..=50).map(|key| put(&client, key))).await;
    for receipt in receipts {
        let receipt = receipt.unwrap();
        assert_eq!((receipt.node, receipt.duplicate), (2, false));
    }
    let at_2 = arrived(&fakes).into_iter().filter(|(node, _)| *node == 2);
    let mut sequences: Vec<u64> = at_2.map(|(_, number)| number).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (2..=51).collect::<Vec<_>>());
    let faults = client.counters().faults;
    assert!(faults.iter().all(|(kind, _)| !kind.may_have_happened()), "{faults:?}");
    assert!(faults.iter().any(|(kind, _)| *kind == FaultKind::NotTakenUp), "{faults:?}");
}

/// One that was applied, though its answer says that nobody knows, is recognised when it comes again.
#[tokio::test]
async fn a_repeat_is_recognised() {
    let fakes = Fakes::start(1);
    let client = client(&fakes);
    put(&client, 0).await.unwrap();
    fakes.script(1, [Act::ApplyInDoubt]);
    let receipt = put(&client, 1).await.unwrap();
    assert!(receipt.duplicate);
    assert_eq!(arrived(&fakes), [(1, 1), (1, 2), (1, 2)]);
    fakes.script(1, [Act::Refuse(Refusal::TooLarge)]);
    assert!(matches!(put(&client, 2).await, Err(ClientError::Failed(_))));
    put(&client, 3).await.unwrap();
}

/// A stream that breaks leaves its writes in doubt; without anybody to ask they end so.
#[tokio::test]
async fn a_broken_stream_leaves_a_doubt() {
    let mut fakes = Fakes::start(1);
    let client = client(&fakes);
    put(&client, 0).await.unwrap();
    fakes.script(1, [Act::ApplyAndHang]);
    let within = Duration::from_secs(2);
    let command = raft_kv::Command::Delete { key: "k".into() }.encode();
    let writing = client.propose_within(command, within);
    let killing = async {
        fakes.writes_reach(2).await;
        fakes.kill(1);
    };
    let (written, ()) = tokio::join!(writing, killing);
    assert!(matches!(written, Err(ClientError::Unknown(_))), "{written:?}");
}
