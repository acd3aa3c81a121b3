//! What a person orders from another terminal, as far as it is about processes.
//!
//! A node that was ended by order stays down until it is ordered back, unless the order says when it
//! returns; that is no crash. Faults of a schedule wait while anything ordered is in place.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::time::{sleep, timeout};

use super::{Phase, Runner, role_in};
use crate::NodeId;
use crate::control::{Answer, Asked, Blow, Order, Orders};
use crate::events::{Event, Shown, micros};
use crate::exit::Failure;
use crate::plan::{Choice, Target};
use crate::watch::View;

/// How long an order may wait until somebody leads.
const LEADER_MAX: Duration = Duration::from_secs(3);
/// How long a node may take to show that it stands still.
const STILL_MAX: Duration = Duration::from_millis(500);

/// What was ordered, and is in place.
pub(super) type Lines = Result<Vec<String>, Failure>;

impl Runner {
    /// From now on orders from other terminals are taken, once the cluster serves. If that cannot be,
    /// it is said, and the cluster runs without.
    pub(crate) fn take_orders(&mut self) {
        match Orders::listen(self.cluster.home()) {
            Ok(orders) => self.orders = Some(orders),
            Err(error) => {
                let text = format!("takes no orders from other terminals: {error}");
                self.journal.record(&Event::Note { text });
            }
        }
    }

    /// Does what was asked, and answers.
    pub(super) async fn serve(&mut self, asked: Asked) {
        let answer = match &asked.order {
            Ok(order) => {
                let what = order.to_string();
                self.journal.record(&Event::Order { what: what.clone() });
                let answer = Answer::of(self.obey(order).await);
                if let Answer::Refused { why, .. } = &answer {
                    self.journal.record(&Event::Refused { what, why: why.clone() });
                }
                answer
            }
            Err(wrong) => Answer::Refused { why: wrong.clone(), hint: None },
        };
        if let Some(orders) = &self.orders {
            orders.answer(asked, &answer).await;
        }
    }

    async fn obey(&mut self, order: &Order) -> Lines {
        self.expect_parts(order)?;
        // The countdown of a schedule starts anew when the cluster is whole again.
        self.next = None;
        match order {
            Order::Kill { target, signal, restart_after } => {
                self.end_by(target, *signal, restart_after.map(|it| it.0)).await
            }
            Order::Stop { target } => self.stop_nodes(target).await,
            Order::Start { target } => self.start_nodes(target).await,
            Order::Restart { target } => self.restart_nodes(target).await,
            Order::Pause { target, lasts } => self.pause_nodes(target, lasts.map(|it| it.0)).await,
            Order::Resume { target } => self.resume_nodes(target).await,
            Order::Partition { cut, one_way, refuse, lasts } => {
                self.partition(cut, *one_way, *refuse, lasts.map(|it| it.0)).await
            }
            Order::Link { links, effect, lasts } => {
                self.trouble_links(links, effect, lasts.map(|it| it.0)).await
            }
            Order::Heal { what } => self.heal_by_order(*what).await,
            Order::PowerLoss { target, restart_after } => {
                self.cut_power(target, restart_after.map(|it| it.0)).await
            }
            Order::Disk { target, trouble, lasts } => {
                self.trouble_disks(target, trouble, lasts.map(|it| it.0)).await
            }
        }
    }

    /// Who is meant, among members for which this holds; by name, whoever it is.
    pub(super) async fn meant(
        &mut self,
        target: &Target,
        qualifies: impl Fn(&Self, NodeId) -> bool,
    ) -> Result<(View, BTreeSet<NodeId>), Failure> {
        let members = self.members();
        if let Target::Nodes(named) = target
            && let Some(stranger) = named.iter().find(|id| !members.contains(id))
        {
            let all = spaced(members.iter().copied());
            return Err(Failure::usage(format!("there is no node {stranger}; there are {all}")));
        }
        let deadline = Instant::now() + LEADER_MAX;
        let mut view = self.observe().await;
        while matches!(target, Target::Leader | Target::Follower) && view.leader().is_none() {
            if deadline < Instant::now() {
                return Err(Failure::usage("no node leads at present")
                    .hint("name the node, or wait until `chaos-ctl status` shows a leader"));
            }
            self.wait_a_little().await?;
            view = self.observe().await;
        }
        let nodes: Vec<NodeId> = match target {
            Target::Any | Target::Follower | Target::Next => {
                members.into_iter().filter(|id| qualifies(self, *id)).collect()
            }
            _ => members,
        };
        let (leader, turn) = (view.leader().map(|(id, _)| id), u64::from(self.hand.drawn));
        self.hand.drawn = self.hand.drawn.wrapping_add(1);
        let lot = rand::random();
        let chosen = target.resolve(&Choice { nodes: &nodes, leader, turn, lot });
        if chosen.is_empty() {
            return Err(Failure::usage(format!("no node is `{target}` at present")));
        }
        Ok((view, chosen))
    }

