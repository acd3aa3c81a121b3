//! A run, written down: what the world is like, what is done to it at which time, and how it is
//! healed. A seed is drawn into a plan first, and only the plan is carried out, so that parts of it
//! can be left out to see what a failure needs. What chance decides beside it, it decides in streams
//! of their own, so that what is left out changes as little else as possible.

mod act;
mod draw;
mod text;

use crate::scenario::Scenario;
use crate::word::{Salt, Span};
pub use act::{Act, Kind, Who};

/// A run, written down.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the world is like.
    pub scenario: Scenario,
    /// What is done to it, ascending by time.
    pub acts: Vec<Planned>,
    /// How it is healed.
    pub recovery: Recovery,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When.
    pub at: Span,
    /// What.
    pub act: Act,
}

/// How a world is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// All of it at once.
    All,
    /// First a majority of every membership that may decide; the rest stays away until that has gone
    /// on. Whether it is down, or only cut off.
    Majority {
        /// Decides who.
        salt: Salt,
        /// Whether the rest is down.
        down: bool,
    },
}
