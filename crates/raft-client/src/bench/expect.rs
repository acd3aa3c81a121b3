//! What a run is expected to keep: `p99<50ms`, `get.p99.9<=5ms`, `unavail<2s`, `lost=0`, `ops>5000`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use raft_api::units::HumanDuration;
use serde::Serialize;

use super::latency::Latency;
use super::operation::Kind;
use super::report::{as_float, grouped, micros, span};
use super::summary::{Service, Summary, Verification};

/// A percentile counts on this many values above it.
const VALUES_ABOVE_MIN: f64 = 10.0;

/// One expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    text: String,
    metric: Metric,
    relation: Relation,
    bound: Bound,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Metric {
    /// Of this kind alone, or of all operations.
    Latency(Option<Kind>, Point),
    /// All outages together; of the class that this kind belongs to, or of the worse one. So are
    /// the next two.
    Unavailable(Option<Kind>),
    /// The longest time in which nothing was done.
    Longest(Option<Kind>),
    Outages(Option<Kind>),
    Lost,
    Failed,
    Unknown,
    Dropped,
    /// The part of all operations that failed or are unknown, in percent.
    Errors,
    Rate,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    /// The place in [`Latency::quantiles`].
    Quantile(usize),
    Max,
    Mean,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
}

/// Microseconds, a number, or percent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Time(u64),
    Number(f64),
    Percent(f64),
}

/// How an expectation turned out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It was kept; what was measured.
    Yes(String),
    /// It was not; what was measured.
    No(String),
    /// There is not enough to tell; why. That is not good enough.
    Untold(String),
}

/// An expectation, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// As it was written.
    pub what: String,
    /// Whether it was kept.
    pub kept: bool,
    /// What was measured, or why it cannot be told.
    pub measured: String,
}

impl Expectation {
    /// The same for programs.
    pub fn judged(&self, kept: &Kept) -> Judged {
        let (Kept::Yes(measured) | Kept::No(measured) | Kept::Untold(measured)) = kept;
        let (what, measured) = (self.text.clone(), measured.clone());
        Judged { what, kept: matches!(kept, Kept::Yes(_)), measured }
    }

    /// Whether it is about lost writes, which only reading back can tell.
    pub fn needs_verification(&self) -> bool {
        self.metric == Metric::Lost
    }

    /// Holds it against a run.
    pub fn judge(&self, summary: &Summary) -> Kept {
        let time = |micros: u64| (as_float(micros), span(Duration::from_micros(micros)));
        let number = |count: u64| (as_float(count), grouped(count));
        let (value, shown) = match self.metric {
            Metric::Latency(kind, point) => match latency(summary, kind, point) {
                Ok(value) => time(value),
                Err(kept) => return kept,
            },
            Metric::Unavailable(kind) | Metric::Longest(kind) | Metric::Outages(kind) => {
                return self.judge_outages(summary, kind);
            }
            Metric::Lost => match &summary.verify {
                Some(Verification::Done(verdict)) if verdict.checked == 0 => {
                    return Kept::Untold("no write was acknowledged: nothing to read back".into());
                }
                Some(Verification::Done(verdict)) => number(verdict.lost),
                Some(Verification::Undone(why)) => return Kept::Untold(why.clone()),
                None => return Kept::Untold("nothing was read back".to_owned()),
            },
            Metric::Failed => number(summary.failed),
            Metric::Unknown => number(summary.unknown),
            Metric::Dropped => number(summary.dropped),
            Metric::Errors => {
                let bad = summary.failed + summary.unknown + summary.dropped;
                let percent = as_float(bad) * 100.0 / as_float((summary.ok + bad).max(1));
                (percent, format!("{percent:.3}%"))
            }
            Metric::Rate => (summary.ops_per_s, format!("{:.0}", summary.ops_per_s)),
        };
        if self.holds(value) { Kept::Yes(shown) } else { Kept::No(shown) }
    }

    fn holds(&self, value: f64) -> bool {
        let bound = match self.bound {
            Bound::Time(micros) => as_float(micros),
            Bound::Number(number) | Bound::Percent(number) => number,
        };
        self.relation.holds(value, bound)
    }

