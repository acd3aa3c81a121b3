//! Rules that a runner must keep, each of which some runner has broken: what it started it ends,
//! whoever else it finds it leaves alone, and data stays unless somebody says otherwise.

use std::fs;
use std::process::{Command, Output, Stdio};

use chaos_ctl::procfs::Birth;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::cluster::built;
use super::stage::{
    Stage, assert_alive, events, finish, of_kind, signal, text, wait_for, wait_until_gone,
};

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

fn of(child: &std::process::Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

/// A server that ends when it is told to, and leaves behind what it has started.
const FORGETFUL: &str = "echo $$ >> $(dirname $0)/pids; sleep 1000 & echo $! >> $(dirname \
                         $0)/pids; trap 'exit 0' TERM; while :; do sleep 0.01; done";

#[test]
fn what_the_nodes_have_started_ends_with_them() {
    let stage = Stage::new();
    let server = stage.script("server", FORGETFUL);
    let child = stage.command(&["up", "--bin", server.to_str().unwrap()]).spawn().unwrap();
    let pids = stage.pids(6);
    assert_alive(&pids);
    signal(&child, Signal::SIGINT);
    finish(child);
    wait_until_gone(&pids);
    let seen = events(&stage.path(".raft/test/events.jsonl"));
    assert_eq!(of_kind(&seen, "stopped")[0]["leftovers"], 0, "{seen:?}");
}

/// A pid is used again: the one in the record may be anybody's by now.
#[test]
fn a_stranger_with_the_pid_of_a_node_is_left_alone() {
    let stage = Stage::new();
    let mut stranger = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
    let real = Birth::of(of(&stranger)).unwrap();
    let other = Birth { start_ticks: real.start_ticks - 1, ..real.clone() };
    let rebooted = Birth { boot: "another".to_owned(), ..real };
    for birth in [other, rebooted] {
        let record = json!({
            "runner": birth, "ready": true, "config": stage.path("cluster.yaml"),
            "nodes": [{"id": 1, "process": birth}],
        });
        fs::create_dir_all(stage.path(".raft/test")).unwrap();
        fs::write(stage.path(".raft/test/state.json"), record.to_string()).unwrap();
        let down = stage.run(&["down"]);
        assert_eq!(code(&down), 0, "{down:?}");
        assert!(text(&down.stdout).contains("leftovers 0"), "{down:?}");
        assert_eq!(code(&stage.run(&["kill", "n1"])), 3, "nothing runs");
        // The next run begins with the same record.
        fs::write(stage.path(".raft/test/state.json"), record.to_string()).unwrap();
        let server = stage.script("server", "exit 2");
        assert_eq!(code(&stage.run(&["up", "--bin", server.to_str().unwrap()])), 3);
        assert_alive(&[of(&stranger)]);
    }
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_second_signal_does_not_wait_for_the_grace() {
    let stage = Stage::new();
    let yaml = fs::read_to_string(stage.path("cluster.yaml")).unwrap();
    fs::write(stage.path("cluster.yaml"), yaml.replace("grace: 500ms", "grace: 5m")).unwrap();
    let deaf = "echo $$ >> $(dirname $0)/pids; trap '' TERM; while :; do sleep 0.01; done";
    let server = stage.script("server", deaf);
    let child = stage.command(&["up", "--bin", server.to_str().unwrap()]).spawn().unwrap();
    let pids = stage.pids(3);
    let file = stage.path(".raft/test/events.jsonl");
    signal(&child, Signal::SIGINT);
    wait_for("the first one heard", || (!of_kind(&events(&file), "stop").is_empty()).then_some(()));
    assert_alive(&pids);
    signal(&child, Signal::SIGTERM);
    assert_eq!(code(&finish(child)), 130);
    wait_until_gone(&pids);
    let seen = events(&file);
    assert!(of_kind(&seen, "note")[0]["text"].as_str().unwrap().contains("killed after"));
}

#[test]
fn data_is_kept_unless_it_is_said_otherwise() {
    let stage = Stage::new();
    let server = stage.script("server", "exit 2");
    let kept = stage.path(".raft/test/n1/kept");
    fs::create_dir_all(kept.parent().unwrap()).unwrap();
    fs::write(&kept, "dear").unwrap();
    let up = |more: &[&str]| {
        let output = stage.run(&[&["up", "--bin", server.to_str().unwrap()], more].concat());
        assert_eq!(code(&output), 3, "{output:?}");
    };
    up(&[]);
    assert!(kept.exists());
    stage.run(&["clean", "--dir", stage.path(".raft").to_str().unwrap()]);
    assert!(kept.exists(), "what is listed is still there");
    up(&["--fresh"]);
    assert!(!kept.exists());
}

/// Faults of both kinds, as many as were asked for; and what is told of them is in order.
#[test]
fn faults_are_drawn_counted_and_end() {
    let stage = Stage::new();
    let program = built("raft-server");
    let args = ["up", "--kill-interval", "100ms", "--downtime", "100ms", "--faults", "pause"];
    let more = ["--max-faults", "2", "--duration", "6s", "--fresh", "--bin"];
    let output = stage.run(&[&args[..], &more, &[program.to_str().unwrap()]].concat());
    let said = text(&output.stdout);
    assert_eq!(code(&output), 0, "{said}{}", text(&output.stderr));
    for part in ["fresh data", "SIGSTOP one of 3 every 100ms", "2 times", "0 kills  2 pauses"] {
        assert!(said.contains(part), "{part} is in:\n{said}");
    }
    let seen = events(&stage.path(".raft/test/events.jsonl"));
    assert_eq!((of_kind(&seen, "pause").len(), of_kind(&seen, "resume").len()), (2, 2), "{said}");
    assert_eq!(of_kind(&seen, "kill").len(), 0);
    let times: Vec<u64> = seen.iter().map(|event| event["mono_ns"].as_u64().unwrap()).collect();
    assert!(times.is_sorted() && seen.iter().all(|event| event["wall"].is_string()));
}

/// Before a run is judged, all that was ordered is undone.
#[test]
fn a_run_heals_before_its_end() {
    let stage = Stage::new();
    let program = built("raft-server");
    let args = ["up", "--lab", "--duration", "9s", "--bin", program.to_str().unwrap()];
    let child = stage.command(&args).spawn().unwrap();
    let file = stage.path(".raft/test/events.jsonl");
    let seen = || if file.exists() { events(&file) } else { Vec::new() };
    wait_for("a cluster that serves", || (!of_kind(&seen(), "ready").is_empty()).then_some(()));
    for order in [&["stop", "n1"][..], &["partition", "n2"], &["pause", "n3"]] {
        let output = stage.run(order);
        assert_eq!(code(&output), 0, "{output:?}");
    }
    let output = finish(child);
    let said = text(&output.stdout);
    assert_eq!(code(&output), 0, "{said}{}", text(&output.stderr));
    assert!(said.contains("hash n1=n2=n3 @ index"), "{said}");
    let seen: Vec<Value> = seen();
    for kind in ["start", "over", "resume"] {
        assert_eq!(of_kind(&seen, kind).len(), 1, "{kind}: {said}");
    }
}
