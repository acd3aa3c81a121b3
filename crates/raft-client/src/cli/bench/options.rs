//! What `bench` can be told.

use std::path::PathBuf;

use clap::ValueEnum;
use raft_api::units::{Count, HumanDuration};
use raft_client::bench::{
    Arrivals, Expectation, KeyChoice, Kind, Mix, Pace, Plan, Reads, Shape, Sizes, System,
};
use raft_client::{ClientError, Consistency, Options, ReadFrom};

use super::super::target::Target;
use super::super::{Failure, time_to_wait};
use super::explain::Topic;
use super::shelf::Shelf;

/// More connections than this to each node carry nothing more.
const CONNECTIONS: usize = 4;

/// The largest payload. The store takes 8 MiB, frame included.
const VALUE_BYTES_MAX: usize = (8 << 20) - 64;

/// Where etcd serves clients unless it is told otherwise.
const ETCD: &str = "127.0.0.1:2379";

/// Writes that a session has under way at the same time, at most.
const IN_FLIGHT_MAX: usize = 4096;

/// Operations of a run that is told neither a number nor a time.
const REQUESTS: u64 = 10_000;

/// The longest warm-up that nobody asked for.
const WARMUP_MAX: std::time::Duration = std::time::Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct BenchArguments {
    #[command(subcommand)]
    pub(super) command: Option<BenchCommand>,

    /// Whose cluster is pressed. etcd's is told of by --endpoints [default: 127.0.0.1:2379].
    #[arg(long = "target", default_value = "raft", value_name = "SYSTEM")]
    system: System,

    /// Workers, each with one operation under way.
    #[arg(short, long, default_value_t = 10, value_name = "N")]
    concurrency: u16,

    /// Operations that each worker has under way. With more than one, writes go over one stream for
    /// each connection instead of a call for each write.
    #[arg(long, default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=4096))]
    pipeline: u16,

    /// Operations in all, such as 500, 10k or 1m [default: 10000; with --duration or
    /// --until-faults no bound].
    #[arg(short = 'n', long, value_name = "N")]
    requests: Option<Count>,

    /// Stop after this time; operations under way then get 2 s. With --requests as well, whichever
    /// comes first.
    #[arg(short = 'z', long, value_name = "DURATION", value_parser = time_to_wait)]
    duration: Option<HumanDuration>,

    /// Stop a second after so many changes of the leader, or of its term, were seen.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    until_faults: Option<u64>,

    /// Operations per second that are due, whatever the cluster does: an open loop. Latencies then
    /// count from when an operation was due. Without it each worker waits for its answer.
    #[arg(short, long, value_name = "N")]
    rate: Option<Count>,

    /// How the operations of --rate follow each other.
    #[arg(long, default_value = "constant", value_name = "HOW", requires = "rate")]
    arrivals: Arrivals,

    /// Run the load for this long before anything is measured [default: with --duration a fiftieth
    /// of it, at most 2 s; else none].
    #[arg(short, long, value_name = "DURATION")]
    warmup: Option<HumanDuration>,

    /// Before the run, send requests for this long that the leader answers at once, and report how
    /// long they took: what of a latency is the way [default: 1s, if named].
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "1s",
        value_parser = time_to_wait)]
    calibrate: Option<HumanDuration>,

    /// How often which operation is made: put, get, cas, append, propose [default: put].
    #[arg(long, value_name = "KIND=WEIGHT,...", group = "workload")]
    mix: Option<Mix>,

    /// Bytes in each value, such as 128, 4k or 1MiB, or 64-1024 for any size between.
    #[arg(long, default_value = "128", value_name = "SIZE")]
    value_size: Sizes,

    /// Bytes in each key, at least.
    #[arg(long, default_value_t = 16, value_name = "BYTES",
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    key_size: u16,

    /// How many keys there are.
    #[arg(long, default_value = "10k", value_name = "N")]
    keys: Count,

    /// How a key is chosen: uniform, zipf or zipf:EXPONENT, seq.
    #[arg(long, default_value = "uniform", value_name = "HOW")]
    key_dist: KeyChoice,

    /// Determines kinds, keys and values [default: random, printed].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// How fresh the answers to gets must be.
    #[arg(long, default_value = "linearizable", value_name = "HOW")]
    consistency: Freshness,

    /// Which nodes are asked to read. Every one can give linearizable answers.
    #[arg(long, default_value = "leader", value_name = "NODES")]
    read_from: Readers,

    /// How long one attempt at an operation may take.
    #[arg(short = 't', long, default_value = "1s", value_name = "DURATION", value_parser = time_to_wait)]
    attempt_timeout: HumanDuration,

    /// How long one operation is tried. In an open loop, from when it was due: one that could not
    /// be sent by then is dropped, and counted.
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = time_to_wait)]
    op_deadline: HumanDuration,

    /// End the run, with what is under way, when nothing has been acknowledged for so long.
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = time_to_wait)]
    give_up: HumanDuration,

    /// List the times without an acknowledged write that are so long or longer. An outage is such a
    /// time, if it is also 20 times longer than the usual one between two writes.
    #[arg(long, default_value = "100ms", value_name = "DURATION", value_parser = time_to_wait)]
    gaps_from: HumanDuration,

    /// How long to wait for the cluster, before the run and with every read of --verify.
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = time_to_wait)]
    wait: HumanDuration,

    /// Connections to each node [default: one per worker, at most 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: Option<u16>,

    /// As --mix put.
    #[arg(long, group = "workload")]
    put: bool,

    /// As --mix propose: opaque proposals.
    #[arg(long, group = "workload", conflicts_with = "verify")]
    propose: bool,

    /// As --mix append: writes to lists, which keep a trace of every write.
    #[arg(long, group = "workload")]
    append: bool,

    /// Read back every acknowledged write and look for lost and repeated ones; judge every get as
    /// it is answered. Each worker then writes to keys of its own. Without a --mix it writes
    /// appends, which show the most.
    #[arg(long)]
    verify: bool,

    /// Write down every operation, as JSON lines that lin-check can judge. For put, get and cas.
    /// With --verify each worker still has keys of its own.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,

    /// With --history: read every key once more when all else is done. What the last writes left is
    /// then part of the history.
    #[arg(long, requires = "history")]
    final_reads: bool,

    /// The slices in which the run is recorded.
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = time_to_wait)]
    interval: HumanDuration,

    /// Show the run on the whole screen while it goes.
    #[arg(long)]
    tui: bool,

    /// Exit 6 unless the run keeps this, such as p99<50ms, get.p99.9<=5ms, unavail<2s, errors<0.1%,
    /// lost=0 or ops>5000. May be given again and again.
    #[arg(long = "expect", value_name = "WHAT")]
    expectations: Vec<Expectation>,

    /// Write the files of the run here: bench.json, intervals.csv, events.jsonl, and for each kind
    /// an .hlog and an .hgrm. An older run there is replaced [default: a new directory in .raft/NAME/bench, if the cluster's file
    /// is known].
    #[arg(long, value_name = "DIR", conflicts_with = "no_files")]
    out: Option<PathBuf>,

    /// Write no files.
    #[arg(long)]
    no_files: bool,

    /// Keep the figures under this name, for --against.
    #[arg(long, value_name = "NAME", value_parser = baseline_name)]
    save: Option<String>,

    /// Compare with figures that were kept by --save, or with a run's directory; exit 6 if any is worse
    /// by more than noise.
    #[arg(long, value_name = "NAME|FILE")]
    against: Option<String>,

    /// Changes up to this count as none.
    #[arg(long, default_value = "3%", value_name = "PERCENT", value_parser = percent)]
    noise: f64,
}

