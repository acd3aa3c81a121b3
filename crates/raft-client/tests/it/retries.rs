//! Trying again: what is repeated, under which number, and how it ends.

use std::time::Duration;

use raft_api::pb::Refusal;
use raft_client::{CasOutcome, Client, ClientError, FailedKind, FaultKind, Found, Options};

use crate::fake::{Act, Fakes};

/// A client that has written once, under sequence 1.
async fn warm(fakes: &Fakes) -> Client {
    let client = Client::new(Options {
        attempt_timeout: Duration::from_millis(300),
        ..Options::new([fakes.addr(1)])
    });
    put(&client).await.unwrap();
    client
}

async fn put(client: &Client) -> Result<Found<bool>, ClientError> {
    client.put("k".into(), "v".into()).await
}

/// Node, sequence and first outstanding number of every write that arrived.
fn arrived(fakes: &Fakes) -> Vec<(u64, u64, u64)> {
    let world = fakes.world();
    let row = |(node, session): &(u64, raft_api::pb::Session)| {
        (*node, session.sequence, session.first_outstanding)
    };
    world.writes.iter().map(row).collect()
}

#[tokio::test]
async fn each_write_has_the_next_number_and_forgets_the_answers_before() {
    let fakes = Fakes::start(1);
    let client = warm(&fakes).await;
    put(&client).await.unwrap();
    let swapped = client.cas("k".into(), Some("v".into()), Some("w".into())).await.unwrap();
    assert_eq!(swapped.value, CasOutcome::Swapped);
    assert_eq!(arrived(&fakes), [(1, 1, 1), (1, 2, 2), (1, 3, 3)]);
    assert_eq!(client.counters(), raft_client::Counters::default());
}

/// A hint is followed at once, under the same number.
#[tokio::test]
async fn a_hint_is_followed() {
    let fakes = Fakes::start(2);
    let client = warm(&fakes).await;
    fakes.elect(2);
    let receipt = put(&client).await.unwrap().receipt;
    assert_eq!((receipt.node, receipt.leader, receipt.term, receipt.attempts), (2, 2, 2, 2));
    assert_eq!(arrived(&fakes)[1..], [(1, 2, 2), (2, 2, 2)]);
}

/// Two nodes that name each other do not keep the client running between them.
#[tokio::test]
async fn hints_in_a_circle_end_in_pauses() {
    let fakes = Fakes::start(2);
    let client = warm(&fakes).await;
    fakes.elect(0);
    fakes.script(1, [Act::NotLeader { hint: 2 }; 100]);
    fakes.script(2, [Act::NotLeader { hint: 1 }; 100]);
    let (written, ()) = tokio::join!(put(&client), async {
        fakes.writes_reach(3).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        fakes.world().script.clear();
        fakes.elect(2);
    });
    let attempts = written.unwrap().receipt.attempts;
    assert!((3..40).contains(&attempts), "{attempts} attempts");
}

/// Refusals that mean "nothing was done, later perhaps".
#[tokio::test]
async fn passing_refusals_are_waited_out() {
    let fakes = Fakes::start(1);
    let client = warm(&fakes).await;
    let refusals = [Refusal::Overloaded, Refusal::Stopping, Refusal::DiskFull];
    fakes.script(1, refusals.map(Act::Refuse));
    let receipt = put(&client).await.unwrap().receipt;
    assert_eq!((receipt.attempts, receipt.duplicate), (4, false));
    let kinds: Vec<_> = client.counters().faults.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [FaultKind::Overloaded, FaultKind::Stopping, FaultKind::DiskFull]);
}

/// Refusals that no repeat would change.
#[tokio::test]
async fn final_refusals_end_the_write_at_once() {
    let table = [
        (Refusal::TooLarge, FailedKind::TooLarge),
        (Refusal::Invalid, FailedKind::Invalid),
        (Refusal::SessionStale, FailedKind::Rejected),
    ];
    for (refusal, kind) in table {
        let fakes = Fakes::start(1);
        let client = warm(&fakes).await;
        fakes.script(1, [Act::Refuse(refusal)]);
        let error = put(&client).await.unwrap_err();
        let ClientError::Failed(failed) = error else { panic!("{refusal:?}: {error}") };
        assert_eq!(failed.kind, kind);
        assert_eq!(arrived(&fakes).len(), 2, "{refusal:?} is not tried again");
    }
}

