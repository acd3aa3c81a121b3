//! Replication and commitment (§5.3, §5.4).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::effects::{Apply, Committed, DropReason, Event, Refusal};
use crate::entries::Entries;
use crate::input::{Input, MembershipChange, Proposal};
use crate::membership::Membership;
use crate::message::{Append, AppendReply, Body, Heartbeat, HeartbeatReply};
use crate::node::Node;
use crate::progress::{Inflight, Peer, Progress};
use crate::quorum;
use crate::role::{Reader, Role};
use crate::types::{Entry, Index, LogId, NodeId, Payload, Token};

/// The leader's side.
impl Node {
    pub(crate) fn on_propose(&mut self, proposals: Vec<Proposal>) {
        let leader_known = self.leader();
        let taken = self.room_for(&proposals);
        let (term, last) = (self.hard.term, self.log.last().index);
        let Role::Leader(leader) = &mut self.role else {
            return self.refuse_all_of(proposals, Refusal::NotLeader { leader: leader_known });
        };
        if let Some(transfer) = &leader.transfer {
            let to = transfer.to;
            return self.refuse_all_of(proposals, Refusal::Transferring { to });
        }
        let mut proposals = proposals;
        let rest = (taken < proposals.len()).then(|| proposals.split_off(taken));
        leader.tokens.reserve(taken);
        let mut id = LogId { term, index: last };
        // What comes together goes together: into the log, to the disk, to every peer.
        let entries: Entries = proposals
            .into_iter()
            .map(|Proposal { token, data }| {
                id.index = id.index.next();
                leader.tokens.push_back((id.index, token));
                Entry { id, payload: Payload::Data(data) }
            })
            .collect();
        self.append_stretch(entries);
        if let Some(rest) = rest {
            self.refuse_all_of(rest, Refusal::Overloaded);
        }
    }

    /// How many of these proposals may be appended: what is appended and not yet committed is
    /// bounded, and so is what is committed and not yet applied. One proposal always fits.
    fn room_for(&self, proposals: &[Proposal]) -> usize {
        let bound = u64::try_from(self.config.uncommitted_bytes_max).unwrap_or(u64::MAX);
        let behind = self.log.bytes_between(self.applied, self.commit);
        let behind_max = u64::try_from(self.config.apply_lag_bytes_max).unwrap_or(u64::MAX);
        if behind_max <= behind {
            return 0;
        }
        let mut waiting = self.log.bytes_between(self.commit, self.log.last().index);
        let fits = |proposal: &&Proposal| {
            let fits = waiting < bound;
            let size = Entry::size_of_data(proposal.data.len());
            waiting = waiting.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
            fits
        };
        proposals.iter().take_while(fits).count()
    }

    fn refuse_all_of(&mut self, proposals: Vec<Proposal>, refusal: Refusal) {
        for proposal in proposals {
            self.refuse(proposal.token, refusal);
        }
    }

    /// Appends an entry of the own term.
    pub(crate) fn append_own(&mut self, payload: Payload) {
        let id = LogId { term: self.hard.term, index: self.log.last().index.next() };
        self.append_stretch(core::iter::once(Entry { id, payload }).collect());
    }

    /// Sends what peers may get, as much as is allowed to be under way.
    pub(crate) fn replicate(&mut self) {
        let mut position = 0;
        while let Role::Leader(leader) = &self.role
            && let Some((id, _)) = leader.peers.nth(position)
        {
            while self.send_append(id) {}
            position = position.saturating_add(1);
        }
    }

