//! One member's consensus state: the way in, the way out, and what holds between the two.

use alloc::vec::Vec;

use crate::config::{Config, Restored};
use crate::disk::Disk;
use crate::effects::{DropReason, Effects, Event, Persist, RoleName, Spare};
use crate::entries::Entries;
use crate::error::RestoreError;
use crate::input::Input;
use crate::log::Log;
use crate::members::Members;
use crate::membership::Membership;
use crate::message::{Body, HeartbeatReply, Message, SnapshotChunk};
use crate::rng::Rng;
use crate::role::{Follower, Role};
use crate::seats::Familiar;
use crate::types::{
    HardState, Incarnation, Index, Instant, LogId, NodeId, Payload, SnapshotMeta, Term,
};

/// No cluster gets here by elections; a message that claims so would leave no terms to go on with.
pub(crate) const TERM_MAX: Term = Term(1 << 62);

/// Nobody is so many elections ahead of anybody: not after a thousand of them a second for a month. One
/// forged term must not take all to where no election is possible any more.
const TERMS_AHEAD_MAX: u64 = 1 << 32;

/// Entries that come from the disk together stay together in memory, at most so many.
const RESTORED_STRETCH: usize = 1024;

/// One member's consensus state. It changes by [`Node::step`] alone; what must be done about it is
/// collected until [`Node::take_effects`].
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) config: Config,
    /// The latest time any input told.
    pub(crate) now: Instant,
    pub(crate) hard: HardState,
    pub(crate) role: Role,
    pub(crate) log: Log,
    pub(crate) members: Members,
    /// What [`Node::find_familiar`] finds of the active configuration and the known peers.
    pub(crate) familiar: Familiar,
    /// The newest snapshot of the own state: what a peer gets that needs more than the log holds.
    pub(crate) snapshot: Option<SnapshotMeta>,
    /// Whether a piece of a snapshot is on its way to the staging file.
    pub(crate) staging: bool,
    /// The last entry known to be committed.
    pub(crate) commit: Index,
    /// The last entry handed out to be applied.
    pub(crate) handed_out: Index,
    /// The last entry that the state machine has applied.
    pub(crate) applied: Index,
    pub(crate) disk: Disk,
    pub(crate) effects: Effects,
    /// What is to be written with the effects, as it came.
    pub(crate) fresh: Vec<Entries>,
    /// Memory of earlier effects.
    pub(crate) spare: Spare,
    pub(crate) rng: Rng,
    /// Whose process was found gone, and when: that of the leader, unless a leader has spoken since.
    pub(crate) lost: Option<(NodeId, Instant)>,
    /// What a leader knew to be committed, and this node to hold, when it did not. It may be one of a
    /// majority for that: nobody leads without it as far as this node is asked.
    pub(crate) owed: Index,
    /// Until when it may campaign though by its own log it is no voter: see [`Node::stand_in`].
    pub(crate) needed_until: Instant,
    /// When the own disk last made this node hand over.
    pub(crate) stalled: Option<Instant>,
    /// The committed entry as of which this node is no member, by another's word, and until when that
    /// is believed.
    pub(crate) removed: Option<(LogId, Instant)>,
    /// Whether the cluster began with this disk.
    pub(crate) founder: bool,
    /// Drawn at the start: tells this node's questions from those of an earlier run.
    pub(crate) start: u64,
    /// Questions asked since the start.
    pub(crate) questions: u64,
    /// The disk failed: nothing is said or done any more.
    pub(crate) failed: bool,
}