/// The write was applied, but the node could not say so: the repeat carries the same number and is
/// recognised.
#[tokio::test]
async fn a_repeat_after_a_doubt_applies_once() {
    for act in [Act::ApplyInDoubt, Act::ApplyAndHang] {
        let fakes = Fakes::start(1);
        let client = warm(&fakes).await;
        fakes.script(1, [act]);
        let receipt = put(&client).await.unwrap().receipt;
        assert_eq!((receipt.attempts, receipt.duplicate), (2, true), "{act:?}");
        assert_eq!(arrived(&fakes)[1..], [(1, 2, 2), (1, 2, 2)]);
        assert_eq!(fakes.world().applied, 2);
        assert_eq!(client.counters().duplicates, 1);
    }
}

/// A write that was never sent under the lost session may go out under a new one.
#[tokio::test]
async fn an_expired_session_is_replaced_if_nothing_is_in_doubt() {
    let fakes = Fakes::start(1);
    let client = warm(&fakes).await;
    fakes.forget_sessions();
    let receipt = put(&client).await.unwrap().receipt;
    assert!(!receipt.duplicate);
    let sessions: Vec<u64> = fakes.world().writes.iter().map(|(_, session)| session.id).collect();
    assert_eq!(sessions, [1, 1, 2]);
}

/// A process that ended amid a write hands its session on: the next one makes the same write, and it is
/// applied once, whether or not it had been before.
#[tokio::test]
async fn a_resumed_session_recognises_the_write_of_before() {
    for was_made in [true, false] {
        let fakes = Fakes::start(1);
        let before = warm(&fakes).await;
        let state = before.session_state().await.unwrap();
        assert_eq!((state.id, state.next), (1, 2));
        if was_made {
            put(&before).await.unwrap();
        }
        let client = Client::new(Options::new([fakes.addr(1)]));
        client.resume(state);
        assert_eq!(client.session_state().await, Ok(state));
        let receipt = put(&client).await.unwrap().receipt;
        assert_eq!((receipt.duplicate, fakes.world().applied), (was_made, 2));
        // The next write is its own.
        assert!(!put(&client).await.unwrap().receipt.duplicate);
        assert_eq!(arrived(&fakes).last(), Some(&(1, 3, 3)));
        assert_eq!(fakes.world().applied, 3);
    }
}

/// Nobody can tell whether the first write of a resumed session that has expired was made before: it is
/// not made again under another session.
#[tokio::test]
async fn a_resumed_session_that_expired_leaves_its_first_write_unknown() {
    let fakes = Fakes::start(1);
    let before = warm(&fakes).await;
    let state = before.session_state().await.unwrap();
    fakes.forget_sessions();
    let client = Client::new(Options::new([fakes.addr(1)]));
    client.resume(state);
    let error = put(&client).await.unwrap_err();
    let ClientError::Unknown(unknown) = error else { panic!("{error}") };
    assert!(unknown.session_lost);
    assert_eq!(fakes.world().applied, 1, "not applied under another session");
    assert!(!put(&client).await.unwrap().receipt.duplicate, "the next one is made under a new one");
    assert_eq!(client.session_state().await.unwrap().id, 2);
}

/// With an attempt in doubt a new session would risk a second application.
#[tokio::test]
async fn an_expired_session_after_a_doubt_is_an_unknown_outcome() {
    let fakes = Fakes::start(1);
    let client = warm(&fakes).await;
    fakes.script(1, [Act::ApplyInDoubt]);
    fakes.script(1, [Act::Refuse(Refusal::SessionUnknown)]);
    let error = put(&client).await.unwrap_err();
    let ClientError::Unknown(unknown) = error else { panic!("{error}") };
    assert!(unknown.session_lost);
    assert_eq!(fakes.world().applied, 2, "and indeed it had been applied");
}

/// No answer at all: after a sent attempt the outcome is unknown, and other writes go on.
#[tokio::test]
async fn silence_until_the_deadline_is_an_unknown_outcome() {
    let fakes = Fakes::start(1);
    let client = warm(&fakes).await;
    fakes.script(1, [Act::Hang; 10]);
    let command = raft_kv::Command::Delete { key: "k".into() }.encode();
    let within = Duration::from_millis(500);
    let error = client.propose_within(command, within).await.unwrap_err();
    let ClientError::Unknown(unknown) = error else { panic!("{error}") };
    assert!(!unknown.session_lost);
    assert!(within <= unknown.after);
    fakes.world().script.clear();
    put(&client).await.unwrap();
    let last = *arrived(&fakes).last().unwrap();
    assert_eq!(last, (1, 3, 3), "nobody waits for the answer to number 2 any more");
}
