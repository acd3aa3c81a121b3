//! Recording what happens to a node, and replaying it.
//!
//! A node is changed by its inputs alone, so whoever has them all, and what the node was made from,
//! can have its whole run once more, at a desk, as often as they like. A [`Recorder`] writes both
//! down, and beside them digests of what came of it; [`Player`] runs a node through them again and
//! says where it differs first. [`Recorded`] is a node with a recorder that misses nothing.
//!
//! A recording is a file that only grows, and may end anywhere, as in a crash: what is whole up to
//! there can be replayed.
//!
//! ```text
//! recording  frame…
//! frame      len u32 · len u32, inverted · checksum u64 · kind u8 · body (len: kind and body)
//! start      format u32 · version (len u32 · text) · now u64 · configuration · what the disk held
//! step       now u64 · input
//! turn       digest of the effects u64 · digest of the state's outline u64
//! state      digest of the state without the log's entries u64
//! end        digest of the state with them u64
//! ```
//!
//! Digests are of bytes and text, not of addresses or hash tables, so that they are the same in every
//! build of the same code; and a recording that another version of the code replays in the same
//! way shows that nothing has changed for it.

mod digest;
mod frame;
mod player;

use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;
use core::ops::Deref;

use self::digest::Digest;
pub use self::player::{Difference, Moment, Player, ReplayError, Summary, replay};
use crate::codec::{put_config, put_input, put_restored};
use crate::config::{Config, Restored};
use crate::effects::Effects;
use crate::error::RestoreError;
use crate::input::Input;
use crate::node::Node;
use crate::types::Instant;

/// What the layout of recordings is called. Grows when it changes.
const FORMAT: u32 = 1;

/// So often, in turns, the whole state is compared but for the log's entries.
const TURNS_BETWEEN_STATES: u64 = 1024;

/// Where a recording goes. It is called for each step, so it should put the bytes into a buffer and
/// leave the writing to somebody else.
pub trait Sink {
    /// Takes the next bytes of the recording.
    fn write(&self, bytes: &[u8]);
}

impl Sink for RefCell<Vec<u8>> {
    fn write(&self, bytes: &[u8]) {
        self.borrow_mut().extend_from_slice(bytes);
    }
}

impl<S: Sink + ?Sized> Sink for &S {
    fn write(&self, bytes: &[u8]) {
        (**self).write(bytes);
    }
}

impl<S: Sink + ?Sized> Sink for alloc::boxed::Box<S> {
    fn write(&self, bytes: &[u8]) {
        (**self).write(bytes);
    }
}

impl<S: Sink + ?Sized> Sink for alloc::rc::Rc<S> {
    fn write(&self, bytes: &[u8]) {
        (**self).write(bytes);
    }
}

impl<S: Sink + ?Sized> Sink for alloc::sync::Arc<S> {
    fn write(&self, bytes: &[u8]) {
        (**self).write(bytes);
    }
}

/// Writes down what happens to a node. For drivers that call the node themselves; [`Recorded`] calls
/// it by itself.
pub struct Recorder<S: Sink> {
    sink: S,
    frames: u64,
    turns: u64,
    /// The frame that is being made; kept for its memory.
    frame: Vec<u8>,
    digest: Digest,
}

impl<S: Sink> Recorder<S> {
    /// Begins a recording of the node that [`Node::restore`] makes from the same.
    pub fn start(sink: S, config: &Config, restored: &Restored, now: Instant) -> Self {
        let (frame, digest) = (Vec::new(), Digest::default());
        let mut recorder = Self { sink, frames: 0, turns: 0, frame, digest };
        recorder.write(frame::START, |out| {
            let version = env!("CARGO_PKG_VERSION").as_bytes();
            out.extend_from_slice(&FORMAT.to_le_bytes());
            out.extend_from_slice(&u32::try_from(version.len()).unwrap_or(0).to_le_bytes());
            out.extend_from_slice(version);
            out.extend_from_slice(&now.0.to_le_bytes());
            put_config(out, config);
            put_restored(out, restored);
        });
        recorder
    }

    /// The node is about to be stepped.
    pub fn step(&mut self, now: Instant, input: &Input) {
        self.write(frame::STEP, |out| {
            out.extend_from_slice(&now.0.to_le_bytes());
            put_input(out, input);
        });
    }

    /// These effects have been taken from the node.
    pub fn turn(&mut self, node: &Node, effects: &Effects) {
        let effects = self.digest.of_effects(effects);
        let outline = Digest::of_outline(node);
        self.write(frame::TURN, |out| {
            out.extend_from_slice(&effects.to_le_bytes());
            out.extend_from_slice(&outline.to_le_bytes());
        });
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(TURNS_BETWEEN_STATES) {
            let state = self.digest.of_state(node);
            self.write(frame::STATE, |out| out.extend_from_slice(&state.to_le_bytes()));
        }
    }

    /// The node will not be stepped again. Without this the recording can be replayed just as well,
    /// but it does not show whether it is whole.
    pub fn end(&mut self, node: &Node) {
        let state = self.digest.of_state_and_log(node);
        self.write(frame::END, |out| out.extend_from_slice(&state.to_le_bytes()));
    }

    fn write(&mut self, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
        frame::put(&mut self.frame, self.frames, kind, body);
        self.frames = self.frames.wrapping_add(1);
        self.sink.write(&self.frame);
    }
}

/// A node whose run is recorded, if somebody wants it. It can be looked at like a [`Node`], and
/// changed only in ways that are recorded.
pub struct Recorded<S: Sink> {
    node: Node,
    recorder: Option<Recorder<S>>,
}

impl<S: Sink> Recorded<S> {
    /// As [`Node::restore`]; with a sink, the recording begins here.
    pub fn restore(
        config: Config,
        restored: Restored,
        now: Instant,
        sink: Option<S>,
    ) -> Result<Self, RestoreError> {
        let recorder = sink.map(|sink| Recorder::start(sink, &config, &restored, now));
        Ok(Self { node: Node::restore(config, restored, now)?, recorder })
    }

    /// As [`Node::step`].
    pub fn step(&mut self, now: Instant, input: Input) {
        if let Some(recorder) = &mut self.recorder {
            recorder.step(now, &input);
        }
        self.node.step(now, input);
    }

    /// As [`Node::take_effects`].
    pub fn take_effects(&mut self) -> Effects {
        let mut effects = Effects::default();
        self.take_effects_into(&mut effects);
        effects
    }

    /// As [`Node::take_effects_into`].
    pub fn take_effects_into(&mut self, effects: &mut Effects) {
        self.node.take_effects_into(effects);
        if let Some(recorder) = &mut self.recorder {
            recorder.turn(&self.node, effects);
        }
    }
}

impl<S: Sink> Drop for Recorded<S> {
    /// Ends the recording: it shows that it is whole.
    fn drop(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.end(&self.node);
        }
    }
}

impl<S: Sink> Deref for Recorded<S> {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl<S: Sink> fmt::Debug for Recorded<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)
    }
}

impl<S: Sink> fmt::Debug for Recorder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("frames", &self.frames).finish_non_exhaustive()
    }
}
