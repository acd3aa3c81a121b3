//! Reads at a follower that is cut off between the leader's answer and what it has to wait for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    Body, ClusterId, Config, Heartbeat, Incarnation, Index, Instant, Membership, Message, NodeId,
    Term, Token,
};
use raft_replica::{
    Answer, Consistency, Disk, Image, Invalid, Options, Outcome, Refused, Replica, StateMachine,
    open,
};

use crate::mem_disk::MemDisk;
use crate::support::root;

/// A state machine that holds nothing.
#[derive(Debug)]
struct Nothing;

#[derive(Debug)]
struct Empty;

impl StateMachine for Nothing {
    type Image = Empty;

    fn apply(&mut self, _: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn query(&self, _: &[u8]) -> Result<Bytes, Invalid> {
        Ok(Bytes::new())
    }

    fn image(&self) -> Empty {
        Empty
    }

    fn restore(_: &mut dyn Read) -> io::Result<Self> {
        Ok(Self)
    }

    fn len(&self) -> u64 {
        0
    }
}

impl Image for Empty {
    fn write_to(&self, _: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

fn follower() -> Replica<Nothing> {
    let (cluster, id) = (ClusterId(7), NodeId(2));
    let options = Options {
        cluster,
        cluster_name: "test".to_owned(),
        id,
        bootstrap: Membership::of_voters([1, 2, 3].map(NodeId)),
        fresh_incarnation: Incarnation(2),
        core: Config::new(cluster, id, Incarnation(2)),
        segment_bytes: 64 << 10,
        snapshot_entries: 1000,
        snapshot_bytes: 1 << 20,
        session_ttl_ms: 1000,
        check_entries: 0,
        distrust: BTreeSet::new(),
        record: None,
    };
    let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
    open(&disk, root(), options, || Nothing, Instant(0)).unwrap().replica
}

fn from_leader(body: Body) -> Message {
    Message {
        cluster: ClusterId(7),
        from: NodeId(1),
        incarnation: Incarnation(1),
        to: NodeId(2),
        term: Term(1),
        body,
    }
}

#[test]
fn a_read_that_nothing_can_serve_any_more_is_refused() {
    let mut replica = follower();
    let beat = Heartbeat { round: 1, commit: Index(0), met: BTreeMap::new() };
    replica.receive(Instant(1), from_leader(Body::Heartbeat(beat)));
    replica.query(Instant(2), Token(9), Bytes::new(), Consistency::Linearizable);
    let asked = replica.take().send.into_iter().find_map(|message| match message.body {
        Body::ReadIndex(id) => Some(id),
        _ => None,
    });
    let id = asked.expect("the leader is asked");
    let reply = Body::ReadIndexReply { id, index: Index(5) };
    replica.receive(Instant(3), from_leader(reply));
    assert_eq!(replica.take().answers, [], "entry 5 has not arrived");

    replica.tick(Instant(3).after(Duration::from_secs(2)));
    let outcome = Outcome::Refused(Refused::NotLeader { leader: None });
    assert_eq!(replica.take().answers, [Answer { token: Token(9), outcome }]);
}
