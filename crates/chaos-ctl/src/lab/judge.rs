//! Judges what the clients wrote down, now or later.

use std::fs;
use std::path::Path;

use lin_check::{Budget, Certificate, History, Verdict};
use serde::Serialize;

use super::clients::{ClientResults, Clients};
use crate::exit::Code;

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
pub(super) fn judge(dir: &Path, clients: Option<&ClientResults>) -> Judged {
    if clients.is_none() {
        return Judged::Nothing("the clients did not come to their end".to_owned());
    }
    let (written, kept) = (Clients::history(&dir.join("load")), dir.join("history.jsonl"));
    if let Err(error) = fs::rename(&written, &kept) {
        return Judged::Nothing(format!("there is no {}: {error}", written.display()));
    }
    judge_file(&kept, Some(&dir.join("certificate.json")))
}

/// Judges a history's file, and writes its proof if there is one and it is to be kept.
fn judge_file(history: &Path, proof: Option<&Path>) -> Judged {
    let history = match History::load(history) {
        Ok(history) => history,
        Err(error) => return Judged::Nothing(error.to_string()),
    };
    if history.operations().is_empty() {
        return Judged::Nothing("there is no operation in the history".to_owned());
    }
    let judged = lin_check::judge(&history, Budget::steps(STEPS));
    let verdict = match &judged.verdict {
        Verdict::Linearizable => "linearizable",
        Verdict::Violation(_) => "violation",
        Verdict::Undecided { .. } => "undecided",
    };
    if let (Some(proof), Some(certificate)) = (proof, &judged.certificate)
        && let Err(error) = certificate.save(proof)
    {
        return Judged::Nothing(format!("the proof could not be kept: {error}"));
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
    Judged::Said(judgement, history)
}

/// What came of judging a history again.
#[derive(Debug)]
pub(crate) struct Rejudged {
    /// Done, unsafe or inconclusive: the history, and the proof with it if one was asked for.
    pub(crate) code: Code,
    /// The same of the history alone.
    pub(crate) history: Code,
    /// In a sentence.
    pub(crate) words: String,
    pub(crate) operations: Option<usize>,
    /// What the proof that was kept is worth, if one was asked for.
    pub(crate) proof: Option<String>,
    pub(crate) proof_holds: bool,
}

/// Judges a history's file again, and holds the proof that was kept against it. A run that was
/// proven once must be proven by the same order.
pub(crate) fn rejudge(history: &Path, proof: Option<&Path>) -> Rejudged {
    let (judgement, history) = match judge_file(history, None) {
        Judged::Nothing(words) => {
            let (code, history) = (Code::Inconclusive, Code::Inconclusive);
            let (operations, proof, proof_holds) = (None, None, false);
            return Rejudged { code, history, words, operations, proof, proof_holds };
        }
        Judged::Said(judgement, history) => (judgement, history),
    };
    let code = match (judgement.verdict, &judgement.wrong_hint) {
        ("violation", _) | (_, Some(_)) => Code::Unsafe,
        ("linearizable", None) => Code::Done,
        _ => Code::Inconclusive,
    };
    let (operations, words) = (Some(judgement.operations), judgement.words);
    let Some(proof) = proof else {
        let (history, proof, proof_holds) = (code, None, false);
        return Rejudged { code, history, words, operations, proof, proof_holds };
    };
    let judged = code;
    let held = Certificate::load(proof)
        .map_err(|error| error.to_string())
        .and_then(|it| it.verify(&history).map_err(|refusal| refusal.to_string()));
    let proof_holds = held.is_ok();
    let proof = match held {
        Ok(()) => "the order that was kept proves it".to_owned(),
        Err(why) => format!("what was kept is no proof of it: {why}"),
    };
    let code = if proof_holds || code != Code::Done { code } else { Code::Unsafe };
    let (proof, history) = (Some(proof), judged);
    Rejudged { code, history, words, operations, proof, proof_holds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_proven_of_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (history, proof) = (dir.path().join("history.jsonl"), dir.path().join("proof.json"));
        fs::write(&history, "\n").unwrap();
        fs::write(&proof, "{\"order\":[]}").unwrap();
        for proof in [None, Some(proof.as_path())] {
            let judged = rejudge(&history, proof);
            assert_eq!(judged.code, Code::Inconclusive, "{}", judged.words);
            assert_eq!(judged.words, "there is no operation in the history");
        }
    }

    #[test]
    fn an_order_that_could_not_be_kept_proves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let history = dir.path().join("history.jsonl");
        let line = r#"{"process":1,"key":"k","input":"get","called_ns":1,"returned_ns":2,"outcome":{"ok":{"value":null}},"index":1}"#;
        fs::write(&history, line).unwrap();
        let judged = judge_file(&history, Some(dir.path()));
        assert!(matches!(&judged, Judged::Nothing(why) if why.contains("could not be kept")));
        assert!(judge_file(&history, Some(&dir.path().join("proof.json"))).shown().is_some());
    }
}
