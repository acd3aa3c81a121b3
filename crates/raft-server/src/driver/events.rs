//! What happened, for the log.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use raft_core::{DropReason, ElectionCause, Event, Incarnation, NodeId, RoleName, Term};

use crate::handle::View;

/// What happened how often since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) campaigns_timeout: AtomicU64,
    pub(crate) campaigns_leader_lost: AtomicU64,
    pub(crate) campaigns_transfer: AtomicU64,
    pub(crate) messages_dropped: AtomicU64,
    pub(crate) snapshot_bytes_received: AtomicU64,
}

/// Writes the log of one node: a line for every change an operator cares about, and none twice.
#[derive(Debug)]
pub(super) struct Reporter {
    me: NodeId,
    /// Peers whose complaint about this node's disk was logged.
    complained: BTreeSet<(NodeId, Incarnation)>,
    counters: Arc<Counters>,
    /// The leader, and its term, of whom it was logged that it counts on what is not here.
    forgotten: Option<(NodeId, Term)>,
    /// The leader that knows a member by another disk, and in which term.
    disputed: Option<(NodeId, Term)>,
    /// Peers that came with another data directory than the one known, and were logged.
    replaced: BTreeSet<NodeId>,
    /// How a member that lost its data directory becomes one again: this node.
    way_back: String,
}

