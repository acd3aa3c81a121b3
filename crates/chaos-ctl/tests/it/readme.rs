//! What the README tells a reader to type is typed here, in its order, and must succeed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::cluster::built;
use super::stage::{Stage, finish, signal, text};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The lines that begin with a prompt in the console blocks of a document.
fn commands(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let mut commands = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if inside && let Some(command) = line.strip_prefix("$ ") {
            commands.push(command.to_owned());
        }
    }
    commands
}

/// How a command is run here: shorter, and with the binaries that the tests have built.
enum Plan {
    /// As it stands, but for these replacements.
    Run(String),
    /// Until it serves and something has been done with it, then interrupted.
    Background(String),
    /// It is what runs this test.
    Itself,
}

fn plan(command: &str) -> Plan {
    match command {
        "cargo test --workspace" => Plan::Itself,
        "scripts/local-cluster.sh demo" => Plan::Run(format!("{command} --calm 2s --chaos 15s")),
        _ if command.contains("chaos-ctl up") => Plan::Background(command.to_owned()),
        _ if command.contains("chaos-ctl run") && !command.contains("--list") => {
            Plan::Run(format!("{command} --rounds 1 --dir $RAFT_RUN_DIR"))
        }
        _ => Plan::Run(command.replace("-z 2m", "-z 2s").replace("-n 10000", "-n 1000")),
    }
}

/// The shell's words, on a cluster of the test's own instead of the one that may be running here.
fn shell(stage: &Stage, bin: &Path, command: &str) -> Child {
    let command = command.replace("target/release/", &format!("{}/", bin.display()));
    let config = stage.path("cluster.yaml");
    Command::new("bash")
        .args(["-c", &format!("exec {command}")])
        .current_dir(root())
        .env("RAFT_BIN", bin)
        .env("RAFT_DEMO_DIR", stage.path("demo"))
        .env("RAFT_RUN_DIR", stage.path("run"))
        .env("CLUSTER", &config)
        .env("RAFT_CONFIG", &config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn the_commands_of_the_readme_work() {
    let stage = Stage::new();
    let server = built("raft-server");
    built("raft-client");
    let bin = server.parent().unwrap();
    let mut background: Option<Child> = None;
    let mut typed = 0;
    for command in commands("README.md") {
        typed += 1;
        match plan(&command) {
            Plan::Itself => (),
            Plan::Background(command) => background = Some(shell(&stage, bin, &command)),
            Plan::Run(command) => {
                let output = finish(shell(&stage, bin, &command));
                let (out, err) = (text(&output.stdout), text(&output.stderr));
                assert!(output.status.success(), "$ {command}\n{out}{err}{}", output.status);
            }
        }
    }
    assert!(8 <= typed, "the README shows commands");
    let chaos = background.expect("the README shows how to run a cluster that is killed at random");
    signal(&chaos, Signal::SIGINT);
    let output = finish(chaos);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}{}", output.status);
}
