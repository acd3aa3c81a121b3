//! A run: a cluster that serves, faults that come to it, and an end that leaves nothing behind.
//!
//! One task owns everything. It sleeps until something is due, a process ends or a signal comes,
//! and asks the nodes how they are: often while it watches an election or a return, once a second
//! otherwise. A fault is due only when the cluster is whole: all nodes up and caught up, and a
//! leader known.

mod by_hand;
mod faults;
mod finish;
mod members;
mod orders;
mod revisions;
mod states;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use raft_api::cluster::ClusterConfig;
use tokio::time::sleep_until;

use crate::NodeId;
use crate::cluster::{Cluster, Setup};
use crate::control::{Asked, Orders};
use crate::dashboard::Feed;
use crate::events::{Event, Format, Journal, micros};
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::process::Exit;
use crate::schedule::{Draw, Schedule};
use crate::signals::Signals;
use crate::watch::{Hashes, Pace, View, Watch, role_name};

pub use faults::{Strike, role_in};
pub use finish::{COMPARE_MAX, Recovery};

/// How long a node may think about an answer while others are waited for as well.
const PATIENCE: Duration = Duration::from_millis(100);

/// A cluster under our care.
#[derive(Debug)]
pub struct Runner {
    cluster: Cluster,
    watch: Watch,
    journal: Journal,
    signals: Signals,
    nodes: BTreeMap<NodeId, Node>,
    /// The latest leader that was seen, and its term.
    leader: Option<(NodeId, u64)>,
    election: Option<Election>,
    schedule: Option<Schedule>,
    /// The next fault and when it is due. There is one only while the cluster is whole.
    next: Option<(Instant, Draw)>,
    /// When the faults end, if that is known: what is due later will not happen.
    faults_end: Option<Instant>,
    hashes: Hashes,
    pace: Pace,
    compared: finish::Compared,
    /// Where the state of all nodes goes, look by look.
    states: Option<states::States>,
    /// Who looks at the run as it goes on.
    feed: Option<Feed>,
    looked: Instant,
    gave_up: bool,
    /// A second signal came: no more waiting.
    hurried: bool,
    /// Where other terminals are listened to, if they are.
    orders: Option<Orders>,
    /// What is in place by their orders.
    hand: by_hand::Hand,
}

/// What is known of a node.
#[derive(Debug)]
struct Node {
    standing: Standing,
    phase: Phase,
    /// What it had applied when it was last asked.
    applied: u64,
    /// When it ended by itself, not longer ago than a minute.
    crashes: VecDeque<Instant>,
    /// Since when it has stood still, by SIGSTOP.
    paused: Option<Instant>,
    /// If it ends by itself now, then by a fault of ours, and it is started again so much later.
    excused: Option<Duration>,
}

impl Node {
    fn new(standing: Standing, phase: Phase) -> Self {
        let (crashes, paused, excused) = (VecDeque::new(), None, None);
        Self { standing, phase, applied: 0, crashes, paused, excused }
    }
}

/// What a node is to the cluster. Only of members it is expected that they keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Member,
    /// It runs and waits to be added.
    Newcomer,
    /// It was removed.
    Former,
}

#[derive(Debug)]
enum Phase {
    /// It serves and is up to date.
    Up,
    /// It has no process. Without a restart it stays so.
    Down { since: Instant, restart: Option<Instant> },
    /// It was started again and must reach what was committed when it came.
    Joining { since: Instant, goal: Option<u64>, missed_from: u64, complained: bool },
}

/// A leader has gone and the next one is looked for.
#[derive(Debug)]
struct Election {
    since: Instant,
    term: u64,
    /// A kill or a crash.
    cause: &'static str,
}

/// What is enough for a beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enough {
    /// All nodes serve.
    All,
    /// A majority serves when all have had their time. The others are named.
    Majority,
}

/// Why a stretch of a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// What was waited for has happened.
    Done,
    /// A signal, or a reader that has gone.
    Stopped(&'static str),
    /// A node ends again and again.
    GaveUp,
}

impl Runner {
    /// Prepares a cluster. Nothing runs yet.
    pub async fn prepare(
        config: ClusterConfig,
        setup: &Setup,
        format: Format,
    ) -> Result<Self, Failure> {
        let signals = Signals::listen().context("could not listen for signals")?;
        let watch = Watch::of(&config, &setup.system)?;
        let cluster = Cluster::prepare(config, setup).await?;
        let events = cluster.home().events();
        let journal = Journal::open(&events, format, Output::stdout()).map_err(|error| {
            Failure::usage(format!("could not open {}: {error}", events.display()))
        })?;
        let node = |id| (id, Node::new(Standing::Member, Phase::Up));
        Ok(Self {
            nodes: cluster.ids().into_iter().map(node).collect(),
            cluster,
            watch,
            journal,
            signals,
            leader: None,
            election: None,
            schedule: None,
            next: None,
            faults_end: None,
            hashes: Hashes::default(),
            pace: Pace::default(),
            compared: finish::Compared::default(),
            states: None,
            feed: None,
            looked: Instant::now(),
            gave_up: false,
            hurried: false,
            orders: None,
            hand: by_hand::Hand::default(),
        })
    }