    /// Sends the next append to a peer, if it may get one. Answers whether there is more to be sent.
    fn send_append(&mut self, to: NodeId) -> bool {
        let last = self.log.last().index;
        let Role::Leader(leader) = &self.role else { return false };
        let Some(peer) = leader.peers.get(to) else { return false };
        let (next, looking) = match &peer.progress {
            Progress::Probe { next, waiting: None } => (*next, true),
            Progress::Replicate { next, inflight } => {
                if last < *next || self.config.inflight_messages_max <= inflight.len() {
                    return false;
                }
                let bound = u64::try_from(self.config.inflight_bytes_max).unwrap_or(u64::MAX);
                let under_way = || self.log.bytes_between(peer.matched, next.prev());
                if !inflight.is_empty() && bound <= under_way() {
                    return false;
                }
                (*next, false)
            }
            Progress::Probe { .. } | Progress::Snapshot { .. } => return false,
        };
        let Some(prev) = self.log.id_at(next.prev()) else {
            self.start_snapshot(to);
            return false;
        };
        let entries =
            self.log.slice(next, self.config.append_bytes_max, self.config.append_entries_max);
        // Whoever learns of members here must know whom to believe that he is one; not least itself.
        let tell = looking || entries.iter().any(|it| matches!(it.payload, Payload::Config(_)));
        let met = if tell { self.acquaintances() } else { BTreeMap::new() };
        let sent = entries.last().map_or(prev.index, |entry| entry.id.index);
        self.note_sent(to, sent);
        self.send(to, Body::Append(Append { prev, entries, commit: self.commit, met }));
        !looking && sent < last
    }

    fn note_sent(&mut self, to: NodeId, last: Index) {
        let Role::Leader(leader) = &mut self.role else { return };
        let append = Inflight { last, round: leader.round };
        match leader.peers.get_mut(to).map(|peer| &mut peer.progress) {
            Some(Progress::Probe { waiting, .. }) => *waiting = Some(append),
            Some(Progress::Replicate { next, inflight }) => {
                *next = last.next();
                inflight.push_back(append);
            }
            Some(Progress::Snapshot { .. }) | None => (),
        }
    }

    pub(crate) fn on_append_reply(&mut self, from: NodeId, reply: &AppendReply) {
        if !self.has_forgotten(from, reply) && !self.note_heard(from) {
            return;
        }
        match *reply {
            AppendReply::Matched { index } => self.on_matched(from, index),
            AppendReply::Conflict { rejected, hint } => self.on_conflict(from, rejected, hint),
        }
    }

    /// Whether a peer lacks what it had confirmed. Nothing is committed with it any more: if it kept
    /// the leader in office, that would wait for ever. The next leader finds out how far it is. An
    /// answer that was overtaken looks the same, and is not needed for that either.
    fn has_forgotten(&self, from: NodeId, reply: &AppendReply) -> bool {
        let AppendReply::Conflict { hint, .. } = reply else { return false };
        let Role::Leader(leader) = &self.role else { return false };
        leader.peers.get(from).is_some_and(|peer| hint.index < peer.matched)
    }

    fn on_matched(&mut self, from: NodeId, index: Index) {
        let index = mutant!("a match is taken for the whole log", self.log.last().index, index);
        if self.log.last().index < index {
            return self.drop_message(from, DropReason::Malformed);
        }
        let base = self.log.base().index;
        let Role::Leader(leader) = &mut self.role else { return };
        if let Some(peer) = leader.peers.get_mut(from) {
            peer.on_matched(index, base);
        }
        self.advance_commit();
    }

    /// The peer does not have `rejected`. Both sides skip what cannot agree: the peer names its last
    /// entry of a term not later than the rejected one, and the leader goes to its own last entry of
    /// a term not later than that (§5.3, last paragraph; etcd's refinement on both sides).
    fn on_conflict(&mut self, from: NodeId, rejected: LogId, hint: LogId) {
        let agreed = self.log.last_at_most(hint.term, hint.index);
        let base = self.log.base().index;
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(from) else { return };
        let asked = match &peer.progress {
            Progress::Probe { next, .. } => next.prev() == rejected.index,
            // What is at or before the match was refused before it was accepted, and the answers
            // overtook each other.
            Progress::Replicate { next, .. } => {
                peer.matched < rejected.index
                    && rejected.index < *next
                    && !mutant!("a refusal in the pipeline is ignored")
            }
            Progress::Snapshot { .. } => false,
        };
        if !asked {
            return; // An answer to something that is settled.
        }
        if rejected.index <= peer.matched {
            // It held this durably, by its own word, under this incarnation.
            return self.drop_message(from, DropReason::Contradiction);
        }
        // Without a place in reach the next entry is one that is no longer held: a snapshot follows.
        let next = agreed.map_or(base, |id| id.index.next()).min(rejected.index);
        let stuck = next.max(base.next());
        peer.probe(mutant!("a leader never goes back behind its log's beginning", stuck, next));
    }

