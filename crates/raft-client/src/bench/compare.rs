//! Two runs side by side.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::Plan;
use super::latency::Latency;
use super::report::{as_float, grouped, rounded, three_digits};
use super::summary::Load;

/// A run, as far as it is compared.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    schema: String,
    load: serde_json::Map<String, Value>,
    cluster: Size,
    client_debug_build: bool,
    #[serde(default)]
    interrupted: bool,
    #[serde(default)]
    gave_up: bool,
    ops_per_s: f64,
    ops: Vec<Op>,
    // What a report of an older version may lack.
    #[serde(default)]
    failed: u64,
    #[serde(default)]
    unknown: u64,
    #[serde(default)]
    dropped: u64,
    #[serde(default)]
    writes: Option<Class>,
    #[serde(default)]
    reads: Option<Class>,
    #[serde(default)]
    verify: Option<Checked>,
    /// Signs that the cluster lost what it had.
    #[serde(default)]
    forgotten: Vec<String>,
}

/// How writes or reads were served.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Class {
    longest_us: u64,
    total_us: u64,
}

/// What reading back has shown, or why it has not been done.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Checked {
    lost: u64,
    applied_twice: u64,
    unexpected: u64,
    wrong_reads: u64,
    error: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
struct Size {
    nodes: u64,
    debug_build: bool,
}

#[derive(Clone, Debug, Deserialize)]
struct Op {
    op: String,
    latency_us: Latency,
}

/// Why two runs are not compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A file cannot be read.
    #[error("could not read {path}: {why}", path = .0.display(), why = .1)]
    Unreadable(PathBuf, String),
    /// The loads, the clusters or the builds differ.
    #[error("the two runs are not alike: {0}")]
    Unlike(String),
}

/// No report is longer.
const REPORT_BYTES_MAX: u64 = 256 << 20;

/// What a run must be in to be compared.
const SCHEMA: &str = "raft-bench/1";

impl Run {
    /// Reads a `bench.json`, or that in a directory.
    pub fn load(path: &Path) -> Result<Self, CompareError> {
        let file = if path.is_dir() { path.join("bench.json") } else { path.to_owned() };
        let unreadable = |why: String| CompareError::Unreadable(file.clone(), why);
        let about = std::fs::metadata(&file).map_err(|error| unreadable(error.to_string()))?;
        if !about.is_file() {
            return Err(unreadable("it is no file".to_owned()));
        }
        if REPORT_BYTES_MAX < about.len() {
            return Err(unreadable("it is far too long for a report".to_owned()));
        }
        let text = std::fs::read_to_string(&file).map_err(|error| unreadable(error.to_string()))?;
        let run: Self =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if run.schema == SCHEMA {
            Ok(run)
        } else {
            Err(unreadable(format!("its schema is `{}`, not `{SCHEMA}`", run.schema)))
        }
    }

    /// Whether a run of this plan will be comparable, as far as that can be known before it.
    pub fn check(&self, plan: &Plan, connections: usize) -> Result<(), CompareError> {
        let load = serde_json::to_value(Load::of(plan, connections)).unwrap_or_default();
        let mut unlike = load_differences(&self.load, load.as_object().unwrap_or(&self.load));
        if self.client_debug_build != cfg!(debug_assertions) {
            unlike.push("the builds of the client".to_owned());
        }
        if unlike.is_empty() { Ok(()) } else { Err(CompareError::Unlike(unlike.join(", "))) }
    }
}

/// How two runs differ.
#[derive(Clone, Debug)]
pub struct Comparison {
    rows: Vec<Row>,
    /// Changes below this part are noise.
    noise: f64,
    /// What is to be known of the runs.
    notes: Vec<String>,
    /// Why it cannot be told whether it is worse, if so.
    doubts: Vec<String>,
    /// Whether something was lost or wrong in the second run.
    is_unsafe: bool,
}

/// What a comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// No figure is worse by more than noise.
    NoWorse,
    /// One is.
    Worse,
    /// A run is no measure.
    Inconclusive,
    /// In the second run something was lost, or read that was wrong.
    Unsafe,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// Operations per second. More of them are better; of all else less.
    Rate,
    Micros,
    Count,
}

#[derive(Clone, Debug)]
struct Row {
    name: String,
    before: f64,
    after: f64,
    unit: Unit,
}

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trend {
    Same,
    Better,
    Worse,
}

impl Row {
    fn new(name: impl Into<String>, unit: Unit, [before, after]: [f64; 2]) -> Self {
        Self { name: name.into(), before, after, unit }
    }

