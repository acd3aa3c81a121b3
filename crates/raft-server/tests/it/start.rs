//! What keeps a node from starting, told in one line, with a hint and exit code 2.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use assert_cmd::Command;

use crate::support::{Cluster, server};

/// Runs the program to its end; it must fail to start. Returns the error and the hint.
fn refused(config: &Path, id: u64) -> (String, String) {
    let mut command = Command::from_std(server(config, id));
    let output = command.timeout(crate::support::PATIENCE).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let said: Vec<_> = stderr.lines().filter(|line| !line.contains("INFO")).collect();
    let [error, hint] = said.as_slice() else { panic!("not one line and a hint:\n{stderr}") };
    let error = error.strip_prefix("error: ").unwrap_or_else(|| panic!("{stderr}"));
    let hint = hint.strip_prefix("hint: ").unwrap_or_else(|| panic!("{stderr}"));
    (error.to_owned(), hint.to_owned())
}

#[test]
fn an_unknown_id() {
    let cluster = Cluster::new(3);
    let (error, hint) = refused(&cluster.config(), 9);
    let file = cluster.config().display().to_string();
    assert_eq!(error, format!("node 9 is not in {file}, which has nodes 1, 2, 3"));
    assert_eq!(hint, "start one of these, or let a new node join a running cluster with --join");
}

/// An address from the command line is not blamed on the file.
#[test]
fn an_address_that_cannot_be() {
    let cluster = Cluster::new(1);
    let taken = cluster.peer_address(1);
    let file = cluster.config().display().to_string();
    let table = [
        ("nonsense", "`nonsense` is not an address: it is written host:port"),
        ("127.0.0.1:65500", "the client address of node 4: 65600 is not a port"),
        ("[::1:80", "an IPv6 address goes in brackets"),
        (taken.as_str(), "is the peer address of node 4 and the peer address of node 1"),
    ];
    for (addr, why) in table {
        let mut command = Command::from_std(server(&cluster.config(), 4));
        let output = command.args(["--join", "--addr", addr]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with(&format!("error: --addr {addr} cannot be node 4's: ")), "{said}");
        assert!(said.contains(why) && said.contains("\nhint: "), "{said}");
        assert!(!said.contains(&file), "{said}");
    }
    let mut command = Command::from_std(server(&cluster.config(), 70_000));
    let output = command.arg("--join").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let error =
        format!("error: node 70000 is not in {file}, and it has no address by its number: ");
    assert!(output.status.code() == Some(2) && said.starts_with(&error), "{said}");
    assert!(said.ends_with("\nhint: say where it listens, with --addr HOST:PORT\n"), "{said}");
}

#[test]
fn a_missing_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nowhere.yaml");
    let (error, hint) = refused(&file, 1);
    assert_eq!(error, format!("{}: no such file", file.display()));
    assert_eq!(hint, format!("tried {}", file.display()));
}

/// With no file named and none lying around, the hint says how to name one.
#[test]
fn no_file_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft-server"));
    let output = command.args(["--id", "1"]).current_dir(&dir).env_remove("RAFT_CONFIG").output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: no cluster file: there is no cluster.yaml or configs/cluster.yaml here\n\
         hint: name one with --config FILE or RAFT_CONFIG\n"
    );
}

/// A mistake in the file is shown where it is.
#[test]
fn a_wrong_key() {
    let cluster = Cluster::with(1, "raft: {hartbeat: 50ms}\n");
    let output = Command::from_std(server(&cluster.config(), 1)).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let place = format!("error: {}:", cluster.config().display());
    assert!(stderr.starts_with(&place), "{stderr}");
    assert!(stderr.contains("hartbeat") && stderr.contains("heartbeat"), "{stderr}");
}

#[tokio::test]
async fn a_data_dir_in_use() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    assert_eq!(cluster.leader().await, 1);
    let (error, _) = refused(&cluster.config(), 1);
    let (dir, pid) = (cluster.data_dir(1), cluster.pid(1));
    assert_eq!(error, format!("{} is in use by process {pid}", dir.display()));
}

/// Deleting the file that names the holder opens the directory to nobody, on whatever ports.
#[tokio::test]
async fn a_data_dir_in_use_without_its_lock_file() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    cluster.put("key", b"value").await;
    let (dir, ours) = (cluster.data_dir(1), Cluster::new(1));
    std::fs::remove_file(dir.join("LOCK")).unwrap();
    let elsewhere =
        ours.yaml("test", "").replace("dir: data/n{id}", &format!("dir: {}", dir.display()));
    std::fs::write(ours.config(), elsewhere).unwrap();
    for config in [cluster.config(), ours.config()] {
        let (error, _) = refused(&config, 1);
        assert_eq!(error, format!("{} is in use by another process", dir.display()));
    }
    cluster.put("key", b"other").await;
    cluster.kill(1);
    cluster.start(1);
    assert_eq!(cluster.get("key").await.unwrap(), b"other");
}

