//! Every order of events, within bounds small enough for a debug build, keeps what must always hold;
//! what an exploration leaves out does not change what it finds; and it finds rules that are broken.

use std::process::Command;

use raft_sim::explore::{Bounds, Reduction, Report, Sabotage, audit, explore};

const SMALL: Bounds = Bounds {
    nodes: 3,
    terms: 1,
    entries: 0,
    timeouts: 1,
    hints: 0,
    crashes: 0,
    heartbeats: 0,
    reads: 0,
    lapses: false,
    append_entries: 4096,
    reduction: Reduction::All,
    sabotage: None,
    states: 1_000_000,
};

/// Explores all of it, and finds nothing wrong.
fn explore_all(bounds: Bounds) -> Report {
    let report = explore(bounds, |_| ());
    if let Some((violation, story)) = &report.violation {
        panic!("{bounds:?} violates {violation}\n{}", story.join("\n"));
    }
    assert!(report.complete, "{bounds:?} has more than {} states", report.states);
    report
}

#[test]
fn an_election_two_entries_and_a_crash() {
    let report = explore_all(Bounds { entries: 1, crashes: 1, ..SMALL });
    assert!(1_000 < report.states, "{report:?}");
    explore_all(Bounds { entries: 2, timeouts: 2, ..SMALL });
}

#[test]
fn two_elections_at_once_or_one_after_the_other() {
    explore_all(Bounds { terms: 2, timeouts: 2, crashes: 1, ..SMALL });
    explore_all(Bounds { timeouts: 2, entries: 1, ..SMALL });
}

#[test]
fn a_leader_that_is_gone_or_only_said_to_be() {
    let report = explore_all(Bounds { terms: 2, timeouts: 2, hints: 1, ..SMALL });
    let without = explore_all(Bounds { terms: 2, timeouts: 2, ..SMALL });
    assert!(without.states < report.states, "{report:?}");
}

#[test]
fn a_follower_that_has_waited_for_a_timeout_and_does_not_campaign() {
    let bounds = Bounds { nodes: 2, terms: 2, timeouts: 2, ..SMALL };
    let report = explore_all(Bounds { lapses: true, ..bounds });
    assert!(explore_all(bounds).views <= report.views, "{report:?}");
}

#[test]
fn a_read_and_a_heartbeat() {
    explore_all(Bounds { nodes: 2, heartbeats: 2, ..SMALL });
    explore_all(Bounds { nodes: 2, reads: 1, entries: 1, ..SMALL });
}

#[test]
fn a_single_node_and_a_pair() {
    explore_all(Bounds { nodes: 1, terms: 2, timeouts: 2, entries: 2, crashes: 2, ..SMALL });
    explore_all(Bounds { nodes: 2, terms: 2, timeouts: 2, crashes: 1, ..SMALL });
}

/// A search that leaves nothing out sees the same roles, terms, logs and commit indexes.
#[test]
fn what_is_left_out_does_not_matter() {
    let bounds = [
        Bounds { nodes: 2, crashes: 1, ..SMALL },
        Bounds { nodes: 2, crashes: 1, entries: 1, ..SMALL },
        Bounds { nodes: 2, terms: 2, timeouts: 2, ..SMALL },
        Bounds { nodes: 2, entries: 1, timeouts: 2, hints: 1, ..SMALL },
        Bounds { nodes: 2, heartbeats: 1, crashes: 1, ..SMALL },
    ];
    for bounds in bounds {
        let reduced = explore_all(bounds);
        let whole = explore_all(Bounds { reduction: Reduction::Nothing, ..bounds });
        assert_eq!(reduced.views, whole.views, "{bounds:?}");
        assert!(reduced.states < whole.states, "{bounds:?}");
    }
}

/// Messages that are left out, and orders that are, do not change which states of the nodes come
/// together.
#[test]
fn messages_that_are_left_out_do_not_matter() {
    let bounds = [
        Bounds { crashes: 1, ..SMALL },
        Bounds { timeouts: 2, ..SMALL },
        Bounds { nodes: 2, terms: 2, timeouts: 2, entries: 1, hints: 1, ..SMALL },
        Bounds { nodes: 2, terms: 2, timeouts: 2, entries: 1, crashes: 1, ..SMALL },
    ];
    for bounds in bounds {
        let reduced = explore_all(bounds);
        let whole = explore_all(Bounds { reduction: Reduction::Writes, ..bounds });
        let seen = |report: &Report| (report.scenes, report.views);
        assert_eq!(seen(&reduced), seen(&whole), "{bounds:?}");
        assert!(reduced.states < whole.states, "{bounds:?}");
    }
}

