//! `bench`

use std::convert::Infallible;
use std::time::Duration;

use clap::ValueEnum;
use raft_api::units::{ByteSize, Count, HumanDuration};
use raft_client::bench::{self, Bench, Brake, Kind, Plan, Summary, Verification};
use raft_client::{Client, Options};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::target::Target;
use super::{Done, Failure, complain, progress, time_to_wait};

const NOT_ALL_DONE: u8 = 4;
const UNSAFE: u8 = 5;
const INCONCLUSIVE: u8 = 10;
const INTERRUPTED: u8 = 130;

/// Writes that are under way when a run is interrupted get this long.
const DRAIN: Duration = Duration::from_secs(5);

/// More connections than this to each node carry nothing more.
const CONNECTIONS: usize = 4;

/// The largest payload. The store takes 8 MiB, frame included.
const VALUE_BYTES_MAX: u64 = (8 << 20) - 64;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct BenchArguments {
    /// Workers, each with one write under way.
    #[arg(short, long, default_value_t = 10, value_name = "N")]
    concurrency: u16,

    /// Writes in all, such as 500, 10k or 1m [default: 10000; with --duration no bound].
    #[arg(short = 'n', long, value_name = "N")]
    requests: Option<Count>,

    /// Stop after this time; writes under way then get 2 s. With --requests as well, whichever
    /// comes first.
    #[arg(short = 'z', long, value_name = "DURATION", value_parser = time_to_wait)]
    duration: Option<HumanDuration>,

    /// Bytes in each value, such as 128, 4k or 1MiB.
    #[arg(long, default_value = "128", value_name = "SIZE")]
    value_size: ByteSize,

    /// Keys that puts choose from.
    #[arg(long, default_value = "10k", value_name = "N")]
    keys: Count,

    /// Determines the values and the choice of keys [default: random, printed].
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// How long one attempt at a write may take.
    #[arg(short = 't', long, default_value = "1s", value_name = "DURATION", value_parser = time_to_wait)]
    attempt_timeout: HumanDuration,

    /// How long one write is tried.
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = time_to_wait)]
    op_deadline: HumanDuration,

    /// End the run, with the writes under way, when nothing has been acknowledged for so long.
    #[arg(long, default_value = "1m", value_name = "DURATION", value_parser = time_to_wait)]
    give_up: HumanDuration,

    /// List the times without an acknowledged write that are so long or longer.
    #[arg(long, default_value = "100ms", value_name = "DURATION", value_parser = time_to_wait)]
    gaps_from: HumanDuration,

    /// How long to wait for the cluster, before the run and with every read of --verify.
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = time_to_wait)]
    wait: HumanDuration,

    /// Connections to each node [default: one per worker, at most 4].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    connections: Option<u16>,

    /// Write puts over a bounded set of keys (the default without --verify).
    #[arg(long, group = "workload", conflicts_with = "verify")]
    put: bool,

    /// Write opaque proposals.
    #[arg(long, group = "workload", conflicts_with = "verify")]
    propose: bool,

    /// Write appends to lists, which keep a trace of every write.
    #[arg(long, group = "workload")]
    append: bool,

    /// Read back every acknowledged write and look for lost and repeated ones. Implies --append.
    #[arg(long)]
    verify: bool,

    /// How to report.
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One object; times in whole microseconds.
    Json,
}

impl BenchArguments {
    pub(crate) async fn run(self, target: &Target) -> Result<Done, Failure> {
        let plan = self.plan()?;
        let connections = self.connections.map_or(CONNECTIONS, usize::from);
        let client = Client::new(Options {
            connections: connections.min(plan.concurrency),
            attempt_timeout: self.attempt_timeout.0,
            operation_timeout: self.op_deadline.0,
            ..target.options()
        });
        let mut signals = Signals::new()?;
        let requests = plan.requests;
        let preparing = Bench::prepare(client, plan, self.wait.0);
        let bench = tokio::select! {
            bench = preparing => bench?,
            () = signals.next() => return Ok(Done { code: INTERRUPTED, ..Done::default() }),
        };
        warn_of_debug_builds(&bench);
        let (brake, watch) = (bench.brake(), bench.watch());
        let running = bench.run(self.verify.then_some(self.wait.0));
        let summary = tokio::select! {
            summary = running => summary,
            never = progress::show(watch, requests) => match never {},
            never = obey(&mut signals, &brake) => match never {},
        };
        let data = match self.output {
            Output::Text => bench::text(&summary),
            Output::Json => json(&summary)?,
        };
        Ok(Done { data: data.into(), note: None, code: code(&summary) })
    }

