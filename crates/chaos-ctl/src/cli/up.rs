//! `chaos-ctl up`: a cluster in the foreground or the background, with or without faults.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use raft_api::cluster::ClusterConfig;
use raft_api::units::{DurationRange, HumanDuration};

use super::which::{Which, made_up};
use crate::cluster::Setup;
use crate::dashboard::{Dashboard, Kind, Place};
use crate::events::{Format, Shown, micros};
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::lab::Parts;
use crate::output::Output;
use crate::procfs::Birth;
use crate::runner::{COMPARE_MAX, Ending, Enough, Recovery, Runner};
use crate::schedule::{Act, Plan, Schedule, Target, down_max};
use crate::spawner::leave_session;

/// Start the cluster and keep it running until Ctrl-C; with --kill-interval, kill its nodes
#[derive(Debug, Args)]
pub(super) struct Up {
    #[command(flatten)]
    which: Which,
    /// Run a cluster of so many nodes that needs no file: it is made up in .raft/NAME
    #[arg(long, value_name = "N", conflicts_with_all = ["config", "port_offset"],
          value_parser = clap::value_parser!(u16).range(1..=9))]
    nodes: Option<u16>,
    /// The name of the cluster that is made up
    #[arg(long, value_name = "NAME", requires = "nodes", default_value = "local")]
    name: String,
    /// SIGKILL a node at random and start it again: so long after the cluster is whole, as in 15-30s
    #[arg(long, value_name = "RANGE")]
    kill_interval: Option<DurationRange>,
    /// What is done each time: one of these
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        requires = "kill_interval",
        default_value = "kill"
    )]
    faults: Vec<Act>,
    /// So many faults, and then no more
    #[arg(long, value_name = "N", requires = "kill_interval",
          value_parser = clap::value_parser!(u64).range(1..))]
    max_faults: Option<u64>,
    /// How long a killed node stays down, or a paused one stands still
    #[arg(long, value_name = "RANGE", default_value = "1-5s")]
    downtime: DurationRange,
    /// Whom to kill
    #[arg(long, value_enum, default_value = "any")]
    target: Target,
    /// The delay before the first kill
    #[arg(long, value_name = "TIME", requires = "kill_interval")]
    first: Option<HumanDuration>,
    /// Repeats the delays, downtimes and lots of another run
    #[arg(long, value_name = "N", requires = "kill_interval")]
    seed: Option<u64>,
    /// End after this time: heal, wait until the cluster is whole, compare the nodes, stop
    #[arg(long, value_name = "TIME")]
    duration: Option<HumanDuration>,
    /// The raft-server to run
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
    /// Begin with empty data folders
    #[arg(long)]
    fresh: bool,
    /// How to show what happens
    #[arg(long, value_enum, default_value = "text")]
    log_format: Format,
    /// Put proxies on all links and laboratory disks under the nodes, so that `partition`, `link`,
    /// `power-loss` and `disk` work on this cluster
    #[arg(long)]
    lab: bool,
    /// Show the run in a browser while it goes on, and take orders from there; on loopback only
    #[arg(long, value_name = "ADDR", num_args = 0..=1, require_equals = true,
          default_missing_value = "127.0.0.1:0", conflicts_with = "detach")]
    dashboard: Option<Place>,
    #[command(flatten)]
    place: Ground,
}

/// In front or behind.
#[derive(Debug, Args)]
struct Ground {
    /// Run in the background; `chaos-ctl down` ends it
    #[arg(short, long)]
    detach: bool,
    /// With --detach: return when the cluster serves
    #[arg(long, requires = "detach")]
    wait: bool,
    /// Set by --detach for the process in the background
    #[arg(long, hide = true)]
    background: bool,
}

impl Up {
    /// Whether something runs beside the cluster, on a thread of its own.
    pub(super) fn needs_thread(&self) -> bool {
        self.lab || self.dashboard.is_some()
    }

