//! Where runs are kept, and what they are held against.

mod place;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use raft_client::bench::{
    self, CompareError, Comparison, Ending, Expectation, Kept, Plan, Run, Summary,
};

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
    /// Whether it can be told at all: that nothing was lost, or that it is no worse.
    pub(super) conclusive: bool,
    /// Whether all files were written that should be.
    pub(super) saved: bool,
}

impl Shelf<'_> {
    /// Sees whether the files can go where they should, and finds the run to compare with: both
    /// would be a pity afterwards.
    pub(super) fn prepare(&self, plan: &Plan, connections: usize) -> Result<Option<Run>, Failure> {
        let unwritable = |what: &str, path: &Path, why: String| {
            Failure::usage(format!("{what} {}: {why}", path.display()), None)
        };
        if let Some(name) = self.save {
            let path = self.named(name)?;
            place::check(&path).map_err(|why| unwritable("--save cannot write", &path, why))?;
        }
        if let Some(path) = &plan.history {
            place::check(path)
                .map_err(|why| unwritable("--history cannot be written:", path, why))?;
            if let Some(why) = place::is_no_history(path) {
                let hint = "name a new file, or remove that one first";
                let message = format!("--history {}: {why}", path.display());
                return Err(Failure::usage(message, Some(hint)));
            }
        }
        if let Some(out) = self.out {
            Summary::check_place(out).map_err(|why| {
                let hint = "name a directory that is new, empty, or that of an older run";
                Failure::usage(format!("--out {}: {why}", out.display()), Some(hint))
            })?;
            place::check(&out.join("bench.json")).map_err(|why| unwritable("--out", out, why))?;
        }
        let baseline = self.against.map(|wanted| self.find(wanted)).transpose()?;
        if let Some(baseline) = &baseline {
            let wanted = self.against.unwrap_or_default();
            let unlike =
                |error: CompareError| unusable(error).during(&format!("--against {wanted}"));
            baseline.check(plan, connections).map_err(unlike)?;
        }
        Ok(baseline)
    }

    /// A run by its directory, its file, or the name it was saved under.
    pub(super) fn find(&self, wanted: &str) -> Result<Run, Failure> {
        let path = Path::new(wanted);
        if path.exists() {
            return Run::load(path).map_err(unusable);
        }
        let kept = self.home.is_some().then(|| self.named(wanted)).transpose()?;
        let made = self.home.as_ref().map(|home| home.join("bench").join(wanted));
        if let Some(path) = kept.into_iter().chain(made).find(|path| path.exists()) {
            return Run::load(&path).map_err(unusable);
        }
        let hint = match (&self.home, self.names()) {
            (None, _) => "a run that --save kept is found by the cluster's file, with --config; a \
                          directory or a bench.json by its path"
                .to_owned(),
            (Some(_), names) if names.is_empty() => {
                "nothing is saved yet: --save NAME keeps a run".to_owned()
            }
            (Some(_), names) => format!("saved are: {}", names.join(", ")),
        };
        Err(Failure::usage(format!("there is no run `{wanted}`"), Some(&hint)))
    }

    /// What was saved so far.
    fn names(&self) -> Vec<String> {
        let dir = self.home.iter().map(|home| home.join("baselines"));
        let files = dir.filter_map(|dir| std::fs::read_dir(dir).ok()).flatten();
        let name = |file: std::fs::DirEntry| {
            Some(file.file_name().to_str()?.strip_suffix(".json")?.to_owned())
        };
        let mut names: Vec<String> = files.filter_map(|file| name(file.ok()?)).collect();
        names.sort_unstable();
        names
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
        summary: &mut Summary,
        baseline: Option<&Run>,
    ) -> Result<Verdict, Failure> {
        let mut verdict =
            Verdict { text: String::new(), kept: true, conclusive: true, saved: true };
        let mut say = |line: std::fmt::Arguments<'_>| {
            writeln!(verdict.text, "{line}").expect("a string takes all");
        };
        for expectation in self.expectations {
            let kept = expectation.judge(summary);
            summary.expectations.push(expectation.judged(&kept));
            let (mark, shown) = match kept {
                Kept::Yes(shown) => ("kept", shown),
                Kept::No(shown) => {
                    verdict.kept = false;
                    ("NOT KEPT", shown)
                }
                Kept::Untold(why) if expectation.needs_verification() => {
                    verdict.conclusive = false;
                    ("NOT KEPT", why)
                }
                Kept::Untold(why) => {
                    verdict.kept = false;
                    ("NOT KEPT", why)
                }
            };
            say(format_args!("expect  {expectation}  {mark}: {shown}"));
        }
        if let Some(baseline) = baseline {
            let json = serde_json::to_value(&*summary).and_then(serde_json::from_value::<Run>);
            let run = json.map_err(|error| Failure::internal(error.to_string()))?;
            // The run has been made: it is shown, whatever it cannot be compared with.
            match Comparison::of(baseline, &run, self.noise) {
                Ok(comparison) => {
                    match comparison.ending() {
                        Ending::NoWorse => (),
                        Ending::Worse => verdict.kept = false,
                        // What was lost in this run is known by its own word.
                        Ending::Inconclusive | Ending::Unsafe => verdict.conclusive = false,
                    }
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
        self.keep(summary, &mut verdict)?;
        Ok(verdict)
    }

    /// Keeps the run under its name, if it was given one and is whole.
    fn keep(&self, summary: &Summary, verdict: &mut Verdict) -> Result<(), Failure> {
        let mut say = |line: std::fmt::Arguments<'_>| {
            writeln!(verdict.text, "{line}").expect("a string takes all");
        };
        let half = summary.interrupted || summary.gave_up;
        if let Some(name) = self.save.filter(|_| half) {
            verdict.saved = false;
            say(format_args!(
                "NOT SAVED as {name}: the run was broken off, and half a run is no measure"
            ));
        } else if let Some(name) = self.save {
            let path = self.named(name)?;
            let again = if path.exists() { ", in place of an older run" } else { "" };
            match save(&path, summary) {
                Ok(()) => {
                    say(format_args!("saved as {name}{again}: {}", path.display()));
                    let undone = summary.failed + summary.unknown + summary.dropped;
                    if 0 < undone {
                        say(format_args!(
                            "  MARKED: {undone} operations of it were never done, and whatever is \
                             compared with it is told so"
                        ));
                    }
                }
                Err(error) => {
                    verdict.saved = false;
                    say(format_args!("NOT SAVED: could not write {}: {error}", path.display()));
                }
            }
        }
        Ok(())
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
    bench::write_whole(path, &serde_json::to_vec_pretty(summary)?)
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
pub(super) fn unusable(error: CompareError) -> Failure {
    Failure::usage(error.to_string(), None)
}
