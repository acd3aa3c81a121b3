//! `chaos-ctl run`, `plan`, `replay` and `list`: scenarios with a verdict.

use std::path::{Path, PathBuf};

use clap::Args;
use raft_api::cluster::ClusterConfig;
use raft_api::units::HumanDuration;

use super::aside::put_aside;
use crate::dashboard::{Dashboard, Kind, Place};
use crate::events::Format;
use crate::exit::{Code, Failure};
use crate::lab;
use crate::output::Output;
use crate::plan::{BUILTINS, Scenario, builtin};
use crate::system;

/// Run a scenario: a cluster of its own, clients, faults, and a verdict with its evidence
///
/// Exit code 0 is a pass; 5: a promise is broken; 6: slower than expected; 9: a node ended by itself;
/// 10: the run shows nothing. Times are judged for release builds only.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    which: Which,
    /// Where everything goes: a new or empty directory, or an earlier run's, which is overwritten
    /// [default: .raft/run-SCENARIO or, for etcd, .raft/run-SCENARIO-etcd, where an earlier run that failed is put aside]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Run this cluster, with the data it has, instead of one that is made up
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "nodes")]
    config: Option<PathBuf>,
    /// With --config: begin with empty data directories
    #[arg(long, requires = "config")]
    fresh: bool,
    /// Whose servers: ours, or etcd's as it is installed, for comparison
    #[arg(long, value_name = "SYSTEM", default_value = "raft", conflicts_with = "config")]
    system: system::Name,
    /// The server to run
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
    /// Something for the environment of every server; may be given again and again
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    env: Vec<(String, String)>,
    /// Print the results as one JSON object at the end, and nothing else
    #[arg(long)]
    json: bool,
    /// Show the run in a browser while it goes on, and take orders from there; on loopback only
    #[arg(long, value_name = "ADDR", num_args = 0..=1, require_equals = true,
          default_missing_value = "127.0.0.1:0")]
    dashboard: Option<Place>,
}

/// Show what a seed makes of a scenario; nothing is run
#[derive(Debug, Args)]
pub(super) struct PlanOnly {
    #[command(flatten)]
    which: Which,
    /// How many faults to show, at most
    #[arg(long, value_name = "N", default_value_t = 30)]
    most: usize,
    /// Show the scenario's file instead
    #[arg(long)]
    yaml: bool,
}

/// Run once more what a run did: from its seed, or exactly what was executed
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The directory of the run
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
    /// Do what was executed, to the same nodes at the same times, and not what the seed says
    #[arg(long)]
    executed: bool,
    /// Where everything goes [default: RUN_DIR-again]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The raft-server to run
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
    /// Print the results as one JSON object at the end, and nothing else
    #[arg(long)]
    json: bool,
}

/// Which scenario, and what is changed about it.
#[derive(Clone, Debug, Args)]
struct Which {
    /// A scenario that comes with this program (see `chaos-ctl list`), or a file
    #[arg(value_name = "SCENARIO", required_unless_present = "list")]
    scenario: Option<String>,
    /// Say which scenarios there are
    #[arg(long)]
    list: bool,
    /// Decides what is left to chance, as in another run
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How many faults
    #[arg(long, value_name = "N", conflicts_with = "duration",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: Option<u32>,
    /// How long faults go on
    #[arg(long, value_name = "TIME")]
    duration: Option<HumanDuration>,
    /// How many nodes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: Option<u16>,
    /// Operations under way at any time
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=1000))]
    concurrency: Option<u16>,
    /// How fresh reads are; stale ones are asked of every node, and are expected to be caught
    #[arg(long, value_name = "HOW", value_parser = ["linearizable", "stale"])]
    consistency: Option<String>,
}

