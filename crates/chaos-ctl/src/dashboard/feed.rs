//! What a run tells those who look at it. Whoever is slow misses it; the run waits for nobody.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Serialize;
use tokio::sync::broadcast;

use crate::control::{Answer, Order, ask};
use crate::events::{Event, monotonic_us};
use crate::exit::Failure;
use crate::home::Home;
use crate::runner::Runner;

/// Lines that a reader may be late by.
const BEHIND_MAX: usize = 2048;
/// Events that somebody who comes later still reads.
const RECENT_MAX: usize = 256;
/// States and slices of the load that somebody who comes later still reads: of two minutes or so.
const PICTURE_MAX: usize = 1200;
/// For which the states need not be kept more often than this.
const PICTURE_EVERY_US: u64 = 800_000;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A cluster that serves.
    Cluster,
    /// A scenario, which ends with a verdict.
    Scenario,
}

/// A line of JSON, and its place among all lines.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) text: Arc<str>,
}

/// The way from a run to those who look at it, and back.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    kind: Kind,
    /// Where the runner takes orders, and its cluster's name.
    runner: Arc<OnceLock<(Home, String)>>,
    told: Arc<Mutex<Told>>,
}

#[derive(Debug)]
struct Told {
    /// Nobody once the run is over.
    readers: Option<broadcast::Sender<Line>>,
    lines: u64,
    recent: VecDeque<Line>,
    picture: VecDeque<Line>,
    /// When states were kept last.
    kept_us: u64,
    nodes: BTreeMap<u64, &'static str>,
    /// What the clients write, if there are any.
    load: Option<[PathBuf; 2]>,
}

impl Told {
    fn tell(&mut self, text: Arc<str>) -> Line {
        self.lines += 1;
        let line = Line { number: self.lines, text };
        if let Some(readers) = &self.readers
            && readers.send(line.clone()).is_err()
        {
            tracing::trace!("nobody looks");
        }
        line
    }

    fn tell_event(&mut self, text: &str) {
        let line = self.tell(text.trim_end().into());
        keep(&mut self.recent, line, RECENT_MAX);
    }
}

fn keep(lines: &mut VecDeque<Line>, line: Line, most: usize) {
    if lines.len() == most {
        lines.pop_front();
    }
    lines.push_back(line);
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Word<'a> {
    Verdict { mono_ns: u64, verdict: &'a str, why: &'a str },
}

fn line_of(it: &impl Serialize) -> String {
    serde_json::to_string(it).expect("plain data becomes JSON")
}

impl Feed {
    pub(super) fn new(kind: Kind) -> Self {
        let (readers, nobody) = broadcast::channel(BEHIND_MAX);
        drop(nobody);
        let told = Told {
            readers: Some(readers),
            lines: 0,
            recent: VecDeque::with_capacity(RECENT_MAX),
            picture: VecDeque::with_capacity(PICTURE_MAX),
            kept_us: 0,
            nodes: BTreeMap::new(),
            load: None,
        };
        Self { kind, runner: Arc::new(OnceLock::new()), told: Arc::new(Mutex::new(told)) }
    }

