//! What the workers saw: latencies, outcomes, and when nothing came through.
//!
//! One recorder for all workers. A histogram for each of a thousand workers would take hundreds of
//! megabytes, and on one thread the lock is never waited for.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::{ClientError, Receipt};

/// Nanoseconds in an hour. No operation's deadline is later.
const LATENCY_MAX: u64 = 3_600_000_000_000;

/// Gaps that are kept; the longest includes the others.
const GAPS_MAX: usize = 50_000;

/// Different messages of failed operations that are kept.
const MESSAGES_MAX: usize = 3;

/// A time during which no write was acknowledged, over all workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// When it began, counted from the start of the run.
    pub(super) at: Duration,
    pub(super) length: Duration,
    /// Who led before.
    pub(super) before: Option<Reign>,
    /// Who acknowledged the write that ended it; `None`: the run ended first.
    pub(super) after: Option<Reign>,
}

/// A leader and its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reign {
    pub(super) leader: u64,
    pub(super) term: u64,
}

/// What happened while nothing was acknowledged.
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

#[derive(Debug)]
pub(super) struct Recorder {
    started: Instant,
    /// A silence between two acknowledged writes is kept if it is so long.
    gap_min: Duration,
    /// Nanoseconds of acknowledged writes, from the first attempt to the answer.
    pub(super) latency: Histogram<u64>,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) unknown: u64,
    /// When the last write was acknowledged; before the first, the start.
    last_ok: Instant,
    /// When the last operation ended.
    last_end: Instant,
    /// How the operations ended that ended since the last write was acknowledged.
    since_ok: SinceOk,
    pub(super) reign: Option<Reign>,
    pub(super) leader_changes: u64,
    pub(super) longest_gap: Duration,
    pub(super) gaps: Vec<Gap>,
    /// Gaps beyond those that are kept.
    pub(super) gaps_left_out: u64,
    /// The first failures, in words.
    pub(super) messages: Vec<String>,
    /// Nothing has been acknowledged for too long to go on.
    pub(super) gave_up: bool,
}

impl Recorder {
    /// `reign` is who leads at the start.
    pub(super) fn new(started: Instant, reign: Reign, gap_min: Duration) -> Self {
        Self {
            started,
            gap_min,
            latency: Histogram::new_with_max(LATENCY_MAX, 3)
                .expect("bounds and digits are allowed"),
            ok: 0,
            failed: 0,
            unknown: 0,
            last_ok: started,
            last_end: started,
            since_ok: SinceOk::default(),
            reign: Some(reign),
            leader_changes: 0,
            longest_gap: Duration::ZERO,
            gaps: Vec::new(),
            gaps_left_out: 0,
            messages: Vec::new(),
            gave_up: false,
        }
    }

