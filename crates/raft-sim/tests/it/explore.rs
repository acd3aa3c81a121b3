//! Every order of events, within bounds small enough for a debug build, keeps what must always hold;
//! and what an exploration leaves out does not change what it finds.

use raft_sim::explore::{Bounds, Report, explore};

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
    reduced: true,
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
fn an_election_an_entry_and_a_crash() {
    let report = explore_all(Bounds { entries: 1, crashes: 1, ..SMALL });
    assert!(1_000 < report.states, "{report:?}");
}

#[test]
fn two_elections_at_once_or_one_after_the_other() {
    explore_all(Bounds { terms: 2, timeouts: 2, ..SMALL });
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
        Bounds { nodes: 2, terms: 2, timeouts: 2, ..SMALL },
        Bounds { nodes: 2, entries: 1, timeouts: 2, ..SMALL },
    ];
    for bounds in bounds {
        let reduced = explore_all(bounds);
        let whole = explore_all(Bounds { reduced: false, ..bounds });
        assert_eq!(reduced.views, whole.views, "{bounds:?}");
        assert!(reduced.states < whole.states, "{bounds:?}");
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
