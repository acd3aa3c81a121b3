//! Snapshots: shortening the log, and helping those who need what was given up (§7).

use crate::effects::{Apply, Compact, DropReason, Event, SnapshotCommand};
use crate::members::Members;
use crate::membership::SeatId;
use crate::message::{Body, SnapshotChunk, SnapshotReply};
use crate::node::Node;
use crate::progress::Progress;
use crate::role::Role;
use crate::types::{Index, LogId, NodeId, SnapshotMeta};

/// The side that has a snapshot.
impl Node {
    /// A snapshot of the own state is durable: the log before it may go, but for a trailing part
    /// that helps peers who are a little behind, and for what a peer will need that is getting a
    /// snapshot right now.
    pub(crate) fn on_snapshot_built(&mut self, meta: SnapshotMeta) {
        let newest = self.snapshot.as_ref().map_or(Index(0), |held| held.last.index);
        let usable = newest < meta.last.index
            && meta.last.index <= self.applied
            && meta.last.index <= self.disk.durable()
            && self.log.contains(meta.last);
        if !usable {
            return;
        }
        let trailing = meta.last.index.0.saturating_sub(self.config.trailing_entries);
        let trailing = self.log.first_within(
            Index(trailing).next(),
            meta.last.index,
            self.config.trailing_bytes_max,
        );
        let first_kept = trailing.min(self.first_needed_by_snapshots());
        let first_kept = first_kept.max(self.log.base().index.next());
        self.members.compact(meta.last.index);
        self.forget_the_gone();
        self.log.compact(first_kept);
        self.snapshot = Some(meta.clone());
        self.persist().compact = Some(Compact { snapshot: meta, first_kept });
    }

    /// Nobody who is in no configuration any more can come back under the same seat.
    fn forget_the_gone(&mut self) {
        let members = &self.members;
        let held = |seat: &SeatId| members.all().any(|it| it.seat_id(seat.node) == Some(*seat));
        let before = self.hard.peers.len();
        self.hard.peers.retain(|seat, _| held(seat));
        if self.hard.peers.len() != before {
            self.persist_hard_state();
        }
    }

    /// The first entry that a living peer will need once its snapshot has arrived.
    fn first_needed_by_snapshots(&self) -> Index {
        let Role::Leader(leader) = &self.role else { return Index(u64::MAX) };
        let alive =
            |heard: crate::types::Instant| self.now < heard.after(self.config.election_timeout);
        let needs = leader.peers.values().filter_map(|peer| match &peer.progress {
            Progress::Snapshot { meta, .. } if alive(peer.heard) => Some(meta.last.index.next()),
            Progress::Snapshot { .. } | Progress::Probe { .. } | Progress::Replicate { .. } => None,
        });
        needs.min().unwrap_or(Index(u64::MAX))
    }

    /// The peer needs entries that are no longer held: it gets the newest snapshot.
    pub(crate) fn start_snapshot(&mut self, to: NodeId) {
        let Some(meta) = self.snapshot.clone() else { return };
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        peer.progress = Progress::Snapshot { meta: meta.clone(), offset: 0, sent: None };
        self.effects.events.push(Event::SnapshotStarted { to, last: meta.last });
        self.read_piece(to, meta, 0);
    }

    fn read_piece(&mut self, to: NodeId, meta: SnapshotMeta, offset: u64) {
        let len = self.config.snapshot_chunk_bytes;
        self.effects.snapshots.push(SnapshotCommand::Read { to, meta, offset, len });
    }

    /// A piece was read: off it goes.
    pub(crate) fn on_snapshot_read(&mut self, to: NodeId, chunk: SnapshotChunk) {
        let now = self.now;
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        match &mut peer.progress {
            Progress::Snapshot { meta, offset, sent } if *meta == chunk.meta => {
                if *offset != chunk.offset || sent.is_some() {
                    return; // Read twice.
                }
                *sent = Some(now);
                self.send(to, Body::SnapshotChunk(chunk));
            }
            Progress::Snapshot { .. } | Progress::Probe { .. } | Progress::Replicate { .. } => (),
        }
    }

    pub(crate) fn on_snapshot_reply(&mut self, from: NodeId, reply: &SnapshotReply) {
        if !self.note_heard(from) {
            return;
        }
        if reply.installed {
            if self.log.last().index < reply.last.index {
                return self.drop_message(from, DropReason::Malformed);
            }
            self.finish_snapshot(from, reply.last);
            return;
        }
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(&from) else { return };
        if let Progress::Snapshot { meta, offset, sent } = &mut peer.progress
            && meta.last == reply.last
            && sent.is_some()
            && reply.next_offset <= meta.size
        {
            *offset = reply.next_offset;
            *sent = None;
            let meta = meta.clone();
            self.read_piece(from, meta, reply.next_offset);
        }
    }

