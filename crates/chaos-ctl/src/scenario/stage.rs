//! A cluster under load, and what is done to it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::sleep;

use super::campaigns::Campaigns;
use super::names;
use super::removal::Told;
use crate::NodeId;
use crate::events::{micros, monotonic_us};
use crate::exit::{Code, Failure};
use crate::load::{Bench, BenchResult, Load};
use crate::runner::{Ending, Runner, role_in};
use crate::watch::View;

/// A cluster under load.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) runner: Runner,
    bench: Bench,
    files: PathBuf,
    chance: ChaCha8Rng,
    /// What was done so far.
    pub(super) rows: Vec<Row>,
    /// Nodes that were removed.
    pub(super) told: Vec<Told>,
    debug_build: bool,
}

/// One thing that was done, and what followed.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) kind: Kind,
    /// When it began, on the monotonic clock.
    pub(super) at_us: u64,
    /// When its own effect was over: the node was started again, or the change was done. What
    /// follows is its return.
    pub(super) until_us: u64,
    /// What was done, and to whom.
    pub(super) what: String,
    /// Whether it was done to the leader.
    pub(super) led: bool,
    /// Leader and term before and after.
    pub(super) before: (NodeId, u64),
    pub(super) after: (NodeId, u64),
    /// How the election came about, if there was one.
    pub(super) how: String,
    /// How long a change took, or a process to end.
    pub(super) took: Option<Duration>,
    pub(super) whole: Whole,
}

/// When the cluster was whole again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    /// Not so far.
    NotYet,
    /// Then, on the monotonic clock.
    At(u64),
    /// Nobody can tell: the next fault came first.
    Overtaken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Kill,
    Terminate,
    Change,
}

/// Whom to hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Leader,
    Anybody,
    This(NodeId),
}

/// From a fault to the restart.
const DOWNTIME_MS: (u64, u64) = (500, 1000);
/// From the moment the cluster is whole to the next fault.
const PAUSE_MS: (u64, u64) = (200, 700);
/// How long the load runs before the first fault.
const WARM_UP: Duration = Duration::from_millis(1500);
/// Longer than this without a leader, or without being whole, and the run has failed.
pub(super) const RECOVERY_MAX: Duration = Duration::from_secs(30);
/// How long the load may take to read everything back.
const READING_MAX: Duration = Duration::from_mins(10);

impl Stage {
    /// Starts the load.
    pub(super) async fn open(
        runner: Runner,
        load: &Load,
        files: PathBuf,
        seed: u64,
    ) -> Result<Self, (Runner, Failure)> {
        let bench = match load.start(runner.cluster().spawner(), None, &files).await {
            Ok(bench) => bench,
            Err(failure) => return Err((runner, failure)),
        };
        let (chance, rows, told) = (ChaCha8Rng::seed_from_u64(seed), Vec::new(), Vec::new());
        Ok(Self { runner, bench, files, chance, rows, told, debug_build: false })
    }

    /// A number of milliseconds from a range, both ends included.
    pub(super) fn draw_ms(&mut self, (min, max): (u64, u64)) -> Duration {
        Duration::from_millis(self.chance.random_range(min..=max))
    }

    /// Yes or no.
    pub(super) fn draw_coin(&mut self) -> bool {
        self.chance.random_bool(0.5)
    }

    /// The leader or anybody, as the coin falls.
    pub(super) fn draw_whom(&mut self) -> Whom {
        if self.draw_coin() { Whom::Leader } else { Whom::Anybody }
    }

    /// Lets the load run in calm for a moment.
    pub(super) async fn warm_up(&mut self) -> Result<(), Failure> {
        let view = self.runner.observe().await;
        self.debug_build = view.answers().any(|(_, status)| status.debug_build);
        self.pass(WARM_UP).await
    }

    /// Whether times say nothing about speed.
    pub(super) fn is_debug_build(&self) -> bool {
        self.debug_build
    }

    /// Lets time pass.
    pub(super) async fn pass(&mut self, time: Duration) -> Result<(), Failure> {
        let ending = self.runner.drive(None, sleep(time)).await?;
        self.go_on(ending)
    }

    /// Lets time pass until this is done.
    pub(super) async fn wait(&mut self, done: impl Future<Output = ()>) -> Result<(), Failure> {
        let ending = self.runner.drive(None, done).await?;
        self.go_on(ending)
    }

