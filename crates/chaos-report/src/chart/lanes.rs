//! Who was what when: a lane for each node, one for the terms, and one for each kind of fault.

use super::frame::{Frame, LEFT, WIDE};
use super::palette;
use crate::run::results::{Fault, Results};
use crate::run::states::{Mode, States, Stretch};
use crate::text::{self, Escaped, put, px, real};

const NODE: f64 = 22.0;
const FAULT: f64 = 16.0;
const TERMS: f64 = 20.0;

/// Stretches that are drawn, of all lanes: beyond, what nobody could see is left out.
const STRETCHES_MAX: usize = 1_250;

/// Stretches of a lane that have a name, also one that is seen only from near. More would be names
/// that nobody reads.
const NAMED_MAX: usize = 150;

/// Faults up to which each has a line across all rows.
const RULES_MAX: usize = 80;

/// Terms that are marked, at most.
const REIGNS_MAX: usize = 600;

/// Faults that are drawn, at most.
const FAULTS_MAX: usize = 1_000;

/// The terms of the leaders, as far as they were seen.
pub(crate) fn terms(frame: &mut Frame, states: &States) {
    frame.side(frame.y + 14.0, "tick", "leader");
    let shown = &states.reigns[..states.reigns.len().min(REIGNS_MAX)];
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
        let drawn = thinned(stretches, frame.span.length_us, STRETCHES_MAX / states.nodes.len());
        for stretch in &drawn {
            rect(frame, *node, *stretch);
        }
        let mut hits = String::new();
        for fault in faults.iter().filter(|it| it.nodes.contains(node)).take(FAULTS_MAX) {
            let [from, to] = during(frame, fault).map(|us| px(real(us) / 1e3));
            put!(hits, "M{from} {}H{to}", px(NODE - 1.5));
        }
        put!(frame.body, "<path class=\"hit\" d=\"{hits}\"/>");
        frame.body.push_str("</svg>\n");
        let named = drawn.len() <= NAMED_MAX;
        for stretch in drawn {
            let name = match stretch.mode {
                Mode::Leader => format!("L t{}", stretch.term),
                other => other.letter().to_owned(),
            };
            let [from, to] = [frame.x(stretch.from_us), frame.x(stretch.to_us)];
            let fits = 7.0 * real(name.len() as u64) + 6.0 <= to - from;
            if !fits && !named {
                continue;
            }
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
    let term = if mode == Mode::Leader { format!(" in term {term}") } else { String::new() };
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

/// Few enough stretches to be drawn. Followers are followers in whatever term. If that is still too
/// much, each of so many equal parts of the time is what the node was for most of it.
fn thinned(stretches: &[Stretch], length_us: u64, most: usize) -> Vec<Stretch> {
    let joined = join(stretches.iter().copied());
    if joined.len() <= most {
        return joined;
    }
    let parts = most.max(1) as u64;
    let (mut shown, mut first) = (Vec::new(), 0);
    for part in 0..parts {
        let [from_us, to_us] = [part, part + 1].map(|it| length_us * it / parts);
        while joined.get(first).is_some_and(|it| it.to_us <= from_us) {
            first += 1;
        }
        let inside = joined[first..].iter().take_while(|it| it.from_us < to_us);
        let share = |it: &&Stretch| it.to_us.min(to_us) - it.from_us.max(from_us);
        if let Some(longest) = inside.max_by_key(share) {
            let mode_and_term = *longest;
            shown.push(Stretch { from_us, to_us, ..mode_and_term });
        }
    }
    join(shown.into_iter())
}

/// Neighbours that look the same, as one.
fn join(stretches: impl Iterator<Item = Stretch>) -> Vec<Stretch> {
    let mut joined: Vec<Stretch> = Vec::new();
    for stretch in stretches {
        match joined.last_mut() {
            Some(last)
                if last.to_us == stretch.from_us
                    && last.mode == stretch.mode
                    && (last.term == stretch.term || stretch.mode != Mode::Leader) =>
            {
                last.to_us = stretch.to_us;
            }
            _ => joined.push(stretch),
        }
    }
    joined
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
    let (mut areas, mut rules) = (String::new(), String::new());
    for fault in faults.iter().take(FAULTS_MAX) {
        let [from, to] = during(frame, fault);
        let (x, wide, high) = (px(real(from) / 1e3), px(real(to - from) / 1e3), px(high));
        put!(areas, "M{x} 0h{wide}v{high}h-{wide}z");
        put!(rules, "M{x} 0V{high}");
    }
    put!(out, "<path class=\"band\" d=\"{areas}\"/>");
    // More lines than that would hide what they are to explain.
    if faults.len() <= RULES_MAX {
        put!(out, "<path class=\"rule\" d=\"{rules}\"/>");
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(from_us: u64, to_us: u64, mode: Mode, term: u64) -> Stretch {
        Stretch { from_us, to_us, mode, term }
    }

    #[test]
    fn a_follower_is_one_in_whatever_term() {
        let stretches = [
            stretch(0, 10, Mode::Follower, 1),
            stretch(10, 20, Mode::Follower, 2),
            stretch(20, 30, Mode::Leader, 3),
            stretch(30, 40, Mode::Leader, 4),
            stretch(50, 60, Mode::Leader, 4),
        ];
        let shown = thinned(&stretches, 60, 10);
        let ends: Vec<_> = shown.iter().map(|it| (it.from_us, it.to_us)).collect();
        assert_eq!(ends, [(0, 20), (20, 30), (30, 40), (50, 60)], "nor is a hole filled");
    }

    /// Half of the time leader, and half of the picture.
    #[test]
    fn what_is_too_fine_is_shown_by_its_share() {
        let mode = |it: u64| if it % 100 < 50 { Mode::Leader } else { Mode::Down };
        let fine = (0..10_000).map(|it| {
            let odd = if it % 10 == 0 { Mode::Paused } else { mode(it) };
            stretch(it * 10, it * 10 + 10, odd, it)
        });
        let shown = thinned(&fine.collect::<Vec<_>>(), 100_000, 1_000);
        assert!(shown.len() <= 1_000);
        let led = shown.iter().filter(|it| it.mode == Mode::Leader);
        let led: u64 = led.map(|it| it.to_us - it.from_us).sum();
        assert!((40_000..=55_000).contains(&led), "{led} of 100000");
        let whole: u64 = shown.iter().map(|it| it.to_us - it.from_us).sum();
        assert_eq!(whole, 100_000);
    }
}
