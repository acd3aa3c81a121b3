//! `chaos-ctl up` with stand-ins for the servers: whatever happens to it, nothing is left running.

use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::Signal;

use super::stage::{
    Stage, assert_alive, events, finish, of_kind, signal, text, wait_for, wait_until_gone,
};

/// Runs until it is told to stop, and then says goodbye.
const POLITE: &str =
    "echo $$ >> $(dirname $0)/pids; trap 'exit 0' TERM; while :; do sleep 0.01; done";
/// Does not listen.
const DEAF: &str = "echo $$ >> $(dirname $0)/pids; trap '' TERM; while :; do sleep 0.01; done";

/// Starts three stand-ins, none of which will ever get ready.
fn up(stage: &Stage, server: &str) -> (Child, Vec<i32>) {
    let server = stage.script("server", server);
    let child = stage.command(&["up", "--bin", server.to_str().unwrap()]).spawn().unwrap();
    let pids = stage.pids(3);
    assert_alive(&pids);
    (child, pids)
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

#[test]
fn every_way_to_end_it_ends_its_nodes() {
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let stage = Stage::new();
        let (child, pids) = up(&stage, POLITE);
        signal(&child, number);
        let output = finish(child);
        assert_eq!(code(&output), 130, "{output:?}");
        wait_until_gone(&pids);
        let seen = events(&stage.path(".raft/test/events.jsonl"));
        assert_eq!(of_kind(&seen, "stopped")[0]["leftovers"], 0, "{seen:?}");
        assert_eq!(of_kind(&seen, "crash").len(), 0, "{seen:?}");
        assert!(!stage.path(".raft/test/state.json").exists());
    }
}

#[test]
fn a_runner_that_is_killed_takes_its_nodes_along() {
    let stage = Stage::new();
    let (child, pids) = up(&stage, DEAF);
    signal(&child, Signal::SIGKILL);
    finish(child);
    wait_until_gone(&pids);
    // The record of the killed runner misleads nobody.
    let output = stage.run(&["down"]);
    assert_eq!(code(&output), 0, "{output:?}");
}

#[test]
fn nodes_that_do_not_listen_are_killed_after_the_grace() {
    let stage = Stage::new();
    let (child, pids) = up(&stage, DEAF);
    signal(&child, Signal::SIGTERM);
    finish(child);
    wait_until_gone(&pids);
    let seen = events(&stage.path(".raft/test/events.jsonl"));
    let note = of_kind(&seen, "note")[0]["text"].as_str().unwrap();
    assert!(note.starts_with("n1 n2 n3 killed after"), "{note}");
}

#[test]
fn a_closed_output_does_not_keep_nodes_alive() {
    let stage = Stage::new();
    let (mut child, pids) = up(&stage, DEAF);
    drop((child.stdout.take(), child.stderr.take()));
    signal(&child, Signal::SIGHUP);
    assert_eq!(code(&finish(child)), 130);
    wait_until_gone(&pids);
}

#[test]
fn a_second_runner_is_refused_and_down_ends_the_first() {
    let stage = Stage::new();
    let (child, pids) = up(&stage, POLITE);
    let second = stage.run(&["up", "--bin", stage.path("server").to_str().unwrap()]);
    assert_eq!(code(&second), 2, "{second:?}");
    let said = text(&second.stderr);
    assert!(said.contains(&format!("process {}", child.id())), "{said}");
    assert_alive(&pids);

    let down = stage.run(&["down"]);
    assert_eq!(code(&down), 0, "{down:?}");
    assert!(text(&down.stdout).contains("leftovers 0"), "{down:?}");
    assert_eq!(code(&finish(child)), 130);
    wait_until_gone(&pids);
    assert!(text(&stage.run(&["down"]).stdout).contains("nothing runs"));
}

