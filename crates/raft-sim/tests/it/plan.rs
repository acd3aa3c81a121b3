//! Plans are text that can be kept: what is read again is what was written, and does the same.

use raft_sim::shrink::{kind_of, shrink};
use raft_sim::{Fault, Plan, Sabotage, Scenario, run};

#[test]
fn a_plan_survives_being_written_down() {
    for seed in 0..300 {
        let plan = Plan::draw(seed);
        let text = plan.to_string();
        let again: Plan = text.parse().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(again.to_string(), text);
    }
    let plan = Plan::draw(7);
    let again: Plan = plan.to_string().parse().unwrap();
    assert_eq!(run(plan, None).hash, run(again, None).hash);
}

/// What a plan does not say is as in a quiet world, so that old plans keep their meaning.
#[test]
fn what_is_not_said_is_plain() {
    let plan: Plan = "raft-sim plan 1 # the shortest\n\nrecover all".parse().unwrap();
    assert_eq!(plan.scenario.settings(), Scenario::plain().settings());
    assert!(run(plan, None).violation.is_none());
}

#[test]
fn a_plan_that_makes_no_sense_is_refused_with_its_line() {
    let cases = [
        ("", "a plan begins with `raft-sim plan 1`"),
        ("raft-sim plan 2", "a plan begins with `raft-sim plan 1`"),
        ("raft-sim plan 1\n", "`recover` is missing"),
        ("raft-sim plan 1\nrecover soon", "line 2: wanted: `recover all`"),
        ("raft-sim plan 1\nnods 3\nrecover all", "line 2: nods: there is no such setting"),
        ("raft-sim plan 1\nnodes x\nrecover all", "line 2: nodes: `x` is no number"),
        ("raft-sim plan 1\nnodes 3\nnodes 3\nrecover all", "line 3: nodes is there twice"),
        ("raft-sim plan 1\nnodes 8\nrecover all", "there are 1 to 7 machines"),
        ("raft-sim plan 1\nfaults Powr\nrecover all", "line 2: faults: `Powr` is none of Power"),
        ("raft-sim plan 1\nrecover all\nat 1 power who=n1", "line 3: `down=` is missing"),
        ("raft-sim plan 1\nrecover all\nat 1.x power who=n1 down=1", "`1.x` is no time"),
        ("raft-sim plan 1\nrecover all\nat 1 powr", "nobody knows how to do `powr`"),
        (
            "raft-sim plan 1\nrecover all\nat 2 lead salt=1\nat 1 lead salt=1",
            "not in the order of its times",
        ),
    ];
    for (text, expected) in cases {
        let error = text.parse::<Plan>().unwrap_err();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

/// A failing plan shrinks to a few things that are done, and fails as before.
#[test]
fn a_failing_plan_shrinks() {
    let mut scenario = Scenario::draw(1);
    scenario.sabotage = Some(Sabotage::LyingDisks);
    scenario.faults.extend([Fault::Power, Fault::Partition]);
    let plan = Plan::of(scenario);
    let violation = |plan: &Plan| {
        let violation = run(plan.clone(), None).violation;
        violation.map(|violation| kind_of(&violation.to_string()).to_owned())
    };
    let kind = violation(&plan).expect("it fails");
    let (acts, mut trials) = (plan.acts.len(), 0);
    let shrunk = shrink(plan, 300, |plan| {
        trials += 1;
        violation(plan).as_ref() == Some(&kind)
    });
    assert!(trials <= 300);
    assert!(shrunk.acts.len() <= 2 && shrunk.acts.len() < acts, "{shrunk}");
    let again: Plan = shrunk.to_string().parse().unwrap();
    assert_eq!(violation(&again), Some(kind));
}
