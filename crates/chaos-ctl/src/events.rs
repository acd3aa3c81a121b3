//! What happens in a run, told twice: a line for people and a line of JSON for programs.
//!
//! Times are on the monotonic clock, which all processes of one machine share, so that a client's
//! record of the same minutes can be laid beside this one.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::dashboard::Feed;
use crate::output::Output;
use crate::summary::Summary;

/// Something that happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// The run began.
    Begin {
        /// The cluster's name.
        cluster: String,
        /// Its configuration file.
        config: String,
        /// How many nodes it has.
        nodes: usize,
        /// What the run's chance is drawn from, if faults are injected.
        seed: Option<u64>,
        /// The runner's own process.
        pid: u32,
    },
    /// All nodes serve.
    Ready {
        /// From the first start.
        took_us: u64,
        /// Who leads.
        node: u64,
        /// In which term.
        term: u64,
    },
    /// Somebody ordered something from another terminal.
    Order {
        /// As it was typed.
        what: String,
    },
    /// It was not done.
    Refused {
        /// As it was typed.
        what: String,
        /// Why not.
        why: String,
    },
    /// A node was killed on purpose.
    Kill {
        /// Which.
        node: u64,
        /// What it was at that moment.
        role: &'static str,
        /// Its process.
        pid: i32,
        /// The signal.
        signal: &'static str,
        /// How many nodes are left running.
        running: usize,
        /// Of how many.
        nodes: usize,
    },
    /// A node was asked to end.
    Terminate {
        /// Which.
        node: u64,
        /// What it was at that moment.
        role: &'static str,
        /// Its process.
        pid: i32,
    },
    /// A node was stopped with SIGSTOP.
    Pause {
        /// Which.
        node: u64,
        /// What it was at that moment.
        role: &'static str,
        /// Its process.
        pid: i32,
    },
    /// It goes on.
    Resume {
        /// Which.
        node: u64,
        /// How long it stood still.
        paused_us: u64,
    },
    /// A fault begins that no other event tells of.
    Fault {
        /// Its number in the run.
        number: u32,
        /// What kind.
        fault: &'static str,
        /// In words.
        what: String,
    },
    /// A fault is over.
    Over {
        /// Its number in the run.
        number: u32,
        /// What kind.
        fault: &'static str,
        /// `installed`, `skipped` or `indeterminate`.
        outcome: &'static str,
        /// What shows that it bit, or why it did not.
        evidence: String,
    },
    /// A node ended as it was ordered to, or by itself, as a fault on its disk makes it.
    Ended {
        /// Which.
        node: u64,
        /// Its process.
        pid: i32,
        /// How it ended.
        cause: String,
    },
    /// A node was started that is to be added.
    Join {
        /// Which.
        node: u64,
        /// Its process.
        pid: i32,
    },
    /// The membership was changed, as the leader confirmed.
    Change {
        /// The voters before.
        before: Vec<u64>,
        /// The voters now.
        after: Vec<u64>,
        /// From the wish to the answer.
        took_us: u64,
    },
    /// A removed node knows that it is none of the cluster's any more.
    Told {
        /// Which.
        node: u64,
        /// How long after the change.
        after_us: u64,
    },
    /// Another node leads, or the same one in another term.
    Leader {
        /// Which.
        node: u64,
        /// In which term.
        term: u64,
        /// How long after its predecessor was lost it was first seen, if that loss was.
        after_us: Option<u64>,
        /// How the predecessor was lost: by a kill or a crash.
        cause: Option<&'static str>,
    },
    /// A node was started again.
    Start {
        /// Which.
        node: u64,
        /// Its process.
        pid: i32,
        /// How long it had been down.
        down_us: u64,
    },
    /// A node that was started again has applied all that was committed when it came.
    Healthy {
        /// Which.
        node: u64,
        /// How many entries it went through.
        entries: u64,
        /// How long after its start.
        took_us: u64,
        /// When the next fault comes, if the cluster is whole by this.
        next_us: Option<u64>,
    },
    /// A node ended without having been told to.
    Crash {
        /// Which.
        node: u64,
        /// Its process.
        pid: i32,
        /// How it ended.
        cause: String,
        /// How long it had run.
        uptime_us: u64,
        /// The last lines of its log.
        tail: Vec<String>,
        /// When it is started again, if it is.
        restart_us: Option<u64>,
    },
    /// Two nodes have applied the same entries and differ.
    Diverged {
        /// One of them.
        node: u64,
        /// The other.
        other: u64,
        /// The index that both have applied.
        index: u64,
        /// The first one's hash.
        hash: String,
        /// The other's.
        other_hash: String,
    },
    /// Something that a person should know.
    Note {
        /// In words.
        text: String,
    },
    /// The run ends.
    Stop {
        /// Why.
        reason: String,
    },
    /// All nodes have ended.
    Stopped {
        /// How long it took.
        took_us: u64,
        /// Processes that could not be ended.
        leftovers: usize,
    },
}

