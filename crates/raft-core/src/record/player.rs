//! Replaying.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::{Buf as _, Bytes};

use super::FORMAT;
use super::digest::Digest;
use super::frame::{self, Found};
use crate::codec::{take_config, take_input, take_restored};
use crate::effects::Effects;
use crate::error::RestoreError;
use crate::input::Input;
use crate::node::Node;
use crate::types::Instant;

/// What a replay comes past.
#[derive(Debug)]
pub enum Moment<'a> {
    /// The node has been made.
    Start {
        /// The node.
        node: &'a Node,
        /// The version of this crate that made the recording.
        version: &'a str,
        /// When.
        now: Instant,
    },
    /// The node is about to be stepped: should it panic, this is over what.
    Step {
        /// The node before the step.
        node: &'a Node,
        /// Counts steps from 1.
        number: u64,
        /// When.
        now: Instant,
        /// The input.
        input: &'a Input,
    },
    /// These effects were taken, and have not yet been compared.
    Turn {
        /// The node.
        node: &'a Node,
        /// The effects.
        effects: &'a Effects,
    },
}

/// A recording that was replayed, state and effects being the same all the way.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How often the node was stepped.
    pub steps: u64,
    /// How often its effects were taken and compared.
    pub turns: u64,
    /// Whether the recording was ended. If not, more may have happened: its process was killed, or
    /// is still running.
    pub ended: bool,
    /// Bytes at the end that are no whole frame.
    pub torn_bytes: u64,
    /// The version of this crate that made the recording.
    pub version: String,
    /// The node as it was left.
    pub node: Node,
}

/// Why a recording cannot be replayed, or not in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplayError {
    /// There is no recording in it, or its beginning is missing.
    Empty,
    /// It has another format.
    Format {
        /// The format's number.
        found: u32,
    },
    /// It is not as it was written.
    Damaged {
        /// From here on, in bytes.
        offset: u64,
        /// Steps that were replayed before it, and were the same.
        steps: u64,
    },
    /// No node can be made from what it says the disk held.
    Restore(RestoreError),
    /// The node did not do what it did when it was recorded.
    Different {
        /// What differs.
        what: Difference,
        /// The last step before it was noticed.
        step: u64,
        /// The turns that were the same before.
        turns: u64,
        /// The time told with that step.
        now: Instant,
    },
}

/// What differs between a run and its replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// What was to be done.
    Effects,
    /// What the node knows.
    State,
}

/// Replays a recording piece by piece.
#[derive(Default)]
pub struct Player {
    node: Option<Node>,
    version: String,
    digest: Digest,
    /// What has come and is not a whole frame yet.
    pending: Vec<u8>,
    frames: u64,
    steps: u64,
    turns: u64,
    now: Instant,
    ended: bool,
    /// Bytes of whole frames so far.
    offset: u64,
    bad: Option<Bad>,
}

/// A place where no frame is.
struct Bad {
    /// How long the frame would be that was damaged.
    claimed: Option<u64>,
    /// How many bytes there are from there on.
    bytes: u64,
    /// How many there are but for zeros at the end, as in a file that was made longer and not
    /// written.
    used: u64,
}

