//! A node past an election, and whatever a stranger can do to it: a stream of bytes is read as a
//! stream of inputs, some of them the bytes themselves through the codec, most of them messages that
//! are nearly right. No byte may lead to a panic, and what holds of every node is checked after each
//! input. The fuzz target in `fuzz/` runs this very file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use bytes::Bytes;
use raft_core::{
    Append, AppendReply, Apply, Body, ClusterId, Config, DropReason, Effects, Entry, Event,
    Heartbeat, HeartbeatReply, Incarnation, Index, Input, Instant, LogId, Membership,
    MembershipChange, Message, Node, NodeId, Payload, Proposal, ReadId, Restored, RoleName, Seat,
    SeatId, SnapshotChunk, SnapshotCommand, SnapshotMeta, SnapshotReply, Term, Token, VoteReply,
    VoteRequest, codec,
};

const CLUSTER: ClusterId = ClusterId(7);
/// Tokens from here on are given out once each.
const FIRST_TOKEN: u64 = 1 << 40;

fn incarnation(id: u64) -> Incarnation {
    Incarnation(id.wrapping_add(100))
}

/// Three voters and a learner, all honest, until the story that the bytes tell begins.
struct Stage {
    nodes: BTreeMap<u64, Node>,
    now: Instant,
    /// Who hears and says nothing.
    deaf: BTreeSet<u64>,
}

impl Stage {
    fn new() -> Self {
        let mut bootstrap = Membership::of_voters([1, 2, 3].map(NodeId));
        bootstrap.learners.insert(NodeId(4));
        let node = |id: u64| {
            let config = Config {
                trailing_entries: 2,
                append_entries_max: 4,
                inflight_messages_max: 3,
                apply_bytes_max: 300,
                snapshot_chunk_bytes: 16,
                ..Config::new(CLUSTER, NodeId(id), incarnation(id))
            };
            let bootstrap = if id == 5 { Membership::default() } else { bootstrap.clone() };
            let restored = Restored { bootstrap, ..Restored::default() };
            (id, Node::restore(config, restored, Instant(0)).expect("an empty disk"))
        };
        let nodes = (1..=5).map(node).collect();
        Self { nodes, now: Instant(0), deaf: BTreeSet::from([4, 5]) }
    }

    fn step(&mut self, id: u64, input: Input) {
        self.nodes.get_mut(&id).expect("on stage").step(self.now, input);
    }

    fn actor(&self, id: u64) -> (Node, Instant) {
        (self.nodes[&id].clone(), self.now)
    }

    fn wait_for(&mut self, id: u64) {
        self.now = self.now.max(self.nodes[&id].next_deadline());
        self.step(id, Input::Tick);
    }

    /// Lets everybody do what they have to, and speak with each other, until all is said.
    fn settle(&mut self) {
        loop {
            let mut mail = Vec::new();
            for node in self.nodes.values_mut() {
                mail.extend(obey(node, self.now));
            }
            mail.retain(|it| !self.deaf.contains(&it.to.0) && !self.deaf.contains(&it.from.0));
            if mail.is_empty() {
                return;
            }
            for message in mail {
                self.step(message.to.0, Input::Message(message));
            }
        }
    }

    fn propose(&mut self, commands: usize) {
        let proposal = |_| Proposal { token: Token(1), data: Bytes::from_static(b"command") };
        self.step(1, Input::Propose((0..commands).map(proposal).collect()));
    }
}

/// Does what a node wants done, at once; returns what it says.
fn obey(node: &mut Node, now: Instant) -> Vec<Message> {
    let Effects { send: mut mail, persist, apply, .. } = node.take_effects();
    if let Some(persist) = persist {
        node.step(now, Input::Persisted { seq: persist.seq });
        mail.extend(persist.then_send);
    }
    if let Some(index) = apply.iter().map(applied).next_back() {
        node.step(now, Input::Applied { index });
    }
    mail
}

fn applied(apply: &Apply) -> Index {
    match apply {
        Apply::Entries(committed) => committed.entries.last().expect("some").id.index,
        Apply::Install(meta) => meta.last.index,
    }
}

