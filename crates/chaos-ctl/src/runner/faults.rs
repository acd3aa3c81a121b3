//! What is done to the nodes, what they do by themselves, and how they come back.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use raft_api::pb::{Role, StatusResponse};

use super::{Election, PATIENCE, Phase, Runner, Standing};
use crate::NodeId;
use crate::events::{Event, micros, monotonic_us};
use crate::exit::Failure;
use crate::process::Exit;
use crate::procfs::Stat;
use crate::schedule::{Act, choose, down_max};
use crate::watch::{View, role_name};

/// A node that ends by itself more often than this in a minute is not started again.
const CRASHES_MAX: usize = 5;
/// A node that takes longer than this to catch up is talked about.
const RETURN_MAX: Duration = Duration::from_secs(10);

/// Why another leader is looked for, when the last one stands still.
const PAUSE: &str = "pause";

/// A node that was taken down.
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    /// Which.
    pub node: NodeId,
    /// When it was signalled, on the monotonic clock.
    pub at_us: u64,
    /// How long it took to end.
    pub took: Duration,
}

/// What a node is, in a word.
pub fn role_in(view: &View, id: NodeId) -> &'static str {
    match view.of(id).map(StatusResponse::role) {
        Some(Role::Leader) if view.leader().is_some_and(|(leader, _)| leader == id) => "leader",
        Some(Role::Leader) => "former leader",
        Some(role) => role_name(role),
        None => "silent node",
    }
}

impl Runner {
    /// Kills the node that the lot falls on, if the cluster is as whole as it was thought to be.
    pub(super) async fn strike(&mut self) -> Result<(), Failure> {
        let view = self.observe().await;
        let ids = self.cluster.ids();
        let running = self.cluster.running();
        let may_fall = ids.len() - running < down_max(ids.len());
        // A node that has a process and is silent may be as good as down.
        let whole = self.is_whole() && view.answers().count() == ids.len();
        let (Some((_, draw)), Some(schedule)) = (self.next.take(), &mut self.schedule) else {
            return Ok(());
        };
        let leader = view.leader().map(|(id, _)| id);
        let target = choose(schedule.plan().target, draw.lot, &ids, leader);
        let (true, true, Some(_), Some(target)) = (whole, may_fall, leader, target) else {
            // Something else has happened meanwhile. The fault is not lost, it comes a little later.
            self.next = Some((Instant::now() + Duration::from_millis(200), draw));
            return Ok(());
        };
        schedule.count();
        let (act, over) = (schedule.act(&draw), schedule.is_over());
        let role = role_in(&view, target);
        match act {
            Act::Kill => {
                self.kill(target, role, draw.downtime).await?;
            }
            Act::Pause => {
                self.pause(target, role);
                self.resume_after(draw.downtime, [target].into());
            }
        }
        if over {
            let text = "that was the last fault, and the cluster serves on".to_owned();
            self.journal.record(&Event::Note { text });
        }
        Ok(())
    }

    /// Kills a node and makes sure that it is dead, and of that. It is started again after the
    /// downtime. Nothing, if it was gone already.
    pub async fn kill(
        &mut self,
        id: NodeId,
        role: &'static str,
        downtime: Duration,
    ) -> Result<Option<Strike>, Failure> {
        let Some(pid) = self.cluster.pid(id) else {
            return Ok(None);
        };
        let (since, at_us) = (Instant::now(), monotonic_us());
        self.cluster.signal(id, Signal::SIGKILL);
        let nodes = self.members().len();
        let running = self.members_running();
        let running = running - usize::from(self.nodes[&id].standing == Standing::Member);
        let node = id.0;
        self.journal.record(&Event::Kill { node, role, pid, signal: "SIGKILL", running, nodes });
        let exit = self.cluster.exit_of(id).await?;
        if !exit.is_expected() {
            self.on_exit(exit);
            return Ok(None);
        }
        self.set_phase(id, Phase::Down { since, restart: Some(since + downtime) });
        self.nodes.get_mut(&id).expect("ids come from the configuration").paused = None;
        self.expect_election(id, since, "kill");
        Ok(Some(Strike { node: id, at_us, took: since.elapsed() }))
    }

