//! What stands beside running a cluster: files to begin with and their schemas, what this machine can
//! do, what is left behind; and clusters that need no file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::cluster::built;
use super::schema;
use super::stage::{Stage, finish, text, wait_for};

/// `chaos-ctl ARGS…` in this folder, without a file that is named.
fn run_in(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("chaos-ctl"));
    command.args(args).current_dir(dir).env_remove("RAFT_CONFIG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

/// What it says if it succeeds, and complains about nothing.
fn said(dir: &Path, args: &[&str]) -> String {
    let output = run_in(dir, args);
    assert_eq!((code(&output), text(&output.stderr).as_str()), (0, ""), "{args:?}: {output:?}");
    text(&output.stdout)
}

fn refused(dir: &Path, args: &[&str], with: i32) -> String {
    let output = run_in(dir, args);
    assert_eq!((code(&output), text(&output.stdout).as_str()), (with, ""), "{args:?}: {output:?}");
    text(&output.stderr)
}

fn files(dir: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let entries = fs::read_dir(root.join(dir)).unwrap().flatten().map(|entry| entry.path());
    let files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    assert!(!files.is_empty());
    files
}

fn parsed(yaml: &str) -> Value {
    serde_yaml::from_str(yaml).unwrap()
}

/// What was to go into a file and found no space is missed.
#[test]
fn output_without_space_is_no_success() {
    for args in [&["schema", "cluster"][..], &["list"], &["plan", "kill-leader"]] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("chaos-ctl"));
        command.args(args).stdin(Stdio::null()).stdout(full).stderr(Stdio::piped());
        let output = finish(command.spawn().unwrap());
        assert_eq!(code(&output), 1, "{args:?}");
        let complaint = text(&output.stderr);
        assert!(
            complaint.starts_with("error: could not write to standard output: "),
            "{complaint}"
        );
    }
}

#[test]
fn every_file_that_is_shipped_is_as_its_schema_says() {
    let dir = tempfile::tempdir().unwrap();
    let load =
        |of: &str| -> Value { serde_json::from_str(&said(dir.path(), &["schema", of])).unwrap() };
    for (of, folder) in [("cluster", "configs"), ("scenario", "configs/scenarios")] {
        let schema = load(of);
        for file in files(folder) {
            let faults = schema::faults(&schema, &parsed(&fs::read_to_string(&file).unwrap()));
            assert_eq!(faults, Vec::<String>::new(), "{}", file.display());
        }
    }
    let cluster = load("cluster");
    let init = parsed(&said(dir.path(), &["init", "-n", "5"]));
    assert_eq!(schema::faults(&cluster, &init), Vec::<String>::new());
    let scenario = load("scenario");
    let plan =
        |fault: Value| json!({"version": 1, "name": "a", "shows": "b.", "schedule": [fault]});
    let right = plan(json!({"at": "1s", "pause": {"for": "1s"}}));
    assert_eq!(schema::faults(&scenario, &right), Vec::<String>::new());
    for (schema, wrong) in [
        (&cluster, json!({})),
        (&cluster, json!({"nodes": [{"id": 0}]})),
        (&cluster, json!({"nodes": [{"id": 1}], "raft": {"hartbeat": "50ms"}})),
        (&scenario, plan(json!({"pause": {"for": "1s"}}))),
        (&scenario, plan(json!({"at": "1s", "pause": {}}))),
        (&scenario, plan(json!({"at": "1s"}))),
        (&scenario, plan(json!({"at": "1s", "partition": {"shape": "star", "for": "1s"}}))),
    ] {
        assert!(!schema::faults(schema, &wrong).is_empty(), "{wrong}");
    }
}

#[test]
fn a_file_to_begin_with_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = said(dir.path(), &["init", "--base-port", "9000", "--name", "mine"]);
    assert!(yaml.starts_with("# yaml-language-server: $schema=cluster.schema.json\n"), "{yaml}");
    fs::write(dir.path().join("cluster.yaml"), &yaml).unwrap();
    let status = run_in(dir.path(), &["status"]);
    assert_eq!(code(&status), 3, "it is read: {status:?}");
    assert!(text(&status.stdout).contains("cluster mine ") && yaml.contains("peers on 9001"));
    for wrong in
        [&["init", "-n", "0"][..], &["init", "--base-port", "70000"], &["init", "--name", "a b"]]
    {
        assert!(refused(dir.path(), wrong, 2).starts_with("error: "), "{wrong:?}");
    }
    assert!(refused(dir.path(), &["schema", "house"], 2).contains("scenario"));
}

