//! What a load consists of: the kinds of operations and how often each is drawn.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Sets a key.
    Put,
    /// Reads a key.
    Get,
    /// Sets a key if it holds what this worker last knew it to hold.
    Cas,
    /// Adds to a list, which keeps a trace of every write.
    Append,
    /// Puts opaque data into the log.
    Propose,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Put, Self::Get, Self::Cas, Self::Append, Self::Propose];

    /// Its name, on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Cas => "cas",
            Self::Append => "append",
            Self::Propose => "propose",
        }
    }

    /// Whether it changes nothing.
    pub fn is_read(self) -> bool {
        self == Self::Get
    }
}

/// One operation, ready to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Put { key: Bytes, value: Bytes },
    Get { key: Bytes },
    Cas { key: Bytes, expected: Option<Bytes>, value: Bytes },
    Append { key: Bytes, data: Bytes },
    Propose { data: Bytes },
}

impl Operation {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Put { .. } => Kind::Put,
            Self::Get { .. } => Kind::Get,
            Self::Cas { .. } => Kind::Cas,
            Self::Append { .. } => Kind::Append,
            Self::Propose { .. } => Kind::Propose,
        }
    }
}

/// What came of an operation that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A put, an append or a proposal.
    Written,
    /// What a get found.
    Value(Option<Bytes>),
    /// The comparison held, and the value is set.
    Swapped,
    /// It did not; this is there instead.
    Mismatch(Option<Bytes>),
}

/// How often each kind is drawn, as weights: `put=80,get=20`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix(Vec<(Kind, u32)>);

/// The largest weight.
const WEIGHT_MAX: u32 = 1_000_000;

impl Mix {
    /// One kind alone.
    pub fn only(kind: Kind) -> Self {
        Self(vec![(kind, 1)])
    }

    /// The kinds that occur, in the order in which they were named.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.0.iter().map(|(kind, _)| *kind)
    }

    /// Whether this kind occurs.
    pub fn has(&self, kind: Kind) -> bool {
        self.kinds().any(|it| it == kind)
    }

    /// The kind that a random word stands for.
    pub(super) fn draw(&self, word: u64) -> Kind {
        let total: u64 = self.0.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut place = word % total.max(1);
        for (kind, weight) in &self.0 {
            match place.checked_sub(u64::from(*weight)) {
                Some(rest) => place = rest,
                None => return *kind,
            }
        }
        self.0[0].0 // Not reached: the place is below the sum.
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [(kind, _)] = &self.0[..] {
            return f.write_str(kind.name());
        }
        for (place, (kind, weight)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{}={weight}", kind.name())?;
        }
        Ok(())
    }
}

/// Why a text is no mix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// A part names no kind.
    #[error("`{0}` is none of put, get, cas, append, propose")]
    Kind(String),
    /// A part's weight is no number from 1 to a million.
    #[error("`{0}` needs a weight from 1 to 1000000, as in put=80,get=20")]
    Weight(String),
    /// A kind is named twice.
    #[error("`{0}` is there twice")]
    Twice(&'static str),
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        let mut mix: Vec<(Kind, u32)> = Vec::new();
        for part in text.split(',') {
            let part = part.trim();
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
            let kind = kind.ok_or_else(|| MixError::Kind(name.to_owned()))?;
            let weight = weight.parse().ok().filter(|weight| (1..=WEIGHT_MAX).contains(weight));
            let weight = weight.ok_or_else(|| MixError::Weight(part.to_owned()))?;
            if mix.iter().any(|(it, _)| *it == kind) {
                return Err(MixError::Twice(kind.name()));
            }
            mix.push((kind, weight));
        }
        Ok(Self(mix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mix_is_read_and_shown() {
        for (text, shown) in
            [("put", "put"), ("put=7", "put"), ("put=80, get=20", "put=80,get=20"), ("cas", "cas")]
        {
            assert_eq!(text.parse::<Mix>().unwrap().to_string(), shown);
        }
        let wrong = [
            ("", "`` is none of put, get, cas, append, propose"),
            ("put=80,del=20", "`del` is none of put, get, cas, append, propose"),
            ("put=0", "`put=0` needs a weight from 1 to 1000000, as in put=80,get=20"),
            ("get=-1", "`get=-1` needs a weight from 1 to 1000000, as in put=80,get=20"),
            ("put=1,put=2", "`put` is there twice"),
        ];
        for (text, error) in wrong {
            assert_eq!(text.parse::<Mix>().unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn kinds_are_drawn_as_often_as_they_weigh() {
        let mix: Mix = "put=3,get=1".parse().unwrap();
        let drawn: Vec<Kind> = (0..8).map(|word| mix.draw(word)).collect();
        assert_eq!(drawn.iter().filter(|kind| **kind == Kind::Put).count(), 6);
        assert_eq!(drawn.iter().filter(|kind| **kind == Kind::Get).count(), 2);
    }
}
