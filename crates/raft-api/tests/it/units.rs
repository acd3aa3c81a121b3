//! Quantities: what is read, what is refused, and that what is shown can be read again.

use std::str::FromStr;
use std::time::Duration;

use proptest::prelude::*;
use raft_api::units::{ByteSize, Count, DurationRange, HumanDuration, UnitError, parse_duration};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn ranges_are_read() {
    const ROWS: &[(&str, u64, u64, &str)] = &[
        ("15-30s", 15_000, 30_000, "15-30s"),
        ("500ms-2s", 500, 2_000, "500ms-2s"),
        ("20s", 20_000, 20_000, "20s"),
        (" 150 - 300ms ", 150, 300, "150-300ms"),
        ("1.5-2s", 1_500, 2_000, "1500ms-2s"),
        ("0-1m", 0, 60_000, "0-1m"),
        ("30s-1m 30s", 30_000, 90_000, "30-90s"),
        ("1h", 3_600_000, 3_600_000, "1h"),
        ("0s", 0, 0, "0s"),
    ];
    for (text, min, max, shown) in ROWS {
        let range: DurationRange = text.parse().unwrap();
        assert_eq!((range.min(), range.max()), (ms(*min), ms(*max)), "{text}");
        assert_eq!(range.to_string(), *shown);
    }
    assert_eq!(DurationRange::new(ms(2), ms(1)), None);
    assert_eq!("1-3s".parse::<DurationRange>().unwrap().width(), ms(2_000));
    assert_eq!(DurationRange::exactly(ms(5)).to_string(), "5ms");
}

#[test]
fn sizes_are_read() {
    const SIZES: &[(&str, u64, &str)] = &[
        ("64MiB", 64 << 20, "64MiB"),
        ("1MB", 1_000_000, "1000000"),
        ("4k", 4096, "4KiB"),
        ("4 kb", 4000, "4000"),
        ("1.5GiB", 3 << 29, "1536MiB"),
        ("512", 512, "512"),
        ("0", 0, "0"),
        ("12B", 12, "12"),
        ("2TiB", 2 << 40, "2TiB"),
    ];
    for (text, bytes, shown) in SIZES {
        let size: ByteSize = text.parse().unwrap();
        assert_eq!((size.0, size.to_string().as_str()), (*bytes, *shown), "{text}");
    }
}

#[test]
fn counts_are_read() {
    const COUNTS: &[(&str, u64, &str)] = &[
        ("10k", 10_000, "10k"),
        ("1m", 1_000_000, "1m"),
        ("1.5M", 1_500_000, "1500k"),
        ("10_000", 10_000, "10k"),
        ("7", 7, "7"),
        ("2g", 2_000_000_000, "2g"),
    ];
    for (text, number, shown) in COUNTS {
        let count: Count = text.parse().unwrap();
        assert_eq!((count.0, count.to_string().as_str()), (*number, *shown), "{text}");
    }
}

/// The error names the text and says what is wrong with it.
#[test]
fn nonsense_is_explained() {
    fn refused<T: FromStr<Err = UnitError>>(rows: &[(&str, &str)]) {
        for (text, reason) in rows {
            let error = text.parse::<T>().err().unwrap_or_else(|| panic!("accepted {text}"));
            let shown = error.to_string();
            assert!(shown.starts_with(&format!("`{}` is not a", text.trim())), "{shown}");
            assert!(shown.contains(reason), "{shown}");
        }
    }
    refused::<HumanDuration>(&[
        ("", "empty"),
        ("15", "needs a unit, as in 15s"),
        ("15 parsecs", "unknown unit `parsecs`"),
        ("-3s", "write 15s"),
        ("s", "write 15s"),
        ("99999999999999999999s", "too large"),
    ]);
    refused::<DurationRange>(&[
        ("30-15s", "longer than the second"),
        ("-5s", "a bound is missing"),
    ]);
    refused::<DurationRange>(&[("5s-", "a bound is missing"), ("5-1m 30s", "a unit of its own")]);
    refused::<ByteSize>(&[
        ("", "number"),
        ("MiB", "number"),
        ("5 miles", "unknown unit `miles`"),
        ("1.0001k", "whole number"),
        ("99999999TiB", "too large"),
        ("-1", "unknown unit"),
        ("1.2.3", "number"),
    ]);
    refused::<Count>(&[("10q", "unknown unit `q`"), ("0.5", "whole number"), ("_", "number")]);
    assert!(parse_duration("1s-2s").is_err());
}

proptest! {
    /// Whatever is shown is read as the same quantity.
    #[test]
    fn shown_is_read_again(a in any::<u64>(), b in any::<u64>(), small in 0..100_000_u64) {
        for number in [a, small, small << 10, small * 1000] {
            prop_assert_eq!(ByteSize(number).to_string().parse(), Ok(ByteSize(number)));
            prop_assert_eq!(Count(number).to_string().parse(), Ok(Count(number)));
        }
        let (a, b) = (Duration::from_nanos(a), Duration::from_millis(b >> 24));
        for duration in [a, b, ms(small)] {
            prop_assert_eq!(parse_duration(&HumanDuration(duration).to_string()), Ok(duration));
        }
        let range = DurationRange::new(a.min(b), a.max(b)).unwrap();
        prop_assert_eq!(range.to_string().parse(), Ok(range));
    }

    /// Any text is a quantity or an error, never a panic.
    #[test]
    fn any_text_is_survived(text in "[0-9a-zA-Z. _µ-]{0,12}|.{0,12}") {
        let read = (
            text.parse::<HumanDuration>().is_ok(),
            text.parse::<DurationRange>().is_ok(),
            text.parse::<ByteSize>().is_ok(),
            text.parse::<Count>().is_ok(),
        );
        // A duration is a range of itself, and has a unit, which a count has not.
        prop_assert!(!read.0 || read.1, "{text}");
    }
}
