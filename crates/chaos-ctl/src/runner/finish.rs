//! How a run ends: whole if it can be, compared, and with nothing left behind.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::time::{sleep, sleep_until};

use super::{Ending, PATIENCE, Phase, Runner};
use crate::NodeId;
use crate::events::{Event, Shown, grouped, micros};
use crate::exit::{Code, Failure};
use crate::process::Exit;
use crate::summary::Summary;
use crate::watch::{Hashes, View};

/// How long nodes may take to become whole when the faults are over.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
/// How long to look for an index at which all nodes can be compared, when nothing presses.
pub const COMPARE_MAX: Duration = Duration::from_secs(15);
const COMPARE_BRIEFLY: Duration = Duration::from_secs(1);
/// How long nodes are asked over and over before it is looked at what they said.
const BURST: Duration = Duration::from_millis(200);

/// What the end of a run brought to light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// All nodes are up and caught up, with a leader.
    Whole,
    /// They were not, in time.
    Late,
    /// It was interrupted before that was known.
    Unknown,
}

/// What came of comparing the nodes at the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Compared {
    /// Where all nodes were seen to be the same.
    pub(super) index: Option<u64>,
    /// Whether every node had applied what was committed when the comparison began.
    pub(super) caught_up: bool,
}

/// What is seen while nodes are compared.
#[derive(Debug, Default)]
struct Fresh {
    hashes: Hashes,
    /// Committed when all nodes first answered under a leader.
    floor: Option<u64>,
    applied: BTreeMap<NodeId, u64>,
}

impl Fresh {
    fn note(&mut self, view: &View, nodes: usize) {
        if self.floor.is_none() && view.leader().is_some() && view.answers().count() == nodes {
            let commits = view.answers().map(|(_, status)| status.commit_index);
            self.floor = commits.max().filter(|commit| 0 < *commit);
        }
        self.hashes.note(view);
        for (id, status) in view.answers() {
            let applied = self.applied.entry(id).or_default();
            *applied = status.applied_index.max(*applied);
        }
    }

    fn compared(&self, nodes: usize) -> Option<u64> {
        self.hashes.compared(nodes, self.floor?)
    }

    fn caught_up(&self, nodes: &[NodeId]) -> bool {
        let Some(floor) = self.floor else { return false };
        nodes.iter().all(|id| self.applied.get(id).is_some_and(|applied| floor <= *applied))
    }
}

impl Runner {
    /// Starts what is down, and waits until the cluster is whole.
    pub async fn recover(&mut self) -> Result<Recovery, Failure> {
        self.heal_before_the_end(true).await?;
        let now = Instant::now();
        for node in self.nodes.values_mut() {
            if let Phase::Down { restart: due @ Some(_), .. } = &mut node.phase {
                *due = Some(now);
            }
        }
        // What was seen while there were faults does not count.
        self.pace.restart();
        let deadline = now + RECOVERY_MAX;
        loop {
            let view = self.observe().await;
            if self.is_whole() {
                return Ok(Recovery::Whole);
            }
            if deadline < Instant::now() {
                self.tell_who_is_missing(&view);
                return Ok(Recovery::Late);
            }
            match self.drive(None, sleep(Duration::from_millis(50))).await? {
                Ending::Done => (),
                Ending::Stopped(_) | Ending::GaveUp => return Ok(Recovery::Unknown),
            }
        }
    }

    /// Names the nodes that keep the cluster from being whole.
    fn tell_who_is_missing(&mut self, view: &View) {
        let mut lines = Vec::new();
        let down = |id: &NodeId| matches!(self.nodes[id].phase, Phase::Down { .. });
        let members = self.members();
        let down = members.iter().filter(|id| down(id));
        lines.extend(down.map(|id| format!("{id} is down")));
        match view.leader() {
            Some((_, claim)) => lines.extend(view.short_of(claim.commit_index)),
            None => lines.push("no node leads".to_owned()),
        }
        for text in lines {
            self.journal.record(&Event::Note { text });
        }
    }