    pub(super) async fn run(self) -> Result<Code, Failure> {
        let config = match self.nodes {
            Some(nodes) => made_up(nodes, &self.name, self.fresh)?,
            None => self.which.load_for_up()?,
        };
        if self.place.detach && !self.place.background {
            return self.detach(&config).await;
        }
        let schedule = self.schedule(&config)?;
        let (warnings, data) = (config.warnings(), self.data(&config));
        let mut parts = None;
        if self.lab {
            let home = Home::of(&config);
            // Whoever runs this cluster already keeps the disks it has.
            drop(home.lock()?);
            parts = Some(Parts::for_orders(&config, (rand::random(), home.dir())).await?);
        }
        let extra = parts.as_ref().map(|parts| parts.extra.clone()).unwrap_or_default();
        let setup = Setup { bin: self.bin.clone(), fresh: self.fresh, extra, ..Setup::default() };
        let dashboard = match self.dashboard {
            Some(place) => Some(Dashboard::open(place, Kind::Cluster).await?),
            None => None,
        };
        let mut runner = Runner::prepare(config, &setup, self.log_format).await?;
        if let Some(dashboard) = &dashboard {
            dashboard.feed().attach(&mut runner);
            dashboard.announce(self.log_format == Format::Text);
        }
        if let Some(parts) = parts {
            runner.put_in_place(parts);
        }
        runner.take_orders();
        for warning in warnings {
            runner.journal().say(&format!("warning  {warning}"));
        }
        let seed = schedule.as_ref().map(|schedule| schedule.plan().seed);
        // What runs in the background serves somebody; faults need nodes that are all well.
        let serves = self.place.background && schedule.is_none() && self.duration.is_none();
        let enough = if serves { Enough::Majority } else { Enough::All };
        let took = runner.start(seed, enough).await?;
        let banner = self.banner(&runner, schedule.as_ref(), (data, took));
        runner.journal().say(&banner);
        let ending = match self.duration {
            Some(duration) => runner.drive_for(duration.0, schedule).await?,
            None => runner.drive(schedule, std::future::pending()).await?,
        };
        let code = finish(&mut runner, ending).await;
        if let Some(dashboard) = dashboard {
            dashboard.end().await;
        }
        code
    }

    /// What is to be done to the cluster. The seed is drawn here if none was given.
    fn schedule(&self, config: &ClusterConfig) -> Result<Option<Schedule>, Failure> {
        let Some(interval) = self.kill_interval else {
            return Ok(None);
        };
        if down_max(config.nodes.len()) == 0 {
            let what = format!("no minority of {} nodes can be killed", config.nodes.len());
            return Err(Failure::usage(what).hint("--kill-interval needs three nodes or more"));
        }
        let seed = self.seed.unwrap_or_else(|| rand::random_range(1..1_000_000));
        let first = self.first.map(|first| first.0);
        let (target, downtime) = (self.target, self.downtime);
        let (acts, most) = (self.faults.clone(), self.max_faults);
        let plan = Plan { seed, target, interval, downtime, first, acts, most };
        Ok(Some(Schedule::new(plan)))
    }