    /// Of writes and reads the worse counts. What was not seen may have been an outage as well.
    fn judge_outages(&self, summary: &Summary, kind: Option<Kind>) -> Kept {
        let classes = match kind {
            None => [summary.writes, summary.reads],
            Some(kind) if kind.is_read() => [None, summary.reads],
            Some(_) => [summary.writes, None],
        };
        let classes: Vec<Service> = classes.into_iter().flatten().collect();
        let stalls = summary.stalls.iter().map(|stall| stall.length);
        let (stood, longest_stall) = (stalls.clone().sum(), stalls.max().unwrap_or_default());
        // What was measured, and what could have been there besides.
        let measured = |class: &Service| match self.metric {
            Metric::Longest(_) => (class.longest_gap, class.longest_unasked.max(longest_stall)),
            _ => (class.total, class.unasked + stood),
        };
        let worst = classes.iter().map(|class| measured(class).0).max();
        let Some(worst) = worst else { return Kept::Untold("there were none".to_owned()) };
        if let Some(class) = classes.iter().find(|class| class.available.is_none()) {
            let what = if summary.reads == Some(*class) { "read" } else { "write" };
            return Kept::Untold(format!("no {what} was asked for"));
        }
        if let Metric::Outages(_) = self.metric {
            let outages = classes.iter().map(|class| class.outages).max().unwrap_or_default();
            let shown = grouped(outages);
            return if self.holds(as_float(outages)) { Kept::Yes(shown) } else { Kept::No(shown) };
        }
        let holds = |length: Duration| self.holds(as_float(micros(length)));
        if !holds(worst) {
            return Kept::No(span(worst));
        }
        let could_be = |class: &Service| match (self.metric, measured(class)) {
            (Metric::Longest(_), (seen, unseen)) => (seen.max(unseen), unseen),
            (_, (seen, unseen)) => (seen + unseen, unseen),
        };
        let unseen = classes.iter().map(could_be).find(|(worst, _)| !holds(*worst));
        match unseen {
            Some((_, unseen)) => {
                let (worst, unseen) = (span(worst), span(unseen));
                Kept::Untold(format!("{worst}, but {unseen} were not seen or not asked for"))
            }
            None => Kept::Yes(span(worst)),
        }
    }
}

/// The latency at this point, if enough values stand behind it. What was never done was slower than
/// anything that was.
fn latency(summary: &Summary, kind: Option<Kind>, point: Point) -> Result<u64, Kept> {
    let (latency, undone) = match kind {
        None => (summary.latency_us, summary.failed + summary.unknown + summary.dropped),
        Some(kind) => {
            let op = summary.ops.iter().find(|op| op.op == kind.name());
            op.map(|op| (op.latency_us, summary.undone(op))).unwrap_or_default()
        }
    };
    if latency.count == 0 {
        return Err(Kept::Untold("nothing was done".to_owned()));
    }
    let never = || Kept::No(format!("{} operations were never done", grouped(undone)));
    match point {
        Point::Max | Point::Mean if 0 < undone => Err(never()),
        Point::Max => Ok(latency.max),
        Point::Mean => Ok(latency.mean),
        Point::Quantile(place) => {
            let (name, value, above) = latency.quantiles()[place];
            if !carries(latency.count, undone, above) {
                return Err(never());
            }
            if as_float(latency.count) * above < VALUES_ABOVE_MIN {
                let count = grouped(latency.count);
                let why = format!("{count} operations are too few for a {name}");
                return Err(Kept::Untold(why));
            }
            Ok(if undone == 0 { value } else { shifted(summary, kind, undone, above, value) })
        }
    }
}

/// Whether the percentile that leaves this part above it is one of operations that were done, if
/// so many others never were.
pub(super) fn carries(done: u64, undone: u64, above: f64) -> bool {
    as_float(undone) <= as_float(done + undone) * above
}

/// The percentile of all that was wanted, where what was never done stands at the end. `value` is
/// that of what was done.
fn shifted(summary: &Summary, kind: Option<Kind>, undone: u64, above: f64, value: u64) -> u64 {
    let done = summary.slices.latencies(kind);
    if done.is_empty() {
        return value;
    }
    let all = as_float(done.len() + undone);
    done.value_at_quantile((1.0 - above) * all / as_float(done.len())) / 1000
}

