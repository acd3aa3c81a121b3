//! Runs a scenario: a cluster of its own, clients, faults as the plan says, and a verdict with its
//! evidence, all of it in one directory.

mod acts;
mod again;
mod bitten;
mod campaigns;
mod change;
mod claims;
mod clients;
mod contents;
mod disks;
mod engine;
mod findings;
mod flip;
mod foreign;
mod gaps;
mod heal;
mod judge;
mod links;
mod logs;
mod parts;
mod record;
mod removed;
mod results;
mod text;
mod transfer;
mod troubles;
mod worth;

pub(crate) use self::acts::growth;
pub(crate) use self::disks::{HANG_MAX, Ledger};
pub(crate) use self::links::{merge, telling};
pub(crate) use self::parts::{Parts, faketime};

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use raft_api::cluster::ClusterConfig;

use self::clients::ClientSetup;
use self::contents::Contents;
use self::engine::Engine;
use self::findings::{Findings, Identity};
use crate::cluster::{Setup, find_program};
use crate::dashboard::Feed;
use crate::events::{Format, Shown, micros, monotonic_us};
use crate::exit::{Code, Failure};
use crate::home::{Home, Lock};
use crate::own::{IDS_MAX, Own};
use crate::plan::{Fault, MembershipChange, Plan, Scenario};
use crate::runner::{COMPARE_MAX, Ending, Enough, Recovery, Runner};
use crate::system::{self, Etcd, System};

pub(crate) use self::again::look_again;
pub(crate) use self::claims::{Claim, Held};
pub(crate) use self::judge::{Rejudged, rejudge};
pub(crate) use self::logs::Kept as KeptLogs;

/// A scenario to be run.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) scenario: Scenario,
    pub(crate) seed: u64,
    /// Where everything goes.
    pub(crate) dir: PathBuf,
    /// The cluster, if it is not made up, and whether its data is removed first.
    pub(crate) config: Option<(ClusterConfig, bool)>,
    /// Whose servers these are.
    pub(crate) system: system::Name,
    /// The server's executable, if it was named.
    pub(crate) bin: Option<PathBuf>,
    /// What each server finds in its environment besides.
    pub(crate) env: Vec<(String, String)>,
    pub(crate) output: Format,
    /// The command that does the same again.
    pub(crate) repro: String,
    /// Who looks at it while it goes on, and may interfere.
    pub(crate) feed: Option<Feed>,
}

/// How the cluster's file begins, by which a directory is known as one of ours.
const MARK: &str = "# Written by `chaos-ctl run`";

/// How long the clients may take to read everything back.
const READING_MAX: Duration = Duration::from_mins(10);

impl Run {
    /// Runs it. Whatever happens, nothing is left running.
    pub(crate) async fn run(self) -> Result<Code, Failure> {
        let ids = self.ids();
        let fresh = self.config.as_ref().is_none_or(|(_, fresh)| *fresh);
        let config = match &self.config {
            Some((config, _)) => config.clone(),
            None => self.own_config(ids)?,
        };
        let client = find_program(Path::new("raft-client"), &config)?;
        let dir = std::path::absolute(&self.dir).context("there is no current directory")?;
        std::fs::create_dir_all(&dir).map_err(|error| {
            Failure::usage(format!("could not create {}: {error}", dir.display()))
        })?;
        let _alone = self.config.as_ref().map(|_| take_runs_dir(&dir, &config)).transpose()?;
        let system = System::of(self.system, &config);
        let etcd = system.foreign().map(|_| Etcd::endpoints(&config));
        let mut parts =
            Parts::prepare(&self.scenario, &config, ids, (self.seed, &dir, system)).await?;
        for id in 1..=u64::from(ids) {
            let extra = parts.extra.entry(crate::NodeId(id)).or_default();
            extra.env.extend(self.env.iter().cloned());
        }
        let (extra, system) = (parts.extra.clone(), parts.system.clone());
        let setup = Setup { bin: self.bin.clone(), fresh, extra, system };
        let setup_clients = ClientSetup {
            program: client,
            config: config.path.clone(),
            etcd,
            plan: self.scenario.load.clone(),
            seed: self.seed,
            dir: dir.join("load"),
        };
        let mut runner = Runner::prepare(config, &setup, self.output).await?;
        // Only now is it known that this run can begin: until here an earlier one keeps its files.
        if setup.system.foreign().is_some() {
            system::clear_logs(runner.cluster().config())?;
        }
        self.write_scenario(&dir)?;
        runner.share_links(&parts);
        if let Some(feed) = &self.feed {
            feed.attach(&mut runner);
            runner.take_orders();
        }
        let took = runner.start(Some(self.seed), Enough::All).await?;
        self.announce(&mut runner, took);
        let states = runner.record_states(&dir.join("states.jsonl"));
        states.context("could not write the states of the nodes")?;
        let clients = match setup_clients.start(&runner).await {
            Ok(clients) => clients,
            Err(failure) => {
                runner.stop("the load could not be run").await?;
                return Err(failure);
            }
        };
        if let Some(feed) = &self.feed {
            feed.load_begins(clients.logs());
        }
        let begun_us = monotonic_us();
        let mut engine = Engine::new(runner, parts, clients, self.scenario.clone(), self.seed);
        let acted = engine.act().await;
        self.end(engine, acted, begun_us, &dir).await
    }

