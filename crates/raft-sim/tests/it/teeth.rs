//! The simulator bites: a world that breaks the rules on purpose is found out by an invariant,
//! within a few seeds.

use raft_sim::{Fault, Plan, Sabotage, Scenario, run};

/// Whether one of these properties is found violated within `seeds` seeds that have this sabotage,
/// and these faults as well.
fn is_found_out(seeds: u64, sabotage: Sabotage, faults: &[Fault], properties: &[&str]) -> bool {
    (1..=seeds).any(|seed| {
        let mut scenario = Scenario::draw(seed);
        scenario.faults.extend(faults);
        scenario.sabotage = Some(sabotage);
        let violation = run(Plan::of(scenario), None).violation;
        violation.is_some_and(|violation| properties.contains(&violation.property))
    })
}

/// A disk that says "synced" and keeps nothing, and the power fails: promises are broken.
#[test]
fn lying_disks_are_found_out() {
    let properties = ["what is durable survives", "terms and indexes only grow"];
    assert!(is_found_out(10, Sabotage::LyingDisks, &[Fault::Power], &properties));
}

/// A network that turns "no" into "yes" elects two leaders in one term, or one that lacks what is
/// committed.
#[test]
fn forged_votes_are_found_out() {
    let faults = [Fault::Partition, Fault::Power];
    let properties = ["election safety", "leader completeness"];
    assert!(is_found_out(60, Sabotage::ForgedVotes, &faults, &properties));
}

/// A network that changes entries makes two logs differ where they claim to be the same.
#[test]
fn forged_entries_are_found_out() {
    assert!(is_found_out(10, Sabotage::ForgedEntries, &[], &["log matching"]));
}
