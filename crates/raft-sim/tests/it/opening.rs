//! A data directory comes into being whole, wherever its making is interrupted: once a node has
//! been opened, no power loss takes it away again.

use std::path::Path;
use std::sync::Arc;

use raft_core::{Instant, NodeId};
use raft_replica::{Disk, OpenError, OpenReport, open};
use raft_sim::disk::SimDisk;
use raft_sim::machine::Machine;
use raft_sim::rng::Rng;
use raft_sim::scenario::Scenario;

fn open_once(disk: &SimDisk, fresh: u64) -> Result<OpenReport, OpenError> {
    let options = Scenario::draw(1).options(NodeId(1), fresh);
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let dir = Path::new("/n1");
    open(&disk, dir, options, Machine::default, Instant(0)).map(|opened| opened.report)
}

/// The process is killed after any number of changes to the disk, and what it wrote stays in the
/// system's memory; the next one opens the directory; then the power fails.
#[test]
fn an_opened_directory_survives_whatever_came_before() {
    let mut interrupted = 0;
    for changes in 0.. {
        let disk = SimDisk::new(Path::new("/"));
        disk.light_fuse(changes);
        let killed = open_once(&disk, 1).is_err();
        disk.calm();
        let first = open_once(&disk, 2).unwrap();
        for seed in 0..8 {
            disk.lose_power(&mut Rng::stream(seed, "power"));
            let again = open_once(&disk, 3).unwrap();
            assert!(!again.created, "interrupted after {changes} changes, seed {seed}");
            assert_eq!(again.incarnation, first.incarnation);
        }
        if !killed {
            break;
        }
        interrupted += 1;
    }
    assert!(10 < interrupted, "{interrupted}");
}

/// The same with power losses all along: whatever a creation left behind, the next one gets by.
#[test]
fn a_creation_that_lost_its_power_can_be_repeated() {
    for changes in 0..60 {
        for seed in 0..4 {
            let mut rng = Rng::stream(seed, "power");
            let disk = SimDisk::new(Path::new("/"));
            disk.light_fuse(changes);
            let first = open_once(&disk, 1);
            disk.lose_power(&mut rng);
            let second = open_once(&disk, 2).unwrap();
            assert!(first.is_err() || !second.created, "{changes} changes, seed {seed}");
        }
    }
}
