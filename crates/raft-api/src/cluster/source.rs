//! A YAML text, and where things stand in it.
//!
//! The parser tells the place of an error, but keeps no places of what it read. So a place is found
//! by reading the text again with a visitor that fails on purpose when it gets there.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::error::{ConfigError, Place};

/// A YAML text and the file it came from.
pub(super) struct Source {
    path: PathBuf,
    text: String,
}

/// A step on the way to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// To the value of this key.
    Key(&'static str),
    /// To this element, from 0.
    Item(usize),
}

impl Source {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path).map_err(|error| ConfigError::unreadable(path, error))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let offset = error.utf8_error().valid_up_to();
            let what = format!("is not UTF-8 text: see the byte at offset {offset}");
            ConfigError::new(path, None, &what)
        })?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// The text as a `T`.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        if self.text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with('#')) {
            return Err(ConfigError::new(&self.path, None, "the file is empty"));
        }
        // First, because the parser proper reports a duplicate at the wrong place.
        let scan = DuplicateFinder.deserialize(serde_yaml::Deserializer::from_str(&self.text));
        scan.and_then(|()| serde_yaml::from_str(&self.text)).map_err(|error| self.explain(&error))
    }

    /// An error at a value, or at what comes nearest to it if that value is not there.
    pub(super) fn error(&self, at: &[Step], what: impl Into<String>) -> ConfigError {
        let place = (0..=at.len()).rev().find_map(|len| self.find(&at[..len]));
        ConfigError::new(&self.path, place, &what.into())
    }

    /// The line of a value, from 1.
    pub(super) fn line(&self, at: &[Step]) -> Option<usize> {
        self.find(at).map(|place| place.line)
    }

    fn find(&self, at: &[Step]) -> Option<Place> {
        let arrived = Cell::new(false);
        let finder = PlaceFinder { path: at, arrived: &arrived };
        let error = finder.deserialize(serde_yaml::Deserializer::from_str(&self.text)).err()?;
        if arrived.get() { self.place(&error) } else { None }
    }

    fn place(&self, error: &serde_yaml::Error) -> Option<Place> {
        let location = error.location()?;
        let (line, column) = (location.line().max(1), location.column().max(1));
        if let Some(text) = self.text.lines().nth(line - 1) {
            return Some(Place { line, column, text: text.to_owned() });
        }
        // Something is missing at the end: show the end of what is there.
        let (last, text) =
            self.text.lines().enumerate().filter(|(_, text)| !text.is_empty()).last()?;
        let (line, column) = (last + 1, text.chars().count() + 1);
        Some(Place { line, column, text: text.to_owned() })
    }

    /// The parser's error in our words.
    fn explain(&self, error: &serde_yaml::Error) -> ConfigError {
        let place = self.place(error);
        let mut what = error.to_string();
        // The place is told once, and in front.
        if let Some(at) = error.location() {
            what = what.replace(&format!(" at line {} column {}", at.line(), at.column()), "");
        }
        what = what.replace("expected u64", "expected a number");
        let unknown = unknown_key(&what);
        let explained = ConfigError::new(&self.path, place, &what);
        let Some((section, unknown, known)) = unknown else { return explained };
        let what = format!("{section}unknown key `{unknown}`");
        let hint = match nearest(unknown, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known here: {}", known.join(", ")),
        };
        ConfigError::new(&self.path, self.place(error), &what).with_hint(hint)
    }
}

/// Takes serde's words for an unknown key apart: the section it is in (as `raft: `), the key, and
/// those that would have been known.
fn unknown_key(message: &str) -> Option<(&str, &str, Vec<&str>)> {
    let (section, rest) = message.split_once("unknown field `")?;
    let (unknown, rest) = rest.split_once('`')?;
    // What is between backticks is at the odd places.
    Some((section, unknown, rest.split('`').skip(1).step_by(2).collect()))
}

/// The known key that was probably meant.
fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    let unknown = unknown.to_ascii_lowercase().replace('-', "_");
    let distance = |key: &&str| strsim::damerau_levenshtein(&unknown, key);
    let nearest = known.iter().copied().min_by_key(distance)?;
    let typos_max = 1.max(unknown.chars().count() / 3);
    (distance(&nearest) <= typos_max).then_some(nearest)
}

/// Fails at the second of two equal keys.
struct DuplicateFinder;

/// Reads a key that must not be among those seen.
struct NewKey<'a>(&'a mut BTreeSet<String>);

/// Follows a path and fails at its end.
struct PlaceFinder<'a> {
    path: &'a [Step],
    arrived: &'a Cell<bool>,
}

/// Implements the visits of scalars, all alike.
macro_rules! visit_scalars {
    ($self:ident, $E:ident => $body:expr) => {
        fn visit_bool<$E: serde::de::Error>($self, _: bool) -> Result<(), $E> {
            $body
        }

        fn visit_i64<$E: serde::de::Error>($self, _: i64) -> Result<(), $E> {
            $body
        }

        fn visit_u64<$E: serde::de::Error>($self, _: u64) -> Result<(), $E> {
            $body
        }

        fn visit_f64<$E: serde::de::Error>($self, _: f64) -> Result<(), $E> {
            $body
        }

        fn visit_str<$E: serde::de::Error>($self, _: &str) -> Result<(), $E> {
            $body
        }

        fn visit_unit<$E: serde::de::Error>($self) -> Result<(), $E> {
            $body
        }
    };
}

impl<'de> DeserializeSeed<'de> for DuplicateFinder {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DuplicateFinder {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain YAML without tags")
    }

    visit_scalars!(self, E => Ok(()));

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while map.next_key_seed(NewKey(&mut seen))?.is_some() {
            map.next_value_seed(Self)?;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for NewKey<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NewKey<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<(), E> {
        if self.0.insert(key.to_owned()) {
            Ok(())
        } else {
            Err(E::custom(format_args!("the key `{key}` is here twice")))
        }
    }
}

impl PlaceFinder<'_> {
    fn here<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.path.is_empty() {
            self.arrived.set(true);
            Err(E::custom("arrived"))
        } else {
            Ok(()) // The path leads through something that has no inside.
        }
    }
}

impl<'de> DeserializeSeed<'de> for PlaceFinder<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PlaceFinder<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain YAML without tags")
    }

    visit_scalars!(self, E => self.here());

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.here()?;
        let mut position = 0;
        loop {
            let more = match self.path {
                [Step::Item(wanted), path @ ..] if *wanted == position => {
                    items.next_element_seed(PlaceFinder { path, ..self })?.is_some()
                }
                _ => items.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                return Ok(());
            }
            position += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.here()?;
        while let Some(key) = map.next_key::<String>()? {
            match self.path {
                [Step::Key(wanted), path @ ..] if *wanted == key => {
                    map.next_value_seed(PlaceFinder { path, ..self })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}
