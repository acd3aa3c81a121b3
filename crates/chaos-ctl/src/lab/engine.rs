//! Does what a plan says, when it says so, and looks after what is under way meanwhile.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::campaigns::Campaigns;
use super::clients::Clients;
use super::heal::Active;
use super::parts::Parts;
use super::record::{NO_ROOM, Outcome, Record, Whole, note_next, note_whole};
use super::removed::Removed;
use crate::NodeId;
use crate::events::{Event, monotonic_us};
use crate::exit::{Code, Failure};
use crate::plan::{Draw, MaxDown, Plan, Scenario, Target};
use crate::runner::{Ending, Runner};
use crate::schedule::down_max;

/// Entries after which there was load before the faults: several times what the verdict asks for.
const WARM_ENTRIES: u64 = 400;
/// So long a slow machine may take for them beyond its time.
const WARM_UP_MORE: Duration = Duration::from_secs(15);

/// A cluster under load, and what is done to it.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) runner: Runner,
    pub(crate) parts: Parts,
    pub(crate) clients: Clients,
    pub(crate) records: Vec<Record>,
    pub(super) active: Vec<Active>,
    pub(super) removed: Vec<Removed>,
    /// Ids that no node has had yet.
    pub(super) fresh: u64,
    pub(super) campaigns: Campaigns,
    scenario: Scenario,
    plan: Plan,
    scheduled: VecDeque<Draw>,
    next: Option<(Instant, Draw)>,
    /// What was done, with nothing left to chance: when after the warm-up, and what.
    pub(crate) executed: Vec<(Duration, Draw)>,
    /// The end of the warm-up.
    zero: Instant,
    /// Since when nothing is under way and the cluster is not whole.
    waiting: Option<Instant>,
}

/// Longer than this without being whole, and the run has failed.
pub(super) const RECOVERY_MAX: Duration = Duration::from_mins(1);
/// A fault that the guards do not permit now is tried again so much later,
const AGAIN: Duration = Duration::from_millis(100);
/// and no more after this.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether something has come to its end.
const TURN: Duration = Duration::from_millis(20);

impl Engine {
    pub(crate) fn new(
        runner: Runner,
        parts: Parts,
        clients: Clients,
        scenario: Scenario,
        seed: u64,
    ) -> Self {
        let mut plan = Plan::new(scenario.clone(), seed);
        let scheduled = plan.schedule().into();
        Self {
            fresh: u64::from(scenario.nodes) + 1,
            runner,
            parts,
            clients,
            records: Vec::new(),
            active: Vec::new(),
            removed: Vec::new(),
            campaigns: Campaigns::default(),
            scenario,
            plan,
            scheduled,
            next: None,
            executed: Vec::new(),
            zero: Instant::now(),
            waiting: None,
        }
    }

    /// Lets the load run in calm, and then does everything. In the end nothing is under way any more.
    pub(crate) async fn act(&mut self) -> Result<(), Failure> {
        self.warm_up().await?;
        self.zero = Instant::now();
        loop {
            self.end_what_is_over().await?;
            self.look_at_removed().await?;
            self.note_what_followed().await;
            self.begin_what_is_due().await?;
            if self.is_done() {
                return self.settle().await;
            }
            let wake = self.next_wake();
            let ending = self.runner.drive(None, sleep_until(wake.into())).await?;
            self.go_on(ending)?;
        }
    }

    /// The load runs in calm for as long as the scenario says. A slow machine gets more time, until
    /// there was load that counts.
    async fn warm_up(&mut self) -> Result<(), Failure> {
        let before = self.committed().await;
        self.pass(self.scenario.warmup.0).await?;
        let deadline = Instant::now() + WARM_UP_MORE;
        while Instant::now() < deadline && self.committed().await < before + WARM_ENTRIES {
            self.pass(Duration::from_millis(100)).await?;
        }
        Ok(())
    }

    /// How far the log is committed, as any node knows.
    async fn committed(&mut self) -> u64 {
        let view = self.runner.observe().await;
        view.answers().map(|(_, status)| status.commit_index).max().unwrap_or(0)
    }

    /// Lets time pass.
    pub(super) async fn pass(&mut self, time: Duration) -> Result<(), Failure> {
        let ending = self.runner.drive(None, tokio::time::sleep(time)).await?;
        self.go_on(ending)
    }

