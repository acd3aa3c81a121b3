//! `chaos-ctl verify`: a run that is over is judged once more, from its files alone.

use std::path::{Path, PathBuf};

use chaos_report::{account, found, in_short};
use clap::Args;
use serde::Deserialize;

use crate::events::grouped;
use crate::exit::{Code, Failure};
use crate::lab::{Claim, Held, KeptLogs, Rejudged, look_again, rejudge};
use crate::output::Output;

/// Judge a run again, offline, from its files
///
/// The history is judged anew and its certificate held against it; what the clients found, what the nodes
/// said of themselves, how they ended and their logs are read again. What only the nodes could tell is repeated
/// from the run. Exit code 0 if all of it holds; as `run` otherwise: 5 if a promise is broken, 10
/// if nothing can be concluded.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The directory of a run, or a history.jsonl alone
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
}

/// What was said of a run, as far as it is looked at again.
#[derive(Deserialize)]
struct Then {
    scenario: String,
    #[serde(default)]
    system: String,
    seed: u64,
    verdict: String,
    why: String,
    #[serde(default)]
    code: u8,
    claims: Vec<ClaimThen>,
    judgement: Option<JudgementThen>,
    logs: Option<KeptLogs>,
}

#[derive(Deserialize)]
struct ClaimThen {
    claim: String,
    verdict: String,
    evidence: String,
}

#[derive(Deserialize)]
struct JudgementThen {
    operations: usize,
}

/// A line of the answer.
struct Told {
    mark: &'static str,
    what: String,
    words: String,
    code: Code,
}

impl Told {
    fn new(code: Code, what: &str, words: impl Into<String>) -> Self {
        let mark = match code {
            Code::Done => "ok",
            Code::Inconclusive => "unknown",
            _ => "FAILED",
        };
        Self { mark, what: what.to_owned(), words: words.into(), code }
    }

    fn again(claim: &Claim) -> Self {
        let told = Self::new(claim.exit(), claim.claim, claim.evidence.clone());
        let mark = if claim.verdict == Held::NotExercised { "-" } else { told.mark };
        Self { mark, ..told }
    }

    /// What cannot be looked at again, as it was then.
    fn then(claim: &ClaimThen, run: Code) -> Self {
        let (mark, code) = match claim.verdict.as_str() {
            "pass" => ("then ok", Code::Done),
            // Whatever the results say of the whole.
            "fail" if run == Code::Done => ("FAILED", Code::Unsafe),
            "fail" => ("FAILED", run),
            "not_exercised" => ("-", Code::Done),
            _ => ("unknown", Code::Inconclusive),
        };
        Self { mark, what: claim.claim.clone(), words: claim.evidence.clone(), code }
    }
}

impl Verify {
    pub(super) fn run(&self) -> Result<Code, Failure> {
        let mut output = Output::stdout();
        if self.run.is_file() {
            let judged = rejudge(&self.run, None);
            show(&history(&judged), &judged, &mut output);
            return Ok(judged.code);
        }
        let then = Then::read(&self.run)?;
        let (past, proof) = (self.run.join("history.jsonl"), self.run.join("certificate.json"));
        let judged = rejudge(&past, Some(&proof));
        output.line(&format!(
            "{}  seed {}   then: {}  {}\n",
            then.scenario,
            then.seed,
            then.verdict,
            in_short(&then.why)
        ));
        let mut told = history(&judged);
        told.extend(then.whole(&judged));
        told.extend(then.claims(&self.run));
        show(&told, &judged, &mut output);
        let code = then.conclude(&told);
        let word = match code {
            Code::Done => "PASS",
            Code::Inconclusive => "INCONCLUSIVE",
            _ => "FAIL",
        };
        let first = told.iter().find(|it| it.code == code && code != Code::Done);
        let why = first.map(|it| format!("  {}: {}", it.what, in_short(&it.words)));
        output.line(&format!("\n{word}  {}{}", self.run.display(), why.unwrap_or_default()));
        Ok(code)
    }
}

impl Then {
    fn read(run: &Path) -> Result<Self, Failure> {
        let path = run.join("results.json");
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!("could not read {}: {error}", path.display()))
                .hint("RUN_DIR is a directory that `chaos-ctl run` has written")
        })?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::usage(format!("{} is damaged: {error}", path.display())))
    }

    /// What the run ended with, if it did not pass.
    fn exit(&self) -> Code {
        let known = [Code::Unsafe, Code::TooSlow, Code::Crashed];
        let named = known.into_iter().find(|code| *code as u8 == self.code);
        match self.verdict.as_str() {
            "PASS" => Code::Done,
            "FAIL" => named.unwrap_or(Code::Unsafe),
            _ => Code::Inconclusive,
        }
    }

    /// Whether all that was judged then is still there.
    fn whole(&self, judged: &Rejudged) -> Option<Told> {
        let Some(then) = &self.judgement else {
            let what = "the history is whole";
            return Some(Told::new(Code::Inconclusive, what, "nothing was judged then"));
        };
        let (then, now) = (then.operations, judged.operations?);
        let counted = |it: usize| grouped(u64::try_from(it).unwrap_or(u64::MAX));
        let words = format!("{} operations, and {} were judged then", counted(now), counted(then));
        (then != now).then(|| Told::new(Code::Unsafe, "the history is whole", words))
    }

    /// The other claims: looked at again where the files allow it.
    fn claims(&self, run: &Path) -> Vec<Told> {
        let again =
            if self.system == "etcd" { Vec::new() } else { look_again(run, self.logs.as_ref()) };
        let others = self.claims.iter().filter(|claim| claim.claim != "linearizable");
        let told = others.map(|then| {
            let now = again.iter().find(|now| now.claim == then.claim);
            match now {
                // What was found wrong or open then is not mended by files that show less.
                Some(now) if then.verdict == "pass" => Told::again(now),
                _ => Told::then(then, self.exit()),
            }
        });
        let missing =
            again.iter().filter(|now| self.claims.iter().all(|then| then.claim != now.claim));
        let missing = missing.map(|it| Told::new(Code::Inconclusive, it.claim, "not claimed then"));
        told.chain(missing).collect()
    }

    /// Damage goes before doubt, and doubt before slowness, as in the run.
    fn conclude(&self, told: &[Told]) -> Code {
        let order = [Code::Unsafe, Code::Crashed, Code::Inconclusive, Code::TooSlow];
        let worst = order.into_iter().find(|code| told.iter().any(|it| it.code == *code));
        worst.unwrap_or_else(|| self.exit())
    }
}

/// What came of judging the history again.
fn history(judged: &Rejudged) -> Vec<Told> {
    let mut told =
        vec![Told::new(judged.history, "linearizable", found("linearizable", &judged.words))];
    if let Some(proof) = &judged.proof {
        let code = if judged.proof_holds { Code::Done } else { judged.code };
        told.push(Told::new(code, "certificate", proof.clone()));
    }
    told
}

/// What is wrong first, and last what was done by whom, if that is it.
fn show(told: &[Told], judged: &Rejudged, output: &mut Output) {
    let (fine, wrong): (Vec<&Told>, Vec<&Told>) = told.iter().partition(|it| it.code == Code::Done);
    for it in wrong.into_iter().chain(fine) {
        output.line(&format!("  {:<7}  {:<34}  {}", it.mark, it.what, it.words));
    }
    if judged.history == Code::Unsafe {
        output.line("\nwhat went wrong");
        for line in account(&judged.words) {
            output.line(&format!("  {line}"));
        }
    }
}
