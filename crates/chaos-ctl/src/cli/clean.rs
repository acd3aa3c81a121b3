//! `chaos-ctl clean`: what runs and clusters have left behind, shown before it is removed.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use raft_api::cluster::ClusterConfig;

use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::Output;
use crate::procfs::Birth;

/// List what clusters and runs have left in .raft; with --yes, remove it. What runs is left alone
#[derive(Debug, Args)]
pub(super) struct Clean {
    /// Only these, by their names in the listing
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Where to look
    #[arg(long, value_name = "DIR", default_value = ".raft")]
    dir: PathBuf,
    /// Only what the cluster of this file has left, wherever that is
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with_all = ["dir", "names"])]
    config: Option<PathBuf>,
    /// Remove them
    #[arg(long)]
    yes: bool,
}

/// What a directory is to us.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    /// Nobody uses it.
    Dead,
    /// Somebody does.
    Live(String),
    /// Nothing shows that one of our programs made it.
    Strange,
}

#[derive(Debug)]
struct Found {
    name: String,
    path: PathBuf,
    standing: Standing,
    bytes: u64,
    files: u64,
}

impl Clean {
    pub(super) fn run(mut self) -> Result<Code, Failure> {
        if let Some(file) = self.config.take() {
            let config = ClusterConfig::load(&file).map_err(Failure::usage)?;
            let home = Home::of(&config).dir().to_owned();
            if !home.is_dir() {
                Output::stdout().line(&format!("nothing in {}", home.display()));
                return Ok(Code::Done);
            }
            let name = home.file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.names = vec![name];
            home.parent().unwrap_or(&home).clone_into(&mut self.dir);
        }
        let mut found = self.look()?;
        if let Some(unknown) =
            self.names.iter().find(|name| found.iter().all(|it| it.name != **name))
        {
            let what = format!("there is no {unknown} in {}", self.dir.display());
            return Err(Failure::usage(what).hint("`chaos-ctl clean` lists what there is"));
        }
        found.retain(|it| self.names.is_empty() || self.names.contains(&it.name));
        let mut output = Output::stdout();
        if found.is_empty() {
            output.line(&format!("nothing in {}", self.dir.display()));
            return Ok(Code::Done);
        }
        let mut total = 0;
        for it in &found {
            let what = match &it.standing {
                Standing::Dead => kind(&it.path).to_owned(),
                Standing::Live(who) => format!("left alone: {who}"),
                Standing::Strange => "left alone: none of ours".to_owned(),
            };
            let size = shown(it.bytes);
            output.line(&format!("{size:>9} {:>6} files  {:<24} {what}", it.files, it.name));
            total += if it.standing == Standing::Dead { it.bytes } else { 0 };
        }
        let dead: Vec<&Found> = found.iter().filter(|it| it.standing == Standing::Dead).collect();
        if !self.yes {
            let size = shown(total);
            output.line(&format!("\n{size} in {} could go; --yes removes them", dead.len()));
            return Ok(Code::Done);
        }
        for it in &dead {
            remove(&it.path)?;
        }
        output.line(&format!("\nremoved {}, {}", dead.len(), shown(total)));
        Ok(Code::Done)
    }

    fn look(&self) -> Result<Vec<Found>, Failure> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| {
                Failure::usage(format!("could not look into {}: {error}", self.dir.display()))
            })?,
        };
        // A link is never followed, and so never removed.
        let dirs = entries.flatten().filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir()));
        let found = dirs.map(|entry| {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let (bytes, files) = size(&path);
            Found { name, standing: standing(&path), path, bytes, files }
        });
        let mut found: Vec<Found> = found.collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }
}

/// What our programs leave in a directory of theirs.
const MARKS: [&str; 4] = ["lock", "events.jsonl", "results.json", "state.json"];

fn standing(dir: &Path) -> Standing {
    let home = Home::at(dir);
    if let Some(state) = home.state() {
        let alive = |birth: &Birth| birth.is_alive();
        if alive(&state.runner) {
            return Standing::Live(format!("process {} runs it", state.runner.pid));
        }
        if let Some(node) = state.nodes.iter().find(|node| alive(&node.process)) {
            return Standing::Live(format!("n{} runs, process {}", node.id, node.process.pid));
        }
    }
    let locks = lock_files(dir);
    if locks.iter().any(|file| is_locked(file)) {
        return Standing::Live("a process holds its lock".to_owned());
    }
    let node = |file: &PathBuf| file.file_name().is_some_and(|name| name == "LOCK");
    let marked = MARKS.iter().any(|mark| dir.join(mark).exists()) || locks.iter().any(node);
    if marked { Standing::Dead } else { Standing::Strange }
}

/// The runner's lock, and those of nodes that were started by hand.
fn lock_files(dir: &Path) -> Vec<PathBuf> {
    let nodes = fs::read_dir(dir).into_iter().flatten().flatten();
    let nodes = nodes.map(|entry| entry.path().join("LOCK"));
    nodes.chain([dir.join("lock")]).filter(|file| file.is_file()).collect()
}

fn is_locked(file: &Path) -> bool {
    let Ok(file) = File::open(file) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// In a word, for the listing.
fn kind(dir: &Path) -> &'static str {
    if dir.join("results.json").is_file() || dir.join("scenario.yaml").is_file() {
        "a run"
    } else {
        "a cluster with its data"
    }
}

fn remove(dir: &Path) -> Result<(), Failure> {
    // Nobody may begin to run it meanwhile.
    let _lock = Home::at(dir).lock()?;
    fs::remove_dir_all(dir)
        .map_err(|error| Failure::usage(format!("could not remove {}: {error}", dir.display())))
}

/// Bytes and files below a directory. Links are not followed.
fn size(dir: &Path) -> (u64, u64) {
    let (mut bytes, mut files) = (0, 0);
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(found) = entry.metadata() else { continue };
            if found.is_dir() {
                left.push(entry.path());
            } else {
                (bytes, files) = (bytes + found.len(), files + 1);
            }
        }
    }
    (bytes, files)
}

/// Bytes with one digit after the point.
fn shown(bytes: u64) -> String {
    let mut scaled = bytes;
    let mut tenths = 0;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if scaled < 1024 {
            let point = if unit == "B" { String::new() } else { format!(".{tenths}") };
            return format!("{scaled}{point} {unit}");
        }
        (scaled, tenths) = (scaled / 1024, scaled % 1024 * 10 / 1024);
    }
    format!("{scaled}.{tenths} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        let all = [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 30, "1.0 GiB")];
        for (bytes, text) in all {
            assert_eq!(shown(bytes), text);
        }
        assert_eq!(shown(3 << 40), "3.0 TiB");
    }
}