/// What is claimed of each message that is left out holds in all states of nodes that are met.
#[test]
fn what_is_claimed_of_what_is_left_out_holds() {
    for (bounds, least) in [
        (Bounds { entries: 1, crashes: 1, ..SMALL }, 10_000),
        (Bounds { terms: 2, timeouts: 2, hints: 1, ..SMALL }, 100_000),
    ] {
        let claims = audit(bounds).unwrap_or_else(|wrong| panic!("{bounds:?}: {wrong}"));
        assert!(least < claims, "{bounds:?}: {claims}");
    }
}

/// The same bounds give the same exploration.
#[test]
fn an_exploration_can_be_repeated() {
    let bounds = Bounds { terms: 2, timeouts: 2, ..SMALL };
    let numbers = |report: &Report| (report.states, report.steps, report.views, report.runs);
    assert_eq!(numbers(&explore_all(bounds)), numbers(&explore_all(bounds)));
}

/// Bounds that are too wide end without a verdict.
#[test]
fn an_exploration_that_is_cut_short_says_so() {
    let report = explore(Bounds { states: 100, entries: 1, ..SMALL }, |_| ());
    assert!(!report.complete);
    assert!(report.violation.is_none());
}

/// Rules that are broken on purpose are found out, each by a short story.
#[test]
fn broken_rules_are_found_out() {
    let crash = Bounds { timeouts: 2, crashes: 1, ..SMALL };
    let two_terms = Bounds { terms: 2, timeouts: 2, ..SMALL };
    let slow = Bounds { terms: 2, timeouts: 3, append_entries: 1, ..SMALL };
    let cases = [
        (Sabotage::EarlyPromises, crash, "a promise is durable", 5),
        (Sabotage::LyingDisks, crash, "a promise is durable", 5),
        (Sabotage::ForgottenVotes, crash, "one vote per term", 5),
        (Sabotage::DoubleVotes, crash, "election safety", 12),
        (Sabotage::ForgedVotes, crash, "election safety", 12),
        (Sabotage::OldCommits, slow, "only entries of the own term are counted", 20),
        (Sabotage::LostLeaders, two_terms, LEADERS_ARE_PROTECTED, 15),
    ];
    for (sabotage, bounds, property, length) in cases {
        let report = explore(Bounds { sabotage: Some(sabotage), ..bounds }, |_| ());
        let Some((violation, story)) = report.violation else { panic!("{sabotage:?}: {report:?}") };
        assert_eq!(violation.property, property, "{sabotage:?}: {violation}");
        assert!(story.len() <= length, "{sabotage:?}: {}", story.join("\n"));
        explore_all(bounds);
    }
}

const LEADERS_ARE_PROTECTED: &str = "who hears its leader does not help to depose it";

/// Deliberate bugs in the core itself are found out: by a rule, or because a claim that the search rests
/// on does not hold. They are switched on in processes of their own.
#[test]
fn bugs_of_the_core_are_found_out() {
    let explore = |mutant: &str, bounds: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_raft-sim"));
        command.arg("explore").args(bounds.split_whitespace()).args(["--mutant", mutant]);
        let done = command.output().expect("it was built for this test");
        (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let crash = "--terms 2 --entries 0 --hints 0 --timeouts 2 --crashes 1";
    let again = "--terms 2 --entries 0 --hints 0 --timeouts 3 --crashes 1";
    let slow = "--terms 2 --entries 1 --hints 0 --timeouts 2 --crashes 0 --append-entries 1";
    let pair = "--nodes 2 --terms 1 --entries 0 --hints 0 --timeouts 2 --crashes 0";
    let audit = "--terms 2 --entries 0 --hints 0 --timeouts 2 --crashes 0 --audit";
    let cases = [
        ("a vote is told before it is durable", crash, "a promise is durable"),
        ("a term is written without its vote", crash, "a promise is durable"),
        ("a candidate leads before its own vote is durable", crash, "a promise is durable"),
        ("votes are asked for before the log is durable", again, "a promise is durable"),
        ("an append is acknowledged before it is durable", crash, "a promise is durable"),
        ("a node votes twice in a term", crash, "a promise is durable"),
        ("a vote is given to any log", crash, "leader completeness"),
        ("a conflict is not cut", crash, "what is committed is on a majority of disks"),
        ("a leader counts itself by memory", crash, "what is committed is on a majority of disks"),
        // Which of the two is met first depends on hashes.
        ("half is a majority", pair, "election safety|what is committed is on a majority of disks"),
        ("an old append cuts what follows it", slow, "a promise is durable"),
        (
            "an entry of an earlier term is committed by counting",
            slow,
            "only entries of the own term are counted",
        ),
        ("a vote of another term counts", audit, "a spent message changes a node"),
        ("an answer of an earlier term counts", audit, "a spent message changes a node"),
    ];
    for (mutant, bounds, property) in cases {
        let (status, told) = explore(mutant, bounds);
        assert_eq!(status, Some(5), "{mutant}: {told}");
        assert!(property.split('|').any(|it| told.contains(it)), "{mutant}: {told}");
    }
}