/// Nodes in all roles, in the middle of something.
fn cast() -> &'static Vec<(Node, Instant)> {
    static CAST: OnceLock<Vec<(Node, Instant)>> = OnceLock::new();
    CAST.get_or_init(|| {
        let mut cast = Vec::new();
        let mut stage = Stage::new();
        first_act(&mut stage, &mut cast);
        second_act(&mut stage, &mut cast);
        third_act(&mut stage, &mut cast);
        let roles: Vec<RoleName> = cast.iter().map(|(node, _)| node.role()).collect();
        for role in
            [RoleName::Follower, RoleName::PreCandidate, RoleName::Candidate, RoleName::Leader]
        {
            assert!(roles.contains(&role), "nobody is {role:?} among {roles:?}");
        }
        cast
    })
}

/// An election, a few entries, a snapshot.
fn first_act(stage: &mut Stage, cast: &mut Vec<(Node, Instant)>) {
    cast.push(stage.actor(2)); // A follower without a leader.
    cast.push(stage.actor(5)); // A newcomer that knows nobody.
    stage.wait_for(1);
    stage.settle();
    stage.propose(9);
    stage.settle();
    let leader = &stage.nodes[&1];
    assert_eq!(leader.leader(), Some(NodeId(1)), "the stage elects n1");
    let meta = SnapshotMeta {
        last: leader.id_at(Index(7)).expect("it is held"),
        membership: leader.membership().clone().into(),
        size: 40,
        checksum: 1,
    };
    for id in 1..=3 {
        stage.step(id, Input::SnapshotBuilt(meta.clone()));
    }
    stage.settle();
    cast.push(stage.actor(2)); // A follower with a leader and a snapshot.
    stage.deaf.remove(&4);
    stage.wait_for(1);
    stage.settle();
    let data = Bytes::from(vec![0; 16]);
    stage.step(1, Input::SnapshotRead { to: NodeId(4), meta, offset: 0, data, checksum: 0 });
    stage.settle();
    cast.push(stage.actor(4)); // A learner to whom a snapshot is coming.
}

/// A leader with much to do.
fn second_act(stage: &mut Stage, cast: &mut Vec<(Node, Instant)>) {
    stage.deaf.insert(2);
    stage.propose(3);
    stage.step(1, Input::Read(Token(2)));
    cast.push(stage.actor(1)); // A leader with appends, a read and a snapshot under way.
    let mut target = stage.nodes[&1].membership().clone();
    target.voters.extend([4, 5].map(NodeId));
    target.learners.clear();
    let change = MembershipChange { token: Token(3), target, from: None, force: true };
    stage.step(1, Input::ChangeMembership(change));
    stage.settle();
    cast.push(stage.actor(1)); // A leader in a joint configuration.
    cast.push(stage.actor(3)); // A follower in one.
    stage.step(1, Input::Transfer { token: Token(4), to: Some(NodeId(3)) });
    cast.push(stage.actor(1)); // A leader that hands over.
}

/// The leader is gone, and n3 wants to be the next.
fn third_act(stage: &mut Stage, cast: &mut Vec<(Node, Instant)>) {
    stage.deaf.insert(1);
    stage.wait_for(3);
    cast.push(stage.actor(3)); // One that asks whether to campaign.
    stage.deaf = BTreeSet::from([1, 5]);
    let pleas = obey(stage.nodes.get_mut(&3).expect("on stage"), stage.now);
    for id in [2, 4] {
        stage.wait_for(2);
        for message in pleas.iter().filter(|it| it.to.0 == id) {
            stage.step(id, Input::Message(message.clone()));
        }
        for message in obey(stage.nodes.get_mut(&id).expect("on stage"), stage.now) {
            if message.to == NodeId(3) {
                stage.step(3, Input::Message(message));
            }
        }
    }
    cast.push(stage.actor(3)); // One that asks for votes.
}

