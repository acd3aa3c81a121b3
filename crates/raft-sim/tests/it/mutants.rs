//! Deliberate bugs: each that the code contains is looked for, and a few are found here and now. All
//! of them are looked for by `cargo run --profile mutants -p raft-sim -- mutants`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use raft_sim::mutants::{MUTANTS, are_included};

/// What is found by the very first seeds, in each part of the code.
const SOON: &[&str] = &[
    "half is a majority",
    "a match is taken for the whole log",
    "the first of several entries is not written",
    "a snapshot is labelled with the log's end",
];

/// In a process of its own: a bug is switched on for all of it.
#[test]
fn a_few_are_found_at_once() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft-sim"));
    command.args(["mutants", "--seeds", "8"]);
    for name in SOON {
        command.args(["--only", name]);
    }
    let output = command.output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if are_included() {
        assert_eq!(output.status.code(), Some(0), "{out}{err}");
        assert!(SOON.iter().all(|name| out.contains(&format!("| {name} |"))), "{out}");
        assert!(out.contains("violate nothing"), "{out}");
    } else {
        assert_eq!(output.status.code(), Some(2), "{out}{err}");
        assert!(err.contains("no build without debug assertions"), "{err}");
    }
}

/// The list names what the code contains, and nothing else.
#[test]
fn the_list_is_complete() {
    let listed: BTreeSet<String> = MUTANTS.iter().map(|it| it.name.to_owned()).collect();
    assert_eq!(listed.len(), MUTANTS.len(), "some are there twice");
    let mut contained = BTreeSet::new();
    for name in ["raft-core", "raft-replica"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
        collect(&dir, &mut contained);
    }
    assert_eq!(listed, contained);
    #[cfg(debug_assertions)]
    assert!(
        listed.iter().eq(BTreeSet::from_iter(raft_core::mutants::NAMES)),
        "as in ring 0's list"
    );
}

fn collect(dir: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else if !path.ends_with("raft-core/src/mutants.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for use_ in text.split("mutant!(").skip(1) {
                let name = use_.split('"').nth(1).unwrap();
                names.insert(name.to_owned());
            }
        }
    }
}
