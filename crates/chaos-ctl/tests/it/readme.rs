//! What the README tells a reader to type is typed here, in its order, and must succeed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use super::cluster::built;
use super::stage::{Stage, finish, signal, text};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The lines that begin with a prompt in the console blocks of a document.
pub(super) fn commands(document: &str) -> Vec<String> {
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
    /// In the background until all is done, as with the shell's `&`.
    Beside(String),
    /// It is what runs this test.
    Itself,
}

fn plan(command: &str) -> Plan {
    match command {
        "cargo test --workspace" => Plan::Itself,
        "scripts/local-cluster.sh demo" => Plan::Run(format!("{command} --rounds 2")),
        _ if command.ends_with(" &") => {
            // The test has a cluster file of its own.
            let command = command.trim_end_matches(" &");
            Plan::Beside(command.replace("configs/cluster.yaml", "$RAFT_CONFIG"))
        }
        _ if command.contains("chaos-ctl up") => Plan::Background(command.to_owned()),
        _ if command.contains("chaos-ctl run") && !command.contains(" list") => {
            Plan::Run(format!("{command} --rounds 1 --dir $RAFT_RUN_DIR"))
        }
        _ => Plan::Run(command.replace("-z 2m", "-z 2s").replace("-n 10000", "-n 1000")),
    }
}

/// The shell's words, on a cluster of the test's own instead of the one that may be running here.
pub(super) fn shell(stage: &Stage, bin: &Path, command: &str) -> Child {
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

/// A node that is not in the file has ports that follow from its id.
fn give_newcomers_ports(stage: &Stage) {
    let free = |port: &u16| {
        [4, 104, 204].iter().all(|more| TcpListener::bind(("127.0.0.1", port + more)).is_ok())
    };
    let base = (11_000..12_000).step_by(7).find(free).expect("ports");
    let file = stage.path("cluster.yaml");
    let yaml = std::fs::read_to_string(&file).unwrap();
    let named = "cluster: {name: test";
    let with_ports = yaml.replace(named, &format!("{named}, base_port: {base}"));
    assert_ne!(yaml, with_ports);
    std::fs::write(file, with_ports).unwrap();
}

#[test]
fn the_commands_of_the_readme_work() {
    let stage = Stage::new();
    let server = built("raft-server");
    built("raft-client");
    let bin = server.parent().unwrap();
    give_newcomers_ports(&stage);
    let mut background: Option<Child> = None;
    let mut beside = Vec::new();
    let mut typed = 0;
    for command in commands("README.md") {
        typed += 1;
        match plan(&command) {
            Plan::Itself => (),
            Plan::Beside(command) => beside.push(shell(&stage, bin, &command)),
            Plan::Background(command) => background = Some(shell(&stage, bin, &command)),
            Plan::Run(command) => {
                let output = finish(shell(&stage, bin, &command));
                let (out, err) = (text(&output.stdout), text(&output.stderr));
                assert!(output.status.success(), "$ {command}\n{out}{err}{}", output.status);
            }
        }
    }
    assert!(8 <= typed, "the README shows commands");
    for process in beside {
        signal(&process, Signal::SIGTERM);
        let output = finish(process);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let chaos = background.expect("the README shows how to run a cluster that is killed at random");
    signal(&chaos, Signal::SIGINT);
    let output = finish(chaos);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}{}", output.status);
}
