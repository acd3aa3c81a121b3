//! Where the time of a write goes: what this node measured of it since the start.
//!
//! What is measured of every write is read off moments that the whole of a turn has in common, where
//! that is possible: a write costs two looks at the clock, a turn of the driver three, a batch of the
//! log's writer four.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2Serializer};
use raft_api::pb;

/// A moment on the process's clock. [`raft_core::Instant`] is what the replica is told of it.
pub(crate) type Moment = std::time::Instant;

/// Where the time of a write goes.
#[derive(Debug)]
pub(crate) struct Stages {
    /// A write from the connection to the log's end: it waits for the driver, and maybe for a leader.
    pub(crate) queue: Stage,
    /// From there until the driver learns that it is committed. Leader's and followers' disks are in it.
    pub(crate) commit: Stage,
    /// A turn of the replica in which something was applied.
    pub(crate) apply: Stage,
    /// A write from there until its answer is written, for the connection to send.
    pub(crate) reply: Stage,
    /// A job for the log's writer, from when the replica wants it until the writer takes it: messages to
    /// peers leave first.
    pub(crate) wal_wait: Stage,
    /// A batch of the log's writer: encoding and the write.
    pub(crate) wal_write: Stage,
    /// Its sync.
    pub(crate) fsync: Stage,
    /// From entries that a leader has sent, with the driver, until they are durable and their
    /// acknowledgement is on its way.
    pub(crate) follow: Stage,
}

/// How long something took, each time. Those who record it seldom meet.
#[derive(Debug)]
pub(crate) struct Stage {
    name: &'static str,
    /// Nanoseconds. Counts of 32 bits would be full after days of load.
    times: Mutex<Histogram<u64>>,
}

/// Shorter times count as this one.
const TIME_MIN: Duration = Duration::from_nanos(100);

/// Longer times count as this one.
const TIME_MAX: Duration = Duration::from_mins(1);

/// Times are known within a hundredth.
const DIGITS: u8 = 2;

impl Default for Stages {
    fn default() -> Self {
        Self {
            queue: Stage::new("queue"),
            commit: Stage::new("commit"),
            apply: Stage::new("apply"),
            reply: Stage::new("reply"),
            wal_wait: Stage::new("wal wait"),
            wal_write: Stage::new("wal write"),
            fsync: Stage::new("fsync"),
            follow: Stage::new("follow"),
        }
    }
}

impl Stages {
    /// All of them, as the wire has them.
    pub(crate) fn to_wire(&self) -> Vec<pb::Stage> {
        let Self { queue, commit, apply, reply, wal_wait, wal_write, fsync, follow } = self;
        [queue, commit, apply, reply, wal_wait, wal_write, fsync, follow].map(Stage::to_wire).into()
    }
}

impl Stage {
    fn new(name: &'static str) -> Self {
        let (min, max) = (nanos(TIME_MIN), nanos(TIME_MAX));
        let times = Histogram::new_with_bounds(min, max, DIGITS);
        Self { name, times: Mutex::new(times.expect("the bounds are far apart")) }
    }

    /// One more time.
    pub(crate) fn record(&self, time: Duration) {
        self.record_all([time]);
    }

    /// The time between two moments.
    pub(crate) fn record_between(&self, from: Moment, to: Moment) {
        self.record(to.saturating_duration_since(from));
    }

    /// Several times, with one lock.
    pub(crate) fn record_all(&self, all: impl IntoIterator<Item = Duration>) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        for time in all {
            times.saturating_record(nanos(time));
        }
    }

    fn to_wire(&self) -> pb::Stage {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut histogram = Vec::new();
        V2Serializer::new()
            .serialize(&times, &mut histogram)
            .expect("memory takes everything, and no count is beyond 2^63");
        pb::Stage { name: self.name.to_owned(), count: times.len(), histogram: histogram.into() }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::Deserializer;

    use super::*;

    /// What is told is what was recorded, within a hundredth and the bounds.
    #[test]
    fn tells_what_was_recorded() {
        let stages = Stages::default();
        stages.fsync.record(Duration::from_micros(120));
        stages.fsync.record_all([Duration::ZERO, Duration::from_hours(1)]);
        let now = Moment::now();
        stages.reply.record_between(now, now);
        stages.reply.record_between(now + TIME_MAX, now);
        let told = stages.to_wire();
        let counts: Vec<(&str, u64)> = told.iter().map(|it| (it.name.as_str(), it.count)).collect();
        let expected = [
            ("queue", 0),
            ("commit", 0),
            ("apply", 0),
            ("reply", 2),
            ("wal wait", 0),
            ("wal write", 0),
            ("fsync", 3),
            ("follow", 0),
        ];
        assert_eq!(counts, expected);
        let mut fsync = told[6].histogram.as_ref();
        let times: Histogram<u64> = Deserializer::new().deserialize(&mut fsync).unwrap();
        assert!(times.value_at_quantile(0.5).abs_diff(120_000) <= 1200, "{times:?}");
        assert!(times.max().abs_diff(nanos(TIME_MAX)) <= nanos(TIME_MAX) / 100, "{times:?}");
    }
}
