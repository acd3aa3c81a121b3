//! Two runs side by side.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use super::latency::Latency;
use super::report::{as_float, grouped, rounded, three_digits};

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

/// What a run must be in to be compared.
const SCHEMA: &str = "raft-bench/1";

impl Run {
    /// Reads a `bench.json`, or that in a directory.
    pub fn load(path: &Path) -> Result<Self, CompareError> {
        let file = if path.is_dir() { path.join("bench.json") } else { path.to_owned() };
        let unreadable = |why: String| CompareError::Unreadable(file.clone(), why);
        let text = std::fs::read_to_string(&file).map_err(|error| unreadable(error.to_string()))?;
        let run: Self =
            serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        if run.schema == SCHEMA {
            Ok(run)
        } else {
            Err(unreadable(format!("its schema is `{}`, not `{SCHEMA}`", run.schema)))
        }
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
}

#[derive(Clone, Debug)]
struct Row {
    name: String,
    before: f64,
    after: f64,
    /// Whether more of it is better.
    more_is_better: bool,
}

/// What became of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trend {
    Same,
    Better,
    Worse,
}

impl Row {
    /// The change as a part of what it was before.
    fn change(&self) -> f64 {
        if self.before == 0.0 { 0.0 } else { self.after / self.before - 1.0 }
    }

    fn trend(&self, noise: f64) -> Trend {
        let gain = if self.more_is_better { self.change() } else { -self.change() };
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
        let mut rows = vec![Row {
            name: "op/s".to_owned(),
            before: before.ops_per_s,
            after: after.ops_per_s,
            more_is_better: true,
        }];
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
                let (before, after) = (as_float(old), as_float(new));
                rows.push(Row { name, before, after, more_is_better: false });
            }
        }
        let half = |run: &Run| run.interrupted || run.gave_up;
        let note = |(name, run)| half(run).then(|| format!("the run {name} was broken off"));
        let notes = [("before", before), ("after", after)].into_iter().filter_map(note).collect();
        Ok(Self { rows, noise, notes })
    }

    /// Whether anything is worse by more than noise.
    pub fn is_worse(&self) -> bool {
        self.rows.iter().any(|row| row.trend(self.noise) == Trend::Worse)
    }

    /// A table for people.
    pub fn text(&self) -> String {
        let mut out = format!("{:<16}{:>12}{:>12}{:>10}\n", "", "before", "after", "change");
        for row in &self.rows {
            let shown = |value: f64| {
                if row.more_is_better {
                    grouped(rounded(value))
                } else {
                    format!("{} ms", three_digits(rounded(value)))
                }
            };
            let word = match row.trend(self.noise) {
                Trend::Same => "",
                Trend::Better => "  better",
                Trend::Worse => "  WORSE",
            };
            let change = format!("{:+.1}%", row.change() * 100.0);
            let (before, after) = (shown(row.before), shown(row.after));
            writeln!(out, "{:<16}{before:>12}{after:>12}{change:>10}{word}", row.name)
                .expect("a string takes all");
        }
        let noise = self.noise * 100.0;
        writeln!(out, "changes up to {noise}% count as noise").expect("a string takes all");
        for note in &self.notes {
            writeln!(out, "note: {note}").expect("a string takes all");
        }
        out
    }
}

impl Serialize for Comparison {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let row = |row: &Row| {
            json!({
                "name": row.name,
                "unit": if row.more_is_better { "op/s" } else { "us" },
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
        });
        whole.serialize(serializer)
    }
}

/// In what two runs differ that must not, to be compared.
fn differences(before: &Run, after: &Run) -> Vec<String> {
    let mut unlike = Vec::new();
    let keys: std::collections::BTreeSet<&String> =
        before.load.keys().chain(after.load.keys()).collect();
    for key in keys.into_iter().filter(|key| !["seed", "warmup_us"].contains(&key.as_str())) {
        let [old, new] = [&before.load, &after.load].map(|load| load.get(key).cloned());
        let [old, new] = [old, new].map(Option::unwrap_or_default);
        if old != new {
            unlike.push(format!("{key} {old} and {new}"));
        }
    }
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

    #[test]
    fn only_more_than_noise_is_a_change() {
        let before = run(|_| ());
        let after = run(|json| {
            json["ops_per_s"] = 980.0.into();
            json["ops"][0]["latency_us"]["p50"] = 9_000.into();
            json["ops"][0]["latency_us"]["p99"] = 30_000.into();
            json["load"]["seed"] = 8.into();
        });
        let comparison = Comparison::of(&before, &after, 0.03).unwrap();
        assert!(comparison.is_worse());
        let text = comparison.text();
        let rows: Vec<&str> = text.lines().collect();
        let expected = [
            "                      before       after    change",
            "op/s                     970         980     +1.1%",
            "put p50              8.47 ms     9.00 ms     +6.3%  WORSE",
            "put p90              15.7 ms     15.7 ms     +0.0%",
            "put p99              34.4 ms     30.0 ms    -12.8%  better",
        ];
        assert_eq!(rows[..5], expected);
        assert!(!text.contains("get p99.9"), "2000 values carry none: {text}");
        assert!(text.ends_with(
            "note: the run before was broken off\nnote: the run after was broken off\n"
        ));
        assert!(!Comparison::of(&before, &before, 0.0).unwrap().is_worse());
        let json = serde_json::to_value(&comparison).unwrap();
        assert_eq!(json["is_worse"], true);
        assert_eq!(
            json["rows"][1],
            json!({"name": "put p50", "unit": "us", "before": 8470.0, "after": 9000.0,
                "change": 9000.0 / 8470.0 - 1.0, "verdict": "worse"})
        );
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
