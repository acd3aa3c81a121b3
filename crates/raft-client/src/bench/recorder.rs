//! What the workers saw: latencies, outcomes, and when nothing came through.
//!
//! One recorder for all workers. A histogram for each of a thousand workers would take hundreds of
//! megabytes, and on one thread the lock is never waited for.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use super::intervals::{Intervals, histogram};
use super::operation::{Kind, Mix};
use super::silence::{Reign, Silence};
use super::stall::{Pulse, machine_slept};

/// Different messages of failed operations that are kept.
const MESSAGES_MAX: usize = 3;

/// The finest slice of the availability map.
pub(super) const SLOT: Duration = Duration::from_millis(100);

/// How an operation ended that was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// It was looked at and turned down.
    Refused(String),
    /// It is not done.
    Failed(String),
    /// It may be done.
    Unknown(String),
}

/// An operation that was done, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Success {
    /// When it was wanted: in a closed loop when it was sent.
    pub(super) wanted: Instant,
    /// When it was sent first.
    pub(super) sent: Instant,
    pub(super) attempts: u32,
    /// Who led, as the answer says.
    pub(super) reign: Option<Reign>,
    /// Whether it found nothing, or not what it expected: a get of a key that is not set, a swap
    /// that was refused.
    pub(super) in_vain: bool,
}

/// One kind of operation, over the whole run.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) kind: Kind,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) unknown: u64,
    pub(super) in_vain: u64,
    /// Nanoseconds from the first attempt to the answer; only of an open loop, where the latency
    /// counts from when the operation was wanted.
    pub(super) service: Option<Histogram<u64>>,
    /// For how many nanoseconds those waited that were never answered; only of a closed loop, where
    /// they stand for all the others that could have been sent meanwhile.
    pub(super) unanswered: Option<Histogram<u64>>,
}

#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) started: Instant,
    pub(super) tallies: Vec<Tally>,
    pub(super) intervals: Intervals,
    pub(super) writes: Silence,
    pub(super) reads: Silence,
    /// Operations done in each [`SLOT`] of the run.
    pub(super) slots: Vec<u32>,
    /// The reads among them.
    pub(super) read_slots: Vec<u32>,
    /// Operations sent that have not ended.
    pub(super) in_flight: u64,
    /// Operations of an open loop that nobody had the time to send.
    pub(super) dropped: u64,
    /// Nanoseconds between when operations were due and when they were sent.
    pub(super) lag: Option<Histogram<u64>>,
    /// Attempts after the first ones, of operations that were done.
    pub(super) retries: u64,
    /// The highest index of an answer that knew all that was done before it was asked for.
    pub(super) highest: u64,
    /// Answers that show that the cluster lost what it had, in words.
    pub(super) forgotten: Vec<String>,
    last_end: Instant,
    /// When this program itself stood still.
    pub(super) pulse: Pulse,
    /// The first failures, in words.
    pub(super) messages: Vec<String>,
    /// Nothing has been acknowledged for too long to go on.
    pub(super) gave_up: bool,
}

/// What a recorder is made for.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) started: Instant,
    /// Who leads at the start.
    pub(super) reign: Option<Reign>,
    pub(super) mix: Mix,
    pub(super) gap_min: Duration,
    pub(super) interval: Duration,
    /// Whether operations are due at times of their own.
    pub(super) open_loop: bool,
}

impl Recorder {
    pub(super) fn new(frame: Frame) -> Self {
        let Frame { started, reign, mix, gap_min, interval, open_loop } = frame;
        let kinds: Vec<Kind> = mix.kinds().collect();
        let tally = |kind: &Kind| Tally {
            kind: *kind,
            ok: 0,
            failed: 0,
            unknown: 0,
            in_vain: 0,
            service: open_loop.then(histogram),
            unanswered: (!open_loop).then(histogram),
        };
        let silence = Silence::new(started, reign, gap_min);
        Self {
            started,
            tallies: kinds.iter().map(tally).collect(),
            intervals: Intervals::new(interval, kinds),
            writes: silence.clone(),
            reads: silence,
            slots: Vec::new(),
            read_slots: Vec::new(),
            in_flight: 0,
            dropped: 0,
            lag: open_loop.then(histogram),
            retries: 0,
            highest: 0,
            forgotten: Vec::new(),
            last_end: started,
            pulse: Pulse::new(started, machine_slept()),
            messages: Vec::new(),
            gave_up: false,
        }
    }

