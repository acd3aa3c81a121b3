//! How a run ends: whole if it can be, compared, and with nothing left behind.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::time::{sleep, sleep_until};

use super::{Ending, PATIENCE, Phase, Runner};
use crate::events::{Event, Shown, grouped, micros};
use crate::exit::{Code, Failure};
use crate::process::Exit;

/// How long nodes may take to become whole when the faults are over.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
/// How long to look for an index at which all nodes can be compared, when nothing presses.
pub const COMPARE_MAX: Duration = Duration::from_secs(5);

/// What the end of a run brought to light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// All nodes are up and caught up, with a leader.
    Whole,
    /// They were not, in time.
    Late,
    /// It was interrupted before that was known.
    Unknown,
}

impl Runner {
    /// Starts what is down, and waits until the cluster is whole.
    pub async fn recover(&mut self) -> Result<Recovery, Failure> {
        let now = Instant::now();
        for node in self.nodes.values_mut() {
            if let Phase::Down { restart: due @ Some(_), .. } = &mut node.phase {
                *due = Some(now);
            }
        }
        let deadline = now + RECOVERY_MAX;
        while !self.is_whole() {
            if deadline < Instant::now() {
                return Ok(Recovery::Late);
            }
            let pause = self.look_due().max(Instant::now() + Duration::from_millis(10));
            match self.drive(None, sleep_until(pause.into())).await? {
                Ending::Done => (),
                Ending::Stopped(_) | Ending::GaveUp => return Ok(Recovery::Unknown),
            }
        }
        Ok(Recovery::Whole)
    }

    /// Looks for an index that all nodes have applied and were seen at, and says in words what came
    /// of it. A difference is an event of its own.
    pub async fn compare(&mut self, patience: Duration) -> String {
        let nodes = self.cluster.ids();
        let deadline = Instant::now() + patience;
        while self.cluster.running() == nodes.len() && Instant::now() < deadline {
            let view = self.watch.look(PATIENCE).await;
            self.compare_hashes(&view);
            let last = view.answers().map(|(_, status)| status.applied_index).max();
            let level = view.answers().all(|(_, status)| Some(status.applied_index) == last);
            if level && view.answers().count() == nodes.len() || self.journal.is_unread() {
                break;
            }
            tokio::select! { biased;
                _signal = self.signals.next() => {
                    self.hurried = true;
                    break;
                }
                () = sleep(Duration::from_millis(20)) => (),
            }
        }
        if 0 < self.journal.summary().diverged {
            return "hash DIFFERS".to_owned();
        }
        match self.hashes.compared(nodes.len()) {
            Some(index) => {
                let names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
                format!("hash {} @ index {}", names.join("="), grouped(index))
            }
            None => "hash not compared".to_owned(),
        }
    }

    /// Ends all nodes: SIGTERM first, SIGKILL after the grace or at the next signal, and then looks
    /// that nothing is left. Returns how much is.
    pub async fn stop(&mut self, reason: &str) -> Result<usize, Failure> {
        let begun = Instant::now();
        self.journal.record(&Event::Stop { reason: reason.to_owned() });
        let names = self.nodes_with_process();
        self.cluster.signal_all(Signal::SIGTERM);
        // A node that was stopped could not hear the first one.
        self.cluster.signal_all(Signal::SIGCONT);
        let grace = begun + self.cluster.config().runner.stop_grace;
        let mut killed = false;
        while 0 < self.cluster.running() {
            let out_of_patience = self.hurried
                || tokio::select! { biased;
                    _signal = self.signals.next() => true,
                    exit = self.cluster.next_exit() => {
                        self.on_last_exit(exit?);
                        false
                    }
                    () = sleep_until(grace.into()), if !killed => true,
                };
            if out_of_patience && !killed {
                (killed, self.hurried) = (true, false);
                let left = self.nodes_with_process();
                let text = format!("{left} killed after {}", Shown(micros(begun.elapsed())));
                self.journal.record(&Event::Note { text });
                self.cluster.signal_all(Signal::SIGKILL);
            }
        }
        let leftovers = self.cluster.end_leftovers().await.len();
        self.cluster.home().clear_state().map_err(anyhow::Error::from)?;
        let took_us = micros(begun.elapsed());
        self.journal.record(&Event::Stopped { took_us, leftovers });
        let took = Shown(took_us);
        self.journal.say(&format!("stopping  {names}   {took}   leftovers {leftovers}"));
        Ok(leftovers)
    }

    fn nodes_with_process(&self) -> String {
        let running = self.cluster.ids().into_iter();
        let running = running.filter(|id| self.cluster.process(*id).is_running());
        running.map(|id| id.to_string()).collect::<Vec<_>>().join(" ")
    }

    /// A node that answers SIGTERM with anything but a clean end has a fault.
    fn on_last_exit(&mut self, exit: Exit) {
        if !exit.is_expected() && !exit.status.success() {
            let (node, pid, uptime_us) = (exit.id.0, exit.birth.pid, micros(exit.uptime));
            let (cause, tail) = (exit.cause(), exit.tail);
            let restart_us = None;
            self.journal.record(&Event::Crash { node, pid, cause, uptime_us, tail, restart_us });
        }
    }

    /// What the program exits with.
    pub fn verdict(&self, recovery: Recovery, leftovers: usize) -> Code {
        let summary = self.journal.summary();
        if 0 < summary.diverged {
            Code::Unsafe
        } else if 0 < summary.crashes {
            Code::Crashed
        } else if 0 < leftovers {
            Code::Internal
        } else if recovery == Recovery::Late {
            Code::TooSlow
        } else {
            Code::Done
        }
    }
}
