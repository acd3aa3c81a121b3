//! `raft-server disk-probe`: it measures what it says, leaves nothing, and says why it cannot.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::until;

fn command(dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft-server"));
    command.arg("disk-probe").arg(dir).args(more).stdin(Stdio::null());
    command
}

fn probe(dir: &Path, more: &[&str]) -> Output {
    command(dir, more).output().unwrap()
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn what_is_measured_is_told_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let output = probe(dir.path(), &["-n", "25", "--size", "3k", "-o", "json"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["block_bytes"], &told["count"]), (&3072.into(), &25.into()));
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let trips = &told["round_trip"];
    assert_eq!((&told["sync"][0]["writers"], &told["sync"][1]["writers"]), (&1.into(), &3.into()));
    let trip = |between: &str| &trips[between];
    let all = [
        &told["sync"][0],
        &told["sync"][1],
        trip("threads"),
        trip("processes"),
        trip("one_processor"),
    ];
    // With one processor there are not two.
    let two = Some(trip("two_processors")).filter(|figures| !figures.is_null());
    for figures in all.into_iter().chain(two) {
        let [p50, p99, max] = ["p50_us", "p99_us", "max_us"].map(|name| number(&figures[name]));
        assert!(
            0.0 < p50 && p50 <= p99 && p99 <= max && 0.0 < number(&figures["per_s"]),
            "{told:#}"
        );
    }
    let floor = 2.0 * number(&trips["processes"]["p50_us"]) + number(&told["sync"][0]["p50_us"]);
    assert!((number(&told["floor_us"]) - floor).abs() < 0.5, "{told:#}");
    assert!(is_empty(dir.path()));

    let output = probe(dir.path(), &["-n", "3"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (line, begin) in [
        (1, "write and fdatasync, 4KiB, 1 writer"),
        (2, "write and fdatasync, 4KiB, 3 at once"),
        (3, "200 B and back, two threads"),
        (4, "200 B and back, two processes"),
        (5, "200 B and back, on one processor"),
        (6, "200 B and back, on two processors"),
        (7, "floor of one write by one client: "),
    ] {
        assert!(lines[line].starts_with(begin), "{text}");
    }
}

#[test]
fn where_nothing_can_be_measured_one_error_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let none = dir.path().join("none");
    for (place, more, says) in [
        (
            &none,
            &[][..],
            format!("error: cannot probe {}: No such file or directory", none.display()),
        ),
        (&file, &[], format!("error: cannot probe {}: Not a directory", file.display())),
        (&none, &["--size", "0"], "a block has 1 to 16777216 bytes".to_owned()),
        (&none, &["--size", "17MiB"], "a block has 1 to 16777216 bytes".to_owned()),
        (&none, &["-n", "0"], "it is done 1 to 1000000 times".to_owned()),
    ] {
        let Output { status, stdout, stderr } = probe(place, more);
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{stderr}");
        assert!(stderr.contains(&says) && stderr.matches("error: ").count() == 1, "{stderr}");
    }
}

#[tokio::test]
async fn interrupted_it_removes_what_it_has_made() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = command(dir.path(), &["-n", "1m"]).stdout(Stdio::piped()).spawn().unwrap();
    until("it writes", async || !is_empty(dir.path())).await;
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    assert!(is_empty(dir.path()));
}
