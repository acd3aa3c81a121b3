//! `chaos-ctl run`: a scenario with a verdict.

use std::path::PathBuf;

use clap::Args;
use raft_api::cluster::ClusterConfig;
use raft_api::units::ByteSize;

use crate::events::Format;
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::scenario::{Data, SCENARIOS, Scenario};

/// Run a scenario: a cluster of its own, verified load, faults, a table and a verdict
///
/// Exit code 0 is a pass; 5: a write was lost or applied twice, or nodes differ; 6: slower than
/// expected; 9: a node ended by itself; 10: the run shows nothing. Times are judged for release
/// builds only.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Which; --list says what each shows
    #[arg(required_unless_present = "list", value_enum)]
    scenario: Option<Scenario>,
    /// Say what there is
    #[arg(long)]
    list: bool,
    /// How often: kills, rounds of restarts, or replacements of all nodes [default: 30, 100, 5, 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: Option<u16>,
    /// Repeats the pauses, downtimes and lots of another run
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Writes under way at any time
    #[arg(short, long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: u16,
    /// Bytes in each value, such as 128, 4k or 1MiB
    #[arg(long, value_name = "SIZE", default_value = "128")]
    value_size: ByteSize,
    /// Where everything goes: a new or empty folder, or an earlier run's, which is overwritten
    /// [default: .raft/run-SCENARIO]
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    dir: Option<PathBuf>,
    /// Run this cluster, with the data it has, instead of one that is made up
    #[arg(short = 'f', long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// With --config: begin with empty data folders
    #[arg(long, requires = "config")]
    fresh: bool,
    /// The raft-server to run
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
    /// Print one JSON object at the end, and nothing else
    #[arg(long)]
    json: bool,
}

impl Run {
    pub(super) async fn run(self) -> Result<Code, Failure> {
        let Some(scenario) = self.scenario.filter(|_| !self.list) else {
            let mut output = Output::stdout();
            for scenario in SCENARIOS {
                output.line(&format!("{:<16} {}", scenario.name(), scenario.shows()));
            }
            return Ok(Code::Done);
        };
        let config = self.config()?;
        if scenario == Scenario::ReplaceNodes
            && config.as_ref().is_some_and(|(_, data)| *data == Data::Kept)
        {
            let what = "replace-nodes must begin with the members that the file names";
            return Err(Failure::usage(what).hint("--fresh removes the data there is"));
        }
        let name = scenario.name();
        let run = crate::scenario::Run {
            scenario,
            config,
            dir: self.dir.unwrap_or_else(|| PathBuf::from(format!(".raft/run-{name}"))),
            rounds: self.rounds.unwrap_or_else(|| scenario.rounds()),
            seed: self.seed.unwrap_or_else(|| rand::random_range(1..1_000_000)),
            concurrency: usize::from(self.concurrency),
            value_bytes: self.value_size.0,
            bin: self.bin,
            output: if self.json { Format::Silent } else { Format::Text },
        };
        run.run().await
    }

    fn config(&self) -> Result<Option<(ClusterConfig, Data)>, Failure> {
        let Some(path) = self.config.clone() else { return Ok(None) };
        let config = super::Which { config: Some(path) }.load()?;
        Ok(Some((config, if self.fresh { Data::Removed } else { Data::Kept })))
    }
}
