//! When the cluster did nothing for its users: the times in which somebody waited and nothing was
//! done, and what was seen of the leaders meanwhile. Writes and reads have one of these each.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// Gaps that are kept; the longest includes the others.
const GAPS_MAX: usize = 50_000;

/// Nanoseconds in an hour.
const HOUR: u64 = 3_600_000_000_000;

/// A time in which nothing was done though somebody waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// When it began, counted from the start of the run.
    pub(super) at: Duration,
    pub(super) length: Duration,
    /// Who led before.
    pub(super) before: Option<Reign>,
    /// Who did what ended it; `None`: the run ended first.
    pub(super) after: Option<Reign>,
    /// The first attempt that failed in it, counted from the start of the run.
    pub(super) first_fault: Option<Duration>,
    /// The first answer in it that told of a later term, counted from the start of the run.
    pub(super) first_new_term: Option<Duration>,
    /// Attempts that failed in it.
    pub(super) faults: u64,
}

/// A leader and its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reign {
    pub(super) leader: u64,
    pub(super) term: u64,
}

/// What happened while nothing was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SinceOk {
    /// No operation ended.
    #[default]
    Nothing,
    /// The cluster answered, and its answers were no.
    OnlyRefusals,
    /// It did not answer as it should.
    Trouble,
}

/// Watches one class of operations.
#[derive(Clone, Debug)]
pub(super) struct Silence {
    started: Instant,
    /// A gap is kept if it is so long.
    gap_min: Duration,
    pub(super) ok: u64,
    /// Operations that were sent and have not ended.
    waiting: u64,
    /// Since when somebody has been waiting while nothing was done; `None`: nobody waits.
    since: Option<Instant>,
    since_ok: SinceOk,
    first_fault: Option<Instant>,
    first_new_term: Option<Instant>,
    faults: u64,
    /// Nanoseconds between two operations that were done, while somebody waited.
    between: Histogram<u64>,
    /// Whether anything was ever sent.
    was_asked: bool,
    /// Since when nobody has been waiting; `None`: somebody waits.
    idle_since: Option<Instant>,
    /// Nanoseconds in which nobody waited, each time.
    idle: Histogram<u64>,
    /// Those times that are as long as a gap.
    pub(super) idles: Vec<(Duration, Duration)>,
    pub(super) reign: Option<Reign>,
    pub(super) longest: Duration,
    pub(super) gaps: Vec<Gap>,
    /// Gaps beyond those that are kept.
    pub(super) gaps_left_out: u64,
    /// The silence, however short, at whose end somebody else led, or in another term.
    pub(super) changes: Vec<Gap>,
}

impl Silence {
    /// `reign` is who leads at the start.
    pub(super) fn new(started: Instant, reign: Option<Reign>, gap_min: Duration) -> Self {
        Self {
            started,
            gap_min,
            ok: 0,
            waiting: 0,
            since: None,
            since_ok: SinceOk::default(),
            first_fault: None,
            first_new_term: None,
            faults: 0,
            between: Histogram::new_with_max(HOUR, 2).expect("bounds and digits are allowed"),
            was_asked: false,
            idle_since: Some(started),
            idle: Histogram::new_with_max(HOUR, 2).expect("bounds and digits are allowed"),
            idles: Vec::new(),
            reign,
            longest: Duration::ZERO,
            gaps: Vec::new(),
            gaps_left_out: 0,
            changes: Vec::new(),
        }
    }

    /// An operation is sent.
    pub(super) fn begin(&mut self, now: Instant) {
        self.waiting += 1;
        self.was_asked = true;
        self.since.get_or_insert(now);
        self.end_idle(now);
    }

