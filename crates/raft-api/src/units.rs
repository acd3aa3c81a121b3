//! Quantities as people write them, the same in cluster.yaml, in scenarios and on every command
//! line: durations and ranges of them, byte sizes, counts. All of them show themselves in a form
//! that they read.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A length of time: `15s`, `500ms`, `1m 30s`, `1.5s`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(pub Duration);

/// Two lengths of time, the first not the longer: `15-30s`, `500ms-2s`; or one alone: `20s`. A
/// lower bound without a unit has the upper one's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DurationRange {
    min: Duration,
    max: Duration,
}

/// A number of bytes: `64MiB`, `4k`, `1MB`, `512`. `k`, `M` and `G` alone, or with `iB`, are
/// powers of 1024; with `B` they are powers of 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A number of things: `10k`, `1m`, `1.5m`, `2g`, `10_000`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count(pub u64);

/// A text is not the quantity it should be. Says which text, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {noun}: {reason}")]
pub struct UnitError {
    text: String,
    noun: &'static str,
    reason: String,
}

/// Reads a length of time, for command lines that want it plain.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    text.parse::<HumanDuration>().map(Duration::from)
}

/// Units of time, longest first, with their nanoseconds.
const TIME_UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Units of sizes that are shown, largest first.
const SIZE_UNITS: [(&str, u64); 4] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Units of counts, largest first.
const COUNT_UNITS: [(&str, u64); 3] = [("g", 1_000_000_000), ("m", 1_000_000), ("k", 1_000)];

impl DurationRange {
    /// From `min` to `max`; nothing if they are the wrong way round.
    pub fn new(min: Duration, max: Duration) -> Option<Self> {
        (min <= max).then_some(Self { min, max })
    }

    /// Exactly this long.
    pub fn exactly(duration: Duration) -> Self {
        Self { min: duration, max: duration }
    }

    /// The shorter bound.
    pub fn min(self) -> Duration {
        self.min
    }

    /// The longer bound.
    pub fn max(self) -> Duration {
        self.max
    }

    /// How far the bounds are apart.
    pub fn width(self) -> Duration {
        self.max.saturating_sub(self.min)
    }
}

impl FromStr for HumanDuration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        let fail = |reason: String| UnitError::new(text, "a duration", reason);
        if text.is_empty() {
            return Err(fail("it is empty; write 15s or 500ms".to_owned()));
        }
        if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(fail(format!("it needs a unit, as in {text}s or {text}ms")));
        }
        match humantime::parse_duration(text) {
            Ok(duration) => Ok(Self(duration)),
            Err(humantime::DurationError::UnknownUnit { unit, .. }) if !unit.is_empty() => {
                Err(fail(format!("unknown unit `{unit}`; known are ns, us, ms, s, m, h, d")))
            }
            Err(humantime::DurationError::NumberOverflow) => {
                Err(fail("the number is too large or too fine".to_owned()))
            }
            Err(_) => Err(fail("write 15s, 500ms or 1m 30s".to_owned())),
        }
    }
}

impl FromStr for DurationRange {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let text = text.trim();
        let fail = |reason: String| UnitError::new(text, "a range of durations", reason);
        let Some((low, high)) = text.split_once('-') else {
            return text.parse::<HumanDuration>().map(|only| Self::exactly(only.0));
        };
        let (low, high) = (low.trim(), high.trim());
        if low.is_empty() || high.is_empty() {
            return Err(fail("a bound is missing; write 15-30s or 500ms-2s".to_owned()));
        }
        let max: HumanDuration = high.parse()?;
        let bare = low.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let min: HumanDuration = if bare {
            let digits = |symbol: char| symbol.is_ascii_digit() || symbol == '.';
            let unit = high.trim_start_matches(digits).trim_start();
            if unit.contains(digits) {
                return Err(fail(format!("`{low}` needs a unit of its own")));
            }
            format!("{low}{unit}").parse()?
        } else {
            low.parse()?
        };
        Self::new(min.0, max.0)
            .ok_or_else(|| fail("the first bound is longer than the second".to_owned()))
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let scale = |unit: &str| {
            Some(match unit {
                "" | "b" => 1,
                "k" | "ki" | "kib" => 1 << 10,
                "m" | "mi" | "mib" => 1 << 20,
                "g" | "gi" | "gib" => 1 << 30,
                "t" | "ti" | "tib" => 1 << 40,
                "kb" => 1_000,
                "mb" => 1_000_000,
                "gb" => 1_000_000_000,
                "tb" => 1_000_000_000_000,
                _ => return None,
            })
        };
        scaled(text, scale).map(Self).map_err(|reason| {
            UnitError::new(text, "a size", format!("{reason}; write 64MiB or 4k"))
        })
    }
}

