//! Whether the load was worth anything: a run in which nobody asked, or nobody looked, shows nothing.

use lin_check::{Operation, Outcome as Ending};

use super::claims::{Claim, Held};
use super::findings::Evidence;
use super::foreign;
use super::gaps::{Spread, Timeline, Window};
use super::judge::Judged;
use crate::events::{Shown, grouped, micros};
use crate::exit::Code;
use crate::load::BenchResult;
use crate::plan::Expect;

/// Fewer acknowledged operations than this before the first fault, and nothing has been shown.
const BEFORE_MIN: u64 = 100;

pub(super) fn enough_load(evidence: &Evidence<'_>) -> Claim {
    let claim = "there was load before the faults";
    let how = "operations answered before the first fault, and writes acknowledged since the last one, \
               by the clients' own times; and some of each kind that was to be asked";
    let (code, findings) = (Code::Inconclusive, evidence.findings);
    let open = |evidence: String| Claim { claim, verdict: Held::Unknown, how, evidence, code };
    let (Judged::Said(_, history), Some(clients)) = (evidence.judged, &findings.clients) else {
        return open("the clients did not come to their end".to_owned());
    };
    let (Some(first), Some(last)) = (evidence.lines.first(), evidence.lines.last()) else {
        return open("there was no fault".to_owned());
    };
    let clock = |at_us: u64| at_us.saturating_sub(clients.registers.started_mono_us) * 1000;
    let answered =
        Answered::of(history.operations(), clock(first.at_mono_us), clock(last.at_mono_us));
    let asked = findings.identity.scenario.load.mix.iter().filter(|(_, share)| 0 < **share);
    let mut never = asked.filter(|(kind, _)| clients.registers.answered(kind) == 0);
    let (verdict, evidence) = answered.verdict(never.next().map(|(kind, _)| kind.as_str()));
    Claim { claim, verdict, how, evidence, code }
}

/// What was answered, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Answered {
    before: u64,
    writes_since: u64,
}

impl Answered {
    /// Before the first fault and since the last one, on the clients' clock.
    fn of(operations: &[Operation], first_ns: u64, last_ns: u64) -> Self {
        let mut answered = Self::default();
        for operation in operations.iter().filter(|it| matches!(it.outcome, Ending::Ok(_))) {
            let returned_ns = operation.returned_ns.unwrap_or_default();
            answered.before += u64::from(returned_ns < first_ns);
            // The clients end with reads: they say nothing of the load.
            let write = !operation.input.is_read() && last_ns < returned_ns;
            answered.writes_since += u64::from(write);
        }
        answered
    }

    /// `never`: a kind of operation that was asked for and never answered.
    fn verdict(self, never: Option<&str>) -> (Held, String) {
        let before = grouped(self.before);
        if let Some(kind) = never {
            return (
                Held::Unknown,
                format!("{before} operations, and no {kind} was ever answered"),
            );
        }
        if self.writes_since == 0 {
            let words = format!("{before} operations, and no write since the last fault");
            return (Held::Unknown, words);
        }
        let enough = if self.before < BEFORE_MIN { Held::Unknown } else { Held::Pass };
        (enough, format!("{before} operations"))
    }
}

/// What the scenario expects of the gaps. Of debug builds nothing.
pub(super) fn quick_enough(evidence: &Evidence<'_>, gaps: [Option<Spread>; 3]) -> Option<Claim> {
    let (findings, expect) = (evidence.findings, evidence.findings.identity.scenario.expect);
    if expect.median_gap.is_none() && expect.longest_gap.is_none() {
        return None;
    }
    let claim = "gaps as short as expected";
    let how = "the longest times without an acknowledged write, from each fault to its end and from \
               there to the next one; and from the first fault on without an answered read, while one \
               was waited for";
    let [during, leader, later] = gaps;
    let code = Code::TooSlow;
    if let Some(claim) = foreign::not_expected(evidence, claim, during) {
        return Some(claim);
    }
    let (Some(all), Some(clients), Some(first)) =
        (during, findings.clients.as_ref(), evidence.lines.first())
    else {
        let evidence = "there was nothing to be measured".to_owned();
        return Some(Claim { claim, verdict: Held::Unknown, how, evidence, code });
    };
    let since = Window { from_us: first.at_mono_us, to_us: u64::MAX };
    let still = |load: &BenchResult| Timeline::of_stalls(load).longest(since);
    let seen = Seen {
        median: leader.map_or(all.median_us, |leader| leader.median_us.max(all.median_us)),
        longest: later.map_or(all.max_us, |later| later.max_us.max(all.max_us)),
        reads: Timeline::of_reads(&clients.registers).longest(since).unwrap_or(0),
        blind: still(&clients.registers).max(still(&clients.lists)).unwrap_or(0),
    };
    let (verdict, evidence) = seen.verdict(&expect, findings.identity.debug_build);
    Some(Claim { claim, verdict, how, evidence, code })
}

