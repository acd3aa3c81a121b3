//! The load: `raft-client bench` in a process of its own, and what it reports.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::process::Child;

use crate::exit::{Code, Failure};
use crate::spawner::{Launch, Spawner};

/// How to run a load.
#[derive(Clone, Debug)]
pub struct Load {
    /// The client's executable.
    pub client: PathBuf,
    /// The cluster's file, if that tells the bench where the cluster is.
    pub config: Option<PathBuf>,
    /// Writes under way at any time.
    pub concurrency: usize,
    /// Bytes of each value, if it is not the bench's own choice.
    pub value_bytes: Option<u64>,
    /// Gaps between acknowledged writes that are reported, if that is not the bench's own choice.
    pub gaps_from: Option<Duration>,
    /// What else the bench is told.
    pub more: Vec<OsString>,
}

/// A load under way. It leads a process group of its own, so that a Ctrl-C that ends us does not reach it.
#[derive(Debug)]
pub struct Bench {
    child: Child,
    status: Option<ExitStatus>,
}

/// The report of a bench, as far as it is shown.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct BenchResult {
    /// Acknowledged writes.
    pub ok: u64,
    /// Writes that are not done.
    pub failed: u64,
    /// Writes that may be done.
    pub unknown: u64,
    /// Attempts that followed a failed one.
    pub retries: u64,
    /// Acknowledged writes per second.
    pub ops_per_s: f64,
    /// The longest time without an acknowledged write.
    pub longest_gap_us: u64,
    /// Of acknowledged writes.
    pub latency_us: Latency,
    /// Whether the client was built without optimisation.
    #[serde(default)]
    pub client_debug_build: bool,
    /// Failed attempts by kind.
    #[serde(default)]
    pub errors: BTreeMap<String, u64>,
    /// What reading back has shown.
    #[serde(default)]
    pub verify: Option<Verify>,
    /// When it began, on the machine's monotonic clock.
    #[serde(default)]
    pub started_mono_us: u64,
    /// How long a gap must be to be listed.
    #[serde(default)]
    pub gap_min_us: u64,
    /// Times without an acknowledged write.
    #[serde(default, skip_serializing)]
    pub gaps: Vec<Gap>,
    /// Gaps beyond those listed.
    #[serde(default)]
    pub gaps_left_out: u64,
    /// Times without an answered read, while one was waited for.
    #[serde(default, skip_serializing)]
    pub read_gaps: Vec<Gap>,
    /// Times in which the bench itself stood still, and so knows nothing of.
    #[serde(default, skip_serializing)]
    pub stalls: Vec<Gap>,
    /// How much was answered, by the kind of operation.
    #[serde(default, skip_serializing)]
    pub ops: Vec<OpCount>,
}

/// How many operations of a kind were answered.
#[derive(Clone, Debug, Deserialize)]
pub struct OpCount {
    /// Its name.
    pub op: String,
    /// Answered ones.
    pub ok: u64,
}

impl BenchResult {
    /// How many operations of this kind were answered.
    pub fn answered(&self, kind: &str) -> u64 {
        self.ops.iter().filter(|it| it.op == kind).map(|it| it.ok).sum()
    }
}

/// A time in which nothing was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Gap {
    /// When it began, from the start of the load.
    pub at_us: u64,
    /// How long it was.
    pub length_us: u64,
}

/// Percentiles, in microseconds.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Latency {
    /// Half of all were faster.
    pub p50: u64,
    /// 99 % were.
    pub p99: u64,
}

/// What reading back showed, or why it could not be done.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Verify {
    /// It was done.
    Done {
        /// Acknowledged writes that were looked for.
        checked: u64,
        /// Those that are not there.
        lost: u64,
        /// Writes that are there more than once.
        applied_twice: u64,
        /// What nobody wrote, or not in this order.
        unexpected: u64,
        /// The first of these, in words.
        findings: Vec<String>,
    },
    /// The cluster could not be read.
    Undone {
        /// Why.
        error: String,
    },
}

impl Verify {
    /// What is broken, in words, if anything is.
    pub fn damage(&self) -> Option<String> {
        match self {
            Self::Done { lost, applied_twice, unexpected, findings, .. }
                if 0 < lost + applied_twice + unexpected =>
            {
                let found = findings.first().map_or("", String::as_str);
                Some(format!(
                    "{lost} acknowledged writes lost, {applied_twice} applied twice, {unexpected} \
                     otherwise wrong. {found}"
                ))
            }
            Self::Done { .. } | Self::Undone { .. } => None,
        }
    }
}