    fn go_on(&mut self, ending: Ending) -> Result<(), Failure> {
        match ending {
            Ending::Stopped(_) => Err(Failure::new(Code::Interrupted, "interrupted")),
            Ending::GaveUp => Err(Failure::new(Code::Crashed, "a node ends again and again")),
            Ending::Done if self.bench.has_ended() => {
                Err(Failure::new(Code::Inconclusive, "the load ended before its time"))
            }
            Ending::Done => Ok(()),
        }
    }

    /// Waits until every member is up and caught up, under a leader, and a little longer.
    pub(super) async fn settle(&mut self) -> Result<(), Failure> {
        match self.runner.drive_until(RECOVERY_MAX, Runner::is_whole).await? {
            Ok(true) => (),
            Ok(false) => {
                let what = format!("the cluster was not whole again within {RECOVERY_MAX:?}");
                return Err(Failure::new(Code::TooSlow, what));
            }
            Err(ending) => self.go_on(ending)?,
        }
        note_whole(&mut self.rows, monotonic_us());
        let pause = self.draw_ms(PAUSE_MS);
        self.pass(pause).await
    }

    /// Lets time pass, and looks meanwhile whether the cluster becomes whole.
    pub(super) async fn pass_watching(&mut self, time: Duration) -> Result<(), Failure> {
        let ends = tokio::time::Instant::now() + time;
        match self.runner.drive_until(time, Runner::is_whole).await? {
            Ok(true) => note_whole(&mut self.rows, monotonic_us()),
            Ok(false) => (),
            Err(ending) => self.go_on(ending)?,
        }
        self.pass(ends.saturating_duration_since(tokio::time::Instant::now())).await
    }

    /// Waits until a leader is seen, and returns what all nodes said, and who it is.
    pub(super) async fn led(&mut self) -> Result<(View, (NodeId, u64)), Failure> {
        let deadline = tokio::time::Instant::now() + RECOVERY_MAX;
        loop {
            match self.runner.drive_until(RECOVERY_MAX, |it| !it.is_leaderless()).await? {
                Ok(_) => (),
                Err(ending) => self.go_on(ending)?,
            }
            let view = self.runner.observe().await;
            if let Some((leader, claim)) = view.leader() {
                let led = (leader, claim.term);
                return Ok((view, led));
            }
            if deadline <= tokio::time::Instant::now() {
                let what = format!("nobody led for {RECOVERY_MAX:?}");
                return Err(Failure::new(Code::TooSlow, what));
            }
            self.pass(Duration::from_millis(10)).await?;
        }
    }

    /// Kills a node with SIGKILL. It starts again after a while; the next leader is waited for.
    pub(super) async fn kill(&mut self, whom: Whom, aside: &str) -> Result<(), Failure> {
        let (view, before) = self.led().await?;
        let target = match whom {
            Whom::Leader => before.0,
            Whom::This(id) => id,
            Whom::Anybody => {
                let running = self.runner.running();
                let lot = self.chance.random_range(0..running.len());
                running[lot]
            }
        };
        let (role, campaigns) = (role_in(&view, target), Campaigns::of(&view));
        let downtime = self.draw_ms(DOWNTIME_MS);
        let Some(strike) = self.runner.kill(target, role, downtime).await? else {
            return Err(Failure::new(Code::Crashed, format!("{target} had ended by itself")));
        };
        let what = format!("SIGKILL {target} {role}{aside}");
        let place = push(
            &mut self.rows,
            Row {
                kind: Kind::Kill,
                at_us: strike.at_us,
                until_us: strike.at_us + micros(downtime),
                what,
                led: target == before.0,
                before,
                after: before,
                how: String::new(),
                took: None,
                whole: Whole::NotYet,
            },
        );
        let (view, after) = self.led().await?;
        let row = &mut self.rows[place];
        (row.after, row.how) = (after, Campaigns::of(&view).since(&campaigns));
        Ok(())
    }

