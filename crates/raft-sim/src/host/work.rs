//! What a process does beside its turns: writing the log, snapshot files, segments.

use raft_core::Persist;
use raft_replica::{DiskError, Durable, SnapshotJob, StorageError};

use super::Host;
use crate::agenda::{Arrival, Env, Event};
use crate::invariants::Violation;
use crate::machine::Machine;
use crate::scenario::Fault;
use crate::sometimes::Mark;

/// While there is no space, it is looked for so often.
const LOOK_AGAIN_US: u64 = 250_000;

/// How much space a log has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Space {
    /// As much as it needs, as far as anybody can say.
    #[default]
    Enough,
    /// No more than for votes and the like.
    Short,
    /// Its writer waits for some.
    Out,
}

impl Host {
    /// Queues what a turn wants done.
    pub(super) fn queue_work(
        &mut self,
        env: &mut Env,
        persist: Option<Persist>,
        snapshots: Vec<SnapshotJob<Machine>>,
    ) {
        let Some(process) = &mut self.process else { return };
        // A writer that waits for space looks again when there is more to write.
        let more = persist.is_some();
        process.writes.extend(persist);
        if more && !process.writing {
            process.writing = true;
            let delay = self.timing.within(env.scenario.write_us) * self.slowness;
            env.after(delay, Event::Write(self.id, self.life));
        }
        let idle = process.snapshot_jobs.is_empty();
        process.snapshot_jobs.extend(snapshots);
        if idle && !process.snapshot_jobs.is_empty() {
            self.plan_snapshot(env);
        }
    }

    fn plan_snapshot(&mut self, env: &mut Env) {
        let delay = self.timing.within(env.scenario.write_us) * self.slowness;
        env.after(delay, Event::Snapshot(self.id, self.life));
    }