    /// An answer to anything of this term shows that the peer lives. Answers false if it is none of
    /// the leader's peers, or there is no leader here.
    pub(crate) fn note_heard(&mut self, from: NodeId) -> bool {
        let now = self.now;
        let Role::Leader(leader) = &mut self.role else { return false };
        let Some(peer) = leader.peers.get_mut(from) else {
            self.drop_message(from, DropReason::NotAMember);
            return false;
        };
        peer.heard = now;
        peer.down = false;
        true
    }

    /// Moves the commit index to what a quorum holds durably, but only to an entry of the own term:
    /// an earlier one may yet be overwritten (§5.4.2, Figure 8). The leader counts itself by what is
    /// durable here, even alone (etcd #14370).
    pub(crate) fn advance_commit(&mut self) {
        let Role::Leader(leader) = &self.role else { return };
        if self.commit == self.log.last().index {
            return;
        }
        // Mostly the own disk comes first, and then there is nothing to count yet. Where there are two
        // voters, it takes another.
        let by_others = leader.peers.iter().any(|(_, peer)| self.commit < peer.matched);
        if !by_others && 1 < self.members.active().voters.len() {
            return;
        }
        let own = self.disk.durable();
        let own = mutant!("a leader counts itself by memory", self.log.last().index, own);
        let own = mutant!("nobody waits for the disk", self.log.last().index, own);
        let (active, settled) = (self.members.active(), self.members.at(self.commit));
        let members = mutant!("a configuration counts when it is committed", settled, active);
        let held = quorum::reached(members, |id| {
            if id == self.config.id {
                own
            } else {
                leader.peers.get(id).map_or(Index(0), |peer| peer.matched)
            }
        });
        let own_term = self.log.term_at(held) == Some(self.hard.term)
            || mutant!("an entry of an earlier term is committed by counting");
        if self.commit < held && own_term {
            self.commit = held;
            self.release_reads();
        }
    }

    /// Says that the leader lives, and starts a round that confirms reads.
    pub(crate) fn broadcast_heartbeat(&mut self) {
        let due = self.now.after(self.config.heartbeat);
        let commit = self.commit;
        let Role::Leader(leader) = &mut self.role else { return };
        leader.round = leader.round.saturating_add(1);
        leader.heartbeat_due = due;
        let round = leader.round;
        let all = mutant!("a heartbeat commits what the peer may lack", Index(u64::MAX), Index(0));
        let told = |peer: &Peer| peer.matched.max(all).min(commit);
        let beats: Vec<(NodeId, Index)> =
            leader.peers.iter().map(|(id, peer)| (id, told(peer))).collect();
        for (to, commit) in beats {
            let met = self.acquaintances();
            self.send(to, Body::Heartbeat(Heartbeat { round, commit, met }));
        }
        self.release_reads(); // A cluster of one confirms itself.
    }

    pub(crate) fn on_heartbeat_reply(&mut self, from: NodeId, reply: &HeartbeatReply) {
        // Round 0 is none: the peer confirms nothing, see [`Node::has_forgotten`].
        if reply.round == 0 || !self.note_heard(from) {
            return;
        }
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.round < reply.round {
            return self.drop_message(from, DropReason::Malformed);
        }
        if let Some(peer) = leader.peers.get_mut(from) {
            peer.acked_round = peer.acked_round.max(reply.round);
            peer.slow = reply.slow;
            peer.on_received(reply.received, reply.round);
        }
        if reply.matched != Index(0) {
            self.on_matched(from, reply.matched);
        }
        self.doubt_snapshot_piece(from, reply.round);
        self.release_reads();
    }

    /// Whether no majority has answered for an election timeout: by now another leader may have been
    /// elected, and clients are better off asking elsewhere (CheckQuorum, dissertation §6.2).
    pub(crate) fn has_lost_quorum(&mut self) -> bool {
        let Role::Leader(leader) = &mut self.role else { return false };
        if self.now < leader.quorum_until {
            return false; // Who has been heard once is only heard later.
        }
        let heard = quorum::reached(self.members.active(), |id| {
            if id == self.config.id {
                self.now
            } else {
                leader.peers.get(id).map(|peer| peer.heard).unwrap_or_default()
            }
        });
        leader.quorum_until = heard.after(self.config.election_timeout);
        leader.quorum_until <= self.now
    }
}

