//! The bench against real servers: its numbers are held against others' counts.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use raft_api::pb;
use raft_api::pb::management_rpc_client::ManagementRpcClient;
use serde_json::{Value, json};

use crate::real::Real;
use crate::schema;

/// What one bench said, as JSON.
fn bench(real: &Real, arguments: &[&str]) -> Value {
    let all = [&["bench", "--wait", "1m", "-o", "json"][..], arguments].concat();
    let output = real.run(&all);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?}: {said}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The status of the leader, once it has applied all that it knows to be committed.
#[tokio::main(flavor = "current_thread")]
async fn leader(real: &Real) -> pb::StatusResponse {
    let status = real.run(&["get-leader"]);
    let said = String::from_utf8(status.stdout).unwrap();
    let addr = said.split_whitespace().find(|word| word.contains(':')).unwrap();
    let mut api = ManagementRpcClient::connect(format!("http://{addr}")).await.unwrap();
    loop {
        let status = api.status(pb::StatusRequest::default()).await.unwrap().into_inner();
        if status.applied_index == status.last_index {
            return status;
        }
    }
}

/// Of a run with `-o json`, whose standard error has nothing but objects.
fn is_progress(line: &str) -> bool {
    let object: Value = serde_json::from_str(line).unwrap();
    object["level"] == "progress"
}

fn number(json: &Value, path: &str) -> u64 {
    json.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path} in {json}"))
}

/// Every write is an entry of the log, and so is every session that is opened; a new leader adds one
/// that is empty. Nothing else does.
#[test]
fn writes_are_as_many_as_the_servers_have_applied() {
    let real = Real::start();
    bench(&real, &["-n", "1", "--no-files"]);
    for pipeline in ["1", "20"] {
        let before = leader(&real);
        let report = bench(
            &real,
            &["-c", "7", "--pipeline", pipeline, "-n", "2000", "--mix", "put=3,cas=1"],
        );
        let after = leader(&real);
        assert_eq!(number(&report, "/ok"), 2000);
        let sessions = after.sessions - before.sessions;
        let applied = after.applied_index - before.applied_index - sessions;
        let elections = after.term - before.term;
        assert!((2000..=2000 + elections).contains(&applied), "{applied} applied");
        assert_eq!(number(&report, "/load/pipeline").to_string(), pipeline);
    }
}

/// Percentiles from the times that the history has, computed without histograms: sorted and counted.
fn percentiles_of_history(path: &Path, kind: &str) -> (Vec<u64>, [u64; 7]) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut nanos: Vec<u64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|entry| entry.to_string().contains(&format!("\"{kind}\"")))
        .map(|entry| number(&entry, "/returned_ns") - number(&entry, "/called_ns"))
        .collect();
    nanos.sort_unstable();
    let at = |per_10_000: usize| nanos[(nanos.len() * per_10_000).div_ceil(10_000).max(1) - 1];
    let mean = nanos.iter().sum::<u64>() / nanos.len() as u64;
    let all = [5_000, 9_000, 9_900, 9_990, 9_999].map(at);
    let [p50, p90, p99, p99_9, p99_99] = all;
    let seven = [p50, p90, p99, p99_9, p99_99, *nanos.last().unwrap(), mean];
    (nanos, seven)
}

/// What the report says of latencies is what the history says, within the three digits of its
/// histograms and the whole microseconds of its file; and so is what the files say.
#[test]
fn percentiles_are_those_of_the_history() {
    let real = Real::start();
    let out = ["--out", "run", "--history", "history.jsonl"];
    let report =
        bench(&real, &[&["-c", "5", "-n", "3000", "--mix", "put=2,get=1"], &out[..]].concat());
    let history = real.dir.path().join("history.jsonl");
    let ops = report["ops"].as_array().unwrap();
    assert_eq!(ops.len(), 2);
    for op in ops {
        let kind = op["op"].as_str().unwrap();
        let (nanos, theirs) = percentiles_of_history(&history, kind);
        assert_eq!(nanos.len() as u64, number(op, "/ok"), "{kind}");
        let names = ["p50", "p90", "p99", "p99_9", "p99_99", "max", "mean"];
        for (name, theirs) in names.iter().zip(theirs) {
            let ours = number(op, &format!("/latency_us/{name}"));
            let bound = theirs / 1000 / 1000 + 1;
            assert!(ours.abs_diff(theirs / 1000) <= bound, "{kind} {name}: {ours} us, {theirs} ns");
        }
        let hgrm = real.dir.path().join("run").join(format!("{kind}.hgrm"));
        let hgrm = std::fs::read_to_string(hgrm).unwrap();
        let count = hgrm.lines().find_map(|line| line.split("Total count    =").nth(1)).unwrap();
        assert_eq!(count.trim().trim_end_matches(']'), nanos.len().to_string());
    }
    let csv = std::fs::read_to_string(real.dir.path().join("run/intervals.csv")).unwrap();
    let done: u64 = csv
        .lines()
        .skip(1)
        .map(|row| row.split(',').nth(3).unwrap())
        .map(|it| it.parse::<u64>().unwrap())
        .sum();
    assert_eq!(done, number(&report, "/ok"));
}