/// Plays the story that the bytes tell; panics if anything is wrong with how a node takes it.
pub(crate) fn play(bytes: &[u8]) {
    let mut source = Source(bytes);
    let cast = cast();
    let (node, now) = cast[usize::from(source.byte()) % cast.len()].clone();
    let mut victim = Victim::new(node, now);
    while !source.0.is_empty() {
        victim.scene(&mut source);
    }
    victim.take(true);
}

/// A driver gives each token out once; these are not counted.
fn with_plain_tokens(mut input: Input) -> Input {
    let plain = Token(1);
    match &mut input {
        Input::Propose(proposals) => proposals.iter_mut().for_each(|it| it.token = plain),
        Input::Read(token) | Input::Transfer { token, .. } => *token = plain,
        Input::ChangeMembership(change) => change.token = plain,
        _ => (),
    }
    input
}

/// Bytes that decide. What is missing is zero.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// Rarely true.
    fn seldom(&mut self) -> bool {
        self.byte() < 12
    }

    fn id(&mut self) -> NodeId {
        match self.byte() {
            0 => NodeId(self.number()),
            byte => NodeId(u64::from(byte % 6)),
        }
    }

    fn round(&mut self) -> u64 {
        match self.byte() {
            0 => self.number(),
            byte => u64::from(byte % 24),
        }
    }

    fn bytes(&mut self, len: usize) -> Bytes {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        Bytes::copy_from_slice(taken)
    }
}

/// The node, and what must hold of it.
struct Victim {
    node: Node,
    now: Instant,
    tokens: u64,
    /// Requests that came to their end.
    ended: BTreeSet<Token>,
    /// Whom the node voted for, by its disk's word.
    votes: BTreeMap<Term, NodeId>,
    /// What was handed out to be applied.
    applied: Index,
    /// Terms of committed entries.
    committed: BTreeMap<Index, Term>,
    term: Term,
    commit: Index,
    seq: Option<u64>,
    /// The disk failed: nothing is heard or said any more.
    failed: bool,
    /// What may be staged, and what may be read.
    commands: Vec<SnapshotCommand>,
}

impl Victim {
    fn new(node: Node, now: Instant) -> Self {
        let (term, commit) = (node.term(), node.commit_index());
        Self {
            node,
            now,
            tokens: FIRST_TOKEN,
            ended: BTreeSet::new(),
            votes: BTreeMap::new(),
            applied: Index(0),
            committed: BTreeMap::new(),
            term,
            commit,
            seq: None,
            failed: false,
            commands: Vec::new(),
        }
    }

    /// One input, and perhaps a turn.
    fn scene(&mut self, source: &mut Source<'_>) {
        let passes = match source.byte() {
            0 => source.number(),
            byte @ 1..16 => u64::from(byte) * 40_000,
            byte => u64::from(byte),
        };
        self.now = Instant(self.now.0.saturating_add(passes));
        let input = self.input(source);
        self.failed |= matches!(input, Input::PersistFailed);
        let expected = self.must_drop(&input).filter(|_| !self.failed);
        self.node.step(self.now, input);
        if let Some((from, reason)) = expected {
            let effects = self.take(false);
            let dropped = Event::Dropped { from, reason };
            assert!(effects.events.contains(&dropped), "not dropped: {reason:?}");
        } else if source.flag() {
            self.take(source.flag());
        }
        let (node, committed) = (&self.node, &mut self.committed);
        assert!(self.term <= node.term(), "terms only grow");
        assert!(self.commit <= node.commit_index(), "what is committed stays so");
        (self.term, self.commit) = (node.term(), node.commit_index());
        for (index, term) in committed.iter() {
            let now = node.id_at(*index).map(|id| id.term);
            assert!(now.is_none_or(|now| now == *term), "the committed entry {index} changed");
        }
        committed.extend(node.id_at(self.commit).map(|id| (id.index, id.term)));
    }

    /// What is not even meant for this node is dropped and counted, whatever it says.
    fn must_drop(&self, input: &Input) -> Option<(NodeId, DropReason)> {
        let Input::Message(message) = input else { return None };
        let reason = if message.cluster != CLUSTER {
            DropReason::WrongCluster
        } else if message.to != self.node.id() {
            DropReason::WrongRecipient
        } else if message.from == self.node.id() {
            DropReason::FromSelf
        } else {
            return None;
        };
        Some((message.from, reason))
    }