/// The follower's side.
impl Node {
    pub(crate) fn on_append(&mut self, from: NodeId, append: Append) {
        if !self.compare_notes(from, &append.met) || !self.hear_leader(from) {
            return;
        }
        let Append { prev, entries, commit, met } = append;
        if !is_chain(prev, &entries, self.hard.term) {
            return self.drop_message(from, DropReason::Malformed);
        }
        let Some(fresh) = self.agree(from, prev, entries) else { return };
        let agreed = fresh.end;
        if !fresh.entries.is_empty() {
            self.append_stretch(fresh.entries);
            self.take_notes(&met);
        }
        let received = self.note_received(agreed);
        let bound = mutant!("a follower commits what may differ", self.log.last().index, received);
        self.commit = self.commit.max(commit.min(bound));
        self.promise(from, Body::AppendReply(AppendReply::Matched { index: received }));
    }

    /// Finds what of an append is new here, and cuts what contradicts it. Nothing comes back if the
    /// append does not fit.
    fn agree(&mut self, from: NodeId, prev: LogId, mut entries: Entries) -> Option<Fresh> {
        if prev == self.log.last() {
            let end = entries.last().map_or(prev.index, |entry| entry.id.index);
            return Some(Fresh { entries, end }); // Mostly.
        }
        // What is committed agrees with every leader to come (leader completeness, §5.4.3): it need
        // not be compared, and may no longer be held. But what is held must not contradict.
        if prev.index < self.commit {
            let known = entries.iter().filter(|entry| entry.id.index <= self.commit).count();
            for entry in &entries.part(0..known) {
                if self.log.term_at(entry.id.index).is_some_and(|term| term != entry.id.term) {
                    self.drop_message(from, DropReason::Contradiction);
                    return None;
                }
            }
            entries = entries.part(known..usize::MAX);
            if entries.is_empty() {
                let end = Index(prev.index.0.saturating_add(u64::try_from(known).unwrap_or(0)));
                return Some(Fresh { entries, end });
            }
        } else if !self.has_before(prev) {
            self.refuse_append(from, prev);
            return None;
        }
        let end = entries.last().map_or(prev.index, |entry| entry.id.index);
        // Entries that are here already stay, and so does what follows them: the append may be an
        // old one. Only a real conflict cuts.
        let is_here = |entry: &&Entry| {
            self.log.contains(entry.id)
                || self.log.get(entry.id.index).is_some() && mutant!("a conflict is not cut")
        };
        let same = entries.iter().take_while(is_here).count();
        if 0 < same {
            entries = entries.part(same..usize::MAX);
        }
        if entries.is_empty()
            && end < self.log.last().index
            && mutant!("an old append cuts what follows it")
        {
            self.truncate_from(end.next());
        }
        if let Some(first) = entries.first()
            && first.id.index <= self.log.last().index
        {
            // What the leader of this term has named once is what it holds: it only appends (§5.3).
            if first.id.index <= self.commit.max(self.received()) {
                self.drop_message(from, DropReason::Contradiction);
                return None;
            }
            self.truncate_from(first.id.index);
        }
        Some(Fresh { entries, end })
    }

    /// Whether the entry before those of an append is here (§5.3).
    fn has_before(&self, prev: LogId) -> bool {
        self.log.contains(prev)
            || mutant!("the entry before is not asked for")
            || mutant!("of the entry before only the index is compared")
                && prev.index <= self.log.last().index
    }

    fn refuse_append(&mut self, to: NodeId, rejected: LogId) {
        let hint = self.log.last_at_most(rejected.term, rejected.index.prev());
        // A log that begins later than that is committed there, and the leader will find it.
        let hint = hint.unwrap_or_else(|| self.log.base());
        self.promise(to, Body::AppendReply(AppendReply::Conflict { rejected, hint }));
    }

