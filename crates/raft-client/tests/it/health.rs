//! `raft-client status` tells nodes that answer and are cut off from nodes that are well.

use assert_cmd::Command;
use raft_api::pb::DiskSpace;

use crate::fake::Fakes;

/// The exit code, and what follows the table.
fn status(fakes: &Fakes) -> (i32, String) {
    let mut command = Command::cargo_bin("raft-client").unwrap();
    command.args(["--endpoints", &fakes.addrs().join(","), "status"]);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let end = said.find("cluster fake").unwrap();
    (output.status.code().unwrap(), said[end..].to_owned())
}

fn started() -> Fakes {
    let fakes = Fakes::start(3);
    fakes.world().applied = 4006;
    fakes
}

#[test]
fn a_wiped_node_degrades_the_status() {
    let fakes = started();
    assert_eq!(status(&fakes).0, 0);
    fakes.world().wiped = Some(2);
    let (code, said) = status(&fakes);
    assert_eq!(code, 8, "{said}");
    let line = "\nn2 is up but stands at index 0 of 4006: its data directory may have been \
                replaced\n";
    assert!(said.ends_with(line), "{said}");
}

/// It does not move, and neither does anybody else: what tells is how far it once was.
#[test]
fn a_node_on_an_older_copy_of_its_disk_degrades_the_status() {
    let fakes = started();
    fakes.world().forgetful = [(3, 402)].into();
    let (code, said) = status(&fakes);
    assert_eq!(code, 8, "{said}");
    let line = "\nn3 ends at index 402 and has confirmed 4006: its data directory may be an older copy \
                of itself\n";
    assert!(said.ends_with(line), "{said}");
}

#[test]
fn a_node_that_its_leader_does_not_hear_degrades_the_status() {
    let fakes = started();
    fakes.world().unheard_ms = [(2, 40), (3, 1990)].into();
    assert_eq!(status(&fakes).0, 0);
    fakes.world().unheard_ms = [(2, 40), (3, 12_345)].into();
    let (code, said) = status(&fakes);
    assert_eq!(code, 8, "{said}");
    assert!(said.ends_with("\nn3 is up but the leader has not heard it for 12 s\n"), "{said}");
}

/// All follow the leader, and none takes a write.
#[test]
fn full_disks_degrade_the_status() {
    let fakes = started();
    fakes.world().disk_space = [(1, DiskSpace::Short), (3, DiskSpace::Out)].into();
    let (code, said) = status(&fakes);
    assert_eq!(code, 8, "{said}");
    let lines = "\nn1 takes no writes from clients: its disk is full; free some space there, at /data/n1, \
                 and it goes on\nn3 stores nothing: its disk is full; free some space there, at /data/n3, \
                 and it goes on\n";
    assert!(said.ends_with(lines), "{said}");
    fakes.world().disk_space = [(1, DiskSpace::Enough)].into();
    assert_eq!(status(&fakes).0, 0);
}

/// That a majority must be up would be no help: all are.
#[test]
fn a_cluster_without_a_leader_says_what_may_be_the_reason() {
    let fakes = started();
    fakes.elect(0);
    let (code, said) = status(&fakes);
    assert_eq!(code, 8, "{said}");
    assert!(said.contains("3/3 up   no leader"), "{said}");
    assert!(said.contains("\nall nodes answer and none leads: an election is under way"), "{said}");
    assert!(!said.contains("majority"), "{said}");
}

/// A file that is older than the configuration: a member that was removed is no node that is down.
#[test]
fn a_node_that_is_no_member_any_more_is_not_missed() {
    let mut fakes = started();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cluster.yaml");
    let node =
        |id: u64| format!("  - {{id: {id}, peer: 'h:{id}', client: '{}'}}\n", fakes.addr(id));
    let nodes = [node(1), node(2), node(3)].concat();
    std::fs::write(&file, format!("cluster: {{name: fake}}\nnodes:\n{nodes}")).unwrap();
    let status = || {
        let mut command = Command::cargo_bin("raft-client").unwrap();
        let output = command.arg("-f").arg(&file).arg("status").output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    fakes.kill(3);
    assert_eq!(status().0, 8);
    fakes.world().members.remove(&3);
    let (code, said) = status();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("   2/2 up   leader n1 term 1"), "{said}");
    let line = format!("\nn3 is listed in {} and is no member\n", file.display());
    assert!(said.ends_with(&line), "{said}");
}
