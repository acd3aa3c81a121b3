//! The program as its user sees it: output, errors, exit codes.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Output;

use assert_cmd::Command;
use raft_api::pb::Refusal;

use crate::fake::{Act, Fakes, mute, nobody, other_service};

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
        (
            &["--endpoints", "nonsense", "get", "k"],
            "error: --endpoints: `nonsense` is not an address",
        ),
        (&["set-config", "--add", "4=nonsense"], "'--add <ID[=ADDR]>': `nonsense` is not an"),
        (&["-f", "nowhere.yaml", "get", "k"], "nowhere.yaml"),
        (&["bench", "-c", "0"], "error: --concurrency must be at least 1"),
        (&["bench", "-n", "0"], "error: --requests must be at least 1"),
        (&["bench", "-n", "many"], "`many`"),
        (&["bench", "--value-size", "9MiB"], "error: --value-size must be below 8 MiB"),
        (&["bench", "--keys", "0"], "error: --keys must be at least 1"),
        (&["bench", "-z", "0s"], "must be 1ms or more"),
        (&["--endpoints", "", "get", "k"], "--endpoints names nobody"),
        (&["bench", "-t", "0s"], "must be 1ms or more"),
        (&["bench", "--op-deadline", "999us"], "must be 1ms or more"),
        (&["--timeout", "0ms", "get-leader"], "must be 1ms or more"),
        (&["--timeout", "9999999999999d", "get-leader"], "a year or less"),
        (&["--config", "/", "get-leader"], "error: /: is a directory, not a file"),
        (&["bench", "--verify", "--propose"], "cannot be used with"),
        (&["bench", "--put", "--append"], "cannot be used with"),
        (&["status", "--watch", "--stages"], "cannot be used with"),
        (&["status", "--for", "1s"], "--stages"),
    ];
    for (arguments, expected) in table {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

/// An address that is no address is not blamed on the file, nor on what was not written.
#[test]
fn a_bad_address_is_blamed_on_who_gave_it() {
    let mut command = Command::cargo_bin("raft-client").unwrap();
    let output = command.args(["get", "k"]).env("RAFT_ENDPOINTS", "a:1,nonsense").output().unwrap();
    let said = stderr(&output);
    assert!(said.starts_with("error: RAFT_ENDPOINTS: `nonsense` is not an address: "), "{said}");

    let fakes = Fakes::start(1);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cluster.yaml");
    let yaml = format!(
        "cluster: {{name: fake}}\nnodes: [{{id: 1, addr: 127.0.0.1:7001, client: '{}'}}]\n",
        fakes.addr(1)
    );
    std::fs::write(&file, yaml).unwrap();
    let output = run(&["-f", file.to_str().unwrap(), "set-config", "--add", "70000"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: --add 70000: "), "{said}");
    assert!(said.contains("\nhint: write --add 70000=HOST:PORT"), "{said}");
}

/// What the store would not take is refused without asking anybody, and without repeating it.
#[test]
fn what_the_store_would_not_take_is_not_sent() {
    let (_nobody, addr) = nobody();
    let long = "k".repeat(5000);
    let table: &[(&[&str], &str)] = &[
        (&["put", "", "v"], "error: could not put ``: the key is empty\nhint: "),
        (&["get", ""], "error: could not read ``: the key is empty\nhint: "),
        (&["get", "", "--stale"], "error: could not read ``: the key is empty\nhint: "),
        (&["del", ""], "error: could not delete ``: the key is empty\nhint: "),
        (&["cas", "", "a", "b"], "error: could not change ``: the key is empty\nhint: "),
        (&["put", &long, "v"], "kkk… (5000 bytes)`: the key has 5000 bytes, more than the 4096"),
        (&["get", &long], "the key has 5000 bytes, more than the 4096 allowed\n"),
        (&["del", &long], "the key has 5000 bytes, more than the 4096 allowed\n"),
        (&["cas", &long, "a", "b"], "the key has 5000 bytes, more than the 4096 allowed\n"),
    ];
    for (arguments, expected) in table {
        let output = run(&[&["--timeout", "10m", "--endpoints", &*addr][..], arguments].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(expected) && said.len() < 500, "{said}");
    }
    for arguments in [&["put", "k", "-"][..], &["propose", "-"], &["cas", "k", "old", "-"]] {
        let output = Command::cargo_bin("raft-client")
            .unwrap()
            .args(["--timeout", "10m", "--endpoints", &addr])
            .args(arguments)
            .write_stdin(vec![b'v'; (8 << 20) + 1])
            .output()
            .unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("error: standard input holds more than the 8388608 "), "{said}");
    }
}

/// A port where gRPC is spoken, but not with clients, is recognised at once.
#[test]
fn another_service_is_no_cluster() {
    let (_runtime, addr) = other_service();
    for arguments in [&["get-leader"][..], &["put", "k", "v"], &["get", "k", "--stale"]] {
        let output = run(&[&["--timeout", "10m", "--endpoints", &*addr][..], arguments].concat());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
        assert!(said.contains("does not serve clients"), "{arguments:?}: {said}");
        assert!(said.contains("\nhint: is that a client port?"), "{arguments:?}: {said}");
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
    assert_eq!(run(&["put", "k", "a\\tb\u{e9}"]), said(0, "index 6 term 1\n", ""));
    let escaped = "k\ta\\\\tb\u{e9}\n";
    assert_eq!(run(&["range", "k", "l"]), said(0, escaped, ""), "unlike a tab");
    assert_eq!(run(&["del", "k"]), said(0, "", ""));
    assert_eq!(run(&["del", "k"]), said(0, "", "`k` was not set\n"));
    assert_eq!(run(&["propose", "data"]), said(0, "index 9 term 1 leader n1\n", ""));
    let (code, out, _) = run(&["status"]);
    assert_eq!(code, 0, "{out}");
    let line =
        "\ncluster fake   3/3 up   leader n1 term 1   the 3 nodes at index 9 hold the same state\n";
    assert!(out.ends_with(line), "{out}");
    let ids: Vec<&str> = out.lines().skip(1).filter_map(|row| row.split(' ').next()).collect();
    assert_eq!(ids[..3], ["n1", "n2", "n3"], "whichever is asked first: {out}");
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
        assert!(report.lines().all(|line| line.chars().count() <= 80), "{report}");
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
    assert_eq!((&report["load"]["seed"], &report["verify"]["checked"]), (&9.into(), &7.into()));
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
    // Neither a write's own deadline nor a second one's start is waited for.
    let bench = ["bench", "-c", "2", "-t", "10m", "--op-deadline", "10m", "--give-up", "300ms"];
    let output = run(&[&["--endpoints", &*addr][..], &bench].concat());
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stdout(&output).contains("given up"), "{}", stdout(&output));
    assert!(stdout(&output).contains("ok 0   failed 0   unknown 2"), "{}", stdout(&output));
    assert!(stdout(&output).contains("n1 > none"), "{}", stdout(&output));
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

/// The end of the time is the end, whatever the writes under way are waiting for.
#[test]
fn a_bench_ends_on_time_though_nobody_answers() {
    let fakes = Fakes::start(1);
    let addr = fakes.addr(1);
    fakes.script(1, [Act::Hang; 1000]);
    let patient = ["-t", "10m", "--op-deadline", "10m", "--give-up", "10m"];
    let bench = ["--endpoints", &*addr, "bench", "-c", "3", "-z", "100ms"];
    let output = run(&[&bench[..], &patient].concat());
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stdout(&output).contains("ok 0   failed 0   unknown 3"), "{}", stdout(&output));
    assert!(!stdout(&output).contains("given up"), "{}", stdout(&output));
}

/// A cluster that answers is there, even if it says no.
#[test]
fn refusals_are_no_outage() {
    let fakes = Fakes::start(1);
    let addr = fakes.addr(1);
    fakes.script(1, [Act::Refuse(Refusal::TooLarge); 1000]);
    let bench = ["bench", "-c", "1", "-n", "1000"];
    let output = run(&[&["--endpoints", &*addr][..], &bench].concat());
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let report = stdout(&output);
    assert!(report.contains("ok 0   failed 1 000   unknown 0"), "{report}");
    assert!(report.contains("\n  nothing was acknowledged\n"), "{report}");
    assert!(!report.contains("gaps"), "{report}");
}

/// Deadlines of writes that none can meet do not keep the cluster from being found and read.
#[test]
fn tiny_deadlines_are_for_writes_only() {
    let fakes = Fakes::start(3);
    let addr = fakes.addr(2);
    let tiny = ["-c", "2", "-n", "20", "-t", "1ms", "--op-deadline", "1ms", "--verify"];
    let output = run(&[&["--endpoints", &*addr, "bench"][..], &tiny].concat());
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", stderr(&output));
    let report = stdout(&output);
    assert!(report.contains("at the start: 3/3 up, leader n1, term 1"), "{report}");
    assert!(report.contains(" acked writes: 0 lost, 0 applied twice"), "{report}");
}

/// A terminal that is closed, like Ctrl-C, ends the run with its report.
#[test]
fn signals_end_a_bench_with_a_report() {
    for signal in ["-HUP", "-INT", "-TERM"] {
        let fakes = Fakes::start(1);
        let bench = std::process::Command::new(assert_cmd::cargo::cargo_bin("raft-client"))
            .args(["--endpoints", &fakes.addr(1), "bench", "-c", "1", "-z", "10m", "-w", "0s"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(fakes.writes_reach(3));
        let process = bench.id().to_string();
        std::process::Command::new("kill").args([signal, &process]).status().unwrap();
        let output = bench.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{signal}: {}", stderr(&output));
        assert!(stdout(&output).contains("interrupted before its end"), "{signal}");
    }
}

/// Whoever breaks off a read need not wonder what was written.
#[test]
fn a_shell_tells_a_read_that_was_broken_off_from_a_write() {
    for (line, expected) in [
        ("get k\n", "\ninterrupted\n"),
        ("member list\n", "\ninterrupted\n"),
        ("put k v\n", "\ninterrupted: it may or may not be done\n"),
    ] {
        let (_held, addr) = nobody();
        let mut shell = std::process::Command::new(assert_cmd::cargo::cargo_bin("raft-client"))
            .args(["--endpoints", &addr, "--trace", "--timeout", "1m", "shell"])
            .stdin(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        let mut said = BufReader::new(shell.stderr.take().unwrap());
        let mut all = String::new();
        assert!(0 < said.read_line(&mut all).unwrap(), "it asks");
        let process = shell.id().to_string();
        std::process::Command::new("kill").args(["-INT", &process]).status().unwrap();
        said.read_to_string(&mut all).unwrap();
        assert!(all.ends_with(expected), "{line}: {all}");
        assert_eq!(shell.wait().unwrap().code(), Some(130));
    }
}

/// Too little time is called that, where nobody said no.
#[test]
fn haste_is_called_haste() {
    let (_held, addr) = mute();
    let output = run(&["--endpoints", &addr, "--timeout", "1ms", "get", "k"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(!said.contains(" 0s "), "{said}");
    assert!(
        said.ends_with("nor has anybody said no: give it more time with --timeout\n"),
        "{said}"
    );
}

/// A comparison from which a node is missing is none of all nodes.
#[test]
fn a_hash_without_a_node_is_degraded() {
    let mut fakes = Fakes::start(3);
    fakes.world().applied = 3;
    let addrs = fakes.addrs().join(",");
    let hash = ["--endpoints", &addrs, "--timeout", "2s", "hash"];
    let codes = [3, 2, 1, 0].map(|next| {
        let output = run(&hash);
        if 0 < next {
            fakes.kill(next);
        }
        output.status.code()
    });
    assert_eq!(codes, [Some(0), Some(8), Some(8), Some(3)]);
}

/// A log line for which there is no space is lost, and that is all.
#[test]
fn a_log_that_cannot_be_written_changes_nothing() {
    let fakes = Fakes::start(1);
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("raft-client"));
    command.args(["--endpoints", &fakes.addrs().join(","), "get-leader"]).stderr(full);
    let output = command.env("RAFT_LOG", "trace").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
}

/// Lines of a command that does not end by itself, until there are enough of them.
fn watched(
    fakes: &Fakes,
    arguments: &[&str],
    enough: usize,
    between: impl Fn(usize),
) -> Vec<String> {
    use std::io::BufRead as _;
    let mut process = std::process::Command::new(assert_cmd::cargo::cargo_bin!("raft-client"))
        .args(["--endpoints", &fakes.addrs().join(",")])
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(process.stdout.take().unwrap());
    let mut lines = Vec::new();
    for line in stdout.lines().take(enough) {
        lines.push(line.unwrap());
        between(lines.len());
    }
    process.kill().unwrap();
    process.wait().unwrap();
    lines
}

/// Each change of the leader is a line, and so is that there is none.
#[test]
fn the_leader_is_watched() {
    let fakes = Fakes::start(3);
    let lines = watched(&fakes, &["get-leader", "--watch", "-o", "json"], 4, |count| match count {
        1 => fakes.elect(3),
        2 => fakes.elect(0),
        3 => fakes.elect(1),
        _ => (),
    });
    let seen: Vec<(Option<u64>, Option<u64>)> = lines
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| (line["node"].as_u64(), line["term"].as_u64()))
        .collect();
    assert_eq!(seen, [(Some(1), Some(1)), (Some(3), Some(2)), (None, None), (Some(1), Some(4))]);
}

/// Looks follow each other, a line each.
#[test]
fn the_status_is_watched() {
    let fakes = Fakes::start(3);
    fakes.world().applied = 7;
    let watch = ["status", "--watch=10ms", "-o", "json"];
    let lines = watched(&fakes, &watch, 2, |_| fakes.world().applied += 1);
    let applied = |line: &String| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["nodes"][0]["applied"].as_u64().unwrap()
    };
    assert_eq!(applied(&lines[0]), 7);
    assert!(8 <= applied(&lines[1]), "{lines:?}");
}
