//! Real servers, for a few seconds each: killed on purpose, killed by somebody else, and in the
//! background.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::stage::{Stage, events, finish, of_kind, signal, text, wait_for, wait_until_gone};

static SERVER: LazyLock<PathBuf> = LazyLock::new(|| built("raft-server"));

/// A program that was built beside chaos-ctl, or is built now.
pub(crate) fn built(name: &str) -> PathBuf {
    let program = assert_cmd::cargo::cargo_bin!("chaos-ctl").with_file_name(name);
    if !program.is_file() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "-p", name]);
        let folder = program.parent().and_then(|folder| folder.file_name());
        if folder.is_some_and(|folder| folder == "release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "{name} can be built");
        assert!(program.is_file(), "{} is where cargo puts it", program.display());
    }
    program
}

fn with_server<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let server = SERVER.to_str().unwrap();
    args.iter().copied().chain(["--bin", server]).collect()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn pids_of(events: &[Value]) -> Vec<i32> {
    let pids = events.iter().filter(|event| event["kind"] != "begin");
    pids.filter_map(|event| i32::try_from(event["pid"].as_i64()?).ok()).collect()
}

#[test]
fn nodes_are_killed_and_come_back_and_nothing_is_left() {
    let stage = Stage::new();
    let args = ["up", "--kill-interval", "1-2s", "--downtime", "500ms", "--first", "500ms"];
    let rest = ["--target", "leader", "--duration", "8s", "--seed", "7", "--fresh"];
    let output = stage.run(&with_server(&[&args[..], &rest[..]].concat()));
    let said = text(&output.stdout);
    assert_eq!(code(&output), 0, "{said}{}", text(&output.stderr));
    for part in ["seed 7", "KILL", "LEADER", "START", "HEALTHY", "next fault in", "leftovers 0"] {
        assert!(said.contains(part), "{part} is in:\n{said}");
    }

    let seen = events(&stage.path(".raft/test/events.jsonl"));
    let kills = of_kind(&seen, "kill");
    assert!(!kills.is_empty(), "{said}");
    assert!(kills.iter().all(|kill| kill["role"] == "leader"), "{kills:?}");
    let after = |kind: &str| of_kind(&seen, kind).len();
    assert_eq!((after("start"), after("healthy")), (kills.len(), kills.len()), "{said}");
    let elected = of_kind(&seen, "leader");
    let elected = elected.iter().filter(|event| event["after_us"].is_u64());
    assert_eq!(elected.count(), kills.len(), "{said}");
    assert!(said.contains("hash n1=n2=n3 @ index"), "{said}");
    wait_until_gone(&pids_of(&seen));
}

#[test]
fn a_node_that_dies_by_itself_is_started_again_and_makes_the_run_fail() {
    let stage = Stage::new();
    let child = stage.command(&with_server(&["up", "--log-format", "json"])).spawn().unwrap();
    let file = stage.path(".raft/test/events.jsonl");
    let seen = |kind: &'static str| {
        let file = file.clone();
        move || (file.exists() && !of_kind(&events(&file), kind).is_empty()).then_some(())
    };
    wait_for("a cluster that is ready", seen("ready"));
    let record = std::fs::read_to_string(stage.path(".raft/test/state.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let victim = i32::try_from(record["nodes"][1]["process"]["pid"].as_i64().unwrap()).unwrap();
    kill(Pid::from_raw(victim), Signal::SIGABRT).unwrap();
    wait_for("its return", seen("healthy"));
    signal(&child, Signal::SIGINT);
    let output = finish(child);
    assert_eq!(code(&output), 9, "{output:?}");
    let said = text(&output.stdout);
    let shown: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(shown, events(&file));
    let crash = of_kind(&shown, "crash")[0];
    assert_eq!((&crash["node"], &crash["cause"]), (&Value::from(2), &Value::from("SIGABRT")));
    assert_eq!(of_kind(&shown, "crash").len(), 1, "{said}");
    wait_until_gone(&pids_of(&events(&file)));
}

#[test]
fn a_cluster_in_the_background_is_seen_and_stopped() {
    let stage = Stage::new();
    let output = stage.run(&with_server(&["up", "--detach", "--wait"]));
    assert_eq!(code(&output), 0, "{output:?}");
    assert!(text(&output.stdout).contains("ready in"), "{output:?}");

    let status = stage.run(&["status", "-o", "json"]);
    assert_eq!(code(&status), 0, "{status:?}");
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let pid = |node: &Value| i32::try_from(node["pid"].as_i64().unwrap()).unwrap();
    let pids: Vec<i32> = status["nodes"].as_array().unwrap().iter().map(pid).collect();
    assert_eq!(pids.len(), 3);
    let logs = stage.run(&["logs", "n2", "-n", "5"]);
    assert_eq!(code(&logs), 0, "{logs:?}");
    assert!(!logs.stdout.is_empty() && text(&logs.stdout).lines().count() <= 5, "{logs:?}");

    let down = stage.run(&["down"]);
    assert_eq!(code(&down), 0, "{down:?}");
    wait_until_gone(&pids);
    assert_eq!(code(&stage.run(&["status"])), 3);
}

#[test]
fn nodes_that_were_started_by_hand_are_told_and_left_alone() {
    let stage = Stage::new();
    let config = stage.path("cluster.yaml");
    let start = |id: &str| {
        let mut node = Command::new(&*SERVER);
        node.args(["--id", id, "--config"]).arg(&config);
        node.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let nodes = ["1", "2"].map(start);
    wait_for("two nodes that answer", || {
        let status: Value =
            serde_json::from_slice(&stage.run(&["status", "-o", "json"]).stdout).ok()?;
        let up = status["nodes"].as_array()?.iter().filter(|node| node["pid"].is_u64());
        (up.count() == 2).then_some(())
    });
    let down = stage.run(&["down"]);
    let pids = nodes.each_ref().map(std::process::Child::id);
    for node in nodes {
        signal(&node, Signal::SIGTERM);
        assert!(finish(node).status.success(), "down left it alone, so it could end cleanly");
    }
    assert_eq!(code(&down), 8, "{down:?}");
    let expected = format!("(pids, from Status: n1 {}, n2 {})", pids[0], pids[1]);
    assert!(text(&down.stdout).contains(&expected), "{down:?}");
    assert_eq!(code(&stage.run(&["down"])), 0);
}

/// No fault comes, and so it must not pass, whatever else went well.
#[test]
fn a_run_that_shows_nothing_says_so() {
    built("raft-client");
    let stage = Stage::new();
    let scenario = stage.path("calm.yaml");
    let calm = "version: 1\nname: calm\nshows: Nothing.\nduration: 1s\n";
    std::fs::write(&scenario, calm).unwrap();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("chaos-ctl"));
    command.arg("run").arg(scenario).arg("--dir").arg(stage.path("run")).arg("--bin").arg(&*SERVER);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = finish(command.spawn().unwrap());
    let said = text(&output.stdout);
    assert_eq!(code(&output), 10, "{said}{}", text(&output.stderr));
    assert!(said.contains("INCONCLUSIVE  calm"), "{said}");
    assert!(said.contains("no fault bit"), "{said}");
}
