//! The master timeline: clients, nodes and faults over one axis of time.

use super::frame::{Frame, LEFT, TOTAL, WIDE};
use super::{lanes, load, palette};
use crate::run::Run;
use crate::run::history::Bin;
use crate::text::{self, put, px, real};

/// The picture. Rows whose file is missing are left out: the page says so.
pub(crate) fn draw(run: &Run) -> String {
    let mut frame = Frame::new(run.span);
    frame.y = 4.0;
    if let Ok(states) = &run.states {
        lanes::terms(&mut frame, states);
    }
    if let Ok(history) = &run.history {
        load::draw(&mut frame, history);
    }
    if let Ok(states) = &run.states {
        frame.y += 12.0;
        frame.title(
            "Nodes",
            "by the role that each said it had; underlined while a fault was on it",
        );
        lanes::nodes(&mut frame, states, &run.results.faults);
    }
    frame.y += 8.0;
    frame.title("Faults", "from when one was made until it was undone");
    lanes::faults(&mut frame, &run.results);
    let high = frame.y;
    frame.axis();
    let mut out = String::new();
    let (wide, total) = (px(TOTAL), px(frame.y));
    put!(
        out,
        "<svg id=\"timeline\" class=\"chart\" viewBox=\"0 0 {wide} {total}\" role=\"img\" \
         aria-labelledby=\"timeline-title timeline-words\" data-left=\"{}\" data-wide=\"{}\" \
         data-long=\"{}\">\n<title id=\"timeline-title\">Timeline of the run</title>\
         <desc id=\"timeline-words\">{}</desc>\n<defs>",
        px(LEFT),
        px(WIDE),
        px(frame.long()),
        words(run)
    );
    palette::patterns(&mut out, "t-", frame.long() / WIDE);
    out.push_str("</defs>\n");
    out.push_str(&lanes::bands(&frame, &run.results.faults, high));
    out.push_str(&frame.body);
    put!(
        out,
        "<rect id=\"brush\" y=\"0\" width=\"0\" height=\"{0}\"/><path id=\"cross\" d=\"M0 0V{0}\"/>\n</svg>\n",
        px(high)
    );
    out
}

/// For whoever cannot see it.
fn words(run: &Run) -> String {
    let faults = text::counted(run.results.faults.len() as u64, "fault");
    let long = text::micros(run.span.length_us);
    let leaders = run.states.as_ref().map_or(0, |states| states.reigns.len() as u64);
    let leaders = text::counted(leaders, "leader");
    format!(
        "{long} with {faults} and {leaders} one after the other. The tables below say the same."
    )
}

/// The bins as numbers, for the reading beside the pointer.
pub(crate) fn numbers(run: &Run) -> String {
    let Ok(history) = &run.history else { return "{}".to_owned() };
    let list = |of: &dyn Fn(&Bin) -> u64| {
        let numbers: Vec<String> = history.bins.iter().map(|bin| of(bin).to_string()).collect();
        numbers.join(",")
    };
    let quantile = |bin: &Bin, per_mille| bin.latencies.quantile(per_mille).unwrap_or(0);
    let mut out = String::new();
    put!(
        out,
        "{{\"bin\":{},\"ok\":[{}],\"p50\":[{}],\"p99\":[{}],\"max\":[{}]",
        px(real(run.span.bin_us) / 1e3),
        list(&|bin| bin.ended.ok),
        list(&|bin| quantile(bin, 500)),
        list(&|bin| quantile(bin, 990)),
        list(&|bin| bin.latencies.max_us)
    );
    if 0 < history.total.not_ok() {
        let (failed, unknown) = (list(&|bin| bin.ended.failed), list(&|bin| bin.ended.unknown));
        put!(out, ",\"failed\":[{failed}],\"unknown\":[{unknown}]");
    }
    out.push('}');
    out
}