    /// Looks for an index that all nodes have applied and were seen at, from now on and not before
    /// what is committed now, and says in words what came of it. A difference is an event of its
    /// own.
    pub async fn compare(&mut self, patience: Duration) -> String {
        if self.cluster.system().foreign().is_some() {
            return self.compare_revisions(patience).await;
        }
        let nodes = self.members();
        let among = |id: NodeId| nodes.contains(&id);
        // With a node missing there is little hope.
        let patience = if self.is_whole() { patience } else { patience.min(COMPARE_BRIEFLY) };
        let deadline = Instant::now() + patience;
        let mut fresh = Fresh::default();
        while self.members_running() == nodes.len() && Instant::now() < deadline {
            let view = self.watch.look_at(among, PATIENCE).await;
            self.compare_hashes(&view);
            fresh.note(&view, nodes.len());
            if fresh.compared(nodes.len()).is_some() || self.journal.is_unread() {
                break;
            }
            let views = tokio::select! { biased;
                _signal = self.signals.next() => {
                    self.hurried = true;
                    break;
                }
                views = self.watch.burst_at(among, BURST, PATIENCE) => views,
            };
            for view in views {
                self.compare_hashes(&view);
                fresh.note(&view, nodes.len());
            }
        }
        let index = fresh.compared(nodes.len());
        self.compared = Compared { index, caught_up: fresh.caught_up(&nodes) };
        if 0 < self.journal.summary().diverged {
            return "hash DIFFERS".to_owned();
        }
        match index {
            Some(index) => {
                let names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
                format!("hash {} @ index {}", names.join("="), grouped(index))
            }
            None => "hash not compared".to_owned(),
        }
    }

    /// Where all nodes were seen to be the same, if they were.
    pub fn compared_at(&self) -> Option<u64> {
        self.compared.index
    }

    /// Says in words why the run shows nothing, if that is so.
    fn tell_doubt(&mut self, code: Code) {
        let text = match code {
            Code::Inconclusive => {
                "INCONCLUSIVE  the nodes were never seen at an equal index after the last fault"
            }
            Code::Degraded => "not every node was up and caught up at the end",
            _ => return,
        };
        self.journal.record(&Event::Note { text: text.to_owned() });
    }

    /// Ends all nodes: SIGTERM first, SIGKILL after the grace or at the next signal, and then looks
    /// that nothing is left. Returns how much is.
    pub async fn stop(&mut self, reason: &str) -> Result<usize, Failure> {
        let begun = Instant::now();
        self.journal.record(&Event::Stop { reason: reason.to_owned() });
        let names = self.nodes_with_process();
        self.cluster.signal_all(Signal::SIGTERM);
        // A node that was stopped could not hear the first one.
        self.cluster.signal_all(Signal::SIGCONT);
        let grace = begun + self.cluster.config().runner.stop_grace;
        let mut killed = false;
        while 0 < self.cluster.running() {
            let out_of_patience = self.hurried
                || tokio::select! { biased;
                    _signal = self.signals.next() => true,
                    exit = self.cluster.next_exit() => {
                        self.on_last_exit(exit?);
                        false
                    }
                    () = sleep_until(grace.into()), if !killed => true,
                };
            if out_of_patience && !killed {
                (killed, self.hurried) = (true, false);
                let left = self.nodes_with_process();
                let text = format!("{left} killed after {}", Shown(micros(begun.elapsed())));
                self.journal.record(&Event::Note { text });
                self.cluster.signal_all(Signal::SIGKILL);
            }
        }
        let leftovers = self.cluster.end_leftovers().await.len();
        self.cluster.home().clear_state().map_err(anyhow::Error::from)?;
        let took_us = micros(begun.elapsed());
        self.journal.record(&Event::Stopped { took_us, leftovers });
        let took = Shown(took_us);
        self.journal.say(&format!("stopping  {names}   {took}   leftovers {leftovers}"));
        Ok(leftovers)
    }

    fn nodes_with_process(&self) -> String {
        let running = self.cluster.ids().into_iter();
        let running = running.filter(|id| self.cluster.process(*id).is_running());
        running.map(|id| id.to_string()).collect::<Vec<_>>().join(" ")
    }

