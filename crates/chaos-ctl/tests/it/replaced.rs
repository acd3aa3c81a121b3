//! What `raft-client` says of real clusters whose members are not what its file says.

use std::fs;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::cluster::built;
use super::stage::{Stage, finish, signal, text, wait_for};
use super::wiped::wiped;

fn client(stage: &Stage, args: &[&str]) -> Output {
    let mut command = Command::new(built("raft-client"));
    command.arg("--config").arg(stage.path("cluster.yaml")).args(args);
    command.env_remove("RAFT_CONFIG").env_remove("RAFT_ENDPOINTS");
    command.output().unwrap()
}

/// The exit code and everything that was said.
fn said(stage: &Stage, args: &[&str]) -> (Option<i32>, String) {
    let output = client(stage, args);
    (output.status.code(), text(&output.stdout) + &text(&output.stderr))
}

/// The seat of a node is kept for the disk it had. Whoever asks for it with another one is told which
/// node that is, and what to do first.
#[test]
fn a_seat_is_kept_for_the_disk_that_was_lost() {
    let (stage, server) = wiped();
    let up = ["up", "--detach", "--wait", "--bin", server.to_str().unwrap()];
    assert_eq!(stage.run(&up).status.code(), Some(8));
    let (code, told) = said(&stage, &["set-config", "--add", "2"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("error: n2 is a voter already\n"), "{told}");
    let way = "its seat is still kept for what was there: --remove 2 first, then start it with an \
               empty directory and --join, then --add 2";
    assert!(told.contains(way), "{told}");
    assert_eq!(client(&stage, &["set-config", "--demote", "2"]).status.code(), Some(0));
    let (code, told) = said(&stage, &["set-config", "--add", "2"]);
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("hint: n2 answers at ") && told.contains(way), "{told}");
    assert_eq!(stage.run(&["down"]).status.code(), Some(0));
}

/// Servers that end with the test.
struct Servers(Vec<Child>);

impl Servers {
    fn start(&mut self, stage: &Stage, file: &str, id: u64, more: &[&str]) {
        let mut command = Command::new(built("raft-server"));
        command.arg("--config").arg(stage.path(file)).args(["--id", &id.to_string()]).args(more);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.0.push(command.spawn().unwrap());
    }

    /// Ends those that were started first.
    fn end(&mut self, count: usize) {
        for child in self.0.drain(..count) {
            signal(&child, Signal::SIGKILL);
            finish(child);
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.end(self.0.len());
    }
}

/// A cluster whose file names n1 to n3, which still run, and whose members are n4 to n6 by now. The
/// file `new.yaml` knows all six.
fn replaced() -> (Stage, Servers) {
    let (stage, others) = (Stage::new(), Stage::new());
    let nodes = |stage: &Stage| {
        let yaml = fs::read_to_string(stage.path("cluster.yaml")).unwrap();
        let nodes = yaml.lines().filter(|line| line.starts_with("  - {id: "));
        nodes.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut all = nodes(&stage);
    for (line, id) in nodes(&others).into_iter().zip(4..) {
        let (_, addresses) = line.split_once(',').unwrap();
        all.push(format!("  - {{id: {id},{addresses}"));
    }
    let yaml = format!("cluster: {{name: test}}\nnodes:\n{}\n", all.join("\n"));
    fs::write(stage.path("new.yaml"), yaml).unwrap();
    let mut servers = Servers(Vec::new());
    for id in 1..=3 {
        servers.start(&stage, "cluster.yaml", id, &[]);
    }
    for id in 4..=6 {
        servers.start(&stage, "new.yaml", id, &["--join"]);
    }
    let (code, told) = said(&stage, &["put", "key", "value", "--timeout", "50s"]);
    assert_eq!(code, Some(0), "{told}");
    let mut change = Command::new(built("raft-client"));
    change.arg("--config").arg(stage.path("new.yaml"));
    change.args(["set-config", "--add", "4,5,6", "--remove", "1,2,3", "--wait"]);
    let changed = change.output().unwrap();
    assert!(changed.status.success(), "{changed:?}");
    (stage, servers)
}

/// Through nodes that were removed a client finds those that took their place, and believes them
/// alone.
#[test]
fn nodes_that_were_all_removed_lead_to_those_who_replaced_them() {
    let (stage, _servers) = replaced();
    let (code, told) = said(&stage, &["get-leader"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(["n4 ", "n5 ", "n6 "].iter().any(|name| told.starts_with(name)), "{told}");
    assert_eq!(text(&client(&stage, &["get", "key"]).stdout), "value");
    let told = client(&stage, &["get-config", "-o", "json"]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let members = told["members"].as_array().unwrap();
    let ids: Vec<u64> = members.iter().map(|member| member["id"].as_u64().unwrap()).collect();
    assert_eq!((ids, &told["outdated_by"]), (vec![4, 5, 6], &Value::Null));
    let (code, told) = said(&stage, &["get-config"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("\nn1 is listed in ") && told.contains(" and is no member\n"), "{told}");
    let told = wait_for("a status without a flaw", || {
        let (code, told) = said(&stage, &["status"]);
        (code == Some(0)).then_some(told)
    });
    let rows: Vec<&str> = told.lines().skip(1).take(3).map(|row| &row[..3]).collect();
    assert_eq!(rows, ["n4 ", "n5 ", "n6 "], "{told}");
    assert!(told.contains("   3/3 up   "), "{told}");
}

/// With those gone, the nodes that were removed are no cluster: what they knew last is told as that.
#[test]
fn what_removed_nodes_knew_last_is_told_as_such() {
    let (stage, mut servers) = replaced();
    let former = servers.0.drain(..3).collect();
    servers.end(3);
    servers.0 = former;
    let (code, told) = said(&stage, &["get-config"]);
    assert_eq!(code, Some(8), "{told}");
    assert!(told.contains("\nn4 ") && told.contains("knew when it was removed"), "{told}");
    let (code, told) = said(&stage, &["status"]);
    assert_eq!(code, Some(8), "{told}");
    assert!(told.contains("  removed  "), "{told}");
    for part in ["\nn4 ", "  DOWN  ", "   no leader", "knew when it was removed"] {
        assert!(told.contains(part), "no {part} in:\n{told}");
    }
}

/// Nobody that the file names runs any more: that, and what to do, is one error.
#[test]
fn a_file_whose_nodes_are_all_gone_is_said_to_be_no_way_in() {
    let (stage, mut servers) = replaced();
    servers.end(3);
    for command in [&["get-config"][..], &["get", "key"], &["get-leader"]] {
        let (code, told) = said(&stage, &[command, &["--timeout", "1s"]].concat());
        assert_eq!(code, Some(3), "{told}");
        assert!(told.contains("no node could be reached in 1"), "{told}");
        let hint = "If all these nodes were replaced by others, name one of those with --endpoints";
        assert!(told.trim_end().ends_with(hint), "{told}");
    }
    let yaml = fs::read_to_string(stage.path("new.yaml")).unwrap();
    let node = yaml.lines().find(|line| line.contains("{id: 5,")).unwrap();
    let addr = node.split("client: ").nth(1).unwrap().split(',').next().unwrap();
    assert_eq!(text(&client(&stage, &["--endpoints", addr, "get", "key"]).stdout), "value");
}