    /// Everything was done, or could not be. What was shown is told either way.
    async fn end(
        self,
        mut engine: Engine,
        acted: Result<(), Failure>,
        begun_us: u64,
        dir: &Path,
    ) -> Result<Code, Failure> {
        let healed = engine.heal_all().await;
        let acted = acted.and(healed);
        let (recovery, unable) = match &acted {
            Err(failure) if failure.code == Code::Interrupted => (Recovery::Unknown, None),
            _ => match engine.runner.recover().await {
                Ok(recovery) => (recovery, None),
                Err(failure) => (Recovery::Unknown, Some(failure)),
            },
        };
        let debug_build = engine.runner.observe().await.answers().any(|(_, it)| it.debug_build);
        let clients = self.end_clients(&mut engine).await;
        let hashes = engine.runner.compare(COMPARE_MAX).await;
        let ours = engine.parts.system.foreign().is_none();
        let contents =
            if ours { contents::read(&engine.runner).await } else { Contents::default() };
        // A full disk takes away evidence, and no verdict: it is said what was found, and why that is not all.
        let unkept =
            engine.runner.flush_states().context("could not write the states of the nodes");
        let ended_us = monotonic_us();
        let leftovers = engine.runner.stop("the scenario is over").await?;
        let cluster = engine.runner.verdict(recovery, leftovers);
        if let Some(net) = &engine.parts.net {
            net.shutdown().await;
        }
        let unkept = unkept.map_err(Failure::from).and(self.write_executed(&engine, dir));
        let until = engine.runner.compared_at();
        let (logs, placed) = if ours { read_logs(&engine.runner) } else { Default::default() };
        let halt = acted.err().or(unable).or_else(|| clients.as_ref().err().map(copy_of));
        let halt = halt.or_else(|| unkept.err().map(|it| Failure { code: Code::Internal, ..it }));
        let identity = Identity {
            scenario: self.scenario.clone(),
            seed: self.seed,
            repro: self.repro.clone(),
            wall: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            begun_us,
            ended_us,
            program: engine.runner.cluster().program().to_owned(),
            debug_build,
            system: engine.parts.system.clone(),
            config: engine.runner.cluster().config().clone(),
        };
        let findings = Findings {
            identity,
            cluster,
            halt,
            hashes,
            summary: engine.runner.journal().summary().clone(),
            records: std::mem::take(&mut engine.records),
            missing: engine.parts.missing.clone(),
            clients: clients.ok(),
            nodes: engine.runner.cluster().ids(),
            contents,
            logs,
            until: until.filter(|_| ours && self.config.is_none()),
            placed,
        };
        self.tell(findings.conclude(dir), engine.runner, dir)
    }

    /// Keeps the results and says them, even if they cannot be kept.
    fn tell(
        &self,
        mut results: results::Results,
        mut runner: Runner,
        dir: &Path,
    ) -> Result<Code, Failure> {
        if let Err(failure) = results.write(&dir.join("results.json")) {
            results.unkept(&failure);
        } else if let Err(error) = chaos_report::write(dir) {
            // A verdict without its picture is a verdict all the same.
            tracing::warn!(%error, "could not write the report");
        }
        if let Some(feed) = &self.feed {
            feed.verdict(results.verdict, &results.why);
        }
        match self.output {
            Format::Text => runner.journal().say(&results.text(dir)),
            Format::Json | Format::Silent => runner.journal().tell(&results.json()?),
        }
        Ok(results.code())
    }

