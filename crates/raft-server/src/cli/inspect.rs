//! `raft-server inspect`: what a data directory holds.

mod entries;
mod json;
mod text;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use raft_core::{Incarnation, NodeId};
use raft_replica::disk::DirUser;
use raft_replica::{Disk, ReadOnlyDisk, StorageError, Survey, survey};

use super::Failure;
use crate::machine::Services;

/// Show what a data directory holds, and whether a node could start from it. Changes nothing.
///
/// The directory may be read-only, or in use: then what is shown may be torn, and what looks wrong may
/// only be in the middle of a change.
///
/// Exit code: 0 it is whole, 1 something is wrong with it, 2 there is nothing, or it cannot be looked into.
#[derive(Debug, clap::Args)]
pub(super) struct Inspect {
    /// The directory of one node
    data_dir: PathBuf,

    /// How to show it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,

    /// Show the log instead, entry by entry: one JSON object per line, the first of which says whose
    /// log it is and how far it can be believed
    #[arg(long, visible_alias = "log")]
    entries: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One object, for programs
    Json,
}

/// What there is to be shown.
struct Report {
    data_dir: PathBuf,
    /// The process that uses it, if one does.
    user: Option<DirUser>,
    survey: Survey,
}

/// A running node goes on while it is looked at. What is wrong so many times is really so.
const LOOKS: usize = 3;

impl Inspect {
    pub(super) fn run(self, services: Services) -> Result<ExitCode, Failure> {
        let report = look(&self.data_dir).map_err(|error| Failure {
            error: error.to_string(),
            hint: error.hint().map(str::to_owned),
        })?;
        if holds_nothing(&report.survey) {
            let dir = self.data_dir.display();
            let none = format!("{dir} holds no data: no node has ever run there");
            let problem = report.survey.problems.first();
            return Err(Failure {
                error: problem.map_or(none, ToString::to_string),
                hint: Some("`storage` in the cluster file says where a node's data is".to_owned()),
            });
        }
        let shown = match self.output {
            Format::Text | Format::Json if self.entries => entries::show(&report, services),
            Format::Text => text::show(&report),
            Format::Json => format!("{:#}\n", json::show(&report)),
        };
        // With stdout gone there is nobody left to tell; the exit code tells it as well.
        drop(io::stdout().write_all(shown.as_bytes()));
        let whole = report.survey.problems.is_empty() && report.survey.flaws.is_empty();
        Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn look(data_dir: &Path) -> Result<Report, StorageError> {
    let disk: Arc<dyn Disk> = Arc::new(ReadOnlyDisk);
    let mut looks = 0;
    loop {
        let user = ReadOnlyDisk::user(data_dir)?;
        let survey = survey(&disk, data_dir);
        looks += 1;
        let whole = survey.as_ref().is_ok_and(|survey| survey.problems.is_empty());
        if whole || user.is_none() || LOOKS <= looks {
            return survey.map(|survey| Report { data_dir: data_dir.to_owned(), user, survey });
        }
    }
}

/// Whether there is nothing that a node has left: what is shown of it would be made up.
fn holds_nothing(survey: &Survey) -> bool {
    let Survey { identity, log, snapshots, .. } = survey;
    identity.is_none() && log.segments.is_empty() && log.unread.is_empty() && snapshots.is_empty()
}

/// The incarnation of each peer, as it is known now: in an earlier stay it may have had another.
fn known(survey: &Survey) -> BTreeMap<NodeId, Incarnation> {
    // Earlier stays come first.
    let peers = survey.log.hard_state.peers.iter();
    peers.map(|(seat, incarnation)| (seat.node, *incarnation)).collect()
}
