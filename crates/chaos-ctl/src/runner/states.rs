//! The state of every node, look by look, for whoever draws a picture of the run.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use serde::Serialize;

use super::{Phase, Runner, Standing};
use crate::events::monotonic_us;
use crate::watch::{View, role_name};

/// A file of JSON lines.
#[derive(Debug)]
pub(super) struct States {
    file: BufWriter<File>,
}

/// How a node was at a moment.
#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "that is what it is called in the file")]
struct State {
    mono_us: u64,
    node: u64,
    /// `up`, `down`, `paused`, or `silent` if it runs and does not answer.
    state: &'static str,
    /// Empty if it did not say.
    role: &'static str,
    term: u64,
    commit: u64,
    applied: u64,
}

impl Runner {
    /// From now on the state of every node is looked at often, and written down.
    pub fn record_states(&mut self, path: &Path) -> io::Result<()> {
        let file = BufWriter::new(File::create(path)?);
        self.states = Some(States { file });
        Ok(())
    }

    /// Everything that was seen is in the file.
    pub fn flush_states(&mut self) -> io::Result<()> {
        self.states.as_mut().map_or(Ok(()), |states| states.file.flush())
    }

    pub(super) fn write_states(&mut self, view: &View) {
        let Some(mut states) = self.states.take() else { return };
        let mono_us = monotonic_us();
        for (id, node) in &self.nodes {
            if node.standing == Standing::Former {
                continue;
            }
            let said = view.of(*id);
            let state = match (&node.phase, node.paused, said) {
                (Phase::Down { .. }, _, _) => "down",
                (_, Some(_), _) => "paused",
                (_, None, Some(_)) => "up",
                (_, None, None) => "silent",
            };
            let said = said.filter(|_| state == "up");
            let line = State {
                mono_us,
                node: id.0,
                state,
                role: said.map_or("", |status| role_name(status.role())),
                term: said.map_or(0, |status| status.term),
                commit: said.map_or(0, |status| status.commit_index),
                applied: said.map_or(0, |status| status.applied_index),
            };
            let written = serde_json::to_writer(&mut states.file, &line).map_err(io::Error::from);
            if let Err(error) = written.and_then(|()| states.file.write_all(b"\n")) {
                tracing::warn!(%error, "could not write the states of the nodes");
            }
        }
        self.states = Some(states);
    }
}