    /// Kills all nodes that run, at the same moment, and makes sure that they are dead, and of that.
    pub async fn kill_all(
        &mut self,
        view: &View,
        downtime: Duration,
    ) -> Result<Vec<Strike>, Failure> {
        let running = self.running();
        // First all signals, then all funerals.
        for &id in &running {
            self.cluster.signal(id, Signal::SIGKILL);
        }
        let mut strikes = Vec::new();
        for id in running {
            strikes.extend(self.kill(id, role_in(view, id), downtime).await?);
        }
        Ok(strikes)
    }

    /// Asks a node to end, waits until it has, and starts it again at once. Nothing, if it was gone
    /// already or did not end as it should: then that is told.
    pub async fn terminate(
        &mut self,
        id: NodeId,
        role: &'static str,
    ) -> Result<Option<Strike>, Failure> {
        let Some(pid) = self.cluster.pid(id) else {
            return Ok(None);
        };
        let (since, at_us) = (Instant::now(), monotonic_us());
        self.cluster.signal(id, Signal::SIGTERM);
        self.journal.record(&Event::Terminate { node: id.0, role, pid });
        self.expect_election(id, since, "hand-over");
        let grace = self.cluster.config().runner.stop_grace;
        let Ok(exit) = tokio::time::timeout(grace, self.cluster.exit_of(id)).await else {
            let text = format!("{id} did not end within {grace:?}, and was killed");
            self.journal.record(&Event::Note { text });
            self.cluster.signal(id, Signal::SIGKILL);
            self.cluster.exit_of(id).await?;
            self.set_phase(id, Phase::Down { since, restart: Some(Instant::now()) });
            return Ok(None);
        };
        let exit = exit?;
        if !exit.is_expected() {
            self.on_exit(exit);
            return Ok(None);
        }
        self.set_phase(id, Phase::Down { since, restart: Some(Instant::now()) });
        Ok(Some(Strike { node: id, at_us, took: since.elapsed() }))
    }

    /// Stops a node with SIGSTOP, and tells what it was. Nothing, if it has no process or stands still
    /// already.
    pub fn pause(&mut self, id: NodeId, role: &'static str) -> Option<Strike> {
        let pid = self.cluster.pid(id)?;
        let node = self.nodes.get_mut(&id).expect("ids come from the configuration");
        if node.paused.is_some() {
            return None;
        }
        let (since, at_us) = (Instant::now(), monotonic_us());
        node.paused = Some(since);
        self.cluster.signal(id, Signal::SIGSTOP);
        self.journal.record(&Event::Pause { node: id.0, role, pid });
        self.expect_election(id, since, PAUSE);
        Some(Strike { node: id, at_us, took: Duration::ZERO })
    }

    /// Lets a node go on. Nothing, if it does not stand still.
    pub fn resume(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("ids come from the configuration");
        let Some(since) = node.paused.take() else { return };
        if self.cluster.process(id).is_running() {
            self.cluster.signal(id, Signal::SIGCONT);
            let paused_us = micros(since.elapsed());
            self.journal.record(&Event::Resume { node: id.0, paused_us });
        }
        self.pace.forget(id);
    }

    /// Signals some nodes with SIGKILL at the same moment. Each is to be mourned by [`Runner::kill`].
    pub fn signal_kill(&mut self, nodes: &BTreeSet<NodeId>) {
        for &id in nodes {
            if self.cluster.process(id).is_running() {
                self.cluster.signal(id, Signal::SIGKILL);
            }
        }
    }

    /// Starts nodes that are down now, and not later.
    pub fn hasten(&mut self, nodes: &BTreeSet<NodeId>) {
        let now = Instant::now();
        for id in nodes {
            if let Some(Phase::Down { restart: Some(due), .. }) =
                self.nodes.get_mut(id).map(|node| &mut node.phase)
            {
                *due = now.min(*due);
            }
        }
    }

    /// Whether a node is down and will be started again.
    pub fn is_awaited(&self, id: NodeId) -> bool {
        let now = Instant::now() + Duration::from_hours(1);
        self.nodes.get(&id).is_some_and(
            |node| matches!(node.phase, Phase::Down { restart: Some(due), .. } if due < now),
        )
    }

