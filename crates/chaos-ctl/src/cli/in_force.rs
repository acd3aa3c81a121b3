//! What a runner has written down of its cluster: which processes there are, and what is done to them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::Deserialize;

use super::up::runner_of;
use crate::NodeId;
use crate::home::Home;
use crate::procfs::Stat;

/// What is known of a cluster whose runner lives; of others nothing.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) runner: Option<i32>,
    /// Nodes that have a process, and whether it stands still.
    processes: BTreeMap<u64, (i32, bool)>,
    /// In words, each fault of links or disks that is not over.
    pub(super) in_force: Vec<String>,
}

impl Known {
    pub(super) fn of(home: &Home) -> Self {
        let Some(runner) = runner_of(home) else { return Self::default() };
        let nodes = home.state().map(|state| state.nodes).unwrap_or_default();
        let alive = nodes.into_iter().filter(|node| node.process.is_alive());
        let processes = alive.map(|node| {
            let pid = node.process.pid;
            let stopped = Stat::of(pid).is_some_and(|stat| stat.state == 'T');
            (node.id, (pid, stopped))
        });
        let processes = processes.collect();
        Self { runner: Some(runner.pid), processes, in_force: in_force(&home.events()) }
    }

    /// A node's process, if the runner has one.
    pub(super) fn pid(&self, id: NodeId) -> Option<u64> {
        self.processes.get(&id.0).and_then(|(pid, _)| u64::try_from(*pid).ok())
    }

    /// How a node is that does not answer. `None` if nobody knows better.
    pub(super) fn standing(&self, id: NodeId) -> Option<String> {
        self.runner?;
        let word = match self.processes.get(&id.0) {
            Some((_, true)) => "stands still",
            Some((_, false)) => "no answer",
            None => "down",
        };
        Some(word.to_owned())
    }
}

/// A line of `events.jsonl`, as far as it matters here.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    Begin,
    Fault {
        number: u32,
        fault: String,
        what: String,
    },
    Over {
        number: u32,
    },
    #[serde(other)]
    Other,
}

/// Faults that have begun in the last run and are not over. What cannot be read is left out.
fn in_force(events: &Path) -> Vec<String> {
    let Ok(file) = File::open(events) else { return Vec::new() };
    let mut faults: BTreeMap<u32, String> = BTreeMap::new();
    for line in BufReader::new(file).lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(Line::Begin) => faults.clear(),
            Ok(Line::Fault { number, fault, what }) => {
                faults.insert(number, format!("{fault} {number}  {what}"));
            }
            Ok(Line::Over { number }) => {
                faults.remove(&number);
            }
            Ok(Line::Other) | Err(_) => (),
        }
    }
    faults.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_in_force_until_it_is_over_or_another_run_begins() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("events.jsonl");
        let begin = "{\"kind\":\"begin\",\"cluster\":\"x\"}\n";
        let fault = |number: u32| {
            format!(
                "{{\"kind\":\"fault\",\"number\":{number},\"fault\":\"link\",\"what\":\"1>2 cut\"}}\n"
            )
        };
        let over = "{\"kind\":\"over\",\"number\":1,\"fault\":\"link\"}\n";
        let seen = |text: &str| {
            std::fs::write(&file, text).unwrap();
            in_force(&file)
        };
        let (one, two) = (fault(1), fault(2));
        assert_eq!(seen(&format!("{begin}{one}{two}{over}")), ["link 2  1>2 cut"]);
        assert_eq!(seen(&format!("{begin}{one}{two}{begin}")), [""; 0]);
        assert_eq!(seen(&format!("{begin}{one}{{\"kind\":\"kill\"")), ["link 1  1>2 cut"]);
    }

    #[test]
    fn nobody_knows_of_a_cluster_without_a_runner() {
        let dir = tempfile::tempdir().unwrap();
        let known = Known::of(&Home::at(dir.path()));
        assert_eq!(
            (known.runner, known.standing(NodeId(1)), known.pid(NodeId(1))),
            (None, None, None)
        );
    }
}