impl Which {
    fn scenario(&self) -> Result<(Scenario, u64), Failure> {
        let name = self.scenario.as_deref().unwrap_or_default();
        let mut scenario = find(name)?;
        if let Some(rounds) = self.rounds {
            (scenario.rounds, scenario.duration) = (Some(rounds), None);
        }
        if let Some(duration) = self.duration {
            (scenario.duration, scenario.rounds) = (Some(duration), None);
        }
        if let Some(nodes) = self.nodes {
            scenario.nodes = nodes;
        }
        if let Some(concurrency) = self.concurrency {
            scenario.load.concurrency = concurrency;
        }
        if let Some(consistency) = &self.consistency {
            scenario.load.consistency.clone_from(consistency);
            if consistency == "stale" {
                "any".clone_into(&mut scenario.load.read_from);
            }
        }
        let scenario = Scenario::parse(&scenario.to_yaml()).map_err(Failure::usage)?;
        let seed = self.seed.or(scenario.seed);
        Ok((scenario, seed.unwrap_or_else(|| rand::random_range(1..1_000_000))))
    }
}

/// A scenario by its name, or in a file.
fn find(name: &str) -> Result<Scenario, Failure> {
    if let Some(scenario) = builtin(name) {
        return Ok(scenario);
    }
    let path = Path::new(name);
    if path.is_file() || name.contains('/') || path.extension().is_some() {
        return Scenario::load(path).map_err(Failure::usage);
    }
    let close = BUILTINS.iter().map(|(known, _)| *known).filter(|known| {
        known.contains(name)
            || name.contains(known)
            || known.split('-').any(|part| name.contains(part))
    });
    let close: Vec<&str> = close.collect();
    let hint = if close.is_empty() {
        "`chaos-ctl list` says which there are; a file is named with a / or .yaml".to_owned()
    } else {
        format!("is it {}?", close.join(" or "))
    };
    Err(Failure::usage(format!("there is no scenario `{name}`")).hint(hint))
}

/// Says which scenarios there are.
pub(super) fn list() -> Code {
    let mut output = Output::stdout();
    for (name, _) in BUILTINS {
        let shows = builtin(name).map(|scenario| scenario.shows).unwrap_or_default();
        output.line(&format!("{name:<20} {shows}"));
    }
    Code::Done
}

impl Run {
    /// What does the same again.
    fn repro(&self, name: &str, seed: u64) -> String {
        let which = &self.which;
        let mut words = vec![format!("chaos-ctl run {name} --seed {seed}")];
        let options = [
            ("--rounds", which.rounds.map(|it| it.to_string())),
            ("--duration", which.duration.map(|it| it.to_string().replace(' ', ""))),
            ("--nodes", which.nodes.map(|it| it.to_string())),
            ("--concurrency", which.concurrency.map(|it| it.to_string())),
            ("--consistency", which.consistency.clone()),
            ("--config", self.config.as_ref().map(|path| path.display().to_string())),
        ];
        let options = options.into_iter().filter_map(|(option, value)| Some((option, value?)));
        words.extend(options.map(|(option, value)| format!("{option} {value}")));
        words.extend((self.system == system::Name::Etcd).then(|| "--system etcd".to_owned()));
        words.extend(self.fresh.then(|| "--fresh".to_owned()));
        words.extend(self.env.iter().map(|(name, value)| format!("--env {name}={value}")));
        words.join(" ")
    }

