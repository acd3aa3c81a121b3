//! Numbers as the report shows them.

use std::time::Duration;

/// Digits in groups of three.
pub(in super::super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.char_indices() {
        if 0 < place && (digits.len() - place).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// Microseconds as milliseconds with three digits that count.
pub(in super::super) fn three_digits(micros: u64) -> String {
    let millis = as_float(micros) / 1000.0;
    match micros {
        0..9_995 => format!("{millis:.2}"),
        9_995..99_950 => format!("{millis:.1}"),
        _ => grouped(rounded(millis)),
    }
}

pub(in super::super) fn milliseconds(duration: Duration) -> String {
    format!("{} ms", three_digits(micros(duration)))
}

/// Milliseconds up to a second, else seconds.
pub(in super::super) fn span(duration: Duration) -> String {
    if duration < Duration::from_secs(1) { milliseconds(duration) } else { seconds(duration) }
}

pub(in super::super) fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 9.995 { format!("{seconds:.2} s") } else { format!("{seconds:.1} s") }
}

pub(in super::super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "only a few digits are shown")]
pub(in super::super) fn as_float(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates and times are not negative and far below 2^64"
)]
pub(in super::super) fn rounded(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers and how they are shown.
    #[test]
    fn numbers_keep_three_digits() {
        let table = [
            (0, "0.00"),
            (7, "0.01"),
            (1_734, "1.73"),
            (9_994, "9.99"),
            (9_995, "10.0"),
            (14_700, "14.7"),
            (99_949, "99.9"),
            (99_950, "100"),
            (1_157_900, "1 158"),
        ];
        for (micros, shown) in table {
            assert_eq!(three_digits(micros), shown, "{micros} µs");
        }
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(370_563), "370 563");
        assert_eq!(grouped(1_000_000), "1 000 000");
    }
}
