//! `raft-server inspect` on the directories of real nodes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::Cluster;

pub(crate) fn inspect(dir: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft-server"));
    command.arg("inspect").arg(dir).args(more).output().unwrap()
}

fn text(dir: &Path) -> (i32, String) {
    let Output { status, stdout, stderr } = inspect(dir, &[]);
    assert!(stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    (status.code().unwrap(), String::from_utf8(stdout).unwrap())
}

/// What `inspect -o json` says.
pub(crate) fn json(dir: &Path) -> serde_json::Value {
    serde_json::from_slice(&inspect(dir, &["-o", "json"]).stdout).unwrap()
}

/// Every file below a directory, with its bytes.
fn all_files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_files(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

/// Running, stopped, on a read-only path, and damaged: each is told as it is, and nothing changes.
#[tokio::test]
async fn a_directory_is_shown_as_it_is() {
    let mut cluster = Cluster::new(1);
    let dir = cluster.data_dir(1);
    cluster.start(1);
    for number in 0..5 {
        cluster.put(&format!("key {number}"), &[b'v'; 700]).await;
    }
    let (code, shown) = text(&dir);
    let pid = cluster.pid(1);
    let first = format!("{} is in use by process {pid}: what follows may be torn", dir.display());
    assert_eq!((code, shown.lines().next().unwrap()), (0, first.as_str()), "{shown}");
    assert_eq!(json(&dir)["used_by"], i64::from(pid.as_raw()));
    cluster.put("key", b"value").await;
    let status = cluster.status(1).await;
    cluster.kill(1);

    let before = all_files(&dir);
    let (code, shown) = text(&dir);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.starts_with(&format!("{}: n1 of cluster `test` (id ", dir.display())), "{shown}");
    let last = status.last_index;
    let log = format!("log         {last} entries, 1@1 to {last}@1; ");
    for line in [log.as_str(), "hard state  term 1, voted for n1", "members     n1", "whole: "] {
        assert!(shown.lines().any(|shown| shown.starts_with(line)), "no {line:?} in\n{shown}");
    }
    let told = json(&dir);
    assert_eq!((&told["log"]["last"]["index"], &told["in_use"]), (&last.into(), &false.into()));
    assert_eq!(told["members"]["voters"], serde_json::json!([1]));
    assert!(all_files(&dir) == before, "a look changes nothing");

    let segment = dir.join("wal/0000000000000001.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(5).position(|window| window == b"key 2").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let before = all_files(&dir);
    let (code, shown) = text(&dir);
    let error = format!("error: {} is damaged at byte ", segment.display());
    assert!(code == 1 && shown.contains(&error) && shown.contains("hint: "), "{shown}");
    let told = json(&dir);
    assert_eq!(
        (&told["can_start"], &told["problems"][0]["kind"]),
        (&false.into(), &"damaged".into())
    );
    assert!(told["problems"][0]["whole_up_to"]["index"].as_u64().unwrap() < last);
    assert!(all_files(&dir) == before, "a look changes nothing");
}

/// What lies behind damage is nobody's knowledge: what the log says before it is told as of there, and
/// what it would have said of the snapshots is not told at all.
#[tokio::test]
async fn what_lies_behind_damage_is_unknown() {
    let mut cluster = Cluster::with(1, "raft: {snapshot: {entries: 20, trailing: 10}}\n");
    let dir = cluster.data_dir(1);
    cluster.start(1);
    for number in 10..80 {
        cluster.put(&format!("key {number}"), b"value").await;
    }
    cluster.kill(1);
    let whole = json(&dir);
    assert_eq!((&whole["log"]["as_of_damage"], &whole["can_start"]), (&false.into(), &true.into()));
    let newest = whole["snapshots"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(newest["named_by_log"], true);

    // In the middle: snapshots were named before it that are gone by now, and others after it.
    let segment = dir.join("wal/0000000000000001.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(6).position(|window| window == b"key 50").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let behind = dir.join("wal/0000000000000002.log");
    std::fs::copy(&segment, &behind).unwrap();
    let (code, shown) = text(&dir);
    assert_eq!(code, 1, "{shown}");
    assert!(shown.contains("\nDAMAGED: the log cannot be read to its end."), "{shown}");
    let as_of = "unknown; as of the damage: ";
    for line in ["hard state  ", "members     ", "log         "] {
        let told = shown.lines().find_map(|shown| shown.strip_prefix(line)).unwrap();
        assert!(told.starts_with(as_of), "{line}{told}");
    }
    assert!(shown.contains("0000000000000002.log  unknown: it is behind the damage"), "{shown}");
    assert!(shown.contains("; whether the log needs it is unknown\n"), "{shown}");
    assert!(
        !shown.contains("snapshot is missing"),
        "what is gone may have been replaced:\n{shown}"
    );
    let last = &newest["last"]["index"];
    assert!(
        shown.contains(&format!("\nsafe: what came of everything up to entry {last}@")),
        "{shown}"
    );
    assert_eq!(shown.matches("\nerror: ").count(), 1, "{shown}");

    let told = json(&dir);
    assert_eq!(told["problems"].as_array().unwrap().len(), 1, "{told:#}");
    for place in [&told["log"]["as_of_damage"], &told["hard_state"]["as_of_damage"]] {
        assert_eq!(place, &true, "{told:#}");
    }
    assert_eq!(told["members_as_of_damage"], true);
    assert_eq!(told["safe_up_to"], newest["last"]);
    assert_eq!(told["log"]["unread"][0], behind.to_str().unwrap());
    assert_eq!(told["snapshots"][0]["named_by_log"], serde_json::Value::Null);

    // Nor does `recover` say what a new cluster would begin with.
    let mut recover = Command::new(env!("CARGO_BIN_EXE_raft-server"));
    recover.arg("recover").arg(&dir).arg("--config").arg(cluster.config());
    let output = recover.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]), "{error}");
    assert!(error.starts_with(&format!("error: {} is not whole: ", dir.display())), "{error}");
}

#[test]
fn what_is_no_data_directory_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let (code, shown) = text(dir.path());
    let nothing = "holds nothing yet: a node that starts here begins anew";
    assert!(code == 0 && shown.contains(nothing), "{shown}");
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let (code, shown) = text(dir.path());
    assert!(code == 1 && shown.contains("is not a data directory"), "{shown}");
    let output = inspect(&dir.path().join("nowhere"), &[]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("error: could not open "), "{error}");
}