    /// This program runs now. If it did not for a while, nobody waited meanwhile.
    pub(super) fn beat(&mut self, now: Instant) {
        if let Some(stall) = self.pulse.beat(now) {
            self.writes.stood_still(stall);
            self.reads.stood_still(stall);
        }
    }

    /// The clock is looked at; the machine has slept for so long since it was started.
    pub(super) fn look(&mut self, now: Instant, slept: Duration) {
        self.beat(now);
        self.pulse.slept(now, slept);
    }

    /// An operation was wanted from that moment on, and is sent now. What it waited for until then
    /// was this program, not the cluster.
    pub(super) fn begin(&mut self, kind: Kind, wanted: Instant, now: Instant) {
        self.beat(now);
        self.in_flight += 1;
        self.class(kind).begin(now);
        if let Some(lag) = &mut self.lag {
            lag.saturating_record(nanos(now.saturating_duration_since(wanted)));
        }
    }

    /// An attempt failed; `term` is that of the node that answered, if one did.
    pub(super) fn fault(&mut self, now: Instant, write: bool, term: u64) {
        self.beat(now);
        if write {
            self.writes.fault(now, term);
        } else {
            self.reads.fault(now, term);
        }
    }

    /// An answer that knows all that was done before it was asked for has this index. `before` was
    /// the highest then. A lower one is that of a log that was begun anew.
    pub(super) fn index(&mut self, now: Instant, before: u64, index: u64) {
        if 0 < index && index < before && self.forgotten.len() < MESSAGES_MAX {
            let at = now.saturating_duration_since(self.started).as_secs_f64();
            self.forgotten.push(format!("at {at:.1} s its log was at {index}, after {before}"));
        }
        self.highest = self.highest.max(index);
    }

    pub(super) fn done(&mut self, now: Instant, kind: Kind, success: &Success) {
        let Success { wanted, sent, attempts, reign, in_vain } = *success;
        let at = self.ends(now);
        let took = |from: Instant| nanos(self.pulse.awake(from, now));
        let (since_wanted, since_sent) = (took(wanted), took(sent));
        self.intervals.record(kind, since_wanted);
        let again = u64::from(attempts.saturating_sub(1));
        self.intervals.row(kind).retries += again;
        self.retries += again;
        self.class(kind).done(now, reign);
        let tally = self.tally(kind);
        tally.ok += 1;
        tally.in_vain += u64::from(in_vain);
        if let Some(service) = &mut tally.service {
            service.saturating_record(since_sent);
        }
        let slot = usize::try_from(at.as_millis() / SLOT.as_millis()).unwrap_or(usize::MAX);
        count_in(&mut self.slots, slot);
        if kind.is_read() {
            count_in(&mut self.read_slots, slot);
        }
    }

    /// An operation that was sent then was not done.
    pub(super) fn missed(&mut self, now: Instant, kind: Kind, sent: Instant, miss: Miss) {
        self.ends(now);
        let waited = nanos(self.pulse.awake(sent, now));
        let class = self.class(kind);
        match &miss {
            Miss::Refused(_) => class.refused(),
            Miss::Failed(_) | Miss::Unknown(_) => class.missed(),
        }
        let unknown = u64::from(matches!(miss, Miss::Unknown(_)));
        let tally = self.tally(kind);
        tally.unknown += unknown;
        tally.failed += 1 - unknown;
        let times = tally.unanswered.as_mut().filter(|_| !matches!(miss, Miss::Refused(_)));
        if let Some(times) = times {
            times.saturating_record(waited);
        }
        let row = self.intervals.row(kind);
        row.unknown += unknown;
        row.failed += 1 - unknown;
        let (Miss::Refused(message) | Miss::Failed(message) | Miss::Unknown(message)) = miss;
        if self.messages.len() < MESSAGES_MAX && !self.messages.contains(&message) {
            self.messages.push(message);
        }
    }

