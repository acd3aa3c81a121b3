//! What a link does to the bytes it carries.

use std::num::NonZeroU64;
use std::time::Duration;

/// What a link does to the bytes it carries. The default is a clear link.
///
/// Everything but [`Cut::Refuse`] and `resets_per_second`, which concern connections as a whole,
/// is done to the bytes of the [`Side`] chosen: both, those that go towards the target, or those
/// that come back.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shape {
    /// Whether the link is cut, and how that looks.
    pub cut: Cut,
    /// Which way the bytes travel that this is done to.
    pub side: Side,
    /// How much later bytes arrive. With [`Side::Both`] a round trip is longer by twice that.
    pub delay: Duration,
    /// Up to how much later than that, drawn anew for each chunk. The order of bytes is kept.
    pub jitter: Duration,
    /// How likely a chunk is lost on its way, 0 to 1. A stream hides a loss behind a
    /// retransmission, so a lost chunk, and all behind it, is late by 200 ms, then 400 ms, and so
    /// on; lost six times in a row, it takes the connection with it. There is no fast
    /// retransmission: a loss costs more here than where packets follow the lost one.
    pub loss: f64,
    /// Bytes per second that the link carries each way, all of its connections together.
    pub rate: Option<NonZeroU64>,
    /// How many times in a second a connection is reset, on average.
    pub resets_per_second: f64,
    /// Pauses of the link.
    pub stall: Option<Stall>,
}

/// How a link is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// Not at all.
    #[default]
    None,
    /// Bytes and closes are swallowed, nobody is told, as where packets are dropped. Open
    /// connections stay so, new ones are accepted and say nothing. When healed, what was held
    /// is delivered; a connection that its client reset or gave up before is gone.
    Hang,
    /// Open connections are reset and new ones refused, as by a firewall that answers.
    Refuse,
}

/// Which bytes of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// All of them.
    #[default]
    Both,
    /// Those from the one who dialled to the target.
    Towards,
    /// Those from the target.
    Back,
}

/// Pauses: nothing passes while one lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stall {
    /// How long one is.
    pub length: Duration,
    /// How many begin in a second of going on, on average.
    pub per_second: f64,
}

/// The way that bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Towards,
    Back,
}

impl Shape {
    /// A clear link.
    pub fn clear() -> Self {
        Self::default()
    }

    /// A link that swallows everything.
    pub fn hang() -> Self {
        Self { cut: Cut::Hang, ..Self::default() }
    }

    /// A link that refuses.
    pub fn refuse() -> Self {
        Self { cut: Cut::Refuse, ..Self::default() }
    }

    /// A link whose bytes are late by `delay`, and up to `jitter` more.
    pub fn late(delay: Duration, jitter: Duration) -> Self {
        Self { delay, jitter, ..Self::default() }
    }

    /// The same done to the bytes of one side only.
    #[must_use]
    pub fn only(self, side: Side) -> Self {
        Self { side, ..self }
    }

    /// What is wrong with the numbers in it, if anything is.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let stall = self.stall.map_or(0.0, |stall| stall.per_second);
        if !(0.0..=1.0).contains(&self.loss) {
            return Some("loss is a probability, from 0 to 1");
        }
        if !(0.0..=1e6).contains(&self.resets_per_second) || !(0.0..=1e6).contains(&stall) {
            return Some("resets and stalls per second are from 0 to a million");
        }
        let longest =
            self.delay.max(self.jitter).max(self.stall.map_or(Duration::ZERO, |it| it.length));
        (longest > DURATION_MAX).then_some("delay, jitter and stalls are an hour at most")
    }

    /// Whether bytes that travel `way` are among those it is done to.
    pub(crate) fn hits(&self, way: Way) -> bool {
        match self.side {
            Side::Both => true,
            Side::Towards => way == Way::Towards,
            Side::Back => way == Way::Back,
        }
    }

    /// Whether bytes that travel `way` are swallowed.
    pub(crate) fn hangs(&self, way: Way) -> bool {
        self.cut == Cut::Hang && self.hits(way)
    }
}

const DURATION_MAX: Duration = Duration::from_hours(1);
