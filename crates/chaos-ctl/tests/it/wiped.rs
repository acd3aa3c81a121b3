//! A node whose data directory was replaced: it answers, the others refuse it, and nothing may say
//! that all is well.

use std::fs;
use std::path::PathBuf;

use super::cluster::built;
use super::stage::{Stage, events, of_kind, signal, text, wait_for};

/// A cluster that has run, has ended, and has lost the data of one node. The others give up on
/// that one soon.
pub(crate) fn wiped() -> (Stage, PathBuf) {
    let (stage, server) = (Stage::new(), built("raft-server"));
    let yaml = fs::read_to_string(stage.path("cluster.yaml")).unwrap();
    let first = stage.run(&["up", "--duration", "2s", "--bin", server.to_str().unwrap()]);
    let said = text(&first.stdout);
    assert_eq!(first.status.code(), Some(0), "{said}{}", text(&first.stderr));
    assert!(said.contains("hash n1=n2=n3 @ index"), "{said}");
    fs::remove_dir_all(stage.path(".raft/test/n2")).unwrap();
    let yaml = yaml.replace("ready_timeout: 50s", "ready_timeout: 5s");
    fs::write(stage.path("cluster.yaml"), yaml).unwrap();
    (stage, server)
}

#[test]
fn a_cluster_with_a_wiped_node_is_not_ready_for_faults() {
    let (stage, server) = wiped();
    let output = stage.run(&["up", "--duration", "5s", "--bin", server.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("n2 is up but at index 0 of "), "{said}");
    assert!(said.contains(": its data directory may have been replaced"), "{said}");
}

/// Whoever runs it in the background wants it to serve, and two of three do: they are left alone, and
/// the third is named, with what to do about it.
#[test]
fn a_cluster_with_a_wiped_node_serves_in_the_background() {
    let (stage, server) = wiped();
    let up = ["up", "--detach", "--wait", "--bin", server.to_str().unwrap()];
    let output = stage.run(&up);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    assert!(said.contains("n2 is up but at index 0 of "), "{said}");
    assert!(said.contains("--join"), "{said}");
    let status = stage.run(&["status"]);
    assert_eq!(status.status.code(), Some(8), "{status:?}");
    assert!(text(&status.stdout).contains("leader n"), "{status:?}");
    assert_eq!(stage.run(&["down"]).status.code(), Some(0));
}

/// Without waiting for it to be ready: the nodes run, and one of them is refused.
#[test]
fn status_names_a_wiped_node() {
    let (stage, server) = wiped();
    let yaml = fs::read_to_string(stage.path("cluster.yaml")).unwrap();
    fs::write(stage.path("cluster.yaml"), yaml.replace("timeout: 5s", "timeout: 50s")).unwrap();
    let child = stage.command(&["up", "--bin", server.to_str().unwrap()]).spawn().unwrap();
    let said = wait_for("a status that names it", || {
        let status = stage.run(&["status"]);
        let said = text(&status.stdout);
        assert_ne!(status.status.code(), Some(0), "{said}");
        said.contains("n2 is up but ").then_some(said)
    });
    assert!(said.contains(": its data directory may have been replaced"), "{said}");
    signal(&child, nix::sys::signal::Signal::SIGINT);
    let output = super::stage::finish(child);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
}

/// The data goes while the cluster runs and the node is down between two of its lives.
#[test]
fn a_node_that_is_wiped_while_it_is_down_is_missing_at_the_end() {
    let (stage, server) = (Stage::new(), built("raft-server"));
    let args = ["up", "--kill-interval", "30s", "--first", "200ms", "--downtime", "20s"];
    let rest = ["--target", "follower", "--duration", "4s", "--bin", server.to_str().unwrap()];
    let child = stage.command(&[&args[..], &rest].concat()).spawn().unwrap();
    let file = stage.path(".raft/test/events.jsonl");
    let victim = wait_for("a kill", || {
        let text = fs::read_to_string(&file).ok()?;
        let line = text.lines().find(|line| line.contains(r#""kind":"kill""#))?;
        serde_json::from_str::<serde_json::Value>(line).ok()?["node"].as_u64()
    });
    let data = stage.path(&format!(".raft/test/n{victim}"));
    fs::rename(&data, stage.path("gone")).unwrap();
    let output = super::stage::finish(child);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(6), "{said}{}", text(&output.stderr));
    let expected = format!("n{victim} is up but at index 0 of ");
    let seen = events(&file);
    let mut notes = of_kind(&seen, "note").into_iter().map(|note| note["text"].as_str().unwrap());
    assert!(notes.any(|note| note.starts_with(&expected)), "{said}");
    assert!(said.contains("hash not compared"), "{said}");
}