impl Counters {
    /// Bytes of a snapshot came from a leader.
    pub(crate) fn count_received(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.snapshot_bytes_received.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Reporter {
    pub(super) fn new(me: NodeId, counters: Arc<Counters>, way_back: String) -> Self {
        let (complained, replaced) = (BTreeSet::new(), BTreeSet::new());
        Self { me, complained, counters, disputed: None, forgotten: None, replaced, way_back }
    }

    /// Logs events, and returns the view they lead to.
    pub(super) fn report(&mut self, mut view: View, events: Vec<Event>) -> View {
        let before = view;
        for event in events {
            self.on_event(&mut view, event);
        }
        self.report_view(before, view);
        view
    }

    /// One line for a change of role and leader, however many events it took.
    fn report_view(&self, before: View, view: View) {
        let View { role, term, leader, .. } = view;
        let leads = |view: View| view.role == RoleName::Leader;
        let what = match (leads(before), leads(view)) {
            (false, true) => "became the leader",
            (true, false) => "is no longer the leader",
            (true, true) | (false, false) if before.leader == leader => {
                tracing::debug!(node = %self.me, %term, role = %role_text(role), "new role or term");
                return;
            }
            (true, true) | (false, false) if leader.is_none() => "knows no leader",
            (true, true) | (false, false) => "follows a leader",
        };
        let leader = leader.map_or_else(|| "none".to_owned(), |leader| leader.to_string());
        tracing::info!(node = %self.me, %term, role = %role_text(role), %leader, "{what}");
    }

    fn on_event(&mut self, view: &mut View, event: Event) {
        let node = self.me;
        match event {
            // Whoever leads is told of next, if anybody does.
            Event::Became { role, term } => *view = View { role, term, leader: None, ..*view },
            Event::LeaderChanged { leader, term } => (view.leader, view.term) = (leader, term),
            Event::Campaigning { cause, term } => {
                let counters = &self.counters;
                let (why, counter) = match cause {
                    ElectionCause::Timeout => {
                        ("no leader has been heard from", &counters.campaigns_timeout)
                    }
                    ElectionCause::LeaderLost => {
                        ("the leader's process is gone", &counters.campaigns_leader_lost)
                    }
                    ElectionCause::Transfer => {
                        ("the leader hands over", &counters.campaigns_transfer)
                    }
                    ElectionCause::Doubt => {
                        tracing::debug!(%node, %term, "asks whether it is still removed");
                        return;
                    }
                };
                counter.fetch_add(1, Ordering::Relaxed);
                tracing::info!(%node, %term, why, "asks to be elected");
            }
            Event::LeaderLost { leader, term } => {
                tracing::warn!(
                    %node, %leader, %term,
                    "the leader's process is gone: its connection broke, and another was refused"
                );
            }
            Event::Transferring { to } => tracing::info!(%node, %to, "hands over leadership"),
            Event::TransferFailed { to, reason } => {
                tracing::warn!(%node, %to, ?reason, "gave up handing over leadership");
            }
            Event::DiskStalled => {
                tracing::warn!(%node, "the disk stalls: another node should lead");
            }
            Event::Removed { by, as_of } => {
                tracing::warn!(
                    %node, %by, %as_of,
                    "this node is no member of the cluster any more: it will not campaign, and can \
                     be stopped"
                );
            }
            Event::QuorumLost => {
                tracing::warn!(%node, "gave up leading: a majority has not been heard from");
            }
            Event::Truncated { from } => {
                tracing::info!(%node, %from, "cut log entries that the leader does not have");
            }
            Event::MembershipChanged { membership } => {
                tracing::info!(%node, members = %membership, "membership changed");
            }
            Event::Dropped { from, reason } => self.on_dropped((from, view.term), reason),
            Event::Stranger { by, known } => self.on_stranger(by, known),
            Event::SnapshotStarted { to, last } => {
                tracing::info!(%node, %to, %last, "sends a snapshot");
            }
            Event::SnapshotInstalled { last } => {
                tracing::info!(%node, %last, "installed a snapshot");
            }
            // New ones tell for themselves until they are given words here.
            event => tracing::info!(%node, "{event}"),
        }
    }

    fn on_dropped(&mut self, (from, term): (NodeId, Term), reason: DropReason) {
        let node = self.me;
        self.counters.messages_dropped.fetch_add(1, Ordering::Relaxed);
        if reason == DropReason::WrongIncarnation && self.replaced.insert(from) {
            tracing::warn!(
                %node, %from,
                "a peer comes with another data directory than the one this node knows it with: it \
                 is not listened to, for it may not know what it promised; put its old directory \
                 back, or remove it (raft-client set-config --remove {}) and add it again as a \
                 new member with an empty directory and --join",
                from.0
            );
        } else if reason == DropReason::Forgotten && self.forgotten != Some((from, term)) {
            self.forgotten = Some((from, term));
            tracing::warn!(
                %node, leader = %from, %term,
                "the leader knows that this node held entries which are not here: its data directory \
                 is an older copy of itself, or a new one, and has forgotten what it promised. It \
                 takes nothing from this leader, and does not count. Put back what it last ran on. \
                 If that is lost, stop this process, and let the node come back as another member: {}",
                self.way_back
            );
        } else if let DropReason::OtherDisk { of } = reason
            && self.disputed != Some((from, term))
        {
            self.disputed = Some((from, term));
            tracing::warn!(
                %node, leader = %from, %term, %of,
                "the leader knows {of} by another data directory than this node does, so one of the two \
                 has forgotten what {of} promised: this leader is not followed. Stop {of}, remove it \
                 (raft-client set-config --remove {}) and add it again as a new member with an empty \
                 directory and --join",
                of.0
            );
        } else {
            tracing::debug!(%node, %from, ?reason, "dropped a message");
        }
    }

    fn on_stranger(&mut self, by: NodeId, known: Incarnation) {
        if self.complained.insert((by, known)) {
            tracing::error!(
                node = %self.me, %by, %known,
                "a peer knows this node under another data directory (incarnation {known}): if this \
                 one is new or restored, it may not speak for the old one. Put the old directory \
                 back. If it is lost, stop this process, and let the node come back as another member: {}",
                self.way_back
            );
        }
    }
}

/// A role in the words of logs and status pages.
fn role_text(role: RoleName) -> &'static str {
    match role {
        RoleName::Follower => "follower",
        RoleName::PreCandidate => "pre-candidate",
        RoleName::Candidate => "candidate",
        RoleName::Leader => "leader",
    }
}