/// How events are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A line for people.
    Text,
    /// The lines of events.jsonl.
    Json,
    /// Not at all.
    #[value(skip)]
    Silent,
}

/// Where events go: to the file, to the screen, and into the summary.
#[derive(Debug)]
pub struct Journal {
    file: File,
    format: Format,
    output: Output,
    zero: Instant,
    summary: Summary,
    /// Who else is told.
    feed: Option<Feed>,
}

#[derive(Serialize)]
struct Record<'a> {
    mono_ns: u64,
    wall: String,
    src: &'static str,
    #[serde(flatten)]
    event: &'a Event,
}

impl Journal {
    /// Appends to a file.
    pub fn open(path: &Path, format: Format, output: Output) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let summary = Summary::default();
        Ok(Self { file, format, output, zero: Instant::now(), summary, feed: None })
    }

    /// Counts time from here.
    pub fn restart_clock(&mut self) {
        self.zero = Instant::now();
    }

    /// How long the run has lasted.
    pub fn elapsed(&self) -> Duration {
        self.zero.elapsed()
    }

    /// What has happened so far, in numbers.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Whether the reader of the output has gone.
    pub fn is_unread(&self) -> bool {
        self.output.is_broken()
    }

    /// Shows text that is no event, and nothing of it to a reader of JSON.
    pub fn say(&mut self, text: &str) {
        if self.format == Format::Text {
            self.output.line(text);
        }
    }

    /// Shows text whatever is shown otherwise.
    pub fn tell(&mut self, text: &str) {
        self.output.line(text);
    }

    /// From now on events are told there as well.
    pub(crate) fn show_on(&mut self, feed: Feed) {
        self.feed = Some(feed);
    }

    /// Records and shows an event. A full disk does not end the run, it is said once.
    pub fn record(&mut self, event: &Event) {
        self.summary.note(event);
        let wall = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let record = Record { mono_ns: monotonic_ns(), wall, src: "chaos", event };
        let mut line = serde_json::to_string(&record).expect("plain data becomes JSON");
        if self.format == Format::Json {
            self.output.line(&line);
        } else if self.format == Format::Text
            && let Some(text) = text_line(self.zero.elapsed(), event)
        {
            self.output.line(&text);
        }
        if let Some(feed) = &self.feed {
            feed.event(event, &line);
        }
        line.push('\n');
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            tracing::warn!(%error, "could not write events.jsonl");
        }
    }
}

/// A line of the screen: time, kind, what, and an aside.
fn text_line(at: Duration, event: &Event) -> Option<String> {
    let (kind, color, what, aside) = describe(event)?;
    let (style, time) = (Style::new().bold().fg_color(Some(color.into())), at.as_secs_f64());
    let mut line = format!("+{time:>8.2}s  {style}{kind:<8}{style:#} {what:<44} {aside}");
    line.truncate(line.trim_end().len());
    if let Event::Crash { tail, .. } = event {
        for logged in tail {
            line.push_str("\n             | ");
            line.push_str(logged);
        }
    }
    Some(line)
}