impl Load {
    /// Starts it, for so long or until it is ended. Its report goes to `<files>.json`, its messages
    /// to `<files>.log`.
    pub async fn start(
        &self,
        spawner: &Spawner,
        lasts: Option<Duration>,
        files: &Path,
    ) -> Result<Bench, Failure> {
        let create = |extension| {
            let path = files.with_extension(extension);
            File::create(&path).with_context(|| format!("could not create {}", path.display()))
        };
        let (report, log) = (create("json")?, create("log")?);
        let ms = |time: Duration| format!("{}ms", time.as_millis());
        let mut args: Vec<OsString> = ["bench", "-o", "json"].map(Into::into).into();
        args.extend(self.more.iter().cloned());
        let mut add = |option: &str, value: OsString| args.extend([option.into(), value]);
        add("-c", self.concurrency.to_string().into());
        add("-z", ms(lasts.unwrap_or(WITHOUT_END)).into());
        add("--warmup", "0s".into()); // What is done to the cluster begins at once.
        if let Some(bytes) = self.value_bytes {
            add("--value-size", bytes.to_string().into());
        }
        if let Some(from) = self.gaps_from {
            add("--gaps-from", ms(from).into());
        }
        if let Some(config) = &self.config {
            add("--config", config.clone().into_os_string());
        }
        let (program, env) = (self.client.clone(), Vec::new());
        let (stdout, stderr) = (Stdio::from(report), Stdio::from(log));
        let launch = Launch { program, args, env, stdout, stderr };
        let child = spawner.spawn(launch).await;
        let child = child.with_context(|| format!("could not start {}", self.client.display()))?;
        Ok(Bench { child, status: None })
    }
}

/// Longer than anything waits for.
const WITHOUT_END: Duration = Duration::from_hours(24);

impl Bench {
    /// Asks it to begin no more writes, to read back, and to report.
    pub fn finish(&mut self) {
        // The pid is there until the child has been waited for, so it is nobody else's.
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid
            && let Err(error) = kill(Pid::from_raw(pid), Signal::SIGINT)
        {
            tracing::error!(%error, "could not end the bench");
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status.is_some()
    }

    /// Waits for its end. May be dropped and called again.
    pub async fn ended(&mut self) {
        match self.child.wait().await {
            Ok(status) => self.status = Some(status),
            Err(error) => tracing::error!(%error, "could not wait for the bench"),
        }
    }

    /// Ends it without its report.
    pub async fn kill(&mut self) {
        if self.status.is_none()
            && let Err(error) = self.child.kill().await
        {
            tracing::error!(%error, "could not end the bench");
        }
    }

    /// What it reported. That writes were lost is a result, and no failure of the bench.
    pub fn result(&self, files: &Path) -> Result<BenchResult, Failure> {
        let report = fs::read_to_string(files.with_extension("json")).unwrap_or_default();
        serde_json::from_str(&report).map_err(|error| {
            let log = last_word(files);
            let status = self.status.map_or_else(String::new, |status| status.to_string());
            let what = format!("the bench reported nothing ({status}, {error}): {log}");
            Failure::new(Code::Inconclusive, what)
        })
    }
}

/// What a bench said last, without what belongs to programs.
pub fn last_word(files: &Path) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let log = fs::read_to_string(files.with_extension("log")).unwrap_or_default();
    let mut lines = log.lines().rev().filter(|line| !line.trim().is_empty());
    let said = log.lines().rev().find_map(|line| serde_json::from_str::<Said>(line).ok());
    said.map(|said| said.message).or_else(|| lines.next().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_is_why_and_not_how_far() {
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join("lists");
        let word = |log: &str| {
            fs::write(files.with_extension("log"), log).unwrap();
            last_word(&files)
        };
        assert_eq!(word(""), "");
        assert_eq!(word("error: no such option\n\n"), "error: no such option");
        let why = "{\"level\":\"error\",\"message\":\"the disk is full\"}\n";
        assert_eq!(
            word(&format!("{why}{{\"level\":\"progress\",\"ok\":7}}\n")),
            "the disk is full"
        );
    }
}