    /// Somebody waits from now on, or the run is over.
    fn end_idle(&mut self, now: Instant) {
        let Some(since) = self.idle_since.take() else { return };
        let length = now.saturating_duration_since(since);
        self.idle.saturating_record(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        if self.gap_min <= length && self.idles.len() < GAPS_MAX {
            self.idles.push((since.saturating_duration_since(self.started), length));
        }
    }

    /// Nothing of this was seen for so long, up to now: who would have waited did not wait.
    pub(super) fn stood_still(&mut self, stall: Duration) {
        self.since = self.since.map(|since| since + stall);
        self.idle_since = self.idle_since.map(|since| since + stall);
    }

    /// An attempt failed; `term` is that of the node that answered, if one did.
    pub(super) fn fault(&mut self, now: Instant, term: u64) {
        self.faults += 1;
        self.first_fault.get_or_insert(now);
        if self.reign.is_some_and(|reign| reign.term < term) {
            self.first_new_term.get_or_insert(now);
        }
    }

    /// An operation was done, by this leader if there are leaders.
    pub(super) fn done(&mut self, now: Instant, reign: Option<Reign>) {
        let before = self.reign;
        if let Some(reign) = reign
            && before.is_none_or(|before| before.term < reign.term)
        {
            self.reign = Some(reign);
            self.first_new_term.get_or_insert(now);
        }
        self.close(now, before, self.reign, true);
        self.ok += 1;
        self.waiting = self.waiting.saturating_sub(1);
        self.since = (0 < self.waiting).then_some(now);
        self.idle_since = self.since.is_none().then_some(now);
        self.since_ok = SinceOk::Nothing;
        (self.first_fault, self.first_new_term, self.faults) = (None, None, 0);
    }

    /// An operation was looked at, and will not be done.
    pub(super) fn refused(&mut self) {
        if self.since_ok == SinceOk::Nothing {
            self.since_ok = SinceOk::OnlyRefusals;
        }
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// An operation ended otherwise.
    pub(super) fn missed(&mut self) {
        self.since_ok = SinceOk::Trouble;
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// The run is over: a silence that nothing ended counts too.
    pub(super) fn finish(&mut self, now: Instant) {
        self.end_idle(now);
        self.close(now, self.reign, None, false);
    }

    fn close(&mut self, now: Instant, before: Option<Reign>, after: Option<Reign>, done: bool) {
        let Some(since) = self.since else { return };
        let length = now.saturating_duration_since(since);
        let between_two = 0 < self.ok && done;
        if between_two {
            self.between.saturating_record(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
        } else if self.since_ok == SinceOk::OnlyRefusals {
            return; // The cluster was there all the time.
        }
        self.longest = self.longest.max(length);
        let offset = |at: Instant| at.saturating_duration_since(self.started);
        let gap = Gap {
            at: offset(since),
            length,
            before,
            after: after.filter(|_| done),
            first_fault: self.first_fault.map(offset),
            first_new_term: self.first_new_term.map(offset),
            faults: self.faults,
        };
        if done && before != after && self.changes.len() < GAPS_MAX {
            self.changes.push(gap);
        }
        if length < self.gap_min {
            return;
        }
        if self.gaps.len() < GAPS_MAX {
            self.gaps.push(gap);
        } else {
            self.gaps_left_out += 1;
        }
    }

    /// How often another node took over, as the answers show.
    pub(super) fn leader_changes(&self) -> u64 {
        let leader = |reign: Option<Reign>| reign.map(|reign| reign.leader);
        let others = self.changes.iter().filter(|it| leader(it.before) != leader(it.after));
        others.count() as u64
    }

    /// How long a silence must be to be called an outage: longer than those that the load itself
    /// leaves.
    pub(super) fn outage_min(&self) -> Duration {
        let usual = Duration::from_nanos(self.between.value_at_quantile(0.5));
        (usual * OUTAGE_TIMES).max(self.gap_min)
    }

    /// The silences that are outages.
    pub(super) fn outages(&self) -> impl Iterator<Item = &Gap> {
        let min = self.outage_min();
        self.gaps.iter().filter(move |gap| min <= gap.length)
    }

    /// Whether anything was asked for at all.
    pub(super) fn was_asked(&self) -> bool {
        self.was_asked
    }

    /// The times in which nobody asked for anything, longer than the load itself leaves: of them
    /// nothing is known.
    pub(super) fn unasked(&self) -> impl Iterator<Item = Duration> {
        let usual = Duration::from_nanos(self.idle.value_at_quantile(0.5));
        let usual = if IDLES_MIN <= self.idle.len() { usual } else { Duration::ZERO };
        let min = (usual * OUTAGE_TIMES).max(self.gap_min);
        self.idles.iter().map(|(_, length)| *length).filter(move |length| min <= *length)
    }

    /// For how long somebody has been waiting and nothing was done.
    pub(super) fn lasts(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

/// An outage is so many times longer than the usual time between two operations.
const OUTAGE_TIMES: u32 = 20;

/// So many times in which nobody waited show what is usual.
const IDLES_MIN: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const GAP_MIN: Duration = Duration::from_millis(100);
    const FIRST: Reign = Reign { leader: 1, term: 1 };
    const SECOND: Reign = Reign { leader: 2, term: 4 };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn silence() -> (Instant, Silence) {
        let start = Instant::now();
        (start, Silence::new(start, Some(FIRST), GAP_MIN))
    }

    /// A cluster that says no is there; one that says nothing, or no to one write and nothing to
    /// the next, is not.
    #[test]
    fn refusals_alone_are_no_outage() {
        let gaps = |ends: &[bool]| {
            let (start, mut silence) = silence();
            for refused in ends {
                silence.begin(start);
                if *refused { silence.refused() } else { silence.missed() }
            }
            silence.finish(start + ms(400));
            (silence.gaps.len(), silence.longest)
        };
        assert_eq!(gaps(&[true, true]), (0, Duration::ZERO));
        assert_eq!(gaps(&[true, false]), (1, ms(400)));
        assert_eq!(gaps(&[false, true]), (1, ms(400)));

        let (start, mut silence) = silence();
        silence.begin(start);
        silence.begin(start);
        silence.done(start + ms(10), Some(FIRST));
        silence.refused();
        silence.begin(start + ms(20));
        silence.done(start + ms(210), Some(FIRST));
        assert_eq!(silence.longest, ms(200), "between two that were done it counts");
    }

    #[test]
    fn a_gap_says_when_how_long_and_between_whom() {
        let (start, mut silence) = silence();
        silence.begin(start);
        silence.begin(start);
        silence.done(start + ms(10), Some(FIRST));
        silence.fault(start + ms(30), 0);
        silence.fault(start + ms(200), 4);
        silence.done(start + ms(330), Some(SECOND));
        silence.begin(start + ms(330));
        silence.done(start + ms(340), Some(SECOND));
        silence.begin(start + ms(340));
        silence.missed();
        silence.finish(start + ms(500));
        let gap = Gap {
            at: ms(10),
            length: ms(320),
            before: Some(FIRST),
            after: Some(SECOND),
            first_fault: Some(ms(30)),
            first_new_term: Some(ms(200)),
            faults: 2,
        };
        let last = Gap {
            at: ms(340),
            length: ms(160),
            before: Some(SECOND),
            after: None,
            first_fault: None,
            first_new_term: None,
            faults: 0,
        };
        assert_eq!(silence.gaps, [gap, last]);
        assert_eq!(silence.changes, [gap]);
        assert_eq!((silence.leader_changes(), silence.longest), (1, ms(320)));
    }

    /// Nobody waited: an idle second is no outage.
    #[test]
    fn what_nobody_asked_for_is_not_missed() {
        let (start, mut silence) = silence();
        for second in 0..3 {
            let at = start + ms(1000 * second);
            silence.begin(at);
            silence.done(at + ms(2), Some(FIRST));
        }
        silence.finish(start + ms(5000));
        assert_eq!((silence.gaps.len(), silence.longest), (0, ms(2)));
    }

    /// Workers that are stuck in writes ask for no reads: nothing is known of reads then.
    #[test]
    fn what_nobody_asked_for_is_known_as_such() {
        let unasked = |lengths: &[u64]| {
            let (start, mut silence) = silence();
            let mut now = start;
            for idle in lengths {
                silence.begin(now);
                silence.done(now + ms(2), Some(FIRST));
                now += ms(2 + idle);
            }
            silence.stood_still(ms(50));
            silence.finish(now + ms(50));
            silence.unasked().collect::<Vec<_>>()
        };
        assert_eq!(unasked(&[1, 1, 1, 5000]), [ms(5000)]);
        assert_eq!(unasked(&[1, 900, 1, 5000, 1, 1, 1]), [ms(900), ms(5000)]);
        assert_eq!(unasked(&[300, 350, 300, 400]), [], "the load is so thin");
        let (start, mut silence) = silence();
        silence.finish(start + ms(700));
        assert_eq!(silence.unasked().collect::<Vec<_>>(), [ms(700)], "nobody asked at all");
    }

    /// With an operation every 50 ms, 300 ms without one are nothing unusual.
    #[test]
    fn an_outage_is_longer_than_what_the_load_leaves() {
        let (start, mut silence) = silence();
        silence.begin(start);
        let mut now = start;
        for length in [50, 50, 50, 300, 50, 1500, 50] {
            silence.begin(start);
            now += ms(length);
            silence.done(now, Some(FIRST));
        }
        assert_eq!(silence.gaps.len(), 2);
        let lengths: Vec<Duration> = silence.outages().map(|gap| gap.length).collect();
        assert_eq!(lengths, [ms(1500)]);
    }

    /// An answer that an old leader gave late must not look like two changes.
    #[test]
    fn a_late_answer_of_an_older_term_is_no_leader_change() {
        let (start, mut silence) = silence();
        for (leader, term) in [(2, 2), (1, 1), (2, 2)] {
            silence.begin(start);
            silence.done(start, Some(Reign { leader, term }));
        }
        assert_eq!(silence.leader_changes(), 1);
    }
}
