//! A running cluster is controlled from another terminal: what is ordered is done, shown and told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::cluster::built;
use super::stage::{Stage, events, finish, of_kind, signal, text, wait_for, wait_until_gone};

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

/// A cluster that serves in the background, and is stopped in the end whatever happens.
struct Served {
    stage: Stage,
}

impl Served {
    fn start(more: &[&str]) -> Self {
        let stage = Stage::new();
        let program = built("raft-server");
        let served = Self { stage };
        let args = ["up", "--detach", "--wait", "--bin", program.to_str().unwrap()];
        let output = served.stage.run(&[&args[..], more].concat());
        assert_eq!(code(&output), 0, "{output:?}");
        served
    }

    /// What a command says that must succeed.
    fn ordered(&self, args: &[&str]) -> String {
        let output = self.stage.run(args);
        let said = text(&output.stdout);
        assert_eq!(code(&output), 0, "{args:?}: {said}{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{args:?}");
        said
    }

    /// What a command complains about that must not do anything.
    fn refused(&self, args: &[&str], with: i32) -> String {
        let output = self.stage.run(args);
        assert_eq!(code(&output), with, "{args:?}: {output:?}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
        text(&output.stderr)
    }

    fn events(&self) -> Vec<Value> {
        events(&self.stage.path(".raft/test/events.jsonl"))
    }

    fn status(&self) -> Value {
        serde_json::from_slice(&self.stage.run(&["status", "-o", "json"]).stdout).unwrap()
    }

    fn wait_until_whole(&self) {
        wait_for("a cluster that is whole", || {
            (code(&self.stage.run(&["status"])) == 0).then_some(())
        });
    }

    fn pid(&self, node: usize) -> Option<i64> {
        self.status()["nodes"][node - 1]["pid"].as_i64()
    }

    fn leader(&self) -> i64 {
        wait_for("a leader", || self.status()["leader"].as_i64())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let down = self.stage.run(&["down"]);
        assert!(down.status.success() || std::thread::panicking(), "{down:?}");
    }
}

#[test]
fn nodes_are_ended_started_and_paused_by_order() {
    let served = Served::start(&[]);
    let socket = served.stage.path(".raft/test/control.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    let pid = served.pid(2).unwrap();
    let said = served.ordered(&["stop", "n2"]);
    assert!(said.contains(&format!("pid {pid} SIGTERM   ended after")), "{said}");
    assert!(said.contains("exit code 0\nquorum 2/3   down until `chaos-ctl start`"), "{said}");
    assert!(served.pid(2).is_none());
    assert_eq!(served.ordered(&["stop", "2"]), "n2 is down already, and stays so\n");
    let hint = served.refused(&["kill", "n2"], 2);
    assert!(hint.starts_with("error: n2 is down already\n\nhint: "), "{hint}");
    let said = served.ordered(&["start", "n2"]);
    assert!(said.starts_with("n2 started   pid ") && said.contains("was down"), "{said}");
    served.wait_until_whole();
    let pid = served.pid(2).unwrap();
    assert_eq!(served.ordered(&["start", "n2"]), format!("n2 runs already   pid {pid}\n"));

    let leader = served.leader();
    let said = served.ordered(&["kill", "leader", "--restart-after", "200ms"]);
    assert!(said.starts_with(&format!("n{leader} leader   pid ")), "{said}");
    assert!(said.contains("SIGKILL   ended after"), "{said}");
    assert!(said.contains("starts again 200ms after the signal"), "{said}");
    served.wait_until_whole();
    let said = served.ordered(&["kill", "n1", "--signal", "abrt", "--restart-after", "0s"]);
    assert!(said.contains("SIGABRT"), "{said}");
    served.wait_until_whole();

    let said = served.ordered(&["restart", "follower"]);
    assert!(said.contains("SIGTERM   ended after") && said.contains("started   pid"), "{said}");
    served.wait_until_whole();

    let said = served.ordered(&["pause", "n3"]);
    assert!(said.contains("SIGSTOP, seen stopped   until `chaos-ctl resume`"), "{said}");
    let paused = served.status()["nodes"][2].clone();
    assert_eq!((&paused["role"], paused["pid"].is_u64()), (&"stands still".into(), true));
    assert!(served.refused(&["pause", "n3"], 2).contains("paused already"));
    let said = served.ordered(&["resume", "n3"]);
    assert!(said.contains("SIGCONT   stood still"), "{said}");
    assert!(served.refused(&["resume", "n3"], 2).contains("n3 is not paused"));
    served.ordered(&["pause", "n3", "--for", "100ms"]);
    let resumed = || (of_kind(&served.events(), "resume").len() == 2).then_some(());
    wait_for("the end of the pause", resumed);

    let hint = served.refused(&["kill", "n9"], 2);
    assert_eq!(hint, "error: there is no node n9; there are n1 n2 n3\n");
    for lab in [&["partition", "leader"][..], &["link", "1:2", "--hang"], &["power-loss", "any"]] {
        let hint = served.refused(lab, 2);
        assert!(hint.ends_with("hint: start it with `chaos-ctl up --lab`\n"), "{hint}");
    }
    assert_eq!(served.ordered(&["heal"]), "nothing to heal\n");

    let seen = served.events();
    assert_eq!(of_kind(&seen, "crash").len(), 0, "an order is no crash: {seen:?}");
    let orders = of_kind(&seen, "order");
    assert_eq!(orders[0]["what"], "stop n2");
    assert_eq!(of_kind(&seen, "refused").len(), 7, "{seen:?}");
    assert_eq!(of_kind(&seen, "terminate")[0]["node"], 2, "{seen:?}");
    let signals: Vec<&Value> = of_kind(&seen, "kill").iter().map(|kill| &kill["signal"]).collect();
    assert_eq!(signals, ["SIGKILL", "SIGABRT"]);
}

#[test]
fn links_and_disks_are_troubled_by_order_and_heal() {
    let served = Served::start(&["--lab"]);
    let leader = served.leader();
    let said = served.ordered(&["partition", "leader"]);
    let first = format!("partition 1  n{leader} cut off from all others   until `chaos-ctl heal`");
    assert!(said.starts_with(&first) && said.contains("4 links"), "{said}");
    assert!(said.contains("bytes held back"), "{said}");
    assert_eq!(served.status()["in_force"][0], first);
    wait_for("another leader", || (served.leader() != leader).then_some(()));
    let said = served.ordered(&["heal", "links"]);
    assert!(said.starts_with("partition 1  over after ") && said.contains("held back"), "{said}");
    assert_eq!(served.status()["in_force"], serde_json::json!([]));
    served.wait_until_whole();

    let said = served.ordered(&["partition", "1/n2,n3", "--refuse", "--for", "300ms"]);
    assert!(said.contains("n1 | n2 n3, connections refused   for 300ms"), "{said}");
    let over = || (of_kind(&served.events(), "over").len() == 2).then_some(());
    wait_for("the end of the partition", over);
    served.wait_until_whole();

    let said = served.ordered(&["link", "all", "--delay", "5ms", "--jitter", "3ms"]);
    assert!(said.contains("late by 5ms and up to 3ms more"), "{said}");
    assert!(said.contains("pieces delayed"), "{said}");
    let said = served.ordered(&["disk", "all", "--slow-fsync", "1-2ms"]);
    assert!(said.contains("in force on 3 of 3"), "{said}");
    let said = served.ordered(&["heal", "faults"]);
    assert!(said.contains("link 3  over") && said.contains("slow_disk 4  over"), "{said}");

    let said = served.ordered(&["disk", "n2", "--full", "--for", "20s"]);
    assert!(said.contains("the disk of n2 ") && said.contains("in force on 1 of 1"), "{said}");
    assert!(served.ordered(&["heal", "faults"]).starts_with("disk_full 5  over after "));
    let said = served.ordered(&["disk", "all", "--io-error", "--for", "5s"]);
    assert!(said.contains("in force on 3 of 3"), "{said}");
    // A write is synced, if nothing else is, and may well be answered by nobody.
    let mut put = std::process::Command::new(built("raft-client"));
    put.arg("-f").arg(served.stage.path("cluster.yaml")).args(["put", "a", "b"]);
    put.output().unwrap();
    let gone = || (!of_kind(&served.events(), "ended").is_empty()).then_some(());
    wait_for("a node that ended for want of a sync", gone);
    served.wait_until_whole();

    let said = served.ordered(&["power-loss", "follower"]);
    assert!(said.contains("lost what was not synced: "), "{said}");
    let said = served.ordered(&["heal"]);
    assert!(said.contains("started   pid"), "{said}");
    served.wait_until_whole();

    for (args, what) in [
        (&["partition", "1,2"][..], "`1,2` is not one node"),
        (&["partition", "1/2"], "`1/2`: node 3 is in no group"),
        (&["partition", "sideways"], "`sideways` is no partition: write groups"),
        (&["partition", "ring", "--one-way", "in"], "--one-way is about one node, not a ring"),
        (&["link", "1", "--hang"], "`1` names no link: write '1>2' (in quotes"),
        (&["link", "1:2"], "say what the link shall do"),
    ] {
        let said = served.refused(args, 2);
        assert!(said.starts_with(&format!("error: {what}")), "{args:?}: {said}");
    }
    let seen = served.events();
    assert_eq!(of_kind(&seen, "crash").len(), 0, "{seen:?}");
    let over = of_kind(&seen, "over");
    assert_eq!(over.len(), 6, "{over:?}");
    assert!(over.iter().take(3).all(|over| over["outcome"] == "installed"), "{over:?}");
}

#[test]
fn orders_without_a_cluster_or_a_sense_are_refused() {
    let stage = Stage::new();
    let refused = |args: &[&str], with: i32| {
        let output = stage.run(args);
        assert_eq!(code(&output), with, "{args:?}: {output:?}");
        text(&output.stderr)
    };
    assert_eq!(
        refused(&["kill", "leader"], 3),
        "error: nothing runs for cluster test\n\nhint: start it with `chaos-ctl up`, or name \
         another one with -f FILE\n"
    );
    for args in [
        &["kill"][..],
        &["kill", "somebody"],
        &["kill", "n1", "--signal", "STOP"],
        &["pause", "n1", "--for", "soon"],
        &["link", "1:2", "--loss", "10"],
        &["disk", "n1"],
        &["disk", "n1", "--full", "--io-error"],
        &["heal", "wounds"],
    ] {
        let said = refused(args, 2);
        assert!(said.starts_with("error: "), "{args:?}: {said}");
    }
    // A runner that was killed leaves its socket behind, and misleads nobody.
    fs::create_dir_all(stage.path(".raft/test")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(stage.path(".raft/test/control.sock")).unwrap());
    let said = refused(&["heal"], 3);
    assert!(said.starts_with("error: nothing runs for cluster test"), "{said}");
}

/// What a schedule does and what is ordered go together: the schedule waits for nodes that are held
/// down, and goes on when they are back.
#[test]
fn a_schedule_waits_for_what_is_ordered() {
    let stage = Stage::new();
    let server = built("raft-server");
    let args = ["up", "--kill-interval", "300ms", "--downtime", "100ms", "--bin"];
    let child = stage.command(&[&args[..], &[server.to_str().unwrap()]].concat()).spawn().unwrap();
    let file = stage.path(".raft/test/events.jsonl");
    let seen = || if file.exists() { events(&file) } else { Vec::new() };
    let kills = || of_kind(&seen(), "kill").len();
    wait_for("a first kill by the schedule", || (0 < kills()).then_some(()));
    // Whichever the schedule holds down just now: it stays down.
    let output = stage.run(&["stop", "n1"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let stopped = kills();
    let status = |healthy: i32| (code(&stage.run(&["status"])) == healthy).then_some(());
    wait_for("the others", || status(8));
    let since = seen().len();
    let output = stage.run(&["start", "n1"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let between = &seen()[..since];
    assert_eq!(of_kind(between, "kill").len(), stopped, "nobody was killed meanwhile");
    wait_for("another kill", || (stopped < kills()).then_some(()));
    signal(&child, Signal::SIGINT);
    let output = finish(child);
    let said = text(&output.stdout);
    assert!([0, 8].contains(&code(&output)), "{said}{}", text(&output.stderr));
    assert!(said.contains("unexpected exits 0"), "{said}");
    let pids = seen();
    let pids: Vec<i32> = of_kind(&pids, "start")
        .iter()
        .filter_map(|event| i32::try_from(event["pid"].as_i64()?).ok())
        .collect();
    wait_until_gone(&pids);
    assert!(!stage.path(".raft/test/control.sock").exists());
}