/// A node that has no port does not touch a directory.
#[test]
fn a_taken_port_leaves_no_data_dir() {
    let cluster = Cluster::new(1);
    let _taken = TcpListener::bind(cluster.client_address(1)).unwrap();
    let (error, _) = refused(&cluster.config(), 1);
    assert!(error.starts_with("cannot listen for clients"), "{error}");
    assert!(!cluster.data_dir(1).exists());
}

#[test]
fn a_taken_port() {
    for (whom, address) in
        [("peers", Cluster::peer_address as fn(&_, _) -> _), ("clients", Cluster::client_address)]
    {
        let cluster = Cluster::new(1);
        let address: String = address(&cluster, 1);
        let _taken = TcpListener::bind(&address).unwrap();
        let (error, hint) = refused(&cluster.config(), 1);
        let what =
            format!("cannot listen for {whom} on {address}: Address already in use (os error 98)");
        assert_eq!(error, what);
        assert_eq!(hint, "another process listens there: is this node running already?");
    }
}

/// The directory of node 1 does not serve for node 2.
#[tokio::test]
async fn the_data_dir_of_another_node() {
    let mut cluster = Cluster::new(2);
    cluster.start(1);
    drop(cluster.management(1).await);
    cluster.kill(1);
    std::fs::rename(cluster.data_dir(1), cluster.data_dir(2)).unwrap();
    let (error, _) = refused(&cluster.config(), 2);
    let dir = cluster.data_dir(2).display().to_string();
    assert_eq!(error, format!("{dir} belongs to node 1, not to node 2"));
}

/// The directory of one cluster does not serve for another.
#[tokio::test]
async fn the_data_dir_of_another_cluster() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    drop(cluster.management(1).await);
    cluster.kill(1);
    std::fs::write(cluster.config(), cluster.yaml("other", "")).unwrap();
    let (error, _) = refused(&cluster.config(), 1);
    let dir = cluster.data_dir(1).display().to_string();
    assert_eq!(error, format!("{dir} belongs to cluster `test`, not to `other`"));
}

/// A damaged file is named, and where in it.
#[tokio::test]
async fn a_damaged_data_dir() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    for number in 0..20 {
        cluster.put(&format!("key {number}"), &[7; 2000]).await;
    }
    cluster.kill(1);
    let segment = find(&cluster.data_dir(1), b"key 3");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(5).position(|window| window == b"key 3").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (error, hint) = refused(&cluster.config(), 1);
    assert!(error.contains(&segment.display().to_string()), "{error}");
    assert!(error.contains("at byte"), "{error}");
    assert!(!hint.is_empty());
}

/// What recovery cuts is said, with the file and the place.
#[tokio::test]
async fn a_torn_log() {
    let mut cluster = Cluster::new(1);
    cluster.start(1);
    cluster.put("key", b"value").await;
    cluster.kill(1);
    let segment = find(&cluster.data_dir(1), b"value");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(5).rposition(|window| window == b"value").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    cluster.start(1);
    cluster.put("key", b"other").await;
    let log = cluster.log(1);
    let line =
        log.lines().find(|line| line.contains("torn batch")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("WARN") && line.contains(&segment.display().to_string()), "{line}");
    assert!(line.contains("offset=") && line.contains("last_index="), "{line}");
}

#[test]
fn an_unwritable_data_dir() {
    let cluster = Cluster::new(1);
    let parent = cluster.data_dir(1).parent().unwrap().to_owned();
    std::fs::create_dir(&parent).unwrap();
    if nix::unistd::geteuid().is_root() {
        // Permissions do not stop root; a file in the place of the directory does.
        std::fs::write(cluster.data_dir(1), "in the way").unwrap();
    } else {
        std::fs::set_permissions(&parent, std::fs::Permissions::from_mode(0o555)).unwrap();
    }
    let output = Command::from_std(server(&cluster.config(), 1)).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert!(stderr.contains(&cluster.data_dir(1).display().to_string()), "{stderr}");
}

#[test]
fn usage() {
    let program = || Command::new(env!("CARGO_BIN_EXE_raft-server"));
    let output = program().arg("--version").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let version = concat!("raft-server ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), version);
    let help = String::from_utf8(program().arg("--help").output().unwrap().stdout).unwrap();
    assert!(help.contains("raft-server --id 1 --config cluster.yaml"), "{help}");
    assert_eq!(program().args(["--id", "0"]).output().unwrap().status.code(), Some(2));
    assert_eq!(program().output().unwrap().status.code(), Some(2));
}

/// The one file below `dir` that holds these bytes.
fn find(dir: &Path, bytes: &[u8]) -> std::path::PathBuf {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).unwrap().windows(bytes.len()).any(|part| part == bytes) {
                found.push(path);
            }
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}