impl Player {
    /// A player that waits for the first piece.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replays the next piece of the recording, of any length. What is not yet a whole frame waits
    /// for more.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        watch: &mut dyn FnMut(Moment<'_>),
    ) -> Result<(), ReplayError> {
        if let Some(bad) = &mut self.bad {
            bad.add(bytes);
            return Ok(());
        }
        let mut pending = core::mem::take(&mut self.pending);
        pending.extend_from_slice(bytes);
        let mut rest = pending.as_slice();
        loop {
            match frame::take(rest, self.frames) {
                Found::Frame { kind, body, len } => {
                    self.play(kind, body, watch)?;
                    self.frames = self.frames.wrapping_add(1);
                    self.offset = self.offset.saturating_add(long(len));
                    rest = rest.get(len..).unwrap_or_default();
                }
                Found::Part => break,
                Found::Bad { len } => {
                    let mut bad = Bad { claimed: len.map(long), bytes: 0, used: 0 };
                    bad.add(rest);
                    self.bad = Some(bad);
                    return Ok(());
                }
            }
        }
        let done = pending.len().saturating_sub(rest.len());
        pending.drain(..done);
        self.pending = pending;
        Ok(())
    }

    /// There is no more. A tail that was not written to its end is left out.
    pub fn finish(self) -> Result<Summary, ReplayError> {
        let torn_bytes = match &self.bad {
            None => long(self.pending.len()),
            Some(bad) if bad.is_tail() => bad.bytes,
            Some(_) => return Err(self.damaged()),
        };
        let Some(node) = self.node else { return Err(ReplayError::Empty) };
        let Self { steps, turns, ended, version, .. } = self;
        Ok(Summary { steps, turns, ended, torn_bytes, version, node })
    }

    fn play(
        &mut self,
        kind: u8,
        mut body: Bytes,
        watch: &mut dyn FnMut(Moment<'_>),
    ) -> Result<(), ReplayError> {
        if self.ended {
            return Err(self.damaged());
        }
        match kind {
            frame::START if self.node.is_none() => self.start(&mut body, watch)?,
            frame::STEP => self.step(&mut body, watch).ok_or_else(|| self.damaged())?,
            frame::TURN => self.turn(&mut body, watch)?,
            frame::STATE => {
                let node = self.node.as_ref().ok_or(ReplayError::Empty)?;
                let state = self.digest.of_state(node);
                self.compare(&mut body, state, Difference::State)?;
            }
            frame::END => {
                let node = self.node.as_ref().ok_or(ReplayError::Empty)?;
                let state = self.digest.of_state_and_log(node);
                self.compare(&mut body, state, Difference::State)?;
                self.ended = true;
            }
            _ => return Err(self.damaged()),
        }
        if body.is_empty() { Ok(()) } else { Err(self.damaged()) }
    }

    fn start(
        &mut self,
        body: &mut Bytes,
        watch: &mut dyn FnMut(Moment<'_>),
    ) -> Result<(), ReplayError> {
        let found = body.try_get_u32_le().ok().ok_or_else(|| self.damaged())?;
        if found != FORMAT {
            return Err(ReplayError::Format { found });
        }
        let mut parts = || {
            let len = usize::try_from(body.try_get_u32_le().ok()?).ok()?;
            let version = (len <= body.len()).then(|| body.split_to(len))?;
            let now = Instant(body.try_get_u64_le().ok()?);
            Some((version, now, take_config(body)?, take_restored(body)?))
        };
        let (version, now, config, restored) = parts().ok_or_else(|| self.damaged())?;
        self.version = String::from_utf8_lossy(&version).into_owned();
        self.now = now;
        let node = Node::restore(config, restored, now).map_err(ReplayError::Restore)?;
        watch(Moment::Start { node: &node, version: &self.version, now });
        self.node = Some(node);
        Ok(())
    }

    fn step(&mut self, body: &mut Bytes, watch: &mut dyn FnMut(Moment<'_>)) -> Option<()> {
        let node = self.node.as_mut()?;
        let now = Instant(body.try_get_u64_le().ok()?);
        let input = take_input(body)?;
        self.now = now;
        self.steps = self.steps.saturating_add(1);
        watch(Moment::Step { node, number: self.steps, now, input: &input });
        node.step(now, input);
        Some(())
    }

    fn turn(
        &mut self,
        body: &mut Bytes,
        watch: &mut dyn FnMut(Moment<'_>),
    ) -> Result<(), ReplayError> {
        let node = self.node.as_mut().ok_or(ReplayError::Empty)?;
        let effects = node.take_effects();
        watch(Moment::Turn { node, effects: &effects });
        let outline = Digest::of_outline(node);
        let effects = self.digest.of_effects(&effects);
        self.compare(body, effects, Difference::Effects)?;
        self.compare(body, outline, Difference::State)?;
        self.turns = self.turns.saturating_add(1);
        Ok(())
    }

    fn compare(&self, body: &mut Bytes, found: u64, what: Difference) -> Result<(), ReplayError> {
        let recorded = body.try_get_u64_le().ok().ok_or_else(|| self.damaged())?;
        if recorded == found {
            return Ok(());
        }
        Err(ReplayError::Different { what, step: self.steps, turns: self.turns, now: self.now })
    }

    fn damaged(&self) -> ReplayError {
        ReplayError::Damaged { offset: self.offset, steps: self.steps }
    }
}

impl Bad {
    fn add(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
            self.used = self.bytes.saturating_add(long(last)).saturating_add(1);
        }
        self.bytes = self.bytes.saturating_add(long(bytes.len()));
    }

    /// Whether this is what a crash leaves: at most one frame that was not written to its end, though
    /// the file is long enough for it, and space that was never written.
    fn is_tail(&self) -> bool {
        self.used <= self.claimed.unwrap_or(0)
    }
}

/// Replays a whole recording.
pub fn replay(recording: &[u8], mut watch: impl FnMut(Moment<'_>)) -> Result<Summary, ReplayError> {
    let mut player = Player::new();
    player.feed(recording, &mut watch)?;
    player.finish()
}

fn long(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player")
            .field("steps", &self.steps)
            .field("turns", &self.turns)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Effects => "effects",
            Self::State => "state",
        })
    }
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "there is no recording in it"),
            Self::Format { found } => {
                write!(f, "its format is {found}, and this program reads {FORMAT}")
            }
            Self::Damaged { offset, steps } => {
                write!(f, "it is damaged at byte {offset}, after {steps} steps that were the same")
            }
            Self::Restore(error) => {
                write!(f, "no node can be made from what it begins with: {error}")
            }
            Self::Different { what, step, turns, now } => write!(
                f,
                "{what} differ at step {step} ({} µs), after {turns} turns that were the same",
                now.0
            ),
        }
    }
}

impl core::error::Error for ReplayError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Restore(error) => Some(error),
            Self::Empty | Self::Format { .. } | Self::Damaged { .. } | Self::Different { .. } => {
                None
            }
        }
    }
}
