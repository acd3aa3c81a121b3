//! What a real process recorded is replayed: after a crash as far as it goes, after a clean end whole;
//! and what was changed is noticed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::signal::Signal;

use crate::support::{Cluster, until};

fn replay(file: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft-server"));
    command.arg("replay").arg(file).args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The node's recordings, oldest first.
fn recordings(cluster: &Cluster, id: u64) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(cluster.recordings())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            text(path.file_name().unwrap().as_encoded_bytes()).starts_with(&format!("n{id}-"))
        })
        .collect();
    found.sort();
    found
}

/// Three nodes, all recorded; the leader is killed and comes back, and everybody ends.
#[tokio::test]
async fn every_recording_replays() {
    let mut cluster = Cluster::new(3);
    for id in cluster.ids() {
        cluster.start_recorded(id);
    }
    for round in 0..20 {
        cluster.put(&format!("key{round}"), &[b'x'; 500]).await;
    }
    let victim = cluster.leader().await;
    // What happened a moment ago is in the file: it is written several times a second.
    let file = recordings(&cluster, victim).pop().unwrap();
    until("the writes are recorded", async || {
        text(&replay(&file, &["--trace"]).stdout).contains("committed 21")
    })
    .await;
    cluster.kill(victim);
    cluster.put("after", b"the crash").await;
    let killed = replay(&file, &[]);
    assert!(killed.status.success(), "{}", text(&killed.stdout));
    let told = text(&killed.stdout);
    assert!(told.contains("replayed, state and effects identical"), "{told}");
    assert!(told.contains("was not ended"), "{told}");
    assert!(told.contains("is Leader in term"), "{told}");

    cluster.start_recorded(victim);
    cluster.put("after", b"the restart").await;
    for id in cluster.ids() {
        cluster.signal(id, Signal::SIGTERM);
    }
    for id in cluster.ids() {
        assert!(cluster.ended(id).await.success(), "{}", cluster.log(id));
        let file = recordings(&cluster, id).pop().unwrap();
        let whole = replay(&file, &["--trace"]);
        let told = text(&whole.stdout);
        assert!(whole.status.success(), "n{id}: {}", &told[told.len().saturating_sub(2000)..]);
        assert!(told.contains("the recording is whole"), "n{id}: {told}");
        for word in ["recorded by version", "Append prev=", "persist #", "! "] {
            assert!(told.contains(word), "n{id} lacks {word:?}");
        }
    }
    assert_eq!(recordings(&cluster, victim).len(), 2, "each start has a file of its own");
}

/// A byte that was changed is noticed, whichever; so is what is no recording.
#[tokio::test]
async fn what_was_changed_is_noticed() {
    let mut cluster = Cluster::new(1);
    cluster.start_recorded(1);
    cluster.put("key", b"value that is changed afterwards").await;
    cluster.signal(1, Signal::SIGTERM);
    assert!(cluster.ended(1).await.success(), "{}", cluster.log(1));
    let file = recordings(&cluster, 1).pop().unwrap();
    assert!(replay(&file, &[]).status.success());
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(5).position(|window| window == b"value").unwrap();
    bytes[at] = b'V';
    std::fs::write(&file, &bytes).unwrap();
    let changed = replay(&file, &[]);
    assert_eq!(changed.status.code(), Some(1), "{}", text(&changed.stdout));
    let said = text(&changed.stderr);
    assert!(said.starts_with("error: ") && said.contains("damaged at byte"), "{said}");
    assert!(said.contains("\nhint: it must be a file that `raft-server --record` wrote"), "{said}");

    std::fs::write(&file, b"nonsense").unwrap();
    assert_eq!(replay(&file, &[]).status.code(), Some(1));
    let missing = replay(&cluster.dir.path().join("nothing"), &[]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).starts_with("error: cannot read"), "{}", text(&missing.stderr));
}

/// The old command line goes on, and a senseless one is told so.
#[test]
fn the_command_line_is_as_it_was() {
    let server = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_raft-server"));
        command.env_remove("RAFT_CONFIG").args(args).output().unwrap()
    };
    let help = text(&server(&["--help"]).stdout);
    for word in ["--id <N>", "--record <DIR>", "replay", "--config"] {
        assert!(help.contains(word), "{word} in {help}");
    }
    assert_eq!(server(&[]).status.code(), Some(2));
    let no_id = server(&["--config", "nowhere.yaml"]);
    assert_eq!(no_id.status.code(), Some(2));
    assert!(text(&no_id.stderr).contains("--id"), "{}", text(&no_id.stderr));
    assert_eq!(server(&["--id", "1", "replay", "file"]).status.code(), Some(2));
}
