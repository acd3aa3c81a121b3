//! The verdict on a history: what it is, how it was found, and from how much.

use std::fmt;

use serde::Serialize;

use crate::certificate::{Certificate, Refusal, certify};
use crate::check::{Verdict, examine};
use crate::history::{History, Outcome};
use crate::replay::Keys;
use crate::search::Budget;

/// How a verdict was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The order of the servers' indexes was verified. Nothing was searched.
    Certificate,
    /// An order was searched for, key by key, as the servers' is no proof.
    Search,
    /// The order of the servers' indexes was verified, and the search found one as well.
    Both,
}

/// How much was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All operations.
    pub operations: usize,
    /// Keys that were named, in a question or in an answer.
    pub keys: usize,
    /// Operations that were answered.
    pub answered: usize,
    /// Operations that certainly never took effect.
    pub failed: usize,
    /// Writes of which nobody knows the outcome.
    pub unknown_writes: usize,
    /// Of these, those that stand in the certificate: somebody saw them, or the log has them. The others
    /// never took effect, as far as anybody saw. None without a certificate.
    pub took_effect: Option<usize>,
    /// Reads without an answer: they say nothing.
    pub unknown_reads: usize,
}

/// The verdict on a history, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// How it was found.
    pub method: Method,
    /// From how much.
    pub counts: Counts,
    /// The proof of a linearizable history: the order by index, or else the one that the search found.
    /// Verified either way.
    pub certificate: Option<Certificate>,
    /// Why the order by index is no proof.
    pub refusal: Option<Refusal>,
}

/// Judges a history by its certificate, and by search where that proves nothing. The budget is for each
/// key.
pub fn judge(history: &History, budget: Budget) -> Judgement {
    let (certificate, refusal) = match certify(history) {
        Ok(certificate) => (Some(certificate), None),
        Err(refusal) => (None, Some(refusal)),
    };
    if certificate.is_some() {
        let (verdict, method) = (Verdict::Linearizable, Method::Certificate);
        let counts = count(history, certificate.as_ref());
        return Judgement { verdict, method, counts, certificate, refusal };
    }
    let (verdict, certificate) = examine(history, budget);
    let counts = count(history, certificate.as_ref());
    Judgement { verdict, method: Method::Search, counts, certificate, refusal }
}

/// Judges a history both ways, even if the certificate is a proof already. That nothing more was found
/// because the budget ran out leaves [`Method::Certificate`].
///
/// Panics if the two contradict each other, for then one of them is wrong.
pub fn judge_twice(history: &History, budget: Budget) -> Judgement {
    let mut judgement = judge(history, budget);
    if judgement.method == Method::Certificate {
        match examine(history, budget).0 {
            Verdict::Linearizable => judgement.method = Method::Both,
            Verdict::Undecided { .. } => (),
            Verdict::Violation(violation) => {
                panic!("a history that was proven linearizable is not: {violation}")
            }
        }
    }
    judgement
}

impl Judgement {
    /// What is wrong with the servers' indexes, although what they answered was right: a finding of its
    /// own. Not if there are none.
    pub fn wrong_hint(&self) -> Option<&Refusal> {
        let told = |refusal: &&Refusal| !matches!(refusal, Refusal::NoIndex(_));
        self.refusal.as_ref().filter(|_| self.verdict.is_pass()).filter(told)
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { operations, keys, unknown_writes, .. } = self.counts;
        match &self.verdict {
            Verdict::Violation(violation) => return write!(f, "{}", violation.in_words()),
            verdict => write!(f, "{verdict}: {operations} operations on {keys} keys")?,
        }
        if self.verdict.is_pass() {
            write!(f, ", proven by {}", self.method)?;
        }
        if let Some(took_effect) = self.counts.took_effect {
            let did_not = unknown_writes - took_effect;
            write!(f, "; {unknown_writes} writes of unknown outcome: ")?;
            write!(f, "{took_effect} took effect, {did_not} did not as far as anybody saw")?;
        }
        match self.wrong_hint() {
            Some(refusal) => write!(f, "; but the servers' indexes are wrong: {refusal}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Certificate => "certificate",
            Method::Search => "search",
            Method::Both => "certificate and search",
        })
    }
}

fn count(history: &History, certificate: Option<&Certificate>) -> Counts {
    let operations = history.operations();
    let mut counts = Counts {
        operations: operations.len(),
        keys: Keys::of(operations).len(),
        ..Counts::default()
    };
    for operation in operations {
        let which = match &operation.outcome {
            Outcome::Ok(_) => &mut counts.answered,
            Outcome::Fail => &mut counts.failed,
            Outcome::Unknown if operation.input.is_read() => &mut counts.unknown_reads,
            Outcome::Unknown => &mut counts.unknown_writes,
        };
        *which += 1;
    }
    counts.took_effect = certificate.map(|certificate| {
        let unknown = |op: &&crate::OpId| {
            let operation = &operations[op.0];
            operation.outcome == Outcome::Unknown && !operation.input.is_read()
        };
        certificate.order.iter().filter(unknown).count()
    });
    counts
}
