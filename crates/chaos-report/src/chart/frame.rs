//! What all rows of the timeline share: the axis of time, and where a row begins.
//!
//! Whatever lies in time is inside an inner picture, whose units are milliseconds across and pixels
//! down. To zoom is to change what part of it is seen; text stands outside, so that it is not
//! stretched, and says in `data-a` and `data-b` what time it is for.

use crate::run::span::Span;
use crate::text::{Escaped, put, px, real};

/// Left of the plots, for names.
pub(crate) const LEFT: f64 = 76.0;

/// Of the plots.
pub(crate) const WIDE: f64 = 1000.0;

/// Of all, with room for names on the right.
pub(crate) const TOTAL: f64 = 1130.0;

/// The rows so far.
pub(crate) struct Frame {
    pub(crate) span: Span,
    /// Where the next row begins.
    pub(crate) y: f64,
    pub(crate) body: String,
}

impl Frame {
    pub(crate) fn new(span: Span) -> Self {
        Self { span, y: 0.0, body: String::new() }
    }

    /// Milliseconds in all.
    pub(crate) fn long(&self) -> f64 {
        real(self.span.length_us) / 1e3
    }

    /// Pixels from the left of an instant after the begin.
    pub(crate) fn x(&self, at_us: u64) -> f64 {
        LEFT + real(at_us) / 1e3 / self.long() * WIDE
    }

    /// What a row shows, in a line of its own above it.
    pub(crate) fn title(&mut self, name: &str, more: &str) {
        let y = px(self.y + 12.0);
        let (name, more) = (Escaped(name), Escaped(more));
        put!(
            self.body,
            "<text class=\"name\" x=\"{left}\" y=\"{y}\">{name}<tspan class=\"dim\" dx=\"8\">{more}</tspan></text>\n",
            left = px(LEFT)
        );
        self.y += 18.0;
    }

    /// Text left of a row.
    pub(crate) fn side(&mut self, y: f64, class: &str, text: &str) {
        let (x, y, text) = (px(LEFT - 8.0), px(y), Escaped(text));
        put!(self.body, "<text class=\"{class} end\" x=\"{x}\" y=\"{y}\">{text}</text>\n");
    }

    /// Opens the inner picture of a row.
    pub(crate) fn open(&mut self, high: f64) {
        let (x, y, long) = (px(LEFT), px(self.y), px(self.long()));
        let (wide, high) = (px(WIDE), px(high));
        put!(
            self.body,
            "<svg class=\"z\" x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{high}\" \
             viewBox=\"0 0 {long} {high}\" preserveAspectRatio=\"none\">"
        );
    }

    pub(crate) fn close(&mut self, high: f64) {
        self.body.push_str("</svg>\n");
        self.y += high;
    }

    /// Lines across the plot, with what they stand for on the left.
    pub(crate) fn grid(&mut self, lines: &[(f64, String)]) {
        for (down, text) in lines {
            let y = self.y + down;
            let (from, to, at) = (px(LEFT), px(LEFT + WIDE), px(y));
            put!(self.body, "<path class=\"grid\" d=\"M{from} {at}H{to}\"/>");
            self.side(y + 4.0, "tick", text);
        }
    }

    /// The axis of time.
    pub(crate) fn axis(&mut self) {
        let y = px(self.y);
        put!(
            self.body,
            "<g id=\"axis\" data-y=\"{y}\"><path class=\"axis\" d=\"M{} {y}h{}\"/>",
            px(LEFT),
            px(WIDE)
        );
        let step_us = step(self.span.length_us);
        for at_us in (0..=self.span.length_us).step_by(usize::try_from(step_us).expect("64 bits")) {
            let x = px(self.x(at_us));
            let label = label(at_us, step_us);
            put!(
                self.body,
                "<path class=\"axis\" d=\"M{x} {y}v5\"/>\
                 <text class=\"tick mid\" x=\"{x}\" y=\"{}\">{label}</text>",
                px(self.y + 18.0)
            );
        }
        self.body.push_str("</g>\n");
        self.y += 26.0;
    }
}

/// How far apart the ticks of an axis are: twelve at most.
fn step(length_us: u64) -> u64 {
    let seconds = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200];
    let steps = [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000];
    let all = steps.into_iter().chain(seconds.map(|it| it * 1_000_000));
    let fits = |step: &u64| length_us / step <= 12;
    all.into_iter().find(fits).unwrap_or(length_us / 12)
}

fn label(at_us: u64, step_us: u64) -> String {
    let seconds = at_us / 1_000_000;
    match step_us {
        0..1_000_000 => format!("{} s", px(real(at_us) / 1e6)),
        1_000_000..60_000_000 if seconds < 120 => format!("{seconds} s"),
        _ if seconds < 3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
    }
}