    /// The run is over.
    pub(super) fn finish(&mut self) {
        let end = self.last_end;
        self.writes.finish(end);
        self.reads.finish(end);
        let reign = self.reign();
        self.intervals.finish(self.elapsed(), reign);
    }

    /// For how long nothing has been done.
    pub(super) fn silence(&mut self, now: Instant) -> Duration {
        self.beat(now);
        match (self.writes.lasts(now), self.reads.lasts(now)) {
            (Duration::ZERO, reads) => reads,
            (writes, Duration::ZERO) => writes,
            (writes, reads) => writes.min(reads),
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.last_end.saturating_duration_since(self.started)
    }

    /// The time of the run in which this program could see anything.
    pub(super) fn awake(&self) -> Duration {
        self.pulse.awake(self.started, self.last_end)
    }

    /// The class that outages are first told of: writes, unless there are none.
    pub(super) fn primary(&self) -> &Silence {
        if self.intervals.kinds.iter().all(|kind| kind.is_read()) {
            &self.reads
        } else {
            &self.writes
        }
    }

    /// The leader of the latest term that was seen.
    pub(super) fn reign(&self) -> Option<Reign> {
        [self.writes.reign, self.reads.reign].into_iter().flatten().max_by_key(|reign| reign.term)
    }

    pub(super) fn sum(&self, count: impl Fn(&Tally) -> u64) -> u64 {
        self.tallies.iter().map(count).sum()
    }

    /// Closes the slices before this moment.
    pub(super) fn roll(&mut self, now: Instant) {
        let at = now.saturating_duration_since(self.started);
        let (in_flight, reign) = (self.in_flight, self.reign());
        self.intervals.roll(at, in_flight, reign);
    }

    /// An operation ends now.
    fn ends(&mut self, now: Instant) -> Duration {
        self.beat(now);
        self.roll(now);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.last_end = self.last_end.max(now);
        now.saturating_duration_since(self.started)
    }

    fn class(&mut self, kind: Kind) -> &mut Silence {
        if kind.is_read() { &mut self.reads } else { &mut self.writes }
    }

    fn tally(&mut self, kind: Kind) -> &mut Tally {
        let tally = self.tallies.iter_mut().find(|tally| tally.kind == kind);
        tally.expect("only kinds of the mix are drawn")
    }
}

fn count_in(slots: &mut Vec<u32>, slot: usize) {
    if slots.len() <= slot {
        slots.resize(slot + 1, 0);
    }
    slots[slot] += 1;
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn recorder(open_loop: bool) -> (Instant, Recorder) {
        let started = Instant::now();
        let mix = "put=1,get=1".parse().unwrap();
        let (gap_min, interval) = (ms(100), ms(1000));
        let frame = Frame { started, reign: None, mix, gap_min, interval, open_loop };
        (started, Recorder::new(frame))
    }

    /// What waits for a worker is late, but it is not the cluster that it waits for.
    #[test]
    fn waiting_for_a_worker_is_no_outage() {
        let (started, mut recorder) = recorder(true);
        for second in 1..5 {
            let due = started + ms(1000 * second - 900);
            (0..18).for_each(|tick| recorder.beat(due + ms(50 * tick)));
            let sent = due + ms(900);
            recorder.begin(Kind::Get, due, sent);
            let success = Success { wanted: due, sent, attempts: 1, reign: None, in_vain: false };
            recorder.done(sent + ms(2), Kind::Get, &success);
        }
        recorder.finish();
        assert_eq!((recorder.reads.gaps.len(), recorder.reads.longest), (0, ms(2)));
        assert!(ms(902) <= Duration::from_nanos(recorder.intervals.sum(Kind::Get, |_| true).max()));
    }

    /// Stopped for three seconds with a write under way and another one due.
    #[test]
    fn what_this_program_slept_through_is_not_blamed_on_the_cluster() {
        let (started, mut recorder) = recorder(true);
        let sent = started + ms(10);
        recorder.begin(Kind::Put, sent, sent);
        recorder.beat(started + ms(50));
        let woken = started + ms(3050);
        let success = Success { wanted: sent, sent, attempts: 1, reign: None, in_vain: false };
        recorder.done(woken, Kind::Put, &success);
        recorder.begin(Kind::Get, started + ms(1000), woken);
        let wanted = started + ms(1000);
        let success = Success { wanted, sent: woken, attempts: 1, reign: None, in_vain: false };
        recorder.done(woken + ms(5), Kind::Get, &success);
        recorder.finish();
        assert_eq!(recorder.pulse.stalls.len(), 1);
        assert_eq!(recorder.awake(), ms(55));
        assert_eq!((recorder.writes.gaps.len(), recorder.writes.longest), (0, ms(40)));
        let longest = |kind| recorder.intervals.sum(kind, |_| true).max() / 1_000_000;
        assert_eq!([longest(Kind::Put), longest(Kind::Get)], [40, 5]);
    }

    /// Two writes at a time may end in either order; one that was sent after the other has ended
    /// comes after it.
    #[test]
    fn a_log_that_went_back_is_noticed() {
        let (started, mut recorder) = recorder(false);
        recorder.index(started, 0, 9);
        recorder.index(started, 0, 8);
        recorder.index(started, 9, 10);
        recorder.index(started, 9, 0);
        assert_eq!(recorder.forgotten, [""; 0]);
        let before = recorder.highest;
        recorder.index(started + ms(3000), before, 4);
        assert_eq!(recorder.forgotten, ["at 3.0 s its log was at 4, after 10"]);
    }

    #[test]
    fn kinds_are_counted_apart() {
        let (started, mut recorder) = recorder(true);
        let due = started + ms(10);
        let sent = due + ms(5);
        recorder.begin(Kind::Put, due, sent);
        let success = Success { wanted: due, sent, attempts: 3, reign: None, in_vain: false };
        recorder.done(sent + ms(2), Kind::Put, &success);
        recorder.begin(Kind::Get, due, sent);
        (1..30).for_each(|tick| recorder.beat(sent + ms(50 * tick)));
        recorder.missed(sent + ms(1500), Kind::Get, sent, Miss::Failed("no leader".into()));
        recorder.finish();
        let counts: Vec<_> =
            recorder.tallies.iter().map(|it| (it.kind, it.ok, it.failed, it.unknown)).collect();
        assert_eq!(counts, [(Kind::Put, 1, 0, 0), (Kind::Get, 0, 1, 0)]);
        let close = |value: u64, ms: u64| value.abs_diff(ms * 1_000_000) < 10_000;
        let put = recorder.intervals.sum(Kind::Put, |_| true);
        assert!(close(put.max(), 7), "counted from when it was due: {}", put.max());
        let service = recorder.tallies[0].service.as_ref().unwrap();
        assert!(close(service.max(), 2), "counted from when it was sent: {}", service.max());
        assert!(close(recorder.lag.as_ref().unwrap().max(), 5));
        assert_eq!(recorder.retries, 2);
        assert_eq!((recorder.slots.len(), recorder.slots.iter().sum::<u32>()), (1, 1));
        assert_eq!(recorder.intervals.done.len(), 2);
        assert_eq!(recorder.reads.gaps.len(), 1, "a read that nobody answered");
        assert!(recorder.writes.gaps.is_empty());
    }
}
