//! The line that shows how a run is going.

use std::convert::Infallible;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use raft_client::bench::Progress;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Shorter runs show nothing.
const QUIET: Duration = Duration::from_secs(2);

/// How often a terminal's line is renewed, and how often a new line is written elsewhere.
const ON_A_TERMINAL: Duration = Duration::from_millis(250);
const ELSEWHERE: Duration = Duration::from_secs(1);

/// Takes the line away again when it goes.
struct Line {
    terminal: bool,
    shown: bool,
}

/// Shows the progress on standard error until it is dropped.
pub(crate) async fn show(watch: impl Fn() -> Progress, requests: Option<u64>) -> Infallible {
    let mut line = Line { terminal: io::stderr().is_terminal(), shown: false };
    let every = if line.terminal { ON_A_TERMINAL } else { ELSEWHERE };
    let mut ticks = interval_at(Instant::now() + QUIET, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut before = Progress::default();
    loop {
        ticks.tick().await;
        let now = watch();
        line.show(&describe(&now, &before, requests));
        before = now;
    }
}

fn describe(now: &Progress, before: &Progress, requests: Option<u64>) -> String {
    let millis = now.elapsed.saturating_sub(before.elapsed).as_millis().max(1);
    let rate = u128::from(now.ok - before.ok) * 1000 / millis;
    let leader =
        now.leader.map_or_else(String::new, |(node, term)| format!(" leader=n{node} term={term}"));
    let of = requests.map_or_else(String::new, |requests| format!("/{requests}"));
    let silence = if Duration::from_millis(100) <= now.silence {
        format!("  nothing acknowledged for {:.1} s", now.silence.as_secs_f64())
    } else {
        String::new()
    };
    format!(
        "t={:.0} ok={}{of} {rate}/s failed={} unknown={} retries={}{leader}{silence}",
        now.elapsed.as_secs_f64(),
        now.ok,
        now.failed,
        now.unknown,
        now.retries,
    )
}

impl Line {
    /// Nobody to see it is no reason to stop.
    fn show(&mut self, text: &str) {
        self.shown = true;
        let mut stderr = io::stderr().lock();
        if self.terminal {
            drop(write!(stderr, "\r{text}\x1b[K").and_then(|()| stderr.flush()));
        } else {
            drop(writeln!(stderr, "{text}"));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.terminal && self.shown {
            drop(write!(io::stderr(), "\r\x1b[K"));
        }
    }
}