    /// The change as a part of what it was before; none if it was nothing, and is something.
    fn change(&self) -> Option<f64> {
        match (self.before, self.after) {
            (0.0, 0.0) => Some(0.0),
            (0.0, _) => None,
            (before, after) => Some(after / before - 1.0),
        }
    }

    fn trend(&self, noise: f64) -> Trend {
        let change = self.change().unwrap_or(f64::INFINITY);
        let gain = if self.unit == Unit::Rate { change } else { -change };
        if gain.abs() <= noise {
            Trend::Same
        } else if 0.0 < gain {
            Trend::Better
        } else {
            Trend::Worse
        }
    }
}

impl Comparison {
    /// Compares a run with one before it. Changes up to `noise`, a part of one, count as none.
    pub fn of(before: &Run, after: &Run, noise: f64) -> Result<Self, CompareError> {
        let unlike = differences(before, after);
        if !unlike.is_empty() {
            return Err(CompareError::Unlike(unlike.join(", ")));
        }
        let both = [before, after];
        let mut rows = vec![Row::new("op/s", Unit::Rate, both.map(|run| run.ops_per_s))];
        rows.extend(outages(both));
        rows.extend(counts(both));
        for op in &before.ops {
            let Some(other) = after.ops.iter().find(|it| it.op == op.op) else { continue };
            let pairs = op.latency_us.quantiles().into_iter().zip(other.latency_us.quantiles());
            for ((name, old, above), (_, new, _)) in pairs {
                let fewer = op.latency_us.count.min(other.latency_us.count);
                // The greatest values of two runs of the same program differ by what they like.
                if as_float(fewer) * above < 10.0 || name == "p99.99" {
                    continue;
                }
                let name = format!("{} {name}", op.op);
                rows.push(Row::new(name, Unit::Micros, [old, new].map(as_float)));
            }
        }
        let named = [("before", before), ("after", after)];
        let doubt = |(name, run): (&str, &Run)| Some(format!("the run {name} {}", run.doubt()?));
        let note = |(name, run): (&str, &Run)| {
            let undone = run.failed + run.unknown + run.dropped;
            let count = grouped(undone);
            (0 < undone).then(|| format!("in the run {name} {count} operations were never done"))
        };
        let is_unsafe = 0 < after.damage().unwrap_or(0);
        let doubts = named.into_iter().filter_map(doubt).collect();
        let notes = named.into_iter().filter_map(note).collect();
        Ok(Self { rows, noise, notes, doubts, is_unsafe })
    }

    /// What it comes to.
    pub fn ending(&self) -> Ending {
        if self.is_unsafe {
            Ending::Unsafe
        } else if !self.doubts.is_empty() {
            Ending::Inconclusive
        } else if self.is_worse() {
            Ending::Worse
        } else {
            Ending::NoWorse
        }
    }

    /// Whether anything is worse by more than noise.
    fn is_worse(&self) -> bool {
        self.is_unsafe || self.rows.iter().any(|row| row.trend(self.noise) == Trend::Worse)
    }

    /// A table for people.
    pub fn text(&self) -> String {
        let mut out = format!("{:<16}{:>12}{:>12}{:>10}\n", "", "before", "after", "change");
        for row in &self.rows {
            let shown = |value: f64| match row.unit {
                Unit::Rate | Unit::Count => grouped(rounded(value)),
                Unit::Micros if value == 0.0 => "0".to_owned(),
                Unit::Micros => format!("{} ms", three_digits(rounded(value))),
            };
            let word = match row.trend(self.noise) {
                Trend::Same => "",
                Trend::Better => "  better",
                Trend::Worse => "  WORSE",
            };
            let change = row.change().map(|change| format!("{:+.1}%", change * 100.0));
            let change = change.unwrap_or_else(|| "new".to_owned());
            let (before, after) = (shown(row.before), shown(row.after));
            writeln!(out, "{:<16}{before:>12}{after:>12}{change:>10}{word}", row.name)
                .expect("a string takes all");
        }
        let noise = self.noise * 100.0;
        writeln!(out, "changes up to {noise}% count as noise").expect("a string takes all");
        for note in &self.notes {
            writeln!(out, "note: {note}").expect("a string takes all");
        }
        for doubt in &self.doubts {
            writeln!(out, "INCONCLUSIVE: {doubt}").expect("a string takes all");
        }
        out
    }
}

impl Serialize for Comparison {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = |row: &Row| {
            json!({
                "name": row.name,
                "unit": match row.unit {
                    Unit::Rate => "op/s",
                    Unit::Micros => "us",
                    Unit::Count => "",
                },
                "before": row.before,
                "after": row.after,
                "change": row.change(),
                "verdict": match row.trend(self.noise) {
                    Trend::Same => "same",
                    Trend::Better => "better",
                    Trend::Worse => "worse",
                },
            })
        };
        let whole = json!({
            "schema": "raft-bench-compare/1",
            "is_worse": self.is_worse(),
            "noise": self.noise,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "notes": self.notes,
            "doubts": self.doubts,
            "is_unsafe": self.is_unsafe,
        });
        whole.serialize(serializer)
    }
}

