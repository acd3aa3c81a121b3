//! A node whose log lines go nowhere: nobody reads them, or there is no space for them.

use std::fs::File;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::support::{Cluster, server};

/// Starts a node with this for its stderr, writes and reads, starts it again, and ends it politely.
async fn serves_with(stderr: impl Fn() -> Stdio) {
    let mut cluster = Cluster::new(1);
    for key in ["first", "second"] {
        cluster.run_with_stderr(1, server(&cluster.config(), 1), stderr());
        cluster.put(key, b"value").await;
        assert_eq!(cluster.get("first").await.as_deref(), Some(&b"value"[..]));
        cluster.signal(1, Signal::SIGTERM);
        let ended = cluster.ended(1).await;
        assert!(ended.success(), "{ended}");
    }
}

/// As when the log is on the disk that is full.
#[tokio::test]
async fn no_space_for_a_log_line_ends_nothing() {
    serves_with(|| File::options().write(true).open("/dev/full").unwrap().into()).await;
}

/// As when the program that collected the log has died.
#[tokio::test]
async fn nobody_to_read_a_log_line_ends_nothing() {
    serves_with(|| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer.into()
    })
    .await;
}
