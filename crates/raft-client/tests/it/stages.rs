//! `status --stages` against real servers under load.

use std::process::Stdio;

use serde_json::Value;

use crate::real::Real;

/// The stages of a node that were measured at all.
fn measured(node: &Value) -> Vec<&str> {
    let stages = node["stages"].as_array().unwrap().iter();
    let stages = stages.filter(|stage| 0 < stage["count"].as_u64().unwrap());
    stages.map(|stage| stage["name"].as_str().unwrap()).collect()
}

/// Under load the leader tells what a write passes through, the followers tell their part, and the sum
/// is that of the parts; without load there is nothing to tell.
#[test]
fn tells_where_the_time_of_writes_goes() {
    let real = Real::start();
    assert!(real.run(&["bench", "--wait", "1m", "-n", "1", "--no-files"]).status.success());
    let mut load = real.client(&["bench", "-c", "1", "-z", "10m", "--no-files"]);
    let mut load = load.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let told = loop {
        let output = real.run(&["status", "--stages", "--for", "300ms", "-o", "json"]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        // The load takes a while to begin.
        if !told["write"].is_null() {
            break told;
        }
        assert!(load.try_wait().unwrap().is_none(), "the load has ended: {told}");
    };
    let text = said_in_time(&real, "a write at n");
    load.kill().unwrap();
    load.wait().unwrap();

    assert_eq!(told["schema"], "raft-stages/1");
    assert_eq!(told["window_ms"], 300);
    let nodes = told["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3, "{told}");
    let write = &told["write"];
    let leader = nodes.iter().find(|node| node["id"] == write["leader"]).unwrap();
    assert_eq!(leader["role"], "leader");
    let all = ["queue", "commit", "apply", "reply", "wal wait", "wal write", "fsync"];
    assert_eq!(measured(leader), all, "{told}");
    let parts = write["stages"].as_array().unwrap().iter().map(|stage| &stage["p50_ns"]);
    let parts: u64 = parts.map(|nanos| nanos.as_u64().unwrap()).sum();
    let wire = write["wire_and_client_ns"].as_u64().unwrap();
    assert!(0 < wire);
    assert_eq!(write["sum_ns"], parts + wire, "{write}");
    let followers = nodes.iter().filter(|node| node["id"] != write["leader"]);
    assert!(followers.clone().any(|node| measured(node).contains(&"follow")), "{told}");

    for expected in [
        "STAGE",
        "medians in \u{b5}s: wire and client ",
        "commit holds, at the same time: the leader's wal wait + wal write + fsync ",
    ] {
        assert!(text.contains(expected), "{expected} in:\n{text}");
    }
    said_in_time(&real, "no write was done at a leader meanwhile");
}

/// What is said once it has these words in it: load begins and ends when it can.
fn said_in_time(real: &Real, words: &str) -> String {
    let say = || real.run(&["status", "--stages", "--for", "300ms"]).stdout;
    let all = (0..100).map(|_| String::from_utf8(say()).unwrap());
    all.into_iter().find(|text| text.contains(words)).expect("it is said at last")
}