impl Run {
    /// Why it is no measure, if so.
    fn doubt(&self) -> Option<String> {
        let unchecked = self.verify.as_ref().and_then(|checked| checked.error.as_ref());
        Some(match () {
            () if self.gave_up => "was given up: nothing was acknowledged any more".to_owned(),
            () if self.interrupted => "was broken off".to_owned(),
            () if self.ops_per_s <= 0.0 || self.measured() == 0 => "measured nothing".to_owned(),
            () if !self.forgotten.is_empty() => {
                format!("met a cluster that forgot: {}", self.forgotten[0])
            }
            () => return unchecked.map(|why| format!("was not read back: {why}")),
        })
    }

    /// Operations that its latencies are of.
    fn measured(&self) -> u64 {
        self.ops.iter().map(|op| op.latency_us.count).sum()
    }

    /// Writes that are not as they should be, and reads that were wrong; none if nobody looked.
    fn damage(&self) -> Option<u64> {
        let checked = self.verify.as_ref().filter(|checked| checked.error.is_none())?;
        let Checked { lost, applied_twice, unexpected, wrong_reads, .. } = checked;
        Some(lost + applied_twice + unexpected + wrong_reads)
    }
}

/// How long nothing was done.
fn outages(both: [&Run; 2]) -> Vec<Row> {
    type Choice = fn(&Run) -> Option<Class>;
    let classes: [(&str, Choice); 2] = [("writes", |run| run.writes), ("reads", |run| run.reads)];
    let mut rows = Vec::new();
    for (name, class) in classes {
        let [Some(before), Some(after)] = both.map(class) else { continue };
        let figures = [
            ("away", [before.total_us, after.total_us]),
            ("longest", [before.longest_us, after.longest_us]),
        ];
        let row = |(what, pair): (&str, [u64; 2])| {
            Row::new(format!("{name} {what}"), Unit::Micros, pair.map(as_float))
        };
        rows.extend(figures.map(row));
    }
    rows
}

/// What was not done, and what was lost.
fn counts(both: [&Run; 2]) -> Vec<Row> {
    let count = |name, counts: [u64; 2]| Row::new(name, Unit::Count, counts.map(as_float));
    let mut rows = vec![
        count("failed", both.map(|run| run.failed)),
        count("unknown", both.map(|run| run.unknown)),
        count("dropped", both.map(|run| run.dropped)),
    ];
    if let [Some(before), Some(after)] = both.map(Run::damage) {
        rows.push(count("lost or wrong", [before, after]));
    }
    rows
}

/// In what two loads differ.
fn load_differences(
    before: &serde_json::Map<String, Value>,
    after: &serde_json::Map<String, Value>,
) -> Vec<String> {
    let mut unlike = Vec::new();
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for key in keys.into_iter().filter(|key| !["seed", "warmup_us"].contains(&key.as_str())) {
        let [old, new] = [before, after].map(|load| load.get(key).cloned().unwrap_or_default());
        if old != new {
            unlike.push(format!("{key} {old} and {new}"));
        }
    }
    unlike
}

/// In what two runs differ that must not, to be compared.
fn differences(before: &Run, after: &Run) -> Vec<String> {
    let mut unlike = load_differences(&before.load, &after.load);
    let mut differ = |name: &str, old: String, new: String| {
        if old != new {
            unlike.push(format!("{name} {old} and {new}"));
        }
    };
    differ("nodes", before.cluster.nodes.to_string(), after.cluster.nodes.to_string());
    let build = |debug: bool| if debug { "debug" } else { "release" }.to_owned();
    differ("client build", build(before.client_debug_build), build(after.client_debug_build));
    differ("server build", build(before.cluster.debug_build), build(after.cluster.debug_build));
    unlike
}

#[cfg(test)]
mod tests {
    use super::super::report::example;
    use super::*;

    fn run(change: impl FnOnce(&mut Value)) -> Run {
        let mut json = serde_json::to_value(example::summary()).unwrap();
        change(&mut json);
        serde_json::from_value(json).unwrap()
    }

    /// A run that nothing is to be said against.
    fn whole(change: impl FnOnce(&mut Value)) -> Run {
        run(|json| {
            json["interrupted"] = false.into();
            json["verify"]["lost"] = 0.into();
            change(json);
        })
    }