    fn take(&mut self, durable: bool) -> Effects {
        let effects = self.node.take_effects();
        let persist = effects.persist.as_ref();
        let then_send = persist.map(|it| it.then_send.as_slice()).unwrap_or_default();
        for message in effects.send.iter().chain(then_send) {
            assert_eq!(message.from, self.node.id(), "it speaks for itself");
            assert_eq!(message.cluster, CLUSTER, "it speaks to its cluster");
        }
        for apply in &effects.apply {
            let index = applied(apply);
            let ahead = match apply {
                Apply::Entries(committed) if self.applied != Index(0) => {
                    committed.entries[0].id.index == self.applied.next()
                }
                Apply::Entries(_) | Apply::Install(_) => self.applied < index,
            };
            assert!(ahead, "{index} is applied after {}", self.applied);
            self.applied = index;
        }
        let answered = effects.apply.iter().flat_map(|apply| match apply {
            Apply::Entries(committed) => committed.tokens.as_slice(),
            Apply::Install(_) => &[],
        });
        let answered = answered.map(|(_, token)| *token);
        let read = effects.reads.iter().map(|read| read.token);
        let refused = effects.refused.iter().map(|(token, _)| *token);
        for token in answered.chain(read).chain(refused).chain(effects.done.iter().copied()) {
            let first = token.0 < FIRST_TOKEN || self.ended.insert(token);
            assert!(first, "request {} ended twice", token.0);
        }
        self.commands.extend(effects.snapshots.iter().cloned());
        if let Some(persist) = &effects.persist {
            assert!(self.seq.is_none_or(|seq| persist.seq == seq + 1), "writes have an order");
            self.seq = Some(persist.seq);
            if let Some((term, vote)) =
                persist.hard_state.as_ref().and_then(|it| Some((it.term, it.vote?)))
            {
                let first = *self.votes.entry(term).or_insert(vote);
                assert_eq!(first, vote, "two votes in term {term}");
            }
            if durable {
                self.node.step(self.now, Input::Persisted { seq: persist.seq });
            }
        }
        let _: Instant = self.node.next_deadline();
        effects
    }

    fn input(&mut self, source: &mut Source<'_>) -> Input {
        let token = Token(self.tokens);
        match source.byte() % 32 {
            0 => {
                let len = usize::from(source.byte());
                let mut raw = source.bytes(len);
                with_plain_tokens(codec::take_input(&mut raw).unwrap_or(Input::Tick))
            }
            1 => {
                let len = usize::from(source.byte());
                let mut raw = source.bytes(len);
                let body = codec::take_message(&mut raw).map(|message| message.body);
                self.message(source, body.unwrap_or(Body::TimeoutNow))
            }
            2 => Input::Tick,
            3 => {
                self.tokens += 1;
                let data = source.bytes(9);
                Input::Propose(vec![Proposal { token, data }])
            }
            4 => {
                self.tokens += 1;
                Input::Read(token)
            }
            5 => {
                self.tokens += 1;
                let (target, force) = (self.membership(source), source.flag());
                Input::ChangeMembership(MembershipChange { token, target, from: None, force })
            }
            6 => {
                self.tokens += 1;
                let to = source.flag().then(|| source.id());
                Input::Transfer { token, to }
            }
            7 => Input::Applied { index: self.index(source) },
            8 => Input::PeerDown { peer: source.id() },
            9 => Input::Persisted { seq: self.seq.unwrap_or(0) },
            10 => self.snapshot_input(source),
            11 if source.seldom() && source.seldom() => Input::PersistFailed,
            _ => {
                let body = self.body(source);
                self.message(source, body)
            }
        }
    }