impl FromStr for Count {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let scale = |unit: &str| match unit {
            "" => Some(1),
            unit => COUNT_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale),
        };
        scaled(text, scale).map(Self).map_err(|reason| {
            UnitError::new(text, "a count", format!("{reason}; write 10k or 500"))
        })
    }
}

impl UnitError {
    fn new(text: &str, noun: &'static str, reason: String) -> Self {
        Self { text: text.trim().to_owned(), noun, reason }
    }
}

/// A number, whole or with a decimal point, times the scale of the unit after it.
fn scaled(text: &str, scale: impl Fn(&str) -> Option<u64>) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|symbol: char| !symbol.is_ascii_digit() && !"._".contains(symbol));
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim();
    let scale =
        scale(&unit.to_ascii_lowercase()).ok_or_else(|| format!("unknown unit `{unit}`"))?;
    let number = number.replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    if whole.is_empty() || fraction.contains('.') {
        return Err("it does not begin with a number".to_owned());
    }
    // `whole.fraction` is `digits / divisor`; 19 digits and any scale fit into 128 bits.
    let too_large = || "the number is too large or too fine".to_owned();
    let digits: u64 = format!("{whole}{fraction}").parse().ok().ok_or_else(too_large)?;
    let divisor = u32::try_from(fraction.len()).ok().and_then(|len| 10_u128.checked_pow(len));
    let divisor = divisor.ok_or_else(too_large)?;
    let total = u128::from(digits) * u128::from(scale);
    if total % divisor != 0 {
        return Err("it is not a whole number".to_owned());
    }
    u64::try_from(total / divisor).ok().ok_or_else(too_large)
}

/// The largest unit that divides the duration, and how many of it there are.
fn in_time_units(duration: Duration) -> (u128, &'static str) {
    let nanos = duration.as_nanos();
    let fits = |(_, size): &&(&str, u128)| nanos.is_multiple_of(*size);
    match TIME_UNITS.iter().find(fits) {
        Some((name, size)) if nanos != 0 => (nanos / size, name),
        Some(_) | None => (0, "s"),
    }
}

/// The number in the largest of these units that divides it.
fn show_scaled(f: &mut fmt::Formatter<'_>, number: u64, units: &[(&str, u64)]) -> fmt::Result {
    let fits = |(_, size): &&(&str, u64)| number != 0 && number.is_multiple_of(*size);
    match units.iter().find(fits) {
        Some((name, size)) => write!(f, "{}{name}", number / size),
        None => write!(f, "{number}"),
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = in_time_units(self.0);
        write!(f, "{number}{unit}")
    }
}

impl fmt::Display for DurationRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            return HumanDuration(self.max).fmt(f);
        }
        let ((min, min_unit), (max, max_unit)) = (in_time_units(self.min), in_time_units(self.max));
        if min_unit == max_unit || min == 0 {
            write!(f, "{min}-{max}{max_unit}")
        } else {
            write!(f, "{min}{min_unit}-{max}{max_unit}")
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_scaled(f, self.0, &SIZE_UNITS)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_scaled(f, self.0, &COUNT_UNITS)
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl From<ByteSize> for u64 {
    fn from(size: ByteSize) -> Self {
        size.0
    }
}

impl From<Count> for u64 {
    fn from(count: Count) -> Self {
        count.0
    }
}

/// Reads a quantity where it stands, so that an error carries the line and column of its text.
struct TextVisitor<T> {
    expecting: &'static str,
    /// What a number without a unit means, where it means anything.
    plain: Option<fn(u64) -> T>,
    quantity: PhantomData<T>,
}

impl<T: FromStr<Err = UnitError>> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        match self.plain {
            Some(plain) => Ok(plain(number)),
            // Its own parser explains best what a plain number lacks.
            None => self.visit_str(&number.to_string()),
        }
    }
}

/// Text in, text out.
macro_rules! text_in_serde {
    ($type:ty, $expecting:literal, $plain:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let expecting = $expecting;
                let plain: Option<fn(u64) -> Self> = $plain;
                deserializer.deserialize_any(TextVisitor {
                    expecting,
                    plain,
                    quantity: PhantomData,
                })
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

text_in_serde!(HumanDuration, "a duration such as 15s or 500ms", None);
text_in_serde!(DurationRange, "a range of durations such as 15-30s", None);
text_in_serde!(ByteSize, "a size such as 64MiB or 4k", Some(ByteSize));
text_in_serde!(Count, "a count such as 10k or 500", Some(Count));
