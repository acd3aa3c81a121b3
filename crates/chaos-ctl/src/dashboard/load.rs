//! What the clients of a scenario see, second by second. Each writes a line of progress to its log,
//! which is read here while it grows.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};

use super::feed::Feed;
use crate::events::monotonic_us;

/// How often it is looked whether a client has written something.
const LOOK: Duration = Duration::from_millis(200);
/// More than this is not read at once.
const READ_MAX: u64 = 64 << 10;

/// A client's line of progress, as far as it is shown.
#[derive(Clone, Debug, Default, Deserialize)]
struct Progress {
    elapsed_us: u64,
    ops_per_s: u64,
    failed: u64,
    unknown: u64,
    p50_us: Option<u64>,
    p99_us: Option<u64>,
    max_us: Option<u64>,
    reading_back: bool,
}

/// What all clients saw in a slice of time.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Slice {
    /// Its end.
    mono_us: u64,
    length_us: u64,
    ok: u64,
    failed: u64,
    unknown: u64,
    /// Of the writes to lists; nothing if there were none.
    p50_us: Option<u64>,
    p99_us: Option<u64>,
    max_us: Option<u64>,
}

/// Tells of the load as soon as there is one, until it is dropped.
pub(super) async fn follow(feed: Feed) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut view: Option<View> = None;
    loop {
        ticks.tick().await;
        let Some(view) = &mut view else {
            view = feed.load().map(View::of);
            continue;
        };
        for slice in view.look(monotonic_us()) {
            feed.slice(&slice);
        }
    }
}

/// The logs of both clients, and what they said.
#[derive(Debug)]
struct View {
    registers: Log,
    lists: Log,
    /// What the clients of registers said last.
    other: Progress,
    before: Option<Before>,
}

/// What was told last: how far the clients of lists were, and what both had counted.
#[derive(Clone, Copy, Debug)]
struct Before {
    elapsed_us: u64,
    failed: u64,
    unknown: u64,
    /// When the clients of lists had begun.
    zero_us: u64,
}

impl View {
    fn of([registers, lists]: [PathBuf; 2]) -> Self {
        let (registers, lists) = (Log::of(registers), Log::of(lists));
        Self { registers, lists, other: Progress::default(), before: None }
    }

    /// A slice for each new line of the clients of lists, with what the others said last.
    fn look(&mut self, now_us: u64) -> Vec<Slice> {
        if let Some(last) = self.registers.look().pop() {
            self.other = last;
        }
        let lines = self.lists.look();
        lines.into_iter().filter_map(|line| self.slice(&line, now_us)).collect()
    }

    fn slice(&mut self, line: &Progress, now_us: u64) -> Option<Slice> {
        let other = &self.other;
        if line.reading_back {
            return None;
        }
        let (failed, unknown) = (line.failed + other.failed, line.unknown + other.unknown);
        let elapsed_us = line.elapsed_us;
        let before = self.before.unwrap_or(Before {
            elapsed_us: 0,
            failed: 0,
            unknown: 0,
            zero_us: now_us.saturating_sub(elapsed_us),
        });
        self.before = Some(Before { elapsed_us, failed, unknown, ..before });
        let length_us = elapsed_us.checked_sub(before.elapsed_us).filter(|it| 0 < *it)?;
        let per_s = line.ops_per_s + if other.reading_back { 0 } else { other.ops_per_s };
        Some(Slice {
            mono_us: before.zero_us + elapsed_us,
            length_us,
            ok: per_s.saturating_mul(length_us) / 1_000_000,
            failed: failed.saturating_sub(before.failed),
            unknown: unknown.saturating_sub(before.unknown),
            p50_us: line.p50_us,
            p99_us: line.p99_us,
            max_us: line.max_us,
        })
    }
}

/// A file that grows.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: Option<File>,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
}

impl Log {
    fn of(path: PathBuf) -> Self {
        Self { path, file: None, rest: Vec::new() }
    }

    /// The lines of progress that are new. What else is written there is not shown.
    fn look(&mut self) -> Vec<Progress> {
        if let Err(error) = self.read() {
            tracing::debug!(%error, path = %self.path.display(), "could not be read");
        }
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            if READ_MAX < self.rest.len() as u64 {
                self.rest.clear();
            }
            return Vec::new();
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        whole
            .split(|byte| *byte == b'\n')
            .filter_map(|it| serde_json::from_slice(it).ok())
            .collect()
    }

    fn read(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::open(&self.path)?),
        };
        file.take(READ_MAX).read_to_end(&mut self.rest)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn line(elapsed_s: u64, per_s: u64, failed: u64) -> String {
        format!(
            "{{\"level\":\"progress\",\"elapsed_us\":{},\"ok\":1,\"ops_per_s\":{per_s},\"failed\":{failed},\
             \"unknown\":0,\"p50_us\":700,\"p99_us\":null,\"max_us\":9000,\"reading_back\":false}}\n",
            elapsed_s * 1_000_000
        )
    }

    #[test]
    fn what_both_clients_write_becomes_slices() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["registers.log", "lists.log"].map(|name| dir.path().join(name));
        let mut view = View::of(paths.clone());
        assert_eq!(view.look(0), [], "there are no files yet");
        let [mut registers, mut lists] = paths.map(|path| File::create(path).unwrap());
        registers.write_all(line(2, 300, 1).as_bytes()).unwrap();
        let warning = b"{\"level\":\"warning\",\"message\":\"m\"}\n";
        lists.write_all(warning).unwrap();
        lists.write_all(line(2, 500, 0).as_bytes()).unwrap();
        let first = Slice {
            mono_us: 9_000_000,
            length_us: 2_000_000,
            ok: 1600,
            failed: 1,
            unknown: 0,
            p50_us: Some(700),
            p99_us: None,
            max_us: Some(9000),
        };
        assert_eq!(view.look(9_000_000), [first]);
        // Half of a line is none; nothing is told twice; the clients' own clock counts.
        let next = line(3, 100, 2);
        let (begin, end) = next.split_at(40);
        lists.write_all(begin.as_bytes()).unwrap();
        assert_eq!(view.look(9_900_000), []);
        lists.write_all(end.as_bytes()).unwrap();
        let told = view.look(10_123_456);
        assert_eq!((told.len(), told[0].mono_us, told[0].length_us), (1, 10_000_000, 1_000_000));
        assert_eq!((told[0].ok, told[0].failed), (400, 2));
        lists.write_all(line(4, 1, 2).replace("false", "true").as_bytes()).unwrap();
        assert_eq!(view.look(11_000_000), [], "what is read back is no load");
    }
}
