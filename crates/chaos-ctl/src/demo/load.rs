//! The load: `raft-client bench` in a process of its own, and what it reports.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde::Deserialize;
use tokio::process::Child;

use crate::exit::{Code, Failure};
use crate::spawner::{Launch, Spawner};

/// How to run a load.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) client: PathBuf,
    pub(super) config: PathBuf,
    pub(super) concurrency: usize,
}

/// A load under way.
#[derive(Debug)]
pub(super) struct Bench {
    child: Child,
    status: Option<ExitStatus>,
}

/// The report of a bench, as far as it is shown.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct BenchResult {
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) unknown: u64,
    pub(super) retries: u64,
    pub(super) ops_per_s: f64,
    pub(super) longest_gap_us: u64,
    pub(super) latency_us: Latency,
    #[serde(default)]
    pub(super) client_debug_build: bool,
    #[serde(default)]
    pub(super) verify: Option<Verify>,
}

/// Percentiles, in microseconds.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Latency {
    pub(super) p50: u64,
    pub(super) p99: u64,
}

/// What reading back showed, or why it could not be done.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Verify {
    Done { checked: u64, lost: u64, applied_twice: u64, unexpected: u64, findings: Vec<String> },
    Undone { error: String },
}

impl Load {
    /// Starts it. Its report goes to `<files>.json`, its messages to `<files>.log`.
    pub(super) async fn start(
        &self,
        spawner: &Spawner,
        lasts: Duration,
        files: &Path,
    ) -> Result<Bench, Failure> {
        let create = |extension| {
            let path = files.with_extension(extension);
            File::create(&path).with_context(|| format!("could not create {}", path.display()))
        };
        let (report, log) = (create("json")?, create("log")?);
        let words = [
            "bench",
            "-c",
            &self.concurrency.to_string(),
            "-z",
            &format!("{}ms", lasts.as_millis()),
            "--verify",
            "-o",
            "json",
            "--config",
        ];
        let mut args: Vec<OsString> = words.map(OsString::from).into();
        args.push(self.config.clone().into_os_string());
        let (program, env) = (self.client.clone(), Vec::new());
        let (stdout, stderr) = (Stdio::from(report), Stdio::from(log));
        let launch = Launch { program, args, env, stdout, stderr };
        let child = spawner.spawn(launch).await;
        let child = child.with_context(|| format!("could not start {}", self.client.display()))?;
        Ok(Bench { child, status: None })
    }
}

impl Bench {
    /// Waits for its end. May be dropped and called again.
    pub(super) async fn ended(&mut self) {
        match self.child.wait().await {
            Ok(status) => self.status = Some(status),
            Err(error) => tracing::error!(%error, "could not wait for the bench"),
        }
    }

    /// Ends it without its report.
    pub(super) async fn kill(&mut self) {
        if self.status.is_none()
            && let Err(error) = self.child.kill().await
        {
            tracing::error!(%error, "could not end the bench");
        }
    }

    /// What it reported. That writes were lost is a result, and no failure of the bench.
    pub(super) fn result(&self, files: &Path) -> Result<BenchResult, Failure> {
        let report = fs::read_to_string(files.with_extension("json")).unwrap_or_default();
        serde_json::from_str(&report).map_err(|error| {
            let log = fs::read_to_string(files.with_extension("log")).unwrap_or_default();
            let status = self.status.map_or_else(String::new, |status| status.to_string());
            let what = format!("the bench reported nothing ({status}, {error})\n{}", log.trim());
            Failure::new(Code::Inconclusive, what)
        })
    }
}