    async fn end_clients(&self, engine: &mut Engine) -> Result<clients::ClientResults, Failure> {
        let Engine { runner, clients, .. } = engine;
        clients.finish();
        let ended = tokio::time::timeout(READING_MAX, runner.drive(None, clients.ended())).await;
        match ended {
            Ok(Ok(Ending::Done)) => clients.results(),
            Ok(Ok(_)) => {
                clients.kill().await;
                Err(Failure::new(Code::Interrupted, "interrupted while reading back"))
            }
            Ok(Err(failure)) => {
                clients.kill().await;
                Err(failure)
            }
            Err(_elapsed) => {
                clients.kill().await;
                let what = format!("reading back was not done after {READING_MAX:?}");
                Err(Failure::new(Code::Inconclusive, what))
            }
        }
    }

    /// Ids that nodes have at the end, at most.
    fn ids(&self) -> u16 {
        let mut ids = self.scenario.nodes;
        let rounds = u16::try_from(self.scenario.rounds.unwrap_or(0)).unwrap_or(u16::MAX);
        let more = |fault: &Fault| match fault {
            Fault::Membership(it) => match it.change {
                MembershipChange::Grow => 2,
                MembershipChange::Replace => 1,
                MembershipChange::Shrink => 0,
            },
            Fault::BitFlip(_) => 1,
            _ => 0,
        };
        for step in &self.scenario.schedule {
            ids = ids.saturating_add(more(&step.fault));
        }
        let random = self.scenario.random.iter().flat_map(|random| &random.faults);
        let most = random.map(|step| more(&step.fault)).max().unwrap_or(0);
        ids.saturating_add(most.saturating_mul(rounds)).min(IDS_MAX)
    }

    fn own_config(&self, ids: u16) -> Result<ClusterConfig, Failure> {
        let nodes = (1..=self.scenario.nodes).map(|id| format!("{{id: {id}}}"));
        let nodes = nodes.collect::<Vec<_>>().join(", ");
        let (entries, trailing) = (self.scenario.snapshot.0, self.scenario.snapshot.0 / 10);
        // The snapshot thresholds are low enough to be met in seconds: nodes come back by snapshot
        // and by log, and old log is dropped meanwhile. All else is as it comes.
        // A member of etcd that leads looks for a successor before it ends, for seven seconds.
        let stop = if self.system == system::Name::Etcd { "  stop: {grace: 15s}\n" } else { "" };
        let yaml = format!(
            "version: 1\ncluster: {{name: NAME, host: 127.0.0.1, base_port: BASE_PORT}}\nnodes: \
             [{nodes}]\nraft:\n  snapshot: {{entries: {entries}, bytes: 8MiB, trailing: {trailing}}}\nstorage: \
             {{dir: 'n{{id}}', segment: 2MiB}}\nrunner:\n  logs: {{dir: logs}}\n{stop}"
        );
        Own { dir: &self.dir, mark: MARK, yaml: &yaml, name: &self.scenario.name, ids }.write()
    }

