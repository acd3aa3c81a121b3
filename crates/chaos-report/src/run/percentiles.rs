//! `load/bench/*.hgrm`: how long operations of one sort took, as HdrHistogram prints it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::Part;

/// Sorts of operations that are shown, at most.
const CURVES_MAX: usize = 8;

/// Nothing that a bench writes comes near.
const BYTES_MAX: u64 = 1 << 20;

/// How long the operations of one sort took.
#[derive(Debug, PartialEq)]
pub(crate) struct Percentiles {
    pub(crate) operation: String,
    pub(crate) count: u64,
    /// `1 / (1 - percentile)` and milliseconds, both rising.
    pub(crate) points: Vec<(f64, f64)>,
}

pub(crate) fn read(dir: &Path) -> Part<Vec<Percentiles>> {
    let entries =
        std::fs::read_dir(dir).map_err(|error| format!("load/bench cannot be read: {error}"))?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    names.retain(|path| path.extension().is_some_and(|extension| extension == "hgrm"));
    names.sort();
    names.truncate(CURVES_MAX);
    let mut curves = Vec::new();
    for path in names {
        let operation = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut text = String::new();
        let file = File::open(&path).map(|file| file.take(BYTES_MAX));
        if file.is_ok_and(|mut file| file.read_to_string(&mut text).is_ok()) {
            curves.extend(parse(operation, &text));
        }
    }
    if curves.is_empty() {
        return Err("load/bench has no .hgrm file that can be read".to_owned());
    }
    Ok(curves)
}

/// `None` if there is no line of numbers. The last line stands for the longest: it is put where
/// one in so many as there are operations would stand.
fn parse(operation: String, text: &str) -> Option<Percentiles> {
    let (mut points, mut count): (Vec<(f64, f64)>, u64) = (Vec::new(), 0);
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let value = words.next().and_then(|word| word.parse::<f64>().ok());
        let percentile = words.next().and_then(|word| word.parse::<f64>().ok());
        let seen = words.next().and_then(|word| word.parse::<u64>().ok());
        let (Some(value), Some(percentile), Some(seen)) = (value, percentile, seen) else {
            continue;
        };
        count = count.max(seen);
        let inverse =
            if percentile < 1.0 { 1.0 / (1.0 - percentile) } else { crate::text::real(seen) };
        let (x, y) = points.last().copied().unwrap_or((1.0, 0.0));
        if value.is_finite() && points.len() < 4_000 {
            points.push((inverse.max(x), value.max(y)));
        }
    }
    (!points.is_empty()).then_some(Percentiles { operation, count, points })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_the_rest_is_not() {
        let text = "       Value     Percentile TotalCount 1/(1-Percentile)\n\n\
            1.5 0.0 1 1.00\n2.5 0.5 10 2.00\nnonsense 0.6\n9.0 0.95 19 20.00\n9.0 1.0 20 inf\n\
            #[Mean    =        6.130, StdDeviation   =       52.581]\n";
        let read = parse("put".to_owned(), text).unwrap();
        assert_eq!(read.count, 20);
        assert_eq!(read.points.len(), 4);
        assert_eq!(read.points[1], (2.0, 2.5));
        assert_eq!(read.points[3], (20.0, 9.0));
        assert_eq!(parse("put".to_owned(), "# nothing\n"), None);
    }
}