    /// A node that answers SIGTERM with anything but a clean end has a fault.
    pub(super) fn on_last_exit(&mut self, exit: Exit) {
        if !exit.is_expected() && !exit.status.success() {
            let (node, pid, uptime_us) = (exit.id.0, exit.birth.pid, micros(exit.uptime));
            let (cause, tail) = (exit.cause(), exit.tail);
            let restart_us = None;
            self.journal.record(&Event::Crash { node, pid, cause, uptime_us, tail, restart_us });
        }
    }

    /// What the program exits with. A run that ended by itself must have shown that the nodes are
    /// the same; one that was interrupted, that all of them were there.
    pub fn verdict(&mut self, recovery: Recovery, leftovers: usize) -> Code {
        let code = judge(self.journal.summary(), leftovers, recovery, self.compared);
        self.tell_doubt(code);
        code
    }
}

/// Damage goes before doubt.
fn judge(summary: &Summary, leftovers: usize, recovery: Recovery, compared: Compared) -> Code {
    if 0 < summary.diverged {
        Code::Unsafe
    } else if 0 < summary.crashes {
        Code::Crashed
    } else if 0 < leftovers {
        Code::Internal
    } else if recovery == Recovery::Late {
        Code::TooSlow
    } else if recovery == Recovery::Whole && compared.index.is_none() {
        Code::Inconclusive
    } else if !compared.caught_up {
        Code::Degraded
    } else {
        Code::Done
    }
}

#[cfg(test)]
mod tests {
    use raft_api::pb::{Role, StatusResponse};

    use super::*;

    /// Three nodes, the first of which leads, where they are.
    fn view(applied: [u64; 3]) -> View {
        let nodes = (1..).zip(applied).map(|(id, index)| {
            let role = if id == 1 { Role::Leader } else { Role::Follower }.into();
            let (commit_index, applied_index, state_hash) = (index, index, index * 7);
            let status = StatusResponse {
                role,
                commit_index,
                applied_index,
                state_hash,
                ..Default::default()
            };
            (NodeId(id), Ok(status))
        });
        View { at: Instant::now(), nodes: nodes.collect() }
    }

    const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

    #[test]
    fn a_comparison_counts_from_what_was_committed_when_it_began() {
        let mut fresh = Fresh::default();
        fresh.note(&view([20, 18, 19]), 3);
        assert!(!fresh.caught_up(&NODES));
        fresh.note(&view([23, 19, 20]), 3);
        fresh.note(&view([25, 20, 22]), 3);
        assert_eq!(fresh.compared(3), Some(20), "seen at different moments");
        assert!(fresh.caught_up(&NODES));
    }

    #[test]
    fn a_node_that_stays_at_0_is_neither_compared_nor_caught_up() {
        let mut fresh = Fresh::default();
        fresh.note(&view([0, 0, 0]), 3);
        for index in [1, 20, 20] {
            fresh.note(&view([index, 0, index]), 3);
        }
        assert_eq!(fresh.compared(3), None);
        assert!(!fresh.caught_up(&NODES));
    }

    #[test]
    fn well_is_only_what_was_seen_to_be_well() {
        let compared = |index, caught_up| Compared { index, caught_up };
        let judged = |recovery, compared| judge(&Summary::default(), 0, recovery, compared);
        assert_eq!(judged(Recovery::Whole, compared(Some(5), true)), Code::Done);
        assert_eq!(judged(Recovery::Whole, compared(None, true)), Code::Inconclusive);
        assert_eq!(judged(Recovery::Whole, Compared::default()), Code::Inconclusive);
        assert_eq!(judged(Recovery::Late, compared(Some(5), true)), Code::TooSlow);
        assert_eq!(judged(Recovery::Unknown, compared(None, true)), Code::Done);
        assert_eq!(judged(Recovery::Unknown, compared(None, false)), Code::Degraded);
        let diverged = Summary { diverged: 1, ..Summary::default() };
        assert_eq!(judge(&diverged, 0, Recovery::Whole, Compared::default()), Code::Unsafe);
    }
}
