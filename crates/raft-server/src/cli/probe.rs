//! `raft-server disk-probe`: what the machine allows, for figures to be compared with.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use raft_api::units::{ByteSize, Count, UnitError};
use serde_json::{Value, json};

use super::{EXIT_INTERRUPTED, Failure, Signals};
use crate::probe::{self, Figures, MESSAGE_BYTES, Placement, ProbeError, Stop};

/// Measure what disk and loopback allow: syncs of zeroed blocks as the log makes them, and round trips.
///
/// One write by one client takes at least two round trips, to the leader and from there to a follower, and
/// one sync: the floor, which is printed last. What is written in DIR is removed again.
///
/// Exit code: 0 measured, 2 it cannot be measured there, 130 interrupted.
#[derive(Debug, clap::Args)]
pub(super) struct Probe {
    /// Where to write: a directory on the disk that is to hold a node's data
    #[arg(required_unless_present = "answer")]
    dir: Option<PathBuf>,

    /// Bytes that are written and synced at a time, such as 4KiB or 1MiB
    #[arg(long, value_name = "SIZE", default_value = "4KiB", value_parser = block)]
    size: u64,

    /// How many syncs of each writer, and how many round trips
    #[arg(short = 'n', long, value_name = "N", default_value = "2000", value_parser = count)]
    count: u64,

    /// How to show it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,

    /// Be the other process: answer on the connection that is the standard input
    #[arg(long, hide = true, conflicts_with = "dir")]
    answer: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One object, for programs; times in microseconds
    Json,
}

/// What was measured.
struct Report {
    /// For each number of writers.
    syncs: Vec<(usize, Figures)>,
    threads: Figures,
    /// For each placement; nothing where there are not enough processors.
    processes: Vec<(Placement, Option<Figures>)>,
}

const PLACEMENTS: [Placement; 3] = [Placement::Anywhere, Placement::Together, Placement::Apart];

/// How many write at once: one node's log, and those of three on one disk.
const WRITERS: [usize; 2] = [1, 3];

const COUNT_MAX: u64 = 1_000_000;

fn block(text: &str) -> Result<u64, String> {
    let ByteSize(bytes) = text.parse().map_err(|error: UnitError| error.to_string())?;
    let max = probe::BLOCK_BYTES_MAX;
    if !(1..=max).contains(&bytes) {
        return Err(format!("a block has 1 to {max} bytes"));
    }
    Ok(bytes)
}

fn count(text: &str) -> Result<u64, String> {
    let Count(count) = text.parse().map_err(|error: UnitError| error.to_string())?;
    if !(1..=COUNT_MAX).contains(&count) {
        return Err(format!("it is done 1 to {COUNT_MAX} times"));
    }
    Ok(count)
}

impl Probe {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let Some(dir) = self.dir.clone() else {
            let answered = probe::answer_on_stdin();
            let failed = |error| Failure { error: format!("--answer: {error}"), hint: None };
            return answered.map(|()| ExitCode::SUCCESS).map_err(failed);
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| could_not_start(&error))?;
        let stop = Arc::new(Stop::default());
        let measuring = {
            let (stop, dir) = (Arc::clone(&stop), dir.clone());
            move || measure(&dir, self.size, self.count, &stop)
        };
        let measured = runtime.block_on(async {
            let mut signals = Signals::new().map_err(|error| could_not_start(&error))?;
            let mut measured = tokio::task::spawn_blocking(measuring);
            loop {
                tokio::select! {
                    done = &mut measured => return Ok::<_, Failure>(done.expect("a panic ends the process")),
                    // It ends with the sync that is under way, and removes what it has made.
                    _ = signals.next() => stop.now(),
                }
            }
        })?;
        let report = match measured {
            Ok(report) => report,
            Err(ProbeError::Stopped) => return Ok(ExitCode::from(EXIT_INTERRUPTED)),
            Err(error) => return Err(error.into()),
        };
        let shown = match self.output {
            Format::Text => report.text(&dir, self.size),
            Format::Json => format!("{:#}\n", report.json(&dir, self.size, self.count)),
        };
        // With stdout gone there is nobody left to tell.
        drop(io::stdout().write_all(shown.as_bytes()));
        Ok(ExitCode::SUCCESS)
    }
}