impl Relation {
    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Less => value < bound,
            Self::AtMost => value <= bound,
            Self::More => bound < value,
            Self::AtLeast => bound <= value,
            Self::Equal => (value - bound).abs() < f64::EPSILON,
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What can be expected, for messages.
const METRICS: &str = "p50, p90, p99, p99.9, p99.99, max, mean, unavail, longest and outages (of \
                       put and so on with put.p99), lost, failed, unknown, dropped, errors, ops";

impl FromStr for Expectation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let relations = [
            ("<=", Relation::AtMost),
            (">=", Relation::AtLeast),
            ("<", Relation::Less),
            (">", Relation::More),
            ("=", Relation::Equal),
        ];
        let split = relations.iter().find_map(|(sign, relation)| {
            let (name, bound) = text.split_once(sign)?;
            Some((name.trim(), *relation, bound.trim()))
        });
        let (name, relation, bound) =
            split.ok_or("write a name, one of < <= > >= =, and a bound, as in p99<50ms")?;
        let metric = metric(name)
            .ok_or_else(|| format!("`{name}` cannot be expected; there are {METRICS}"))?;
        let bound = match metric {
            Metric::Latency(..) | Metric::Unavailable(_) | Metric::Longest(_) => {
                let time = bound.parse::<HumanDuration>().map_err(|error| error.to_string())?;
                Bound::Time(u64::try_from(time.0.as_micros()).unwrap_or(u64::MAX))
            }
            Metric::Errors => {
                let percent = bound.strip_suffix('%').and_then(|part| part.trim().parse().ok());
                Bound::Percent(percent.ok_or("write a percentage, as in errors<0.1%")?)
            }
            _ => Bound::Number(
                bound
                    .parse()
                    .ok()
                    .filter(|number: &f64| number.is_finite())
                    .ok_or_else(|| format!("`{bound}` is no number"))?,
            ),
        };
        Ok(Self { text: text.to_owned(), metric, relation, bound })
    }
}