#[test]
fn a_shell_is_told_how_to_complete_and_pages_are_written() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = said(dir.path(), &["completions", shell]);
        assert!(script.contains("power-loss") && script.contains("restart-after"), "{shell}");
    }
    said(dir.path(), &["man", "pages"]);
    for page in ["chaos-ctl.1", "chaos-ctl-up.1", "chaos-ctl-partition.1"] {
        assert!(dir.path().join("pages").join(page).is_file(), "{page}");
    }
    fs::write(dir.path().join("file"), "").unwrap();
    let hint = refused(dir.path(), &["man", "file"], 2);
    assert!(hint.contains("hint: name a directory in which you may write"), "{hint}");
    assert!(refused(dir.path(), &["completions", "cobol"], 2).starts_with("error: "));
}

#[test]
fn what_is_possible_here_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let listed = said(dir.path(), &["list-faults"]);
    assert_eq!(listed.lines().count(), 17, "{listed}");
    let faults: Value =
        serde_json::from_str(&said(dir.path(), &["list-faults", "-o", "json"])).unwrap();
    let clock = faults.as_array().unwrap().iter().find(|it| it["fault"] == "clock").unwrap();
    assert!(clock["how"].as_str().unwrap().contains("libfaketime"), "{clock}");

    let stage = Stage::new();
    built("raft-server");
    built("raft-client");
    let findings = |stage: &Stage| -> (i32, Value) {
        let output = stage.run(&["doctor", "-o", "json"]);
        (code(&output), serde_json::from_slice(&output.stdout).unwrap())
    };
    let about = |found: &Value, what: &str| {
        let all = found.as_array().unwrap();
        all.iter().find(|it| it["about"] == what).unwrap().clone()
    };
    let (_, found) = findings(&stage);
    assert_eq!(about(&found, "ports")["text"], "all 9 of cluster test are free");
    assert_eq!(about(&found, "programs")["verdict"], "good", "{found}");
    let yaml = fs::read_to_string(stage.path("cluster.yaml")).unwrap();
    let port = yaml.split("client: ").nth(1).unwrap().split(',').next().unwrap();
    let _holder = std::net::TcpListener::bind(port).unwrap();
    let (code, found) = findings(&stage);
    let ports = about(&found, "ports");
    assert_eq!((code, &ports["verdict"]), (8, &json!("bad")), "{found}");
    let own = format!("n1's client address {port} is taken by process {}", std::process::id());
    assert!(ports["text"].as_str().unwrap().starts_with(&own), "{ports}");
}

#[test]
fn what_is_left_behind_is_listed_before_it_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(said(dir.path(), &["clean"]), "nothing in .raft\n");
    let make = |name: &str, files: &[&str]| {
        for file in files {
            let path = dir.path().join(".raft").join(name).join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "12345").unwrap();
        }
    };
    make("run-old", &["results.json", "lock", "n1/wal"]);
    make("demo", &["events.jsonl", "n1/LOCK"]);
    make("by-hand", &["lock", "n2/LOCK"]);
    make("photos", &["me.jpg"]);
    let here = |name: &str| dir.path().join(".raft").join(name);
    std::os::unix::fs::symlink(here("photos"), here("linked")).unwrap();
    // As a server does that was started by hand.
    let held = fs::File::open(here("by-hand/n2/LOCK")).unwrap();
    held.lock().unwrap();
    let listed = said(dir.path(), &["clean"]);
    let expected = "     10 B      2 files  by-hand                  left alone: a process holds its \
                    lock\n     10 B      2 files  demo                     a cluster with its \
                    data\n      5 B      1 files  photos                   left alone: none of \
                    ours\n     15 B      3 files  run-old                  a run\n\n25 B in 2 could \
                    go; --yes removes them\n";
    assert_eq!(listed, expected);
    assert!(
        refused(dir.path(), &["clean", "nothing"], 2).starts_with("error: there is no nothing")
    );
    let one = said(dir.path(), &["clean", "run-old", "--yes"]);
    assert!(one.ends_with("\nremoved 1, 15 B\n"), "{one}");
    let all = said(dir.path(), &["clean", "--yes"]);
    assert!(all.ends_with("\nremoved 1, 10 B\n"), "{all}");
    for (name, stays) in
        [("run-old", false), ("demo", false), ("by-hand", true), ("photos", true), ("linked", true)]
    {
        assert_eq!(here(name).exists(), stays, "{name}");
    }
}

