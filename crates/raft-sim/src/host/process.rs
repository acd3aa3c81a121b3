//! The process on a machine: a replica that takes turns, the log and its writer, and what waits for
//! them.

use std::collections::{BTreeMap, VecDeque};

use raft_core::{Index, Instant, LogId, MembershipChange, NodeId, Persist, RoleName, Term, Token};
use raft_replica::disk::DirLock;
use raft_replica::{
    Consistency, Opened, PrepareJob, Replica, Request, SnapshotJob, SnapshotStore, Wal,
};

use super::work::Space;
use crate::agenda::{Arrival, Life};
use crate::client::Ask;
use crate::machine::Machine;

/// Tokens of what nodes ask of themselves; those of others are counted from one.
const OWN_TOKENS: u64 = 1 << 63;

pub(super) struct Process {
    pub(super) replica: Replica<Machine>,
    pub(super) wal: Wal,
    pub(super) snapshots: SnapshotStore,
    /// Held while the process lives.
    _lock: Box<dyn DirLock>,
    pub(super) inbox: VecDeque<Arrival>,
    /// What is to be written, and whether the writer is at it.
    pub(super) writes: Vec<Persist>,
    pub(super) writing: bool,
    /// How often the writer has come to rest.
    pub(super) rests: u64,
    /// What space the writer has, and what of that the replica's driver knows.
    pub(super) space: Space,
    known_space: Space,
    /// Whether somebody else was asked to lead, because there is no space here.
    asked_to_lead_elsewhere: bool,
    pub(super) snapshot_jobs: VecDeque<SnapshotJob<Machine>>,
    /// No work on snapshot files before that: there was no space.
    pub(super) snapshots_rest_until: u64,
    pub(super) preparation: Option<PrepareJob>,
    /// Reads that came while this node led, and the term it led.
    pub(super) reads: BTreeMap<Token, Term>,
    /// What it asks of itself next.
    next_errand: Token,
}

/// How a node was before a turn.
pub(super) struct Before {
    pub(super) last: LogId,
    /// The entries that are not known to be committed, if a snapshot may be about to replace them.
    pub(super) tail: Vec<LogId>,
}

impl Process {
    pub(super) fn new(id: NodeId, life: Life, opened: Opened<Machine>) -> Self {
        let Opened { replica, wal, snapshots, lock, report: _ } = opened;
        Self {
            replica,
            wal,
            snapshots,
            _lock: lock,
            inbox: VecDeque::new(),
            writes: Vec::new(),
            writing: false,
            rests: 0,
            space: Space::default(),
            known_space: Space::default(),
            asked_to_lead_elsewhere: false,
            snapshot_jobs: VecDeque::new(),
            snapshots_rest_until: 0,
            preparation: None,
            reads: BTreeMap::new(),
            next_errand: Token(OWN_TOKENS | id.0 << 48 | life << 24),
        }
    }

    /// How it is before it takes in what has arrived.
    pub(super) fn before(&self) -> Before {
        let node = self.replica.node();
        let staged = self.inbox.iter().any(|arrival| matches!(arrival, Arrival::Snapshot(_)));
        let end = if staged { node.last().index } else { node.commit_index() };
        let tail = node.commit_index().next().0..=end.0;
        let tail = tail.filter_map(|index| node.id_at(Index(index))).collect();
        Before { last: node.last(), tail }
    }

    /// Whether reads wait to be taken in.
    pub(super) fn has_reads(&self) -> bool {
        self.inbox.iter().any(|arrival| matches!(arrival, Arrival::Ask(_, Ask::Read(_))))
    }

    /// Hands the replica all that has arrived. Answers what it asks of itself, if it does.
    pub(super) fn take_in(&mut self, now: Instant, wall_ms: u64) -> Option<Token> {
        let (mut requests, mut errand) = (Vec::new(), None);
        for arrival in std::mem::take(&mut self.inbox) {
            match arrival {
                Arrival::Message(message) => self.replica.receive(now, message),
                Arrival::Persisted(seq) => self.replica.persisted(now, seq),
                Arrival::Space => errand = errand.or(self.on_space(now)),
                Arrival::Snapshot(done) => self.replica.snapshot_done(now, done),
                Arrival::PeerDown(peer) => self.replica.peer_down(now, peer),
                Arrival::Ask(token, Ask::Write(kind)) => requests.push(Request { token, kind }),
                Arrival::Ask(token, Ask::Read(query)) => {
                    let node = self.replica.node();
                    if node.role() == RoleName::Leader {
                        self.reads.insert(token, node.term());
                    }
                    self.replica.query(now, token, query, Consistency::Linearizable);
                }
                Arrival::Ask(token, Ask::Change(target, from, force)) => {
                    let change = MembershipChange { token, target, from, force };
                    self.replica.change_membership(now, change);
                }
                Arrival::Ask(token, Ask::Transfer(to)) => self.replica.transfer(now, token, to),
            }
        }
        if !requests.is_empty() {
            self.replica.propose(now, wall_ms, requests);
        }
        if self.replica.next_deadline() <= now {
            self.replica.tick(now);
        }
        errand
    }

    /// Without space clients are refused, and a leader asks for another one, once.
    fn on_space(&mut self, now: Instant) -> Option<Token> {
        if self.known_space == self.space {
            return None; // Told later what was told already.
        }
        self.known_space = self.space;
        self.replica.set_short_of_space(self.space != Space::Enough);
        if self.space == Space::Enough {
            self.asked_to_lead_elsewhere = false;
            return None;
        }
        let node = self.replica.node();
        let others = 1 < node.membership().voters.len();
        if node.role() != RoleName::Leader || !others || self.asked_to_lead_elsewhere {
            return None;
        }
        self.asked_to_lead_elsewhere = true;
        let token = self.next_errand;
        self.next_errand = Token(token.0 + 1);
        self.replica.transfer(now, token, None);
        Some(token)
    }
}

/// Whether this token is of something that a node asks of itself.
pub(super) fn is_errand(token: Token) -> bool {
    OWN_TOKENS <= token.0
}
