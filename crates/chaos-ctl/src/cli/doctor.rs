//! `chaos-ctl doctor`: whether this machine is fit to run clusters and to break them.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use raft_api::cluster::ClusterConfig;
use serde::Serialize;

use super::status::Form;
use super::which::Which;
use crate::cluster::{check_ports, find_program};
use crate::events::{Shown, micros};
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::lab::faketime;
use crate::output::Output;
use crate::procfs;

/// Say what this machine can do; exit 0 if clusters can run here, 8 if something is in the way
#[derive(Debug, Args)]
pub(super) struct Doctor {
    #[command(flatten)]
    which: Which,
    /// How to show it
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
}

/// What was found about one thing.
#[derive(Debug, Serialize)]
struct Finding {
    about: &'static str,
    verdict: Verdict,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// As it should be.
    Good,
    /// Some things cannot be done, or are not as they seem.
    Less,
    /// In the way of running a cluster.
    Bad,
}

use Verdict::{Bad, Good, Less};

impl Doctor {
    pub(super) fn run(&self) -> Result<Code, Failure> {
        let located = ClusterConfig::locate(self.which.config.as_deref()).ok().flatten();
        let named = self.which.config.is_some() || self.which.offset.port_offset.is_some();
        let config = if named || located.is_some() { Some(self.which.load()?) } else { None };
        let findings = examine(config.as_ref());
        let mut output = Output::stdout();
        if self.output == Form::Json {
            let text = serde_json::to_string_pretty(&findings).map_err(anyhow::Error::from)?;
            output.line(&text);
        } else {
            for finding in &findings {
                let mark = match finding.verdict {
                    Good => "ok",
                    Less => "less",
                    Bad => "BAD",
                };
                output.line(&format!("{mark:<5} {:<12} {}", finding.about, finding.text));
            }
        }
        let bad = findings.iter().any(|finding| finding.verdict == Bad);
        Ok(if bad { Code::Degraded } else { Code::Done })
    }
}

fn examine(config: Option<&ClusterConfig>) -> Vec<Finding> {
    let found = |about, (verdict, text)| Finding { about, verdict, text };
    vec![
        found("programs", programs(config)),
        found("ports", ports(config)),
        found("open files", open_files()),
        found("cores", cores()),
        found("disk", disk(config)),
        found("clocks", tool("libfaketime", faketime(), "the clock faults")),
        found("strace", tool("strace", in_path(&["strace"]), "to look at a node's system calls")),
        found("browser", tool("Chromium", in_path(&BROWSERS), "to test reports in a browser")),
    ]
}

const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

fn programs(config: Option<&ClusterConfig>) -> (Verdict, String) {
    let own = std::env::current_exe().ok();
    let beside =
        |name: &str| Some(own.as_ref()?.with_file_name(name)).filter(|file| file.is_file());
    let find = |name: &str| match config {
        Some(config) => find_program(Path::new(name), config).ok(),
        None => beside(name).or_else(|| in_path(&[name])),
    };
    let missing: Vec<&str> =
        ["raft-server", "raft-client"].into_iter().filter(|name| find(name).is_none()).collect();
    match (missing.as_slice(), find("raft-server")) {
        ([], Some(server)) => (Good, format!("raft-server and raft-client, {}", server.display())),
        (missing, _) => {
            let names = missing.join(" and ");
            (Bad, format!("{names} not found: build with `cargo build --release`"))
        }
    }
}

fn ports(config: Option<&ClusterConfig>) -> (Verdict, String) {
    let Some(config) = config else {
        return (Good, "no cluster.yaml here; `up --nodes N` looks for free ones".to_owned());
    };
    if super::up::runner_of(&Home::of(config)).is_some() {
        return (Good, format!("held by cluster {}, which runs", config.name));
    }
    match check_ports(&config.nodes) {
        Ok(()) => {
            (Good, format!("all {} of cluster {} are free", 3 * config.nodes.len(), config.name))
        }
        Err(failure) => (Bad, format!("{:#}", failure.error)),
    }
}

