//! `chaos-ctl verify` and `report`: runs that are over.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use crate::exit::{Code, Failure};
use crate::lab::{Rejudged, rejudge};
use crate::output::Output;

/// Judge a run again, offline, from its files
///
/// The history is judged anew, its certificate is held against it, and what was claimed then is
/// shown. Exit code 0 if all of it holds; 5 if not; 10 if nothing can be concluded.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The directory of a run, or a history.jsonl alone
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
}

/// Write the report of a run as one HTML file
#[derive(Debug, Args)]
pub(super) struct Report {
    /// The directory of a run
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
}

/// What was said of a run, as far as it is looked at again.
#[derive(Deserialize)]
struct Then {
    scenario: String,
    seed: u64,
    verdict: String,
    why: String,
    claims: Vec<ClaimThen>,
    judgement: Option<JudgementThen>,
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

impl Verify {
    pub(super) fn run(&self) -> Result<Code, Failure> {
        let mut output = Output::stdout();
        if self.run.is_file() {
            let judged = rejudge(&self.run, None)?;
            return Ok(tell(&mut output, "history", &judged));
        }
        let then = read_results(&self.run)?;
        let history = self.run.join("history.jsonl");
        let proof = self.run.join("certificate.json");
        let judged = rejudge(&history, Some(&proof))?;
        output.line(&format!(
            "{}  seed {}   then: {}  {}\n",
            then.scenario, then.seed, then.verdict, then.why
        ));
        let mut code = tell(&mut output, "history", &judged);
        let counted = then.judgement.as_ref().map(|it| it.operations);
        if let (Some(then), Some(now)) = (counted, judged.operations)
            && then != now
        {
            output.line(&format!(
                "  FAILED   {now} operations are in the history, and {then} were judged then"
            ));
            code = Code::Unsafe;
        }
        for claim in then.claims.iter().filter(|claim| claim.claim != "linearizable") {
            let mark = match claim.verdict.as_str() {
                "pass" => "then ok",
                "fail" => "FAILED ",
                "not_exercised" => "-      ",
                _ => "unknown",
            };
            output.line(&format!("  {mark}  {:<34}  {}", claim.claim, claim.evidence));
        }
        let code = match (code, then.verdict.as_str()) {
            (Code::Done, "PASS") => Code::Done,
            (Code::Done, "FAIL") => Code::Unsafe,
            (Code::Done, _) => Code::Inconclusive,
            (code, _) => code,
        };
        let word = match code {
            Code::Done => "PASS",
            Code::Inconclusive => "INCONCLUSIVE",
            _ => "FAIL",
        };
        output.line(&format!("\n{word}  {}", self.run.display()));
        Ok(code)
    }
}

/// Says what came of judging again.
fn tell(output: &mut Output, what: &str, judged: &Rejudged) -> Code {
    let mark = match judged.code {
        Code::Done => "ok     ",
        Code::Inconclusive => "unknown",
        _ => "FAILED ",
    };
    output.line(&format!("  {mark}  {what:<34}  {}", judged.words));
    if let Some(proof) = &judged.proof {
        let mark = if judged.proof_holds { "ok     " } else { "FAILED " };
        output.line(&format!("  {mark}  {:<34}  {proof}", "certificate"));
    }
    judged.code
}

fn read_results(run: &Path) -> Result<Then, Failure> {
    let path = run.join("results.json");
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::usage(format!("could not read {}: {error}", path.display()))
            .hint("RUN_DIR is a directory that `chaos-ctl run` has written")
    })?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::usage(format!("{} is damaged: {error}", path.display())))
}

impl Report {
    pub(super) fn run(&self) -> Result<Code, Failure> {
        let path = chaos_report::write(&self.run).map_err(Failure::usage)?;
        Output::stdout().line(&path.display().to_string());
        Ok(Code::Done)
    }
}