    /// What the nodes begin with. It is looked at before they start.
    fn data(&self, config: &ClusterConfig) -> &'static str {
        let has_some = |dir: &Path| dir.read_dir().is_ok_and(|mut files| files.next().is_some());
        match config.nodes.iter().any(|node| has_some(&node.data_dir)) {
            _ if self.fresh => "fresh data",
            true => "data kept from earlier runs",
            false => "no data yet",
        }
    }

    /// `data`, `took`: what data there was, and how long it took until all served.
    fn banner(
        &self,
        runner: &Runner,
        schedule: Option<&Schedule>,
        (data, took): (&str, Duration),
    ) -> String {
        let (cluster, config) = (runner.cluster(), runner.cluster().config());
        let pids = |id: u64| {
            let node = config.nodes.iter().find(|node| node.id.0 == id)?;
            cluster.pid(node.id)
        };
        let (leader, term) = runner.leader().expect("a cluster that is ready has a leader");
        let mut lines = vec![
            heading(config, &format!("{data}  {}", cluster.program().display())),
            table(config, pids),
            format!("  ready in {}   leader {leader}   term {term}\n", Shown(micros(took))),
            next_commands(config),
        ];
        let lasts = self.duration.map(|duration| duration.0);
        lines.extend(schedule.map(|schedule| announce(schedule, config.nodes.len(), lasts)));
        if !self.place.background {
            lines.push("  Ctrl-C stops all.".to_owned());
        }
        lines.push(String::new());
        lines.join("\n")
    }

    /// Runs the same command line in a session of its own, and waits for its cluster if asked to.
    async fn detach(&self, config: &ClusterConfig) -> Result<Code, Failure> {
        let home = Home::of(config);
        // Fails here, and not in a log, if somebody else runs this cluster.
        drop(home.lock()?);
        let log_path = home.runner_log();
        let log = OpenOptions::new().create(true).truncate(true).write(true).open(&log_path);
        let log = log.with_context(|| format!("could not open {}", log_path.display()))?;
        let own = std::env::current_exe().context("could not find this program")?;
        let mut command = Command::new(own);
        command.args(std::env::args_os().skip(1)).arg("--background").stdin(Stdio::null());
        command.stdout(log.try_clone().context("could not share a file")?).stderr(log);
        leave_session(&mut command);
        let mut child = tokio::process::Command::from(command)
            .spawn()
            .context("could not start in the background")?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        let mut output = Output::stdout();
        if !self.place.wait {
            output.line(&format!("runs in the background as process {pid}"));
            output.line(&format!("  log     {}", log_path.display()));
            return Ok(Code::Done);
        }
        let begun = Instant::now();
        let patience = config.runner.ready_timeout + config.runner.stop_grace;
        let deadline = begun + patience + Duration::from_secs(5);
        loop {
            tokio::select! {
                status = child.wait() => {
                    let status = status.context("could not wait for the background process")?;
                    return Err(died_in_background(&log_path, status.code()));
                }
                () = tokio::time::sleep(Duration::from_millis(20)) => (),
            }
            let state = home.state().filter(|state| state.runner.pid == pid && state.ready);
            if let Some(state) = state {
                let pids = |id: u64| {
                    state.nodes.iter().find(|node| node.id == id).map(|node| node.process.pid)
                };
                let heading = heading(config, &format!("runner {pid} in the background"));
                let took = Shown(micros(begun.elapsed()));
                let table = table(config, pids);
                output.line(&format!("{heading}\n{table}\n  ready in {took}\n"));
                output.line(&next_commands(config));
                return Ok(tell_problems(&state.problems, &mut output));
            }
            if deadline < Instant::now() {
                return Err(Failure::new(Code::NotReady, "the background process says nothing")
                    .hint(format!("look into {}", log_path.display())));
            }
        }
    }
}

/// Ends a run: heal and compare if it ran its time, compare if it was asked to stop.
pub(super) async fn finish(runner: &mut Runner, ending: Ending) -> Result<Code, Failure> {
    let lasted = runner.journal().elapsed();
    // Who asks to stop does not want to wait.
    let brief = Duration::from_secs(1);
    let (reason, recovery, patience) = match ending {
        Ending::Done => ("its time is over", runner.recover().await?, COMPARE_MAX),
        Ending::Stopped(signal) => (signal, Recovery::Unknown, brief),
        Ending::GaveUp => ("a node ends again and again", Recovery::Unknown, brief),
    };
    if recovery == Recovery::Late {
        runner.journal().say("the cluster did not become whole again");
    }
    runner.heal_before_the_end(false).await?;
    let hashes = runner.compare(patience).await;
    let leftovers = runner.stop(reason).await?;
    runner.end_proxies().await;
    let lasted = Shown(micros(lasted));
    let journal = runner.journal();
    let summary = format!("summary   {lasted}  {}  {hashes}", journal.summary());
    journal.say(&summary);
    let events = runner.cluster().home().events();
    runner.journal().say(&format!("events    {}", events.display()));
    Ok(runner.verdict(recovery, leftovers))
}

/// What will be done to the cluster.
fn announce(schedule: &Schedule, nodes: usize, lasts: Option<Duration>) -> String {
    let plan = schedule.plan();
    let victim = match plan.target {
        Target::Any => format!("one of {nodes}"),
        Target::Leader => "the leader".to_owned(),
        Target::Follower => "a follower".to_owned(),
    };
    let (interval, downtime, at_once) = (plan.interval, plan.downtime, down_max(nodes));
    let first = schedule.first_delay();
    let first = if lasts.is_some_and(|lasts| lasts <= first) {
        "The end comes before the first".to_owned()
    } else {
        format!("First in {}", Shown(micros(first)))
    };
    let (kills, pauses) = (plan.acts.contains(&Act::Kill), plan.acts.contains(&Act::Pause));
    let signal = match (kills, pauses) {
        (true, true) => "SIGKILL or SIGSTOP",
        (false, true) => "SIGSTOP",
        _ => "SIGKILL",
    };
    let most = plan.most.map(|most| format!(", {most} times")).unwrap_or_default();
    format!(
        "  chaos   {signal} {victim} every {interval}, down {downtime}, at most {at_once} at once{most}.  \
         {first}.  seed {}",
        plan.seed
    )
}

