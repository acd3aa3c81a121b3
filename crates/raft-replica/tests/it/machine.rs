//! A whole replica of a cluster of one, on any disk: a state machine, and something that drives it.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    ClusterId, Config, Incarnation, Instant, Membership, MembershipChange, NodeId, Seat, Token,
};
use raft_replica::{
    Answer, Disk, Image, Invalid, OpenError, OpenReport, Opened, Options, Outcome, Replica,
    Request, RequestKind, SnapshotStore, StateMachine, Turn, Wal, open,
};

/// Keeps every command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines(pub(crate) Vec<Bytes>);

impl StateMachine for Lines {
    type Image = Self;

    fn apply(&mut self, command: &Bytes) -> Bytes {
        self.0.push(command.clone());
        Bytes::from(self.0.len().to_string())
    }

    fn query(&self, _: &[u8]) -> Result<Bytes, Invalid> {
        Ok(Bytes::new())
    }

    fn image(&self) -> Self {
        self.clone()
    }

    fn restore(source: &mut dyn Read) -> io::Result<Self> {
        let mut all = Vec::new();
        source.read_to_end(&mut all)?;
        let mut lines: Vec<Bytes> =
            all.split(|&byte| byte == b'\n').map(Bytes::copy_from_slice).collect();
        lines.pop();
        Ok(Self(lines))
    }

    fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Image for Lines {
    fn write_to(&self, sink: &mut dyn Write) -> io::Result<()> {
        for line in &self.0 {
            sink.write_all(line)?;
            sink.write_all(b"\n")?;
        }
        Ok(())
    }
}

/// The only member of a cluster.
pub(crate) struct Only {
    pub(crate) replica: Replica<Lines>,
    pub(crate) report: OpenReport,
    wal: Wal,
    snapshots: SnapshotStore,
    now: Instant,
    tokens: u64,
    pub(crate) answers: Vec<Answer>,
}

pub(crate) const CLUSTER: ClusterId = ClusterId(7);

pub(crate) fn options() -> Options {
    let (cluster, id, incarnation) = (CLUSTER, NodeId(1), Incarnation(0xABCD));
    Options {
        cluster,
        cluster_name: "test".to_owned(),
        id,
        bootstrap: Membership::of_voters([id]),
        fresh_incarnation: incarnation,
        core: Config { trailing_entries: 3, ..Config::new(cluster, id, incarnation) },
        segment_bytes: 8 << 10,
        snapshot_entries: 12,
        snapshot_bytes: 1 << 20,
        session_ttl_ms: 60_000,
        check_entries: 0,
        distrust: BTreeSet::new(),
        record: None,
    }
}

impl Only {
    pub(crate) fn open(
        disk: &(impl Disk + Clone + 'static),
        dir: &Path,
    ) -> Result<Self, OpenError> {
        Self::open_with(disk, dir, options())
    }

    pub(crate) fn open_with(
        disk: &(impl Disk + Clone + 'static),
        dir: &Path,
        options: Options,
    ) -> Result<Self, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let now = Instant::default();
        let Opened { replica, wal, snapshots, lock: _, report } =
            open(&disk, dir, options, Lines::default, now)?;
        let (tokens, answers) = (0, Vec::new());
        Ok(Self { replica, report, wal, snapshots, now, tokens, answers })
    }

    /// Becomes the leader, and applies all there is.
    pub(crate) fn lead(mut self) -> Self {
        for _ in 0..100 {
            if self.replica.node().leader().is_some() {
                return self;
            }
            self.now = self.replica.next_deadline();
            self.replica.tick(self.now);
            self.settle();
        }
        panic!("it does not get itself elected: {:?}", self.replica.status(self.now));
    }

    /// Lets time pass.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.replica.tick(self.now);
        self.settle();
    }

    /// Writes a line, and waits until it is applied.
    pub(crate) fn write(&mut self, line: &str) {
        let command = Bytes::copy_from_slice(line.as_bytes());
        let outcome = self.request(RequestKind::Command { session: None, command });
        assert!(matches!(outcome, Outcome::Applied { .. }), "{outcome:?}");
    }

    pub(crate) fn request(&mut self, kind: RequestKind) -> Outcome {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.replica.propose(self.now, 1_000 * self.tokens, vec![Request { token, kind }]);
        self.settle();
        let position = self.answers.iter().position(|answer| answer.token == token);
        self.answers.swap_remove(position.expect("alone, it is decided at once")).outcome
    }

    /// Adds a member without a vote.
    pub(crate) fn add_learner(&mut self, id: NodeId, contact: &'static [u8]) {
        self.tokens += 1;
        let token = Token(self.tokens);
        let mut target = self.replica.node().membership().clone();
        target.learners.insert(id);
        let seat = Seat { contact: Bytes::from_static(contact), ..Seat::default() };
        target.seats.insert(id, seat);
        let change = MembershipChange { token, target, from: None, force: true };
        self.replica.change_membership(self.now, change);
        self.settle();
        let done = self.answers.iter().any(|answer| answer.outcome == Outcome::Done);
        assert!(done, "{:?}", self.answers);
    }

    /// Does all there is to do.
    pub(crate) fn settle(&mut self) {
        loop {
            let Turn { persist, answers, snapshots, .. } = self.replica.take();
            let idle = persist.is_none() && snapshots.is_empty();
            self.answers.extend(answers);
            if let Some(persist) = persist {
                let durable = self.wal.run(vec![persist]).unwrap();
                self.replica.persisted(self.now, durable.seq);
            }
            for job in snapshots {
                let done = self.snapshots.run(job).unwrap();
                self.replica.snapshot_done(self.now, done);
            }
            if let Some(job) = self.wal.prepare() {
                self.wal.prepared(job.run().unwrap());
            }
            if idle {
                return;
            }
        }
    }
}
