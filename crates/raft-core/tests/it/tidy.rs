//! House rules that no compiler checks: who may import whom, and how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who may import whom: the workspace's crates among each one's normal dependencies.
const IMPORTS: [(&str, &[&str]); 12] = [
    ("raft-core", &[]),
    ("lin-check", &[]),
    ("chaos-net", &[]),
    ("chaos-report", &[]),
    ("raft-kv", &[]),
    ("raft-replica", &["raft-core"]),
    ("raft-api", &["raft-core"]),
    ("raft-rpc", &[]),
    ("raft-server", &["raft-api", "raft-core", "raft-kv", "raft-replica", "raft-rpc"]),
    ("raft-client", &["lin-check", "raft-api", "raft-kv", "raft-rpc"]),
    ("raft-sim", &["lin-check", "raft-core", "raft-kv", "raft-replica"]),
    (
        "chaos-ctl",
        &["chaos-net", "chaos-report", "lin-check", "raft-api", "raft-client", "raft-kv"],
    ),
];

/// What a ring must never see, directly: each ring admits one more kind of impurity.
const NEVER: [(&str, &[&str]); 4] = [
    ("raft-core", &["tokio", "tonic", "prost", "rand", "serde", "tracing", "thiserror"]),
    ("raft-kv", &["tokio", "tonic", "prost", "rand", "tracing"]),
    ("raft-replica", &["tokio", "tonic", "prost", "rand", "tracing"]),
    ("raft-sim", &["tokio", "tonic", "rand"]),
];

/// Lines a source file may have, tests included.
const LINES_MAX: usize = 700;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Normal dependencies of every crate of the workspace, as cargo sees them.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut all = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        let normal = list(&package["dependencies"]).into_iter().filter(|it| it["kind"].is_null());
        all.insert(text(&package["name"]), normal.map(|it| text(&it["name"])).collect());
    }
    all
}

#[test]
fn dependencies_point_inwards() {
    let all = dependencies();
    let ours: BTreeSet<&str> = IMPORTS.iter().map(|(name, _)| *name).collect();
    let found: BTreeSet<&str> = all.keys().map(String::as_str).collect();
    assert_eq!(found, ours, "a new crate needs a line in IMPORTS");
    for (name, allowed) in IMPORTS {
        for import in &all[name] {
            let foreign = !ours.contains(import.as_str());
            assert!(foreign || allowed.contains(&import.as_str()), "{name} imports {import}");
        }
    }
    for (name, never) in NEVER {
        for import in &all[name] {
            assert!(!never.contains(&import.as_str()), "{name} must not see {import}");
        }
    }
}

/// Server-side file access goes through one file, so that a simulated disk can take its place.
#[test]
fn only_the_disk_touches_files() {
    for name in ["raft-core", "raft-replica", "raft-kv", "raft-sim"] {
        for path in sources(&root().join("crates").join(name).join("src")) {
            let text = std::fs::read_to_string(&path).expect("readable");
            let uses = text.contains("std::fs") || text.contains("fs::File");
            let may = name == "raft-replica" && path.ends_with("src/disk.rs")
                || name == "raft-sim" && path.ends_with("src/plan_file.rs");
            assert!(!uses || may, "{} touches files", path.display());
        }
    }
}

#[test]
fn files_are_rooms_not_halls() {
    for path in sources(&root().join("crates")) {
        let lines = std::fs::read_to_string(&path).expect("readable").lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines", path.display());
    }
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