/// A cluster without a file is made up, found again by every command, kept, and begun anew on demand.
#[test]
fn a_cluster_needs_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let program = built("raft-server");
    let server = program.to_str().unwrap();
    assert!(refused(dir.path(), &["status"], 2).contains("`chaos-ctl up --nodes 3` needs none"));
    let up = said(dir.path(), &["up", "--nodes", "3", "-d", "--wait", "--bin", server]);
    assert!(up.contains("cluster local  3 nodes"), "{up}");
    let outcome = std::panic::catch_unwind(|| {
        assert!(said(dir.path(), &["status"]).contains("cluster local   leader n"));
        let live = said(dir.path(), &["clean", "--yes"]);
        assert!(
            live.contains("left alone: process ") && live.ends_with("removed 0, 0 B\n"),
            "{live}"
        );
        assert!(said(dir.path(), &["stop", "n3"]).contains("SIGTERM"));
        assert!(said(dir.path(), &["heal"]).contains("n3 started"));
        assert!(!said(dir.path(), &["logs", "n1", "-n", "1"]).is_empty());
    });
    // Nothing names it but the folder that we are in.
    assert!(said(dir.path(), &["down"]).contains("leftovers 0"));
    outcome.unwrap();
    let hint = refused(dir.path(), &["up", "--nodes", "5"], 2);
    assert!(hint.contains("holds a cluster of 3 nodes"), "{hint}");
    assert!(dir.path().join(".raft/local/n1").is_dir(), "the data is kept");
}

/// Two clusters of one file run beside each other, and each is found.
#[test]
fn a_second_cluster_of_the_same_file_has_ports_and_data_of_its_own() {
    let stage = Stage::new();
    let program = built("raft-server");
    let server = program.to_str().unwrap();
    let started = |args: &[&str]| {
        let output = stage.run(&[args, &["-d", "--wait", "--bin", server]].concat());
        assert_eq!(code(&output), 0, "{output:?}");
    };
    let lost = stage.run(&["down", "--port-offset", "2000"]);
    assert_eq!(code(&lost), 3, "{lost:?}");
    assert!(text(&lost.stderr).contains("hint: `chaos-ctl up --port-offset 2000` starts it"));
    started(&["up"]);
    started(&["up", "--port-offset", "2000"]);
    let status = |args: &[&str]| -> Value {
        let output = stage.run(&[&["status", "-o", "json"], args].concat());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let whole = |args: &[&str]| {
        wait_for("a whole cluster", || status(args)["healthy"].as_bool().filter(|it| *it))
    };
    let ended = std::panic::catch_unwind(|| {
        whole(&[]);
        whole(&["--port-offset", "2000"]);
        let (first, second) = (status(&[]), status(&["--port-offset", "2000"]));
        assert_eq!((&first["cluster"], &second["cluster"]), (&json!("test"), &json!("test-p2000")));
        assert_ne!(first["nodes"][0]["pid"], second["nodes"][0]["pid"]);
    });
    for args in [&["down"][..], &["down", "--port-offset", "2000"]] {
        let down = stage.run(args);
        assert_eq!(code(&down), 0, "{down:?}");
        assert!(text(&down.stdout).contains("leftovers 0"), "{down:?}");
    }
    ended.unwrap();
}

#[test]
fn a_status_that_is_watched_goes_on_until_nobody_reads() {
    use std::io::{BufRead as _, BufReader};
    let stage = Stage::new();
    let mut child = stage.command(&["status", "--watch", "-o", "json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line = lines.next().unwrap().unwrap();
        let report: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(report["cluster"], "test");
    }
    drop(lines);
    let output = finish(child);
    assert_eq!(code(&output), 3, "it ends as soon as nobody reads: {output:?}");
}
