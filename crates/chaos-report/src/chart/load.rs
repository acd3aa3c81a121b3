//! What the clients saw: how much was answered, what was not, and how long it took.

use super::frame::{Frame, LEFT, WIDE};
use crate::run::history::{Bin, History};
use crate::run::latency::Latencies;
use crate::text::{self, micros, put, px, real};

const HIGH: f64 = 130.0;
const STRIP: f64 = 24.0;

/// One figure of many latencies, if there are any.
type Figure = fn(&Latencies) -> Option<u64>;

/// Three rows.
pub(crate) fn draw(frame: &mut Frame, history: &History) {
    throughput(frame, history);
    not_ok(frame, history);
    latency(frame, history);
}

/// Opens what is drawn with a bin as the unit across.
fn open(frame: &mut Frame, high: f64) {
    let bin_ms = px(real(frame.span.bin_us) / 1e3);
    frame.open(high);
    put!(frame.body, "<g transform=\"scale({bin_ms} 1)\">");
}

fn throughput(frame: &mut Frame, history: &History) {
    let bin_us = frame.span.bin_us;
    frame.title("Answered", &format!("operations per second, in bins of {}", micros(bin_us)));
    let most = history.bins.iter().map(|bin| bin.ended.ok).max().unwrap_or(0).max(1);
    let (top, lines) = scale(real(most) * 1e6 / real(bin_us));
    let y = |ok: u64| HIGH - real(ok) * 1e6 / real(bin_us) / top * HIGH;
    let grid: Vec<_> =
        lines.iter().map(|rate| (HIGH - rate / top * HIGH, text::count(rounded(*rate)))).collect();
    frame.grid(&grid);
    open(frame, HIGH);
    let mut path = format!("M0 {}", px(HIGH));
    let mut last = String::new();
    for bin in &history.bins {
        let next = format!("{:.1}", y(bin.ended.ok));
        if next != last {
            put!(path, "V{next}");
            last = next;
        }
        path.push_str("h1");
    }
    put!(frame.body, "<path class=\"ok\" d=\"{path}V{}Z\"/></g>", px(HIGH));
    frame.close(HIGH);
}

/// Failed and unknown, which are rare: on a scale of their own, and never too small to be seen.
fn not_ok(frame: &mut Frame, history: &History) {
    frame.y += 3.0;
    let most = history.bins.iter().map(|bin| bin.ended.not_ok()).max().unwrap_or(0);
    frame.side(frame.y + 16.0, "tick", "not ok");
    if most == 0 {
        let (x, y) = (px(LEFT + 6.0), px(frame.y + 16.0));
        put!(
            frame.body,
            "<rect class=\"well\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\
             <text class=\"dim\" x=\"{x}\" y=\"{y}\">none failed, and none of unknown outcome</text>\n",
            px(LEFT),
            px(frame.y),
            px(WIDE),
            px(STRIP)
        );
        frame.y += STRIP;
        return;
    }
    let (x, y) = (px(LEFT + WIDE + 6.0), px(frame.y + 10.0));
    put!(frame.body, "<text class=\"tick\" x=\"{x}\" y=\"{y}\">≤ {}</text>", text::count(most));
    open(frame, STRIP);
    put!(
        frame.body,
        "<rect class=\"well\" width=\"{}\" height=\"{}\"/>",
        history.bins.len(),
        px(STRIP)
    );
    let high =
        |count: u64| if count == 0 { 0.0 } else { (real(count) / real(most) * STRIP).max(4.0) };
    let mut paths = [String::new(), String::new()];
    for (place, bin) in history.bins.iter().enumerate() {
        let (unknown, failed) = (high(bin.ended.unknown), high(bin.ended.failed));
        let bars = [(unknown, STRIP), (failed, STRIP - unknown)];
        for (path, (high, from)) in paths.iter_mut().zip(bars) {
            if 0.0 < high {
                put!(path, "M{place} {}v-{}h1v{}z", px(from), px(high), px(high));
            }
        }
    }
    let [unknown, failed] = paths;
    put!(
        frame.body,
        "<path class=\"unknown\" d=\"{unknown}\"/><path class=\"failed\" d=\"{failed}\"/></g>"
    );
    frame.close(STRIP);
}

