//! `bench`

mod explain;
mod keys;
mod live;
mod options;
mod screen;
mod shelf;

use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use raft_client::bench::{self, Bench, Brake, Comparison, Ending, Plan, Summary, Verification};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::target::Target;
use super::{Done, Failure, Format, complain, say};

pub(crate) use options::BenchArguments;
use options::BenchCommand;
use screen::Screen;
use shelf::Shelf;

const UNSAVED: u8 = 2;
const NOT_ALL_DONE: u8 = 4;
const UNSAFE: u8 = 5;
const UNKEPT: u8 = 6;
const INCONCLUSIVE: u8 = 10;
const INTERRUPTED: u8 = 130;

/// Operations that are under way when a run is interrupted get this long.
const DRAIN: Duration = Duration::from_secs(5);

impl BenchArguments {
    pub(crate) async fn run(self, target: &Target, format: Format) -> Result<Done, Failure> {
        let rack = self.shelf(target);
        if let Some(command) = &self.command {
            return run_command(command, &rack, format);
        }
        let plan = self.plan(target)?;
        let options = self.options(target, &plan);
        let baseline = rack.prepare(&plan, options.connections)?;
        warn_of_replacement(&plan, format);
        let mut signals = Signals::new()?;
        let goal = live::Goal { requests: plan.requests, duration: plan.duration };
        if self.tui() && !std::io::stderr().is_terminal() {
            let hint = "without --tui a line is written each second";
            let message = "--tui needs a terminal on standard error".to_owned();
            return Err(Failure::usage(message, Some(hint)));
        }
        let preparing = Bench::prepare(options, plan, self.wait());
        let mut bench = tokio::select! {
            bench = preparing => bench.map_err(|error| self.blame(error))?,
            () = signals.next() => {
                let note = Some("interrupted before anything was measured".to_owned());
                return Ok(Done { note, code: INTERRUPTED, ..Done::default() });
            }
        };
        bench.open_history().map_err(|error| {
            Failure::usage(format!("--history cannot be written: {error}"), None)
        })?;
        warn_of_debug_builds(&bench, format);
        warn_of_overrun(&bench, format);
        for addr in bench.strange_endpoints() {
            let name = &bench.cluster().name;
            let what = format!("{addr} is no member's address in cluster {name}: not read from");
            say(format, "warning", &format!("*** {what} ***"));
        }
        let (brake, watch) = (bench.brake(), bench.watch());
        let title = bench.cluster().name.clone();
        if self.tui() {
            signals.keys = keys::Keys::open();
        }
        let screen = self.tui().then(|| Screen::open(title, signals.keys.as_ref())).transpose();
        let screen = screen.map_err(|error| Failure::internal(format!("no screen: {error}")))?;
        let running = bench.run();
        let mut summary = tokio::select! {
            summary = running => summary,
            never = live::show(watch, goal, screen, format) => match never {},
            never = obey(&mut signals, &brake, (!self.tui()).then_some(format)) => match never {},
        };
        signals.keys = None; // The terminal is the shell's again.
        let verdict = rack.judge(&mut summary, baseline.as_ref())?;
        let (data, note) = if format == Format::Json {
            let is_well = verdict.kept && verdict.conclusive && verdict.saved;
            (as_json(&summary)?, (!is_well).then(|| verdict.text.clone()))
        } else {
            (bench::text(&summary) + &verdict.text, None)
        };
        let code = match code(&summary, &verdict) {
            0 if !verdict.saved => UNSAVED,
            code => code,
        };
        if format == Format::Json && code != 0 {
            complain(&failure(code, &summary, &verdict).to_string());
        }
        Ok(Done { data: data.into(), note, code })
    }
}

/// Why it does not end well, for programs.
fn failure(code: u8, summary: &Summary, verdict: &shelf::Verdict) -> Value {
    let undone = summary.failed + summary.unknown + summary.dropped;
    let (kind, message) = match code {
        UNSAFE => ("unsafe", "acknowledged writes are lost, or what was read is wrong".to_owned()),
        INTERRUPTED => ("interrupted", "the run was broken off".to_owned()),
        UNKEPT => ("not_kept", "what was expected was not kept".to_owned()),
        INCONCLUSIVE => ("inconclusive", "the run shows nothing".to_owned()),
        NOT_ALL_DONE => ("not_all_done", format!("{undone} operations were never done")),
        _ => ("not_saved", "the files could not be written".to_owned()),
    };
    let unkept = summary.expectations.iter().filter(|it| !it.kept);
    let unkept = unkept.map(|it| format!("{}: {}", it.what, it.measured));
    let details: Vec<String> = summary.forgotten.iter().cloned().chain(unkept).collect();
    let message = [&[message][..], &details].concat().join("; ");
    json!({
        "schema": "raft-error/1",
        "level": "error",
        "exit": code,
        "kind": kind,
        "message": message,
        "hint": if verdict.saved { Value::Null } else { "not all files were written".into() },
        "may_be_done": 0 < summary.unknown,
        "nodes": [],
    })
}

