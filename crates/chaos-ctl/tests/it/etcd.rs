//! The same faults, load and judges on servers that we did not write: etcd, where it is installed.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::cluster::built;
use super::stage::{Stage, finish, text};

/// Whether etcd is installed. If it is not, that is said even where output is captured.
pub(super) fn is_here() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let here = std::env::split_paths(&path).any(|place| place.join("etcd").is_file());
    if !here {
        let mut screen = std::io::stderr();
        writeln!(screen, "SKIPPED: etcd is not installed, so nothing is run on it").unwrap();
    }
    here
}

fn run(stage: &Stage, args: &[&str]) -> (Output, Value) {
    built("raft-client");
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("chaos-ctl"));
    command.arg("run").args(args).args(["--json", "--seed", "7", "-c", "4"]);
    command.arg("--dir").arg(stage.path("run"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = finish(command.spawn().unwrap());
    let results = serde_json::from_slice(&output.stdout);
    let results = results.unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output, results)
}

fn claim<'a>(results: &'a Value, name: &str) -> &'a Value {
    let mut claims = results["claims"].as_array().unwrap().iter();
    claims.find(|claim| claim["claim"] == name).unwrap_or_else(|| panic!("{results:#}"))
}

#[test]
fn leaders_of_etcd_are_killed_and_its_promises_kept() {
    if !is_here() {
        return;
    }
    let stage = Stage::new();
    let (output, results) = run(&stage, &["kill-leader", "--system", "etcd", "--rounds", "2"]);
    assert_eq!(output.status.code(), Some(0), "{results:#}{}", text(&output.stderr));
    assert_eq!((&results["verdict"], &results["system"]), (&"PASS".into(), &"etcd".into()));
    for name in [
        "linearizable",
        "no acknowledged write lost",
        "one leader per term",
        "equal states",
        "no node ended by itself",
        "recovered",
        "the faults bit",
        "there was load before the faults",
    ] {
        assert_eq!(claim(&results, name)["verdict"], "pass", "{results:#}");
    }
    // What could not be looked at is said, and is no pass.
    for name in ["no write applied twice", "gaps as short as expected"] {
        assert_eq!(claim(&results, name)["verdict"], "not_exercised", "{results:#}");
    }
    assert!(
        results["judgement"]["method"].as_str().unwrap().contains("certificate"),
        "{results:#}"
    );
    let kills = results["faults"].as_array().unwrap();
    assert_eq!(kills.len(), 2, "{results:#}");
    for kill in kills {
        assert_eq!((&kill["outcome"], &kill["leader_hit"]), (&"installed".into(), &true.into()));
        assert!(kill["term_before"].as_u64() < kill["term_after"].as_u64(), "{kill:#}");
    }
}

/// A member that is cut off answers reads that ask nobody else with what it last heard.
#[test]
fn stale_reads_of_etcd_are_caught_during_a_partition() {
    if !is_here() {
        return;
    }
    let stage = Stage::new();
    let what = ["minority-partition", "--system", "etcd", "--consistency", "stale"];
    let (output, results) = run(&stage, &[&what[..], &["--nodes", "3", "--rounds", "1"]].concat());
    assert_eq!(output.status.code(), Some(5), "{results:#}{}", text(&output.stderr));
    assert_eq!(results["verdict"], "FAIL");
    let caught = claim(&results, "linearizable");
    let words = caught["evidence"].as_str().unwrap();
    assert_eq!(caught["verdict"], "fail", "{results:#}");
    for part in ["client ", "read ", " node ", "(acknowledged at "] {
        assert!(words.contains(part), "{words}");
    }
    // What was written is there all the same, and the partition was one.
    assert_eq!(claim(&results, "no acknowledged write lost")["verdict"], "pass", "{results:#}");
    assert_eq!(claim(&results, "the faults bit")["verdict"], "pass", "{results:#}");
}

/// Our own servers answer such reads as well, when they are asked to.
#[test]
fn stale_reads_of_our_own_are_caught_just_the_same() {
    built("raft-server");
    let stage = Stage::new();
    let what = ["minority-partition", "--consistency", "stale", "--nodes", "3", "--rounds", "1"];
    let (output, results) = run(&stage, &what);
    assert_eq!(output.status.code(), Some(5), "{results:#}{}", text(&output.stderr));
    assert_eq!(claim(&results, "linearizable")["verdict"], "fail", "{results:#}");
    assert_eq!(claim(&results, "no acknowledged write lost")["verdict"], "pass", "{results:#}");
}