    /// What the driver says about snapshots: the truth, and sometimes nonsense.
    fn snapshot_input(&mut self, source: &mut Source<'_>) -> Input {
        if source.seldom() {
            return match source.byte() % 3 {
                0 => Input::SnapshotBuilt(self.meta(source)),
                1 => Input::SnapshotFailed { last: self.log_id(source) },
                _ => {
                    let (meta, next_offset) = (self.meta(source), source.number());
                    Input::SnapshotStaged { meta, next_offset, complete: source.flag() }
                }
            };
        }
        match self.commands.pop() {
            Some(SnapshotCommand::Read { to, meta, offset, .. }) => {
                let len = usize::from(source.byte() % 32);
                Input::SnapshotRead { to, meta, offset, data: source.bytes(len), checksum: 0 }
            }
            Some(SnapshotCommand::Stage { meta, offset, data, .. }) => {
                let next_offset = offset.saturating_add(data.len() as u64);
                let complete = next_offset == meta.size;
                Input::SnapshotStaged { meta, next_offset, complete }
            }
            None => {
                let last = self.node.id_at(self.node.commit_index()).unwrap_or_default();
                let membership = self.node.membership_at(last.index).clone();
                Input::SnapshotBuilt(SnapshotMeta {
                    last,
                    membership: membership.into(),
                    size: 9,
                    checksum: 2,
                })
            }
        }
    }

    /// Around a body, a message that is mostly right.
    fn message(&mut self, source: &mut Source<'_>, body: Body) -> Input {
        let (own, term) = (self.node.id(), self.node.term());
        let from = source.id();
        let term = match source.byte() {
            0 => Term(source.number()),
            1..60 => Term(term.0 + 1),
            60..80 => Term(term.0.saturating_sub(1)),
            80..90 => Term(term.0 + 2),
            _ => term,
        };
        let strange = source.seldom();
        Input::Message(Message {
            cluster: if strange && source.seldom() { ClusterId(source.number()) } else { CLUSTER },
            from,
            incarnation: if strange { Incarnation(source.number()) } else { incarnation(from.0) },
            to: if strange && source.seldom() { source.id() } else { own },
            term,
            body,
        })
    }

    fn body(&mut self, source: &mut Source<'_>) -> Body {
        let asked = |term: Term, byte: u8| Term((term.0 + u64::from(byte % 3)).saturating_sub(1));
        let term = self.node.term();
        match source.byte() % 18 {
            0 => Body::PreVote(self.request(source)),
            1 => Body::Vote(self.request(source)),
            2 => {
                let (granted, asked) = (source.flag(), asked(Term(term.0 + 1), source.byte()));
                Body::PreVoteReply(VoteReply { granted, asked })
            }
            3 => {
                let (granted, asked) = (source.flag(), asked(term, source.byte()));
                Body::VoteReply(VoteReply { granted, asked })
            }
            4..8 => Body::Append(self.append(source)),
            8 | 9 => Body::AppendReply(AppendReply::Matched { index: self.index(source) }),
            10 => {
                let (rejected, hint) = (self.log_id(source), self.log_id(source));
                Body::AppendReply(AppendReply::Conflict { rejected, hint })
            }
            11 => Body::Heartbeat(Heartbeat {
                round: source.round(),
                commit: self.index(source),
                met: self.met(source),
            }),
            12 => Body::HeartbeatReply(HeartbeatReply {
                round: source.round(),
                received: self.index(source),
                matched: self.index(source),
                slow: source.seldom(),
                founder: source.flag(),
            }),
            13 | 14 => self.chunk(source),
            15 => Body::SnapshotReply(SnapshotReply {
                last: self.log_id(source),
                next_offset: source.round(),
                installed: source.flag(),
            }),
            16 => {
                let id = ReadId { start: source.number(), number: source.round() };
                if source.flag() {
                    Body::ReadIndex(id)
                } else {
                    Body::ReadIndexReply { id, index: self.index(source) }
                }
            }
            _ => match source.byte() % 3 {
                0 => Body::TimeoutNow,
                1 => Body::Removed { as_of: self.log_id(source) },
                _ => Body::Stranger { known: Incarnation(source.number()) },
            },
        }
    }