    fn go_on(&mut self, ending: Ending) -> Result<(), Failure> {
        match ending {
            Ending::Stopped(_) => Err(Failure::new(Code::Interrupted, "interrupted")),
            Ending::GaveUp => Err(Failure::new(Code::Crashed, "a node ends again and again")),
            Ending::Done if self.clients.have_ended() => {
                let why = self.clients.why_ended();
                let what = format!("a client ended before its time: {why}");
                Err(Failure::new(Code::Inconclusive, what))
            }
            Ending::Done => Ok(()),
        }
    }

    /// Waits until the cluster is whole after the last fault.
    async fn settle(&mut self) -> Result<(), Failure> {
        match self.runner.drive_until(RECOVERY_MAX, Runner::is_whole).await? {
            Ok(true) => {
                self.note_what_followed().await;
                note_whole(&mut self.records, monotonic_us());
                self.pass(Duration::from_millis(500)).await
            }
            Ok(false) => Err(not_whole()),
            Err(ending) => self.go_on(ending),
        }
    }

    /// Leaders that followed, and whether the cluster is whole.
    async fn note_what_followed(&mut self) {
        let leader = self.runner.leader().filter(|_| !self.runner.is_leaderless());
        // Who leads during a partition may change more than once: who leads in the end counts.
        let open = |record: &Record| {
            record.whole == Whole::NotYet && (record.led || record.until_us.is_some())
        };
        let news = self.records.iter().any(|it| open(it) && it.after.is_none());
        if news && let Some(leader) = leader {
            let view = self.runner.observe().await;
            let campaigns = Campaigns::of(&view);
            let how = campaigns.since(&self.campaigns);
            for record in self.records.iter_mut().filter(|it| open(it) && it.after.is_none()) {
                record.follow(leader, &how);
            }
            self.campaigns = campaigns;
        }
        if self.active.is_empty() && self.runner.is_whole() {
            self.waiting = None;
            note_whole(&mut self.records, monotonic_us());
        }
    }

    fn is_done(&self) -> bool {
        let over = self.scenario.duration.is_none_or(|lasts| lasts.0 <= self.zero.elapsed());
        let random = match (&self.scenario.random, self.scenario.duration) {
            (None, _) => over,
            (Some(_), Some(_)) => over || self.is_spent(),
            (Some(_), None) => self.is_spent(),
        };
        random && self.scheduled.is_empty() && self.active.is_empty() && self.removed.is_empty()
    }

    fn is_spent(&self) -> bool {
        let drawn = u32::try_from(self.executed.len()).unwrap_or(u32::MAX);
        self.next.is_none() && self.scenario.rounds.is_some_and(|rounds| rounds <= drawn)
    }

    fn next_wake(&self) -> Instant {
        let due = self.next.as_ref().map(|(due, _)| *due);
        let scheduled = self.scheduled.front().map(|draw| self.zero + draw.delay);
        let now = Instant::now();
        let due = due.into_iter().chain(scheduled).filter(|due| now < *due).min();
        due.unwrap_or(now + TURN).min(now + TURN)
    }

    async fn begin_what_is_due(&mut self) -> Result<(), Failure> {
        let now = Instant::now();
        while let Some(draw) = self.scheduled.front().cloned() {
            let due = self.zero + draw.delay;
            if now < due || !self.attempt(&draw, due).await? {
                break;
            }
            self.scheduled.pop_front();
        }
        let overlap = !self.scenario.guards.healthy_first;
        let over = self.scenario.duration.is_some_and(|lasts| lasts.0 <= self.zero.elapsed());
        let whole = self.active.is_empty() && self.removed.is_empty() && self.runner.is_whole();
        if self.next.is_none()
            && !over
            && (overlap || whole)
            && let Some(draw) = self.plan.draw()
        {
            self.next = Some((Instant::now() + draw.delay, draw));
        }
        if !overlap && !whole && self.active.is_empty() && self.removed.is_empty() {
            let since = *self.waiting.get_or_insert(now);
            if RECOVERY_MAX < since.elapsed() {
                return Err(not_whole());
            }
        }
        let Some((due, draw)) = self.next.take_if(|(due, _)| *due <= now) else { return Ok(()) };
        if over {
            return Ok(());
        }
        if !overlap && !whole || !self.attempt(&draw, due).await? {
            let later = Instant::now() + AGAIN;
            self.next = Some((due.max(later), draw));
        }
        Ok(())
    }

