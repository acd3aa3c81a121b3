//! The scripts that measure, on loads too short to mean anything: they run, tell all they were asked for,
//! and leave nothing behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::cluster::built;
use super::etcd::is_here;
use super::stage::{finish, text};

fn script(name: &str, args: &[&str]) -> Output {
    let server = built("raft-server");
    built("raft-client");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(name);
    let mut command = Command::new(script);
    command.args(args).env("RAFT_BIN", server.parent().unwrap()).env_remove("ETCD");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

/// What it prints if it succeeds.
fn printed(name: &str, args: &[&str]) -> String {
    let output = script(name, args);
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// A place for clusters that is not there yet, and is gone again afterwards.
fn place(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("place")
}

#[test]
fn ours_and_etcd_are_laid_side_by_side() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (place, file) = (place(&dir), dir.path().join("figures.json"));
    let mut args = vec!["-c", "1 2", "--value-sizes", "64", "-z", "200ms", "--rounds", "1"];
    args.extend(["--keys", "20", "--in-flight", "8", "--dir", place.to_str().unwrap()]);
    args.extend(["--only", "writes stale streams memory", "--out", file.to_str().unwrap()]);
    let shown = printed("bench-vs-etcd.sh", &args);
    for line in [
        "### Beside etcd ",
        "The floor of one write by one client (two round trips and one sync, p50): ",
        "| writes, 64 B | ",
        "| stale reads, 64 B | ",
        "| 64 B | 1 | ours | ",
        "|  |  | etcd | ",
        "|  |  | **ours / etcd** | ",
        "| 64 B | 8 | ",
        "| after one write | ",
    ] {
        assert!(shown.lines().any(|shown| shown.starts_with(line)), "no {line:?} in\n{shown}");
    }
    let told: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let cells = told["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 2 * 2 + 1, "{told:#}");
    for cell in cells {
        assert!(0.0 < cell["figures"]["raft"]["per_s"][0].as_f64().unwrap(), "{cell:#}");
        assert_eq!(cell["figures"]["etcd"].is_null(), cell["what"] == "streams", "{cell:#}");
    }
    assert!(!place.exists());
}

#[test]
fn growth_is_a_table_and_a_picture_for_each_part() {
    let dir = tempfile::tempdir().unwrap();
    let (place, out) = (place(&dir), dir.path().join("out"));
    let mut args = vec![out.to_str().unwrap(), "--dir", place.to_str().unwrap(), "-z", "200ms"];
    args.extend(["-c", "2", "--nodes", "1 3", "--value-sizes", "16 4k", "--keys", "50 100"]);
    args.extend(["--soak", "1s", "--interval", "200ms", "--log", "50 100"]);
    printed("bench-growth", &args);
    for (part, first, rows) in [
        ("nodes", "nodes,clients,per_s,", 4),
        ("values", "bytes,clients,per_s,", 2),
        ("keys", "keys,fill_per_s,", 2),
        ("soak", "at_s,per_s,", 1),
        ("restart", "entries,files_mib,ready_ms,", 2),
    ] {
        let table = fs::read_to_string(out.join(part).with_extension("csv")).unwrap();
        assert!(table.starts_with(first) && rows < table.lines().count(), "{part}:\n{table}");
        let picture = fs::read_to_string(out.join(part).with_extension("svg")).unwrap();
        assert!(picture.starts_with("<svg ") && picture.contains("<circle "), "{part}:\n{picture}");
    }
    assert!(!place.exists());
}

#[test]
fn what_makes_no_sense_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().to_str().unwrap();
    for (name, args, says) in [
        ("bench-growth", &[][..], "the following arguments are required: DIR"),
        ("bench-growth", &["out", "--only", "nodes all"], "there is no part `all`, only nodes, "),
        ("bench-growth", &[taken, "--dir", taken], " is there already"),
        ("bench-vs-etcd.sh", &["-c", "ten"], "`ten` is no number"),
        ("bench-vs-etcd.sh", &["--value-sizes", ""], "the list is empty"),
        ("bench-vs-etcd.sh", &["-z", "0s"], "`0s` is no time"),
    ] {
        let output = script(name, args);
        let (code, said) = (output.status.code(), text(&output.stderr));
        assert!(code == Some(2) && said.starts_with("error: ") && said.contains(says), "{said}");
        assert!(said.matches("error: ").count() == 1 && output.stdout.is_empty(), "{said}");
    }
}
