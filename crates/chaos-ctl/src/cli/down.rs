//! `chaos-ctl down`: ends a cluster that somebody else started, and looks that it is gone.

use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use raft_api::cluster::ClusterConfig;

use super::Which;
use super::up::runner_of;
use crate::events::{Shown, micros};
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::Output;
use crate::process::end_groups;
use crate::procfs::Birth;
use crate::watch::Watch;

/// Stop the cluster, wherever it was started
#[derive(Debug, Args)]
pub(super) struct Down {
    #[command(flatten)]
    which: Which,
}

impl Down {
    pub(super) async fn run(self) -> Result<Code, Failure> {
        let config = self.which.load()?;
        let home = Home::of(&config);
        let mut output = Output::stdout();
        let Some(state) = home.state() else {
            let strangers = strangers(&config).await?;
            output.line(
                strangers
                    .as_deref()
                    .unwrap_or(&format!("nothing runs for cluster {}", config.name)),
            );
            return Ok(if strangers.is_some() { Code::Degraded } else { Code::Done });
        };
        let begun = Instant::now();
        // The runner ends its nodes itself, better than anybody else could.
        let mut last = state.clone();
        if let Some(runner) = runner_of(&home) {
            send(runner.pid, Signal::SIGTERM)?;
            let deadline = begun + config.runner.stop_grace + Duration::from_secs(15);
            while runner.is_alive() && Instant::now() < deadline {
                last = home.state().unwrap_or(last);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            if runner.is_alive() {
                send(runner.pid, Signal::SIGKILL)?;
            }
        }
        let nodes = state.nodes.into_iter().chain(last.nodes);
        let births: Vec<Birth> = nodes.map(|node| node.process).collect();
        let left = end_groups(&births).await.len();
        home.clear_state().map_err(anyhow::Error::from)?;
        let took = Shown(micros(begun.elapsed()));
        output.line(&format!("stopped cluster {} in {took}   leftovers {left}", config.name));
        let strangers = strangers(&config).await?;
        if let Some(strangers) = &strangers {
            output.line(strangers);
        }
        Ok(match (left, strangers) {
            (0, None) => Code::Done,
            (0, Some(_)) => Code::Degraded,
            _ => Code::Internal,
        })
    }
}

/// Nodes that somebody started by hand. They are not ours to end, but they run.
async fn strangers(config: &ClusterConfig) -> Result<Option<String>, Failure> {
    let view = Watch::new(config)?.look(Duration::from_secs(1)).await;
    let of_this = view.answers().filter(|(id, status)| {
        status.node_id == id.0 && (status.cluster.is_empty() || status.cluster == config.name)
    });
    let pids: Vec<String> = of_this.map(|(id, status)| format!("{id} {}", status.pid)).collect();
    let (nodes, verb) = match pids.len() {
        0 => return Ok(None),
        1 => ("1 node".to_owned(), "runs"),
        count => (format!("{count} nodes"), "run"),
    };
    let (name, pids) = (&config.name, pids.join(", "));
    Ok(Some(format!(
        "{nodes} of cluster {name} {verb} (pids, from Status: {pids}), not started by chaos-ctl: \
         end them yourself"
    )))
}

fn send(pid: i32, signal: Signal) -> Result<(), Failure> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => {
            Err(Failure::new(Code::Internal, format!("could not signal process {pid}: {error}")))
        }
    }
}
