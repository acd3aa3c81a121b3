//! A bit is flipped in a stopped node's files.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::acts::named;
use super::engine::Engine;
use super::record::Outcome;
use crate::NodeId;
use crate::exit::{Code, Failure};
use crate::plan::{Draw, Fault, Membership, MembershipChange, Target};
use crate::watch::View;

/// How long a node may take to find the damage, or to be well in spite of it.
const FOUND_MAX: Duration = Duration::from_secs(20);
/// Longer than any run.
const NEVER: Duration = Duration::from_hours(24 * 365);

impl Engine {
    /// Kills a node, flips a bit of its log, and starts it. It must not serve with it: it is replaced.
    pub(super) async fn flip(
        &mut self,
        record: usize,
        draw: &Draw,
        view: &View,
    ) -> Result<(), Failure> {
        let nodes = self.records[record].nodes.clone();
        let Some(&id) = nodes.first() else { return Ok(()) };
        self.records[record].what = format!("a bit of the log of {} flipped", named(&nodes, view));
        self.announce(record);
        let role = crate::runner::role_in(view, id);
        if self.runner.kill(id, role, NEVER).await?.is_none() {
            return Err(Failure::new(Code::Crashed, format!("{id} had ended by itself")));
        }
        let dir = self.data_dir(id)?;
        match flip_in(&dir, draw.lot) {
            Ok(Some(place)) => {
                let what = format!("{} ({place})", self.records[record].what);
                self.records[record].what = what;
                self.records[record].count("bits flipped", 1);
            }
            Ok(None) => {
                self.runner.hasten(&nodes);
                self.skip(record, super::record::NO_FILE.to_owned());
                return Ok(());
            }
            Err(error) => {
                return Err(Failure::usage(format!(
                    "could not flip a bit in {}: {error}",
                    dir.display()
                )));
            }
        }
        self.runner.excuse(id, Some(Duration::MAX));
        self.runner.hasten(&nodes);
        let ended = |runner: &crate::runner::Runner| {
            !runner.cluster().process(id).is_running() && !runner.is_awaited(id)
        };
        self.pass(Duration::from_millis(50)).await?;
        let found =
            match self.runner.drive_until(FOUND_MAX, |it| ended(it) || it.is_whole()).await? {
                Ok(_) => ended(&self.runner),
                Err(_ending) => return Err(Failure::new(Code::Interrupted, "interrupted")),
            };
        self.runner.excuse(id, None);
        if !found {
            let it = &mut self.records[record];
            it.evidence.clear();
            it.outcome = Outcome::Indeterminate;
            "the node started without finding it".clone_into(&mut it.reason);
            let event = it.over();
            self.runner.journal().record(&event);
            return Ok(());
        }
        self.records[record].count("damage found at the start", 1);
        let change = MembershipChange::Replace;
        let replace = Membership { change, target: Target::Nodes(nodes).into() };
        let fault = Fault::Membership(replace);
        Box::pin(self.begin(record, &Draw { fault, ..draw.clone() }, view)).await
    }

    fn data_dir(&self, id: NodeId) -> Result<PathBuf, Failure> {
        let config = self.runner.cluster().config();
        match config.node(id) {
            Some(node) => Ok(node.data_dir.clone()),
            None => Ok(config.newcomer(id, None).map_err(Failure::usage)?.data_dir),
        }
    }
}

/// Flips a bit in the first half of what the oldest file of the log holds, and says where.
fn flip_in(dir: &Path, lot: u64) -> io::Result<Option<String>> {
    let mut files = Vec::new();
    collect(&dir.join("wal"), &mut files)?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "log"));
    files.sort();
    let Some(file) = files.first() else { return Ok(None) };
    let bytes = fs::read(file)?;
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    // The end of the last batch may be torn by a crash and is cut; earlier damage never is.
    let end = u64::try_from(used / 2).unwrap_or(0);
    let Some(span) = end.checked_sub(HEAD).filter(|span| 0 < *span) else { return Ok(None) };
    let chosen = usize::try_from(HEAD + lot % span).unwrap_or_default();
    // Between frames there are zeros that fill sectors and mean nothing.
    let place =
        bytes.iter().skip(chosen).position(|byte| *byte != 0).map_or(chosen, |n| chosen + n);
    let offset = u64::try_from(place).unwrap_or_default();
    let bit = u8::try_from(lot % 8).unwrap_or(0);
    let flipped = [bytes[place] ^ (1 << bit)];
    let target = OpenOptions::new().write(true).open(file)?;
    target.write_all_at(&flipped, offset)?;
    target.sync_all()?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Some(format!("{name}, byte {offset}, bit {bit}")))
}

/// What a file begins with says what it is.
const HEAD: u64 = 128;

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
