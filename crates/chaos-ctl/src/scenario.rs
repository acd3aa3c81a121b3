//! Scenarios: a cluster of its own, a load of verified writes, faults in a known order, a table of
//! what each of them cost as a client sees it, and a verdict.

mod campaigns;
mod change;
mod gaps;
mod kill_all;
mod kill_leader;
mod removal;
mod replace_nodes;
mod report;
mod rolling_restart;
mod stage;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use raft_api::cluster::ClusterConfig;

use crate::cluster::{Setup, find_program};
use crate::events::{Format, Shown, micros};
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::load::Load;
use crate::own::{IDS_MAX, Own};
use crate::runner::{COMPARE_MAX, Enough, Recovery, Runner};
use report::Report;
use stage::Stage;

/// What can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Whoever leads is killed with SIGKILL, over and over.
    KillLeader,
    /// All nodes are killed with SIGKILL at the same moment, over and over.
    KillAll,
    /// Node after node is ended with SIGTERM and started again.
    RollingRestart,
    /// The cluster grows, all its nodes are replaced, it shrinks.
    ReplaceNodes,
}

/// All there are.
pub const SCENARIOS: [Scenario; 4] =
    [Scenario::KillLeader, Scenario::KillAll, Scenario::RollingRestart, Scenario::ReplaceNodes];

impl Scenario {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::KillLeader => "kill-leader",
            Self::KillAll => "kill-all",
            Self::RollingRestart => "rolling-restart",
            Self::ReplaceNodes => "replace-nodes",
        }
    }

    /// What it shows, in a sentence.
    pub fn shows(self) -> &'static str {
        match self {
            Self::KillLeader => {
                "When the leader dies by SIGKILL, writes go on in a moment, and none is lost or done twice."
            }
            Self::KillAll => {
                "When all nodes die by SIGKILL at once, whatever was acknowledged is on their disks."
            }
            Self::RollingRestart => {
                "Every node can be ended with SIGTERM and started again, and clients hardly notice."
            }
            Self::ReplaceNodes => {
                "A cluster can grow, have every node replaced and shrink, under load and kills, and lose nothing."
            }
        }
    }

    /// How often it is done unless the command line says otherwise.
    pub fn rounds(self) -> u16 {
        match self {
            Self::KillLeader => 30,
            Self::KillAll => 100,
            Self::RollingRestart => 5,
            Self::ReplaceNodes => 1,
        }
    }

    /// Ids that nodes have at the end, at most, beginning with so many.
    fn ids(self, nodes: usize, rounds: u16) -> u16 {
        let nodes = u16::try_from(nodes).unwrap_or(IDS_MAX);
        let more = match self {
            Self::KillLeader | Self::KillAll | Self::RollingRestart => 0,
            Self::ReplaceNodes => (nodes + replace_nodes::GROWTH).saturating_mul(rounds),
        };
        nodes.saturating_add(more)
    }

    /// What the gaps between acknowledged writes must be.
    fn expectation(self) -> Expectation {
        let ms = Duration::from_millis;
        let (median, longest) = match self {
            Self::KillLeader => (Some(ms(100)), ms(1000)),
            Self::RollingRestart => (Some(ms(50)), ms(1000)),
            // What counts is that it goes on: kills amid a change come in any number, and a cluster that
            // is down all of it serves nobody.
            Self::KillAll | Self::ReplaceNodes => (None, ms(5000)),
        };
        Expectation { median_us: median.map(micros), longest_us: micros(longest) }
    }
}

/// What the gaps must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
struct Expectation {
    /// Half of them not longer than this.
    median_us: Option<u64>,
    /// None longer than this.
    longest_us: u64,
}

/// How to show it.
#[derive(Clone, Debug)]
pub struct Run {
    /// What.
    pub scenario: Scenario,
    /// The cluster's file, if it is not made up; and whether its data is removed first.
    pub config: Option<(ClusterConfig, Data)>,
    /// Where everything goes if the cluster is made up.
    pub dir: PathBuf,
    /// How often.
    pub rounds: u16,
    /// Decides pauses, downtimes and, where there is a choice, victims.
    pub seed: u64,
    /// Writes under way at any time.
    pub concurrency: usize,
    /// Bytes of each value.
    pub value_bytes: u64,
    /// The server's executable, if it was named.
    pub bin: Option<PathBuf>,
    /// Whether the report is JSON.
    pub output: Format,
}

/// What becomes of the data that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// The cluster goes on with it.
    Kept,
    /// The cluster begins anew.
    Removed,
}

/// The snapshot thresholds are low enough to be met in seconds: nodes come back by snapshot and by
/// log, and old log is dropped meanwhile. All else is as it comes.
const YAML: &str = "\
version: 1
cluster: {name: NAME, host: 127.0.0.1, base_port: BASE_PORT}
nodes: [{id: 1}, {id: 2}, {id: 3}]
raft:
  snapshot: {entries: 10k, bytes: 8MiB, trailing: 1k}
storage: {dir: 'n{id}', segment: 16MiB}
runner:
  logs: {dir: logs}
";