#[test]
fn a_node_that_ends_before_it_serves_ends_the_run_with_its_last_words() {
    let stage = Stage::new();
    let server = stage.script("server", "echo 'error: no such luck' >&2; exit 2");
    let output = stage.run(&["up", "--bin", server.to_str().unwrap()]);
    assert_eq!(code(&output), 3, "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("ended before it served: exit code 2"), "{said}");
    assert!(said.contains("no such luck"), "{said}");
}

#[test]
fn a_cluster_in_the_background_that_does_not_come_up_is_told_to_the_caller() {
    let stage = Stage::new();
    let server = stage.script("server", "echo 'error: no such luck' >&2; exit 2");
    let output = stage.run(&["up", "-d", "--wait", "--bin", server.to_str().unwrap()]);
    assert_eq!(code(&output), 3, "{output:?}");
    let said = text(&output.stderr);
    assert!(said.starts_with("error: n") && said.contains("no such luck"), "{said}");
}

#[test]
fn a_runner_in_the_background_that_is_killed_takes_its_nodes_along() {
    let stage = Stage::new();
    let server = stage.script("server", DEAF);
    let output = stage.run(&["up", "-d", "--bin", server.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{output:?}");
    let pids = stage.pids(3);
    let runner = wait_for("the runner's record", || {
        let text = std::fs::read_to_string(stage.path(".raft/test/state.json")).ok()?;
        let record: serde_json::Value = serde_json::from_str(&text).ok()?;
        i32::try_from(record["runner"]["pid"].as_i64()?).ok()
    });
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(runner), Signal::SIGKILL).unwrap();
    wait_until_gone(&pids);
}

#[test]
fn a_taken_port_is_named_with_its_holder_before_anything_starts() {
    let stage = Stage::new();
    let yaml = std::fs::read_to_string(stage.path("cluster.yaml")).unwrap();
    let client = yaml.split("id: 2").nth(1).unwrap().split("client: ").nth(1).unwrap();
    let client = client.split(',').next().unwrap();
    let _holder = TcpListener::bind(client).unwrap();
    let server = stage.script("server", POLITE);
    let output = stage.run(&["up", "--bin", server.to_str().unwrap()]);
    assert_eq!(code(&output), 2, "{output:?}");
    let said = text(&output.stderr);
    let expected =
        format!("n2's client address {client} is taken by process {}", std::process::id());
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains("hint: end that process") && said.contains("--port-offset"), "{said}");
    assert!(!stage.path("pids").exists());
}

#[test]
fn what_cannot_work_is_a_usage_error() {
    let stage = Stage::new();
    let nowhere = stage.path("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    for args in [
        &["up", "--kill-interval", "30-15s"][..],
        &["up", "--kill-interval", "15"],
        &["up", "--first", "5s"],
        &["up", "--bin", nowhere],
        &["up", "--target", "nobody"],
        &["logs"],
    ] {
        let output = stage.run(args);
        assert_eq!(code(&output), 2, "{args:?}: {output:?}");
    }
    let yaml = std::fs::read_to_string(stage.path("cluster.yaml")).unwrap();
    let two: Vec<_> = yaml.lines().filter(|line| !line.contains("id: 3")).collect();
    std::fs::write(stage.path("cluster.yaml"), two.join("\n")).unwrap();
    let output = stage.run(&["up", "--kill-interval", "1s"]);
    assert_eq!(code(&output), 2, "{output:?}");
    assert!(text(&output.stderr).contains("no minority of 2 nodes"), "{output:?}");
}

#[test]
fn a_directory_that_is_not_a_runs_is_left_alone() {
    let stage = Stage::new();
    let dir = stage.path("mine");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(stage.path("mine/cluster.yaml"), "version: 1\n").unwrap();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("chaos-ctl"));
    command.args(["run", "kill-leader", "--dir"]).arg(&dir);
    let output = finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert_eq!(code(&output), 2, "{output:?}");
    assert!(
        text(&output.stderr).contains("is not empty, and not of an earlier `chaos-ctl run`"),
        "{output:?}"
    );
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(std::fs::read_to_string(left[0].path()).unwrap(), "version: 1\n");
}

#[test]
fn nothing_running_is_a_state_of_its_own() {
    let output = Stage::new().run(&["status"]);
    assert_eq!(code(&output), 3, "{output:?}");
    assert!(text(&output.stdout).contains("not reachable"), "{output:?}");
}