    /// The processes.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What happened, and where to tell more.
    pub fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// The latest leader that was seen, and its term.
    pub fn leader(&self) -> Option<(NodeId, u64)> {
        self.leader
    }

    /// Starts all nodes and waits until they serve: every one answers, all agree on one leader,
    /// and all have applied what its log held when it was first seen; or with less, if that is
    /// enough. If it fails nothing is left running.
    pub async fn start(&mut self, seed: Option<u64>, enough: Enough) -> Result<Duration, Failure> {
        let config = self.cluster.config();
        let (cluster, nodes) = (config.name.clone(), config.nodes.len());
        let config = config.path.display().to_string();
        self.journal.record(&Event::Begin {
            cluster,
            config,
            nodes,
            seed,
            pid: std::process::id(),
        });
        let begun = Instant::now();
        let problems = match self.bring_up(begun, enough).await {
            Ok(problems) => problems,
            Err(failure) => {
                self.stop("it did not become ready").await?;
                return Err(failure);
            }
        };
        for text in &problems {
            self.journal.record(&Event::Note { text: text.clone() });
        }
        self.cluster.set_ready(problems)?;
        self.journal.restart_clock();
        let (leader, term) = self.leader.expect("a cluster that is ready has a leader");
        let took_us = micros(begun.elapsed());
        self.journal.record(&Event::Ready { took_us, node: leader.0, term });
        Ok(begun.elapsed())
    }

    /// Returns what is wrong with some of the nodes.
    async fn bring_up(&mut self, begun: Instant, enough: Enough) -> Result<Vec<String>, Failure> {
        let mut problems = Vec::new();
        for id in self.cluster.ids() {
            self.cluster.start(id).await?;
        }
        let deadline = begun + self.cluster.config().runner.ready_timeout;
        // The leader, its term, and the end of its log when it was first seen: its opening no-op
        // is not later than that.
        let mut opening: Option<(NodeId, u64, u64)> = None;
        loop {
            let view = self.watch.look(PATIENCE).await;
            self.expect_no_impostor(&view)?;
            if let Some((leader, claim)) = view.leader() {
                let known = opening.filter(|(id, term, _)| (*id, *term) == (leader, claim.term));
                let (_, _, end) =
                    *opening.insert(known.unwrap_or((leader, claim.term, claim.last_index)));
                if view.is_agreed() && 0 < end && view.short_of(end).is_empty() {
                    self.leader = Some((leader, claim.term));
                    self.pace.note(&view);
                    problems.extend(self.part_with_the_removed(&view));
                    return Ok(problems);
                }
                let late = deadline < Instant::now();
                if late && enough == Enough::Majority && view.serves() {
                    self.leader = Some((leader, claim.term));
                    problems.extend(self.part_with_the_removed(&view));
                    problems.extend(view.short_of(end));
                    return Ok(problems);
                }
            }
            if deadline < Instant::now() {
                return Err(self.not_ready(&view));
            }
            tokio::select! { biased;
                signal = self.signals.next() => {
                    return Err(Failure::new(Code::Interrupted, format!("{signal} before it was ready")));
                }
                exit = self.cluster.next_exit() => {
                    let exit = exit?;
                    let failure = died_early(&exit);
                    let down = |node: &&Node| matches!(node.phase, Phase::Down { .. });
                    let left = self.nodes.len() - self.nodes.values().filter(down).count() - 1;
                    if enough == Enough::All || 2 * left <= self.nodes.len() {
                        return Err(failure);
                    }
                    self.set_phase(exit.id, Phase::Down { since: Instant::now(), restart: None });
                    problems.push(failure.error.to_string());
                }
                () = tokio::time::sleep(Duration::from_millis(20)) => (),
            }
        }
    }

    /// From nodes that were removed nothing is expected any more.
    fn part_with_the_removed(&mut self, view: &View) -> Vec<String> {
        let removed = |id: &NodeId| view.is_removed(*id);
        let removed: Vec<NodeId> = self.nodes.keys().copied().filter(removed).collect();
        for id in &removed {
            self.nodes.entry(*id).and_modify(|node| node.standing = Standing::Former);
        }
        let what = "was removed from the cluster, and may be taken out of the file";
        removed.into_iter().map(|id| format!("{id} {what}")).collect()
    }

    /// Another server that answers on a node's address would make a dead node look well.
    fn expect_no_impostor(&self, view: &View) -> Result<(), Failure> {
        for (id, status) in view.answers() {
            let ours = self.cluster.pid(id).and_then(|pid| u64::try_from(pid).ok());
            let right_pid = status.pid == 0 || Some(status.pid) == ours;
            if status.node_id != id.0 || !right_pid {
                let (node, pid) = (status.node_id, status.pid);
                let what = format!("process {pid} answers as n{node} where {id} should");
                return Err(Failure::new(Code::NotReady, what).hint("end that process"));
            }
        }
        Ok(())
    }

