//! Where runs are kept, and what they are held against.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use raft_client::bench::{CompareError, Comparison, Expectation, Kept, Run, Summary};

use super::super::Failure;

/// Where a run goes and what it must keep.
pub(super) struct Shelf<'a> {
    /// The cluster's own folder, if its file is known.
    pub(super) home: Option<PathBuf>,
    pub(super) out: Option<&'a Path>,
    pub(super) no_files: bool,
    pub(super) save: Option<&'a str>,
    pub(super) against: Option<&'a str>,
    pub(super) noise: f64,
    pub(super) expectations: &'a [Expectation],
}

/// What is said after the report.
pub(super) struct Verdict {
    pub(super) text: String,
    /// Whether everything was kept that was expected.
    pub(super) kept: bool,
    /// Whether all files were written that should be.
    pub(super) saved: bool,
}

impl Shelf<'_> {
    /// The run to compare with. Looked for before the run: it would be a pity afterwards.
    pub(super) fn baseline(&self) -> Result<Option<Run>, Failure> {
        if let Some(name) = self.save {
            self.named(name)?;
        }
        let Some(wanted) = self.against else { return Ok(None) };
        let path = Path::new(wanted);
        let path = if path.exists() { path.to_owned() } else { self.named(wanted)? };
        Run::load(&path).map(Some).map_err(unusable)
    }

    /// The file of a baseline.
    fn named(&self, name: &str) -> Result<PathBuf, Failure> {
        let home = self.home.as_ref().ok_or_else(|| {
            Failure::usage(
                format!("there is no place for the baseline `{name}`"),
                Some("name the cluster's file with --config: baselines are kept beside its logs"),
            )
        })?;
        Ok(home.join("baselines").join(format!("{name}.json")))
    }

    /// Writes the files and holds the run against what was expected.
    pub(super) fn judge(
        &self,
        summary: &Summary,
        baseline: Option<&Run>,
    ) -> Result<Verdict, Failure> {
        let mut verdict = Verdict { text: String::new(), kept: true, saved: true };
        let mut say = |line: std::fmt::Arguments<'_>| {
            writeln!(verdict.text, "{line}").expect("a string takes all");
        };
        for expectation in self.expectations {
            let (mark, shown) = match expectation.judge(summary) {
                Kept::Yes(shown) => ("kept", shown),
                Kept::No(shown) => {
                    verdict.kept = false;
                    ("NOT KEPT", shown)
                }
                Kept::Untold(why) => {
                    verdict.kept = false;
                    ("NOT KEPT", why)
                }
            };
            say(format_args!("expect  {expectation}  {mark}: {shown}"));
        }
        if let Some(baseline) = baseline {
            let json = serde_json::to_value(summary).and_then(serde_json::from_value::<Run>);
            let run = json.map_err(|error| Failure::internal(error.to_string()))?;
            // The run has been made: it is shown, whatever it cannot be compared with.
            match Comparison::of(baseline, &run, self.noise) {
                Ok(comparison) => {
                    verdict.kept &= !comparison.is_worse();
                    say(format_args!("\n{}", comparison.text().trim_end()));
                }
                Err(why) => {
                    verdict.kept = false;
                    say(format_args!(
                        "against {}  NOT COMPARED: {why}",
                        self.against.unwrap_or("")
                    ));
                }
            }
        }
        // What was found out is told, whether or not it can be kept.
        if let Some(dir) = self.place() {
            match summary.write_files(&dir) {
                Ok(()) => say(format_args!("saved {}", dir.display())),
                Err(error) => {
                    verdict.saved = false;
                    say(format_args!("NOT SAVED: could not write {}: {error}", dir.display()));
                }
            }
        }
        if let Some(name) = self.save {
            let path = self.named(name)?;
            match save(&path, summary) {
                Ok(()) => say(format_args!("saved as {name}: {}", path.display())),
                Err(error) => {
                    verdict.saved = false;
                    say(format_args!("NOT SAVED: could not write {}: {error}", path.display()));
                }
            }
        }
        Ok(verdict)
    }

    /// Where the files go, if anywhere: `20261123-091502`, in UTC.
    fn place(&self) -> Option<PathBuf> {
        if let Some(out) = self.out {
            return Some(out.to_owned());
        }
        let home = self.home.as_ref().filter(|home| !self.no_files && home.is_dir())?;
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let stamp: String = now.chars().filter(|it| it.is_ascii_digit() || *it == 'T').collect();
        Some(home.join("bench").join(stamp.replace('T', "-")))
    }
}

fn save(path: &Path, summary: &Summary) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, serde_json::to_vec_pretty(summary)?)
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
pub(super) fn unusable(error: CompareError) -> Failure {
    Failure::usage(error.to_string(), None)
}
