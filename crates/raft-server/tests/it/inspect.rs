//! `raft-server inspect` on the directories of real nodes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{Cluster, until};

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
    let refused = |more: &[&str]| {
        let Output { status, stdout, stderr } = inspect(dir.path(), more);
        assert_eq!((status.code(), &*stdout), (Some(2), &b""[..]), "nothing is made up");
        String::from_utf8(stderr).unwrap()
    };
    let nothing = "holds no data: no node has ever run there\nhint: ";
    for more in [&[][..], &["-o", "json"], &["--entries", "-o", "json"]] {
        let error = refused(more);
        assert!(error.starts_with("error: ") && error.contains(nothing), "{error}");
    }
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let error = refused(&[]);
    assert!(error.contains("is not a data directory") && error.contains("\nhint: "), "{error}");
    let output = inspect(&dir.path().join("nowhere"), &[]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("error: could not open "), "{error}");
}

/// Every entry of the log, as programs want it, and the same one the same on every node.
#[tokio::test]
async fn the_log_is_shown_entry_by_entry() {
    let mut cluster = Cluster::new(3);
    cluster.start_all();
    cluster.put("key", b"value").await;
    cluster.put("\u{e4}", &[0xFF, 0]).await;
    cluster.put("long", &[b'v'; 700]).await;
    let leader = cluster.leader().await;
    let last = cluster.status(leader).await.last_index;
    for id in cluster.ids() {
        until("everybody has all", async || cluster.status(id).await.applied_index == last).await;
    }
    // The leader last: another one would begin with an entry of its own.
    for id in cluster.ids().filter(|id| *id != leader) {
        cluster.kill(id);
    }
    cluster.kill(leader);
    let mut logs = Vec::new();
    for id in cluster.ids() {
        let output = inspect(&cluster.data_dir(id), &["--entries", "-o", "json"]);
        assert_eq!(output.status.code(), Some(0));
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let head: serde_json::Value = lines.next().unwrap();
        assert_eq!((&head["schema"], &head["node"]), (&"raft-log/1".into(), &id.into()));
        assert_eq!((&head["last"]["index"], &head["whole"]), (&last.into(), &true.into()));
        assert!(0 < head["hard_state"]["term"].as_u64().unwrap(), "{head}");
        logs.push(lines.collect::<Vec<serde_json::Value>>());
    }
    assert!(logs[0] == logs[1] && logs[1] == logs[2], "{logs:?}");
    let log = &logs[0];
    assert_eq!(log.len() as u64, last);
    assert!(log.iter().enumerate().all(|(at, entry)| entry["index"] == at + 1), "{log:?}");
    assert_eq!(log[0]["kind"], "noop");
    let commands: Vec<_> = log.iter().filter(|entry| entry["kind"] == "command").collect();
    let [one, two, three] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!(
        (&one["op"], &one["key"], &one["value"]),
        (&"put".into(), &"key".into(), &"value".into())
    );
    assert_eq!((&two["key"], &two["value_hex"]), (&"\u{e4}".into(), &"ff00".into()));
    assert_eq!((&three["key"], &three["value_bytes"]), (&"long".into(), &700.into()));
    assert!(one["hash"] != two["hash"] && one["clock_ms"].is_u64(), "{one}");
}
