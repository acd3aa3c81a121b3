//! Handing leadership over: to whom, through what, and what the program says of it.

use std::time::Duration;

use assert_cmd::Command;
use raft_api::pb::Refusal;
use raft_client::{Client, Options, TransferError, Transferred};

use crate::fake::{Fakes, World};

const LONG: Duration = Duration::from_mins(1);

fn client(fakes: &Fakes) -> Client {
    let attempt_timeout = Duration::from_millis(400);
    Client::new(Options { attempt_timeout, ..Options::new(fakes.addrs()) })
}

fn nodes(done: &Transferred) -> (u64, u64) {
    (done.from.node, done.to.node)
}

#[tokio::test]
async fn leadership_goes_where_it_is_sent() {
    let fakes = Fakes::start(3);
    let client = client(&fakes);
    let done = client.transfer_leadership(Some(3), LONG).await.unwrap();
    assert_eq!((nodes(&done), done.to.term, done.led_already()), ((1, 3), 2, false));
    assert_eq!(done.to.addr, fakes.addr(3));
    let done = client.transfer_leadership(None, LONG).await.unwrap();
    assert_eq!(nodes(&done), (3, 1));
    let done = client.transfer_leadership(Some(1), LONG).await.unwrap();
    assert!(done.led_already());
    assert_eq!(client.put("k".into(), "v".into()).await.unwrap().receipt.node, 1);
}

/// What passes is waited for, and a leader that has changed by itself is asked in its turn.
#[tokio::test]
async fn a_transfer_goes_on_after_refusals_of_the_moment() {
    let fakes = Fakes::start(3);
    let client = client(&fakes);
    fakes.twist_transfer(|_, _| Some((Refusal::Transferring, "")));
    fakes.twist_transfer(|world: &mut World, _| {
        world.elect(2);
        Some((Refusal::NotLeader, ""))
    });
    let done = client.transfer_leadership(Some(3), LONG).await.unwrap();
    assert_eq!((nodes(&done), done.to.term), ((1, 3), 3));
}

/// A transfer whose answer is lost is found to be made.
#[tokio::test]
async fn a_transfer_without_an_answer_is_looked_after() {
    for to in [None, Some(2)] {
        let fakes = Fakes::start(3);
        let client = client(&fakes);
        fakes.twist_transfer(|world: &mut World, _| {
            world.elect(2);
            None
        });
        let done = client.transfer_leadership(to, LONG).await.unwrap();
        assert_eq!((nodes(&done), done.to.term), ((1, 2), 2), "{to:?}");
    }
}

/// Somebody else is elected, again and again.
#[tokio::test]
async fn a_transfer_that_leads_elsewhere_is_repeated_and_then_told() {
    let fakes = Fakes::start(3);
    let client = client(&fakes);
    for leader in [2, 1, 2] {
        fakes.twist_transfer(move |world: &mut World, _| {
            world.elect(leader);
            Some((Refusal::None, ""))
        });
    }
    let error = client.transfer_leadership(Some(3), LONG).await.unwrap_err();
    let TransferError::Elsewhere { leader } = error else { panic!("{error}") };
    assert_eq!((leader.node, leader.term), (2, 4));
}

fn run(fakes: &Fakes, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("raft-client").unwrap();
    command.args(["--endpoints", &fakes.addrs().join(","), "transfer-leader"]).args(arguments);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_program_tells_from_whom_to_whom() {
    let fakes = Fakes::start(3);
    let [one, two] = [fakes.addr(1), fakes.addr(2)];
    let (code, out, err) = run(&fakes, &["n2"]);
    assert_eq!((code, &*err), (0, ""));
    let said = format!("n1 {one} term 1 -> n2 {two} term 2   in ");
    assert!(out.starts_with(&said) && out.ends_with(" ms\n"), "{out}");
    let again = run(&fakes, &["2"]);
    assert_eq!(again, (0, format!("n2 {two} term 2 leads already\n"), String::new()));

    let (code, out, err) = run(&fakes, &["9"]);
    assert_eq!((code, &*out), (4, ""));
    assert!(err.starts_with("error: n9 is not a member\nhint: "), "{err}");
    fakes.world().member_is_learner(3);
    let (code, out, err) = run(&fakes, &["3"]);
    assert_eq!((code, &*out), (4, ""));
    assert!(err.starts_with("error: n2 leads on: that node is not a voter\nhint: "), "{err}");
    assert_eq!(run(&fakes, &["someone"]).0, 2);

    let (code, out, _) = run(&fakes, &["-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &report["schema"]), (0, &"raft-transfer-leader/1".into()));
    assert_eq!((&report["from"]["node"], &report["to"]["node"]), (&2.into(), &1.into()));
    assert!(report["changed"] == true && report["elapsed_us"].is_u64(), "{out}");
}
