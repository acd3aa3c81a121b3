//! Pictures made of characters: the histogram, the throughput, and the availability.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::super::latency::{Bin, Latency};
use super::super::recorder::SLOT;
use super::super::summary::{GapSummary, Service, Slices, Summary};
use super::numbers::{as_float, grouped, rounded, seconds};

/// Columns of the longest bar.
const BAR: u64 = 32;

/// A bin with a smaller part of all is said to have less than this.
const PERCENT_MIN: f64 = 0.1;

/// Percentiles that fit beside one bar.
const MARKS_MAX: usize = 4;

/// The latencies in bins that widen, with the place of each percentile.
pub(super) fn histogram(out: &mut String, bins: &[Bin], latency: &Latency) -> fmt::Result {
    let all: u64 = bins.iter().map(|bin| bin.count).sum();
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(0);
    if all < 100 {
        return Ok(()); // A few values are no shape.
    }
    writeln!(out)?;
    for (row, bin) in bins.iter().enumerate() {
        let title = if row == 0 { "up to ms" } else { "" };
        let bar = "#".repeat(usize::try_from(bin.count * BAR / most).unwrap_or(0));
        let percent = as_float(bin.count) * 100.0 / as_float(all);
        let part = match bin.count {
            0 => String::new(),
            _ if percent < PERCENT_MIN => format!("<{PERCENT_MIN}%"),
            _ => format!("{percent:.1}%"),
        };
        let holds = |value: u64| bin.from_us <= value && value < bin.to_us;
        let marks = latency.quantiles().into_iter().filter(|(_, value, _)| holds(*value));
        let mut marks: Vec<&str> = marks.map(|(name, ..)| name).collect();
        if holds(latency.max) {
            marks.push("max");
        }
        if MARKS_MAX < marks.len() {
            marks = vec![marks[0], "to", marks[marks.len() - 1]];
        }
        let to = bound(bin.to_us);
        let line = format!("  {title:<8}{to:>6} |{bar:<32}{part:>7}  {}", marks.join(" "));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A bound of a bin, in milliseconds.
fn bound(micros: u64) -> String {
    let millis = as_float(micros) / 1000.0;
    if millis < 10.0 { format!("{millis}") } else { grouped(rounded(millis)) }
}

/// The eight heights of a bar.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One bar for each value; a value of nothing is a blank.
pub fn sparkline(values: &[u64]) -> String {
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let bar = |value: &u64| match value {
        0 => ' ',
        value => BARS[usize::try_from((value * 8).div_ceil(most) - 1).unwrap_or(0).min(7)],
    };
    values.iter().map(bar).collect()
}

/// Operations done in each cell of so many slots, without a last one that is not whole.
fn cells(slots: &[u32], width: usize) -> Vec<u64> {
    slots.chunks(width).map(|cell| cell.iter().map(|count| u64::from(*count)).sum()).collect()
}

/// The throughput over time, on one line.
pub(super) fn throughput(out: &mut String, summary: &Summary) -> fmt::Result {
    let slots = &summary.slices.slots;
    let width = cell_slots(summary.elapsed, 50);
    let cell = SLOT * u32::try_from(width).unwrap_or(u32::MAX);
    // The last one is not whole. In those after the last operation nothing was done.
    let whole = summary.elapsed.as_millis() / cell.as_millis();
    let whole = usize::try_from(whole).unwrap_or(usize::MAX);
    let mut cells = cells(slots, width);
    cells.resize(whole.min(CELLS_MAX.max(cells.len())), 0);
    if cells.len() < 4 {
        return Ok(());
    }
    let whole = &cells[..];
    let rate = |count: u64| as_float(count) / (SLOT.as_secs_f64() * as_float(width as u64));
    let (min, max) = (whole.iter().min().copied(), whole.iter().max().copied());
    let [min, max] = [min, max].map(|it| grouped(rounded(rate(it.unwrap_or(0)))));
    let every = seconds_short(SLOT * u32::try_from(width).unwrap_or(u32::MAX));
    writeln!(out, "\n  op/s, {every} a bar  {}  min {min}  max {max}", sparkline(whole))
}

fn seconds_short(span: Duration) -> String {
    if span < Duration::from_secs(1) {
        format!("{} ms", span.as_millis())
    } else {
        format!("{} s", span.as_secs())
    }
}

/// Widths of a cell, in slots of a tenth of a second.
const WIDTHS: [usize; 9] = [1, 2, 5, 10, 20, 50, 100, 300, 600];

/// How many slots a cell has, so that there are no more cells than this; in a very long run there are.
fn cell_slots(elapsed: Duration, cells_max: usize) -> usize {
    let slots = usize::try_from(elapsed.as_millis() / SLOT.as_millis()).unwrap_or(usize::MAX);
    let fits = |width: &&usize| slots.div_ceil(**width) <= cells_max;
    WIDTHS.iter().find(fits).copied().unwrap_or(600)
}

/// Cells in a line of the map.
const LINE: usize = 40;

/// Lines of the map, at most.
const LINES: usize = 6;

/// Faults that are named beside a line.
const BESIDE: usize = 2;

/// Bars of the throughput, at most, but in a very long run.
const CELLS_MAX: usize = 100_000;

/// When operations were done and when not, with the faults beside it. Shown only if there was an
/// outage or a fault; reads beside writes have one of their own if they had an outage.
pub(super) fn availability(out: &mut String, summary: &Summary) -> fmt::Result {
    let all = outages(&summary.gaps, summary.writes.or(summary.reads));
    let reads = outages(&summary.read_gaps, summary.reads.filter(|_| summary.writes.is_some()));
    let Slices { slots, read_slots, .. } = &*summary.slices;
    if !all.is_empty() || !summary.events.is_empty() {
        let mut slots = slots.clone();
        if summary.writes.is_some() {
            for (all, reads) in slots.iter_mut().zip(read_slots) {
                *all = all.saturating_sub(*reads);
            }
        }
        map(out, summary, "availability ", &slots, &all)?;
    }
    if reads.is_empty() { Ok(()) } else { map(out, summary, "reads        ", read_slots, &reads) }
}

/// A map of one class of operations.
fn map(
    out: &mut String,
    summary: &Summary,
    title: &str,
    slots: &[u32],
    outages: &[(Duration, Duration)],
) -> fmt::Result {
    let width = cell_slots(summary.elapsed, LINE * LINES);
    let cell = SLOT * u32::try_from(width).unwrap_or(u32::MAX);
    let mut counts = cells(slots, width);
    // Slots after the last operation that was done.
    let cells = usize::try_from(summary.elapsed.as_millis().div_ceil(cell.as_millis()));
    counts.resize(cells.unwrap_or(counts.len()).max(counts.len()), 0);
    let mut sorted = counts.clone();
    sorted.sort_unstable();
    let usual = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    let each = seconds_short(cell);
    writeln!(out, "\n{title} 1 cell = {each}   # ok  + below half  . part outage  X none")?;
    for (row, line) in counts.chunks(LINE).enumerate() {
        let start = cell * u32::try_from(row * LINE).unwrap_or(u32::MAX);
        let mut marks = String::new();
        for (place, count) in line.iter().enumerate() {
            let from = start + cell * u32::try_from(place).unwrap_or(u32::MAX);
            let hit = outages.iter().any(|(at, length)| *at < from + cell && from < *at + *length);
            let still = summary.stalls.iter().filter(|it| !it.asleep);
            let mut still = still.map(|it| (it.at, it.at + it.length));
            marks.push(match (count, hit) {
                (0, _) if still.any(|(at, end)| at < from + cell && from < end) => 'z',
                (0, true) => 'X',
                (0, false) => '-',
                (_, true) => '.',
                (count, false) if count * 2 < usual => '+',
                _ => '#',
            });
        }
        let end = start + cell * u32::try_from(LINE).unwrap_or(u32::MAX);
        let mut aside = String::new();
        let mut events = summary.events.iter().filter(|it| start <= it.at && it.at < end);
        for event in events.by_ref().take(BESIDE) {
            let what = event.kind.to_uppercase();
            write!(aside, "  ^ {} {what} n{} {}", seconds(event.at), event.node, event.role)?;
        }
        match events.count() {
            0 => (),
            more => write!(aside, "  +{more}")?,
        }
        let line = format!("  {:>4.0}s {marks:<40}{aside}", start.as_secs_f64());
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// When the outages of a class began and how long they were.
fn outages(gaps: &[GapSummary], service: Option<Service>) -> Vec<(Duration, Duration)> {
    let min = service.map_or(Duration::MAX, |service| service.outage_min);
    let outages = gaps.iter().filter(|gap| min <= gap.length);
    outages.map(|gap| (gap.at, gap.length)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_has_a_bar_for_each_value() {
        assert_eq!(sparkline(&[0, 1, 4, 8]), " ▁▄█");
        assert_eq!(sparkline(&[]), "");
        assert_eq!(sparkline(&[0, 0]), "  ");
    }

    /// Wherever the percentiles lie, a row fits.
    #[test]
    fn a_row_with_all_percentiles_in_it_fits() {
        let bins = [Bin { from_us: 100, to_us: 250, count: 1000 }];
        let latency = Latency {
            count: 1000,
            p50: 101,
            p90: 102,
            p99: 103,
            p99_9: 104,
            p99_99: 105,
            max: 106,
            mean: 101,
        };
        let mut out = String::new();
        histogram(&mut out, &bins, &latency).unwrap();
        assert!(out.ends_with(" 100.0%  p50 to max\n"), "{out}");
        assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    }

    #[test]
    fn cells_are_as_fine_as_fits() {
        let slots = |seconds| cell_slots(Duration::from_secs(seconds), 50);
        assert_eq!([slots(1), slots(5), slots(6), slots(60), slots(3600)], [1, 1, 2, 20, 600]);
    }
}