impl Node {
    /// Makes a node from what its disk holds. Everything in `restored` must be durable: the node
    /// will promise by it.
    pub fn restore(config: Config, restored: Restored, now: Instant) -> Result<Self, RestoreError> {
        let covered = restored.snapshot.as_ref().map(|meta| meta.last);
        let gap = RestoreError::Gap { base: restored.base, snapshot: covered };
        let mut last = restored.base;
        let mut log = Log::new(restored.base);
        let founder = restored.bootstrap.contains(config.id);
        let (since, membership) = match &restored.snapshot {
            Some(meta) if mutant!("a snapshot has no members") => (meta.last, restored.bootstrap),
            Some(meta) => (meta.last, Membership::clone(&meta.membership)),
            None => (LogId::ZERO, restored.bootstrap),
        };
        let mut members = Members::new(since, membership);
        for entry in &restored.entries {
            if entry.id.index != last.index.next() || entry.id.term < last.term {
                return Err(RestoreError::Disorder { after: last, found: entry.id });
            }
            last = entry.id;
            if let Payload::Config(membership) = &entry.payload
                && since.index < entry.id.index
            {
                members.push(entry.id, Membership::clone(membership));
            }
        }
        // In stretches that can be given up one by one.
        let mut entries = restored.entries.into_iter().peekable();
        while entries.peek().is_some() {
            log.append(entries.by_ref().take(RESTORED_STRETCH).collect());
        }
        if covered.unwrap_or_default().index < restored.base.index
            || covered.is_some_and(|covered| !log.contains(covered))
        {
            return Err(gap);
        }
        if restored.hard_state.term < last.term {
            return Err(RestoreError::TermBehind { term: restored.hard_state.term, last });
        }
        let mut node = Self {
            start: Rng::new(config.seed.rotate_left(32)).up_to(u64::MAX),
            rng: Rng::new(config.seed),
            config,
            now,
            hard: restored.hard_state,
            role: Role::Follower(Follower::new(None, Instant(0), now)),
            log,
            members,
            familiar: Familiar::default(),
            snapshot: restored.snapshot,
            staging: false,
            commit: since.index,
            handed_out: mutant!("what is applied is applied again", Index(0), since.index),
            applied: since.index,
            disk: Disk::new(last.index),
            effects: Effects::default(),
            fresh: Vec::new(),
            spare: Spare::default(),
            lost: None,
            owed: Index(0),
            needed_until: Instant(0),
            stalled: None,
            removed: None,
            founder,
            questions: 0,
            failed: false,
        };
        // A cluster of one has nobody to wait for.
        if !node.is_only_voter() {
            node.follow(None);
        }
        node.familiar = node.find_familiar();
        node.assert_invariants();
        Ok(node)
    }

    /// Advances the node by one input. Never fails and never blocks: what must be done about the
    /// input is left in the effects, for the driver to take.
    pub fn step(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        if self.failed {
            self.refuse_all(input);
            return;
        }
        // Deadlines first: a node that was paused judges by the clock before it believes anything
        // that waited in its queues meanwhile.
        self.on_time();
        match input {
            Input::Tick => (),
            Input::Message(message) => self.on_message(message),
            Input::Propose(proposals) => self.on_propose(proposals),
            Input::Read(token) => self.on_read(token),
            Input::ChangeMembership(change) => self.on_change_membership(change),
            Input::Transfer { token, to } => self.on_transfer(token, to),
            Input::Applied { index } => self.applied = index.clamp(self.applied, self.handed_out),
            Input::PeerDown { peer } => self.on_peer_down(peer),
            Input::Persisted { seq } => self.on_persisted(seq),
            Input::PersistFailed => self.on_persist_failed(),
            Input::SnapshotBuilt(meta) => self.on_snapshot_built(meta),
            Input::SnapshotRead { to, meta, offset, data, checksum } => {
                let met = self.acquaintances();
                self.on_snapshot_read(to, SnapshotChunk { meta, offset, data, checksum, met });
            }
            Input::SnapshotStaged { meta, next_offset, complete } => {
                self.on_snapshot_staged(&meta, next_offset, complete);
            }
            Input::SnapshotFailed { last } => self.on_snapshot_failed(last),
        }
        // Nothing leaves before the effects are taken, and there it is checked in any build.
        if cfg!(debug_assertions) {
            self.assert_invariants();
            assert_eq!(self.familiar, self.find_familiar(), "by {:?}", self.hard.peers);
        }
    }

    /// Takes what is to be done since the last call. A driver may step many inputs first: they then
    /// share one write, one message to each peer and one round of heartbeats.
    pub fn take_effects(&mut self) -> Effects {
        let mut effects = Effects::default();
        self.take_effects_into(&mut effects);
        effects
    }

    /// As [`Node::take_effects`], for a driver that drains one `effects` again and again: its memory
    /// is used anew, and what is still in it is forgotten.
    pub fn take_effects_into(&mut self, effects: &mut Effects) {
        self.spare.take_from(effects);
        if !self.failed {
            self.drive_change();
            self.drive_transfer();
            self.replicate();
            self.start_read_round();
            self.ask_for_reads();
            self.hand_out_committed();
            if let Some(persist) = &mut self.effects.persist {
                persist.entries = Entries::concat(&mut self.fresh);
                self.disk.start(self.log.last().index, self.now);
            }
            self.assert_invariants();
        }
        self.effects.move_to(effects);
    }

