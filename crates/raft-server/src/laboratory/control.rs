//! What is to go wrong, as a file says it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What is to go wrong. By default, nothing.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "one for each key of the file")]
pub(super) struct Control {
    pub(super) generation: u64,
    /// A sync takes so many milliseconds longer, from the first to the second.
    pub(super) slow_sync_ms: Option<(u64, u64)>,
    /// A sync does not end while this is in force.
    pub(super) sync_hangs: bool,
    pub(super) sync_error: bool,
    pub(super) sync_lies: bool,
    pub(super) full: bool,
    /// How likely something nobody synced reaches the disk early.
    pub(super) writeback: f64,
    pub(super) read_flip: Option<Flip>,
    pub(super) seed: Option<u64>,
}

/// A byte that is read other than it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Flip {
    /// Within the data directory.
    pub(super) file: PathBuf,
    pub(super) offset: u64,
    pub(super) bits: u8,
}

/// The file that says it.
pub(super) struct Source {
    path: PathBuf,
    /// As it was seen last.
    seen: Vec<u8>,
    /// Nothing has been made of it yet: it may be in the middle of being written.
    open: bool,
}

impl Source {
    pub(super) fn new(dir: &Path) -> Self {
        Self { path: dir.join("control.json"), seen: Vec::new(), open: false }
    }

    /// What it says at the start. If there is no file, that nothing goes wrong.
    pub(super) fn first(&mut self) -> Result<Control, String> {
        self.seen = self.read()?;
        if self.seen.is_empty() { Ok(Control::default()) } else { self.parse() }
    }

    /// What it says now, if that is something new. What makes no sense is looked at twice before it is
    /// told, and is told once.
    pub(super) fn look(&mut self) -> Result<Option<Control>, String> {
        let now = self.read()?;
        let same = now == self.seen;
        self.seen = now;
        if self.seen.is_empty() || same && !self.open {
            return Ok(None);
        }
        let parsed = self.parse();
        self.open = parsed.is_err() && !same;
        match parsed {
            Ok(control) => Ok(Some(control)),
            Err(_) if self.open => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        match std::fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(|error| format!("cannot read {}: {error}", self.path.display())),
        }
    }

    fn parse(&self) -> Result<Control, String> {
        let read = serde_json::from_slice(&self.seen).map_err(|error| error.to_string());
        read.and_then(|value| Control::of(&value))
            .map_err(|what| format!("{}: {what}", self.path.display()))
    }
}

impl Control {
    fn of(value: &Value) -> Result<Self, String> {
        let fields = value.as_object().ok_or("it is not an object")?;
        let mut control = Self::default();
        if !fields.contains_key("generation") {
            return Err("`generation` is missing".to_owned());
        }
        for (key, value) in fields {
            let known =
                control.set(key, value).ok_or_else(|| format!("`{key}` cannot be {value}"))?;
            if !known {
                return Err(format!("there is no `{key}`"));
            }
        }
        Ok(control)
    }

    /// Whether there is such a key; `None` if this cannot be its value.
    fn set(&mut self, key: &str, value: &Value) -> Option<bool> {
        match key {
            "slow_sync_ms" | "read_flip" | "seed" if value.is_null() => (),
            "generation" => self.generation = value.as_u64()?,
            "slow_sync_ms" => self.slow_sync_ms = Some(range(value)?),
            "sync_hangs" => self.sync_hangs = value.as_bool()?,
            "sync_error" => self.sync_error = value.as_bool()?,
            "sync_lies" => self.sync_lies = value.as_bool()?,
            "full" => self.full = value.as_bool()?,
            "writeback" => self.writeback = share(value)?,
            "read_flip" => self.read_flip = Some(Flip::of(value)?),
            "seed" => self.seed = Some(value.as_u64()?),
            _ => return Some(false),
        }
        Some(true)
    }
}

impl Flip {
    fn of(value: &Value) -> Option<Self> {
        let fields = value.as_object().filter(|fields| fields.len() == 3)?;
        let file = fields.get("file")?.as_str()?.into();
        let offset = fields.get("offset")?.as_u64()?;
        let bits = u8::try_from(fields.get("bits")?.as_u64()?).ok().filter(|&bits| bits != 0)?;
        Some(Self { file, offset, bits })
    }
}

fn range(value: &Value) -> Option<(u64, u64)> {
    let [least, most] = value.as_array()?.as_slice() else { return None };
    let (least, most) = (least.as_u64()?, most.as_u64()?);
    (least <= most).then_some((least, most))
}

fn share(value: &Value) -> Option<f64> {
    value.as_f64().filter(|share| (0.0..=1.0).contains(share))
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        if let Some((least, most)) = self.slow_sync_ms {
            said.push(format!("syncs take {least} to {most} ms longer"));
        }
        let told = [
            (self.sync_hangs, "syncs do not end"),
            (self.sync_error, "syncs fail"),
            (self.sync_lies, "syncs lie"),
            (self.full, "the disk is full"),
        ];
        said.extend(told.iter().filter(|(on, _)| *on).map(|(_, what)| (*what).to_owned()));
        if let Some(Flip { file, offset, bits }) = &self.read_flip {
            let file = file.display();
            said.push(format!("byte {offset} of {file} is read with bits {bits:#010b} flipped"));
        }
        if 0.0 < self.writeback {
            said.push(format!("a share of {} is written back", self.writeback));
        }
        if said.is_empty() { f.write_str("nothing") } else { f.write_str(&said.join(", ")) }
    }
}