    /// A run begins: it tells what happens, and orders go to it.
    pub(crate) fn attach(&self, runner: &mut Runner) {
        let home = Home::at(runner.cluster().home().dir());
        let name = runner.cluster().config().name.clone();
        let first = self.runner.set((home, name)).is_ok();
        debug_assert!(first, "one run tells one feed");
        runner.show_on(self.clone());
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event, and its line of events.jsonl.
    pub(crate) fn event(&self, event: &Event, line: &str) {
        // What is said of a scenario last is its verdict.
        if self.kind == Kind::Cluster || !matches!(event, Event::Stopped { .. }) {
            self.told().tell_event(line);
        }
    }

    /// How all nodes are: each one's number and state, and its line of states.jsonl.
    pub(crate) fn states(&self, lines: impl Iterator<Item = (u64, &'static str, String)>) {
        let lines: Vec<_> = lines.collect();
        let nodes: BTreeMap<_, _> = lines.iter().map(|(node, state, _)| (*node, *state)).collect();
        let now_us = monotonic_us();
        let mut told = self.told();
        let keeps = nodes != told.nodes || told.kept_us + PICTURE_EVERY_US < now_us;
        if keeps {
            told.kept_us = now_us;
        }
        told.nodes = nodes;
        for (_, _, line) in lines {
            let line = told.tell(line.into());
            if keeps {
                keep(&mut told.picture, line, PICTURE_MAX);
            }
        }
    }

    /// The clients begin: they write how they are going to these files.
    pub(crate) fn load_begins(&self, logs: [PathBuf; 2]) {
        self.told().load = Some(logs);
    }

    pub(super) fn load(&self) -> Option<[PathBuf; 2]> {
        self.told().load.clone()
    }

    /// What the clients saw for a while.
    pub(super) fn slice(&self, slice: &impl Serialize) {
        let mut told = self.told();
        let line = told.tell(line_of(slice).into());
        keep(&mut told.picture, line, PICTURE_MAX);
    }

    /// What a scenario came to.
    pub(crate) fn verdict(&self, verdict: &str, why: &str) {
        let mono_ns = monotonic_us() * 1000;
        self.told().tell_event(&line_of(&Word::Verdict { mono_ns, verdict, why }));
    }

    /// Nothing more will be told.
    pub(super) fn close(&self) {
        self.told().readers = None;
    }

    /// What is told from now on, and the latest of what was told after this line; nothing more if the
    /// run is over.
    pub(super) fn read(&self, after: u64) -> (Vec<Line>, Option<broadcast::Receiver<Line>>) {
        let told = self.told();
        let kept = told.recent.iter().chain(&told.picture);
        let mut missed: Vec<Line> = kept.filter(|line| after < line.number).cloned().collect();
        missed.sort_by_key(|line| line.number);
        (missed, told.readers.as_ref().map(broadcast::Sender::subscribe))
    }

    pub(crate) fn is_of_scenario(&self) -> bool {
        self.kind == Kind::Scenario
    }

    /// The nodes as they were last seen.
    pub(super) fn nodes(&self) -> BTreeMap<u64, &'static str> {
        self.told().nodes.clone()
    }

    /// Asks the runner to do something.
    pub(super) async fn ask(&self, order: &Order) -> Result<Vec<String>, Failure> {
        match self.runner.get() {
            Some((home, name)) => ask(home, name, order).await.and_then(Answer::lines),
            None => Err(Failure::usage("the cluster has not been started yet")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_waits_for_no_reader_and_keeps_no_more_than_it_may() {
        let feed = Feed::new(Kind::Cluster);
        let (missed, reader) = feed.read(0);
        assert!(missed.is_empty());
        let mut reader = reader.unwrap();
        let event = Event::Note { text: String::new() };
        for number in 0..3 * BEHIND_MAX {
            feed.event(&event, &number.to_string());
        }
        assert!(matches!(reader.try_recv(), Err(broadcast::error::TryRecvError::Lagged(_))));
        let (missed, _reader) = feed.read(0);
        assert_eq!(missed.len(), RECENT_MAX);
        let last = missed.last().unwrap();
        assert_eq!(*last.text, *(3 * BEHIND_MAX - 1).to_string());
        assert!(feed.read(last.number).0.is_empty(), "who comes again misses nothing twice");
        feed.close();
        assert!(feed.read(0).1.is_none());
    }

    #[test]
    fn of_a_scenario_the_verdict_is_the_last_word() {
        let feed = Feed::new(Kind::Scenario);
        feed.event(&Event::Stopped { took_us: 1, leftovers: 0 }, "stopped");
        feed.verdict("PASS", "all is \"well\"");
        let (told, _reader) = feed.read(0);
        assert_eq!(told.len(), 1);
        let verdict: serde_json::Value = serde_json::from_str(&told[0].text).unwrap();
        assert_eq!((&verdict["kind"], &verdict["verdict"]), (&"verdict".into(), &"PASS".into()));
        assert_eq!(verdict["why"], "all is \"well\"");
    }
    #[test]
    fn who_comes_later_sees_the_picture_so_far() {
        let feed = Feed::new(Kind::Scenario);
        let states =
            |state| feed.states([(1, state, format!("{{\"state\":\"{state}\"}}"))].into_iter());
        states("up");
        for _ in 0..10 {
            states("up");
        }
        states("down");
        feed.slice(&5);
        let (missed, _reader) = feed.read(0);
        let texts: Vec<&str> = missed.iter().map(|line| &*line.text).collect();
        assert_eq!(texts, ["{\"state\":\"up\"}", "{\"state\":\"down\"}", "5"]);
        assert_eq!(feed.nodes(), BTreeMap::from([(1, "down")]));
        for number in 0..2 * PICTURE_MAX {
            feed.slice(&number);
        }
        assert_eq!(feed.read(0).0.len(), PICTURE_MAX);
    }
}