    /// The latest moment that it was told of.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// When the node wants to be stepped again, at the latest.
    pub fn next_deadline(&self) -> Instant {
        if self.failed {
            return Instant(u64::MAX);
        }
        if self.handed_out < self.commit && self.may_hand_out() {
            return self.now; // There is more to hand out.
        }
        match &self.role {
            Role::Leader(leader) => leader.heartbeat_due,
            Role::Follower(follower) if follower.leader.is_some() => follower.deadline,
            _ if !self.may_stand() => Instant(u64::MAX),
            Role::Follower(follower) => follower.deadline.max(self.quiet_until()),
            Role::PreCandidate(campaign) | Role::Candidate(campaign, _) => campaign.deadline,
        }
    }

    fn on_time(&mut self) {
        let now = self.now;
        match &self.role {
            Role::Leader(leader) => {
                let due = leader.heartbeat_due <= now;
                if self.has_lost_quorum() {
                    self.effects.events.push(Event::QuorumLost);
                    self.become_follower(self.hard.term, None);
                } else if due {
                    self.hand_over_if_stalled();
                    self.repeat_transfer();
                    self.broadcast_heartbeat();
                }
            }
            Role::Follower(Follower { deadline, .. }) if now < *deadline => (),
            Role::PreCandidate(campaign) | Role::Candidate(campaign, _)
                if now < campaign.deadline => {}
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(..) => {
                if self.disk.is_stalled(now, self.config.election_timeout) {
                    // It could not lead before its vote is durable. Let the others try.
                    self.give_up_leader();
                    let later = self.draw_deadline();
                    self.role.postpone(later);
                } else if self.is_promotable() {
                    self.ask_whether_to_campaign();
                } else {
                    self.give_up_leader();
                }
            }
        }
    }

    /// The leader is silent, and this node may not replace it.
    fn give_up_leader(&mut self) {
        if self.leader().is_some() {
            self.refuse_pending();
            self.follow(None);
            let event = Event::LeaderChanged { leader: None, term: self.hard.term };
            self.effects.events.push(event);
        }
    }

    fn on_message(&mut self, message: Message) {
        let from = message.from;
        match self.admit(&message) {
            Ok(()) => (),
            Err(reason) => return self.drop_message(from, reason),
        }
        if let Body::PreVote(request) | Body::Vote(request) = &message.body
            && self.tell_if_removed(from, request.last)
        {
            return;
        }
        if message.term < self.hard.term
            && !(mutant!("the term of a heartbeat is not looked at")
                && matches!(message.body, Body::Heartbeat(_)))
        {
            return self.on_stale_message(&message);
        }
        if self.hard.term < message.term && !self.adopt_term(&message) {
            return;
        }
        match message.body {
            Body::PreVote(request) => self.on_pre_vote(from, message.term, &request),
            Body::PreVoteReply(reply) => self.on_pre_vote_reply(from, &reply),
            Body::Vote(request) => self.on_vote(from, &request),
            Body::VoteReply(reply) => self.on_vote_reply(from, &reply),
            Body::Append(append) => self.on_append(from, append),
            Body::AppendReply(reply) => self.on_append_reply(from, &reply),
            Body::Heartbeat(heartbeat) => self.on_heartbeat(from, &heartbeat),
            Body::HeartbeatReply(reply) => self.on_heartbeat_reply(from, &reply),
            Body::SnapshotChunk(chunk) => self.on_snapshot_chunk(from, *chunk),
            Body::SnapshotReply(reply) => self.on_snapshot_reply(from, &reply),
            Body::Stranger { known } => {
                if known != self.config.incarnation {
                    self.effects.events.push(Event::Stranger { by: from, known });
                }
            }
            Body::TimeoutNow => self.on_timeout_now(from),
            Body::ReadIndex(id) => self.on_read_index(from, id),
            Body::ReadIndexReply { id, index } => self.on_read_index_reply(from, id, index),
            Body::Removed { as_of } => self.on_removed(from, as_of),
        }
    }

