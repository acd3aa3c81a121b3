//! What a process does beside its turns: writing the log, snapshot files, segments.

use raft_core::Persist;
use raft_replica::{Durable, SnapshotJob};

use super::Host;
use crate::agenda::{Arrival, Env, Event};
use crate::invariants::Violation;
use crate::machine::Machine;
use crate::scenario::Fault;
use crate::sometimes::Mark;

impl Host {
    /// Queues what a turn wants done.
    pub(super) fn queue_work(
        &mut self,
        env: &mut Env,
        persist: Option<Persist>,
        snapshots: Vec<SnapshotJob<Machine>>,
    ) {
        let Some(process) = &mut self.process else { return };
        process.writes.extend(persist);
        if !process.writes.is_empty() && !process.writing {
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
    /// replica hears of it a little later.
    pub fn write(&mut self, env: &mut Env) -> Result<(), Violation> {
        let until_us = self.paused_until.max(self.stalled_until);
        if env.now_us < until_us {
            env.at(until_us, Event::Write(self.id, self.life));
            return Ok(());
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        process.writing = false;
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
            Err(error) => return self.failed(env, &error.to_string()),
        };
        env.witness.ledger.disk(self.id).finish();
        env.witness.sometimes.add(Mark::SegmentRolled, process.wal.stats().rolls - rolls);
        env.witness.trace.note(env.now_us, format_args!("{} durable up to {seq}", self.id));
        if process.preparation.is_none() {
            process.preparation = process.wal.prepare();
            if process.preparation.is_some() {
                let delay = self.timing.within(env.scenario.write_us) * self.slowness;
                env.after(delay, Event::Prepare(self.id, self.life));
            }
        }
        let delay = self.timing.within(env.scenario.notice_us);
        env.after(delay, Event::Complete(self.id, self.life, Arrival::Persisted(seq)));
        env.send(then_send)
    }

    /// The next piece of work on snapshot files.
    pub fn snapshot(&mut self, env: &mut Env) -> Result<(), Violation> {
        let until_us = self.paused_until.max(self.stalled_until);
        if env.now_us < until_us {
            env.at(until_us, Event::Snapshot(self.id, self.life));
            return Ok(());
        }
        let Some(process) = &mut self.process else { return Ok(()) };
        let Some(job) = process.snapshot_jobs.pop_front() else { return Ok(()) };
        env.witness.trace.note(env.now_us, format_args!("{} {job:?}", self.id));
        let arriving = process.snapshots.arriving().is_some();
        if arriving && env.faulty && env.scenario.has(Fault::Fuse) && self.rng.chance(200) {
            self.disk.light_fuse(self.rng.between(0, 3)); // A transfer breaks off at any piece.
        }
        let resumed = process.snapshots.resumed_bytes();
        let done = match process.snapshots.run(job) {
            Ok(done) => done,
            Err(error) => return self.failed(env, &error.to_string()),
        };
        if resumed < process.snapshots.resumed_bytes() {
            env.witness.sometimes.hit(Mark::SnapshotResumed);
        }
        let more = !process.snapshot_jobs.is_empty();
        let delay = self.timing.within(env.scenario.notice_us);
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
            Err(error) => return self.failed(env, &error.to_string()),
        }
        Ok(())
    }

    /// A disk operation failed: the process ends, as a server's would.
    fn failed(&mut self, env: &mut Env, error: &str) -> Result<(), Violation> {
        env.witness.trace.note(env.now_us, format_args!("{}: {error}", self.id));
        if !self.disk.has_failed() {
            let what = format!("{} had to stop: {error}", self.id);
            return Err(Violation::named("a node on a sound disk goes on")(what));
        }
        env.witness.sometimes.hit(Mark::CrashedInWrite);
        env.witness.sometimes.add(Mark::DiskFull, u64::from(self.disk.ran_full()));
        self.end_and_restart(env);
        Ok(())
    }
}