    /// Lets some time pass in which nodes come back as they do while nobody orders anything.
    async fn wait_a_little(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        self.restart_due(now).await?;
        self.end_what_is_due(now).await?;
        tokio::select! { biased;
            exit = self.cluster.next_exit() => self.on_exit(exit?),
            () = sleep(Duration::from_millis(50)) => (),
        }
        Ok(())
    }

    pub(super) fn has_process(&self, id: NodeId) -> bool {
        self.cluster.process(id).is_running()
    }

    /// Those of them that run; an error if none does.
    fn of_these_running(&self, chosen: &BTreeSet<NodeId>) -> Result<Vec<NodeId>, Failure> {
        let running: Vec<NodeId> =
            chosen.iter().copied().filter(|id| self.has_process(*id)).collect();
        if running.is_empty() {
            let (who, verb) = (spaced(chosen.iter().copied()), are(chosen.len()));
            return Err(Failure::usage(format!("{who} {verb} down already"))
                .hint("`chaos-ctl start` starts what is down"));
        }
        Ok(running)
    }

    async fn end_by(&mut self, target: &Target, signal: Blow, restart: Option<Duration>) -> Lines {
        let (view, chosen) = self.meant(target, Self::has_process).await?;
        let running = self.of_these_running(&chosen)?;
        self.end_all(&running, signal.signal(), restart, &view).await
    }

    /// Signals nodes at the same moment, and waits until they have ended.
    pub(super) async fn end_all(
        &mut self,
        running: &[NodeId],
        signal: Signal,
        restart: Option<Duration>,
        view: &View,
    ) -> Lines {
        let since = Instant::now();
        let pids: Vec<i32> = running.iter().filter_map(|id| self.cluster.pid(*id)).collect();
        for &id in running {
            self.cluster.signal(id, signal);
            if signal != Signal::SIGKILL && self.nodes[&id].paused.is_some() {
                // It hears nothing else while it stands still.
                self.cluster.signal(id, Signal::SIGCONT);
            }
        }
        let nodes = self.members().len();
        let left = self.members_running() - running.len();
        for (&id, &pid) in running.iter().zip(&pids) {
            let (node, role) = (id.0, role_in(view, id));
            self.journal.record(&match signal {
                Signal::SIGTERM => Event::Terminate { node, role, pid },
                other => {
                    Event::Kill { node, role, pid, signal: other.as_str(), running: left, nodes }
                }
            });
        }
        let mut lines = Vec::new();
        for (&id, &pid) in running.iter().zip(&pids) {
            let due = restart.and_then(|after| since.checked_add(after));
            let how = self.see_end(id, (pid, signal), since).await?;
            self.set_phase(id, Phase::Down { since, restart: due });
            self.nodes.get_mut(&id).expect("ids come from the configuration").paused = None;
            self.hand.held.insert(id);
            let cause = if signal == Signal::SIGKILL { "kill" } else { "order" };
            self.expect_election(id, since, cause);
            lines.push(format!("{id} {}   pid {pid} {signal}{how}", role_in(view, id)));
        }
        let back = restart.map_or_else(
            || "down until `chaos-ctl start`".to_owned(),
            |after| format!("starts again {} after the signal", Shown(micros(after))),
        );
        lines.push(format!("quorum {left}/{nodes}   {back}"));
        Ok(lines)
    }

    /// Waits for the end of a node that was signalled, and says how it ended.
    async fn see_end(
        &mut self,
        id: NodeId,
        (pid, signal): (i32, Signal),
        since: Instant,
    ) -> Result<String, Failure> {
        let grace = self.cluster.config().runner.stop_grace;
        let (exit, late) = match timeout(grace, self.cluster.exit_of(id)).await {
            Ok(exit) => (exit?, String::new()),
            Err(_elapsed) => {
                self.cluster.signal(id, Signal::SIGKILL);
                let late = format!(", did not end within {grace:?}, then SIGKILL");
                (self.cluster.exit_of(id).await?, late)
            }
        };
        let took = Shown(micros(since.elapsed()));
        let how = format!("{late}   ended after {took}: {}", exit.cause());
        let gentle = matches!(signal, Signal::SIGTERM | Signal::SIGKILL);
        if gentle && late.is_empty() && !exit.is_expected() {
            // It ended in another way than it was told to, and that is a crash.
            self.on_last_exit(exit);
        } else {
            let (node, cause) = (id.0, exit.cause());
            self.journal.record(&Event::Ended { node, pid, cause });
        }
        Ok(how)
    }

    async fn stop_nodes(&mut self, target: &Target) -> Lines {
        let (view, chosen) = self.meant(target, Self::has_process).await?;
        let (running, down): (Vec<NodeId>, Vec<NodeId>) =
            chosen.iter().copied().partition(|id| self.has_process(*id));
        let mut lines = Vec::new();
        for id in down {
            self.hold(id);
            lines.push(format!("{id} is down already, and stays so"));
        }
        if !running.is_empty() {
            lines.extend(self.end_all(&running, Signal::SIGTERM, None, &view).await?);
        }
        Ok(lines)
    }