fn measure(dir: &Path, size: u64, count: u64, stop: &Stop) -> Result<Report, ProbeError> {
    let sync = |writers| Ok((writers, probe::syncs(dir, size, count, writers, stop)?));
    let answer = ["disk-probe", "--answer"];
    let processes =
        |placement| Ok((placement, probe::between_processes(&answer, placement, count, stop)?));
    Ok(Report {
        syncs: WRITERS.into_iter().map(sync).collect::<Result<_, ProbeError>>()?,
        threads: probe::between_threads(count, stop)?,
        processes: PLACEMENTS.into_iter().map(processes).collect::<Result<_, ProbeError>>()?,
    })
}

impl Report {
    /// One write by one client: to the leader and back, to a follower and back, and a sync.
    fn floor(&self) -> Duration {
        let (_, sync) = self.syncs.first().expect("one writer was measured");
        let trip = self.between(Placement::Anywhere).expect("that asks for no processor");
        2 * trip.p50 + sync.p50
    }

    fn between(&self, placement: Placement) -> Option<&Figures> {
        let mut all = self.processes.iter();
        all.find(|(is, _)| *is == placement).and_then(|(_, figures)| figures.as_ref())
    }

    fn text(&self, dir: &Path, size: u64) -> String {
        let titles = ["p50 us", "p99 us", "max us", "per s"].map(str::to_owned);
        let mut lines = vec![line(&dir.display().to_string(), &titles)];
        let sync = format!("write and fdatasync, {}", ByteSize(size));
        for (writers, figures) in &self.syncs {
            let at_once =
                if *writers == 1 { "1 writer".to_owned() } else { format!("{writers} at once") };
            lines.push(line(&format!("{sync}, {at_once}"), &columns(figures)));
        }
        lines.push(line(
            &format!("{MESSAGE_BYTES} B and back, two threads"),
            &columns(&self.threads),
        ));
        for (placement, figures) in &self.processes {
            let name = match placement {
                Placement::Anywhere => "two processes",
                Placement::Together => "on one processor",
                Placement::Apart => "on two processors",
            };
            let name = format!("{MESSAGE_BYTES} B and back, {name}");
            let none = || ["-"; 4].map(str::to_owned);
            lines.push(line(&name, &figures.as_ref().map_or_else(none, columns)));
        }
        let floor = self.floor().as_micros();
        let means = "two round trips between processes, and one sync";
        lines.push(format!("floor of one write by one client: {floor} us ({means}, p50)\n"));
        lines.concat()
    }

    fn json(&self, dir: &Path, size: u64, count: u64) -> Value {
        let syncs = self.syncs.iter().map(|(writers, figures)| {
            let mut shown = object(figures);
            shown["writers"] = json!(writers);
            shown
        });
        let between = |placement| self.between(placement).map(object);
        json!({
            "dir": dir.display().to_string(),
            "block_bytes": size,
            "count": count,
            "sync": syncs.collect::<Vec<Value>>(),
            "round_trip": {
                "bytes": MESSAGE_BYTES,
                "threads": object(&self.threads),
                "processes": between(Placement::Anywhere),
                "one_processor": between(Placement::Together),
                "two_processors": between(Placement::Apart),
            },
            "floor_us": micros(self.floor()),
        })
    }
}

fn line(name: &str, columns: &[String; 4]) -> String {
    let [p50, p99, max, per_s] = columns;
    format!("{name:<40}{p50:>9}{p99:>9}{max:>9}{per_s:>10}\n")
}

fn columns(figures: &Figures) -> [String; 4] {
    let Figures { p50, p99, max, per_s } = figures;
    let [p50, p99, max] = [p50, p99, max].map(|time| time.as_micros().to_string());
    [p50, p99, max, format!("{per_s:.0}")]
}

fn object(figures: &Figures) -> Value {
    let Figures { p50, p99, max, per_s } = *figures;
    json!({
        "p50_us": micros(p50),
        "p99_us": micros(p99),
        "max_us": micros(max),
        "per_s": (per_s * 10.0).round() / 10.0,
    })
}

/// To a tenth.
fn micros(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e7).round() / 10.0
}

fn could_not_start(error: &io::Error) -> Failure {
    Failure { error: format!("could not start: {error}"), hint: None }
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Self {
        let hint = matches!(error, ProbeError::Dir { .. }).then(|| {
            "name a directory that exists and can be written, on the disk that is to be measured".to_owned()
        });
        Self { error: error.to_string(), hint }
    }
}