/// How the file begins, by which a folder is known as one of ours.
const MARK: &str = "# Written by `chaos-ctl run`";

/// Gaps that are shorter are not told apart: this stands for them.
const SHORT_US: u64 = 2000;

impl Run {
    /// Shows it. Whatever happens, nothing is left running.
    pub async fn run(self) -> Result<Code, Failure> {
        let (config, fresh) = self.config()?;
        let nodes = config.nodes.len();
        if crate::schedule::down_max(nodes) == 0 {
            let what = format!("no minority of {nodes} nodes can be taken down");
            return Err(Failure::usage(what).hint("it takes three nodes or more"));
        }
        let client = find_program(Path::new("raft-client"), &config)?;
        let load = Load {
            client,
            config: config.path.clone(),
            concurrency: self.concurrency,
            value_bytes: Some(self.value_bytes),
            gaps_from: Some(Duration::from_micros(SHORT_US)),
        };
        let dir = Home::of(&config).dir().to_owned();
        let setup = Setup { bin: self.bin.clone(), fresh };
        let mut runner = Runner::prepare(config, &setup, self.output).await?;
        let took = runner.start(Some(self.seed), Enough::All).await?;
        self.announce(&mut runner, took);
        match Stage::open(runner, &load, dir.join("load"), self.seed).await {
            Ok(mut stage) => {
                let halt = self.act(&mut stage).await;
                self.end(stage, halt, &dir).await
            }
            Err((mut runner, failure)) => {
                runner.stop("the load could not be run").await?;
                Err(failure)
            }
        }
    }

    async fn act(&self, stage: &mut Stage) -> Result<(), Failure> {
        stage.warm_up().await?;
        match self.scenario {
            Scenario::KillLeader => kill_leader::act(stage, self.rounds).await,
            Scenario::KillAll => kill_all::act(stage, self.rounds).await,
            Scenario::RollingRestart => rolling_restart::act(stage, self.rounds).await,
            Scenario::ReplaceNodes => replace_nodes::act(stage, self.rounds).await,
        }
    }

    /// What was planned is done, or could not be. What was shown is told either way.
    async fn end(
        self,
        mut stage: Stage,
        acted: Result<(), Failure>,
        dir: &Path,
    ) -> Result<Code, Failure> {
        let recovery = match &acted {
            Ok(()) => stage.runner.recover().await?,
            Err(_) => Recovery::Unknown,
        };
        let load = stage.end_load().await;
        let debug_build = stage.is_debug_build();
        let hashes = stage.runner.compare(COMPARE_MAX).await;
        let leftovers = stage.runner.stop("the scenario is over").await?;
        let cluster = stage.runner.verdict(recovery, leftovers);
        let halt = match (acted, &load) {
            (Err(failure), _) => Some((failure.code, format!("{:#}", failure.error))),
            (Ok(()), Err(failure)) => Some((failure.code, format!("{:#}", failure.error))),
            (Ok(()), Ok(_)) => None,
        };
        let planned = usize::from(self.rounds);
        let facts = report::Facts {
            scenario: self.scenario,
            seed: self.seed,
            rounds: planned,
            concurrency: self.concurrency,
            value_bytes: self.value_bytes,
            debug_build,
            cluster,
            halt,
            hashes,
            summary: stage.runner.journal().summary().to_string(),
        };
        let Stage { mut runner, rows, told, .. } = stage;
        let report = Report::new(&facts, rows, told, load.ok());
        report.write(&dir.join("report.json"))?;
        match self.output {
            Format::Text => {
                let text = report.text();
                runner.journal().say(&format!("{text}files     {}\n", dir.display()));
                runner.journal().say(&report.verdict_line());
            }
            Format::Json | Format::Silent => runner.journal().tell(&report.json()?),
        }
        Ok(report.code())
    }

    fn config(&self) -> Result<(ClusterConfig, bool), Failure> {
        if let Some((config, data)) = &self.config {
            return Ok((config.clone(), *data == Data::Removed));
        }
        let ids = self.scenario.ids(3, self.rounds);
        if IDS_MAX < ids {
            return Err(Failure::usage(format!("{} rounds take too many nodes", self.rounds)));
        }
        let name = self.scenario.name();
        Ok((Own { dir: &self.dir, mark: MARK, yaml: YAML, name, ids }.write()?, true))
    }

    fn announce(&self, runner: &mut Runner, took: Duration) {
        let (leader, term) = runner.leader().expect("a cluster that is ready has a leader");
        let (program, name) = (runner.cluster().program().display(), self.scenario.name());
        let (count, took) = (runner.members().len(), Shown(micros(took)));
        let text = format!(
            "{name}  {}\n\n{count} nodes of {program}\nready in {took}   leader {leader}   term \
             {term}   seed {}   {} writers of {} B values, each write to be found again\n",
            self.scenario.shows(),
            self.seed,
            self.concurrency,
            self.value_bytes,
        );
        runner.journal().say(&text);
    }
}

/// Some ids as people read them: `n1 n2`.
fn names(ids: &BTreeSet<crate::NodeId>) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
