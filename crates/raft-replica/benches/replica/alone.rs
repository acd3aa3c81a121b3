//! A replica that is the only one: whatever it is asked, it decides at once.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use raft_core::{ClusterId, Config, Incarnation, Instant, Membership, NodeId, Token};
use raft_kv::{Store, StoreImage};
use raft_replica::{
    Answer, Disk, Image, Invalid, Opened, Options, Outcome, Replica, Request, RequestKind,
    SessionHeader, SnapshotStore, StateMachine, Turn, Wal, open,
};

use crate::disk::Unsynced;
use crate::{directory, put};

#[derive(Default)]
struct Kv(Store);

struct KvImage(StoreImage);

impl StateMachine for Kv {
    type Image = KvImage;

    fn apply(&mut self, command: &Bytes) -> Bytes {
        self.0.apply_bytes(command)
    }

    fn validate(&self, command: &[u8]) -> Result<(), Invalid> {
        raft_kv::validate(command).map_err(Invalid)
    }

    fn query(&self, query: &[u8]) -> Result<Bytes, Invalid> {
        self.0.query_bytes(query).map_err(Invalid)
    }

    fn image(&self) -> KvImage {
        KvImage(self.0.image())
    }

    fn restore(source: &mut dyn Read) -> io::Result<Self> {
        Store::restore(source).map(Self)
    }

    fn len(&self) -> u64 {
        u64::try_from(self.0.len()).expect("a length is a small number")
    }
}

impl Image for KvImage {
    fn write_to(&self, sink: &mut dyn Write) -> io::Result<()> {
        self.0.write_to(sink)
    }
}

/// The replica, and a client with a session.
pub(crate) struct Alone {
    replica: Replica<Kv>,
    wal: Wal,
    snapshots: SnapshotStore,
    now: Instant,
    tokens: u64,
    session: u64,
    sequence: u64,
    _dir: tempfile::TempDir,
}

impl Alone {
    pub(crate) fn new() -> Self {
        let dir = directory();
        let disk: Arc<dyn Disk> = Arc::new(Unsynced);
        let now = Instant::default();
        let opened = open(&disk, dir.path(), options(), Kv::default, now);
        let Opened { replica, wal, snapshots, .. } = opened.expect("the directory is new");
        let (tokens, session, sequence) = (0, 0, 0);
        let mut alone = Self { replica, wal, snapshots, now, tokens, session, sequence, _dir: dir };
        while alone.replica.node().leader().is_none() {
            alone.now = alone.replica.next_deadline();
            alone.replica.tick(alone.now);
            alone.settle();
        }
        let request = alone.request(RequestKind::OpenSession);
        alone.replica.propose(alone.now, 1, vec![request]);
        let answers = alone.settle();
        let [Answer { outcome: Outcome::SessionOpened { session, .. }, .. }] = &*answers else {
            panic!("no session: {answers:?}")
        };
        alone.session = *session;
        alone
    }

    /// So many writes at once, all of them applied.
    pub(crate) fn write(&mut self, count: u64) {
        let first_outstanding = self.sequence + 1;
        let requests = (0..count).map(|_| {
            self.sequence += 1;
            let (id, sequence) = (self.session, self.sequence);
            let session = Some(SessionHeader { id, sequence, first_outstanding });
            self.request(RequestKind::Command { session, command: put(sequence) })
        });
        let requests = requests.collect();
        self.replica.propose(self.now, 1, requests);
        let answers = self.settle();
        let applied = answers.iter().filter(|it| matches!(it.outcome, Outcome::Applied { .. }));
        assert_eq!(applied.count() as u64, count, "all are applied: {answers:?}");
    }

    fn request(&mut self, kind: RequestKind) -> Request {
        self.tokens += 1;
        Request { token: Token(self.tokens), kind }
    }

    /// Does all there is to do.
    fn settle(&mut self) -> Vec<Answer> {
        let mut all = Vec::new();
        loop {
            let Turn { persist, answers, snapshots, .. } = self.replica.take();
            let idle = persist.is_none() && snapshots.is_empty();
            all.extend(answers);
            if let Some(persist) = persist {
                let durable = self.wal.run(vec![persist]).expect("the disk works");
                self.replica.persisted(self.now, durable.seq);
            }
            for job in snapshots {
                let done = self.snapshots.run(job).expect("the disk works");
                self.replica.snapshot_done(self.now, done);
            }
            if let Some(job) = self.wal.prepare() {
                self.wal.prepared(job.run().expect("the disk works"));
            }
            if idle {
                return all;
            }
        }
    }
}

/// What a cluster file has that says nothing, where it matters.
fn options() -> Options {
    let (cluster, id, incarnation) = (ClusterId(7), NodeId(1), Incarnation(5));
    Options {
        cluster,
        cluster_name: "bench".to_owned(),
        id,
        bootstrap: Membership::of_voters([id]),
        fresh_incarnation: incarnation,
        core: Config::new(cluster, id, incarnation),
        segment_bytes: 64 << 20,
        snapshot_entries: 100_000,
        snapshot_bytes: 64 << 20,
        session_ttl_ms: 60_000,
        check_entries: 0,
        distrust: BTreeSet::new(),
        record: None,
    }
}
