//! Files that are right, files that are wrong, and what is said about them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use raft_api::{ClusterConfig, ConfigError};
use raft_core::NodeId;
use tempfile::TempDir;

/// The text as a file of its own directory, loaded.
fn load(text: &str) -> (TempDir, Result<ClusterConfig, ConfigError>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cluster.yaml");
    std::fs::write(&path, text).unwrap();
    let loaded = ClusterConfig::load(&path);
    (dir, loaded)
}

fn load_ok(text: &str) -> ClusterConfig {
    let (_dir, loaded) = load(text);
    loaded.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Line, column, what, hint.
fn load_err(text: &str) -> (usize, usize, String, String) {
    let (_dir, loaded) = load(text);
    let error = loaded.err().unwrap_or_else(|| panic!("accepted:\n{text}"));
    let (line, column) = error.position().unwrap_or_default();
    let shown = error.to_string();
    let first = shown.lines().next().unwrap_or_default();
    let (_, what) = first.split_once("cluster.yaml:").unwrap();
    let what = what.strip_prefix(&format!("{line}:{column}:")).unwrap_or(what);
    let snippet = if line == 0 { 1 } else { 4 };
    assert_eq!(shown.lines().count(), snippet, "{shown}");
    (line, column, what.trim().to_owned(), error.hint().unwrap_or_default().to_owned())
}

fn shipped(name: &str) -> ClusterConfig {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs").join(name);
    ClusterConfig::load(&path).unwrap_or_else(|error| panic!("{error}"))
}

/// The files in `configs/` load without a warning, say what they claim, and share nothing.
#[test]
fn shipped_files_load() {
    let (three, five) = (shipped("cluster.yaml"), shipped("five.yaml"));
    assert_eq!((three.name.as_str(), three.nodes.len()), ("demo", 3));
    assert_eq!((five.name.as_str(), five.nodes.len()), ("five", 5));
    assert_eq!(three.warnings(), Vec::<String>::new());
    assert_eq!(five.warnings(), Vec::<String>::new());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    assert_eq!(three.path, root.join("configs/cluster.yaml"));
    assert_eq!(three.nodes[0].data_dir, root.join(".raft/demo/n1"));
    assert_eq!(five.runner.logs_dir, root.join(".raft/five/logs"));
    assert_eq!(three.runner.bin, Some(PathBuf::from("raft-server")));
    assert_eq!(three.client_endpoints()[2], "127.0.0.1:7103");
    for node in &three.nodes {
        assert!(five.nodes.iter().all(|other| other.data_dir != node.data_dir));
        for address in [&node.peer, &node.client, &node.http] {
            let taken = |other: &raft_api::cluster::NodeConfig| {
                [&other.peer, &other.client, &other.http].contains(&address)
            };
            assert!(!five.nodes.iter().any(taken), "{address} is in both files");
        }
    }
}

/// `configs/cluster.yaml` promises that what it leaves out is what stands there.
#[test]
fn the_shipped_file_shows_the_defaults() {
    let shipped = shipped("cluster.yaml");
    let bare = load_ok("nodes: [{id: 3}, {id: 1}, {id: 2}]");
    assert_eq!(shipped.raft, bare.raft);
    assert_eq!(shipped.storage, bare.storage);
    assert_eq!(shipped.runner.ready_timeout, bare.runner.ready_timeout);
    assert_eq!(shipped.runner.stop_grace, bare.runner.stop_grace);
    let addresses = |config: &ClusterConfig| -> Vec<_> {
        let all = config.nodes.iter();
        all.map(|node| (node.id, node.peer.clone(), node.client.clone(), node.http.clone()))
            .collect()
    };
    assert_eq!(addresses(&shipped), addresses(&bare));
}

/// The short form, the long form and neither; sections that are there but empty.
#[test]
fn addresses_follow_from_what_is_given() {
    let config = load_ok(
        "cluster: {name: mix, host: localhost, base_port: 9000}\n\
         raft:\n\
         nodes:\n\
         \x20 - {id: 3, peer: 'a.b:1', client: '[::1]:2', http: c:3, env: {N: 1}, args: [-v]}\n\
         \x20 - {id: 2, addr: 10.0.0.2:8000, http: 10.0.0.2:80}\n\
         \x20 - id: 1\n",
    );
    let shown = config.nodes.iter().map(|n| (n.id.0, &*n.peer, &*n.client, &*n.http));
    let shown: Vec<_> = shown.collect();
    assert_eq!(
        shown,
        [
            (1, "localhost:9001", "localhost:9101", "localhost:9201"),
            (2, "10.0.0.2:8000", "10.0.0.2:8100", "10.0.0.2:80"),
            (3, "a.b:1", "[::1]:2", "c:3"),
        ]
    );
    let third = config.node(NodeId(3)).unwrap();
    assert_eq!(third.env.get("N").map(String::as_str), Some("1"));
    assert_eq!(third.args, ["-v"]);
    assert_eq!(config.node(NodeId(4)), None);
    assert_eq!(config.membership().voters.len(), 3);
    assert_eq!(config.raft.heartbeat, Duration::from_millis(50));
}

/// Directories belong to the file, not to where a program happens to run; ids to the name alone.
#[test]
fn paths_are_absolute_and_the_id_comes_from_the_name() {
    let (dir, loaded) = load(
        "cluster: {name: one}\nnodes: [id: 7]\nstorage: {dir: ./x/../data/n{id}}\n\
         runner: {bin: ../bin/raft-server, logs: {dir: /var/log/{name}}}\n"
            .replace("{dir: ./x/../data/n{id}}", "{dir: './x/../data/n{id}'}")
            .replace("{dir: /var/log/{name}}", "{dir: '/var/log/{name}'}")
            .as_str(),
    );
    let config = loaded.unwrap_or_else(|error| panic!("{error}"));
    let base = dir.path().canonicalize().unwrap();
    assert_eq!(config.nodes[0].data_dir, base.join("data/n7"));
    assert_eq!(config.runner.logs_dir, Path::new("/var/log/one"));
    assert_eq!(config.runner.bin, Some(base.parent().unwrap().join("bin/raft-server")));
    assert_eq!(config.cluster_id(), load_ok("cluster: {name: one}\nnodes: [id: 1]").cluster_id());
    assert_ne!(config.cluster_id(), load_ok("cluster: {name: two}\nnodes: [id: 1]").cluster_id());
    // A published test value of FNV-1a: the id must never change, or nodes refuse their own disks.
    let foobar = load_ok("cluster: {name: foobar}\nnodes: [id: 1]").cluster_id();
    assert_eq!(foobar.0, 0x8594_4171_f739_67e8);
}

/// A file, the line and column of the error in it, and parts of what is said and hinted.
type Mistake = (&'static str, (usize, usize), &'static str, &'static str);

fn explained(rows: &[Mistake]) {
    let mut wrong = Vec::new();
    for (text, (line, column), what, hint) in rows {
        let found = load_err(text);
        let fits = found.0 == *line && found.1 == *column;
        if !fits || !found.2.contains(what) || !found.3.contains(hint) {
            wrong
                .push(format!("{text}\n  wanted {line}:{column} {what} / {hint}\n  got {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Text that is not YAML, keys that are not known, values of the wrong kind.
#[test]
fn mistakes_in_shape_are_explained_where_they_are() {
    explained(&[
        // The file as a whole.
        ("", (0, 0), "the file is empty", ""),
        ("# only this\n\n", (0, 0), "the file is empty", ""),
        ("[1, 2]", (1, 1), "expected a mapping with `nodes`", ""),
        ("nodes: [", (1, 9), "did not find", ""),
        ("a: b: c", (1, 5), "mapping values are not allowed", ""),
        ("version: 2\nnodes: [id: 1]", (1, 10), "unknown version 2", "version 1"),
        // Keys.
        ("nodez: []", (1, 1), "unknown key `nodez`", "did you mean `nodes`?"),
        ("raft:\n  hartbeat: 1s", (2, 3), "raft: unknown key `hartbeat`", "`heartbeat`?"),
        ("raft: {election-timeout: 1s}", (1, 8), "unknown key", "`election_timeout`?"),
        ("raft: {fsync: never}", (1, 8), "unknown key `fsync`", "known here: election_timeout,"),
        ("nodes:\n- {id: 1, adr: x}", (2, 11), "nodes[0]: unknown key `adr`", "`addr`?"),
        ("runner: {stop: {grase: 1s}}", (1, 17), "runner.stop: unknown key", "`grace`?"),
        ("raft:\n  heartbeat: 1s\n  heartbeat: 2s", (3, 3), "`heartbeat` is here twice", ""),
        ("nodes: [id: 1]\nnodes: [id: 2]", (2, 1), "`nodes` is here twice", ""),
        ("nodes: [{addr: 'a:1'}]", (1, 9), "missing field `id`", ""),
        // Values.
        ("nodes: 3", (1, 8), "expected a sequence", ""),
        ("nodes: [1]", (1, 9), "expected a node such as", ""),
        ("nodes: [id: one]", (1, 13), "expected a number", ""),
        ("raft: {heartbeat: 50}", (1, 19), "`50` is not a duration: it needs a unit", ""),
        ("raft: {heartbeat: 5 bars}", (1, 19), "unknown unit `bars`", ""),
        ("raft: {election_timeout: 9-3s}", (1, 26), "the first bound is longer", ""),
        ("storage: {segment: 64MiBs}", (1, 20), "`64MiBs` is not a size", ""),
        ("raft: {snapshot: {entries: -5}}", (1, 28), "expected a count such as 10k", ""),
    ]);
}

/// Ids and addresses.
#[test]
fn mistakes_about_nodes_are_explained_where_they_are() {
    explained(&[
        ("version: 1", (1, 1), "at least one node", "nodes: ["),
        ("nodes: []", (1, 8), "at least one node", ""),
        ("nodes: [id: 0]", (1, 13), "0 is not a node id", "ids begin at 1"),
        ("nodes:\n- id: 1\n- id: 2\n- id: 1", (4, 7), "node 1 is already in line 2", ""),
        ("nodes: [{id: 1, addr: 'a:1', peer: 'a:1'}]", (1, 36), "which are the same", ""),
        ("nodes: [{id: 1, addr: localhost}]", (1, 23), "`localhost` is not an address", ""),
        ("nodes: [{id: 1, addr: 'a:0'}]", (1, 23), "port 0", ""),
        ("nodes: [{id: 1, addr: 'a:65536'}]", (1, 23), "65536 is not a port", ""),
        ("nodes: [{id: 1, addr: 'a:-1'}]", (1, 23), "host:port", ""),
        ("nodes: [{id: 1, addr: '::1:70'}]", (1, 23), "brackets", ""),
        ("nodes: [{id: 1, addr: 'a b:70'}]", (1, 23), "`a b` is not a host", ""),
        (
            "nodes: [{id: 1, addr: 'a:65400'}]",
            (1, 23),
            "the http address of node 1: 65600",
            "+ 200",
        ),
        ("nodes: [id: 99999]", (1, 13), "the peer address of node 99999: 106999", "base_port"),
        (
            "nodes:\n- {id: 1, addr: 'h:1'}\n- {id: 2, peer: 'h:9', http: 'h:101'}",
            (3, 30),
            "h:101 is the http address of node 2 and the client address of node 1",
            "used once",
        ),
        (
            "nodes: [{id: 1, peer: 'localhost:1'}, {id: 2, peer: '127.0.0.1:1'}]",
            (1, 53),
            "the peer address of node 2 and the peer address of node 1",
            "",
        ),
        ("nodes: [{id: 1, env: {A=B: x}}]", (1, 22), "`A=B` cannot name a variable", ""),
    ]);
}

/// One leader cannot serve any number of nodes.
#[test]
fn there_may_be_so_many_nodes() {
    let list = |count| (1..=count).map(|id| format!("\n- id: {id}")).collect::<Vec<_>>().concat();
    assert_eq!(load_ok(&format!("nodes:{}", list(31))).nodes.len(), 31);
    let (_dir, loaded) = load(&format!("nodes:{}", list(32)));
    let error = loaded.unwrap_err().to_string();
    assert!(error.contains(":33:3: 32 nodes are more than the 31"), "{error}");
}

/// Values of the right kind that make no sense.
#[test]
fn mistakes_in_settings_are_explained_where_they_are() {
    explained(&[
        ("cluster: {name: ''}\nnodes: [id: 1]", (1, 17), "not a name", "1 to 64"),
        ("cluster: {name: ../up}\nnodes: [id: 1]", (1, 17), "`../up` is not a name", ""),
        ("cluster: {name: \"a\\nb\"}\nnodes: [id: 1]", (1, 17), "not a name", ""),
        ("cluster: {name: ..}\nnodes: [id: 1]", (1, 17), "`..` is not a name", ""),
        ("cluster: {base_port: 70000}\nnodes: [id: 1]", (1, 22), "70000 is not a port", ""),
        ("cluster: {host: 'a:1'}\nnodes: [id: 1]", (1, 17), "brackets", ""),
        (
            "nodes: [id: 1]\nraft:\n  heartbeat: 60ms\n  election_timeout: 150-300ms",
            (4, 21),
            "from 150ms is too short for a heartbeat of 60ms",
            "begin at 180ms",
        ),
        ("nodes: [id: 1]\nraft: {heartbeat: 1s}", (2, 19), "too short", "begin at 3s"),
        ("nodes: [id: 1]\nraft: {heartbeat: 0s}", (2, 19), "0s is less than the 1ms", ""),
        ("nodes: [id: 1]\nraft: {command_max: 1GiB}", (2, 21), "more than the 16MiB", ""),
        ("nodes: [id: 1]\nstorage: {segment: 32k}", (2, 20), "32KiB is less than the 64KiB", ""),
        ("nodes: [id: 1]\nstorage: {segment: 2GiB}", (2, 20), "more than the 1GiB it may be", ""),
        ("nodes: [{id: 1}, {id: 2}]\nstorage: {dir: x}", (2, 16), "share one directory", "{id}"),
        ("nodes: [id: 1]\nstorage: {dir: '{nid}'}", (2, 16), "placeholder", "known are"),
        ("nodes: [id: 1]\nrunner: {logs: {dir: 'l{id}'}}", (2, 22), "placeholder", ""),
        ("nodes: [id: 1]\nrunner: {bin: ''}", (2, 15), "an empty path", ""),
    ]);
}

/// The whole of what a user sees.
#[test]
fn an_error_shows_the_place() {
    let (dir, loaded) = load("raft:\n  heartbeat: 50ms\n\theartbeat: 1\n");
    let tab = loaded.unwrap_err().to_string();
    assert!(tab.contains(":3:1: "), "{tab}");
    let path = dir.path().join("cluster.yaml");
    std::fs::write(&path, "cluster: {name: demo}\nraft:\n  heartbeat: fast   # very\n").unwrap();
    let shown = ClusterConfig::load(&path).unwrap_err().to_string();
    let expected = format!(
        "{}:3:14: raft.heartbeat: `fast` is not a duration: write 15s, 500ms or 1m 30s\n   |\n \
         3 |   heartbeat: fast   # very\n   |              ^",
        path.display()
    );
    assert_eq!(shown, expected);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = ClusterConfig::load(&dir.path().join("none.yaml")).unwrap_err();
    assert!(missing.is_not_found());
    assert!(missing.to_string().ends_with("none.yaml: no such file"), "{missing}");
    let folder = ClusterConfig::load(dir.path()).unwrap_err();
    assert!(!folder.is_not_found());
    assert!(folder.to_string().contains("could not be read"), "{folder}");
    std::fs::write(dir.path().join("binary.yaml"), b"nodes: \xff").unwrap();
    let binary = ClusterConfig::load(&dir.path().join("binary.yaml")).unwrap_err();
    assert!(binary.to_string().contains("offset 7"), "{binary}");
}

#[test]
fn what_is_seldom_meant_is_warned_about() {
    let warnings = |text| load_ok(text).warnings();
    assert_eq!(warnings("nodes: [id: 1]"), Vec::<String>::new());
    let even = warnings("nodes: [{id: 1}, {id: 2}]");
    assert_eq!(even, ["2 nodes survive no more failures than 1 would"]);
    let ports = warnings("nodes: [{id: 1, addr: 'h:32700'}]");
    assert_eq!(ports.len(), 2, "{ports:?}");
    assert!(ports[0].contains("client port of node 1 (h:32800)"), "{ports:?}");
    let fixed = warnings("nodes: [{id: 1}, {id: 2}, {id: 3}]\nraft: {election_timeout: 300ms}");
    assert!(fixed[0].contains("hardly random"), "{fixed:?}");
}

/// What YAML can do and this file need not.
#[test]
fn tricks_are_refused() {
    let tagged = load_err("nodes: !all [id: 1]");
    assert!(tagged.2.contains("without tags"), "{tagged:?}");
    let merged = load_err("raft: &r {heartbeat: 1s}\nstorage: {<<: *r}");
    assert!(merged.2.contains("unknown key `<<`"), "{merged:?}");
    let two = load_err("nodes: [id: 1]\n---\nnodes: [id: 2]\n");
    assert!(two.2.contains("more than one document"), "{two:?}");
    let deep = load_err(&format!("nodes: {}", "[".repeat(5000)));
    assert!(deep.2.contains("recursion limit"), "{deep:?}");
    let level = |level: usize| {
        let inside = format!("*a{}, ", level - 1).repeat(10);
        format!("a{level}: &a{level} [{inside}]\n")
    };
    let levels: String = (1..12).map(level).collect();
    let bomb = format!("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{levels}");
    let bomb = load_err(&bomb);
    assert!(bomb.2.contains("repetition limit"), "{bomb:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A damaged file is a cluster or an error that can be shown, never a panic.
    #[test]
    fn damage_is_explained(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..30_usize, ".{0,3}"), 1..5),
    ) {
        let mut text = include_str!("../../../../configs/cluster.yaml").to_owned();
        for (position, len, instead) in edits {
            let boundary = |from: usize| {
                (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
            };
            let start = boundary(position.index(text.len() + 1));
            let end = boundary((start + len).min(text.len()));
            text.replace_range(start..end, &instead);
        }
        let (_dir, loaded) = load(&text);
        match loaded {
            Ok(config) => prop_assert!(!config.nodes.is_empty()),
            Err(error) => {
                let shown = error.to_string();
                let lines = shown.lines().count();
                prop_assert!(lines == if error.position().is_some() { 4 } else { 1 }, "{}", shown);
            }
        }
    }
}
