//! Every scenario, short, with real servers: what counts here is that it comes to its end and that
//! nothing is lost. How fast it is says nothing on a busy machine.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::cluster::built;
use super::stage::{Stage, events, finish, of_kind, text, wait_until_gone};

fn scenario(stage: &Stage, args: &[&str]) -> (Output, Value) {
    let server = built("raft-server");
    built("raft-client");
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("chaos-ctl"));
    command.arg("run").args(args).arg("--dir").arg(stage.path("run")).arg("--bin").arg(server);
    command.args(["--json", "--seed", "7", "-c", "4"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = finish(command.spawn().unwrap());
    let report = serde_json::from_slice(&output.stdout);
    let report: Value = report.unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let kept = std::fs::read(stage.path("run/report.json")).unwrap();
    assert_eq!(report, serde_json::from_slice::<Value>(&kept).unwrap());
    (output, report)
}

/// Nothing lost, nothing twice, everything looked for; slow it may be.
fn expect_safe(output: &Output, report: &Value) {
    let code = output.status.code();
    assert!(code == Some(0) || code == Some(6), "{report:#}{}", text(&output.stderr));
    let verify = &report["load"]["verify"];
    for wrong in ["lost", "applied_twice", "unexpected"] {
        assert_eq!(verify[wrong], 0, "{report:#}");
    }
    assert!(report["load"]["ok"].as_u64().unwrap() <= verify["checked"].as_u64().unwrap());
    if code == Some(6) {
        let why = report["why"].as_str().unwrap();
        assert!(why.contains("write gap"), "only times may be missed: {why}");
    }
}

fn lines<'a>(report: &'a Value, kind: &str) -> Vec<&'a Value> {
    let lines = report["lines"].as_array().unwrap().iter();
    lines.filter(|line| line["kind"] == kind).collect()
}

fn expect_nothing_left(stage: &Stage) {
    let seen = events(&stage.path("run/events.jsonl"));
    let pids = ["start", "join", "kill", "terminate"].map(|kind| of_kind(&seen, kind));
    let pids = pids.concat().into_iter().filter_map(|event| event["pid"].as_i64());
    let pids: Vec<i32> = pids.map(|pid| i32::try_from(pid).unwrap()).collect();
    assert!(!pids.is_empty());
    wait_until_gone(&pids);
}

#[test]
fn leaders_are_killed_and_each_one_is_accounted_for() {
    let stage = Stage::new();
    let (output, report) = scenario(&stage, &["kill-leader", "--rounds", "2"]);
    expect_safe(&output, &report);
    let kills = lines(&report, "kill");
    assert_eq!(kills.len(), 2, "{report:#}");
    for kill in kills {
        assert_eq!(kill["leader_hit"], true, "{kill:#}");
        assert!(kill["term_before"].as_u64() < kill["term_after"].as_u64(), "{kill:#}");
        assert!(!kill["election"].as_str().unwrap().is_empty(), "{kill:#}");
        assert!(kill["whole_us"].is_u64(), "{kill:#}");
    }
    expect_nothing_left(&stage);
}

#[test]
fn all_nodes_are_killed_at_once_and_nothing_is_lost() {
    let stage = Stage::new();
    let (output, report) = scenario(&stage, &["kill-all", "--rounds", "4"]);
    expect_safe(&output, &report);
    let kills = lines(&report, "kill");
    assert_eq!(kills.len(), 4, "{report:#}");
    for kill in &kills {
        assert!(kill["what"].as_str().unwrap().starts_with("SIGKILL n"), "{kill:#}");
        assert!(kill["term_before"].as_u64() < kill["term_after"].as_u64(), "{kill:#}");
    }
    for pair in kills.windows(2) {
        let at = |line: &Value| line["at_us"].as_u64().unwrap();
        match pair[0]["whole_us"].as_u64() {
            Some(whole) => assert!(at(pair[0]) + whole <= at(pair[1]), "{pair:#?}"),
            None => assert_eq!(pair[0]["overtaken"], true, "{pair:#?}"),
        }
    }
    assert!(kills[3]["whole_us"].is_u64(), "{report:#}");
    let seen = events(&stage.path("run/events.jsonl"));
    assert!(8 < of_kind(&seen, "kill").len(), "all nodes that ran were killed each time");
    expect_nothing_left(&stage);
}

#[test]
fn every_node_is_restarted_in_turn() {
    let stage = Stage::new();
    let (output, report) = scenario(&stage, &["rolling-restart", "--rounds", "1"]);
    expect_safe(&output, &report);
    let restarts = lines(&report, "terminate");
    let whom: Vec<&str> =
        restarts.iter().map(|line| &line["what"].as_str().unwrap()[.."SIGTERM n1".len()]).collect();
    assert_eq!(whom, ["SIGTERM n1", "SIGTERM n2", "SIGTERM n3"]);
    expect_nothing_left(&stage);
}

#[test]
fn a_cluster_is_replaced_down_to_its_last_founder() {
    let stage = Stage::new();
    let (output, report) = scenario(&stage, &["replace-nodes"]);
    expect_safe(&output, &report);
    assert_eq!(lines(&report, "change").len(), 5, "{report:#}");
    let removed = report["removed"].as_array().unwrap();
    let mut ids: Vec<u64> = removed.iter().map(|told| told["node"].as_u64().unwrap()).collect();
    // The last change removes two at once; whoever learns it first is first in the list.
    ids[3..].sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    assert!(removed.iter().all(|told| told["campaigns_later"] == 0), "{report:#}");
    assert!(report["hashes"].as_str().unwrap().starts_with("hash n6=n7=n8 @"), "{report:#}");
    expect_nothing_left(&stage);
}

#[test]
fn what_cannot_be_run_is_a_usage_error() {
    let stage = Stage::new();
    let config = stage.path("cluster.yaml");
    let config = config.to_str().unwrap();
    for args in [
        &["run"][..],
        &["run", "kill-somebody"],
        &["run", "kill-leader", "--rounds", "0"],
        &["run", "kill-leader", "-c", "0"],
        &["run", "kill-leader", "--fresh"],
        &["run", "replace-nodes", "--rounds", "1000"],
        &["run", "replace-nodes", "--config", config],
    ] {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("chaos-ctl"));
        command.args(args).current_dir(stage.path(".")).env_remove("RAFT_CONFIG");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
    let output = Command::new(assert_cmd::cargo::cargo_bin!("chaos-ctl"))
        .args(["run", "--list"])
        .output()
        .unwrap();
    let said = text(&output.stdout);
    let names: Vec<&str> = said.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["kill-leader", "kill-all", "rolling-restart", "replace-nodes"]);
}