fn open_files() -> (Verdict, String) {
    const ENOUGH: u64 = 1024;
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    match procfs::file_limit(own) {
        Some((soft, hard)) if soft < ENOUGH => (
            Bad,
            format!("{soft} per process, {ENOUGH} are needed: `ulimit -n {}`", hard.min(65_536)),
        ),
        Some((soft, hard)) => (Good, format!("{soft} per process, up to {hard}")),
        None => (Bad, "this system has no /proc, which chaos-ctl needs".to_owned()),
    }
}

fn cores() -> (Verdict, String) {
    match std::thread::available_parallelism().map(usize::from) {
        Ok(1) => (Less, "1: servers, clients and faults compete, and times are long".to_owned()),
        Ok(count) => (Good, count.to_string()),
        Err(error) => (Less, format!("unknown: {error}")),
    }
}

fn disk(config: Option<&ClusterConfig>) -> (Verdict, String) {
    let dir = config.map(|config| Home::of(config).dir().to_owned());
    let here = std::env::current_dir().unwrap_or_default();
    let dir = dir.unwrap_or_else(|| here.join(".raft"));
    let Some(there) = dir.ancestors().find(|dir| dir.is_dir()) else {
        return (Bad, format!("{} cannot be reached", dir.display()));
    };
    let kind = file_system(there).unwrap_or_else(|| "unknown".to_owned());
    let place = there.display();
    match sync_time(there) {
        Err(error) => (Bad, format!("{place} ({kind}) cannot be written to: {error}")),
        Ok(_) if ["tmpfs", "ramfs"].contains(&kind.as_str()) => (
            Less,
            format!(
                "{place} is {kind}: a memory, so nothing there outlives a power loss, and syncs cost nothing"
            ),
        ),
        Ok(time) => (Good, format!("{place} is {kind}, a sync takes {}", precise(time))),
    }
}

/// Syncs may take less than a millisecond.
fn precise(time: Duration) -> String {
    let us = micros(time);
    if us < 10_000 { format!("{us}us") } else { Shown(us).to_string() }
}

/// The median of some small writes, each synced.
fn sync_time(dir: &Path) -> io::Result<Duration> {
    const WRITES: usize = 21;
    let path = dir.join(format!(".chaos-ctl-doctor-{}", std::process::id()));
    let measured = (|| {
        let mut file = File::create_new(&path)?;
        let mut times = Vec::with_capacity(WRITES);
        for _ in 0..WRITES {
            let begun = Instant::now();
            file.write_all(&[0; 512])?;
            file.sync_data()?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        Ok(times[WRITES / 2])
    })();
    let removed = fs::remove_file(&path);
    measured.and_then(|time| removed.map(|()| time))
}

/// The kind of file system that a directory is on.
fn file_system(dir: &Path) -> Option<String> {
    let dir = fs::canonicalize(dir).ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        // Blanks in names are written as in C.
        let place = PathBuf::from(fields.next()?.replace("\\040", " "));
        let kind = fields.next()?;
        dir.starts_with(&place).then_some((place, kind))
    });
    // Of two at the same place the later one is on top.
    mounts.max_by_key(|(place, _)| place.components().count()).map(|(_, kind)| kind.to_owned())
}

fn tool(name: &str, file: Option<PathBuf>, what_for: &str) -> (Verdict, String) {
    match file {
        Some(file) => (Good, file.display().to_string()),
        None => (Less, format!("{name} is not installed; it serves {what_for}")),
    }
}

fn in_path(names: &[&str]) -> Option<PathBuf> {
    let search = std::env::var_os("PATH")?;
    let dirs: Vec<PathBuf> = std::env::split_paths(&search).collect();
    let files = names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
    let mut found = files.filter(|file| file.is_file());
    found.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_mount_is_the_one() {
        assert_eq!(file_system(Path::new("/proc/self")).as_deref(), Some("proc"));
        assert!(file_system(Path::new("/nowhere")).is_none());
    }

    #[test]
    fn a_sync_is_timed_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        sync_time(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        sync_time(Path::new("/proc")).unwrap_err();
    }
}
