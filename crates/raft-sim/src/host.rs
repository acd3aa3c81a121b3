//! A machine: its disk, and the process on it while there is one. The process is what a server is:
//! a replica that takes turns, a log's writer, and a hand for snapshot files and segments, each of
//! which takes its time, and any of which a crash may interrupt.

mod note;
mod process;
mod show;
mod work;

use std::path::Path;
use std::sync::Arc;

use raft_core::{
    Event as CoreEvent, Incarnation, Index, Instant, Membership, Message, Node, NodeId, RoleName,
    Term,
};
use raft_replica::{Answer, Disk, Opened, Replica, Turn};

use crate::agenda::{Arrival, Env, Event, Life};
use crate::client::Ask;
use crate::disk::SimDisk;
use crate::invariants::{View, Violation};
use crate::machine::Machine;
use crate::rng::Rng;
use crate::scenario::{Fault, Sabotage, Scenario};
use crate::sometimes::Mark;
use process::Process;
pub use show::Shown;

/// Where a node keeps its data.
const ROOT: &str = "/";

/// A machine.
pub struct Host {
    /// The node on it.
    pub id: NodeId,
    disk: SimDisk,
    process: Option<Process>,
    life: Life,
    /// It stands still until then.
    paused_until: u64,
    /// When the next turn is planned.
    wake_at: Option<u64>,
    clock: Clock,
    /// Decides what goes wrong here.
    rng: Rng,
    /// Decides how long things take here.
    timing: Rng,
    /// How many times slower than usual the disk is.
    slowness: u64,
    /// Its disk finishes nothing until then.
    stalled_until: u64,
    following: Option<NodeId>,
    /// The end of its log when it was last cut, if the log has not come beyond it since.
    cut_from: Option<Index>,
    /// The term it led when it began to stand still for longer than an election.
    dozes_in: Option<Term>,
    /// Whom it takes for the members of the cluster as long as its disk is empty.
    bootstrap: Membership,
    /// Whether its disk was ever replaced.
    renewed: bool,
    /// Whether a bit of its disk has flipped since its last process.
    rotten: bool,
    /// Whether it is to run.
    is_on: bool,
}

/// A clock that started at some time and runs a little fast or slow.
struct Clock {
    start_us: u64,
    /// Parts per million, plus a million.
    speed: u64,
    /// The wall clock's error.
    wall_ms: u64,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With the power of its machine: what was not synced may be gone.
    Power,
    /// By itself or by a signal: what it has written is still there.
    Kill,
}

impl Host {
    /// A machine with an empty disk, not started.
    pub fn new(scenario: &Scenario, id: NodeId) -> Self {
        let mut rng = Rng::stream(scenario.seed, &format!("host {id}"));
        let drift = if scenario.has(Fault::Drift) { 200_000 } else { 0 };
        let bootstrap = scenario.bootstrap();
        let begins = bootstrap.contains(id);
        Self {
            id,
            disk: empty_disk(scenario),
            process: None,
            life: 0,
            paused_until: 0,
            wake_at: None,
            clock: Clock {
                start_us: rng.between(0, 1 << 40),
                speed: rng.between(1_000_000 - drift, 1_000_000 + drift),
                wall_ms: rng.between(0, 3_000),
            },
            rng,
            timing: Rng::stream(scenario.seed, &format!("timing {id}")),
            slowness: 1,
            stalled_until: 0,
            following: None,
            cut_from: None,
            dozes_in: None,
            bootstrap: if begins { bootstrap.clone() } else { Membership::default() },
            renewed: false,
            rotten: false,
            is_on: begins,
        }
    }

