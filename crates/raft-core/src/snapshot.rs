//! Snapshots: shortening the log, and helping those who need what was given up (§7).

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::effects::{Apply, Compact, DropReason, Event, SnapshotCommand};
use crate::members::Members;
use crate::membership::Membership;
use crate::message::{Body, SnapshotChunk, SnapshotReply};
use crate::node::Node;
use crate::progress::{PieceKind, Progress, SentPiece};
use crate::role::{Incoming, Role};
use crate::types::{Index, LogId, NodeId, SnapshotMeta};

/// No cluster gets here by appending.
const INDEX_MAX: Index = Index(1 << 62);

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
            && self.log.contains(meta.last)
            // A newcomer may not have come to the entry that names the members. Nobody could use it.
            && !meta.membership.voters.is_empty();
        if !usable {
            return;
        }
        let trailing = meta.last.index.0.saturating_sub(self.config.trailing_entries);
        let trailing = self.log.first_within(
            Index(trailing).next(),
            meta.last.index,
            self.config.trailing_bytes_max,
        );
        let first_kept = trailing.min(self.first_pinned(meta.last.index));
        let first_kept = first_kept.max(self.log.base().index.next());
        self.members.compact(meta.last.index);
        self.forget_the_gone();
        self.log.compact(first_kept);
        self.drop_stale_transfers();
        self.snapshot = Some(meta.clone());
        self.persist().compact = Some(Compact { snapshot: meta, first_kept });
    }

    /// The last entries of the snapshots that peers are getting, once for each: their files are
    /// needed.
    pub fn snapshots_being_sent(&self) -> impl Iterator<Item = LogId> {
        self.transfers().map(|(_, meta)| meta.last)
    }

    /// Who is getting which snapshot.
    fn transfers(&self) -> impl Iterator<Item = (NodeId, &SnapshotMeta)> {
        let leader = match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(..) => None,
        };
        let peers = leader.into_iter().flat_map(|leader| leader.peers.iter());
        peers.filter_map(|(id, peer)| match &peer.progress {
            Progress::Snapshot { meta, .. } => Some((id, meta)),
            Progress::Probe { .. } | Progress::Replicate { .. } => None,
        })
    }

    /// Whether a peer has answered within an election timeout.
    fn is_alive(&self, id: NodeId) -> bool {
        let Role::Leader(leader) = &self.role else { return false };
        let patience = self.config.election_timeout;
        leader.peers.get(id).is_some_and(|peer| self.now < peer.heard.after(patience))
    }

    /// The first entry to keep for living peers, which will need it when their snapshot has arrived.
    /// What is kept for them may weigh as much as that snapshot: beyond that they are better off with
    /// a newer one, and memory stays bounded however slow they are.
    fn first_pinned(&self, upto: Index) -> Index {
        let alive = || self.transfers().filter(|(id, _)| self.is_alive(*id)).map(|(_, meta)| meta);
        let first = alive().map(|meta| meta.last.index.next()).min();
        let bound = alive().map(|meta| meta.size).fold(self.config.trailing_bytes_max, u64::max);
        first.map_or(Index(u64::MAX), |first| self.log.first_within(first, upto, bound))
    }

    /// A silent peer that comes back goes on where its transfer stopped, unless the log has moved
    /// away from that snapshot: then it would need a newer one straight after, and gets that at once.
    fn drop_stale_transfers(&mut self) {
        let base = self.log.base().index;
        let stale =
            |(id, meta): &(NodeId, &SnapshotMeta)| meta.last.index < base && !self.is_alive(*id);
        let stale: Vec<NodeId> = self.transfers().filter(stale).map(|(id, _)| id).collect();
        let Role::Leader(leader) = &mut self.role else { return };
        for (id, peer) in leader.peers.iter_mut() {
            if stale.contains(&id) {
                peer.probe(peer.matched.next());
            }
        }
    }

    /// The peer needs entries that are no longer held: it gets the newest snapshot, from where it
    /// stands. It may have a part of it, from before this node or it was started again.
    pub(crate) fn start_snapshot(&mut self, to: NodeId) {
        let Some(meta) = self.snapshot.clone() else { return };
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(to) else { return };
        let last = meta.last;
        peer.progress = Progress::Snapshot { meta, offset: 0, sent: None };
        self.effects.events.push(Event::SnapshotStarted { to, last });
        self.ask_how_far(to);
    }

    /// Sends a piece without bytes, which any recipient answers with the end of what it holds.
    fn ask_how_far(&mut self, to: NodeId) {
        let now = self.now;
        let Role::Leader(leader) = &mut self.role else { return };
        let round = leader.round;
        if let Some(peer) = leader.peers.get_mut(to)
            && let Progress::Snapshot { meta, offset, sent } = &mut peer.progress
        {
            *sent = Some(SentPiece { kind: PieceKind::Question, at: now, round });
            let (meta, offset) = (meta.clone(), *offset);
            let met = self.acquaintances();
            let nothing = SnapshotChunk { meta, offset, data: Bytes::new(), checksum: 0, met };
            self.send(to, Body::SnapshotChunk(Box::new(nothing)));
        }
    }

    /// A piece was read: off it goes.
    pub(crate) fn on_snapshot_read(&mut self, to: NodeId, chunk: SnapshotChunk) {
        let now = self.now;
        let Role::Leader(leader) = &mut self.role else { return };
        let round = leader.round;
        if let Some(peer) = leader.peers.get_mut(to)
            && let Progress::Snapshot { meta, offset, sent: sent @ None } = &mut peer.progress
            && (&*meta, *offset) == (&chunk.meta, chunk.offset)
        {
            *sent = Some(SentPiece { kind: PieceKind::Data, at: now, round });
            self.send(to, Body::SnapshotChunk(Box::new(chunk)));
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
        } else {
            self.on_snapshot_progress(from, reply.last, reply.next_offset);
        }
    }

    /// The peer says how far it is. An answer does not say to which message: one that has been
    /// overtaken must not make bytes travel twice.
    fn on_snapshot_progress(&mut self, from: NodeId, last: LogId, next_offset: u64) {
        let len = self.config.snapshot_chunk_bytes;
        let Role::Leader(leader) = &mut self.role else { return };
        let Some(peer) = leader.peers.get_mut(from) else { return };
        let Progress::Snapshot { meta, offset, sent } = &mut peer.progress else { return };
        let Some(kind) = sent.as_ref().map(|sent| sent.kind) else { return };
        if meta.last != last || meta.size < next_offset {
            return;
        }
        match kind {
            // What it said before the piece arrived, or the piece arrived damaged: the question that
            // follows the next heartbeat tells.
            PieceKind::Data if next_offset == *offset => {}
            // It has lost some, or said this long ago.
            PieceKind::Data if next_offset < *offset => self.ask_how_far(from),
            PieceKind::Data | PieceKind::Question => {
                (*offset, *sent) = (next_offset, None);
                let (meta, offset) = (meta.clone(), next_offset);
                self.effects.snapshots.push(SnapshotCommand::Read { to: from, meta, offset, len });
            }
        }
    }

    fn finish_snapshot(&mut self, from: NodeId, last: LogId) {
        let Role::Leader(leader) = &mut self.role else { return };
        if let Some(peer) = leader.peers.get_mut(from)
            && let Progress::Snapshot { meta, .. } = &peer.progress
            && meta.last.index <= last.index
        {
            peer.matched = peer.matched.max(last.index);
            peer.probe(last.index.next());
            self.advance_commit();
        }
    }

    /// The peer answered heartbeat `round` and not a piece that left before it: the piece was lost,
    /// with a connection or a restart, or is still on its way to the disk. Asking costs little.
    pub(crate) fn doubt_snapshot_piece(&mut self, to: NodeId, round: u64) {
        let (now, patience) = (self.now, self.config.heartbeat);
        let Role::Leader(leader) = &self.role else { return };
        if let Some(peer) = leader.peers.get(to)
            && let Progress::Snapshot { sent: Some(sent), .. } = &peer.progress
            && sent.round < round
            && sent.at.after(patience) <= now
        {
            self.ask_how_far(to);
        }
    }

    /// The snapshot's file is gone or cannot be used: begin again with the newest.
    pub(crate) fn on_snapshot_failed(&mut self, last: LogId) {
        self.staging = false;
        match &mut self.role {
            Role::Leader(leader) => {
                for (_, peer) in leader.peers.iter_mut() {
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
        if !self.compare_notes(from, &chunk.met) || !self.hear_leader(from) {
            return;
        }
        let SnapshotChunk { meta, offset, data, checksum, met } = chunk;
        let end = u64::try_from(data.len()).ok().and_then(|len| offset.checked_add(len));
        let fits = end.is_some_and(|end| end <= meta.size);
        // No log gets so long; one that claims to would leave no indexes to go on with.
        let endless = INDEX_MAX < meta.last.index;
        let later = self.hard.term < meta.last.term;
        if !fits || endless || later || meta.membership.voters.is_empty() {
            return self.drop_message(from, DropReason::Malformed);
        }
        if meta.last.index <= self.commit && !mutant!("an older snapshot is installed") {
            return self.confirm_installed(from, meta.last);
        }
        if let Role::Follower(follower) = &mut self.role {
            // A leader moves on to newer snapshots only: a piece of an older one was overtaken, and
            // must not take the staging file from the newer one.
            let newer = |it: &Incoming| meta.last.index < it.meta.last.index;
            if follower.incoming.as_ref().is_some_and(newer) {
                return;
            }
            follower.incoming = Some(Incoming { meta: meta.clone(), met });
        }
        // One at a time, so that whoever sends many does not fill the disk's queue. The leader sends
        // the next when this one is answered; a question it repeats.
        if self.staging {
            return;
        }
        self.staging = true;
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
        self.staging = false;
        let Role::Follower(follower) = &mut self.role else { return };
        let Some(leader) = follower.leader else { return };
        if follower.incoming.as_ref().is_none_or(|incoming| incoming.meta != *meta) {
            return; // Given up meanwhile.
        }
        if complete {
            let met = follower.incoming.take().map(|incoming| incoming.met).unwrap_or_default();
            if self.commit < meta.last.index || mutant!("an older snapshot is installed") {
                // The leader has said that the logs agree there: its snapshot cannot say otherwise.
                if meta.last.index <= follower.received && !self.log.contains(meta.last) {
                    return self.drop_message(leader, DropReason::Contradiction);
                }
                self.install(meta);
                self.take_notes(&met);
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
        for stretch in &mut self.fresh {
            *stretch = stretch.after(meta.last.index);
        }
        let persist = self.persist();
        persist.truncate_from = persist.truncate_from.filter(|&from| meta.last.index < from);
        persist.install = Some(meta.clone());
        // Entries up to the old commit index agree with the snapshot's; what follows may not.
        if self.log.contains(meta.last)
            || meta.last.index <= self.log.last().index
                && mutant!("what follows a snapshot stays whatever it is")
        {
            // The log continues the snapshot: what follows it stays (§7).
            self.log.compact(meta.last.index.next());
            self.members.compact(meta.last.index);
        } else {
            self.disk.clamp(self.commit);
            self.log.reset(meta.last);
            let membership = Membership::clone(&meta.membership);
            self.members = Members::new(meta.last, membership.clone());
            self.familiar = self.find_familiar();
            self.effects.events.push(Event::MembershipChanged { membership });
            self.fresh.clear();
            self.persist().truncate_from = None;
        }
        self.snapshot = Some(meta.clone());
        self.commit = meta.last.index;
        self.handed_out = meta.last.index;
        self.note_received(meta.last.index);
        if !mutant!("a snapshot counts as installed without its data") {
            self.effects.apply.push(Apply::Install(meta.clone()));
        }
        self.effects.events.push(Event::SnapshotInstalled { last: meta.last });
    }

    /// Tells the leader that everything up to `last` is here.
    fn confirm_installed(&mut self, to: NodeId, last: LogId) {
        self.note_received(last.index);
        let reply = SnapshotReply { last, next_offset: 0, installed: true };
        self.promise(to, Body::SnapshotReply(reply));
    }
}
