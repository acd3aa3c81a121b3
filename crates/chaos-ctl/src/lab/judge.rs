//! Judges what the clients wrote down, now or later.

use std::fs;
use std::path::Path;

use lin_check::{Budget, History, Verdict};
use serde::Serialize;

use super::clients::{ClientResults, Clients};
use crate::exit::Failure;

/// What came of judging the history.
#[derive(Debug)]
pub(super) enum Judged {
    /// There is none, or it cannot be read: why.
    Nothing(String),
    /// The judge's word, and how many operations were answered before the first fault could come.
    Said(Judgement, History),
}

/// The judge's word, for the results.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Judgement {
    /// `linearizable`, `violation` or `undecided`.
    pub(crate) verdict: &'static str,
    /// How it was found.
    pub(crate) method: String,
    pub(crate) operations: usize,
    pub(crate) keys: usize,
    pub(crate) answered: usize,
    pub(crate) failed: usize,
    pub(crate) unknown_writes: usize,
    pub(crate) took_effect: Option<usize>,
    /// In a sentence: of a violation, who did what and who saw what.
    pub(crate) words: String,
    /// What is wrong with the servers' indexes although the answers were right.
    pub(crate) wrong_hint: Option<String>,
}

/// Steps of the search for each key, if there has to be one.
const STEPS: u64 = 20_000_000;

impl Judged {
    pub(super) fn shown(&self) -> Option<Judgement> {
        match self {
            Self::Nothing(_) => None,
            Self::Said(judgement, _) => Some(judgement.clone()),
        }
    }
}

/// Judges the history of a run, and writes the proof beside it.
pub(super) fn judge(dir: &Path, clients: Option<&ClientResults>) -> Result<Judged, Failure> {
    if clients.is_none() {
        return Ok(Judged::Nothing("the clients did not come to their end".to_owned()));
    }
    let (written, kept) = (Clients::history(&dir.join("load")), dir.join("history.jsonl"));
    if let Err(error) = fs::rename(&written, &kept) {
        return Ok(Judged::Nothing(format!("there is no {}: {error}", written.display())));
    }
    judge_file(&kept, Some(&dir.join("certificate.json")))
}

/// Judges a history's file, and writes its proof if there is one and it is to be kept.
pub(crate) fn judge_file(history: &Path, proof: Option<&Path>) -> Result<Judged, Failure> {
    let history = match History::load(history) {
        Ok(history) => history,
        Err(error) => return Ok(Judged::Nothing(format!("{}: {error}", history.display()))),
    };
    let judged = lin_check::judge(&history, Budget::steps(STEPS));
    let verdict = match &judged.verdict {
        Verdict::Linearizable => "linearizable",
        Verdict::Violation(_) => "violation",
        Verdict::Undecided { .. } => "undecided",
    };
    if let (Some(proof), Some(certificate)) = (proof, &judged.certificate) {
        certificate.save(proof).map_err(Failure::usage)?;
    }
    let counts = judged.counts;
    let judgement = Judgement {
        verdict,
        method: judged.method.to_string(),
        operations: counts.operations,
        keys: counts.keys,
        answered: counts.answered,
        failed: counts.failed,
        unknown_writes: counts.unknown_writes,
        took_effect: counts.took_effect,
        words: judged.to_string(),
        wrong_hint: judged.wrong_hint().map(ToString::to_string),
    };
    Ok(Judged::Said(judgement, history))
}
