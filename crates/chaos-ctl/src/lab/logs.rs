//! The logs of the stopped nodes, read offline by `raft-server inspect --entries`: they must agree,
//! and hold at its index what a client was told stands there.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lin_check::{History, Input, Outcome, Output};
use raft_api::cluster::ClusterConfig;
use serde::{Deserialize, Serialize};

use crate::NodeId;
use crate::events::grouped;

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    /// Nodes whose log was read, with the first and the last index of each.
    pub(crate) nodes: BTreeMap<NodeId, (u64, u64)>,
    /// Entries that were found in the logs of two nodes or more, the same in all.
    pub(crate) agree: u64,
    /// Writes whose answer named an index that a log still holds, and that stand there.
    pub(crate) found: u64,
    /// What is wrong, the first of it.
    pub(crate) wrong: Option<String>,
    /// What could not be read.
    pub(crate) unread: Option<String>,
}

/// What a run keeps of them in its results, so that they can be read again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Whose they are.
    nodes: Vec<u64>,
    /// Up to which index they were read.
    until: u64,
    agree: u64,
    found: u64,
}

impl Kept {
    pub(crate) fn of(logs: &Logs, until: u64) -> Self {
        let nodes = logs.nodes.keys().map(|id| id.0).collect();
        Self { nodes, until, agree: logs.agree, found: logs.found }
    }

    /// Reads them again, in a run's directory. Less than then is not enough.
    pub(crate) fn read_again(&self, dir: &Path) -> Logs {
        match self.try_again(dir) {
            Ok(logs) => logs,
            Err(why) => Logs { unread: Some(why), ..Logs::default() },
        }
    }

    fn try_again(&self, dir: &Path) -> Result<Logs, String> {
        let config = ClusterConfig::load(&dir.join("cluster.yaml")).map_err(|it| it.to_string())?;
        let history = History::load(dir.join("history.jsonl")).map_err(|it| it.to_string())?;
        let program =
            installed().ok_or("there is no raft-server beside this program to read them")?;
        let dir_of = |id: NodeId| match config.node(id) {
            Some(node) => Ok((id, node.data_dir.clone())),
            None => config.newcomer(id, None).map(|node| (id, node.data_dir)),
        };
        let dirs: Result<Vec<_>, _> = self.nodes.iter().map(|id| dir_of(NodeId(*id))).collect();
        let dirs = dirs.map_err(|error| error.to_string())?;
        let (mut logs, placed) = read(&program, &dirs, self.until);
        placed.look_up(&history, &mut logs);
        if (logs.agree < self.agree || logs.found < self.found) && logs.unread.is_none() {
            let [agree, found, before, found_before] =
                [logs.agree, logs.found, self.agree, self.found].map(grouped);
            logs.unread = Some(format!(
                "{agree} entries the same, {found} writes found there; it was {before} and {found_before} then"
            ));
        }
        Ok(logs)
    }
}

/// The server that came with this program. A run's files name no program to be run: they may be anybody's.
fn installed() -> Option<PathBuf> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let search = std::env::var_os("PATH").unwrap_or_default();
    let mut places = beside.into_iter().chain(std::env::split_paths(&search));
    places.find_map(|place| Some(place.join("raft-server")).filter(|file| file.is_file()))
}

/// An entry, as far as it matters here.
#[derive(Clone, Debug, Deserialize)]
struct Entry {
    index: u64,
    term: u64,
    hash: String,
    #[serde(default)]
    key: Option<String>,
}

/// An entry as the first log that holds it has it.
#[derive(Clone, Debug)]
struct Held {
    term: u64,
    hash: String,
    key: Option<String>,
    by: NodeId,
    copies: u64,
}

/// Reads the logs of stopped nodes, up to an index that all of them had applied.
pub(crate) fn read(program: &Path, dirs: &[(NodeId, PathBuf)], until: u64) -> (Logs, Placed) {
    let (mut logs, mut placed) = (Logs::default(), BTreeMap::new());
    for (id, dir) in dirs {
        if let Err(error) = read_one(program, (*id, dir), until, (&mut logs, &mut placed)) {
            logs.unread.get_or_insert(format!("{id}: {error}"));
        }
    }
    logs.agree = placed.values().map(|held| u64::from(1 < held.copies)).sum();
    (logs, Placed(placed))
}

/// What stands where.
#[derive(Debug, Default)]
pub(crate) struct Placed(BTreeMap<u64, Held>);

fn read_one(
    program: &Path,
    (id, dir): (NodeId, &Path),
    until: u64,
    (logs, placed): (&mut Logs, &mut BTreeMap<u64, Held>),
) -> Result<(), String> {
    let mut child = Command::new(program)
        .arg("inspect")
        .arg(dir)
        .args(["--entries", "-o", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("could not start {}: {error}", program.display()))?;
    let stdout = child.stdout.take().ok_or("it has no output")?;
    let mut bounds: Option<(u64, u64)> = None;
    // The first line is about the log as a whole.
    for line in BufReader::new(stdout).lines().skip(1) {
        let line = line.map_err(|error| error.to_string())?;
        let entry: Entry = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        if until < entry.index {
            continue;
        }
        let first = bounds.map_or(entry.index, |(first, _)| first);
        bounds = Some((first, entry.index));
        note(id, entry, logs, placed);
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if !status.success() {
        return Err(format!("inspect ended with {status}"));
    }
    logs.nodes.insert(id, bounds.unwrap_or((0, 0)));
    Ok(())
}

fn note(id: NodeId, entry: Entry, logs: &mut Logs, placed: &mut BTreeMap<u64, Held>) {
    let Entry { index, term, hash, key } = entry;
    let held = placed.entry(index).or_insert_with(|| {
        let (by, copies) = (id, 0);
        Held { term, hash: hash.clone(), key, by, copies }
    });
    held.copies += 1;
    if (held.term, &held.hash) != (term, &hash) {
        let other = held.by;
        let what = format!("{other} and {id} hold different entries at index {index}");
        logs.wrong.get_or_insert(what);
    }
}

impl Placed {
    /// Looks up every answered write of a history at the index that its answer named.
    pub(crate) fn look_up(&self, history: &History, logs: &mut Logs) {
        let (Some(first), Some(last)) = (self.0.keys().next(), self.0.keys().next_back()) else {
            return;
        };
        for operation in history.operations() {
            let wrote = match (&operation.input, &operation.outcome) {
                (Input::Put { .. } | Input::Delete, Outcome::Ok(_)) => true,
                (Input::Cas { .. }, Outcome::Ok(output)) => *output == Output::Swapped,
                _ => false,
            };
            let Some(index) = operation.index.filter(|it| wrote && first <= it && it <= last)
            else {
                continue;
            };
            let key = self.0.get(&index).and_then(|held| held.key.as_deref());
            if key == Some(operation.key.as_str()) {
                logs.found += 1;
            } else {
                let found = key.unwrap_or("nothing");
                logs.wrong.get_or_insert(format!(
                    "the write of {} was acknowledged at index {index}, where there is {found}",
                    operation.key
                ));
            }
        }
    }
}
