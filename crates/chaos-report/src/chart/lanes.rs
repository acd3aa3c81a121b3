//! Who was what when: a lane for each node, one for the terms, and one for each kind of fault.

use super::frame::{Frame, LEFT, WIDE};
use super::palette;
use crate::run::results::{Fault, Results};
use crate::run::states::{Mode, States, Stretch};
use crate::text::{self, Escaped, put, px, real};

const NODE: f64 = 22.0;
const FAULT: f64 = 16.0;
const TERMS: f64 = 20.0;

/// Stretches of a lane that are drawn, at most: beyond, what nobody could see is left out.
const STRETCHES_MAX: usize = 600;

/// Faults that are drawn, at most.
const FAULTS_MAX: usize = 1_000;

/// The terms of the leaders, as far as they were seen.
pub(crate) fn terms(frame: &mut Frame, states: &States) {
    frame.side(frame.y + 14.0, "tick", "leader");
    let shown = &states.reigns[..states.reigns.len().min(STRETCHES_MAX)];
    frame.open(TERMS);
    for reign in shown {
        let (x, title) = (px(real(reign.at_us) / 1e3), text::at(reign.at_us));
        put!(
            frame.body,
            "<path class=\"reign\" d=\"M{x} 0V{}\"><title>n{} leads term {}, seen at {title}</title></path>",
            px(TERMS),
            reign.node,
            reign.term
        );
    }
    frame.body.push_str("</svg>\n");
    let mut free = 0.0;
    for (place, reign) in shown.iter().enumerate() {
        let name = format!("n{} t{}", reign.node, reign.term);
        let wide = 7.0 * real(name.len() as u64) + 8.0;
        let x = frame.x(reign.at_us);
        let fits = free <= x && x + wide <= LEFT + WIDE + 40.0;
        if fits {
            free = x + wide;
        }
        let next = shown.get(place + 1).map_or(frame.span.length_us, |next| next.at_us);
        label(frame, [reign.at_us, next], [x + 4.0, frame.y + 14.0], ("reigns", &name, fits));
    }
    frame.y += TERMS + 4.0;
}

/// The lanes of the nodes.
pub(crate) fn nodes(frame: &mut Frame, states: &States, faults: &[Fault]) {
    for (node, stretches) in &states.nodes {
        let name = format!("n{node}");
        frame.side(frame.y + 15.0, "name", &name);
        frame.open(NODE);
        put!(
            frame.body,
            "<rect class=\"well\" width=\"{}\" height=\"{}\"/>",
            px(frame.long()),
            px(NODE)
        );
        let drawn = thinned(stretches, frame.span.length_us);
        for stretch in &drawn {
            rect(frame, *node, *stretch);
        }
        for fault in faults.iter().filter(|it| it.nodes.contains(node)).take(FAULTS_MAX) {
            let [from, to] = during(frame, fault).map(|us| px(real(us) / 1e3));
            put!(frame.body, "<path class=\"hit\" d=\"M{from} {0}H{to}\"/>", px(NODE - 1.5));
        }
        frame.body.push_str("</svg>\n");
        for stretch in drawn {
            let name = match stretch.mode {
                Mode::Leader => format!("L t{}", stretch.term),
                other => other.letter().to_owned(),
            };
            let [from, to] = [frame.x(stretch.from_us), frame.x(stretch.to_us)];
            let fits = 7.0 * real(name.len() as u64) + 6.0 <= to - from;
            let at = [f64::midpoint(from, to), frame.y + 15.0];
            let class = format!("in {}", stretch.mode.word());
            label(frame, [stretch.from_us, stretch.to_us], at, (&class, &name, fits));
        }
        frame.y += NODE + 4.0;
    }
}

fn rect(frame: &mut Frame, node: u64, stretch: Stretch) {
    let Stretch { from_us, to_us, mode, term } = stretch;
    let (x, wide) = (px(real(from_us) / 1e3), px(real(to_us - from_us) / 1e3));
    let (fill, word) = (palette::fill(mode, "t-"), mode.word());
    let term = if term == 0 { String::new() } else { format!(" in term {term}") };
    put!(
        frame.body,
        "<rect x=\"{x}\" width=\"{wide}\" height=\"{}\" {fill}><title>n{node} {word}{term}, {} to {}</title></rect>",
        px(NODE),
        text::at(from_us),
        text::at(to_us)
    );
}