fn latency(frame: &mut Frame, history: &History) {
    frame.y += 12.0;
    frame.title(
        "Latency",
        "of what was answered, logarithmic: p50, p99 and the longest of each bin",
    );
    let least = history.bins.iter().filter_map(|bin| bin.latencies.quantile(500)).min();
    let most = history.bins.iter().map(|bin| bin.latencies.max_us).max();
    let (Some(least), Some(most)) = (least, most) else {
        put!(
            frame.body,
            "<text class=\"dim\" x=\"{}\" y=\"{}\">nothing was answered</text>\n",
            px(LEFT + 6.0),
            px(frame.y + 16.0)
        );
        frame.y += STRIP;
        return;
    };
    let floor = least.max(1).ilog10();
    let decades = most.max(2).ilog10() + 1 - floor;
    let y = |us: u64| {
        let decade = (real(us.max(1)).log10() - f64::from(floor)) / f64::from(decades);
        HIGH - decade.clamp(0.0, 1.0) * HIGH
    };
    let lines = (0..=decades).map(|up| {
        let us = 10_u64.saturating_pow(floor + up);
        (y(us), micros(us).replace(".00", "").replace(".0", ""))
    });
    frame.grid(&lines.collect::<Vec<_>>());
    let value = |bin: &Bin, of: Figure| of(&bin.latencies);
    let curves: [(&str, Figure); 3] = [
        ("max", |it| (0 < it.max_us).then_some(it.max_us)),
        ("p99", |it| it.quantile(990)),
        ("p50", |it| it.quantile(500)),
    ];
    open(frame, HIGH);
    let mut ends: Vec<(f64, &str)> = Vec::new();
    for (name, of) in curves {
        let heights = history.bins.iter().map(|bin| value(bin, of).map(y));
        put!(frame.body, "<path class=\"line {name}\" d=\"{}\"/>", steps(heights));
        let end = history.bins.iter().rev().find_map(|bin| value(bin, of));
        ends.push((end.map_or(0.0, y), name));
    }
    frame.body.push_str("</g></svg>\n");
    names(frame, ends);
    frame.y += HIGH;
}

/// Names at the ends of curves, far enough from each other.
fn names(frame: &mut Frame, mut ends: Vec<(f64, &str)>) {
    ends.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut lowest = 4.0;
    for (y, name) in ends {
        let y = f64::max(y + 4.0, lowest);
        lowest = y + 13.0;
        let (x, y) = (px(LEFT + WIDE + 6.0), px(frame.y + y));
        put!(frame.body, "<text class=\"tag {name}\" x=\"{x}\" y=\"{y}\">{name}</text>\n");
    }
}

/// A line of steps, a unit each, that breaks off where there is nothing.
fn steps(heights: impl Iterator<Item = Option<f64>>) -> String {
    let (mut path, mut last): (String, Option<String>) = (String::new(), None);
    for (place, height) in heights.enumerate() {
        let next = height.map(|height| format!("{height:.1}"));
        match (&last, &next) {
            (_, None) => {}
            (None, Some(y)) => put!(path, "M{place} {y}h1"),
            (Some(before), Some(y)) if before == y => path.push_str("h1"),
            (Some(_), Some(y)) => put!(path, "V{y}h1"),
        }
        last = next;
    }
    path
}

/// A round number not below `most`, and lines below it.
pub(super) fn scale(most: f64) -> (f64, Vec<f64>) {
    let power = 10_f64.powf(most.max(1e-9).log10().floor());
    let step = [0.2, 0.5, 1.0, 2.0].map(|it| it * power).into_iter().find(|it| most / it <= 5.0);
    let step = step.unwrap_or(5.0 * power);
    let count = (most / step).ceil().clamp(1.0, 10.0);
    let lines = (0..=10_u8).map(f64::from).take_while(|it| *it <= count).map(|it| it * step);
    (count * step, lines.collect())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate from a count, for showing"
)]
fn rounded(value: f64) -> u64 {
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_round() {
        for (most, top, lines) in
            [(1370.0, 1500.0, 4), (3.0, 3.0, 4), (10.0, 10.0, 6), (48.0, 50.0, 6)]
        {
            let (found, marks) = scale(most);
            assert_eq!((found, marks.len()), (top, lines), "{most}: {marks:?}");
        }
    }

    #[test]
    fn lines_break_where_there_is_nothing() {
        let heights = [Some(1.0), Some(1.0), None, Some(2.0), Some(3.04)];
        assert_eq!(steps(heights.into_iter()), "M0 1.0h1h1M3 2.0h1V3.0h1");
    }
}