/// The leader is killed while many writes are under way on streams: the run goes on, shows it, and
/// every acknowledged write is there once.
#[test]
fn a_pipelined_run_survives_its_leader() {
    let mut real = Real::start();
    bench(&real, &["-n", "1", "--no-files"]);
    let leader = usize::try_from(leader(&real).node_id).unwrap();
    let load = ["-c", "2", "--pipeline", "20", "--until-faults", "1", "-z", "1m", "--verify"];
    let mut command = real.client(&[&["bench", "-o", "json", "--no-files"][..], &load].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(progress.any(|line| is_progress(&line)), "it makes progress");
    real.kill(leader);
    assert!(0 < progress.count(), "it goes on");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(number(&report, "/failovers/0/leader_before"), leader as u64);
    assert_eq!((number(&report, "/failed"), number(&report, "/unknown")), (0, 0));
    assert_eq!((number(&report, "/verify/lost"), number(&report, "/verify/applied_twice")), (0, 0));
    assert!(number(&report, "/ok") <= number(&report, "/verify/checked"));
}

/// Sends a signal by its name.
fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

/// A cluster that was there all the time is not called away because nobody looked.
#[test]
fn a_bench_that_was_stopped_says_so() {
    let real = Real::start();
    let load = ["bench", "--wait", "1m", "-z", "5s", "-w", "0s", "-t", "9s", "--no-files"];
    let mut command = real.client(&[&load[..], &["-o", "json"]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(progress.any(|line| is_progress(&line)), "it makes progress");
    signal(&child, "STOP");
    let (_kept, pause) = std::sync::mpsc::channel::<()>();
    pause.recv_timeout(Duration::from_millis(1500)).unwrap_err();
    signal(&child, "CONT");
    progress.for_each(drop);
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let stalls = report["stalls"].as_array().unwrap();
    let longest = stalls.iter().map(|it| number(it, "/length_us")).max().unwrap_or(0);
    assert!(1_400_000 < longest, "{report}");
    assert!(number(&report, "/longest_gap_us") < longest / 2, "{report}");
    assert!(number(&report, "/latency_us/max") < longest / 2, "{report}");
}

/// The published schema holds for what a run writes, with everything there can be in it; and it would
/// not hold for anything.
#[test]
fn the_file_is_as_its_schema_says() {
    let real = Real::start();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bench.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let wrong = |json: &Value| schema::faults(&schema, json);
    let loads: [&[&str]; 3] = [
        &["--mix", "put=3,get=1,cas=1", "--verify", "--calibrate", "20ms"],
        &["--mix", "append", "-r", "2000", "--arrivals", "poisson"],
        &["--propose", "--pipeline", "5"],
    ];
    for load in loads {
        let printed = bench(&real, &[&["-c", "3", "-n", "300", "--out", "run"], load].concat());
        assert_eq!(wrong(&printed), [""; 0]);
        let file = std::fs::read_to_string(real.dir.path().join("run/bench.json")).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&file).unwrap(), printed);
    }
    let printed = bench(&real, &["-n", "10", "--no-files"]);
    for (path, value) in [
        ("/ok", json!("10")),
        ("/failed", json!(-1)),
        ("/schema", json!("raft-bench/2")),
        ("/writes/available", json!(1.5)),
        ("/ops/0/op", json!("del")),
        ("/ops/0/latency_us", json!({})),
        ("/errors", json!({"timed_out": "many"})),
        ("/cluster", json!({"foreign": 1})),
    ] {
        let mut spoilt = printed.clone();
        *spoilt.pointer_mut(path).unwrap() = value;
        assert_ne!(wrong(&spoilt), [""; 0], "{path}");
    }
}

/// It is said at once, before anybody is asked for.
#[test]
fn a_screen_needs_a_terminal() {
    let mut client = Command::new(assert_cmd::cargo::cargo_bin!("raft-client"));
    let output = client.args(["--endpoints", "127.0.0.1:1", "bench", "--tui"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error: --tui needs a terminal on standard error"), "{said}");
}

/// What the program says besides: its exit code, its report as text, and its notes.
fn report(real: &Real, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = real.run(&[&["bench", "--wait", "1m"][..], arguments].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn what_can_be_neither_kept_nor_compared_is_not_begun() {
    let real = Real::start();
    let dir = tempfile::tempdir().unwrap();
    let out = |name: &str| dir.path().join(name).display().to_string();
    // A file in the place of a directory.
    std::fs::write(dir.path().join("taken"), "").unwrap();
    for arguments in [
        ["--out", &out("taken/run")],
        ["--history", &out("taken")],
        ["--history", &out("taken/ops.jsonl")],
        ["--save", &"x".repeat(300)],
    ] {
        std::fs::write(dir.path().join("taken"), "a thesis").unwrap();
        let (code, told, said) = report(&real, &[&["-n", "50"], &arguments[..]].concat());
        assert_eq!((code, &*told), (Some(2), ""), "{arguments:?}: {said}");
    }

    let (code, _, said) = report(&real, &["-n", "50", "--out", &out("first")]);
    assert_eq!(code, Some(0), "{said}");
    let against = ["-n", "50", "-c", "3", "--verify", "--no-files", "--against", &out("first")];
    let (code, told, said) = report(&real, &against);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the two runs are not alike: concurrency 10 and 3"), "{said}");
    assert_eq!(told, "", "nothing was sent");
}

#[test]
fn what_was_due_and_never_sent_is_not_all_well() {
    let real = Real::start();
    let load = ["-c", "1", "-z", "1s", "-r", "200k", "--op-deadline", "20ms", "--no-files"];
    let expecting = [&load[..], &["--expect", "errors<0.1%"]].concat();
    let (code, told, said) = report(&real, &expecting);
    assert!(told.contains(" dropped: "), "{told}{said}");
    assert_eq!(code, Some(6), "{told}{said}");
    assert_eq!(report(&real, &load).0, Some(4));
}

#[test]
fn a_history_is_of_every_operation() {
    let real = Real::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ops.jsonl");
    let file = path.display().to_string();
    let load = ["-c", "4", "-z", "1s", "--mix", "put=1,get=1,cas=1", "--keys", "20", "--no-files"];
    let (code, _, said) = report(&real, &[&load[..], &["--history", &file]].concat());
    assert_eq!(code, Some(0), "{said}");
    let lines = BufReader::new(File::open(path).unwrap());
    let history = lin_check::History::read(lines).unwrap();
    let judgement = lin_check::judge(&history, lin_check::Budget::default());
    assert_eq!(judgement.verdict, lin_check::Verdict::Linearizable);
    assert_eq!(judgement.refusal, None);
    let warmed = [&load[..], &["--history", &file, "--warmup", "200ms"]].concat();
    let (code, _, said) = report(&real, &warmed);
    assert_eq!(code, Some(2));
    assert!(said.contains("--history is of every operation"), "{said}");
}

/// Every form of the answer is asked for in every way, as of other commands.
#[test]
fn the_form_of_the_report_is_chosen_as_everywhere() {
    let real = Real::start();
    let load = ["bench", "--wait", "1m", "-n", "5", "--no-files"];
    let is_json = |output: Output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).is_ok()
    };
    assert!(is_json(real.run(&[&["-o", "json"], &load[..]].concat())));
    assert!(is_json(real.run(&[&load[..], &["-o", "json"]].concat())));
    assert!(is_json(real.client(&load).env("RAFT_OUTPUT", "json").output().unwrap()));
    assert!(!is_json(real.client(&load).env("RAFT_OUTPUT", "table").output().unwrap()));
}

/// Both judge the same run; a history has no lists, so that puts are read back.
#[test]
fn a_run_is_verified_and_written_down() {
    let real = Real::start();
    let both = ["-n", "300", "-c", "3", "--verify", "--history", "ops.jsonl", "--no-files"];
    for mix in [&[][..], &["--mix", "put=1,get=2,cas=1"]] {
        let report = bench(&real, &[&both[..], mix].concat());
        assert_eq!((number(&report, "/ok"), number(&report, "/verify/lost")), (300, 0));
        assert!(0 < number(&report, "/verify/checked"));
        let lines = File::open(real.dir.path().join("ops.jsonl")).unwrap();
        let history = lin_check::History::read(BufReader::new(lines)).unwrap();
        assert_eq!(history.operations().len(), 300);
        let judgement = lin_check::judge(&history, lin_check::Budget::default());
        assert_eq!(judgement.refusal, None);
    }
    let (code, _, said) = report(&real, &[&both[..], &["--append"]].concat());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--history is for put, get and cas"), "{said}");
}

/// Of an older run in the same directory nothing is left; what is no run is left alone.
#[test]
fn a_directory_holds_one_run() {
    let real = Real::start();
    let out = real.dir.path().join("out");
    let load = ["-n", "20", "--out", "out"];
    assert_eq!(report(&real, &[&load[..], &["--mix", "put,get"]].concat()).0, Some(0));
    std::fs::write(out.join("notes"), "mine").unwrap();
    assert_eq!(report(&real, &[&load[..], &["--append"]].concat()).0, Some(0));
    let mut names: Vec<_> =
        std::fs::read_dir(&out).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    let expected =
        ["append.hgrm", "append.hlog", "bench.json", "events.jsonl", "intervals.csv", "notes"];
    assert_eq!(names, expected);
    std::fs::remove_file(out.join("bench.json")).unwrap();
    let (code, told, said) = report(&real, &load);
    assert_eq!((code, &*told), (Some(2), ""), "{said}");
    assert!(said.starts_with("error: --out out: it is not empty, and holds no run"), "{said}");
    let (code, _, said) = report(&real, &["-n", "20", "--out", "cluster.yaml"]);
    assert_eq!(code, Some(2));
    assert!(said.starts_with("error: --out cluster.yaml: it is no directory"), "{said}");
}

/// Runs are named by their directories or as they were saved, and whoever names none is told which
/// there are.
#[test]
fn runs_are_found_by_their_names() {
    let real = Real::start();
    let (code, _, said) = report(&real, &["-n", "5", "--against", "nothere"]);
    assert_eq!(code, Some(2));
    let nothing = "error: there is no run `nothere`\nhint: nothing is saved yet: --save NAME";
    assert!(said.starts_with(nothing), "{said}");
    for name in ["new", "old"] {
        let (code, _, said) = report(&real, &["-n", "50", "--save", name, "--out", name]);
        assert_eq!(code, Some(0), "{said}");
    }
    std::fs::rename(real.dir.path().join("old"), real.dir.path().join("moved")).unwrap();
    let (code, _, said) = report(&real, &["-n", "5", "--against", "nothere"]);
    assert_eq!(code, Some(2));
    assert!(said.ends_with("hint: saved are: new, old\n"), "{said}");
    for runs in [["old", "new"], ["moved", "old"]] {
        let compared = real.run(&[&["bench", "compare", "--noise", "900%"], &runs[..]].concat());
        assert_eq!(compared.status.code(), Some(0));
        assert!(compared.stdout.starts_with(b"  "), "a table");
        let compared = [&["-o", "json", "bench", "compare", "--noise", "900%"], &runs[..]].concat();
        let found: Value = serde_json::from_slice(&real.run(&compared).stdout).unwrap();
        assert_eq!(found["schema"], "raft-bench-compare/1");
        assert_eq!(found["rows"][0]["name"], "op/s");
    }
}

/// Half a run is no measure for others.
#[test]
fn an_interrupted_run_is_not_saved() {
    let real = Real::start();
    let load = ["bench", "--wait", "1m", "-z", "1m", "-w", "0s", "--no-files", "--save", "half"];
    let mut command = real.client(&load);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(progress.any(|line| line.starts_with("t=")), "it makes progress");
    signal(&child, "INT");
    progress.for_each(drop);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("\nNOT SAVED as half: the run was broken off"), "{told}");
    let (_, _, said) = report(&real, &["-n", "5", "--against", "half"]);
    assert!(said.starts_with("error: there is no run `half`"), "{said}");
}

#[test]
fn a_range_that_was_cut_short_says_so() {
    let real = Real::start();
    for key in ["a", "b"] {
        assert!(real.run(&["put", key, "1"]).status.success());
    }
    let complete = |limit: &str| {
        let found = real.run(&["-o", "json", "range", "--limit", limit]);
        let found: Value = serde_json::from_slice(&found.stdout).unwrap();
        found["complete"].as_bool().unwrap()
    };
    assert!(!complete("1"));
    assert!(complete("2"));
}

/// What was expected, and that it was not kept, is there for programs.
#[test]
fn an_expectation_that_is_not_kept_is_an_object() {
    let real = Real::start();
    let expect = ["--expect", "ops>1000000000", "--expect", "unavail<1h"];
    let load = ["bench", "-o", "json", "--wait", "1m", "-n", "50", "--no-files"];
    let output = real.run(&[&load[..], &expect].concat());
    assert_eq!(output.status.code(), Some(6));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let kept: Vec<_> = [0, 1].map(|it| report["expectations"][it]["kept"].clone()).into();
    assert_eq!(kept, [json!(false), json!(true)], "{report}");
    let said = String::from_utf8(output.stderr).unwrap();
    let objects: Vec<Value> = said.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let error = objects.iter().find(|it| it["level"] == "error").unwrap();
    assert_eq!((&error["exit"], &error["kind"]), (&json!(6), &json!("not_kept")), "{error}");
}
