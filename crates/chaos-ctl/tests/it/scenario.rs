//! Every kind of scenario, short, with real servers: what counts here is that it comes to its end,
//! that each fault leaves evidence, and that no promise is broken. How fast it is says nothing on a
//! busy machine.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::cluster::built;
use super::stage::{Stage, events, finish, of_kind, text};

fn chaos(args: &[&str]) -> Command {
    built("raft-server");
    built("raft-client");
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("chaos-ctl"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn scenario(stage: &Stage, args: &[&str]) -> (Output, Value) {
    let mut command = chaos(&["run"]);
    command.args(args).arg("--dir").arg(stage.path("run")).arg("--bin").arg(built("raft-server"));
    command.args(["--json", "--seed", "7", "-c", "4"]);
    let output = finish(command.spawn().unwrap());
    let results = serde_json::from_slice(&output.stdout);
    let results: Value = results.unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let kept = std::fs::read(stage.path("run/results.json")).unwrap();
    assert_eq!(results, serde_json::from_slice::<Value>(&kept).unwrap());
    (output, results)
}

/// Every promise was kept, and each fault left its evidence.
fn expect_pass(output: &Output, results: &Value) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{results:#}{said}");
    assert_eq!(results["verdict"], "PASS", "{results:#}");
    for it in results["claims"].as_array().unwrap() {
        assert_eq!(it["verdict"], "pass", "{results:#}");
    }
    for fault in faults(results) {
        assert_eq!(fault["outcome"], "installed", "{fault:#}");
        assert!(!fault["evidence"].as_object().unwrap().is_empty(), "{fault:#}");
    }
    assert!(100 < results["judgement"]["operations"].as_u64().unwrap(), "{results:#}");
}

fn faults(results: &Value) -> Vec<&Value> {
    results["faults"].as_array().unwrap().iter().collect()
}

/// No process is left that was told of this stage's files.
fn expect_nothing_left(stage: &Stage) {
    let place = stage.path("run").display().to_string();
    let mut left = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains(&place) {
            left.push(line);
        }
    }
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn leaders_are_killed_and_each_one_is_accounted_for() {
    let stage = Stage::new();
    let (output, results) = scenario(&stage, &["kill-leader", "--rounds", "2"]);
    expect_pass(&output, &results);
    let kills = faults(&results);
    assert_eq!(kills.len(), 2, "{results:#}");
    for kill in kills {
        assert_eq!(kill["leader_hit"], true, "{kill:#}");
        assert!(kill["term_before"].as_u64() < kill["term_after"].as_u64(), "{kill:#}");
        assert!(!kill["election"].as_str().unwrap().is_empty(), "{kill:#}");
        assert!(kill["whole_us"].is_u64(), "{kill:#}");
    }
    expect_nothing_left(&stage);
    // What was executed can be done again, to the same nodes.
    let executed = std::fs::read_to_string(stage.path("run/executed.yaml")).unwrap();
    assert_eq!(executed.matches("kill:").count(), 2, "{executed}");
    let mut command = chaos(&["replay", "--executed", "--json"]);
    command.arg(stage.path("run")).arg("--bin").arg(built("raft-server"));
    let output = finish(command.spawn().unwrap());
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    expect_pass(&output, &again);
    let victims = |results: &Value| -> Vec<Value> {
        faults(results).iter().map(|fault| fault["nodes"].clone()).collect()
    };
    assert_eq!(victims(&again), victims(&results));
}

#[test]
fn all_nodes_are_killed_at_once_and_nothing_is_lost() {
    let stage = Stage::new();
    let (output, results) = scenario(&stage, &["kill-all", "--rounds", "3"]);
    expect_pass(&output, &results);
    for kill in faults(&results) {
        assert_eq!(kill["nodes"].as_array().unwrap().len(), 3, "{kill:#}");
        assert!(kill["term_before"].as_u64() < kill["term_after"].as_u64(), "{kill:#}");
    }
    expect_nothing_left(&stage);
}

#[test]
fn every_node_is_restarted_in_turn() {
    let stage = Stage::new();
    let (output, results) = scenario(&stage, &["rolling-restart", "--rounds", "3"]);
    expect_pass(&output, &results);
    let whom: Vec<u64> =
        faults(&results).iter().map(|fault| fault["nodes"][0].as_u64().unwrap()).collect();
    assert_eq!(whom, [1, 2, 3]);
    expect_nothing_left(&stage);
}

#[test]
fn a_cluster_is_replaced_down_to_its_last_founder() {
    let stage = Stage::new();
    let (output, results) = scenario(&stage, &["replace-nodes"]);
    expect_pass(&output, &results);
    let changes = faults(&results).into_iter().filter(|fault| fault["kind"] == "membership");
    assert_eq!(changes.count(), 5, "{results:#}");
    let told = events(&stage.path("run/events.jsonl"));
    let told = of_kind(&told, "told");
    let mut ids: Vec<u64> = told.iter().map(|event| event["node"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    assert!(results["hashes"].as_str().unwrap().starts_with("hash n6=n7=n8 @"), "{results:#}");
    expect_nothing_left(&stage);
}

#[test]
fn leaders_that_stand_still_are_replaced_and_nobody_reads_what_is_old() {
    let stage = Stage::new();
    let (output, results) = scenario(&stage, &["pause-leader", "--rounds", "3"]);
    expect_pass(&output, &results);
    expect_nothing_left(&stage);
}

#[test]
fn a_cluster_that_is_cut_in_two_has_one_history() {
    let stage = Stage::new();
    let (output, results) = scenario(&stage, &["minority-partition", "--rounds", "2"]);
    expect_pass(&output, &results);
    for fault in faults(&results) {
        assert!(0 < fault["evidence"]["bytes held back"].as_u64().unwrap_or(0), "{fault:#}");
    }
    expect_nothing_left(&stage);
}

/// Something done to the lines of a history.
type Change<'a> = &'a dyn Fn(&mut Vec<Value>);

/// What `verify` reads, besides the history.
const LOOKED_AT: [&str; 5] =
    ["results.json", "certificate.json", "states.jsonl", "events.jsonl", "load/lists.json"];

/// The lines of a history, changed, beside the files of the run that it is of.
fn tampered(stage: &Stage, change: impl FnOnce(&mut Vec<Value>)) -> std::path::PathBuf {
    let (from, to) = (stage.path("run"), stage.path("tampered"));
    std::fs::create_dir_all(to.join("load")).unwrap();
    for name in LOOKED_AT {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    // The logs stay where they are.
    let yaml = std::fs::read_to_string(from.join("cluster.yaml")).unwrap();
    let yaml = yaml.replace("'n{id}'", &format!("'{}'", from.join("n{id}").display()));
    std::fs::write(to.join("cluster.yaml"), yaml).unwrap();
    let text = std::fs::read_to_string(from.join("history.jsonl")).unwrap();
    let mut lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    change(&mut lines);
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    std::fs::write(to.join("history.jsonl"), lines.join("\n") + "\n").unwrap();
    to
}

/// What chaos-ctl and the script say of a run's files.
fn verdicts(run: &std::path::Path) -> (Option<i32>, Option<i32>, String) {
    let ours = chaos(&["verify"]).arg(run).output().unwrap();
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = script.join("../../scripts/verify_certificate.py");
    let theirs = Command::new("python3")
        .arg(script)
        .args([run.join("certificate.json"), run.join("history.jsonl")])
        .output()
        .unwrap();
    let said = text(&ours.stdout) + &text(&ours.stderr) + &text(&theirs.stdout);
    (ours.status.code(), theirs.status.code(), said)
}

#[test]
fn a_run_is_judged_again_and_a_tampered_one_is_found_out() {
    let stage = Stage::new();
    let (output, results) = scenario(&stage, &["kill-leader", "--rounds", "1"]);
    expect_pass(&output, &results);
    assert!(stage.path("run/report.html").is_file());
    let (ours, theirs, said) = verdicts(&stage.path("run"));
    assert_eq!((ours, theirs), (Some(0), Some(0)), "{said}");
    assert!(said.contains("PASS"), "{said}");
    let read = |line: &Value| line["outcome"]["ok"]["value"].is_string();
    let write =
        |line: &Value| line["input"]["put"].is_object() && line["outcome"]["ok"].is_string();
    let changes: [(&str, Change<'_>); 3] = [
        ("one read is changed", &|lines| {
            let line = lines.iter_mut().rfind(|line| read(line)).unwrap();
            line["outcome"]["ok"]["value"] = "nobody wrote this".into();
        }),
        ("one acknowledged write is removed", &|lines| {
            let place = lines.iter().position(write).unwrap();
            lines.remove(place);
        }),
        ("two results are swapped", &|lines| {
            let places: Vec<usize> = (0..lines.len()).filter(|&it| read(&lines[it])).collect();
            let first = places[0];
            let other =
                places.iter().copied().find(|&it| lines[it]["outcome"] != lines[first]["outcome"]);
            let other = other.unwrap();
            let outcome = lines[first]["outcome"].take();
            lines[first]["outcome"] = lines[other]["outcome"].take();
            lines[other]["outcome"] = outcome;
        }),
    ];
    for (what, change) in changes {
        let run = tampered(&stage, |lines| change(lines));
        let (ours, theirs, said) = verdicts(&run);
        assert_eq!(ours, Some(5), "{what}: {said}");
        assert!(theirs.is_some_and(|code| code != 0), "{what}: {said}");
        assert!(said.contains("FAIL"), "{what}: {said}");
        // A screen, and not a page for each operation.
        assert!(said.lines().all(|line| line.len() < 1000), "{what}: {said}");
    }
    expect_other_files_judged(&stage);
}

/// The history is as it was, and another file is not.
fn expect_other_files_judged(stage: &Stage) {
    let judged = |name: &str, change: &dyn Fn(&str) -> String| {
        let run = tampered(stage, |_| ());
        let path = run.join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = change(&text);
        assert_ne!(changed, text, "{name}");
        std::fs::write(&path, changed).unwrap();
        let (ours, _, said) = verdicts(&run);
        (ours, said)
    };
    let (code, said) = judged("load/lists.json", &|text| text.replace("\"lost\":0", "\"lost\":7"));
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("FAILED   no acknowledged write lost"), "{said}");
    let (code, said) = judged("states.jsonl", &|text| {
        let led = text.lines().find(|line| line.contains("\"role\":\"leader\"")).unwrap();
        let node = led.split_once("\"node\":").unwrap().1.chars().next().unwrap();
        let other = if node == '1' { '2' } else { '1' };
        let other = led.replace(&format!("\"node\":{node}"), &format!("\"node\":{other}"));
        format!("{text}{other}\n")
    });
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("FAILED   one leader per term"), "{said}");
    let (code, said) = judged("events.jsonl", &|text| text.replace("\"kind\":\"stopped\"", ""));
    assert_eq!(code, Some(10), "{said}");
    // A run that was too slow is not called a broken promise by what it is judged to be later.
    let (code, said) = judged("results.json", &|text| {
        text.replace("\"verdict\": \"PASS\"", "\"verdict\": \"FAIL\"")
            .replace("\"code\": 0", "\"code\": 6")
    });
    assert_eq!(code, Some(6), "{said}");
}

/// Something done to the results, and what `verify` exits with then.
type Forgery<'a> = (&'a dyn Fn(&mut Value), i32);

/// What a run's files do not show any more is not taken on trust.
#[test]
fn a_run_with_less_than_it_had_is_no_pass() {
    let stage = Stage::new();
    let (output, results) = scenario(&stage, &["kill-leader", "--rounds", "1"]);
    expect_pass(&output, &results);
    let run = stage.path("run");
    let verify = || {
        let output = chaos(&["verify"]).arg(&run).output().unwrap();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    };
    let (code, said) = verify();
    assert_eq!(code, Some(0), "{said}");
    let changes: [Forgery<'_>; 3] = [
        (&|it| it["claims"][7]["verdict"] = "fail".into(), 5),
        (&|it| it["claims"] = Value::Array(Vec::new()), 10),
        (&|it| it["judgement"] = Value::Null, 10),
    ];
    for (change, expected) in changes {
        let mut other = results.clone();
        change(&mut other);
        std::fs::write(run.join("results.json"), other.to_string()).unwrap();
        let (code, said) = verify();
        assert_eq!(code, Some(expected), "{said}");
    }
    std::fs::write(run.join("results.json"), results.to_string()).unwrap();
    std::fs::rename(run.join("n2"), run.join("gone")).unwrap();
    let (code, said) = verify();
    assert_eq!(code, Some(10), "{said}");
    assert!(said.contains("the logs agree"), "{said}");
    std::fs::rename(run.join("gone"), run.join("n2")).unwrap();

    for entry in std::fs::read_dir(run.join("n1/wal")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        // Between frames there are zeros, which nobody reads.
        if let Some(at) = (10_000..bytes.len()).find(|&at| bytes[at] != 0) {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let (code, said) = verify();
    assert_eq!(code, Some(10), "{said}");
}

/// A run that does not begin leaves the files of the one before, and so does one that finds it under way.
#[test]
fn a_run_that_cannot_begin_takes_nothing_away() {
    let stage = Stage::new();
    let (_, results) = scenario(&stage, &["kill-leader", "--rounds", "1"]);
    assert_ne!(results["verdict"], "FAIL", "{results:#}");
    let files =
        ["results.json", "history.jsonl", "scenario.yaml"].map(|it| stage.path("run").join(it));
    let kept = || files.clone().map(|path| std::fs::read(path).unwrap());
    let before = kept();
    let run = |scenario: &str, more: &[&str]| {
        let mut command = chaos(&["run", scenario, "--seed", "8", "--dir"]);
        command.arg(stage.path("run")).args(more);
        finish(command.spawn().unwrap())
    };
    let output = run("pause-leader", &["--bin", "/dev/null"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(before == kept(), "the files of the run before are not there any more");

    // Somebody's own cluster, whose run keeps its files elsewhere: here.
    let config = stage.path("mine.yaml");
    let yaml = std::fs::read_to_string(stage.path("run/cluster.yaml")).unwrap();
    std::fs::write(&config, yaml.replace("'n{id}'", "'mine{id}'").replace("logs}", "mine/logs}"))
        .unwrap();
    let lock = std::fs::File::options().write(true).open(stage.path("run/lock")).unwrap();
    lock.lock().unwrap();
    let config = config.to_str().unwrap();
    let output =
        run("pause-leader", &["--bin", built("raft-server").to_str().unwrap(), "-f", config]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("lock is locked"), "{said}");
    assert!(before == kept(), "{said}");
}

#[test]
fn what_was_not_synced_goes_with_the_power_and_nothing_else() {
    let stage = Stage::new();
    let (output, results) = scenario(&stage, &["power-loss", "--rounds", "4"]);
    expect_pass(&output, &results);
    let dropped =
        |fault: &&Value| fault["evidence"]["unsynced bytes dropped"].as_u64().unwrap_or(0);
    assert!(0 < faults(&results).iter().map(dropped).sum::<u64>(), "{results:#}");
    expect_nothing_left(&stage);
}

#[test]
fn a_flipped_bit_is_found_and_its_node_replaced() {
    let stage = Stage::new();
    let (output, results) = scenario(&stage, &["bit-flip", "--rounds", "1"]);
    expect_pass(&output, &results);
    let fault = faults(&results)[0];
    assert_eq!(fault["evidence"]["damage found at the start"], 1, "{fault:#}");
    assert_eq!(fault["evidence"]["members changed"], 1, "{fault:#}");
    expect_nothing_left(&stage);
}

#[test]
fn what_cannot_be_run_is_a_usage_error() {
    let stage = Stage::new();
    let config = stage.path("cluster.yaml");
    let config = config.to_str().unwrap();
    let wrong = stage.path("wrong.yaml");
    std::fs::write(&wrong, "version: 1\nname: x\nshows: X.\nrandom: {every: 1s, fault: []}\n")
        .unwrap();
    let wrong = wrong.to_str().unwrap();
    for args in [
        &["run"][..],
        &["run", "kill-somebody"],
        &["run", "kill-leader", "--rounds", "0"],
        &["run", "kill-leader", "--rounds", "1", "--duration", "1m"],
        &["run", "kill-leader", "-c", "0"],
        &["run", "kill-leader", "--nodes", "2"],
        &["run", "kill-leader", "--fresh"],
        &["run", "replace-nodes", "--config", config],
        &["run", wrong],
        &["run", "./nothing.yaml"],
        &["replay", config],
    ] {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("chaos-ctl"));
        command.args(args).current_dir(stage.path(".")).env_remove("RAFT_CONFIG");
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
    let said = text(&chaos(&["list"]).output().unwrap().stdout);
    let names: Vec<&str> = said.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(names.contains(&"kill-leader") && names.contains(&"overlap"), "{said}");
    let plan =
        |seed: &str| text(&chaos(&["plan", "overlap", "--seed", seed]).output().unwrap().stdout);
    assert_eq!(plan("7"), plan("7"));
    assert_ne!(plan("7"), plan("8"));
}