    /// A message from the past. Its sender may lead a term that is over, or plead in vain, and must
    /// learn the present term, or it would never join (etcd #8501).
    fn on_stale_message(&mut self, message: &Message) {
        match &message.body {
            Body::PreVote(_) => self.refuse_pre_vote(message.from, message.term),
            Body::Vote(_) => self.refuse_vote(message.from, message.term),
            Body::Append(_) | Body::Heartbeat(_) | Body::SnapshotChunk(_) => {
                if mutant!("a deposed leader keeps others from campaigning") {
                    let deadline = self.draw_deadline();
                    self.role.postpone(deadline);
                }
                let none = Index(0);
                let reply = self.heartbeat_reply(0, none, none);
                self.promise(message.from, Body::HeartbeatReply(reply));
            }
            // Whoever answers about the next term need not have caught up with ours.
            Body::PreVoteReply(reply) => self.on_pre_vote_reply(message.from, reply),
            Body::VoteReply(reply) if mutant!("a vote of another term counts") => {
                self.on_vote_reply(message.from, reply);
            }
            Body::AppendReply(reply) if mutant!("an answer of an earlier term counts") => {
                self.on_append_reply(message.from, reply);
            }
            // What is committed stays so, in whatever term it is said.
            Body::Removed { as_of } => self.on_removed(message.from, *as_of),
            Body::VoteReply(_)
            | Body::AppendReply(_)
            | Body::HeartbeatReply(_)
            | Body::SnapshotReply(_)
            | Body::Stranger { .. }
            | Body::TimeoutNow
            | Body::ReadIndex(_)
            | Body::ReadIndexReply { .. } => (),
        }
    }

    /// What a follower says about itself.
    pub(crate) fn heartbeat_reply(
        &self,
        round: u64,
        received: Index,
        matched: Index,
    ) -> HeartbeatReply {
        let slow = self.disk.is_slow(self.now, self.config.election_timeout);
        HeartbeatReply { round, received, matched, slow, founder: self.founder }
    }

    /// A message of a later term. Answers whether to go on with it.
    fn adopt_term(&mut self, message: &Message) -> bool {
        match &message.body {
            // Asks about a term that nobody is in yet, and changes nothing (dissertation §9.6).
            Body::PreVote(_) if !mutant!("a pre-vote moves the term") => return true,
            // Whoever hears a leader does not help to depose it, unless it wants to be
            // (dissertation §4.2.3).
            Body::Vote(request)
                if !request.handed_over && self.hears_other_leader(message.from) =>
            {
                return false;
            }
            Body::AppendReply(_) | Body::HeartbeatReply(_)
                if mutant!("a leader does not mind a later term in an answer") =>
            {
                return false;
            }
            // A member that was added later may speak before its addition is known here.
            Body::PreVote(_)
            | Body::Vote(_)
            | Body::PreVoteReply(_)
            | Body::VoteReply(_)
            | Body::Append(_)
            | Body::AppendReply(_)
            | Body::Heartbeat(_)
            | Body::HeartbeatReply(_)
            | Body::SnapshotChunk(_)
            | Body::SnapshotReply(_)
            | Body::Stranger { .. }
            | Body::TimeoutNow
            | Body::ReadIndex(_)
            | Body::ReadIndexReply { .. }
            | Body::Removed { .. } => (),
        }
        // Whoever claims to be further ahead than is believed is followed as far as is believed, and no
        // further: a term without a vote harms nobody, and those who are that far apart must meet.
        let credible = Term(self.hard.term.0.saturating_add(TERMS_AHEAD_MAX));
        self.note_successor(message.from);
        self.become_follower(message.term.min(credible), None);
        if credible < message.term {
            self.drop_message(message.from, DropReason::Malformed);
        }
        message.term <= credible
    }

    /// Whether `id` belongs to none of the configurations that this node knows.
    pub(crate) fn is_stranger(&self, id: NodeId) -> bool {
        !self.members.active().is_empty() && !self.members.all().any(|known| known.contains(id))
    }

    fn on_persisted(&mut self, seq: u64) {
        self.disk.finish(seq, self.now, self.config.election_timeout);
        self.become_leader_if_elected();
        self.advance_commit();
    }

    fn on_persist_failed(&mut self) {
        self.become_follower(self.hard.term, None);
        self.failed = true;
        // Nothing that rests on the lost write may leave. Refusals tell the clients the truth.
        self.effects.send.clear();
        self.effects.persist = None;
        self.fresh.clear();
        self.effects.apply.clear();
        self.effects.reads.clear();
        self.effects.done.clear();
    }