    fn not_ready(&self, view: &View) -> Failure {
        let timeout = self.cluster.config().runner.ready_timeout;
        let mut lines = vec![format!("the cluster does not serve after {timeout:?}")];
        for (id, answer) in &view.nodes {
            lines.push(match answer {
                Ok(status) => {
                    let (role, term) = (role_name(status.role()), status.term);
                    let (leader, commit) = (status.leader_id, status.commit_index);
                    format!("  {id}  {role}, term {term}, leader n{leader}, commit {commit}")
                }
                Err(reason) => format!("  {id}  {reason}"),
            });
            let tail = self.cluster.process(*id).tail();
            let latest = tail.iter().skip(tail.len().saturating_sub(5));
            lines.extend(latest.map(|line| format!("      | {line}")));
        }
        if let Some((_, claim)) = view.leader() {
            lines.extend(view.short_of(claim.commit_index));
        }
        Failure::new(Code::NotReady, lines.join("\n"))
    }

    /// Runs the cluster, with faults from a schedule if there is one, until something that is
    /// waited for happens or the run must end.
    pub async fn drive(
        &mut self,
        schedule: Option<Schedule>,
        done: impl Future<Output = ()>,
    ) -> Result<Ending, Failure> {
        self.schedule = schedule;
        self.next = None;
        let mut done = pin!(done);
        let ending = loop {
            if self.journal.is_unread() {
                break Ending::Stopped("nobody reads the output any more");
            }
            if self.gave_up {
                break Ending::GaveUp;
            }
            self.do_what_is_due().await?;
            let wake = self.next_wake();
            tokio::select! { biased;
                signal = self.signals.next() => break Ending::Stopped(signal),
                exit = self.cluster.next_exit() => self.on_exit(exit?),
                asked = next_order(&mut self.orders) => self.serve(asked).await,
                () = &mut done => break Ending::Done,
                () = sleep_until(wake.into()) => (),
            }
        };
        self.schedule = None;
        self.next = None;
        Ok(ending)
    }

    /// Runs the cluster for so long.
    pub async fn drive_for(
        &mut self,
        lasts: Duration,
        schedule: Option<Schedule>,
    ) -> Result<Ending, Failure> {
        self.faults_end = Instant::now().checked_add(lasts);
        let ending = self.drive(schedule, tokio::time::sleep(lasts)).await;
        self.faults_end = None;
        ending
    }

    async fn do_what_is_due(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        self.restart_due(now).await?;
        self.end_what_is_due(now).await?;
        if self.look_due() <= now {
            self.observe().await;
        }
        self.plan_next();
        if self.next.as_ref().is_some_and(|(due, _)| *due <= Instant::now()) {
            self.strike().await?;
        }
        Ok(())
    }

    /// When the nodes are to be asked again.
    fn look_due(&self) -> Instant {
        let joining = self.nodes.values().any(|node| matches!(node.phase, Phase::Joining { .. }));
        let pause = match (&self.election, joining) {
            (Some(_), _) => Duration::from_millis(20),
            (None, true) => Duration::from_millis(50),
            (None, false) if self.states.is_some() || self.feed.is_some() => {
                Duration::from_millis(100)
            }
            (None, false) => Duration::from_secs(1),
        };
        self.looked + pause
    }

    fn next_wake(&self) -> Instant {
        let restarts = self.nodes.values().filter_map(|node| match node.phase {
            Phase::Down { restart, .. } => restart,
            Phase::Up | Phase::Joining { .. } => None,
        });
        let fault = self.next.as_ref().map(|(due, _)| *due);
        restarts.chain(fault).chain(self.hand.due()).fold(self.look_due(), Instant::min)
    }

    /// All nodes up and up to date, and a leader known.
    pub fn is_whole(&self) -> bool {
        let now = Instant::now();
        let mut members = self.nodes.iter().filter(|(_, node)| node.standing == Standing::Member);
        let up = members.all(|(id, node)| {
            matches!(node.phase, Phase::Up) && node.paused.is_none() && self.pace.keeps_up(*id, now)
        });
        up && self.election.is_none() && self.leader.is_some()
    }

    /// Draws the next fault, if the cluster is whole, none is drawn, and nobody has ordered another
    /// that is still in place.
    fn plan_next(&mut self) {
        if self.next.is_none()
            && self.is_whole()
            && self.hand.is_idle()
            && let Some(schedule) = &mut self.schedule
            && !schedule.is_over()
        {
            let draw = schedule.draw();
            self.next = Some((Instant::now() + draw.delay, draw));
        }
    }
}

/// The next order; for ever, if none are taken.
async fn next_order(orders: &mut Option<Orders>) -> Asked {
    match orders {
        Some(orders) => orders.next().await,
        None => std::future::pending().await,
    }
}

/// A node that ends while the others still come up.
fn died_early(exit: &Exit) -> Failure {
    let mut lines = vec![format!("{} ended before it served: {}", exit.id, exit.cause())];
    lines.extend(exit.tail.iter().map(|line| format!("  | {line}")));
    Failure::new(Code::NotReady, lines.join("\n"))
}