fn describe(event: &Event) -> Option<(&'static str, AnsiColor, String, String)> {
    use AnsiColor::{Cyan, Green, Magenta, Red, White};
    let none = String::new;
    Some(match event {
        Event::Kill { node, role, pid, signal, running, nodes } => {
            let what = format!("n{node} {role}   pid {pid} {signal}");
            ("KILL", Magenta, what, format!("quorum {running}/{nodes}"))
        }
        Event::Terminate { node, role, pid } => {
            ("TERM", Magenta, format!("n{node} {role}   pid {pid} SIGTERM"), none())
        }
        Event::Pause { node, role, pid } => {
            ("STOP", Magenta, format!("n{node} {role}   pid {pid} SIGSTOP"), none())
        }
        Event::Resume { node, paused_us } => {
            let aside = format!("stood still {}", Shown(*paused_us));
            ("CONT", Cyan, format!("n{node}"), aside)
        }
        Event::Fault { fault, what, .. } => ("FAULT", Magenta, format!("{fault}  {what}"), none()),
        Event::Over { fault, outcome, evidence, .. } => {
            let color = if *outcome == "installed" { Cyan } else { Red };
            ("OVER", color, format!("{fault}  {outcome}"), evidence.clone())
        }
        Event::Ended { node, pid, cause } => {
            ("ENDED", Magenta, format!("n{node}  pid {pid} ended: {cause}"), none())
        }
        Event::Join { node, pid } => {
            ("JOIN", Cyan, format!("n{node}  pid {pid}   waits to be added"), none())
        }
        Event::Change { before, after, took_us } => {
            let what = format!("{} > {}", names(before), names(after));
            ("CHANGE", Green, what, format!("took {}", Shown(*took_us)))
        }
        Event::Told { node, after_us } => {
            let aside = format!("{} after the change", Shown(*after_us));
            ("TOLD", White, format!("n{node} knows that it was removed"), aside)
        }
        Event::Leader { node, term, after_us: Some(after), cause: Some(cause) } => {
            let what = format!("n{node}  term {term}   seen {} after the {cause}", Shown(*after));
            ("LEADER", Green, what, none())
        }
        Event::Leader { node, term, .. } => {
            ("LEADER", Green, format!("n{node}  term {term}"), none())
        }
        Event::Start { node, pid, down_us } => {
            ("START", Cyan, format!("n{node}  pid {pid}"), format!("down {}", Shown(*down_us)))
        }
        Event::Healthy { node, entries, took_us, next_us } => {
            let took = Shown(*took_us);
            let noun = if *entries == 1 { "entry" } else { "entries" };
            let what = format!("n{node} caught up ({} {noun}, {took})", grouped(*entries));
            let next = next_us.map(|next| format!("next fault in {}", Shown(next)));
            ("HEALTHY", Green, what, next.unwrap_or_default())
        }
        Event::Crash { node, pid, cause, uptime_us, restart_us, .. } => {
            let what = format!("n{node}  pid {pid} ended by itself: {cause}");
            let again = restart_us.map_or_else(
                || "not started again".to_owned(),
                |wait| format!("starts again in {}", Shown(wait)),
            );
            ("CRASH", Red, what, format!("after {}, {again}", Shown(*uptime_us)))
        }
        Event::Diverged { node, other, index, hash, other_hash } => {
            let what = format!("n{node} {hash} and n{other} {other_hash} at index {index}");
            ("DIVERGED", Red, what, none())
        }
        Event::Note { text } => ("NOTE", White, text.clone(), none()),
        other => return describe_order(other),
    })
}

/// Orders. What is left besides is shown in another way, if at all.
fn describe_order(event: &Event) -> Option<(&'static str, AnsiColor, String, String)> {
    match event {
        Event::Order { what } => Some(("ORDER", AnsiColor::White, what.clone(), String::new())),
        Event::Refused { what, why } => {
            Some(("REFUSED", AnsiColor::Red, what.clone(), why.clone()))
        }
        _ => None,
    }
}

fn names(ids: &[u64]) -> String {
    ids.iter().map(|id| format!("n{id}")).collect::<Vec<_>>().join(" ")
}

/// Microseconds as people read them: `61ms`, `1.25s`, `2m05s`.
#[derive(Clone, Copy, Debug)]
pub struct Shown(pub u64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_micros(self.0).as_secs_f64();
        let text = match self.0 {
            0..1_000_000 => format!("{}ms", (self.0 + 500) / 1000),
            1_000_000..120_000_000 => format!("{seconds:.2}s"),
            _ => format!("{}m{:02}s", self.0 / 60_000_000, self.0 / 1_000_000 % 60),
        };
        f.pad(&text)
    }
}

/// Microseconds of a duration, for a record.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place != 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn monotonic() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// The monotonic clock, in microseconds.
pub fn monotonic_us() -> u64 {
    micros(monotonic())
}

fn monotonic_ns() -> u64 {
    u64::try_from(monotonic().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_counts_read_well() {
        let shown = [(400, "0ms"), (61_499, "61ms"), (1_250_000, "1.25s"), (125_000_000, "2m05s")];
        for (micros, text) in shown {
            assert_eq!(Shown(micros).to_string(), text);
        }
        assert_eq!(format!("[{:>6}]", Shown(61_000)), "[  61ms]");
        let numbers = [(0, "0"), (999, "999"), (1204, "1 204"), (2_218_340, "2 218 340")];
        for (number, text) in numbers {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_crash_is_told_with_the_last_lines_of_the_log() {
        let (cause, tail) = ("SIGABRT".to_owned(), vec!["one".to_owned(), "two".to_owned()]);
        let crash = Event::Crash { node: 2, pid: 7, cause, uptime_us: 5, tail, restart_us: None };
        let line = text_line(Duration::from_millis(1500), &crash).unwrap();
        assert!(line.starts_with("+    1.50s"), "{line}");
        assert!(line.contains("n2  pid 7 ended by itself: SIGABRT"), "{line}");
        assert!(line.ends_with("| one\n             | two"), "{line}");
    }
}