    /// The term moves on, or the role falls back: everything that belonged to the role ends here.
    pub(crate) fn become_follower(&mut self, term: Term, leader: Option<NodeId>) {
        if self.hard.term < term {
            self.hard.term = term;
            if !mutant!("a vote is kept for the next term") {
                self.hard.vote = None;
            }
            self.persist_hard_state();
        }
        self.refuse_pending();
        // A later term alone is no reason to wait longer: only a leader's word, or a vote given, is.
        // Else a candidate that cannot win could keep the others from trying.
        let deadline = match &self.role {
            Role::Follower(Follower { deadline, .. }) => *deadline,
            Role::PreCandidate(campaign) | Role::Candidate(campaign, _) => campaign.deadline,
            Role::Leader(_) => self.draw_deadline(),
        };
        self.follow(leader);
        if let Role::Follower(follower) = &mut self.role {
            follower.deadline = deadline;
        }
        self.announce_role();
    }

    /// Waits for `leader`, or for anyone.
    pub(crate) fn follow(&mut self, leader: Option<NodeId>) {
        let deadline = self.draw_deadline();
        self.role = Role::Follower(Follower::new(leader, self.now, deadline));
    }

    pub(crate) fn announce_role(&mut self) {
        let event = Event::Became { role: self.role.name(), term: self.hard.term };
        self.effects.events.push(event);
    }

    pub(crate) fn drop_message(&mut self, from: NodeId, reason: DropReason) {
        self.effects.events.push(Event::Dropped { from, reason });
    }

    /// An election timeout from now, with fresh randomness each time (§5.2).
    pub(crate) fn draw_deadline(&mut self) -> Instant {
        let jitter = u64::try_from(self.config.election_jitter.as_micros()).unwrap_or(u64::MAX);
        let jitter = mutant!("all wait equally long", 0, jitter);
        let jitter = core::time::Duration::from_micros(self.rng.up_to(jitter));
        self.now.after(self.config.election_timeout).after(jitter)
    }

    /// Sends at once. Only for what promises nothing about the own disk.
    pub(crate) fn send(&mut self, to: NodeId, body: Body) {
        let term = self.hard.term;
        self.send_in(to, term, body);
    }

    /// As [`Node::send`], in another term than the own.
    pub(crate) fn send_in(&mut self, to: NodeId, term: Term, body: Body) {
        let message = self.message(to, term, body);
        self.effects.send.push(message);
    }

    /// Sends once everything the node knows is durable: term, vote and log. A promise that a crash
    /// could take back must not leave earlier.
    pub(crate) fn promise(&mut self, to: NodeId, body: Body) {
        let early = mutant!("a vote is told before it is durable")
            && matches!(body, Body::VoteReply(_))
            || (mutant!("an append is acknowledged before it is durable")
                || mutant!("nobody waits for the disk"))
                && matches!(body, Body::AppendReply(_))
            || mutant!("a snapshot is confirmed before it is durable")
                && matches!(body, Body::SnapshotReply(_));
        let message = self.message(to, self.hard.term, body);
        if self.effects.persist.is_none() && self.disk.is_idle() || early {
            self.effects.send.push(message);
        } else {
            self.persist().then_send.push(message);
        }
    }

    fn message(&self, to: NodeId, term: Term, body: Body) -> Message {
        let Config { cluster, id: from, incarnation, .. } = self.config;
        Message { cluster, from, incarnation, to, term, body }
    }

    /// The write that is being collected.
    pub(crate) fn persist(&mut self) -> &mut Persist {
        let seq = self.disk.next_seq();
        let then_send = &mut self.spare.messages;
        self.effects.persist.get_or_insert_with(|| {
            let then_send = core::mem::take(then_send);
            Persist { seq, then_send, ..Persist::default() }
        })
    }

    pub(crate) fn persist_hard_state(&mut self) {
        let mut hard_state = self.hard.clone();
        if mutant!("a term is written without its vote") {
            hard_state.vote = None;
        }
        self.persist().hard_state = Some(hard_state);
        self.familiar = self.find_familiar();
    }

    fn is_only_voter(&self) -> bool {
        let alone = crate::quorum::tally(self.members.active(), &self.own_voice());
        self.is_promotable() && alone == crate::quorum::Tally::Won
    }