    pub(crate) fn on_heartbeat(&mut self, from: NodeId, heartbeat: &Heartbeat) {
        if !self.compare_notes(from, &heartbeat.met) || !self.hear_leader(from) {
            return;
        }
        if self.log.last().index < heartbeat.commit {
            // The leader knows that we hold this durably; we do not. Answering, without confirming
            // anything, lets it see whether we are still who we were.
            let none = Index(0);
            let reply = self.heartbeat_reply(0, none, none);
            self.promise(from, Body::HeartbeatReply(reply));
            let forgotten = heartbeat.commit;
            let forgotten = mutant!("who has forgotten votes as before", none, forgotten);
            self.owed = self.owed.max(forgotten);
            return self.drop_message(from, DropReason::Forgotten);
        }
        // So does the leader think by now, whoever said otherwise.
        self.owed = Index(0);
        // It never exceeds what we acknowledged in this term, perhaps before a restart.
        let received = self.note_received(heartbeat.commit);
        self.commit = self.commit.max(heartbeat.commit);
        let matched = received.min(self.disk.durable());
        let reply = self.heartbeat_reply(heartbeat.round, received, matched);
        self.ask_again();
        // Sent at once: `matched` is durable already, and that we have not left the term is true
        // whether or not a crash makes us forget it.
        self.send(from, Body::HeartbeatReply(reply));
    }

    /// The leader of this term spoke. Answers false if it cannot be the leader.
    pub(crate) fn hear_leader(&mut self, from: NodeId) -> bool {
        let (now, deadline) = (self.now, self.draw_deadline());
        match &mut self.role {
            Role::Follower(follower) if follower.leader == Some(from) => {
                follower.heard = now;
                follower.deadline = deadline;
            }
            Role::Leader(_) => {
                self.drop_message(from, DropReason::Contradiction);
                return false;
            }
            Role::Follower(follower) if follower.leader.is_some() => {
                self.drop_message(from, DropReason::Contradiction);
                return false;
            }
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(..) => {
                let was_follower = matches!(self.role, Role::Follower(_));
                self.follow(Some(from));
                if !was_follower {
                    self.announce_role();
                }
                let event = Event::LeaderChanged { leader: Some(from), term: self.hard.term };
                self.effects.events.push(event);
            }
        }
        // It lives, and takes this node for a member.
        self.lost = None;
        self.removed = None;
        true
    }

    /// How far the log agrees with the leader's.
    fn received(&self) -> Index {
        match &self.role {
            Role::Follower(follower) => follower.received,
            Role::PreCandidate(_) | Role::Candidate(..) | Role::Leader(_) => Index(0),
        }
    }

    /// The log agrees with the leader's up to `index`; answers how far it is known to by now.
    pub(crate) fn note_received(&mut self, index: Index) -> Index {
        let Role::Follower(follower) = &mut self.role else { return Index(0) };
        follower.received = follower.received.max(index);
        follower.received
    }

    fn truncate_from(&mut self, index: Index) {
        self.log.truncate_from(index);
        self.disk.clamp(index.prev());
        for stretch in &mut self.fresh {
            *stretch = stretch.upto(index.prev());
        }
        let persist = self.persist();
        persist.truncate_from = Some(persist.truncate_from.map_or(index, |from| from.min(index)));
        self.effects.events.push(Event::Truncated { from: index });
        if !mutant!("a configuration is not rolled back") && self.members.truncate_from(index) {
            self.familiar = self.find_familiar();
            let membership = self.members.active().clone();
            self.effects.events.push(Event::MembershipChanged { membership });
        }
    }
}

/// What an append brings.
struct Fresh {
    /// The entries that are not here yet.
    entries: Entries,
    /// With them, the log agrees with the leader's up to here.
    end: Index,
}

/// Both sides.
impl Node {
    fn append_stretch(&mut self, entries: Entries) {
        if entries.is_empty() {
            return;
        }
        self.log.append(entries.clone());
        self.persist();
        for Entry { id, payload } in &entries {
            if let Payload::Config(membership) = payload {
                let membership = Membership::clone(membership);
                self.members.push(*id, membership.clone());
                self.familiar = self.find_familiar();
                self.effects.events.push(Event::MembershipChanged { membership });
                self.on_new_members();
            }
        }
        self.fresh.push(entries);
    }

    /// Hands out what is committed, each with the request it answers, as much as one turn may hold:
    /// applying a long backlog at once, as after a restart, would keep heartbeats waiting, and the
    /// leader would lose its quorum over it.
    pub(crate) fn hand_out_committed(&mut self) {
        if self.handed_out < self.commit && self.may_hand_out() {
            self.hand_out(self.config.apply_bytes_max);
        }
    }