/// Text for a stretch of time, hidden while it does not fit.
fn label(frame: &mut Frame, time_us: [u64; 2], at: [f64; 2], text: (&str, &str, bool)) {
    let [from, to] = time_us.map(|us| px(real(us) / 1e3));
    let [x, y] = at.map(px);
    let (class, name, fits) = text;
    let hidden = if fits { "" } else { " style=\"display:none\"" };
    put!(
        frame.body,
        "<text class=\"t {class}\" data-a=\"{from}\" data-b=\"{to}\" x=\"{x}\" y=\"{y}\"{hidden}>{name}</text>\n"
    );
}

/// Neighbours that are one for the eye are one for the page, until few enough are left.
fn thinned(stretches: &[Stretch], length_us: u64) -> Vec<Stretch> {
    let mut least_us = 0;
    loop {
        let mut kept: Vec<Stretch> = Vec::new();
        for stretch in stretches {
            match kept.last_mut() {
                Some(last) if stretch.to_us - stretch.from_us < least_us => {
                    last.to_us = stretch.to_us;
                }
                _ => kept.push(*stretch),
            }
        }
        if kept.len() <= STRETCHES_MAX {
            return kept;
        }
        least_us = (least_us * 2).max(length_us / 4_000).max(1);
    }
}

/// From a fault's begin to its end, if it has one.
fn during(frame: &Frame, fault: &Fault) -> [u64; 2] {
    let from = frame.span.offset(fault.at_mono_us);
    let to = fault.until_mono_us.map_or(from, |until| frame.span.offset(until));
    [from, to.max(from)]
}

/// The lanes of the faults.
pub(crate) fn faults(frame: &mut Frame, results: &Results) {
    for (place, kind) in results.kinds().into_iter().take(16).enumerate() {
        frame.side(frame.y + 12.0, "tick", &shortened(kind));
        frame.open(FAULT);
        put!(
            frame.body,
            "<rect class=\"well\" width=\"{}\" height=\"{}\"/>",
            px(frame.long()),
            px(FAULT)
        );
        let these = results.faults.iter().filter(|it| it.kind == kind);
        for fault in these.take(FAULTS_MAX) {
            let [from, to] = during(frame, fault);
            let (x, wide) = (px(real(from) / 1e3), px(real(to - from) / 1e3));
            let (class, high) = (palette::curve(place), px(FAULT - 4.0));
            let doubt = if fault.outcome == "installed" { "" } else { " doubtful" };
            let title = format!(
                "#{} {}: {}, at {}",
                fault.number,
                fault.what,
                fault.outcome,
                text::at(from)
            );
            put!(
                frame.body,
                "<path class=\"fault {class}{doubt}\" d=\"M{x} 2h{wide}v{high}h-{wide}z\"><title>{}</title></path>",
                Escaped(title)
            );
        }
        frame.close(FAULT);
        frame.y += 3.0;
    }
}

fn shortened(kind: &str) -> String {
    kind.replace('_', " ").chars().take(12).collect()
}

/// The time of every fault, behind all rows.
pub(crate) fn bands(frame: &Frame, faults: &[Fault], high: f64) -> String {
    let mut out = String::new();
    let mut behind = Frame::new(frame.span);
    behind.open(high);
    out.push_str(&behind.body);
    for fault in faults.iter().take(FAULTS_MAX) {
        let [from, to] = during(frame, fault);
        let (x, wide, high) = (px(real(from) / 1e3), px(real(to - from) / 1e3), px(high));
        put!(
            out,
            "<rect class=\"band\" x=\"{x}\" width=\"{wide}\" height=\"{high}\"/><path class=\"rule\" d=\"M{x} 0V{high}\"/>"
        );
    }
    out.push_str("</svg>\n");
    out
}
