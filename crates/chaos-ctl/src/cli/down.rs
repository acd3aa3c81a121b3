//! `chaos-ctl down`: ends a cluster that somebody else started, and looks that it is gone.

use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Which;
use super::up::runner_of;
use crate::events::{Shown, micros};
use crate::exit::{Code, Failure};
use crate::home::Home;
use crate::output::Output;
use crate::process::end_groups;
use crate::procfs::Birth;

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
            output.line(&format!("nothing runs for cluster {}", config.name));
            return Ok(Code::Done);
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
        Ok(if left == 0 { Code::Done } else { Code::Internal })
    }
}

fn send(pid: i32, signal: Signal) -> Result<(), Failure> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => {
            Err(Failure::new(Code::Internal, format!("could not signal process {pid}: {error}")))
        }
    }
}
