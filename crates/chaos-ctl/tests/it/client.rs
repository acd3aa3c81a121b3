//! `raft-client` against real servers: while one of them is stopped, and as its page in docs says.

use std::process::{Child, Command, Output};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;

use super::cluster::built;
use super::readme::{commands, shell};
use super::stage::{Stage, finish, text};

fn client(stage: &Stage, args: &[&str]) -> Output {
    let mut command = Command::new(built("raft-client"));
    command.arg("--config").arg(stage.path("cluster.yaml")).args(args);
    for name in ["CONFIG", "ENDPOINTS", "TIMEOUT", "OUTPUT", "TRACE"] {
        command.env_remove(format!("RAFT_{name}"));
    }
    command.output().unwrap()
}

fn up() -> Stage {
    let stage = Stage::new();
    let server = built("raft-server");
    let up = stage.run(&["up", "--detach", "--wait", "--bin", server.to_str().unwrap()]);
    assert!(up.status.success(), "{}", text(&up.stderr));
    stage
}

fn json(stage: &Stage, args: &[&str]) -> (Option<i32>, Value) {
    let output = client(stage, args);
    let value = serde_json::from_slice(&output.stdout);
    (output.status.code(), value.unwrap_or_else(|why| panic!("{why}: {output:?}")))
}

/// A process that is stopped, and goes on when this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn node(stage: &Stage, id: u64) -> Self {
        let (_, status) = json(stage, &["status", "-o", "json"]);
        let nodes = status["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["id"] == id).unwrap();
        let pid = Pid::from_raw(i32::try_from(node["pid"].as_i64().unwrap()).unwrap());
        nix::sys::signal::kill(pid, Signal::SIGSTOP).unwrap();
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        nix::sys::signal::kill(self.0, Signal::SIGCONT).unwrap();
    }
}

/// Every command, while a server takes connections and never answers: first a follower, then the leader.
/// Whatever is asked is answered by the others, and the one that is stopped is a row with a reason.
#[test]
fn a_server_that_is_stopped_holds_up_no_command() {
    let stage = up();
    let leader = || json(&stage, &["get-leader", "--wait", "30s", "-o", "json"]).1["node"].clone();
    for leads in [false, true] {
        let led = leader().as_u64().unwrap();
        let id = if leads { led } else { led % 3 + 1 };
        let stopped = Stopped::node(&stage, id);
        for command in [
            &["put", "k", "v"][..],
            &["get", "k"],
            &["get", "--stale", "k"],
            &["cas", "k", "v", "w"],
            &["propose", "x"],
            &["range"],
            &["del", "k"],
            &["get-leader", "--wait", "20s"],
            &["get-config"],
            &["transfer-leader"],
            &["set-config", "--demote", "9", "--dry-run"],
        ] {
            let output = client(&stage, &[&["--timeout", "20s"], command].concat());
            let said = text(&output.stderr);
            // The last one is senseless, and to say so takes a leader that answers.
            let expected = if command[0] == "set-config" { 2 } else { 0 };
            assert_eq!(output.status.code(), Some(expected), "{command:?}: {said}");
        }
        assert_ne!(leader(), id, "a stopped node cannot lead");
        for command in ["status", "health", "hash"] {
            let (code, told) = json(&stage, &[command, "-o", "json"]);
            let nodes = told["nodes"].as_array().unwrap();
            let node = nodes.iter().find(|node| node["id"] == id).unwrap();
            assert!(node["error"].to_string().contains("no answer in time"), "{told}");
            // Three nodes are rows; the two that answer are well, or just changing their leader.
            assert_eq!((code, nodes.len()), (Some(8), 3), "{command}: {told}");
        }
        drop(stopped);
    }
    assert!(stage.run(&["down"]).status.success());
}

/// What the page on the client tells a reader to type is typed here.
#[test]
fn the_commands_of_the_page_on_the_client_work() {
    let stage = up();
    let bin = built("raft-client");
    let typed = commands("docs/client.md");
    assert!(8 <= typed.len(), "{typed:?}");
    for command in typed {
        let child: Child = shell(&stage, bin.parent().unwrap(), &command);
        let output = finish(child);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "$ {command}\n{out}{err}{}", output.status);
    }
    assert!(stage.run(&["down"]).status.success());
}
