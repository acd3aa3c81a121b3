//! Plans that once violated something. Each says in its first lines what it found.

use std::path::Path;

use raft_sim::{Plan, run};
use test_each_file::test_each_path;

test_each_path! { for ["plan"] in "crates/raft-sim/tests/it/regressions" as plans => replay }

fn replay([path]: [&Path; 1]) {
    let text = std::fs::read_to_string(path).unwrap();
    let plan: Plan = text.parse().unwrap();
    let report = run(plan, None);
    if let Some(violation) = &report.violation {
        panic!("{} violates {violation}\n{}", path.display(), report.recent.join("\n"));
    }
}