/// How long it took, in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    median: u64,
    longest: u64,
    /// The longest time without an answered read.
    reads: u64,
    /// The longest time in which a client stood still itself: it asked nobody, and saw no gap.
    blind: u64,
}

impl Seen {
    fn verdict(self, expect: &Expect, debug_build: bool) -> (Held, String) {
        let Self { median, longest, reads, blind } = self;
        let words = format!(
            "median {}, longest {}, of reads {}",
            Shown(median),
            Shown(longest),
            Shown(reads)
        );
        if debug_build {
            let words = format!("{words}; these are debug builds, so times are not judged");
            return (Held::Pass, words);
        }
        let bounds = [("median", expect.median_gap), ("longest", expect.longest_gap)];
        let shown = bounds.iter().filter_map(|(name, it)| Some(format!("{name} {}", (*it)?)));
        let words = format!("{words}; expected: {}", shown.collect::<Vec<_>>().join(", "));
        let [median_max, longest_max] = bounds.map(|(_, bound)| bound.map(|it| micros(it.0)));
        let slow = median_max.is_some_and(|most| most < median);
        if slow || longest_max.is_some_and(|most| most < longest.max(reads)) {
            return (Held::Fail, words);
        }
        // What this program or the machine slept through is nobody's fault, and no measurement.
        if median_max.max(longest_max).is_some_and(|most| most < blind) {
            let blind = Shown(blind);
            return (
                Held::Unknown,
                format!("{words}; but a client itself stood still for {blind}"),
            );
        }
        (Held::Pass, words)
    }
}

#[cfg(test)]
mod tests {
    use lin_check::{History, Input, Output, Process};

    use super::*;

    #[test]
    fn a_load_that_ends_with_the_first_fault_shows_nothing() {
        let mut history = History::new();
        for at in 0..120 {
            let op = history.invoke(Process(1), "x", Input::put("a"), at * 10);
            history.ok(op, Output::Done, at * 10 + 5);
        }
        let read = history.invoke(Process(1), "x", Input::Get, 9_000);
        history.ok(read, Output::Value(Some("a".to_owned())), 9_001);
        let verdict =
            |first, last, never| Answered::of(history.operations(), first, last).verdict(never);
        assert_eq!(verdict(1_100, 1_150, None), (Held::Pass, "110 operations".to_owned()));
        let (held, words) = verdict(1_100, 1_500, None);
        assert_eq!(held, Held::Unknown, "{words}");
        assert_eq!(words, "110 operations, and no write since the last fault");
        assert_eq!(verdict(500, 1_000, None).0, Held::Unknown, "too little before");
        let (held, words) = verdict(1_100, 1_150, Some("get"));
        assert_eq!(held, Held::Unknown);
        assert_eq!(words, "110 operations, and no get was ever answered");
    }

    #[test]
    fn times_that_nobody_measured_are_not_short() {
        let expect = |median: &str, longest: &str| Expect {
            median_gap: median.parse().ok(),
            longest_gap: longest.parse().ok(),
            ..Expect::default()
        };
        let both = expect("100ms", "1s");
        let seen = Seen { median: 90_000, longest: 900_000, reads: 200_000, blind: 900_000 };
        let verdict = |seen: Seen| seen.verdict(&both, false).0;
        assert_eq!(verdict(seen), Held::Pass);
        assert_eq!(verdict(Seen { blind: 3_000_000, ..seen }), Held::Unknown);
        assert_eq!(verdict(Seen { median: 110_000, blind: 3_000_000, ..seen }), Held::Fail);
        assert_eq!(verdict(Seen { longest: 1_100_000, ..seen }), Held::Fail);
        assert_eq!(verdict(Seen { reads: 1_100_000, ..seen }), Held::Fail);
        assert_eq!(seen.verdict(&expect("80ms", ""), false).0, Held::Fail);
        let slow = Seen { median: 9_000_000, ..seen };
        assert_eq!(slow.verdict(&both, true).0, Held::Pass, "a debug build");
    }
}