    fn request(&mut self, source: &mut Source<'_>) -> VoteRequest {
        let (since, yours) = (self.log_id(source), self.log_id(source));
        VoteRequest { last: self.log_id(source), since, yours, handed_over: source.flag() }
    }

    fn append(&mut self, source: &mut Source<'_>) -> Append {
        let prev = self.log_id(source);
        let mut last = prev;
        let mut entries = Vec::new();
        for _ in 0..source.byte() % 6 {
            last = LogId {
                term: if source.seldom() { self.node.term() } else { last.term },
                index: if source.seldom() { self.index(source) } else { last.index.next() },
            };
            let payload = match source.byte() {
                0..16 => Payload::Config(self.membership(source).into()),
                16..40 => Payload::Noop,
                _ => Payload::Data(source.bytes(3)),
            };
            entries.push(Entry { id: last, payload });
        }
        let commit = self.index(source);
        Append { prev, entries: entries.into(), commit, met: self.met(source) }
    }

    fn chunk(&mut self, source: &mut Source<'_>) -> Body {
        let mut meta = self.meta(source);
        let len = usize::from(source.byte() % 24);
        let (offset, data) = (source.round(), source.bytes(len));
        if source.flag() {
            meta.size = offset.saturating_add(data.len() as u64);
        }
        let met = self.met(source);
        Body::SnapshotChunk(Box::new(SnapshotChunk { meta, offset, data, checksum: 0, met }))
    }

    fn meta(&mut self, source: &mut Source<'_>) -> SnapshotMeta {
        let last = self.log_id(source);
        SnapshotMeta { last, membership: self.membership(source).into(), size: 40, checksum: 1 }
    }

    fn membership(&mut self, source: &mut Source<'_>) -> Membership {
        if source.flag() {
            return self.node.membership().clone();
        }
        let ids = |bits: u8| (1..=6).filter(|id| bits >> id & 1 == 1).map(NodeId).collect();
        let (voters, learners) = (ids(source.byte()), ids(source.byte()));
        let outgoing = if source.seldom() { ids(source.byte()) } else { BTreeSet::new() };
        let mut seats = BTreeMap::new();
        for _ in 0..source.byte() % 3 {
            let (id, since) = (source.id(), self.log_id(source));
            seats.insert(id, Seat { since, contact: source.bytes(2) });
        }
        Membership { voters, outgoing, learners, seats }
    }

    fn met(&mut self, source: &mut Source<'_>) -> BTreeMap<SeatId, Incarnation> {
        let mut met = BTreeMap::new();
        if source.seldom() {
            for _ in 0..source.byte() % 4 {
                let node = source.id();
                let since = if source.flag() { LogId::ZERO } else { self.log_id(source) };
                let known = if source.seldom() { Incarnation(0) } else { incarnation(node.0) };
                met.insert(SeatId { node, since }, known);
            }
        }
        met
    }

    fn log_id(&mut self, source: &mut Source<'_>) -> LogId {
        let index = self.index(source);
        let term = match source.byte() {
            0 => Term(source.number()),
            1..40 => self.node.term(),
            40..50 => Term(self.node.term().0 + 1),
            _ => self.node.id_at(index).map_or(self.node.last().term, |id| id.term),
        };
        LogId { term, index }
    }

    /// Places where something begins or ends, and what is beside them.
    fn index(&mut self, source: &mut Source<'_>) -> Index {
        let node = &self.node;
        let snapshot = node.snapshot().map_or(Index(0), |meta| meta.last.index);
        let places = [
            Index(0),
            node.first_index(),
            snapshot,
            node.commit_index(),
            node.durable_index(),
            node.last().index,
            Index(u64::MAX),
        ];
        let byte = source.byte();
        if byte == 0 {
            return Index(source.number());
        }
        let place = places[usize::from(byte / 8) % places.len()].0;
        let beside = [0, 0, 0, 1, 1, 2, 4, 9][usize::from(byte % 8)];
        let down = byte >= 128;
        Index(if down { place.saturating_sub(beside) } else { place.saturating_add(beside) })
    }
}