    fn plan(&self) -> Result<Plan, Failure> {
        let usage = |message: &str| Err(Failure::usage(message.to_owned(), None));
        if self.concurrency == 0 {
            return usage("--concurrency must be at least 1");
        }
        if self.requests.is_some_and(|Count(requests)| requests == 0) {
            return usage("--requests must be at least 1");
        }
        if self.keys.0 == 0 {
            return usage("--keys must be at least 1");
        }
        if VALUE_BYTES_MAX < self.value_size.0 {
            return usage("--value-size must be below 8 MiB");
        }
        let requests = match (self.requests, self.duration) {
            (Some(Count(requests)), _) => Some(requests),
            (None, Some(_)) => None,
            (None, None) => Some(10_000),
        };
        let kind = match (self.verify || self.append, self.propose) {
            (true, _) => Kind::Append,
            (false, true) => Kind::Propose,
            (false, false) => Kind::Put,
        };
        Ok(Plan {
            concurrency: usize::from(self.concurrency),
            requests,
            duration: self.duration.map(|duration| duration.0),
            kind,
            value_size: usize::try_from(self.value_size.0).unwrap_or(usize::MAX),
            keys: self.keys.0,
            // Short enough to be typed again.
            seed: self.seed.unwrap_or_else(|| u64::from(rand::random::<u16>())),
            operation_timeout: self.op_deadline.0,
            give_up: self.give_up.0,
            gap_min: self.gaps_from.0,
        })
    }
}

/// The signals that ask a program to end, or say that its terminal is gone.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None`: it is ignored, as under `nohup`, and so it stays.
    hangup: Option<Signal>,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::internal(format!("no signals: {error}")));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: if ignores_hangup() { None } else { Some(listen(SignalKind::hangup())?) },
        })
    }

    async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
            _ = hangup => (),
        }
    }
}

/// Whether this process was started with SIGHUP ignored, as Linux tells: the mask's lowest bit.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| mask.trim().chars().last()?.to_digit(16)).is_some_and(|low| low & 1 == 1)
}

/// The first signal stops the run; the second one, or time, gives up what is still under way.
async fn obey(signals: &mut Signals, brake: &Brake) -> Infallible {
    signals.next().await;
    complain("\ninterrupted: waiting for the writes under way; again to give them up");
    brake.stop();
    tokio::select! {
        () = signals.next() => (),
        () = sleep(DRAIN) => (),
    }
    brake.abort();
    std::future::pending().await
}

fn warn_of_debug_builds(bench: &Bench) {
    let server = bench.cluster().debug_build;
    let what = match (server, cfg!(debug_assertions)) {
        (true, true) => "SERVER AND CLIENT ARE DEBUG BUILDS",
        (true, false) => "THE SERVER IS A DEBUG BUILD",
        (false, true) => "THIS CLIENT IS A DEBUG BUILD",
        (false, false) => return,
    };
    complain(&format!(
        "*** {what}: these figures say nothing about speed. Build with --release. ***"
    ));
}

fn json(summary: &Summary) -> Result<String, Failure> {
    serde_json::to_string(summary)
        .map(|json| json + "\n")
        .map_err(|error| Failure::internal(format!("could not write JSON: {error}")))
}

fn code(summary: &Summary) -> u8 {
    match &summary.verify {
        Some(Verification::Done(verdict)) if !verdict.is_clean() => return UNSAFE,
        _ if summary.interrupted => return INTERRUPTED,
        Some(Verification::Undone(_)) => return INCONCLUSIVE,
        Some(Verification::Done(_)) | None => (),
    }
    if summary.failed + summary.unknown == 0 { 0 } else { NOT_ALL_DONE }
}
