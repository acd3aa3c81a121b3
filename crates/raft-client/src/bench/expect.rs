//! What a run is expected to keep: `p99<50ms`, `get.p99.9<=5ms`, `unavail<2s`, `lost=0`, `ops>5000`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use raft_api::units::HumanDuration;

use super::latency::Latency;
use super::operation::Kind;
use super::report::{as_float, grouped, span};
use super::summary::{Summary, Verification};

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
    /// All outages together.
    Unavailable,
    /// The longest time in which nothing was done.
    Longest,
    Outages,
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

impl Expectation {
    /// Whether it is about lost writes, which only reading back can tell.
    pub fn needs_verification(&self) -> bool {
        self.metric == Metric::Lost
    }

    /// Holds it against a run.
    pub fn judge(&self, summary: &Summary) -> Kept {
        let time = |micros: u64| (as_float(micros), span(Duration::from_micros(micros)));
        let number = |count: u64| (as_float(count), grouped(count));
        let service = summary.writes.or(summary.reads);
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let (value, shown) = match self.metric {
            Metric::Latency(kind, point) => match latency(summary, kind, point) {
                Ok(value) => time(value),
                Err(why) => return Kept::Untold(why),
            },
            Metric::Unavailable => time(service.map_or(0, |service| micros(service.total))),
            Metric::Longest => time(micros(summary.longest_gap)),
            Metric::Outages => number(service.map_or(0, |service| service.outages)),
            Metric::Lost => match &summary.verify {
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
        let bound = match self.bound {
            Bound::Time(micros) => as_float(micros),
            Bound::Number(number) | Bound::Percent(number) => number,
        };
        if self.relation.holds(value, bound) { Kept::Yes(shown) } else { Kept::No(shown) }
    }
}

/// The latency at this point, if enough values stand behind it.
fn latency(summary: &Summary, kind: Option<Kind>, point: Point) -> Result<u64, String> {
    let latency: Latency = match kind {
        None => summary.latency_us,
        Some(kind) => {
            let op = summary.ops.iter().find(|op| op.op == kind.name());
            op.map(|op| op.latency_us).unwrap_or_default()
        }
    };
    if latency.count == 0 {
        return Err("nothing was done".to_owned());
    }
    match point {
        Point::Max => Ok(latency.max),
        Point::Mean => Ok(latency.mean),
        Point::Quantile(place) => {
            let (name, value, above) = latency.quantiles()[place];
            if as_float(latency.count) * above < VALUES_ABOVE_MIN {
                let count = grouped(latency.count);
                return Err(format!("{count} operations are too few for a {name}"));
            }
            Ok(value)
        }
    }
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
const METRICS: &str = "p50, p90, p99, p99.9, p99.99, max and mean (of put and so on with put.p99), \
                       unavail, longest, outages, lost, failed, unknown, dropped, errors, ops";

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
            Metric::Latency(..) | Metric::Unavailable | Metric::Longest => {
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
    let point = match of_kind.map_or(name, |(_, rest)| rest) {
        "max" => Some(Point::Max),
        "mean" => Some(Point::Mean),
        quantile => {
            let names = Latency::default().quantiles();
            names.iter().position(|(name, ..)| *name == quantile).map(Point::Quantile)
        }
    };
    if let Some(point) = point {
        return Some(Metric::Latency(of_kind.map(|(kind, _)| kind), point));
    }
    Some(match name {
        "unavail" => Metric::Unavailable,
        "longest" => Metric::Longest,
        "outages" => Metric::Outages,
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
    use super::super::report::example;
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
        summary.verify = Some(Verification::Done(Verdict::default()));
        assert_eq!(judged("lost=0", &summary), yes("0"));
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