    /// Whether a leader other than `id` has been heard lately, or is this node itself.
    pub(crate) fn hears_other_leader(&self, id: NodeId) -> bool {
        match &self.role {
            Role::Leader(_) => true,
            Role::Follower(Follower { leader: Some(leader), heard, .. }) => {
                *leader != id && self.now < heard.after(self.config.election_timeout)
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(..) => false,
        }
    }

    fn assert_invariants(&self) {
        let last = self.log.last();
        let base = self.log.base();
        assert!(last.term <= self.hard.term, "log {last} is ahead of term {}", self.hard.term);
        assert!(self.commit <= last.index, "commit {} is beyond the log {last}", self.commit);
        let (applied, handed_out, commit) = (self.applied, self.handed_out, self.commit);
        assert!(handed_out <= commit, "handed out {handed_out} > {commit}");
        assert!(applied <= handed_out, "applied {applied} > {handed_out}");
        assert!(base.index <= handed_out, "base {base} is not handed out {handed_out}");
        assert!(self.disk.durable() <= last.index, "durable {} > {last}", self.disk.durable());
        let covered = self.snapshot.as_ref().map_or(LogId::ZERO, |meta| meta.last);
        assert!(base.index <= covered.index, "nothing covers the log before {base}: {covered}");
        if let Role::Leader(leader) = &self.role {
            for (id, peer) in leader.peers.iter() {
                let (matched, next) = (peer.matched, peer.next());
                assert!(matched < next, "{id}: matched {matched}, next {next}");
                assert!(matched <= last.index, "{id}: matched {matched} beyond {last}");
            }
        }
    }
}

/// What can be asked about a node without changing it.
impl Node {
    /// Its id.
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// Its incarnation.
    pub fn incarnation(&self) -> Incarnation {
        self.config.incarnation
    }

    /// Its role.
    pub fn role(&self) -> RoleName {
        self.role.name()
    }

    /// Its term.
    pub fn term(&self) -> Term {
        self.hard.term
    }

    /// Whom it voted for in its term.
    pub fn vote(&self) -> Option<NodeId> {
        self.hard.vote
    }

    /// Who leads its term, as far as it knows.
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Leader(_) => Some(self.config.id),
            Role::Follower(follower) => follower.leader,
            Role::PreCandidate(_) | Role::Candidate(..) => None,
        }
    }

    /// The active configuration.
    pub fn membership(&self) -> &Membership {
        self.members.active()
    }

    /// The entry that the active configuration came with; zero for the one the node began with.
    pub fn membership_as_of(&self) -> LogId {
        self.members.since()
    }

    /// The configuration as of `index`, for a snapshot taken there.
    pub fn membership_at(&self, index: Index) -> &Membership {
        self.members.at(index)
    }

    /// The first entry still held.
    pub fn first_index(&self) -> Index {
        self.log.base().index.next()
    }

    /// The last entry.
    pub fn last(&self) -> LogId {
        self.log.last()
    }

    /// The identity of the entry at `index`, if it is still held or just given up.
    pub fn id_at(&self, index: Index) -> Option<LogId> {
        self.log.id_at(index)
    }

    /// The entry at `index`, if it is still held.
    pub fn entry(&self, index: Index) -> Option<&crate::types::Entry> {
        self.log.get(index)
    }

    /// The log is durable here up to this index.
    pub fn durable_index(&self) -> Index {
        self.disk.durable()
    }

    /// The last entry known to be committed.
    pub fn commit_index(&self) -> Index {
        self.commit
    }

    /// Whether it knows that it is no member any more: because it was told, or because a committed
    /// configuration says so.
    pub fn is_removed(&self) -> bool {
        let active = self.members.active();
        let left = !active.is_empty() && !active.contains(self.config.id);
        self.removed.is_some() || left && self.members.since().index <= self.commit
    }

    /// Whether its disk takes longer than an election timeout for a write, or did lately.
    pub fn is_disk_slow(&self) -> bool {
        self.disk.is_slow(self.now, self.config.election_timeout)
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Option<&SnapshotMeta> {
        self.snapshot.as_ref()
    }

    /// Bytes of entries held after `index`.
    pub fn log_bytes_after(&self, index: Index) -> u64 {
        self.log.bytes_between(index, self.log.last().index)
    }
}