    /// The log's writer writes all that has gathered, and says what may be said after it; the
    /// replica hears of it a little later. If there is no space for it, it waits.
    pub fn write(&mut self, env: &mut Env) -> Result<(), Violation> {
        let until_us = self.paused_until.max(self.stalled_until);
        if env.now_us < until_us {
            env.at(until_us, Event::Write(self.id, self.life));
            return Ok(());
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        process.writing = false;
        if let Err(error) = process.wal.make_room(&process.writes) {
            return self.wait_for_space(env, error);
        }
        let jobs = std::mem::take(&mut process.writes);
        if 1 < jobs.len() {
            env.witness.sometimes.hit(Mark::WritesMerged);
        }
        if env.faulty && env.scenario.has(Fault::Fuse) && self.rng.chance(8) {
            self.disk.light_fuse(1); // The write gets through, its sync does not.
        }
        env.witness.ledger.disk(self.id).begin(&jobs);
        let rolls = process.wal.stats().rolls;
        let Durable { seq, then_send } = match process.wal.run(jobs) {
            Ok(durable) => durable,
            Err(error) => return self.failed(env, &error.into()),
        };
        env.witness.ledger.disk(self.id).finish();
        env.witness.sometimes.add(Mark::SpaceFound, u64::from(process.space == Space::Out));
        env.witness.sometimes.add(Mark::SegmentRolled, process.wal.stats().rolls - rolls);
        env.witness.trace.note(env.now_us, format_args!("{} durable up to {seq}", self.id));
        let delay = self.timing.within(env.scenario.notice_us);
        env.after(delay, Event::Complete(self.id, self.life, Arrival::Persisted(seq)));
        self.rest(env);
        env.send(then_send)
    }

    /// There is no space for what is to be written: nothing of the log is in doubt, and the writer
    /// tries again.
    fn wait_for_space(&mut self, env: &mut Env, error: DiskError) -> Result<(), Violation> {
        if !error.is_full() {
            return self.failed(env, &error.into());
        }
        env.witness.trace.note(env.now_us, format_args!("{} waits: {error}", self.id));
        env.witness.sometimes.hit(Mark::DiskFull);
        self.tell_space(env, Space::Out);
        self.look_again(env);
        Ok(())
    }

    /// The writer has done what there was to do.
    fn rest(&mut self, env: &mut Env) {
        self.plan_preparation(env);
        let Some(process) = &self.process else { return };
        let short = process.wal.is_short_of_space();
        if process.wal.is_full() {
            self.look_again(env);
        }
        self.tell_space(env, if short { Space::Short } else { Space::Enough });
    }

    fn look_again(&mut self, env: &mut Env) {
        let Some(process) = &mut self.process else { return };
        process.rests += 1;
        env.after(LOOK_AGAIN_US, Event::LookForSpace(self.id, self.life, process.rests));
    }

    /// The writer has had nothing to do for a while, and no space. `since` says when it came to rest.
    pub fn look_for_space(&mut self, env: &mut Env, since: u64) -> Result<(), Violation> {
        let until_us = self.paused_until.max(self.stalled_until);
        let Some(process) = &mut self.process else { return Ok(()) };
        if process.rests != since || process.writing {
            return Ok(());
        }
        if env.now_us < until_us {
            env.at(until_us, Event::LookForSpace(self.id, self.life, since));
            return Ok(());
        }
        if process.writes.is_empty() {
            process.wal.try_again();
            self.rest(env);
            return Ok(());
        }
        process.writing = true;
        self.write(env)
    }

    /// Tells the replica's driver, if that is news.
    fn tell_space(&mut self, env: &mut Env, space: Space) {
        let Some(process) = &mut self.process else { return };
        if process.space != space {
            process.space = space;
            env.witness.trace.note(env.now_us, format_args!("{} has space: {space:?}", self.id));
            let delay = self.timing.within(env.scenario.notice_us);
            env.after(delay, Event::Complete(self.id, self.life, Arrival::Space));
        }
    }

    /// Has a segment made ready, if one is wanted.
    pub(super) fn plan_preparation(&mut self, env: &mut Env) {
        let Some(process) = &mut self.process else { return };
        if process.preparation.is_none() {
            process.preparation = process.wal.prepare();
            if process.preparation.is_some() {
                let delay = self.timing.within(env.scenario.write_us) * self.slowness;
                env.after(delay, Event::Prepare(self.id, self.life));
            }
        }
    }

    /// The next piece of work on snapshot files.
    pub fn snapshot(&mut self, env: &mut Env) -> Result<(), Violation> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let until_us = self.paused_until.max(self.stalled_until).max(process.snapshots_rest_until);
        if env.now_us < until_us {
            env.at(until_us, Event::Snapshot(self.id, self.life));
            return Ok(());
        }
        let Some(job) = process.snapshot_jobs.pop_front() else { return Ok(()) };
        env.witness.trace.note(env.now_us, format_args!("{} {job:?}", self.id));
        let arriving = process.snapshots.arriving().is_some();
        if arriving && env.faulty && env.scenario.has(Fault::Fuse) && self.rng.chance(200) {
            self.disk.light_fuse(self.rng.between(0, 3)); // A transfer breaks off at any piece.
        }
        let resumed = process.snapshots.resumed_bytes();
        let done = match process.snapshots.run(job) {
            Ok(done) => done,
            Err(error) => return self.failed(env, &error),
        };
        if resumed < process.snapshots.resumed_bytes() {
            env.witness.sometimes.hit(Mark::SnapshotResumed);
        }
        let more = !process.snapshot_jobs.is_empty();
        let mut delay = self.timing.within(env.scenario.notice_us);
        if done.full().is_some() {
            env.witness.sometimes.hit(Mark::NoSpaceForSnapshot);
            // A peer that is told will ask again at once.
            process.snapshots_rest_until = env.now_us + LOOK_AGAIN_US;
            delay += LOOK_AGAIN_US;
        }
        env.after(delay, Event::Complete(self.id, self.life, Arrival::Snapshot(done)));
        if more {
            self.plan_snapshot(env);
        }
        Ok(())
    }

    /// Makes a segment ready.
    pub fn prepare(&mut self, env: &mut Env) -> Result<(), Violation> {
        let until_us = self.paused_until.max(self.stalled_until);
        if env.now_us < until_us {
            env.at(until_us, Event::Prepare(self.id, self.life));
            return Ok(());
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        let Some(job) = process.preparation.take() else { return Ok(()) };
        match job.run() {
            Ok(prepared) => process.wal.prepared(prepared),
            Err(error) => return self.failed(env, &error.into()),
        }
        if !process.writing && process.writes.is_empty() {
            self.rest(env);
        }
        Ok(())
    }

    /// A disk operation failed: the process ends, as a server's would.
    fn failed(&mut self, env: &mut Env, error: &StorageError) -> Result<(), Violation> {
        env.witness.trace.note(env.now_us, format_args!("{}: {error}", self.id));
        if let StorageError::Disk(error) = error
            && error.is_full()
        {
            let what = format!("{} had to stop: {error}", self.id);
            return Err(Violation::named("a node whose disk is full goes on")(what));
        }
        if !self.disk.has_failed() {
            let what = format!("{} had to stop: {error}", self.id);
            return Err(Violation::named("a node on a sound disk goes on")(what));
        }
        env.witness.sometimes.hit(Mark::CrashedInWrite);
        self.end_and_restart(env);
        Ok(())
    }
}
