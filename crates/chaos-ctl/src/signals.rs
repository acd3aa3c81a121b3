//! The signals that end a run.

use std::io;

use nix::sys::signal::Signal as Number;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::procfs;

/// Ctrl-C, SIGTERM, and the hang-up of a terminal that was closed. Each may come more than once.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if the hang-up is ignored, as under nohup.
    hang_up: Option<Signal>,
}

impl Signals {
    /// From now on these signals do not end the program.
    pub fn listen() -> io::Result<Self> {
        let ignored = procfs::ignores_signal(Number::SIGHUP as i32);
        let hang_up = if ignored { None } else { Some(signal(SignalKind::hangup())?) };
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())?, hang_up })
    }

    /// The next signal's name. May be dropped and called again.
    pub async fn next(&mut self) -> &'static str {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = hang_up => "SIGHUP",
        }
    }
}