    /// Under which incarnation its process runs, if it does.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.replica().map(|replica| replica.node().incarnation())
    }

    /// Whether its process is to run.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// From now on its process is to run, or not.
    pub fn switch(&mut self, on: bool) {
        self.is_on = on;
    }

    /// Gives it an empty disk, on which it begins as a node that is no member of anything.
    pub fn wipe(&mut self, env: &mut Env) {
        if self.process.is_some() {
            self.end(env, End::Power);
        }
        env.witness.trace.note(env.now_us, format_args!("{} gets an empty disk", self.id));
        env.witness.on_wipe(self.id);
        self.disk = empty_disk(&env.scenario);
        self.bootstrap = Membership::default();
        self.renewed = true;
    }

    /// The replica, if the process lives.
    pub fn replica(&self) -> Option<&Replica<Machine>> {
        self.process.as_ref().map(|process| &process.replica)
    }

    /// Which process it is.
    pub fn life(&self) -> Life {
        self.life
    }

    /// Starts the process, unless it runs or is not to.
    pub fn start(&mut self, env: &mut Env) -> Result<(), Violation> {
        if self.process.is_some() || !self.is_on {
            return Ok(());
        }
        self.life += 1;
        if env.faulty && env.scenario.has(Fault::Fuse) && !self.rotten && self.rng.chance(250) {
            self.disk.light_fuse(self.rng.between(0, 25));
        }
        let mut options = env.scenario.options(self.id, self.rng.draw());
        options.bootstrap.clone_from(&self.bootstrap);
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let now = self.clock.local(env.now_us);
        let dir = Path::new(ROOT).join(format!("{}", self.id));
        let opened = match raft_replica::open(&disk, &dir, options, Machine::default, now) {
            Ok(opened) => opened,
            Err(error) if self.disk.has_failed() || self.disk.ran_full() => {
                let full = !self.disk.has_failed();
                let mark = if full { Mark::FullAtStart } else { Mark::CrashedInOpen };
                env.witness.sometimes.hit(mark);
                env.witness.trace.note(env.now_us, format_args!("{} opening: {error}", self.id));
                self.end_and_restart(env);
                return Ok(());
            }
            Err(error) if self.rotten => {
                env.witness.sometimes.hit(Mark::RotRefused);
                self.rotten = false;
                env.witness.trace.note(env.now_us, format_args!("{} opening: {error}", self.id));
                return Ok(());
            }
            Err(error) => {
                let what = format!("{} cannot be opened: {error}", self.id);
                return Err(Violation::named("a disk that never failed can be read")(what));
            }
        };
        self.started(env, opened)
    }

    fn started(&mut self, env: &mut Env, opened: Opened<Machine>) -> Result<(), Violation> {
        let Opened { replica, report, .. } = &opened;
        env.witness.trace.note(
            env.now_us,
            format_args!(
                "{} started: term {} log {}..{} snapshot {}{}",
                self.id,
                replica.node().term(),
                replica.node().first_index(),
                replica.node().last(),
                report.snapshot,
                if report.log.cut.is_some() { ", tail cut" } else { "" }
            ),
        );
        if report.log.cut.is_some() {
            env.witness.sometimes.hit(Mark::TailCut);
        }
        if replica.node().membership().is_joint() {
            env.witness.sometimes.hit(Mark::OpenedJoint);
        }
        if 0 < report.snapshot.0 && report.snapshot < report.last {
            env.witness.sometimes.hit(Mark::OpenedOnSnapshot);
        }
        let view = View { id: self.id, life: self.life, replica };
        env.witness.on_start(&view, report)?;
        env.witness.on_turn(&view)?;
        self.process = Some(Process::new(self.id, self.life, opened));
        (self.wake_at, self.following, self.cut_from) = (None, None, None);
        self.plan_preparation(env);
        self.plan_wake(env, env.now_us);
        Ok(())
    }

    /// Ends the process, if there is one.
    pub fn end(&mut self, env: &mut Env, how: End) {
        let ended = self.process.take();
        let receives = |process: &Process| process.snapshots.arriving().is_some();
        let broken_off = ended.as_ref().is_some_and(receives);
        env.witness.sometimes.add(Mark::SnapshotBrokenOff, u64::from(broken_off));
        let waits = |process: &Process| process.writes.iter().any(|it| it.hard_state.is_some());
        if how == End::Power && ended.as_ref().is_some_and(waits) {
            env.witness.sometimes.hit(Mark::PromiseLost);
        }
        drop(ended);
        self.disk.calm();
        (self.paused_until, self.stalled_until, self.dozes_in) = (0, 0, None);
        env.witness.pending.ended(self.id);
        env.witness.trace.note(env.now_us, format_args!("{} ends: {how:?}", self.id));
        if how == End::Kill {
            self.tell_peers(env);
        }
        match how {
            End::Kill => env.witness.sometimes.hit(Mark::Killed),
            End::Power => {
                let loss = self.disk.lose_power(&mut self.rng);
                let sometimes = &mut env.witness.sometimes;
                sometimes.hit(Mark::PowerLost);
                sometimes.add(Mark::WriteTorn, loss.torn);
                sometimes.add(Mark::UnsyncedLost, u64::from(loss.lost != 0));
            }
        }
    }

    /// The system closes the connections of a process that ends, and refuses new ones: the others see
    /// it before long, unless the network is cut. A machine without power says nothing.
    fn tell_peers(&mut self, env: &mut Env) {
        for id in env.scenario.ids() {
            let sees = self.rng.chance(env.scenario.hints_permille);
            if id != self.id && sees && !env.network.is_cut(self.id, id) {
                let delay = self.rng.between(100, 15_000);
                env.after(delay, Event::Arrive(id, Arrival::PeerDown(self.id)));
            }
        }
    }

    /// The disk failed under the process.
    fn end_and_restart(&mut self, env: &mut Env) {
        // If it was not the power that failed, the process ends by itself.
        let how = if self.disk.is_burnt() {
            self.rng.pick(&[End::Power, End::Power, End::Kill])
        } else {
            let marks = &mut env.witness.sometimes;
            marks.hit(Mark::DiskFailed);
            marks.add(Mark::SyncFailed, u64::from(self.disk.sync_has_failed()));
            End::Kill
        };
        self.end(env, how);
        let downtime = self.rng.between(1_000, 1_000_000);
        env.after(downtime, Event::Start(self.id));
    }

    /// The disk, to make trouble there.
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// Flips a bit on the disk of a stopped node, and starts it. What it does not notice is undone,
    /// for it may be noticed later. Answers whether it refuses to start.
    pub fn rot(&mut self, env: &mut Env, salt: u64) -> Result<bool, Violation> {
        let Some(flip) = self.disk.rot(&mut Rng::stream(salt, "rot")) else {
            self.start(env)?;
            return Ok(false);
        };
        env.witness.sometimes.hit(Mark::Rotted);
        self.rotten = true;
        self.start(env)?;
        self.disk.mend(&flip);
        Ok(!std::mem::take(&mut self.rotten))
    }

    /// Stands still. Answers whether it leads, and others will have another leader meanwhile.
    pub fn pause(&mut self, env: &Env, lasts_us: u64) -> bool {
        self.paused_until = env.now_us + lasts_us;
        let node = self.replica().map(Replica::node);
        let leads = node.filter(|it| it.role() == RoleName::Leader).map(Node::term);
        self.dozes_in = leads.filter(|_| env.scenario.election_us() < lasts_us);
        self.dozes_in.is_some()
    }

    /// The disk takes so many times as long as usual.
    pub fn slow_down(&mut self, times: u64) {
        self.slowness = times;
    }

    /// The disk finishes nothing for a while.
    pub fn stall(&mut self, until_us: u64) {
        self.stalled_until = until_us;
    }

    /// From now on nothing goes wrong here.
    pub fn heal(&mut self) {
        self.disk.calm();
        self.disk.limit(None);
        (self.paused_until, self.stalled_until) = (0, 0);
        self.slowness = 1;
    }

    /// Something arrives for the process. Without one it is lost.
    pub fn arrive(&mut self, env: &mut Env, arrival: Arrival) {
        let Some(process) = &mut self.process else { return };
        if let Arrival::Ask(token, Ask::Read(_)) = &arrival {
            env.witness.on_read(*token);
        }
        if let Arrival::Ask(token, _) = &arrival {
            env.witness.pending.asked(*token, self.id, self.life);
        }
        process.inbox.push_back(arrival);
        // What arrives within a moment is taken together.
        let moment = self.timing.within((0, 60));
        self.plan_wake(env, env.now_us + moment);
    }

    fn plan_wake(&mut self, env: &mut Env, at_us: u64) {
        let at_us = at_us.max(self.paused_until).max(env.now_us);
        if self.wake_at.is_none_or(|planned| at_us < planned) {
            self.wake_at = Some(at_us);
            env.at(at_us, Event::Wake(self.id, self.life));
        }
    }

    /// Takes a turn.
    pub fn wake(&mut self, env: &mut Env) -> Result<(), Violation> {
        if self.wake_at != Some(env.now_us) {
            return Ok(()); // An earlier turn took the place of this one.
        }
        self.wake_at = None;
        if env.now_us < self.paused_until {
            self.plan_wake(env, self.paused_until);
            return Ok(());
        }
        let now = self.clock.local(env.now_us);
        let wall_ms = self.clock.wall_ms + env.now_us / 1_000;
        let Some(process) = &mut self.process else { return Ok(()) };
        let late = self.dozes_in.take().is_some() && process.has_reads();
        env.witness.sometimes.add(Mark::ReadsAfterPause, u64::from(late));
        let before = process.before();
        if let Some(errand) = process.take_in(now, wall_ms) {
            env.witness.pending.asked(errand, self.id, self.life);
        }
        let checked = process.replica.checked();
        let Turn { send, persist, answers, snapshots, events } = process.replica.take();
        if let Some(divergence) = process.replica.divergence() {
            let what = format!("{}: {divergence}", self.id);
            return Err(Violation::named("replicas hold the same state")(what));
        }
        let compared = checked < process.replica.checked();
        env.witness.sometimes.add(Mark::StatesCompared, u64::from(compared));
        let view = View { id: self.id, life: self.life, replica: &process.replica };
        env.witness.on_turn(&view)?;
        let regroups = |event: &CoreEvent| matches!(event, CoreEvent::MembershipChanged { .. });
        if events.iter().any(regroups) {
            env.witness.on_membership(&view)?;
        }
        let deadline = process.replica.next_deadline();
        self.note_all(env, &before, &events)?;
        env.send(send)?;
        self.queue_work(env, persist, snapshots);
        self.send_answers(env, answers)?;
        if deadline != Instant(u64::MAX) {
            self.plan_wake(env, self.clock.global(deadline));
        }
        Ok(())
    }

    fn send_answers(&mut self, env: &mut Env, answers: Vec<Answer>) -> Result<(), Violation> {
        for answer in answers {
            env.witness.on_answer(self.id, &answer)?;
            self.note_answer(env, answer.token, &answer.outcome);
            let delay = self.timing.within(env.scenario.delay_us);
            env.after(delay, Event::Answer(answer.token, answer.outcome));
        }
        Ok(())
    }
}

impl Clock {
    fn local(&self, now_us: u64) -> Instant {
        Instant(self.start_us + now_us * self.speed / 1_000_000)
    }

    /// The first moment at which the clock shows `instant`.
    fn global(&self, instant: Instant) -> u64 {
        let elapsed = instant.0.saturating_sub(self.start_us);
        (elapsed * 1_000_000).div_ceil(self.speed)
    }
}

fn empty_disk(scenario: &Scenario) -> SimDisk {
    let disk = SimDisk::new(Path::new(ROOT));
    if scenario.sabotage == Some(Sabotage::LyingDisks) {
        disk.lie();
    }
    disk
}

/// One line for a message.
pub fn show(message: &Message) -> Shown<'_> {
    Shown(message)
}