    /// A node that is down stays so.
    fn hold(&mut self, id: NodeId) {
        let node = self.nodes.get_mut(&id).expect("ids come from the configuration");
        if let Phase::Down { restart, .. } = &mut node.phase {
            *restart = None;
            self.hand.held.insert(id);
        }
    }

    async fn start_nodes(&mut self, target: &Target) -> Lines {
        let (_, chosen) = self.meant(target, |own, id| !own.has_process(id)).await?;
        let mut lines = Vec::new();
        for id in chosen {
            if let Some(pid) = self.cluster.pid(id) {
                lines.push(format!("{id} runs already   pid {pid}"));
            } else {
                lines.push(self.start_now(id).await?);
            }
        }
        Ok(lines)
    }

    /// Starts a node that is down.
    pub(super) async fn start_now(&mut self, id: NodeId) -> Result<String, Failure> {
        let since = match self.nodes[&id].phase {
            Phase::Down { since, .. } => since,
            Phase::Up | Phase::Joining { .. } => Instant::now(),
        };
        let now = Instant::now();
        self.set_phase(id, Phase::Down { since, restart: Some(now) });
        self.restart_due(now).await?;
        let pid = self.cluster.pid(id).unwrap_or_default();
        Ok(format!("{id} started   pid {pid}   was down {}", Shown(micros(now - since))))
    }

    async fn restart_nodes(&mut self, target: &Target) -> Lines {
        let (view, chosen) = self.meant(target, Self::has_process).await?;
        let running = self.of_these_running(&chosen)?;
        let mut lines = self.end_all(&running, Signal::SIGTERM, None, &view).await?;
        // That they stay down is not true of these.
        lines.pop();
        for id in running {
            lines.push(self.start_now(id).await?);
        }
        Ok(lines)
    }

    async fn pause_nodes(&mut self, target: &Target, lasts: Option<Duration>) -> Lines {
        let moves = |own: &Self, id: NodeId| own.has_process(id) && own.nodes[&id].paused.is_none();
        let (view, chosen) = self.meant(target, moves).await?;
        let paused: BTreeSet<NodeId> = chosen
            .iter()
            .copied()
            .filter(|id| self.pause(*id, role_in(&view, *id)).is_some())
            .collect();
        if paused.is_empty() {
            let (who, verb) = (spaced(chosen.iter().copied()), are(chosen.len()));
            return Err(Failure::usage(format!("{who} {verb} down, or paused already")));
        }
        let deadline = Instant::now() + STILL_MAX;
        while Instant::now() < deadline && !paused.iter().all(|id| self.is_seen_paused(*id)) {
            sleep(Duration::from_millis(5)).await;
        }
        let until = match lasts {
            Some(time) => format!("for {}", Shown(micros(time))),
            None => "until `chaos-ctl resume`".to_owned(),
        };
        let line = |id: &NodeId| {
            let pid = self.cluster.pid(*id).unwrap_or_default();
            let seen = if self.is_seen_paused(*id) { "seen stopped" } else { "not seen stopped" };
            format!("{id} {}   pid {pid} SIGSTOP, {seen}   {until}", role_in(&view, *id))
        };
        let lines = paused.iter().map(line).collect();
        let ends = lasts.and_then(|time| Instant::now().checked_add(time));
        self.hand.pauses.push((ends, paused));
        Ok(lines)
    }

    async fn resume_nodes(&mut self, target: &Target) -> Lines {
        let still = |own: &Self, id: NodeId| own.nodes[&id].paused.is_some();
        let (_, chosen) = self.meant(target, still).await?;
        let paused: BTreeSet<NodeId> =
            chosen.iter().copied().filter(|id| still(self, *id)).collect();
        if paused.is_empty() && !matches!(target, Target::All) {
            let (who, verb) = (spaced(chosen.iter().copied()), are(chosen.len()));
            return Err(Failure::usage(format!("{who} {verb} not paused")));
        }
        if paused.is_empty() {
            return Ok(vec!["no node is paused".to_owned()]);
        }
        Ok(self.resume_these(&paused))
    }

    /// Lets nodes that stand still go on after a while.
    pub(super) fn resume_after(&mut self, time: Duration, paused: BTreeSet<NodeId>) {
        self.hand.pauses.push((Instant::now().checked_add(time), paused));
    }

    /// Lets these go on, whatever was said about when.
    pub(super) fn resume_these(&mut self, paused: &BTreeSet<NodeId>) -> Vec<String> {
        for (_, nodes) in &mut self.hand.pauses {
            nodes.retain(|id| !paused.contains(id));
        }
        self.hand.pauses.retain(|(_, nodes)| !nodes.is_empty());
        let mut lines = Vec::new();
        for &id in paused {
            let since = self.nodes[&id].paused;
            self.resume(id);
            if let (Some(since), Some(pid)) = (since, self.cluster.pid(id)) {
                let still = Shown(micros(since.elapsed()));
                lines.push(format!("{id}   pid {pid} SIGCONT   stood still {still}"));
            }
        }
        lines
    }
}

/// Names in a row.
pub(super) fn spaced(ids: impl IntoIterator<Item = NodeId>) -> String {
    ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>().join(" ")
}

fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}
