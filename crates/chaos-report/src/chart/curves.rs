//! Two plots of curves: percentiles of latency, and how many gaps were how long.

use super::palette;
use crate::run::percentiles::Percentiles;
use crate::run::results::Results;
use crate::run::span::POINTS_MAX;
use crate::text::{self, Escaped, micros, put, px, real};

const WIDE: f64 = 430.0;
const HIGH: f64 = 230.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 10.0;

/// A curve with its name.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
    /// Drawn as steps with a dot at each, and not as a line.
    steps: bool,
}

/// A plot: where its lines are, from 0 to 1, and what they say.
struct Plot {
    label: &'static str,
    across: Vec<(f64, String)>,
    down: Vec<(f64, String)>,
    curves: Vec<Curve>,
}

/// Milliseconds over `1 / (1 - percentile)`, both logarithmic.
pub(crate) fn percentiles(all: &[Percentiles]) -> String {
    let points = || all.iter().flat_map(|it| it.points.iter());
    let right = points().map(|point| point.0).fold(10.0, f64::max).log10().ceil().min(9.0);
    let least = points().map(|point| point.1).filter(|it| 0.0 < *it).fold(f64::MAX, f64::min);
    let most = points().map(|point| point.1).fold(least.min(1e9), f64::max);
    let (floor, high) = decades(least * 1e3, most * 1e3);
    let names = [
        // Its name would stand in the next one's.
        (1.0, ""),
        (2.0, "50 %"),
        (10.0, "90 %"),
        (1e2, "99 %"),
        (1e3, "99.9 %"),
        (1e4, "99.99 %"),
        (1e5, "99.999 %"),
        (1e6, "99.9999 %"),
    ];
    let across =
        names.map(|(inverse, name): (f64, &str)| (inverse.log10() / right, name.to_owned()));
    let across = across.into_iter().filter(|it| it.0 <= 1.0).collect();
    let place = |(inverse, ms): &(f64, f64)| {
        (inverse.log10() / right, ((ms * 1e3).max(1.0).log10() - floor) / high)
    };
    let curves = all.iter().map(|it| Curve {
        name: format!("{} ({})", it.operation, text::count(it.count)),
        points: it.points.iter().map(place).collect(),
        steps: false,
    });
    let curves = curves.collect();
    let label = "Latency by percentile, both axes logarithmic";
    Plot { label, across, down: lines(floor, high), curves }.draw()
}

/// The part of the gaps of each kind of fault that were no longer than so much.
pub(crate) fn gaps(results: &Results) -> Option<String> {
    let all = results.gaps();
    let (least, most) = (all.first()?, all.last()?);
    let (floor, wide) = decades(real(*least), real(*most));
    let mut curves = Vec::new();
    for kind in results.kinds() {
        let these = results.faults.iter().filter(|it| it.kind == kind && it.bit());
        let mut these: Vec<u64> = these.map(|fault| fault.gap_us).collect();
        these.sort_unstable();
        let Some(end) = these.len().checked_sub(1) else { continue };
        let every = these.len().div_ceil(usize::try_from(POINTS_MAX / 4).expect("small"));
        let places = (0..=end).filter(|place| place % every == 0 || *place == end);
        let point = |place: usize| {
            let x = (real(these[place].max(1)).log10() - floor) / wide;
            (x, real(place as u64 + 1) / real(these.len() as u64))
        };
        let name = format!("{} ({})", kind.replace('_', " "), text::count(these.len() as u64));
        curves.push(Curve { name, points: places.map(point).collect(), steps: true });
    }
    let down = [(0.0, "0 %"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "100 %")];
    let down = down.map(|(y, name)| (y, name.to_owned())).to_vec();
    let label = "How many of the faults of each kind made no longer gap than so much";
    Some(Plot { label, across: lines(floor, wide), down, curves }.draw())
}

/// Whole powers of ten around some microseconds: the first, and how many.
fn decades(least: f64, most: f64) -> (f64, f64) {
    let floor = least.clamp(1.0, 1e12).log10().floor();
    let ceiling = most.clamp(1.0, 1e13).log10().ceil();
    (floor, (ceiling - floor).max(1.0))
}

fn lines(floor: f64, decades: f64) -> Vec<(f64, String)> {
    let mut found = Vec::new();
    for up in (0..=13_u8).map(f64::from).take_while(|up| *up <= decades) {
        let us = 10_f64.powf(floor + up);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a power of ten below 10^14"
        )]
        let name = micros(us.round() as u64).replace(".00", "").replace(".0", "");
        found.push((up / decades, name));
    }
    found
}

impl Plot {
    fn draw(&self) -> String {
        let mut out = String::new();
        let rows = real(self.curves.len().div_ceil(2) as u64);
        let total = TOP + HIGH + 26.0 + 18.0 * rows + 4.0;
        put!(
            out,
            "<svg class=\"chart\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
            px(LEFT + WIDE + 34.0),
            px(total),
            self.label
        );
        for (x, name) in &self.across {
            let at = px(LEFT + x * WIDE);
            put!(
                out,
                "<path class=\"grid\" d=\"M{at} {}v{}\"/><text class=\"tick mid\" x=\"{at}\" y=\"{}\">{name}</text>",
                px(TOP),
                px(HIGH),
                px(TOP + HIGH + 16.0)
            );
        }
        for (y, name) in &self.down {
            let at = TOP + HIGH - y * HIGH;
            put!(
                out,
                "<path class=\"grid\" d=\"M{} {}h{}\"/><text class=\"tick end\" x=\"{}\" y=\"{}\">{name}</text>",
                px(LEFT),
                px(at),
                px(WIDE),
                px(LEFT - 7.0),
                px(at + 4.0)
            );
        }
        for (place, curve) in self.curves.iter().enumerate() {
            curve.draw(&mut out, place);
        }
        out.push_str("</svg>\n");
        out
    }
}

impl Curve {
    fn draw(&self, out: &mut String, place: usize) {
        let class = palette::curve(place);
        let at = |(x, y): &(f64, f64)| {
            let held = |value: f64| value.clamp(0.0, 1.0);
            (px(LEFT + held(*x) * WIDE), px(TOP + HIGH - held(*y) * HIGH))
        };
        let mut path = String::new();
        for point in &self.points {
            let (x, y) = at(point);
            match (path.is_empty(), self.steps) {
                (true, true) => put!(path, "M{x} {}V{y}", px(TOP + HIGH)),
                (true, false) => put!(path, "M{x} {y}"),
                (false, true) => put!(path, "H{x}V{y}"),
                (false, false) => put!(path, "L{x} {y}"),
            }
        }
        put!(
            out,
            "<path class=\"curve {class}\" d=\"{path}\"><title>{}</title></path>",
            Escaped(&self.name)
        );
        if self.steps && self.points.len() <= 60 {
            for point in &self.points {
                let (x, y) = at(point);
                put!(out, "<circle class=\"dot {class}\" cx=\"{x}\" cy=\"{y}\" r=\"3\"/>");
            }
        }
        let x = LEFT + WIDE / 2.0 * real(place as u64 % 2);
        let y = TOP + HIGH + 38.0 + 18.0 * real(place as u64 / 2);
        put!(
            out,
            "<path class=\"curve {class}\" d=\"M{} {}h26\"/><text class=\"legend\" x=\"{}\" y=\"{}\">{}</text>",
            px(x),
            px(y - 4.0),
            px(x + 32.0),
            px(y),
            Escaped(&self.name)
        );
    }
}