    /// Begins a fault, if the guards permit it now. Tells whether it need not be tried again.
    async fn attempt(&mut self, draw: &Draw, due: Instant) -> Result<bool, Failure> {
        let view = self.runner.observe().await;
        let leader = view.leader().map(|(leader, claim)| (leader, claim.term));
        let victims = self.victims(draw, leader.map(|(leader, _)| leader));
        if !self.may_fall(draw, &victims) {
            if due + PATIENCE < Instant::now() {
                let record = self.open_record(draw, leader, victims);
                let why = NO_ROOM.to_owned();
                self.skip(record, why);
                return Ok(true);
            }
            return Ok(false);
        }
        note_next(&mut self.records);
        self.campaigns = Campaigns::of(&view);
        let record = self.open_record(draw, leader, victims.clone());
        let aimed = draw.fault.clone().aimed_at(Target::Nodes(victims).into());
        let executed = Draw { fault: aimed, ..draw.clone() };
        self.executed.push((self.zero.elapsed(), executed.clone()));
        self.begin(record, &executed, &view).await?;
        Ok(true)
    }

    /// Whom a fault hits now. Nobody, if nobody qualifies.
    fn victims(&self, draw: &Draw, leader: Option<NodeId>) -> BTreeSet<NodeId> {
        let Some(target) = draw.fault.target() else { return BTreeSet::new() };
        let hit = self.missing();
        let all = self.runner.members();
        let whole_set = matches!(target.pick(0), Target::All | Target::Nodes(_) | Target::Next);
        let free: Vec<NodeId> =
            all.iter().copied().filter(|id| whole_set || !hit.contains(id)).collect();
        let turn = u64::from(draw.number);
        let choice = crate::plan::Choice { nodes: &free, leader, turn, lot: draw.lot };
        let mut victims = target.pick(0).resolve(&choice);
        if draw.fault.takes_down() {
            victims.retain(|id| self.runner.cluster().process(*id).is_running());
        }
        victims
    }

    /// Members that are down, stand still or are cut off.
    pub(super) fn missing(&self) -> BTreeSet<NodeId> {
        let mut missing: BTreeSet<NodeId> = self.runner.absent().into_iter().collect();
        for active in &self.active {
            missing.extend(&active.misses);
        }
        missing
    }

    /// Whether a fault may be done to these now.
    fn may_fall(&self, draw: &Draw, victims: &BTreeSet<NodeId>) -> bool {
        let kind = draw.fault.kind();
        if draw.fault.target().is_some() && victims.is_empty() {
            return false;
        }
        if self.active.iter().any(|active| active.excludes(&draw.fault, victims)) {
            return false;
        }
        if self.scenario.guards.max_down == MaxDown::All {
            return true;
        }
        // A change of the membership needs a majority and time; it is not begun in trouble.
        let members = self.runner.members().len();
        let mut missing = self.missing();
        if kind == "membership" && !missing.is_empty() {
            return false;
        }
        if matches!(draw.fault, crate::plan::Fault::Partition(_)) {
            // Halves, rings and bridges leave a majority only if everybody else is there.
            return missing.is_empty();
        }
        if draw.fault.takes_down() {
            missing.extend(victims);
        }
        missing.len() <= down_max(members)
    }

    fn open_record(
        &mut self,
        draw: &Draw,
        before: Option<(NodeId, u64)>,
        nodes: BTreeSet<NodeId>,
    ) -> usize {
        let led = before.is_some_and(|(leader, _)| nodes.contains(&leader));
        let number = u32::try_from(self.records.len()).unwrap_or(u32::MAX);
        self.records.push(Record {
            number,
            kind: draw.fault.kind(),
            what: String::new(),
            nodes,
            at_us: monotonic_us(),
            until_us: None,
            led: led && draw.fault.takes_down() && draw.fault.kind() != "partition",
            before,
            after: None,
            election: String::new(),
            whole: Whole::NotYet,
            outcome: Outcome::Indeterminate,
            reason: String::new(),
            evidence: std::collections::BTreeMap::new(),
            took_us: None,
        });
        self.records.len() - 1
    }

    /// A fault that is not done.
    pub(super) fn skip(&mut self, record: usize, why: String) {
        let record = &mut self.records[record];
        record.outcome = Outcome::Skipped;
        record.reason = why;
        record.until_us = Some(record.at_us);
        let event = record.over();
        self.runner.journal().record(&event);
    }

    /// A fault begins that no other event tells of.
    pub(super) fn announce(&mut self, record: usize) {
        let Record { number, kind, what, .. } = &self.records[record];
        let event = Event::Fault { number: *number, fault: kind, what: what.clone() };
        self.runner.journal().record(&event);
    }
}

fn not_whole() -> Failure {
    let what = format!("the cluster was not whole again within {RECOVERY_MAX:?}");
    Failure::new(Code::TooSlow, what)
}