fn metric(name: &str) -> Option<Metric> {
    let of_kind = Kind::ALL
        .into_iter()
        .find_map(|kind| Some((kind, name.strip_prefix(kind.name())?.strip_prefix('.')?)));
    let kind = of_kind.map(|(kind, _)| kind);
    let point = match of_kind.map_or(name, |(_, rest)| rest) {
        "max" => Some(Point::Max),
        "mean" => Some(Point::Mean),
        quantile => {
            let names = Latency::default().quantiles();
            names.iter().position(|(name, ..)| *name == quantile).map(Point::Quantile)
        }
    };
    if let Some(point) = point {
        return Some(Metric::Latency(kind, point));
    }
    match of_kind.map_or(name, |(_, rest)| rest) {
        "unavail" => return Some(Metric::Unavailable(kind)),
        "longest" => return Some(Metric::Longest(kind)),
        "outages" => return Some(Metric::Outages(kind)),
        _ => (),
    }
    Some(match name {
        "lost" => Metric::Lost,
        "failed" => Metric::Failed,
        "unknown" => Metric::Unknown,
        "dropped" => Metric::Dropped,
        "errors" => Metric::Errors,
        "ops" => Metric::Rate,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::example::{self, MS};
    use super::super::stall::Stall;
    use super::super::verify::Verdict;
    use super::*;

    fn judged(text: &str, summary: &Summary) -> Kept {
        text.parse::<Expectation>().unwrap().judge(summary)
    }

    #[test]
    fn a_run_keeps_what_it_keeps() {
        let mut summary = example::summary();
        let yes = |shown: &str| Kept::Yes(shown.to_owned());
        let no = |shown: &str| Kept::No(shown.to_owned());
        let table = [
            ("p99<50ms", yes("34.4 ms")),
            ("put.p99 < 34.4ms", no("34.4 ms")),
            ("get.p99<=34.4ms", yes("34.4 ms")),
            ("unavail<2s", yes("511 ms")),
            ("longest<=361ms", yes("361 ms")),
            ("outages=2", yes("2")),
            ("lost=0", no("1")),
            ("unknown<1", no("1")),
            ("errors<0.1%", yes("0.009%")),
            ("ops>5000", no("970")),
        ];
        for (text, kept) in table {
            assert_eq!(judged(text, &summary), kept, "{text}");
        }
        let few = "2 000 operations are too few for a p99.9".to_owned();
        assert_eq!(judged("get.p99.9<1h", &summary), Kept::Untold(few));
        let none = "nothing was done".to_owned();
        assert_eq!(judged("cas.max<1h", &summary), Kept::Untold(none));
        summary.verify = None;
        assert!(matches!(judged("lost=0", &summary), Kept::Untold(_)));
        summary.verify = Some(Verification::Done(Verdict { checked: 1, ..Verdict::default() }));
        assert_eq!(judged("lost=0", &summary), yes("0"));
        summary.verify = Some(Verification::Done(Verdict::default()));
        let nothing = "no write was acknowledged: nothing to read back".to_owned();
        assert_eq!(judged("lost=0", &summary), Kept::Untold(nothing));
    }

    /// Writes are well, reads are not.
    #[test]
    fn the_worse_of_writes_and_reads_counts() {
        let mut summary = example::summary();
        let reads = summary.reads.as_mut().unwrap();
        (reads.total, reads.longest_gap, reads.outages) = (MS(8_000), MS(7_000), 3);
        let no = |shown: &str| Kept::No(shown.to_owned());
        assert_eq!(judged("unavail<2s", &summary), no("8.00 s"));
        assert_eq!(judged("longest<2s", &summary), no("7.00 s"));
        assert_eq!(judged("outages<=2", &summary), no("3"));
        assert_eq!(judged("get.unavail<2s", &summary), no("8.00 s"));
        let yes = Kept::Yes("511 ms".to_owned());
        assert_eq!(judged("put.unavail<2s", &summary), yes);
        summary.reads = None;
        assert_eq!(judged("unavail<2s", &summary), yes);
        assert_eq!(judged("get.unavail<2s", &summary), Kept::Untold("there were none".into()));
    }

    /// What was not seen may have been an outage.
    #[test]
    fn what_was_not_seen_is_not_kept() {
        let mut summary = example::summary();
        let reads = summary.reads.as_mut().unwrap();
        (reads.unasked, reads.longest_unasked) = (MS(3_000), MS(1_500));
        let why = "511 ms, but 3.00 s were not seen or not asked for".to_owned();
        assert_eq!(judged("unavail<2s", &summary), Kept::Untold(why));
        assert!(matches!(judged("unavail<4s", &summary), Kept::Yes(_)));
        assert!(matches!(judged("longest<2s", &summary), Kept::Yes(_)));
        assert!(matches!(judged("longest<1s", &summary), Kept::Untold(_)));
        summary.reads.as_mut().unwrap().available = None;
        assert_eq!(judged("unavail<4s", &summary), Kept::Untold("no read was asked for".into()));
        let mut summary = example::summary();
        summary.stalls = vec![Stall { at: MS(0), length: MS(2_000), asleep: false }];
        assert!(matches!(judged("unavail<2s", &summary), Kept::Untold(_)));
    }

    /// One of a hundred was never done: it is no part of the slowest one in a hundred that was.
    #[test]
    fn what_was_never_done_was_not_fast() {
        let mut summary = example::summary();
        (summary.dropped, summary.unknown) = (300, 0);
        let never = Kept::No("300 operations were never done".to_owned());
        assert_eq!(judged("p99<50ms", &summary), never);
        assert!(matches!(judged("p90<50ms", &summary), Kept::Yes(_)));
        assert_eq!(judged("max<1h", &summary), never);
        assert_eq!(
            judged("put.max<1h", &summary),
            Kept::No("249 operations were never done".into())
        );
        summary.dropped = 0;
        summary.ops[1].failed = 21;
        assert!(matches!(judged("get.p99<50ms", &summary), Kept::No(_)));
        assert!(matches!(judged("put.p99<50ms", &summary), Kept::Yes(_)));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let table = [
            ("p99", "write a name, one of < <= > >= =, and a bound, as in p99<50ms"),
            ("p98<1ms", "`p98` cannot be expected"),
            ("errors<1", "write a percentage, as in errors<0.1%"),
            ("lost=none", "`none` is no number"),
        ];
        for (text, error) in table {
            let said = text.parse::<Expectation>().unwrap_err();
            assert!(said.starts_with(error), "{text}: {said}");
        }
        assert!("p99<50".parse::<Expectation>().is_err(), "a time has a unit");
    }
}
