//! The state of every node, look by look, for whoever draws a picture of the run.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use serde::Serialize;

use super::{Node, Phase, Runner, Standing};
use crate::NodeId;
use crate::dashboard::Feed;
use crate::events::monotonic_us;
use crate::watch::{View, role_name};

/// A file of JSON lines.
#[derive(Debug)]
pub(super) struct States {
    file: BufWriter<File>,
    /// The first that could not be written: from then on there are holes.
    failed: Option<io::Error>,
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
        self.states = Some(States { file, failed: None });
        Ok(())
    }

    /// Everything that was seen is in the file.
    pub fn flush_states(&mut self) -> io::Result<()> {
        let Some(states) = &mut self.states else { return Ok(()) };
        states.failed.take().map_or_else(|| states.file.flush(), Err)
    }

    /// From now on what happens, and the state of every node, is told there as well.
    pub(crate) fn show_on(&mut self, feed: Feed) {
        self.journal.show_on(feed.clone());
        self.feed = Some(feed);
    }

    pub(super) fn write_states(&mut self, view: &View) {
        if self.states.is_none() && self.feed.is_none() {
            return;
        }
        let mono_us = monotonic_us();
        let members = self.nodes.iter().filter(|(_, node)| node.standing != Standing::Former);
        let states: Vec<State> =
            members.map(|(id, node)| state_of(*id, node, view, mono_us)).collect();
        if let Some(feed) = &self.feed {
            let line = |it| serde_json::to_string(it).expect("plain data becomes JSON");
            feed.states(states.iter().map(|it| (it.node, it.state, line(it))));
        }
        let Some(written) = &mut self.states else { return };
        for line in &states {
            let done = serde_json::to_writer(&mut written.file, line).map_err(io::Error::from);
            if let Err(error) = done.and_then(|()| written.file.write_all(b"\n"))
                && written.failed.is_none()
            {
                tracing::warn!(%error, "could not write the states of the nodes");
                written.failed = Some(error);
            }
        }
    }
}

fn state_of(id: NodeId, node: &Node, view: &View, mono_us: u64) -> State {
    let said = view.of(id);
    let state = match (&node.phase, node.paused, said) {
        (Phase::Down { .. }, _, _) => "down",
        (_, Some(_), _) => "paused",
        (_, None, Some(_)) => "up",
        (_, None, None) => "silent",
    };
    let said = said.filter(|_| state == "up");
    State {
        mono_us,
        node: id.0,
        state,
        role: said.map_or("", |status| role_name(status.role())),
        term: said.map_or(0, |status| status.term),
        commit: said.map_or(0, |status| status.commit_index),
        applied: said.map_or(0, |status| status.applied_index),
    }
}
