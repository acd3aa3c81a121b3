//! Text for the page: escaped, and numbers as people read them.

use std::fmt::{self, Display, Write as _};

/// Text from a file, for a place between tags or in a quoted attribute.
///
/// Control characters other than tab and newline are shown as a replacement: some end a document,
/// and others turn the direction of what follows.
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(f), "{}", self.0)
    }
}

struct Escaper<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| self.write_char(character))
    }

    fn write_char(&mut self, character: char) -> fmt::Result {
        match character {
            '&' => self.0.write_str("&amp;"),
            '<' => self.0.write_str("&lt;"),
            '>' => self.0.write_str("&gt;"),
            '"' => self.0.write_str("&quot;"),
            '\'' => self.0.write_str("&#39;"),
            '\t' | '\n' => self.0.write_char(character),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                self.0.write_char('\u{fffd}')
            }
            _ if character.is_control() => self.0.write_char('\u{fffd}'),
            _ => self.0.write_char(character),
        }
    }
}

/// A relative path as a link: whatever could mean something in a URL is percent-encoded.
pub(crate) fn link(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 2);
    // A name like `javascript:x` must not be taken for a scheme.
    out.push_str("./");
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                out.push(hex(byte >> 4));
                out.push(hex(byte & 15));
            }
        }
    }
    out
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).expect("a digit below 16").to_ascii_uppercase()
}

/// Bytes in base64, for a `data:` link.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |place: usize| u32::from(chunk.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 63;
            let pad = chunk.len() < place;
            let digit = DIGITS[usize::try_from(digit).expect("below 64")];
            out.push(if pad { '=' } else { char::from(digit) });
        }
    }
    out
}

/// A count with a thin space between thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.chars().enumerate() {
        if 0 < place && (digits.len() - place).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// Microseconds as a length of time, with three figures.
pub(crate) fn micros(us: u64) -> String {
    match us {
        0..=999 => format!("{us} µs"),
        1_000..=9_999 => tidy(us, 1_000, 2, "ms"),
        10_000..=99_999 => tidy(us, 1_000, 1, "ms"),
        100_000..=999_999 => tidy(us, 1_000, 0, "ms"),
        1_000_000..=99_999_999 => tidy(us, 1_000_000, 2, "s"),
        _ => {
            let seconds = us / 1_000_000;
            match seconds / 3600 {
                0 => format!("{}m {:02}s", seconds / 60, seconds % 60),
                hours => format!("{hours}h {:02}m", seconds / 60 % 60),
            }
        }
    }
}

fn tidy(value: u64, unit: u64, places: usize, name: &str) -> String {
    format!("{:.places$} {name}", ratio(value, unit))
}

/// A place in time, in seconds from the begin of the run.
pub(crate) fn at(us: u64) -> String {
    let seconds = us / 1_000_000;
    match seconds {
        0..600 => format!("{:.2} s", ratio(us, 1_000_000)),
        600..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}

/// `value / unit`, for showing only.
pub(crate) fn ratio(value: u64, unit: u64) -> f64 {
    real(value) / real(unit.max(1))
}

/// A count as a coordinate.
#[expect(clippy::cast_precision_loss, reason = "pixels do not see the 53rd bit")]
pub(crate) fn real(value: u64) -> f64 {
    value as f64
}

/// A coordinate with up to two places, and without the zeros that say nothing.
pub(crate) fn px(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let mut text = format!("{value:.2}");
    while text.ends_with('0') {
        text.pop();
    }
    if text.ends_with('.') {
        text.pop();
    }
    if text == "-0" { "0".to_owned() } else { text }
}

/// Appends to a page. Memory does not fail.
macro_rules! put {
    ($out:expr, $($part:tt)*) => {{
        use std::fmt::Write as _;
        $out.write_fmt(format_args!($($part)*)).expect("memory takes text")
    }};
}
pub(crate) use put;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_file_is_markup() {
        let hostile = "<b a='1' c=\"2\">&\u{0}\u{202e}\t</b>";
        let safe = "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;\u{fffd}\u{fffd}\t&lt;/b&gt;";
        assert_eq!(Escaped(hostile).to_string(), safe);
        assert_eq!(link("javascript:alert(1)"), "./javascript%3Aalert%281%29");
        assert_eq!(link("a b/ü\".log"), "./a%20b/%C3%BC%22.log");
    }

    #[test]
    fn base64_of_every_length() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[255, 254, 253]), "//79");
    }

    #[test]
    fn numbers_for_people() {
        let table = [
            (999, "999 µs"),
            (1_234, "1.23 ms"),
            (21_400, "21.4 ms"),
            (512_103, "512 ms"),
            (1_185_700, "1.19 s"),
            (181_000_000, "3m 01s"),
            (3_723_000_000, "1h 02m"),
        ];
        for (us, words) in table {
            assert_eq!(micros(us), words);
        }
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(count(123), "123");
        assert_eq!([px(1.0), px(-0.001), px(1.256), px(f64::NAN)], ["1", "0", "1.26", "0"]);
    }
}