    #[test]
    fn only_more_than_noise_is_a_change() {
        let before = whole(|_| ());
        let after = whole(|json| {
            json["ops_per_s"] = 980.0.into();
            json["ops"][0]["latency_us"]["p50"] = 9_000.into();
            json["ops"][0]["latency_us"]["p99"] = 30_000.into();
            json["load"]["seed"] = 8.into();
        });
        let comparison = Comparison::of(&before, &after, 0.03).unwrap();
        assert_eq!(comparison.ending(), Ending::Worse);
        let text = comparison.text();
        let rows: Vec<&str> = text.lines().collect();
        let expected = [
            "                      before       after    change",
            "op/s                     970         980     +1.1%",
            "writes away           511 ms      511 ms     +0.0%",
            "writes longest        361 ms      361 ms     +0.0%",
            "reads away                 0           0     +0.0%",
            "reads longest              0           0     +0.0%",
            "failed                     0           0     +0.0%",
            "unknown                    1           1     +0.0%",
            "dropped                    0           0     +0.0%",
            "lost or wrong              0           0     +0.0%",
            "put p50              8.47 ms     9.00 ms     +6.3%  WORSE",
            "put p90              15.7 ms     15.7 ms     +0.0%",
            "put p99              34.4 ms     30.0 ms    -12.8%  better",
        ];
        assert_eq!(rows[..13], expected);
        assert!(!text.contains("get p99.9"), "2000 values carry none: {text}");
        assert_eq!(Comparison::of(&before, &before, 0.0).unwrap().ending(), Ending::NoWorse);
        let json = serde_json::to_value(&comparison).unwrap();
        assert_eq!(json["is_worse"], true);
        assert_eq!(
            json["rows"][9],
            json!({"name": "put p50", "unit": "us", "before": 8470.0, "after": 9000.0,
                "change": 9000.0 / 8470.0 - 1.0, "verdict": "worse"})
        );
    }

    /// The same speed, and yet worse: outages, and operations that were never done.
    #[test]
    fn what_was_not_done_is_worse() {
        type Change = fn(&mut Value);
        let changes: [(&str, Change); 4] = [
            ("reads away", |json| json["reads"]["total_us"] = 900_000.into()),
            ("writes longest", |json| json["writes"]["longest_us"] = 500_000.into()),
            ("failed", |json| json["failed"] = 5.into()),
            ("dropped", |json| json["dropped"] = 900.into()),
        ];
        for (name, change) in changes {
            let comparison = Comparison::of(&whole(|_| ()), &whole(change), 0.03).unwrap();
            assert_eq!(comparison.ending(), Ending::Worse, "{name}");
            let text = comparison.text();
            let row = text.lines().find(|line| line.starts_with(name)).unwrap();
            assert!(row.ends_with("WORSE") && !row.contains("+0.0%"), "{row}");
        }
        let lossy = whole(|json| json["verify"]["lost"] = 1.into());
        let comparison = Comparison::of(&whole(|_| ()), &lossy, 0.03).unwrap();
        assert_eq!(comparison.ending(), Ending::Unsafe);
        let comparison = Comparison::of(&lossy, &whole(|_| ()), 0.03).unwrap();
        assert_eq!(comparison.ending(), Ending::NoWorse);
    }

    /// Half a run is never "no worse", nor is one that measured nothing.
    #[test]
    fn what_is_no_measure_shows_nothing() {
        type Change = fn(&mut Value);
        let changes: [(&str, Change); 4] = [
            ("was broken off", |json| json["interrupted"] = true.into()),
            ("was given up: nothing was acknowledged any more", |json| {
                json["gave_up"] = true.into();
            }),
            ("measured nothing", |json| json["ops_per_s"] = 0.0.into()),
            ("was not read back: no", |json| json["verify"] = json!({"error": "no"})),
        ];
        for (why, change) in changes {
            for (name, before, after) in
                [("before", whole(change), whole(|_| ())), ("after", whole(|_| ()), whole(change))]
            {
                let comparison = Comparison::of(&before, &after, 0.03).unwrap();
                assert_eq!(comparison.ending(), Ending::Inconclusive, "{why}");
                let last = format!("INCONCLUSIVE: the run {name} {why}\n");
                assert!(comparison.text().ends_with(&last), "{}", comparison.text());
            }
        }
    }

    #[test]
    fn unlike_runs_are_not_compared() {
        let other = run(|json| {
            json["load"]["concurrency"] = 100.into();
            json["cluster"]["nodes"] = 5.into();
        });
        let error = Comparison::of(&run(|_| ()), &other, 0.03).unwrap_err().to_string();
        assert_eq!(error, "the two runs are not alike: concurrency 10 and 100, nodes 3 and 5");
    }
}