fn heading(config: &ClusterConfig, more: &str) -> String {
    let (version, nodes) = (env!("CARGO_PKG_VERSION"), config.nodes.len());
    format!("chaos-ctl {version}  cluster {}  {nodes} nodes  {more}\n", config.name)
}

fn table(config: &ClusterConfig, pid: impl Fn(u64) -> Option<i32>) -> String {
    let row = |[node, pid, peer, client, http, data]: [&str; 6]| {
        format!("  {node:<5}  {pid:<8}  {peer:<21}  {client:<21}  {http:<21}  {data}")
    };
    let mut lines = vec![row(["node", "pid", "peer", "client", "http", "data"])];
    for node in &config.nodes {
        let pid = pid(node.id.0).map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let (name, data) = (node.id.to_string(), near(&node.data_dir));
        lines.push(row([&name, &pid, &node.peer, &node.client, &node.http, &data]));
    }
    lines.join("\n")
}

fn next_commands(config: &ClusterConfig) -> String {
    let file = near(&config.path);
    let own = std::env::args().next().unwrap_or_default();
    let own = Path::new(&own);
    let (own, client) = (callable(own), callable(&own.with_file_name("raft-client")));
    format!(
        "  try     {client} bench -f {file} -c 10 -z 30s --verify\n  \
           state   {own} status -f {file}\n  \
           logs    {own} logs -f --config {file}\n  \
           stop    {own} down -f {file}"
    )
}

/// A path as it is written from here.
fn near(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}

/// A program as it is called from here: a bare name would be looked for on the search path.
fn callable(program: &Path) -> String {
    let near = near(program);
    if program.is_absolute() && !near.contains('/') { format!("./{near}") } else { near }
}

/// What is wrong with some of the nodes of a cluster that serves, and what to do about it.
fn tell_problems(problems: &[String], output: &mut Output) -> Code {
    if problems.is_empty() {
        return Code::Done;
    }
    output.line("\n  the cluster serves, but not all is well:");
    for problem in problems {
        output.line(&format!("  {problem}"));
    }
    output.line(
        "  a node whose data is gone or damaged comes back as a new one: take it out with \
         raft-client set-config --remove ID, empty its directory, start it with raft-server --join, \
         and add it again with --add",
    );
    Code::Degraded
}

fn died_in_background(log: &Path, code: Option<i32>) -> Failure {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let what = last_error(&text).to_owned();
    let code = match code {
        Some(2) => Code::Usage,
        Some(3) => Code::NotReady,
        Some(9) => Code::Crashed,
        Some(130) => Code::Interrupted,
        _ => Code::Internal,
    };
    Failure::new(code, what)
}

/// What a runner's log ends with: its error, without what it said before that.
fn last_error(log: &str) -> &str {
    const MARK: &str = "error: ";
    let text = log.trim();
    let later = text.match_indices("\nerror: ").map(|(at, _)| at + 1);
    // The lines of the nodes' logs that are quoted in it are indented, and so no beginning.
    let begin = if text.starts_with(MARK) { Some(0) } else { later.last() };
    begin.map_or(text, |begin| &text[begin + MARK.len()..])
}

/// Whether somebody runs this cluster now.
pub(super) fn runner_of(home: &Home) -> Option<Birth> {
    home.state().map(|state| state.runner).filter(Birth::is_alive)
}

#[cfg(test)]
mod tests {
    use super::last_error;

    #[test]
    fn of_a_runners_log_its_error_is_told() {
        let error = "n1 ended before it served\n  | error: damaged\n\nhint: look";
        assert_eq!(last_error(&format!("error: {error}\n")), error);
        assert_eq!(last_error(&format!("stopping n2  0ms\nerror: {error}\n")), error);
        assert_eq!(last_error("no mark\n"), "no mark");
    }
}
