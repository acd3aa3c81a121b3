//! The program as its user sees it: output, errors, exit codes.

use std::process::Output;

use assert_cmd::Command;
use raft_api::pb::Refusal;

use crate::fake::{Act, Fakes, nobody};

/// Runs it far from any configuration.
fn run(arguments: &[&str]) -> Output {
    let anywhere = tempfile::tempdir().unwrap();
    Command::cargo_bin("raft-client")
        .unwrap()
        .args(arguments)
        .current_dir(anywhere.path())
        .env_remove("RAFT_ENDPOINTS")
        .env_remove("RAFT_CONFIG")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

/// Mistakes of usage: exit 2, one line that says which.
#[test]
fn usage_errors_exit_2() {
    let table: &[(&[&str], &str)] = &[
        (&[], "Usage: raft-client"),
        (&["put", "k"], "<VALUE>"),
        (&["--timeout", "5", "get-leader"], "`5`"),
        (&["--endpoints", "nonsense", "get", "k"], "error: `nonsense` is not an address"),
        (&["-f", "nowhere.yaml", "get", "k"], "nowhere.yaml"),
        (&["bench", "-c", "0"], "error: --concurrency must be at least 1"),
        (&["bench", "-n", "0"], "error: --requests must be at least 1"),
        (&["bench", "-n", "many"], "`many`"),
        (&["bench", "--value-size", "9MiB"], "error: --value-size must be below 8 MiB"),
        (&["bench", "--verify", "--propose"], "cannot be used with"),
        (&["bench", "--put", "--append"], "cannot be used with"),
    ];
    for (arguments, expected) in table {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

/// Nobody there: exit 3, what was tried and why it failed, and what to do.
#[test]
fn without_a_cluster_everything_exits_3() {
    let (_nobody, addr) = nobody();
    let table: &[&[&str]] = &[
        &["get-leader"],
        &["get-config"],
        &["get", "k"],
        &["get", "k", "--stale"],
        &["put", "k", "v"],
        &["bench", "--wait", "300ms"],
    ];
    for arguments in table {
        let mut all = vec!["--endpoints", &addr, "--timeout", "300ms"];
        all.extend_from_slice(arguments);
        let output = run(&all);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
        assert!(said.contains("no node could be reached in "), "{arguments:?}: {said}");
        let reason = format!("({addr}: connection refused)\nhint: ");
        assert!(said.starts_with("error: ") && said.contains(&reason), "{arguments:?}: {said}");
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
    let output = run(&["--endpoints", &addr, "status"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("connection refused"), "{}", stdout(&output));
    assert!(stdout(&output).ends_with("\n0/1 up\n"), "{}", stdout(&output));
}

#[test]
fn the_store_by_hand() {
    let fakes = Fakes::start(3);
    let addr = fakes.addr(2);
    let run = |arguments: &[&str]| {
        let mut all = vec!["--endpoints", &addr];
        all.extend_from_slice(arguments);
        let output = run(&all);
        (output.status.code().unwrap(), stdout(&output).to_owned(), stderr(&output).to_owned())
    };
    let said = |code, out: &str, err: &str| (code, out.to_owned(), err.to_owned());
    assert_eq!(run(&["get-leader"]), said(0, &format!("n1 {} term 1\n", fakes.addr(1)), ""));
    assert_eq!(run(&["get", "k"]), said(7, "", "`k` is not set\n"));
    assert_eq!(run(&["put", "k", "--", "-1"]), said(0, "index 1 term 1\n", ""));
    assert_eq!(run(&["get", "k"]), said(0, "-1", ""), "the value and nothing else");
    assert_eq!(run(&["cas", "k", "5", "6"]), said(7, "", "`k` is -1\n"));
    assert_eq!(run(&["cas", "nil", "5", "6"]), said(7, "", "`nil` is not set\n"));
    assert_eq!(run(&["cas", "k", "--", "-1", "a\tb"]), said(0, "", ""));
    assert_eq!(run(&["put", "l", "2"]), said(0, "index 5 term 1\n", ""));
    assert_eq!(run(&["scan"]), said(0, "k\ta\\tb\nl\t2\n", ""));
    assert_eq!(run(&["range", "k", "l"]), said(0, "k\ta\\tb\n", ""));
    assert_eq!(run(&["range", "--limit", "1"]), said(0, "k\ta\\tb\n", ""));
    assert_eq!(run(&["del", "k"]), said(0, "", ""));
    assert_eq!(run(&["del", "k"]), said(0, "", "`k` was not set\n"));
    assert_eq!(run(&["propose", "data"]), said(0, "index 8 term 1 leader n1\n", ""));
    let (code, out, _) = run(&["status"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.ends_with("\ncluster fake   3/3 up   leader n1 term 1   3 states equal at 8\n"));
}

#[test]
fn a_node_that_is_down_degrades_the_status() {
    let mut fakes = Fakes::start(3);
    let addrs = fakes.addrs().join(",");
    fakes.kill(3);
    let output = run(&["--endpoints", &addrs, "status"]);
    assert_eq!(output.status.code(), Some(8));
    assert!(stdout(&output).contains("2/3 up"), "{}", stdout(&output));
    let row = stdout(&output).lines().find(|line| line.starts_with("n3")).unwrap();
    assert!(row.ends_with("connection refused"), "{row}");
}

/// A bench of 200 writes; node 1 does this with one of the first.
fn verified(act: Option<Act>) -> Output {
    let fakes = Fakes::start(3);
    fakes.script(1, act);
    let addrs = fakes.addrs().join(",");
    run(&["--endpoints", &addrs, "bench", "-c", "3", "-n", "200", "--verify"])
}

#[test]
fn a_verified_bench_finds_nothing_wrong() {
    for act in [None, Some(Act::ApplyInDoubt), Some(Act::Refuse(Refusal::Overloaded))] {
        let output = verified(act);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let report = stdout(&output);
        assert!(
            report.contains("\nverify 200 acked writes: 0 lost, 0 applied twice\n"),
            "{report}"
        );
        assert!(report.lines().all(|line| line.len() <= 80), "{report}");
    }
}

#[test]
fn a_verified_bench_finds_what_a_cluster_loses_or_repeats() {
    let table = [
        (Act::Lose, "\nverify 200 acked writes: 1 lost, 0 applied twice\n"),
        (Act::ApplyTwice, "\nverify 200 acked writes: 0 lost, 1 applied twice\n"),
    ];
    for (act, expected) in table {
        let output = verified(Some(act));
        assert_eq!(output.status.code(), Some(5), "{act:?}: {}", stderr(&output));
        assert!(stdout(&output).contains(expected), "{act:?}: {}", stdout(&output));
    }
}

/// Fewer writes than workers, values of no bytes, and a report for scripts.
#[test]
fn a_bench_reports_json() {
    let fakes = Fakes::start(1);
    let addr = fakes.addr(1);
    let output = run(&[
        "--endpoints",
        &addr,
        "bench",
        "-c",
        "50",
        "-n",
        "7",
        "--value-size",
        "0",
        "--seed",
        "9",
        "--verify",
        "-o",
        "json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(report["schema"], "raft-bench/1");
    assert_eq!(
        (&report["ok"], &report["failed"], &report["unknown"]),
        (&7.into(), &0.into(), &0.into())
    );
    assert_eq!((&report["seed"], &report["verify"]["checked"]), (&9.into(), &7.into()));
    for time in ["p50", "p90", "p99", "p99_9", "max", "mean"] {
        assert!(report["latency_us"][time].is_u64(), "{time}");
    }
    for field in ["elapsed_us", "longest_gap_us"] {
        assert!(report[field].is_u64(), "{field}");
    }
}

/// A cluster that does not come back ends the run, long before all writes have been tried.
#[test]
fn a_bench_gives_up_when_the_cluster_is_gone_for_good() {
    let fakes = Fakes::start(1);
    let addr = fakes.addr(1);
    fakes.script(1, [Act::Hang; 1000]);
    let bench = ["bench", "-c", "2", "--op-deadline", "100ms", "--give-up", "300ms"];
    let output = run(&[&["--endpoints", &*addr][..], &bench].concat());
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stdout(&output).contains("given up"), "{}", stdout(&output));
    assert!(stdout(&output).contains("ok 0   failed "), "{}", stdout(&output));
}

/// A write that does not succeed makes the exit code 4, and the report says why.
#[test]
fn a_bench_with_failures_exits_4() {
    let fakes = Fakes::start(1);
    let addr = fakes.addr(1);
    fakes.script(1, [Act::Refuse(Refusal::TooLarge)]);
    let output = run(&["--endpoints", &addr, "bench", "-c", "1", "-n", "5", "--propose"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stdout(&output).contains("ok 4   failed 1   unknown 0"), "{}", stdout(&output));
    assert!(stdout(&output).contains("the command is too large"), "{}", stdout(&output));
}
