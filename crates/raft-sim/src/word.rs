//! Values as words of a plan: how they are written, and how they are read.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use raft_core::NodeId;

/// A value that is one word.
pub trait Word: Sized {
    /// The word.
    fn show(&self) -> String;
    /// The value, or what is wrong with the word.
    fn read(word: &str) -> Result<Self, String>;
}

/// A stretch of simulated time, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

/// Where further randomness begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(pub u64);

macro_rules! plain {
    ($($type:ty = $what:literal,)+) => {
        $(impl Word for $type {
            fn show(&self) -> String {
                self.to_string()
            }

            fn read(word: &str) -> Result<Self, String> {
                word.parse().ok().ok_or_else(|| format!("`{word}` is no {}", $what))
            }
        })+
    };
}

plain! {
    u64 = "number",
    usize = "number",
    bool = "answer: true or false",
}

/// Seconds, with six digits after the point.
impl Word for Span {
    fn show(&self) -> String {
        format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }

    fn read(word: &str) -> Result<Self, String> {
        let fault = || format!("`{word}` is no time in seconds, such as 1.250000");
        let (seconds, rest) = word.split_once('.').unwrap_or((word, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        if !digits(seconds) || !digits(rest) || 6 < rest.len() {
            return Err(fault());
        }
        let micros: u64 = format!("{rest:0<6}").parse().expect("six digits are a number");
        let seconds: Option<u64> = seconds.parse().ok();
        let whole = seconds.and_then(|it| it.checked_mul(1_000_000)?.checked_add(micros));
        whole.filter(|&it| it < TIME_MAX_US).map(Self).ok_or_else(fault)
    }
}

/// No run is as long as this, in microseconds.
const TIME_MAX_US: u64 = 1 << 50;

impl Word for Duration {
    fn show(&self) -> String {
        Span(u64::try_from(self.as_micros()).unwrap_or(u64::MAX)).show()
    }

    fn read(word: &str) -> Result<Self, String> {
        Span::read(word).map(|Span(micros)| Self::from_micros(micros))
    }
}

impl Word for Salt {
    fn show(&self) -> String {
        format!("{:x}", self.0)
    }

    fn read(word: &str) -> Result<Self, String> {
        let number = u64::from_str_radix(word, 16).ok();
        number.map(Self).ok_or_else(|| format!("`{word}` is no hexadecimal number"))
    }
}

impl Word for NodeId {
    fn show(&self) -> String {
        self.to_string()
    }

    fn read(word: &str) -> Result<Self, String> {
        let number = word.strip_prefix('n').and_then(|number| number.parse().ok());
        number.map(Self).ok_or_else(|| format!("`{word}` is no node, such as n1"))
    }
}

/// From the first to the second.
impl Word for (u64, u64) {
    fn show(&self) -> String {
        format!("{}..{}", self.0, self.1)
    }

    fn read(word: &str) -> Result<Self, String> {
        let ends = word.split_once("..").and_then(|(low, high)| {
            let (low, high): (u64, u64) = (low.parse().ok()?, high.parse().ok()?);
            (low <= high).then_some((low, high))
        });
        ends.ok_or_else(|| format!("`{word}` is no range, such as 50..300"))
    }
}

/// Words with commas between them; `-` if there are none.
impl<T: Word + Ord> Word for BTreeSet<T> {
    fn show(&self) -> String {
        let words: Vec<_> = self.iter().map(T::show).collect();
        if words.is_empty() { "-".to_owned() } else { words.join(",") }
    }

    fn read(word: &str) -> Result<Self, String> {
        if word == "-" {
            return Ok(Self::new());
        }
        word.split(',').map(T::read).collect()
    }
}

/// Finds one of several by the name that it has in the code.
pub(crate) fn named<T: Copy + Debug>(all: &[T], word: &str) -> Result<T, String> {
    let found = all.iter().copied().find(|it| format!("{it:?}").eq_ignore_ascii_case(word));
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|it| format!("{it:?}")).collect();
        format!("`{word}` is none of {}", names.join(", "))
    })
}