fn run_command(command: &BenchCommand, rack: &Shelf<'_>, format: Format) -> Result<Done, Failure> {
    match command {
        BenchCommand::Compare { before, after, noise } => {
            let comparison = Comparison::of(&rack.find(before)?, &rack.find(after)?, *noise);
            let comparison = comparison.map_err(shelf::unusable)?;
            let code = match comparison.ending() {
                Ending::NoWorse => 0,
                Ending::Worse => UNKEPT,
                Ending::Unsafe => UNSAFE,
                Ending::Inconclusive => INCONCLUSIVE,
            };
            let data =
                if format == Format::Json { as_json(&comparison)? } else { comparison.text() };
            Ok(Done { data: data.into(), note: None, code })
        }
        BenchCommand::Explain { topic } => Ok(Done::with(explain::text(*topic))),
    }
}

/// What asks a program to end, or says that its terminal is gone.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None`: it is ignored, as under `nohup`, and so it stays.
    hangup: Option<Signal>,
    /// Of the whole screen.
    keys: Option<keys::Keys>,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen =
            |kind| signal(kind).map_err(|error| Failure::internal(format!("no signals: {error}")));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: if ignores_hangup() { None } else { Some(listen(SignalKind::hangup())?) },
            keys: None,
        })
    }

    async fn next(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let quit = async {
            match &self.keys {
                Some(keys) => keys.quit().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => (),
            _ = self.terminate.recv() => (),
            _ = hangup => (),
            () = quit => (),
        }
    }
}

/// Whether this process was started with SIGHUP ignored, as Linux tells: the mask's lowest bit.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| mask.trim().chars().last()?.to_digit(16)).is_some_and(|low| low & 1 == 1)
}

/// The first signal stops the run; the second one, or time, gives up what is still under way. Later
/// ones end the reading back, and so does the first one if all else is done.
async fn obey(signals: &mut Signals, brake: &Brake, told: Option<Format>) -> Infallible {
    signals.next().await;
    if brake.is_reading_back() {
        brake.leave();
        return std::future::pending().await;
    }
    let words = "interrupted: waiting for what is under way; again to give it up";
    match told {
        Some(Format::Json) => say(Format::Json, "note", words),
        Some(_) => complain(&format!("\n{words}")),
        None => (), // The screen says it.
    }
    brake.stop();
    let again = tokio::select! {
        () = signals.next() => true,
        () = sleep(DRAIN) => false,
    };
    brake.abort();
    if !again {
        signals.next().await;
    }
    while !brake.is_reading_back() {
        signals.next().await;
    }
    brake.leave();
    std::future::pending().await
}

fn warn_of_debug_builds(bench: &Bench, format: Format) {
    let server = bench.cluster().debug_build;
    let what = match (server, cfg!(debug_assertions)) {
        (true, true) => "SERVER AND CLIENT ARE DEBUG BUILDS",
        (true, false) => "THE SERVER IS A DEBUG BUILD",
        (false, true) => "THIS CLIENT IS A DEBUG BUILD",
        (false, false) => return,
    };
    say(
        format,
        "warning",
        &format!("*** {what}: these figures say nothing about speed. Build with --release. ***"),
    );
}

fn warn_of_replacement(plan: &Plan, format: Format) {
    let is_there = |path: &PathBuf| path.metadata().is_ok_and(|about| 0 < about.len());
    if let Some(path) = plan.history.as_ref().filter(|path| is_there(path)) {
        let path = path.display();
        say(format, "warning", &format!("*** the history in {path} is replaced ***"));
    }
}

/// What happened in the warm-up is not in the report. That something did must be said.
fn warn_of_overrun(bench: &Bench, format: Format) {
    if let Some((wanted, took)) = bench.overrun() {
        let (wanted, took) = (wanted.as_secs_f64(), took.as_secs_f64());
        say(
            format,
            "warning",
            &format!(
                "*** the warm-up took {took:.1} s instead of {wanted:.1} s: operations waited, and that time is \
             no part of the report. -w 0s goes without a warm-up. ***"
            ),
        );
    }
}

fn as_json(found: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(found)
        .map(|json| json + "\n")
        .map_err(|error| Failure::internal(format!("could not write JSON: {error}")))
}

fn code(summary: &Summary, verdict: &shelf::Verdict) -> u8 {
    match &summary.verify {
        Some(Verification::Done(verdict)) if !verdict.is_clean() => return UNSAFE,
        _ if !summary.forgotten.is_empty() => return INCONCLUSIVE,
        _ if summary.interrupted => return INTERRUPTED,
        // A history with a hole proves nothing.
        _ if summary.history_error.is_some() => return INCONCLUSIVE,
        Some(Verification::Undone(_)) => return INCONCLUSIVE,
        Some(Verification::Done(_)) | None => (),
    }
    match summary.failed + summary.unknown + summary.dropped {
        _ if !verdict.kept => UNKEPT,
        // It shows nothing of what was to be shown.
        _ if !verdict.conclusive || shows_nothing(summary) => INCONCLUSIVE,
        0 => 0,
        _ => NOT_ALL_DONE,
    }
}

/// Whether everything was to be read back, and nothing was there to be.
fn shows_nothing(summary: &Summary) -> bool {
    match &summary.verify {
        Some(Verification::Done(verdict)) => verdict.checked + verdict.reads == 0,
        Some(Verification::Undone(_)) | None => false,
    }
}
