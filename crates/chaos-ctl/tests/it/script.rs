//! `scripts/local-cluster.sh` from start to clean, and what `status` says on the way.

use std::path::Path;
use std::process::Output;

use super::cluster::built;
use super::readme::shell;
use super::stage::{Stage, finish, text, wait_for};

/// What a command says, and what it exits with.
fn typed(stage: &Stage, bin: &Path, command: &str) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        finish(shell(stage, bin, &format!("scripts/local-cluster.sh {command}")));
    (status.code(), text(&stdout) + &text(&stderr))
}

fn expect(code: i32, words: &[&str], (ended, said): &(Option<i32>, String)) {
    assert_eq!(*ended, Some(code), "{said}");
    for words in words {
        assert!(said.contains(words), "{words} is in:\n{said}");
    }
}

#[test]
fn a_node_is_killed_and_restarted_by_the_script_and_all_is_cleaned() {
    let stage = Stage::new();
    let server = built("raft-server");
    built("raft-client");
    let bin = server.parent().unwrap();
    let typed = |command: &str| typed(&stage, bin, command);
    expect(0, &["ready in"], &typed("start"));
    expect(2, &["needs a node"], &typed("kill"));
    expect(2, &["no node n9"], &typed("kill 9"));
    expect(2, &["one node"], &typed("kill 1 2"));
    expect(0, &["n2", "SIGKILL"], &typed("kill 2"));
    expect(8, &["down"], &typed("status"));
    expect(0, &["n2 started"], &typed("start 2"));
    wait_for("a whole cluster", || (typed("status").0 == Some(0)).then_some(()));
    expect(0, &["n1", "SIGTERM", "n1 started"], &typed("restart 1"));
    let home = stage.path(".raft/test");
    expect(0, &["left alone", "removed 0"], &typed("clean --yes"));
    assert!(home.is_dir());
    expect(0, &["leftovers 0"], &typed("stop"));
    expect(0, &["--yes removes"], &typed("clean"));
    assert!(home.is_dir());
    expect(0, &["removed 1"], &typed("clean --yes"));
    assert!(!home.exists());
    expect(0, &["nothing in"], &typed("clean"));
}