    fn write_scenario(&self, dir: &Path) -> Result<(), Failure> {
        let scenario = Scenario { seed: Some(self.seed), ..self.scenario.clone() };
        write(&dir.join("scenario.yaml"), &scenario.to_yaml())?;
        for stale in ["results.json", "certificate.json", "history.jsonl", "report.html"] {
            let path = dir.join(stale);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    let what = format!("could not remove {}: {error}", path.display());
                    return Err(Failure::usage(what));
                }
                _ => (),
            }
        }
        Ok(())
    }

    /// What was done, with nothing left to chance, as a scenario of its own.
    fn write_executed(&self, engine: &Engine, dir: &Path) -> Result<(), Failure> {
        let steps = engine.executed.iter().map(|(at, draw)| crate::plan::Step {
            weight: 1,
            at: Some(*at),
            until: draw.until,
            fault: draw.fault.clone(),
        });
        let executed = Scenario {
            seed: Some(self.seed),
            random: None,
            rounds: None,
            duration: None,
            schedule: steps.collect(),
            ..self.scenario.clone()
        };
        write(&dir.join("executed.yaml"), &executed.to_yaml())
    }

    fn announce(&self, runner: &mut Runner, took: Duration) {
        let (leader, term) = runner.leader().expect("a cluster that is ready has a leader");
        let (program, name) = (runner.cluster().program().display(), &self.scenario.name);
        let (count, took) = (runner.members().len(), Shown(micros(took)));
        let load = &self.scenario.load;
        let ours = runner.cluster().system().foreign().is_none();
        let others = if ours { "append to lists" } else { "put to keys of their own" };
        let text = format!(
            "{name}  {}\n\n{count} nodes of {program}\nready in {took}   leader {leader}   term \
             {term}   seed {}   {} clients, {} on {} shared keys, the others {others}\n",
            self.scenario.shows,
            self.seed,
            load.concurrency,
            load.mix_text(),
            load.keys.0,
        );
        runner.journal().say(&text);
    }
}

/// What a seed makes of a scenario, in lines for people.
pub(crate) fn plan_lines(scenario: &Scenario, seed: u64, most: usize) -> Vec<String> {
    let mut plan = Plan::new(scenario.clone(), seed);
    let line = |when: String, draw: &crate::plan::Draw| {
        let target = draw.fault.target().map(|target| target.pick(0).to_string());
        let lasts = draw.fault.lasts().map(|range| format!("for {}", Shown(micros(range.max()))));
        let (kind, target) = (draw.fault.kind(), target.unwrap_or_default());
        let text = format!("{when:<28}  {kind:<12} {target:<10} {}", lasts.unwrap_or_default());
        text.trim_end().to_owned()
    };
    let scheduled = plan.schedule();
    let mut lines: Vec<String> = scheduled
        .iter()
        .map(|draw| line(format!("at {}", Shown(micros(draw.delay))), draw))
        .collect();
    let after = if scenario.guards.healthy_first { "once whole" } else { "after the last" };
    while lines.len() < most
        && let Some(draw) = plan.draw()
    {
        lines.push(line(format!("{} {after}", Shown(micros(draw.delay))), &draw));
    }
    lines
}

/// Takes a directory for the files of a run of somebody's cluster: another run leaves it alone until this
/// one is over.
fn take_runs_dir(dir: &Path, config: &ClusterConfig) -> Result<Option<Lock>, Failure> {
    expect_runs_dir(dir)?;
    let home = Home::at(dir);
    // The cluster's own folder is locked with the cluster.
    if Home::of(config).dir() == dir { Ok(None) } else { home.lock().map(Some) }
}

/// A directory that something else is in is left alone. A lock alone is what is left of a run that did not
/// come far.
fn expect_runs_dir(dir: &Path) -> Result<(), Failure> {
    let entries = std::fs::read_dir(dir).map_err(|error| {
        Failure::usage(format!("could not look into {}: {error}", dir.display()))
    })?;
    let mut others = entries.flatten().filter(|entry| entry.file_name() != "lock");
    if others.next().is_some() && !dir.join("scenario.yaml").is_file() {
        let what = format!("{} is not empty, and not of an earlier `chaos-ctl run`", dir.display());
        return Err(Failure::usage(what).hint("--dir names a directory that is new or empty"));
    }
    Ok(())
}

/// The members' logs, now that nobody writes to them.
fn read_logs(runner: &Runner) -> (logs::Logs, logs::Placed) {
    let config = runner.cluster().config();
    let dirs = runner.members().into_iter().filter_map(|id| {
        let dir = match config.node(id) {
            Some(node) => node.data_dir.clone(),
            None => config.newcomer(id, None).ok()?.data_dir,
        };
        Some((id, dir))
    });
    let dirs: Vec<_> = dirs.collect();
    logs::read(runner.cluster().program(), &dirs, runner.compared_at().unwrap_or(0))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::usage(format!("could not write {}: {error}", path.display())))
}

fn copy_of(failure: &Failure) -> Failure {
    Failure::new(failure.code, format!("{:#}", failure.error))
}
