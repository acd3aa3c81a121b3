//! A process is started, signalled with all that it started itself, and told apart by how it ended.

use std::ffi::OsString;
use std::future::Future;
use std::path::PathBuf;

use chaos_ctl::NodeId;
use chaos_ctl::process::{Exit, Process, Recipe};
use chaos_ctl::spawner::Spawner;
use nix::sys::signal::Signal;
use tokio::runtime::Handle;

use super::stage::{Stage, wait_for, wait_until_gone};

fn in_runtime<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn shell(stage: &Stage, script: &str) -> Process {
    let args: Vec<OsString> = vec!["-c".into(), script.into()];
    let program = PathBuf::from("/bin/sh");
    let (env, log) = (vec![("WHO".to_owned(), "n1".to_owned())], stage.path("n1.log"));
    Process::new(NodeId(1), Recipe { program, args, env, log, piped: false, ends_by_signal: false })
}

async fn run(stage: &Stage, script: &str, signals: &[Signal]) -> Exit {
    let spawner = Spawner::start(Handle::current()).unwrap();
    let mut process = shell(stage, script);
    process.start(&spawner).await.unwrap();
    wait_for("its first words", || process.tail().first().map(|_| ()));
    for signal in signals {
        process.signal(*signal);
    }
    let exit = process.exit().await.unwrap();
    assert!(!process.is_running());
    exit
}

#[test]
fn an_end_is_expected_only_if_it_was_asked_for_and_came_as_asked() {
    let stage = Stage::new();
    let stubborn = "trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done";
    let polite = "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done";
    let cases = [
        ("echo up; exit 0", &[][..], false, "exit code 0"),
        ("echo up; kill -ABRT $$", &[], false, "SIGABRT"),
        ("echo up; kill -KILL $$", &[], false, "SIGKILL"),
        ("echo up; exec sleep 1000", &[Signal::SIGKILL], true, "SIGKILL"),
        ("echo up; exec sleep 1000", &[Signal::SIGSTOP, Signal::SIGKILL], true, "SIGKILL"),
        (polite, &[Signal::SIGTERM], true, "exit code 0"),
        // It has hardly begun, and does not listen yet.
        ("echo up; exec sleep 1000", &[Signal::SIGTERM], true, "SIGTERM"),
        (stubborn, &[Signal::SIGTERM], false, "exit code 3"),
    ];
    for (script, signals, expected, cause) in cases {
        let exit = in_runtime(run(&stage, script, signals));
        assert_eq!((exit.is_expected(), exit.cause().as_str()), (expected, cause), "{script}");
    }
}

#[test]
fn the_log_is_kept_and_its_last_lines_are_those_of_this_process() {
    let stage = Stage::new();
    in_runtime(run(&stage, "echo earlier life of $WHO; exit 1", &[]));
    let script = "i=1; while [ $i -le 30 ]; do echo line $i >&2; i=$((i+1)); done";
    let exit = in_runtime(run(&stage, script, &[]));
    let expected: Vec<String> = (11..=30).map(|n| format!("line {n}")).collect();
    assert_eq!(exit.tail, expected);
    let exit = in_runtime(run(&stage, "echo once more", &[]));
    assert_eq!(exit.tail, ["once more"]);
    let log = std::fs::read_to_string(stage.path("n1.log")).unwrap();
    assert!(log.starts_with("earlier life of n1\nline 1\n"), "{log}");
}

#[test]
fn what_a_process_started_ends_with_it() {
    let stage = Stage::new();
    let pids = stage.path("pids");
    let script =
        format!("sleep 1000 & echo $! >> {0}; echo $$ >> {0}; echo up; wait", pids.display());
    in_runtime(run(&stage, &script, &[Signal::SIGKILL]));
    wait_until_gone(&stage.pids(2));
    // The same if the first of the group ends by itself and leaves another behind.
    let script = format!("sleep 1000 & echo $! >> {}; echo up; exit 1", pids.display());
    let exit = in_runtime(run(&stage, &script, &[]));
    wait_until_gone(&stage.pids(3));
    assert_eq!(exit.birth.group_members(), Vec::<i32>::new());
}

#[test]
fn children_die_with_the_thread_that_made_them() {
    let stage = Stage::new();
    in_runtime(async {
        let spawner = Spawner::start(Handle::current()).unwrap();
        let mut process = shell(&stage, "echo up; exec sleep 1000");
        process.start(&spawner).await.unwrap();
        drop(spawner);
        let exit = process.exit().await.unwrap();
        assert_eq!((exit.is_expected(), exit.cause().as_str()), (false, "SIGKILL"));
    });
}

#[test]
fn a_program_that_is_not_there_is_an_error_and_no_process() {
    let stage = Stage::new();
    in_runtime(async {
        let spawner = Spawner::start(Handle::current()).unwrap();
        let program = stage.path("nothing");
        let (args, env, log) = (Vec::new(), Vec::new(), stage.path("n1.log"));
        let mut process = Process::new(
            NodeId(1),
            Recipe { program, args, env, log, piped: false, ends_by_signal: false },
        );
        process.start(&spawner).await.unwrap_err();
        assert!(!process.is_running());
    });
}
