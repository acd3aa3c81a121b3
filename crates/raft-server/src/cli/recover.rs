//! `raft-server recover`: a new cluster from what a survivor has.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::{RescueError, Rescued};
use raft_api::cluster::ClusterConfig;
use raft_replica::{Disk, ReadOnlyDisk, StateMachine, StorageError, Survey, survey};

use super::Failure;

const AFTER_HELP: &str = "\
When a majority of a cluster is gone for good, the rest can never agree on anything again. This \
takes what one survivor has and makes it the only member of a new cluster, which others then join.

Step by step:
  1. Look at every survivor. Take the one whose last log entry has the greatest
     term, and of these the greatest index:
       raft-server inspect DATA_DIR
  2. Write a file for the new cluster: another name, and this node only:
       cluster: {name: demo-2}
       nodes:
         - {id: 1, addr: 127.0.0.1:7001}
  3. Make it the new cluster, and start it:
       raft-server recover DATA_DIR --config new.yaml --accept-data-loss
       raft-server --id 1 --config new.yaml
  4. Let the others join it, each with an empty directory:
       raft-server --id 2 --config new.yaml --join --addr 127.0.0.1:7002
       raft-client set-config --config new.yaml --add 2=127.0.0.1:7002

What may be lost: whatever the others had committed and this node had not received. What may be \
there although its client was told that it failed, or nothing: entries this node had received and \
the others had not. Nobody can tell which; the old cluster's certainty ends here.";

/// Make a new cluster from one node's data directory, when a majority of the old one is lost for good.
///
/// The old directory is kept. The new cluster has an id of its own: nodes of the old one can never
/// talk to it.
///
/// Exit code: 0 done, 2 not done, and nothing has changed.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Recover {
    /// The survivor's data directory
    data_dir: PathBuf,

    /// The new cluster's file, which names this node only [default: as when a node is started]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Yes, acknowledged writes that this node had not received may be lost
    #[arg(long)]
    accept_data_loss: bool,
}

impl Recover {
    pub(super) fn run<S: StateMachine + Default>(self) -> Result<ExitCode, Failure> {
        let config = super::load_config(self.config.as_deref())?;
        if !self.accept_data_loss {
            say(&outlook(&self.data_dir)?);
            return Err(Failure {
                error: "nothing was done: this needs --accept-data-loss".to_owned(),
                hint: Some(
                    "if any other member can still be brought back with its disk, do that instead"
                        .to_owned(),
                ),
            });
        }
        let rescued = crate::rescue::<S>(&self.data_dir, &config)?;
        say(&told(&rescued, &config));
        Ok(ExitCode::SUCCESS)
    }
}

/// What would be taken over, and what would not.
fn outlook(data_dir: &Path) -> Result<String, Failure> {
    let disk: Arc<dyn Disk> = Arc::new(ReadOnlyDisk);
    let found: Survey = survey(&disk, data_dir)?;
    let mut out = String::new();
    let Some(identity) = &found.identity else {
        return Err(Failure {
            error: format!("{} is no data directory that can be read", data_dir.display()),
            hint: Some("see raft-server inspect DATA_DIR".to_owned()),
        });
    };
    if let Some(problem) = found.problems.first() {
        return Err(Failure {
            error: format!("{} is not whole: {problem}", data_dir.display()),
            hint: Some(
                "take another survivor, or put back what is damaged; raft-server inspect DATA_DIR \
                 says what is safe"
                    .to_owned(),
            ),
        });
    }
    let last = found.log.last();
    let snapshot = found.log.snapshot.as_ref().map_or_else(Default::default, |meta| meta.last);
    let written = writeln!(
        out,
        "{} is {} of cluster `{}`. Its log ends with entry {last}; that entries up to {snapshot} were \
         committed is certain.\n\
         A new cluster would begin with all of it:\n\
         - lost would be whatever the others committed after {last}, acknowledged writes among it;\n\
         - entries after {snapshot} may be there although they were never committed, and their clients \
         were told that they failed, or nothing.",
        data_dir.display(),
        identity.node,
        identity.cluster_name,
    );
    written.expect("a string takes whatever is written to it");
    Ok(out)
}

fn told(rescued: &Rescued, config: &ClusterConfig) -> String {
    let Rescued { state, data_dir, backup } = rescued;
    let (id, file) = (state.node.0, config.path.display());
    format!(
        "{dir} is now {node}, the only member of the new cluster `{name}` (id {cluster}).\n\
         It begins with everything up to entry {last} of the old one: {items} items, {sessions} client \
         sessions, state hash {hash:016x}.\n\
         Lost is whatever the others had committed after that. The old directory is {backup}.\n\
         \n\
         Next:\n  \
         raft-server --id {id} --config {file}\n\
         and for every other node, with an empty data directory:\n  \
         raft-server --id N --config {file} --join --addr HOST:PORT\n  \
         raft-client set-config --config {file} --add N=HOST:PORT\n",
        dir = data_dir.display(),
        node = state.node,
        name = config.name,
        cluster = config.cluster_id(),
        last = state.last,
        items = state.items,
        sessions = state.sessions,
        hash = state.state_hash,
        backup = backup.display(),
    )
}

/// With stdout gone there is nobody left to tell.
fn say(text: &str) {
    drop(io::stdout().write_all(text.as_bytes()));
}

impl From<RescueError> for Failure {
    fn from(error: RescueError) -> Self {
        Self { error: error.to_string(), hint: error.hint() }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self { error: error.to_string(), hint: error.hint().map(str::to_owned) }
    }
}
