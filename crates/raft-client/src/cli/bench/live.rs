//! How a run is going, while it goes: a few lines that are renewed on a terminal, a line for each
//! interval elsewhere.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use raft_client::bench::{Progress, sparkline};
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::super::Format;
use super::screen::Screen;

/// Shorter runs show nothing.
const QUIET: Duration = Duration::from_secs(2);

/// How often a terminal is renewed, and how often a new line is written elsewhere.
const ON_A_TERMINAL: Duration = Duration::from_millis(250);
const ELSEWHERE: Duration = Duration::from_secs(1);

/// Columns of the bar that shows how much is done.
const BAR: usize = 26;

/// Slots of a tenth of a second in one bar of the sparkline, and bars in it.
const SLOTS: usize = 5;
const BARS: usize = 50;

/// What the run is to reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    pub(super) requests: Option<u64>,
    pub(super) duration: Option<Duration>,
}

/// What is on the screen. Takes it away again when it goes.
struct Region {
    terminal: bool,
    /// Lines that are shown now.
    lines: usize,
}

/// Shows the progress on standard error until it is dropped; on the whole screen if that is there.
pub(super) async fn show(
    watch: impl Fn() -> Progress,
    goal: Goal,
    screen: Option<Screen>,
    format: Format,
) -> Infallible {
    if let Some(screen) = screen {
        return screen.show(watch, goal).await;
    }
    let mut region = Region { terminal: io::stderr().is_terminal(), lines: 0 };
    let every = if region.terminal { ON_A_TERMINAL } else { ELSEWHERE };
    let mut ticks = interval_at(Instant::now() + QUIET, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut before = Progress::default();
    loop {
        ticks.tick().await;
        let now = watch();
        let text = match format {
            _ if region.terminal => picture(&now, &before, goal),
            Format::Json => object(&now, &before),
            _ => line(&now, &before),
        };
        region.show(&text);
        before = now;
    }
}

pub(super) fn rate(now: &Progress, before: &Progress) -> u128 {
    let millis = now.elapsed.saturating_sub(before.elapsed).as_millis().max(1);
    u128::from(now.ok - before.ok) * 1000 / millis
}

/// One line, for a file or a pipe.
fn line(now: &Progress, before: &Progress) -> String {
    let mut line = format!(
        "t={:.0} ok={} {}/s failed={} unknown={} retries={} inflight={}",
        now.elapsed.as_secs_f64(),
        now.ok,
        rate(now, before),
        now.failed,
        now.unknown,
        now.retries,
        now.in_flight,
    );
    if 0 < now.dropped {
        push(&mut line, format_args!(" dropped={}", now.dropped));
    }
    if let Some([p50, p99, max]) = now.recent {
        let [p50, p99, max] = [p50, p99, max].map(millis);
        push(&mut line, format_args!(" p50={p50} p99={p99} max={max}"));
    }
    if let Some((node, term)) = now.leader {
        push(&mut line, format_args!(" leader=n{node} term={term}"));
    }
    line.push_str(&silence(now));
    line
}

/// The same for programs.
fn object(now: &Progress, before: &Progress) -> String {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let [p50, p99, max] = match now.recent {
        Some(recent) => recent.map(|nanos| Some(nanos / 1000)),
        None => [None; 3],
    };
    json!({
        "level": "progress",
        "elapsed_us": micros(now.elapsed),
        "ok": now.ok,
        "ops_per_s": u64::try_from(rate(now, before)).unwrap_or(u64::MAX),
        "failed": now.failed,
        "unknown": now.unknown,
        "retries": now.retries,
        "dropped": now.dropped,
        "in_flight": now.in_flight,
        "p50_us": p50,
        "p99_us": p99,
        "max_us": max,
        "leader": now.leader.map(|(node, _)| node),
        "term": now.leader.map(|(_, term)| term),
        "silence_us": micros(now.silence),
        "reading_back": now.reading_back,
    })
    .to_string()
}

/// Four lines, for a terminal.
fn picture(now: &Progress, before: &Progress, goal: Goal) -> String {
    let mut text = format!(
        " {:5.1}s [{}] {} ok  {} failed  {} unknown  {} op/s",
        now.elapsed.as_secs_f64(),
        bar(part(now, goal)),
        now.ok,
        now.failed,
        now.unknown,
        rate(now, before),
    );
    let recent = now.recent.map_or_else(String::new, |recent| {
        let [p50, p99, max] = recent.map(millis);
        format!(" p50 {p50}  p99 {p99}  max {max} ms")
    });
    let leader =
        now.leader.map_or_else(String::new, |(node, term)| format!("  leader n{node} t{term}"));
    push(&mut text, format_args!("\n{recent}{leader}  in flight {}", now.in_flight));
    if 0 < now.dropped {
        push(&mut text, format_args!("  dropped {}", now.dropped));
    }
    let cells: Vec<u64> = now
        .slots
        .chunks_exact(SLOTS)
        .map(|cell| cell.iter().map(|count| u64::from(*count)).sum())
        .collect();
    let shown = &cells[cells.len().saturating_sub(BARS)..];
    push(&mut text, format_args!("\n op/s {}", sparkline(shown)));
    push(&mut text, format_args!("\n{}", silence(now)));
    text
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("a string takes all");
}

/// What is said when all is done.
const READING_BACK: &str = "  reading back what was written";

pub(super) fn silence(now: &Progress) -> String {
    if now.reading_back {
        return READING_BACK.to_owned();
    }
    if Duration::from_millis(100) <= now.silence {
        format!("  nothing acknowledged for {:.1} s", now.silence.as_secs_f64())
    } else {
        String::new()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
pub(super) fn millis(nanos: u64) -> String {
    let millis = nanos as f64 / 1e6;
    if millis < 10.0 { format!("{millis:.2}") } else { format!("{millis:.0}") }
}

/// How much of the goal is reached, from 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "it is drawn in 26 columns")]
pub(super) fn part(now: &Progress, goal: Goal) -> f64 {
    let ended = (now.ok + now.failed + now.unknown) as f64;
    let by_count = goal.requests.map_or(0.0, |requests| ended / requests.max(1) as f64);
    let by_time = goal.duration.map_or(0.0, |all| now.elapsed.as_secs_f64() / all.as_secs_f64());
    by_count.max(by_time).clamp(0.0, 1.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "between 0 and 26"
)]
fn bar(part: f64) -> String {
    let full = (part * BAR as f64) as usize;
    "#".repeat(full) + &"-".repeat(BAR - full)
}

impl Region {
    /// Nobody to see it is no reason to stop.
    fn show(&mut self, text: &str) {
        let mut stderr = io::stderr().lock();
        if !self.terminal {
            drop(writeln!(stderr, "{text}"));
            return;
        }
        let mut drawn = back(self.lines);
        for line in text.lines() {
            push(&mut drawn, format_args!("{line}\x1b[K\n"));
        }
        self.lines = text.lines().count();
        drop(stderr.write_all(drawn.as_bytes()).and_then(|()| stderr.flush()));
    }
}

/// Goes back to the first of so many lines.
fn back(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\r") }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.terminal && 0 < self.lines {
            drop(write!(io::stderr(), "{}\x1b[J", back(self.lines)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress() -> Progress {
        Progress {
            elapsed: Duration::from_millis(38_400),
            ok: 237_110,
            retries: 61,
            in_flight: 10,
            leader: Some((3, 2)),
            recent: Some([1_700_000, 3_200_000, 48_400_000]),
            slots: vec![300; 10],
            ..Progress::default()
        }
    }

    /// Up to the first line, and to its first column.
    #[test]
    fn a_picture_is_drawn_over_the_last_one() {
        assert_eq!((back(0), back(4)), (String::new(), "\x1b[4A\r".to_owned()));
    }

    #[test]
    fn a_line_for_a_pipe_and_a_picture_for_a_terminal() {
        let before =
            Progress { elapsed: Duration::from_millis(37_400), ok: 230_909, ..Progress::default() };
        let now = progress();
        assert_eq!(
            line(&now, &before),
            "t=38 ok=237110 6201/s failed=0 unknown=0 retries=61 inflight=10 \
             p50=1.70 p99=3.20 max=48 leader=n3 term=2"
        );
        let json: serde_json::Value = serde_json::from_str(&object(&now, &before)).unwrap();
        assert_eq!((&json["level"], &json["ok"]), (&json!("progress"), &json!(237_110)));
        assert_eq!((&json["ops_per_s"], &json["p99_us"]), (&json!(6201), &json!(3200)));
        let goal = Goal { requests: None, duration: Some(Duration::from_mins(1)) };
        let picture = picture(&now, &before, goal);
        let lines: Vec<&str> = picture.lines().collect();
        assert_eq!(
            lines,
            [
                "  38.4s [################----------] 237110 ok  0 failed  0 unknown  6201 op/s",
                " p50 1.70  p99 3.20  max 48 ms  leader n3 t2  in flight 10",
                " op/s ██",
            ]
        );
    }
}