    /// Whether the state machine keeps up with what it has been given.
    pub(crate) fn may_hand_out(&self) -> bool {
        let bound = u64::try_from(self.config.apply_bytes_max).unwrap_or(u64::MAX);
        self.log.bytes_between(self.applied, self.handed_out) < bound
    }

    fn hand_out(&mut self, bytes_max: usize) {
        if self.commit <= self.handed_out {
            return;
        }
        let commit = self.commit;
        let commit = mutant!("what is not committed is applied", self.log.last().index, commit);
        let upto = self.log.last_within(self.handed_out, commit, bytes_max);
        while self.handed_out < upto {
            let entries = self.log.stretch(self.handed_out, upto);
            let last = entries.last().map_or(upto, |entry| entry.id.index);
            let mut tokens = core::mem::take(&mut self.spare.tokens);
            if let Role::Leader(leader) = &mut self.role {
                let is_asked = |(index, _): &mut (Index, Token)| *index <= last;
                while let Some(asked) = leader.tokens.pop_front_if(is_asked) {
                    tokens.push(asked);
                }
            }
            self.effects.apply.push(Apply::Entries(Committed { entries, tokens }));
            self.handed_out = last;
        }
    }

    pub(crate) fn refuse(&mut self, token: Token, refusal: Refusal) {
        self.effects.refused.push((token, refusal));
    }

    /// A leadership ends: every request that waits for it gets its one outcome. What was appended
    /// may yet be committed by another leader, and nobody here will know.
    pub(crate) fn refuse_pending(&mut self) {
        // What is committed by now has its answer: hand it out before the rest is refused. It is no
        // long backlog: a leader has requests only since it leads.
        if let Role::Leader(leader) = &self.role
            && leader.tokens.front().is_some_and(|(index, _)| *index <= self.commit)
        {
            self.hand_out(usize::MAX);
        }
        self.end_transfer();
        let nobody = Refusal::NotLeader { leader: None };
        match &mut self.role {
            Role::Leader(leader) => {
                let tokens = core::mem::take(&mut leader.tokens);
                let reads = core::mem::take(&mut leader.reads);
                let change = leader.change.take().map(|change| change.token);
                let outcome =
                    mutant!("an unknown outcome is told as a refusal", nobody, Refusal::Unknown);
                for token in tokens.into_iter().map(|(_, token)| token).chain(change) {
                    self.refuse(token, outcome);
                }
                for (_, reader) in reads {
                    if let Reader::Here(token) = reader {
                        self.refuse(token, nobody);
                    }
                }
            }
            Role::Follower(follower) => {
                let asked = core::mem::take(&mut follower.asked);
                let reads = core::mem::take(&mut follower.reads);
                for token in asked.into_iter().flat_map(|asked| asked.tokens).chain(reads) {
                    self.refuse(token, nobody);
                }
            }
            Role::PreCandidate(_) | Role::Candidate(..) => (),
        }
    }

    /// The disk failed: whoever asks is told that nothing is done here.
    pub(crate) fn refuse_all(&mut self, input: Input) {
        let not_here = Refusal::NotLeader { leader: None };
        match input {
            Input::Propose(proposals) => {
                for proposal in proposals {
                    self.refuse(proposal.token, not_here);
                }
            }
            Input::Read(token)
            | Input::Transfer { token, .. }
            | Input::ChangeMembership(MembershipChange { token, .. }) => {
                self.refuse(token, not_here);
            }
            Input::Tick
            | Input::Message(_)
            | Input::Applied { .. }
            | Input::PeerDown { .. }
            | Input::Persisted { .. }
            | Input::PersistFailed
            | Input::SnapshotBuilt(_)
            | Input::SnapshotRead { .. }
            | Input::SnapshotStaged { .. }
            | Input::SnapshotFailed { .. } => (),
        }
    }
}

/// Whether the entries follow `prev` without a gap, in terms that never decrease nor exceed the
/// leader's.
fn is_chain(prev: LogId, entries: &[Entry], term: crate::types::Term) -> bool {
    let mut last = prev;
    for entry in entries {
        if entry.id.index != last.index.next() || entry.id.term < last.term {
            return false;
        }
        last = entry.id;
    }
    last.term <= term && last.index.0 < u64::MAX
}