    pub(super) fn acknowledged(&mut self, now: Instant, latency: Duration, receipt: &Receipt) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.latency.saturating_record(nanos);
        self.last_end = now;
        let before = self.reign;
        let reign = Reign { leader: receipt.leader, term: receipt.term };
        if before.is_none_or(|before| before.term < reign.term) {
            let other = before.is_some_and(|before| before.leader != reign.leader);
            self.leader_changes += u64::from(other);
            self.reign = Some(reign);
        }
        self.close_gap(now, before, Some(reign));
        self.ok += 1;
        self.last_ok = now;
        self.since_ok = SinceOk::Nothing;
    }

    pub(super) fn missed(&mut self, now: Instant, error: &ClientError) {
        match error {
            ClientError::Failed(failed) if failed.kind.is_refusal() => {
                return self.refused(now, error.to_string());
            }
            ClientError::Failed(_) => self.failed += 1,
            ClientError::Unknown(_) => self.unknown += 1,
        }
        self.since_ok = SinceOk::Trouble;
        self.note(error.to_string());
        self.last_end = now;
    }

    /// A write was looked at and will not be done.
    pub(super) fn refused(&mut self, now: Instant, message: String) {
        self.failed += 1;
        if self.since_ok == SinceOk::Nothing {
            self.since_ok = SinceOk::OnlyRefusals;
        }
        self.note(message);
        self.last_end = now;
    }

    /// A write was answered with something that cannot be read.
    pub(super) fn senseless(&mut self, now: Instant, message: String) {
        self.unknown += 1;
        self.since_ok = SinceOk::Trouble;
        self.note(message);
        self.last_end = now;
    }

    fn note(&mut self, message: String) {
        if self.messages.len() < MESSAGES_MAX && !self.messages.contains(&message) {
            self.messages.push(message);
        }
    }

    /// The run is over: a silence that nothing ended counts too.
    pub(super) fn finish(&mut self) {
        self.close_gap(self.last_end, self.reign, None);
    }

    /// For how long nothing has been acknowledged.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now - self.last_ok
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.last_end - self.started
    }

    fn close_gap(&mut self, now: Instant, before: Option<Reign>, after: Option<Reign>) {
        let between_two = 0 < self.ok && after.is_some();
        if !between_two && self.since_ok == SinceOk::OnlyRefusals {
            return; // The cluster was there all the time.
        }
        let length = now - self.last_ok;
        self.longest_gap = self.longest_gap.max(length);
        if length < self.gap_min {
            return;
        }
        if self.gaps.len() < GAPS_MAX {
            let at = self.last_ok - self.started;
            self.gaps.push(Gap { at, length, before, after });
        } else {
            self.gaps_left_out += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Failed, FailedKind, Reasons, Unknown};

    const GAP_MIN: Duration = Duration::from_millis(100);

    fn receipt(leader: u64, term: u64) -> Receipt {
        Receipt {
            term,
            index: 1,
            node: leader,
            leader,
            duplicate: false,
            attempts: 1,
            members_as_of: 0,
        }
    }

    fn unknown() -> ClientError {
        let reasons = Reasons::default();
        ClientError::Unknown(Unknown { after: Duration::ZERO, session_lost: false, reasons })
    }

    fn failed(kind: FailedKind) -> ClientError {
        let reasons = Reasons::default();
        ClientError::Failed(Failed { kind, after: Duration::ZERO, reasons })
    }

    /// A cluster that says no is there; one that says nothing, or no to one write and nothing to
    /// the next, is not.
    #[test]
    fn refusals_alone_are_no_outage() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let first = Reign { leader: 1, term: 1 };
        let gaps = |errors: &[ClientError]| {
            let mut recorder = Recorder::new(start, first, GAP_MIN);
            for error in errors {
                recorder.missed(start + ms(400), error);
            }
            recorder.finish();
            (recorder.gaps.len(), recorder.longest_gap)
        };
        let refusal = || failed(FailedKind::TooLarge);
        assert_eq!(gaps(&[refusal(), refusal()]), (0, Duration::ZERO));
        assert_eq!(gaps(&[refusal(), failed(FailedKind::NoLeader)]), (1, ms(400)));
        assert_eq!(gaps(&[unknown(), refusal()]), (1, ms(400)));

        let mut recorder = Recorder::new(start, first, GAP_MIN);
        recorder.acknowledged(start + ms(10), ms(1), &receipt(1, 1));
        recorder.missed(start + ms(20), &refusal());
        recorder.acknowledged(start + ms(210), ms(1), &receipt(1, 1));
        assert_eq!(recorder.longest_gap, ms(200), "between two acknowledged writes it counts");
    }

    #[test]
    fn a_gap_says_when_how_long_and_between_whom() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let first = Reign { leader: 1, term: 1 };
        let mut recorder = Recorder::new(start, first, GAP_MIN);
        let latency = Duration::from_millis(1);
        recorder.acknowledged(at(10), latency, &receipt(1, 1));
        recorder.acknowledged(at(330), latency, &receipt(2, 4));
        recorder.acknowledged(at(340), latency, &receipt(2, 4));
        recorder.missed(at(500), &unknown());
        recorder.finish();
        let second = Some(Reign { leader: 2, term: 4 });
        let ms = Duration::from_millis;
        let gaps = [
            Gap { at: ms(10), length: ms(320), before: Some(first), after: second },
            Gap { at: ms(340), length: ms(160), before: second, after: None },
        ];
        assert_eq!(recorder.gaps, gaps);
        assert_eq!(recorder.longest_gap, ms(320));
        let median = recorder.latency.value_at_quantile(0.5);
        assert!((999_000..=1_001_000).contains(&median), "{median} ns");
        assert_eq!(recorder.leader_changes, 1);
        assert_eq!((recorder.ok, recorder.unknown, recorder.elapsed()), (3, 1, ms(500)));
    }

    /// An answer that an old leader gave late must not look like two changes.
    #[test]
    fn a_late_answer_of_an_older_term_is_no_leader_change() {
        let start = Instant::now();
        let mut recorder = Recorder::new(start, Reign { leader: 1, term: 1 }, GAP_MIN);
        for (leader, term) in [(2, 2), (1, 1), (2, 2)] {
            recorder.acknowledged(start, Duration::ZERO, &receipt(leader, term));
        }
        assert_eq!(recorder.leader_changes, 1);
    }
}