    /// Kills all nodes that run, at the same moment. They start again together after a while; the next
    /// leader is waited for.
    pub(super) async fn kill_all(&mut self) -> Result<(), Failure> {
        let (view, before) = self.led().await?;
        let downtime = self.draw_ms(DOWNTIME_MS);
        let strikes = self.runner.kill_all(&view, downtime).await?;
        let Some(first) = strikes.first() else {
            return Err(Failure::new(Code::Crashed, "all nodes had ended by themselves"));
        };
        let killed: BTreeSet<NodeId> = strikes.iter().map(|strike| strike.node).collect();
        let place = push(
            &mut self.rows,
            Row {
                kind: Kind::Kill,
                at_us: first.at_us,
                until_us: first.at_us + micros(downtime),
                what: format!("SIGKILL {}", names(&killed)),
                led: killed.contains(&before.0),
                before,
                after: before,
                how: String::new(),
                took: None,
                whole: Whole::NotYet,
            },
        );
        let (_, after) = self.led().await?;
        // Whatever the nodes counted before went with them.
        (self.rows[place].after, self.rows[place].how) = (after, "all start anew".to_owned());
        Ok(())
    }

    /// Ends a node with SIGTERM and starts it again at once.
    pub(super) async fn restart(&mut self, target: NodeId) -> Result<(), Failure> {
        let (view, before) = self.led().await?;
        let (role, campaigns) = (role_in(&view, target), Campaigns::of(&view));
        let Some(strike) = self.runner.terminate(target, role).await? else {
            let what = format!("{target} did not end cleanly when it was asked to");
            return Err(Failure::new(Code::Crashed, what));
        };
        let place = push(
            &mut self.rows,
            Row {
                kind: Kind::Terminate,
                at_us: strike.at_us,
                until_us: u64::MAX,
                what: format!("SIGTERM {target} {role}"),
                led: target == before.0,
                before,
                after: before,
                how: String::new(),
                took: Some(strike.took),
                whole: Whole::NotYet,
            },
        );
        let (view, after) = self.led().await?;
        let row = &mut self.rows[place];
        (row.after, row.how) = (after, Campaigns::of(&view).since(&campaigns));
        Ok(())
    }

    /// Lets the load come to its end: what was acknowledged is read back.
    pub(super) async fn end_load(&mut self) -> Result<BenchResult, Failure> {
        self.bench.finish();
        let ended = tokio::time::timeout(READING_MAX, self.runner.drive(None, self.bench.ended()));
        match ended.await.map(|ending| ending.map(|ending| ending == Ending::Done)) {
            Ok(Ok(true)) => self.bench.result(&self.files),
            Ok(Err(failure)) => Err(failure),
            Ok(Ok(false)) => {
                self.bench.kill().await;
                Err(Failure::new(Code::Interrupted, "interrupted while reading back"))
            }
            Err(_elapsed) => {
                self.bench.kill().await;
                let what = format!("reading back was not done after {READING_MAX:?}");
                Err(Failure::new(Code::Inconclusive, what))
            }
        }
    }
}

/// Adds a fault and tells its place. Those before it that the cluster has not recovered from will
/// not be told apart from it any more.
fn push(rows: &mut Vec<Row>, row: Row) -> usize {
    for earlier in rows.iter_mut().filter(|row| row.whole == Whole::NotYet) {
        earlier.whole = Whole::Overtaken;
    }
    rows.push(row);
    rows.len() - 1
}

/// The cluster is whole: what was done last is over.
fn note_whole(rows: &mut [Row], now: u64) {
    for row in rows.iter_mut().filter(|row| row.whole == Whole::NotYet) {
        row.whole = Whole::At(now);
        if row.kind == Kind::Terminate {
            row.until_us = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_the_next_one_overtakes_never_counts_as_whole() {
        let row = |at_us| Row {
            kind: Kind::Kill,
            at_us,
            until_us: at_us + 10,
            what: String::new(),
            led: true,
            before: (NodeId(1), 1),
            after: (NodeId(1), 2),
            how: String::new(),
            took: None,
            whole: Whole::NotYet,
        };
        let mut rows = Vec::new();
        for at in [100, 200] {
            push(&mut rows, row(at));
        }
        note_whole(&mut rows, 300);
        push(&mut rows, row(400));
        note_whole(&mut rows, 500);
        push(&mut rows, row(600));
        let whole: Vec<Whole> = rows.iter().map(|row| row.whole).collect();
        assert_eq!(
            whole,
            [Whole::Overtaken, Whole::At(300), Whole::At(500), Whole::NotYet],
            "only the last kill before the cluster was whole is what it recovered from"
        );
    }
}