    fn finish_snapshot(&mut self, from: NodeId, last: LogId) {
        let Role::Leader(leader) = &mut self.role else { return };
        if let Some(peer) = leader.peers.get_mut(&from)
            && let Progress::Snapshot { meta, .. } = &peer.progress
            && meta.last.index <= last.index
        {
            peer.matched = peer.matched.max(last.index);
            peer.probe(last.index.next());
            self.advance_commit();
        }
    }

    /// The peer lives but has not answered a piece for long: it was lost, or the peer restarted.
    pub(crate) fn resend_snapshot_piece(&mut self, to: NodeId) {
        let (now, patience) = (self.now, self.config.election_timeout);
        let Role::Leader(leader) = &mut self.role else { return };
        if let Some(peer) = leader.peers.get_mut(&to)
            && let Progress::Snapshot { meta, offset, sent } = &mut peer.progress
            && sent.is_some_and(|sent| sent.after(patience) <= now)
        {
            *sent = None;
            let (meta, offset) = (meta.clone(), *offset);
            self.read_piece(to, meta, offset);
        }
    }

    /// The snapshot's file is gone or cannot be used: begin again with the newest.
    pub(crate) fn on_snapshot_failed(&mut self, last: LogId) {
        match &mut self.role {
            Role::Leader(leader) => {
                for peer in leader.peers.values_mut() {
                    if let Progress::Snapshot { meta, .. } = &peer.progress
                        && meta.last == last
                    {
                        // The next append finds its entries gone, and starts a snapshot.
                        peer.probe(peer.matched.next());
                    }
                }
            }
            Role::Follower(follower) => follower.incoming = None,
            Role::PreCandidate(_) | Role::Candidate(..) => (),
        }
    }
}

/// The side that needs one.
impl Node {
    pub(crate) fn on_snapshot_chunk(&mut self, from: NodeId, chunk: SnapshotChunk) {
        if !self.hear_leader(from) {
            return;
        }
        let SnapshotChunk { meta, offset, data, checksum } = chunk;
        let end = u64::try_from(data.len()).ok().and_then(|len| offset.checked_add(len));
        let fits = end.is_some_and(|end| end <= meta.size);
        if !fits || self.hard.term < meta.last.term || meta.membership.voters.is_empty() {
            return self.drop_message(from, DropReason::Malformed);
        }
        if meta.last.index <= self.commit {
            return self.confirm_installed(from, meta.last);
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.incoming = Some(meta.clone());
        }
        self.effects.snapshots.push(SnapshotCommand::Stage { meta, offset, data, checksum });
    }

    /// A piece is in the staging file. If it was the last one, the snapshot takes the place of the
    /// own state.
    pub(crate) fn on_snapshot_staged(
        &mut self,
        meta: &SnapshotMeta,
        next_offset: u64,
        complete: bool,
    ) {
        let Role::Follower(follower) = &mut self.role else { return };
        let Some(leader) = follower.leader else { return };
        if follower.incoming.as_ref() != Some(meta) {
            return; // Given up meanwhile.
        }
        if complete {
            follower.incoming = None;
            if self.commit < meta.last.index {
                self.install(meta);
            }
            self.confirm_installed(leader, meta.last);
        } else {
            let reply = SnapshotReply { last: meta.last, next_offset, installed: false };
            self.send(leader, Body::SnapshotReply(reply));
        }
    }

    /// Never goes back: the caller has checked that the snapshot is ahead of the commit index.
    fn install(&mut self, meta: &SnapshotMeta) {
        // What was to be written and is covered by the snapshot need not be.
        let persist = self.persist();
        persist.entries.retain(|entry| meta.last.index < entry.id.index);
        persist.truncate_from = persist.truncate_from.filter(|&from| meta.last.index < from);
        persist.install = Some(meta.clone());
        // Entries up to the old commit index agree with the snapshot's; what follows may not.
        if self.log.contains(meta.last) {
            // The log continues the snapshot: what follows it stays (§7).
            self.log.compact(meta.last.index.next());
            self.members.compact(meta.last.index);
        } else {
            self.disk.clamp(self.commit);
            self.log.reset(meta.last);
            self.members = Members::new(meta.last, meta.membership.clone());
            let membership = meta.membership.clone();
            self.effects.events.push(Event::MembershipChanged { membership });
            let persist = self.persist();
            persist.entries.clear();
            persist.truncate_from = None;
        }
        self.snapshot = Some(meta.clone());
        self.commit = meta.last.index;
        self.handed_out = meta.last.index;
        self.note_received(meta.last.index);
        self.effects.apply.push(Apply::Install(meta.clone()));
        self.effects.events.push(Event::SnapshotInstalled { last: meta.last });
    }

    /// Tells the leader that everything up to `last` is here.
    fn confirm_installed(&mut self, to: NodeId, last: LogId) {
        self.note_received(last.index);
        let reply = SnapshotReply { last, next_offset: 0, installed: true };
        self.promise(to, Body::SnapshotReply(reply));
    }
}
