//! What is wrong with a file, where, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A file that cannot be used. Shown as one line, `cluster.yaml:4:14: what is wrong`, and below it
/// the place in the file where there is one. What to do about it is in [`ConfigError::hint`].
#[derive(Debug)]
pub struct ConfigError {
    /// The file, as the user named it.
    path: PathBuf,
    place: Option<Place>,
    what: String,
    hint: Option<String>,
    source: Option<io::Error>,
}

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
    /// The whole line.
    pub(super) text: String,
}

/// Characters of a line that are shown around the place, at most.
const SHOWN_MAX: usize = 100;

impl ConfigError {
    pub(super) fn new(path: &Path, place: Option<Place>, what: &str) -> Self {
        // A value with a line break in it must not break the one line it is quoted in.
        let what = what.replace(char::is_control, "\u{fffd}");
        Self { path: path.to_owned(), place, what, hint: None, source: None }
    }

    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The file could not be read.
    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        let what = match source.kind() {
            io::ErrorKind::NotFound => "no such file".to_owned(),
            _ => format!("could not be read: {source}"),
        };
        Self { source: Some(source), ..Self::new(path, None, &what) }
    }

    /// None of the places where the file might have been had it. `variable`: where its name was
    /// taken from, unless from the command line.
    pub(super) fn not_found(path: &Path, variable: Option<&str>, tried: &[PathBuf]) -> Self {
        let error = Self::unreadable(path, io::ErrorKind::NotFound.into());
        let tried: Vec<_> = tried.iter().map(|path| path.display().to_string()).collect();
        let what = match variable {
            Some(variable) => format!("no such file (the name comes from {variable})"),
            None => "no such file".to_owned(),
        };
        Self { what, ..error }.with_hint(format!("tried {}", tried.join(" and ")))
    }

    /// A directory stands where the file should. `variable`: as with [`ConfigError::not_found`].
    pub(super) fn directory(path: &Path, variable: Option<&str>) -> Self {
        let origin = variable
            .map(|variable| format!(" (the name comes from {variable})"))
            .unwrap_or_default();
        let file = path.join("cluster.yaml");
        Self::new(path, None, &format!("is a directory, not a file{origin}"))
            .with_hint(format!("name the file itself, such as {}", file.display()))
    }

    /// What is wrong, without where: for those who know that it is not the file.
    pub fn reason(&self) -> &str {
        &self.what
    }

    /// What to do about it, where that is known: one line.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether there is no such file.
    pub fn is_not_found(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.kind() == io::ErrorKind::NotFound)
    }

    /// Line and column in the file, both from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.place.as_ref().map(|place| (place.line, place.column))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        match &self.place {
            Some(place) => {
                write!(f, "{}:{}: {}\n{place}", place.line, place.column, self.what)
            }
            None => write!(f, " {}", self.what),
        }
    }
}

impl fmt::Display for Place {
    /// The line, and a caret under the place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = self.column.saturating_sub(1);
        let skipped = before.saturating_sub(SHOWN_MAX / 2);
        let shown: String = self.text.chars().skip(skipped).take(SHOWN_MAX).collect();
        // Tabs stay tabs, or the caret would stand elsewhere.
        let indent = shown.chars().map(|symbol| if symbol == '\t' { '\t' } else { ' ' });
        let indent: String = indent.chain(std::iter::repeat(' ')).take(before - skipped).collect();
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        write!(f, " {margin} |\n {number} | {}\n {margin} | {indent}^", shown.trim_end())
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