    pub(super) async fn run(self) -> Result<Code, Failure> {
        if self.which.list {
            return Ok(list());
        }
        let config = self.config()?;
        let mut which = self.which.clone();
        if let Some((config, _)) = &config {
            which.nodes = u16::try_from(config.nodes.len()).ok();
        }
        let (scenario, seed) = which.scenario()?;
        if scenario.faults().any(|fault| fault.kind() == "membership")
            && config.as_ref().is_some_and(|(_, fresh)| !fresh)
        {
            let what = "a change of the membership must begin with the members that the file names";
            return Err(Failure::usage(what).hint("--fresh removes the data there is"));
        }
        let name = self.which.scenario.clone().unwrap_or_default();
        let repro = self.repro(&name, seed);
        let dir = match self.dir {
            Some(dir) => dir,
            None => usual_dir(&scenario.name, self.system, self.json)?,
        };
        let output = if self.json { Format::Silent } else { Format::Text };
        let (system, bin, env) = (self.system, self.bin, self.env);
        let dashboard = match self.dashboard {
            Some(place) => Some(Dashboard::open(place, Kind::Scenario).await?),
            None => None,
        };
        let feed = dashboard.as_ref().map(|dashboard| dashboard.feed().clone());
        if let Some(dashboard) = &dashboard {
            dashboard.announce(output == Format::Text);
        }
        let run = lab::Run { scenario, seed, dir, config, system, bin, env, output, repro, feed };
        let outcome = Box::pin(run.run()).await;
        if let Some(dashboard) = dashboard {
            if let Err(failure) = &outcome {
                dashboard.feed().verdict("HARNESS ERROR", &format!("{:#}", failure.error));
            }
            dashboard.end().await;
        }
        outcome
    }
}

/// Where a run goes that was given no place. What failed there before is kept.
fn usual_dir(scenario: &str, system: system::Name, quiet: bool) -> Result<PathBuf, Failure> {
    let whose = if system == system::Name::Etcd { "-etcd" } else { "" };
    let dir = PathBuf::from(format!(".raft/run-{scenario}{whose}"));
    if let Some(kept) = put_aside(&dir)?
        && !quiet
    {
        let kept = kept.display();
        Output::stdout().line(&format!("kept       the run before this one failed: {kept}\n"));
    }
    Ok(dir)
}

impl Run {
    fn config(&self) -> Result<Option<(ClusterConfig, bool)>, Failure> {
        let Some(path) = self.config.clone() else { return Ok(None) };
        let config = super::Which { config: Some(path), ..super::Which::default() }.load()?;
        Ok(Some((config, self.fresh)))
    }
}

impl PlanOnly {
    pub(super) fn run(&self) -> Result<Code, Failure> {
        if self.which.list {
            return Ok(list());
        }
        let (scenario, seed) = self.which.scenario()?;
        let mut output = Output::stdout();
        if self.yaml {
            output.line(scenario.to_yaml().trim_end());
            return Ok(Code::Done);
        }
        output.line(&format!("{}  {}\nseed {seed}\n", scenario.name, scenario.shows));
        for line in lab::plan_lines(&scenario, seed, self.most) {
            output.line(&line);
        }
        Ok(Code::Done)
    }
}

impl Replay {
    pub(super) async fn run(self) -> Result<Code, Failure> {
        let name = if self.executed { "executed.yaml" } else { "scenario.yaml" };
        let file = self.run.join(name);
        let scenario = Scenario::load(&file)
            .map_err(|error| Failure::usage(error).hint("RUN_DIR is the directory of a run"))?;
        let Some(seed) = scenario.seed else {
            return Err(Failure::usage(format!("{} names no seed", file.display())));
        };
        let again = || {
            let mut name = self.run.file_name().unwrap_or_default().to_owned();
            name.push("-again");
            self.run.with_file_name(name)
        };
        let dir = self.dir.clone().unwrap_or_else(again);
        let output = if self.json { Format::Silent } else { Format::Text };
        let repro = format!("chaos-ctl run {}", file.display());
        let run = lab::Run {
            scenario,
            seed,
            dir,
            config: None,
            system: system_of(&self.run),
            bin: self.bin,
            env: Vec::new(),
            output,
            repro,
            feed: None,
        };
        Box::pin(run.run()).await
    }
}

/// Whose servers an earlier run was about, as its results say.
fn system_of(run: &Path) -> system::Name {
    let results = std::fs::read_to_string(run.join("results.json")).unwrap_or_default();
    let results: serde_json::Value = serde_json::from_str(&results).unwrap_or_default();
    match results["system"].as_str() {
        Some("etcd") => system::Name::Etcd,
        _ => system::Name::Raft,
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| "write NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}
