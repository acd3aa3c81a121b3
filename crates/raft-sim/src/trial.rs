//! Trials of plans for the command line: in this process where a failed assertion can be outlived,
//! in another one where it ends the process.

use std::cell::Cell;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use raft_sim::shrink::{kind_of, shrink};
use raft_sim::{Plan, run};

use crate::plan_file;

/// Something was violated.
pub(crate) const VIOLATED: u8 = 5;

/// How the line begins that says what was violated.
pub(crate) const VERDICT: &str = "violated: ";

/// A plan is shrunk with so many trials, at most.
const TRIALS: u64 = 3_000;

thread_local! {
    /// The seed this thread is at.
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// What a plan violates.
fn violation(plan: &Plan) -> io::Result<Option<String>> {
    if cfg!(panic = "unwind") {
        return Ok(run(plan.clone(), None).violation.map(|violation| violation.to_string()));
    }
    let path = std::env::temp_dir().join(format!("raft-sim-trial-{}.plan", std::process::id()));
    plan_file::write(&path, &plan.to_string())?;
    let program = std::env::current_exe()?;
    let output = Command::new(program).arg("--quiet").arg("--plan").arg(&path).output()?;
    plan_file::remove(&path)?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().find_map(|line| line.strip_prefix(VERDICT)).map(str::to_owned))
}

/// Shrinks the plan of a seed that violates this, keeps it as a file in `dir`, and says how to run
/// it again.
pub(crate) fn reduce(seed: u64, violated: &str, dir: &Path) -> io::Result<()> {
    let mut out = io::stdout();
    let kind = kind_of(violated);
    let plan = Plan::draw(seed);
    let acts = plan.acts.len();
    let mut latest = violated.to_owned();
    let plan = shrink(plan, TRIALS, |plan| match violation(plan) {
        Ok(Some(text)) if kind_of(&text) == kind => {
            latest = text;
            true
        }
        _ => false,
    });
    let path = dir.join(format!("raft-sim-{seed}.plan"));
    let first = latest.lines().next().unwrap_or_default();
    let text = format!("{plan}# of seed {seed}; violates {first}\n");
    let saved = plan_file::write(&path, &text);
    writeln!(out, "of {acts} things that are done {} are left:\n", plan.acts.len())?;
    for line in text.lines() {
        writeln!(out, "    {line}")?;
    }
    match saved {
        Ok(()) => writeln!(out, "\nreproduce: raft-sim --plan {}\n", path.display()),
        Err(error) => {
            writeln!(out, "\ncould not write {}: {error}", path.display())?;
            writeln!(out, "reproduce: raft-sim {seed}\n")
        }
    }
}

/// From now on this thread is at that seed.
pub(crate) fn begin(seed: u64) {
    SEED.set(Some(seed));
}

/// A failed assertion ends a release build at once; its seed must not be lost. In other builds it is
/// reported like everything else.
pub(crate) fn report_on_panic(dir: PathBuf) {
    std::panic::set_hook(Box::new(move |panic| {
        if cfg!(panic = "unwind") {
            return;
        }
        let text = panic.payload_as_str().unwrap_or("a panic without a message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let mut out = io::stdout().lock();
        drop(writeln!(out, "\n{VERDICT}no assertion fails: {text}"));
        drop(writeln!(out, "at {place}"));
        drop(out);
        if let Some(seed) = SEED.get() {
            drop(writeln!(io::stdout(), "seed {seed}"));
            drop(reduce(seed, &format!("no assertion fails: {text}"), &dir));
        }
        #[expect(clippy::exit, reason = "the process would be aborted with another status")]
        std::process::exit(i32::from(VIOLATED));
    }));
}
