//! Faults from near: a small picture each, in bins of 10 ms.

use super::palette;
use crate::run::Run;
use crate::run::history::{FINE_US, History, Window};
use crate::run::results::Fault;
use crate::run::states::States;
use crate::text::{self, Escaped, put, px, real};

const WIDE: f64 = 330.0;
const LEFT: f64 = 26.0;
const HIGH: f64 = 64.0;
const LANE: f64 = 9.0;

/// A figure for each fault that is shown from near.
pub(crate) fn draw(run: &Run) -> Option<String> {
    let history = run.history.as_ref().ok()?;
    let mut out = String::new();
    for (place, window) in run.close.iter().zip(&history.windows) {
        figure(&mut out, run, &run.results.faults[*place], window);
    }
    (!out.is_empty()).then_some(out)
}

fn figure(out: &mut String, run: &Run, fault: &Fault, window: &Window) {
    let states = run.states.as_ref().ok();
    let lanes = states.map_or(0, |states| states.nodes.len().min(9));
    let high = HIGH + 6.0 + (LANE + 2.0) * real(lanes as u64) + 16.0;
    let gap = text::micros(fault.gap_us);
    put!(
        out,
        "<figure><figcaption><b>#{} {}</b><span>{gap} without an acknowledged write</span></figcaption>\
         <svg class=\"chart\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"operations answered around fault {}\">",
        fault.number,
        Escaped(&fault.what),
        px(LEFT + WIDE + 4.0),
        px(high),
        fault.number
    );
    bars(out, window);
    let long_us = window.bins.len() as u64 * FINE_US;
    let x = |mono_us: u64| {
        let after = mono_us.saturating_sub(window.from_us).min(long_us);
        LEFT + real(after) / real(long_us) * WIDE
    };
    let at_us = run.span.held(fault.at_mono_us);
    if let Some(states) = states {
        strips(out, run, states, window);
    }
    let floor = high - 16.0;
    put!(out, "<path class=\"rule near\" d=\"M{} 0V{}\"/>", px(x(at_us)), px(floor));
    let step_us = if long_us <= 1_500_000 { 250_000 } else { 1_000_000 };
    let mut tick = 0;
    while at_us + tick < window.from_us + long_us {
        put!(
            out,
            "<text class=\"tick mid\" x=\"{}\" y=\"{}\">{}</text>",
            px(x(at_us + tick)),
            px(high - 3.0),
            if tick == 0 { "0".to_owned() } else { format!("+{} s", px(real(tick) / 1e6)) }
        );
        tick += step_us;
    }
    out.push_str("</svg></figure>\n");
}

/// What was answered in each bin, and what was not.
fn bars(out: &mut String, window: &Window) {
    let most = window.bins.iter().map(|bin| bin.ok).max().unwrap_or(0).max(1);
    let across = WIDE / real(window.bins.len() as u64);
    put!(
        out,
        "<rect class=\"well\" x=\"{0}\" width=\"{1}\" height=\"{2}\"/>\
         <text class=\"tick end\" x=\"{3}\" y=\"10\">{4}</text>\
         <g transform=\"translate({0} 0) scale({5:.5} 1)\">",
        px(LEFT),
        px(WIDE),
        px(HIGH),
        px(LEFT - 4.0),
        most,
        across
    );
    let mut path = format!("M0 {}", px(HIGH));
    let mut not_ok = [String::new(), String::new()];
    for (place, bin) in window.bins.iter().enumerate() {
        put!(path, "V{:.0}h1", HIGH - real(bin.ok) / real(most) * (HIGH - 4.0));
        for (path, count) in not_ok.iter_mut().zip([bin.unknown, bin.failed]) {
            if 0 < count {
                put!(path, "M{place} 0v7h1v-7z");
            }
        }
    }
    let [unknown, failed] = not_ok;
    put!(
        out,
        "<path class=\"ok\" d=\"{path}V{}Z\"/><path class=\"unknown\" d=\"{unknown}\"/><path class=\"failed\" d=\"{failed}\"/></g>",
        px(HIGH)
    );
}

fn strips(out: &mut String, run: &Run, states: &States, window: &Window) {
    let from_us = window.from_us - run.span.from_us;
    let long_us = window.bins.len() as u64 * FINE_US;
    let mut y = HIGH + 6.0;
    for (node, stretches) in states.nodes.iter().take(9) {
        put!(
            out,
            "<text class=\"tick end\" x=\"{}\" y=\"{}\">n{node}</text>",
            px(LEFT - 4.0),
            px(y + 8.0)
        );
        let seen =
            stretches.iter().filter(|it| from_us < it.to_us && it.from_us < from_us + long_us);
        for stretch in seen.take(100) {
            let place =
                |us: u64| real(us.saturating_sub(from_us).min(long_us)) / real(long_us) * WIDE;
            let (begin, end) = (place(stretch.from_us), place(stretch.to_us));
            put!(
                out,
                "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {}><title>n{node} {}</title></rect>",
                px(LEFT + begin),
                px(y),
                px(end - begin),
                px(LANE),
                palette::fill(stretch.mode, "c-"),
                stretch.mode.word()
            );
        }
        y += LANE + 2.0;
    }
}

/// How many faults are shown from near, of how many.
pub(crate) fn words(run: &Run, history: &History) -> String {
    let shown = history.windows.len();
    let all = run.results.faults.iter().filter(|fault| fault.bit()).count();
    if shown == all {
        return "Every fault that bit, in bins of 10 ms.".to_owned();
    }
    format!("The {shown} faults of {all} with the longest gaps, in bins of 10 ms.")
}