    /// Members that are down or stand still.
    pub fn absent(&self) -> Vec<NodeId> {
        let absent = self.nodes.iter().filter(|(_, node)| {
            node.standing == Standing::Member
                && (matches!(node.phase, Phase::Down { .. }) || node.paused.is_some())
        });
        absent.map(|(id, _)| *id).collect()
    }

    /// What a node had applied when it was last asked.
    pub fn applied(&self, id: NodeId) -> u64 {
        self.nodes.get(&id).map_or(0, |node| node.applied)
    }

    /// This node has to show anew that it keeps up.
    pub fn doubt(&mut self, id: NodeId) {
        self.pace.forget(id);
    }

    /// Whether a node has a process that stands still, as the system sees it.
    pub fn is_seen_paused(&self, id: NodeId) -> bool {
        let state = self.cluster.pid(id).and_then(Stat::of).map(|stat| stat.state);
        state == Some('T')
    }

    /// If this node ends by itself, then by a fault that we made: it is started again after a while.
    /// Nothing takes it back. Returns what was said before, which is nothing once the node has ended so.
    pub fn excuse(&mut self, id: NodeId, downtime: Option<Duration>) -> Option<Duration> {
        let node = self.nodes.get_mut(&id).expect("ids come from the configuration");
        std::mem::replace(&mut node.excused, downtime)
    }

    /// A process has ended that was not to end.
    pub(super) fn on_exit(&mut self, exit: Exit) {
        let now = Instant::now();
        let node = self.nodes.get_mut(&exit.id).expect("ids come from the configuration");
        node.paused = None;
        if let Some(downtime) = node.excused.take() {
            node.phase = Phase::Down { since: now, restart: now.checked_add(downtime) };
            let (node, pid, cause) = (exit.id.0, exit.birth.pid, exit.cause());
            self.journal.record(&Event::Ended { node, pid, cause });
            self.expect_election(exit.id, now, "fault");
            return;
        }
        let node = self.nodes.get_mut(&exit.id).expect("ids come from the configuration");
        let delay = backoff(&mut node.crashes, now);
        self.gave_up |= delay.is_none();
        node.phase = Phase::Down { since: now, restart: delay.map(|delay| now + delay) };
        let (node, pid, uptime_us) = (exit.id.0, exit.birth.pid, micros(exit.uptime));
        let (cause, tail, restart_us) = (exit.cause(), exit.tail, delay.map(micros));
        self.journal.record(&Event::Crash { node, pid, cause, uptime_us, tail, restart_us });
        // The countdown starts anew when the cluster is whole again.
        self.next = None;
        self.expect_election(exit.id, now, "crash");
    }

    pub(super) fn expect_election(&mut self, gone: NodeId, since: Instant, cause: &'static str) {
        if let Some((_, term)) = self.leader.filter(|(leader, _)| *leader == gone) {
            self.election = Some(Election { since, term, cause });
        }
    }

    pub(super) fn set_phase(&mut self, id: NodeId, phase: Phase) {
        self.nodes.get_mut(&id).expect("ids come from the configuration").phase = phase;
    }

    /// Starts what was down long enough.
    pub(super) async fn restart_due(&mut self, now: Instant) -> Result<(), Failure> {
        for id in self.known() {
            let node = &self.nodes[&id];
            let Phase::Down { since, restart: Some(due) } = node.phase else {
                continue;
            };
            if now < due {
                continue;
            }
            let (node, missed_from) = (id.0, node.applied);
            self.hand.held.remove(&id);
            let pid = self.cluster.start(id).await?;
            self.journal.record(&Event::Start { node, pid, down_us: micros(since.elapsed()) });
            let since = Instant::now();
            self.set_phase(
                id,
                Phase::Joining { since, goal: None, missed_from, complained: false },
            );
        }
        Ok(())
    }

    /// Asks the nodes that run how they are, and draws the conclusions.
    pub async fn observe(&mut self) -> View {
        let running = |id| {
            self.nodes[&id].standing != Standing::Former && self.cluster.process(id).is_running()
        };
        let view = self.watch.look_at(running, PATIENCE).await;
        self.looked = view.at;
        for (id, status) in view.answers() {
            let node = self.nodes.get_mut(&id).expect("only our nodes are asked");
            node.applied = status.applied_index;
        }
        self.compare_hashes(&view);
        self.pace.note(&view);
        self.write_states(&view);
        self.follow_leader(&view);
        self.follow_returns(&view);
        view
    }

