//! The demonstration: load in calm, the same load while leaders are killed, and a verdict.
//!
//! It has a cluster of its own, in a folder and on ports of its own, and leaves only files behind.

mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use raft_api::units::{DurationRange, HumanDuration};

use crate::cluster::{Setup, find_program};
use crate::events::{Format, Shown, micros};
use crate::exit::{Code, Failure};
use crate::load::Load;
use crate::own::Own;
use crate::runner::{COMPARE_MAX, Ending, Enough, Recovery, Runner};
use crate::schedule::{Plan, Schedule, Target};
use report::{Act, Verdict};

/// What to show.
#[derive(Clone, Debug)]
pub struct Demo {
    /// Where everything goes.
    pub dir: PathBuf,
    /// The load in calm lasts so long,
    pub calm: Duration,
    /// and while leaders are killed so long.
    pub chaos: Duration,
    /// Writes under way at any time.
    pub concurrency: usize,
    /// Decides when leaders are killed.
    pub seed: u64,
    /// The server's executable, if it was named.
    pub bin: Option<PathBuf>,
}

/// The snapshot thresholds are low enough to be met in seconds: nodes come back by snapshot and by
/// log, and old log is dropped meanwhile.
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

/// How the file begins, by which a folder is known as a demo's.
const MARK: &str = "# Written by `chaos-ctl demo`";

const INTERRUPTED: &str = "\ninterrupted: no verdict";

impl Demo {
    /// Shows it. Whatever happens, nothing is left running.
    pub async fn run(self) -> Result<Code, Failure> {
        let (dir, name) = (self.dir.as_path(), "demo-run");
        let config = Own { dir, mark: MARK, yaml: YAML, name, ids: 3 }.write()?;
        let client = find_program(Path::new("raft-client"), &config)?;
        let (path, concurrency) = (config.path.clone(), self.concurrency);
        let load = Load {
            client,
            config: path,
            concurrency,
            value_bytes: None,
            gaps_from: None,
            more: Vec::new(),
        };
        let setup = Setup { bin: self.bin.clone(), fresh: true, ..Setup::default() };
        let mut runner = Runner::prepare(config, &setup, Format::Text).await?;
        let took = runner.start(Some(self.seed), Enough::All).await?;
        let (leader, term) = runner.leader().expect("a cluster that is ready has a leader");
        let took = Shown(micros(took));
        let (dir, server) = (self.dir.display(), runner.cluster().program().display());
        let lines = [
            "A replicated key-value store, killed while it works. Every acknowledged write must be"
                .to_owned(),
            "there in the end, once.\n".to_owned(),
            format!("Three nodes of {server},"),
            format!("with their data in {dir}."),
            format!("ready in {took}   leader {leader}   term {term}"),
        ];
        runner.journal().say(&lines.join("\n"));
        let shown = self.acts(&mut runner, &load).await;
        match shown {
            Ok(Some((calm, chaos))) => self.end(runner, &calm, &chaos).await,
            Ok(None) => {
                runner.stop("interrupted").await?;
                runner.journal().say(INTERRUPTED);
                Ok(Code::Interrupted)
            }
            Err(failure) => {
                runner.stop("the load could not be run").await?;
                Err(failure)
            }
        }
    }

    /// Both acts. `None` if a signal came.
    async fn acts(&self, runner: &mut Runner, load: &Load) -> Result<Option<(Act, Act)>, Failure> {
        let (writers, plan) = (self.concurrency, self.plan());
        let time = HumanDuration(self.calm);
        runner.journal().say(&format!("\n1  In calm: {writers} writers for {time}."));
        let Some(calm) = self.act(runner, load, "calm", None).await? else {
            return Ok(None);
        };
        runner.journal().say(&report::line(&calm));
        let (time, interval, seed) = (HumanDuration(self.chaos), plan.interval, plan.seed);
        runner.journal().say(&format!(
            "\n2  Under fire: {writers} writers for {time}. Whoever leads is killed with SIGKILL \
             {interval} after\n   the cluster is whole, and started again.  seed {seed}\n"
        ));
        let Some(chaos) = self.act(runner, load, "chaos", Some(Schedule::new(plan))).await? else {
            return Ok(None);
        };
        runner.journal().say(&report::line(&chaos));
        Ok(Some((calm, chaos)))
    }

    fn plan(&self) -> Plan {
        let range = |min, max| {
            DurationRange::new(Duration::from_millis(min), Duration::from_millis(max))
                .expect("written the right way round")
        };
        let (interval, downtime) = (range(2000, 4000), range(1000, 2000));
        let first = Some(Duration::from_secs(2));
        Plan { seed: self.seed, target: Target::Leader, interval, downtime, first }
    }

    /// One load, with faults or without, and what came of it.
    async fn act(
        &self,
        runner: &mut Runner,
        load: &Load,
        name: &str,
        schedule: Option<Schedule>,
    ) -> Result<Option<Act>, Failure> {
        let lasts = if schedule.is_some() { self.chaos } else { self.calm };
        let kills_before = runner.journal().summary().leader_kills();
        let files = self.dir.join(name);
        let mut bench = load.start(runner.cluster().spawner(), Some(lasts), &files).await?;
        // Faults end with the load: what follows is the reading back.
        let with_faults = schedule.is_some();
        let mut ending = Ending::Done;
        if with_faults {
            ending = runner.drive_for(lasts, schedule).await?;
        }
        if ending == Ending::Done {
            ending = runner.drive(None, bench.ended()).await?;
        }
        match ending {
            Ending::Done => (),
            Ending::Stopped(_) => {
                bench.kill().await;
                return Ok(None);
            }
            Ending::GaveUp => {
                bench.kill().await;
                return Err(Failure::new(Code::Crashed, "a node ends again and again"));
            }
        }
        let result = bench.result(&files)?;
        let kills = runner.journal().summary().leader_kills() - kills_before;
        Ok(Some(Act { kills, result }))
    }

    async fn end(self, mut runner: Runner, calm: &Act, chaos: &Act) -> Result<Code, Failure> {
        let recovery = runner.recover().await?;
        let hashes = runner.compare(COMPARE_MAX).await;
        let leftovers = runner.stop("the show is over").await?;
        let safety = runner.verdict(recovery, leftovers);
        let summary = runner.journal().summary().to_string();
        let whole = recovery == Recovery::Whole;
        let verdict = report::judge(calm, chaos, safety);
        let mut say = |text: String| runner.journal().say(&text);
        say(report::table(calm, chaos));
        say(format!("cluster   {summary}  {hashes}"));
        if !whole {
            say("cluster   it was not whole again within 30s".to_owned());
        }
        say(format!("files     {}", self.dir.display()));
        // What is broken is broken, but to pass it must have been seen to the end.
        let shown_enough = recovery != Recovery::Unknown || matches!(verdict, Verdict::Fail(..));
        if !shown_enough {
            say(INTERRUPTED.to_owned());
            return Ok(Code::Interrupted);
        }
        say(format!("\n{verdict}"));
        Ok(verdict.code())
    }
}
