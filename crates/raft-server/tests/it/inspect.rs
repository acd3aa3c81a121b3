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