/// What can be done with runs besides making one.
#[derive(Debug, clap::Subcommand)]
pub(super) enum BenchCommand {
    /// Compare two runs by their files; exit 6 if the second one is worse by more than noise.
    Compare {
        /// The run before: its directory, its bench.json, or the name that --save gave it.
        before: String,
        /// The run after.
        after: String,
        /// Changes up to this count as none.
        #[arg(long, default_value = "3%", value_name = "PERCENT", value_parser = percent)]
        noise: f64,
    },
    /// Say what the words of the report mean.
    Explain {
        /// One of them; all without it.
        #[arg(value_enum)]
        topic: Option<Topic>,
    },
}

/// A part of one, from a percentage.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let part = number.filter(|number: &f64| (0.0..=1000.0).contains(number));
    part.map(|number| number / 100.0).ok_or_else(|| "write a percentage, such as 3%".to_owned())
}

/// A name that is a file name everywhere.
fn baseline_name(text: &str) -> Result<String, String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if text.is_empty() || text.starts_with('.') || !text.chars().all(plain) {
        return Err("write letters, digits, -, _ and dots".to_owned());
    }
    Ok(text.to_owned())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Freshness {
    /// As fresh as any write acknowledged before.
    Linearizable,
    /// Any node's own state, however old.
    Stale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Readers {
    /// The leader.
    Leader,
    /// Any node but the leader.
    Follower,
    /// Any node.
    Any,
}

impl BenchArguments {
    /// Where the files of this run go and where baselines are kept.
    pub(super) fn shelf(&self, target: &Target) -> Shelf<'_> {
        let home = self.events(target).and_then(|events| Some(events.parent()?.to_owned()));
        Shelf {
            home,
            out: self.out.as_deref(),
            no_files: self.no_files,
            save: self.save.as_deref(),
            against: self.against.as_deref(),
            noise: self.noise,
            expectations: &self.expectations,
        }
    }

    /// What went wrong, with advice for those who press etcd.
    pub(super) fn blame(&self, error: ClientError) -> Failure {
        let failure = Failure::from(error);
        match self.system {
            System::Raft => failure,
            System::Etcd => failure.advising_in_the_end(
                "is that etcd, and has it a leader? `etcdctl --endpoints HOST:PORT,... endpoint status` \
                 shows it; bench finds it by --endpoints [default: 127.0.0.1:2379]",
            ),
        }
    }

    pub(super) fn tui(&self) -> bool {
        self.tui
    }

    pub(super) fn wait(&self) -> std::time::Duration {
        self.wait.0
    }

    /// The client that this load needs.
    pub(super) fn options(&self, target: &Target, plan: &Plan) -> Options {
        let connections = self.connections.map_or(CONNECTIONS, usize::from);
        Options {
            endpoints: self.endpoints(target),
            connections: connections.min(plan.concurrency),
            pipelined: 1 < plan.pipeline,
            attempt_timeout: self.attempt_timeout.0,
            operation_timeout: self.op_deadline.0,
            ..target.options()
        }
    }

    /// What a chaos run writes down, if it is the cluster's that is pressed.
    fn events(&self, target: &Target) -> Option<PathBuf> {
        target.events.clone().filter(|_| self.system == System::Raft)
    }

    /// Where the cluster is: of etcd the cluster's file says nothing.
    fn endpoints(&self, target: &Target) -> Vec<String> {
        let named = !target.is_assumed && target.cluster.is_none();
        match self.system {
            System::Etcd if !named => vec![ETCD.to_owned()],
            System::Etcd | System::Raft => target.options().endpoints,
        }
    }

    pub(super) fn plan(&self, target: &Target) -> Result<Plan, Failure> {
        let usage = |message: &str| Err(Failure::usage(message.to_owned(), None));
        if self.concurrency == 0 {
            return usage("--concurrency must be at least 1");
        }
        if 1 < self.pipeline
            && IN_FLIGHT_MAX < usize::from(self.concurrency) * usize::from(self.pipeline)
        {
            return usage(
                "--concurrency times --pipeline must be 4096 or less: a session's window",
            );
        }
        if self.requests.is_some_and(|Count(requests)| requests == 0) {
            return usage("--requests must be at least 1");
        }
        if self.keys.0 == 0 {
            return usage("--keys must be at least 1");
        }
        if VALUE_BYTES_MAX < self.value_size.max {
            return usage("--value-size must be below 8 MiB");
        }
        if self.rate.is_some_and(|Count(rate)| rate == 0 || 10_000_000 < rate) {
            return usage("--rate must be from 1 to 10 million");
        }
        let bounded = self.duration.is_some() || self.until_faults.is_some();
        let requests = match self.requests {
            Some(Count(requests)) => Some(requests),
            None => (!bounded).then_some(REQUESTS),
        };
        let plan = Plan {
            system: self.system,
            concurrency: usize::from(self.concurrency),
            pipeline: usize::from(self.pipeline),
            requests,
            duration: self.duration.map(|duration| duration.0),
            shape: self.shape(),
            reads: self.reads(),
            pace: self.pace(),
            warmup: self.warmup(),
            calibration: self.calibrate.map(|lasts| lasts.0).unwrap_or_default(),
            operation_timeout: self.op_deadline.0,
            give_up: self.give_up.0,
            faults: self.until_faults,
            gap_min: self.gaps_from.0,
            interval: self.interval.0,
            verify: self.verify.then_some(self.wait.0),
            history: self.history.clone(),
            final_reads: self.final_reads,
            events: self.events(target),
        };
        plan.check().map_err(|error| Failure::usage(error.to_string(), None))?;
        let unread = self.expectations.iter().find(|it| it.needs_verification() && !self.verify);
        if let Some(expectation) = unread {
            return usage(&format!("--expect {expectation} needs --verify, which reads back"));
        }
        Ok(plan)
    }

    fn shape(&self) -> Shape {
        // A history has no lists.
        let shows_most = self.verify && !self.put && self.history.is_none();
        let fallback = match (self.append || shows_most, self.propose) {
            (true, _) => Kind::Append,
            (false, true) => Kind::Propose,
            (false, false) => Kind::Put,
        };
        Shape {
            mix: self.mix.clone().unwrap_or_else(|| Mix::only(fallback)),
            sizes: self.value_size,
            keys: self.keys.0,
            choice: self.key_dist,
            key_size: usize::from(self.key_size),
            // Short enough to be typed again.
            seed: self.seed.unwrap_or_else(|| u64::from(rand::random::<u16>())),
        }
    }

    fn reads(&self) -> Reads {
        let consistency = match self.consistency {
            Freshness::Linearizable => Consistency::Linearizable,
            Freshness::Stale => Consistency::Stale,
        };
        let from = match self.read_from {
            Readers::Leader => ReadFrom::Leader,
            Readers::Follower => ReadFrom::Followers,
            Readers::Any => ReadFrom::Any,
        };
        Reads { consistency, from }
    }

    fn pace(&self) -> Option<Pace> {
        let Count(rate) = self.rate?;
        #[expect(clippy::cast_precision_loss, reason = "at most 10 million")]
        Some(Pace { rate: rate as f64, arrivals: self.arrivals })
    }

    fn warmup(&self) -> std::time::Duration {
        match (self.warmup, self.duration) {
            (Some(HumanDuration(warmup)), _) => warmup,
            (None, _) if self.history.is_some() => std::time::Duration::ZERO,
            (None, Some(HumanDuration(duration))) => (duration / 50).min(WARMUP_MAX),
            (None, None) => std::time::Duration::ZERO,
        }
    }
}
