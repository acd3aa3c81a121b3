//! The clients of a run: two `raft-client bench` at the same time, each in a process of its own.
//!
//! One works on keys that all its workers share and writes down every operation, for the judge of
//! linearizability. The other one appends to lists, which keep a trace of every write, and reads
//! them back in the end: so a write that is lost or done twice is found, whatever came after it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::exit::Failure;
use crate::load::{Bench, BenchResult, Load};
use crate::plan::LoadPlan;
use crate::runner::Runner;

/// The clients under way.
#[derive(Debug)]
pub(crate) struct Clients {
    /// The registers' bench, then the lists'.
    benches: [(Bench, PathBuf); 2],
}

/// What the clients have to say.
#[derive(Debug)]
pub(crate) struct ClientResults {
    pub(crate) registers: BenchResult,
    pub(crate) lists: BenchResult,
}

/// How the clients are run.
#[derive(Clone, Debug)]
pub(crate) struct ClientSetup {
    /// The client's executable.
    pub(crate) program: PathBuf,
    /// The cluster's file.
    pub(crate) config: PathBuf,
    /// Its clients' addresses, if it is of etcd, of which the file says nothing.
    pub(crate) etcd: Option<String>,
    pub(crate) plan: LoadPlan,
    pub(crate) seed: u64,
    /// Where their files go.
    pub(crate) dir: PathBuf,
}

/// Gaps that are shorter are not told apart.
pub(crate) const GAPS_FROM: Duration = Duration::from_millis(2);

impl ClientSetup {
    /// Starts both.
    pub(crate) async fn start(&self, runner: &Runner) -> Result<Clients, Failure> {
        let dir = &self.dir;
        std::fs::create_dir_all(dir).map_err(|error| {
            Failure::usage(format!("could not create {}: {error}", dir.display()))
        })?;
        let half = (self.plan.concurrency / 2).max(1);
        let others = self.plan.concurrency.saturating_sub(half).max(1);
        let spawner = runner.cluster().spawner();
        let load = |concurrency: u16, more: Vec<OsString>| Load {
            client: self.program.clone(),
            config: self.etcd.is_none().then(|| self.config.clone()),
            concurrency: usize::from(concurrency),
            value_bytes: Some(self.plan.value.0),
            gaps_from: Some(GAPS_FROM),
            more,
        };
        let (registers, lists) = (dir.join("registers"), dir.join("lists"));
        let first = load(others, self.registers());
        let second = load(half, self.lists());
        let first = first.start(spawner, None, &registers).await?;
        let second = match second.start(spawner, None, &lists).await {
            Ok(second) => second,
            Err(failure) => {
                let mut first = first;
                first.kill().await;
                return Err(failure);
            }
        };
        Ok(Clients { benches: [(first, registers), (second, lists)] })
    }

    fn registers(&self) -> Vec<OsString> {
        let plan = &self.plan;
        let mut args: Vec<OsString> = Vec::new();
        let mut add = |option: &str, value: &str| args.extend([option.into(), value.into()]);
        add("--mix", &plan.mix_text());
        add("--keys", &plan.keys.0.to_string());
        add("--seed", &self.seed.to_string());
        add("--read-from", &plan.read_from);
        add("--consistency", &plan.consistency);
        self.add_rate(&mut add);
        args.push("--final-reads".into());
        args.push("--history".into());
        args.push(self.dir.join("history.jsonl").into_os_string());
        args.push("--out".into());
        args.push(self.dir.join("bench").into_os_string());
        self.add_etcd(&mut args);
        args
    }

    fn add_etcd(&self, args: &mut Vec<OsString>) {
        if let Some(endpoints) = &self.etcd {
            args.extend(["--target", "etcd", "--endpoints", endpoints].map(Into::into));
        }
    }

    fn lists(&self) -> Vec<OsString> {
        // Where there are no lists, what is put shows the gaps.
        let kind: &[&str] =
            if self.etcd.is_some() { &["--put"] } else { &["--append", "--verify"] };
        let mut args: Vec<OsString> = kind.iter().map(Into::into).collect();
        args.push("--no-files".into());
        self.add_etcd(&mut args);
        let mut add = |option: &str, value: &str| args.extend([option.into(), value.into()]);
        add("--seed", &self.seed.wrapping_add(1).to_string());
        self.add_rate(&mut add);
        args
    }

    /// Half of the rate for each.
    fn add_rate(&self, add: &mut impl FnMut(&str, &str)) {
        if let Some(rate) = self.plan.rate {
            add("--rate", &(rate.0 / 2).max(1).to_string());
        }
    }
}

impl Clients {
    /// Where they write how they are going.
    pub(crate) fn logs(&self) -> [PathBuf; 2] {
        self.benches.each_ref().map(|(_, files)| files.with_extension("log"))
    }

    /// Whether one of them has ended, which neither does by itself.
    pub(crate) fn have_ended(&mut self) -> bool {
        let [(one, _), (other, _)] = &mut self.benches;
        one.has_ended() || other.has_ended()
    }

    /// Why one of them has ended, in its own words.
    pub(crate) fn why_ended(&mut self) -> String {
        let ended = self
            .benches
            .iter_mut()
            .find_map(|(bench, files)| bench.has_ended().then(|| crate::load::last_word(files)));
        let said = ended.filter(|said| !said.is_empty());
        said.unwrap_or_else(|| "it said nothing".to_owned())
    }

    /// Asks them to begin no more operations, and to report.
    pub(crate) fn finish(&mut self) {
        for (bench, _) in &mut self.benches {
            bench.finish();
        }
    }

    /// Waits until both have ended.
    pub(crate) async fn ended(&mut self) {
        for (bench, _) in &mut self.benches {
            if !bench.has_ended() {
                bench.ended().await;
            }
        }
    }

    /// Ends them without a report.
    pub(crate) async fn kill(&mut self) {
        for (bench, _) in &mut self.benches {
            bench.kill().await;
        }
    }

    /// What they report.
    pub(crate) fn results(&self) -> Result<ClientResults, Failure> {
        let [(registers, files), (lists, other_files)] = &self.benches;
        Ok(ClientResults { registers: registers.result(files)?, lists: lists.result(other_files)? })
    }

    /// Where every operation on registers is written down.
    pub(crate) fn history(dir: &Path) -> PathBuf {
        dir.join("history.jsonl")
    }
}