    pub(super) fn compare_hashes(&mut self, view: &View) {
        // Those who tell no hash are compared in the end.
        if self.cluster.system().foreign().is_some() {
            return;
        }
        if let Some(found) = self.hashes.note(view) {
            let ((one, hash), (other, other_hash)) = (found.one, found.other);
            self.journal.record(&Event::Diverged {
                node: one.0,
                other: other.0,
                index: found.index,
                hash: format!("{hash:016x}"),
                other_hash: format!("{other_hash:016x}"),
            });
        }
    }

    /// Notices a new leader. One that was killed may still be what others believe in, but it does
    /// not answer itself, and only a leader's own word counts here.
    fn follow_leader(&mut self, view: &View) {
        let Some((leader, claim)) = view.leader() else { return };
        let seen = (leader, claim.term);
        // One that stood still and goes on may not have been replaced.
        let back = |election: &Election| election.cause == PAUSE && election.term == seen.1;
        if self.election.as_ref().is_some_and(back) {
            self.election = None;
        }
        let known = self.leader.map_or(0, |(_, term)| term);
        if self.leader == Some(seen) && self.election.is_none() || seen.1 < known {
            return;
        }
        let election = self.election.take_if(|election| election.term < seen.1);
        let cause = election.as_ref().map(|election| election.cause);
        let after_us = election.map(|election| micros(view.at.duration_since(election.since)));
        if self.leader != Some(seen) {
            self.leader = Some(seen);
            self.journal.record(&Event::Leader { node: leader.0, term: seen.1, after_us, cause });
        }
    }

    /// Notices nodes that have caught up.
    fn follow_returns(&mut self, view: &View) {
        let commit = view.leader().map(|(_, claim)| claim.commit_index);
        for id in self.known() {
            let node = self.nodes.get_mut(&id).expect("ids come from the configuration");
            let expected = node.standing == Standing::Member;
            let Phase::Joining { since, goal, missed_from, complained } = &mut node.phase else {
                continue;
            };
            *goal = goal.or(commit);
            let applied = view.of(id).map(|status| status.applied_index);
            if let (Some(goal), Some(applied)) = (*goal, applied)
                && goal <= applied
            {
                let (took_us, entries) =
                    (micros(since.elapsed()), goal.saturating_sub(*missed_from));
                node.phase = Phase::Up;
                self.plan_next();
                let due = self.next.as_ref().map(|(due, _)| *due);
                let due = due.filter(|due| self.faults_end.is_none_or(|end| *due < end));
                let next_us = due.map(|due| micros(due.duration_since(Instant::now())));
                self.journal.record(&Event::Healthy { node: id.0, entries, took_us, next_us });
            } else if expected && !*complained && RETURN_MAX < since.elapsed() {
                *complained = true;
                let text = format!("{id} has not caught up after {RETURN_MAX:?}");
                self.journal.record(&Event::Note { text });
            }
        }
    }
}

/// How long to wait before a node that ended by itself is started again; `None` if it did so too
/// often within a minute.
fn backoff(crashes: &mut VecDeque<Instant>, now: Instant) -> Option<Duration> {
    const LEAST: Duration = Duration::from_millis(200);
    const MOST: Duration = Duration::from_secs(5);
    crashes.retain(|crash| now.duration_since(*crash) < Duration::from_mins(1));
    crashes.push_back(now);
    let doublings = u32::try_from(crashes.len() - 1).unwrap_or(u32::MAX);
    let delay = LEAST.saturating_mul(2_u32.saturating_pow(doublings)).min(MOST);
    (crashes.len() <= CRASHES_MAX).then_some(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_ends_again_and_again_is_given_up_and_a_minute_forgives() {
        let (mut crashes, start) = (VecDeque::new(), Instant::now());
        let second = Duration::from_secs(1);
        let delays: Vec<_> = (0..6).map(|n| backoff(&mut crashes, start + second * n)).collect();
        let expected = [200, 400, 800, 1600, 3200].map(|ms| Some(Duration::from_millis(ms)));
        assert_eq!(delays[..5], expected);
        assert_eq!(delays[5], None);
        assert_eq!(backoff(&mut crashes, start + second * 120), expected[0]);
    }
}
