//! Nodes that come and go while the cluster runs.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{Ending, Node, PATIENCE, Phase, Runner, Standing};
use crate::NodeId;
use crate::events::{Event, micros};
use crate::exit::Failure;
use crate::watch::{self, View};

impl Runner {
    /// All nodes that are looked after, whatever their standing.
    pub(super) fn known(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// The nodes that make up the cluster.
    pub fn members(&self) -> Vec<NodeId> {
        let members = self.nodes.iter().filter(|(_, node)| node.standing == Standing::Member);
        members.map(|(id, _)| *id).collect()
    }

    /// Members and newcomers that have a process.
    pub fn running(&self) -> Vec<NodeId> {
        let nodes = self.nodes.iter().filter(|(_, node)| node.standing != Standing::Former);
        let ids = nodes.map(|(id, _)| *id);
        ids.filter(|id| self.cluster.process(*id).is_running()).collect()
    }

    pub(super) fn members_running(&self) -> usize {
        let members = self.members().into_iter();
        members.filter(|id| self.cluster.process(*id).is_running()).count()
    }

    /// Whether a leader has gone and none has been seen since.
    pub fn is_leaderless(&self) -> bool {
        self.election.is_some() || self.leader.is_none()
    }

    /// Starts a node that waits to be added.
    pub async fn join(&mut self, id: NodeId) -> Result<(), Failure> {
        let place = self.cluster.add(id)?;
        self.watch.add(&place)?;
        self.nodes.insert(id, Node::new(Standing::Newcomer, Phase::Up));
        let pid = self.cluster.start(id).await?;
        self.journal.record(&Event::Join { node: id.0, pid });
        Ok(())
    }

    /// The cluster consists of these nodes now: newcomers have to catch up, and of those that were
    /// removed nothing is expected any more.
    pub fn set_members(&mut self, members: &BTreeSet<NodeId>, took: Duration) {
        let numbers = |ids: &mut dyn Iterator<Item = NodeId>| ids.map(|id| id.0).collect();
        let before = numbers(&mut self.members().into_iter());
        let after = numbers(&mut members.iter().copied());
        for (id, node) in &mut self.nodes {
            match (members.contains(id), node.standing) {
                (true, Standing::Newcomer | Standing::Former) => {
                    node.standing = Standing::Member;
                    if matches!(node.phase, Phase::Up) {
                        let (since, missed_from) = (Instant::now(), node.applied);
                        node.phase =
                            Phase::Joining { since, goal: None, missed_from, complained: false };
                    }
                }
                (false, Standing::Member) => node.standing = Standing::Former,
                _ => (),
            }
        }
        self.journal.record(&Event::Change { before, after, took_us: micros(took) });
    }

    /// Asks nodes that were removed how they are.
    pub async fn look_at_former(&self) -> View {
        let former = |id| {
            self.nodes[&id].standing == Standing::Former && self.cluster.process(id).is_running()
        };
        self.watch.look_at(former, PATIENCE).await
    }

    /// Ends a node that was removed, for good.
    pub async fn retire(&mut self, id: NodeId) -> Result<(), Failure> {
        if self.cluster.process(id).is_running() {
            self.cluster.signal(id, Signal::SIGTERM);
            let grace = self.cluster.config().runner.stop_grace;
            match tokio::time::timeout(grace, self.cluster.exit_of(id)).await {
                Ok(exit) => self.on_last_exit(exit?),
                Err(_elapsed) => {
                    let text = format!("{id} did not end within {grace:?}, and was killed");
                    self.journal.record(&Event::Note { text });
                    self.cluster.signal(id, Signal::SIGKILL);
                    self.cluster.exit_of(id).await?;
                }
            }
        }
        self.watch.remove(id);
        self.nodes.remove(&id);
        self.pace.forget(id);
        Ok(())
    }

    /// How a node serves clients, to ask it something.
    pub fn client_of(&self, id: NodeId) -> Result<watch::Api, Failure> {
        let config = self.cluster.config();
        match config.node(id) {
            Some(node) => watch::client(node),
            None => watch::client(&config.newcomer(id, None).map_err(Failure::usage)?),
        }
    }

    /// Runs the cluster until this holds, or the time is up. Tells whether it came to hold.
    pub async fn drive_until(
        &mut self,
        within: Duration,
        mut holds: impl FnMut(&Self) -> bool,
    ) -> Result<Result<bool, Ending>, Failure> {
        let deadline = Instant::now() + within;
        loop {
            if holds(self) {
                return Ok(Ok(true));
            }
            if deadline <= Instant::now() {
                return Ok(Ok(false));
            }
            match self.drive(None, sleep(Duration::from_millis(10))).await? {
                Ending::Done => (),
                ending => return Ok(Err(ending)),
            }
        }
    }
}
