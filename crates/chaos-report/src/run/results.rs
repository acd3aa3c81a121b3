//! `results.json`, as far as the page shows it. What is missing there is missing on the page; what
//! is new there is not asked for.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::text::count;

use crate::ReportError;

/// What this reads.
pub(crate) const SCHEMA: &str = "raft-chaos/1";

/// What came of a run.
#[derive(Debug, Deserialize)]
pub(crate) struct Results {
    pub(crate) scenario: String,
    pub(crate) verdict: String,
    pub(crate) why: String,
    #[serde(default)]
    pub(crate) shows: String,
    #[serde(default)]
    pub(crate) system: String,
    #[serde(default)]
    pub(crate) seed: Option<u64>,
    #[serde(default)]
    pub(crate) command: String,
    #[serde(default)]
    pub(crate) ended: String,
    #[serde(default)]
    pub(crate) begun_mono_us: u64,
    #[serde(default)]
    pub(crate) ended_mono_us: u64,
    #[serde(default)]
    pub(crate) program: String,
    #[serde(default)]
    pub(crate) debug_build: bool,
    #[serde(default)]
    pub(crate) nodes: Vec<u64>,
    #[serde(default)]
    pub(crate) claims: Vec<Claim>,
    #[serde(default)]
    pub(crate) faults: Vec<Fault>,
    #[serde(default)]
    pub(crate) judgement: Option<Judgement>,
    #[serde(default)]
    pub(crate) registers: Option<Clients>,
    #[serde(default)]
    pub(crate) lists: Option<Clients>,
    #[serde(default)]
    pub(crate) coverage: Coverage,
    #[serde(default)]
    pub(crate) hashes: String,
    #[serde(default)]
    pub(crate) summary: String,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, Value>,
}

/// A claim, and whether it holds.
#[derive(Debug, Deserialize)]
pub(crate) struct Claim {
    #[serde(rename = "claim")]
    pub(crate) words: String,
    /// `pass`, `fail` or `unknown`.
    pub(crate) verdict: String,
    #[serde(default)]
    pub(crate) how: String,
    #[serde(default)]
    pub(crate) evidence: String,
}

/// A fault, and what became of the cluster.
#[derive(Debug, Deserialize)]
pub(crate) struct Fault {
    #[serde(default)]
    pub(crate) number: u64,
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) what: String,
    #[serde(default)]
    pub(crate) nodes: Vec<u64>,
    pub(crate) at_mono_us: u64,
    #[serde(default)]
    pub(crate) until_mono_us: Option<u64>,
    #[serde(default)]
    pub(crate) leader_hit: bool,
    #[serde(default)]
    pub(crate) leader_before: Option<u64>,
    #[serde(default)]
    pub(crate) term_before: Option<u64>,
    #[serde(default)]
    pub(crate) leader_after: Option<u64>,
    #[serde(default)]
    pub(crate) term_after: Option<u64>,
    #[serde(default)]
    pub(crate) election: String,
    #[serde(default)]
    pub(crate) gap_us: u64,
    #[serde(default)]
    pub(crate) later_gap_us: Option<u64>,
    #[serde(default)]
    pub(crate) whole_us: Option<u64>,
    #[serde(default)]
    pub(crate) overtaken: bool,
    /// `installed`, `skipped` or `indeterminate`.
    #[serde(default)]
    pub(crate) outcome: String,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) evidence: BTreeMap<String, Value>,
}

/// The judge's word.
#[derive(Debug, Deserialize)]
pub(crate) struct Judgement {
    /// `linearizable`, `violation` or `undecided`.
    pub(crate) verdict: String,
    #[serde(default)]
    pub(crate) method: String,
    #[serde(default)]
    pub(crate) operations: u64,
    #[serde(default)]
    pub(crate) keys: u64,
    #[serde(default)]
    pub(crate) answered: u64,
    #[serde(default)]
    pub(crate) failed: u64,
    #[serde(default)]
    pub(crate) unknown_writes: u64,
    #[serde(default)]
    pub(crate) took_effect: Option<u64>,
    #[serde(default)]
    pub(crate) words: String,
    #[serde(default)]
    pub(crate) wrong_hint: Option<String>,
}

/// What clients of one sort report.
#[derive(Debug, Deserialize)]
pub(crate) struct Clients {
    #[serde(default)]
    pub(crate) ok: u64,
    #[serde(default)]
    pub(crate) failed: u64,
    #[serde(default)]
    pub(crate) unknown: u64,
    #[serde(default)]
    pub(crate) retries: u64,
    #[serde(default)]
    pub(crate) longest_gap_us: u64,
    #[serde(default)]
    pub(crate) latency_us: BTreeMap<String, Option<u64>>,
    #[serde(default)]
    pub(crate) client_debug_build: bool,
    #[serde(default)]
    pub(crate) errors: BTreeMap<String, u64>,
    #[serde(default)]
    pub(crate) verify: Option<Value>,
    #[serde(default)]
    pub(crate) started_mono_us: Option<u64>,
}

/// What was exercised, and what was not.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Coverage {
    #[serde(default)]
    pub(crate) kinds: BTreeMap<String, Tally>,
    #[serde(default)]
    pub(crate) not_exercised: Vec<String>,
}

/// How many faults of a kind ended how.
#[derive(Debug, Deserialize)]
pub(crate) struct Tally {
    #[serde(default)]
    pub(crate) installed: u64,
    #[serde(default)]
    pub(crate) skipped: u64,
    #[serde(default)]
    pub(crate) indeterminate: u64,
}

impl Results {
    pub(crate) fn read(path: &Path) -> Result<Self, ReportError> {
        let damaged = |source| ReportError::Damaged { path: path.to_owned(), source };
        let text = std::fs::read(path)
            .map_err(|source| ReportError::NoResults { path: path.to_owned(), source })?;
        let value: Value = serde_json::from_slice(&text).map_err(damaged)?;
        let schema = value.get("schema").and_then(Value::as_str).unwrap_or_default();
        if schema != SCHEMA {
            return Err(ReportError::Schema { path: path.to_owned(), found: schema.to_owned() });
        }
        let mut results: Self = serde_json::from_value(value).map_err(damaged)?;
        results.faults.sort_by_key(|fault| (fault.at_mono_us, fault.number));
        Ok(results)
    }

    /// Of the faults that bit, sorted: the longest times without an acknowledged write.
    pub(crate) fn gaps(&self) -> Vec<u64> {
        let bit = self.faults.iter().filter(|fault| fault.bit());
        let mut gaps: Vec<u64> = bit.map(|fault| fault.gap_us).collect();
        gaps.sort_unstable();
        gaps
    }

    /// The kinds of the faults, each once, in the order in which they first came.
    pub(crate) fn kinds(&self) -> Vec<&str> {
        let mut kinds: Vec<&str> = Vec::new();
        for fault in &self.faults {
            if !kinds.contains(&fault.kind.as_str()) {
                kinds.push(&fault.kind);
            }
        }
        kinds
    }
}

impl Fault {
    /// Whether something shows that it had an effect: else there is none to be measured.
    pub(crate) fn bit(&self) -> bool {
        self.outcome == "installed"
    }

    /// What shows that it bit, in words.
    pub(crate) fn shown(&self) -> String {
        let one = |(what, number): (&String, &Value)| match number {
            Value::Number(number) if number.is_u64() => {
                format!("{what} {}", count(number.as_u64().unwrap_or_default()))
            }
            other => format!("{what} {}", words(other)),
        };
        self.evidence.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// A value as text, a string without its quotes.
pub(crate) fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
