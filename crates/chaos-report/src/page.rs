//! The page, from top to bottom.

mod faults;
mod integrity;
mod surroundings;
mod verdict;

use crate::chart::{close_ups, curves, palette, timeline};
use crate::run::{Part, Run};
use crate::text::{Escaped, put};

/// No page is larger, but for a run with absurdly much to say.
const BYTES_MAX: usize = 1_000_000;

pub(crate) const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// Nothing may be loaded from anywhere, and nothing sent.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    img-src data:; base-uri 'none'; form-action 'none'";

/// The whole page.
pub(crate) fn render(run: &Run) -> String {
    let mut out = String::with_capacity(1 << 18);
    let results = &run.results;
    let title = format!("{}: {}", results.scenario, results.verdict);
    put!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n<body>\n",
        Escaped(title)
    );
    out.push_str("<svg class=\"defs\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>");
    palette::patterns(&mut out, "c-", 1.0);
    out.push_str("</defs></svg>\n");
    verdict::strip(&mut out, results);
    out.push_str("<main>\n");
    verdict::violation(&mut out, results);
    verdict::tiles(&mut out, run);
    verdict::claims(&mut out, results);
    over_time(&mut out, run);
    faults::table(&mut out, results);
    near(&mut out, run);
    spreads(&mut out, run);
    integrity::section(&mut out, run);
    surroundings::environment(&mut out, run);
    surroundings::not_exercised(&mut out, run);
    let script = format!(
        "<script type=\"application/json\" id=\"bins\">{}</script>\n<script>\n{SCRIPT}</script>\n",
        timeline::numbers(run)
    );
    let room = BYTES_MAX.saturating_sub(out.len() + script.len() + (20 << 10));
    surroundings::files(&mut out, &run.files, room);
    out.push_str("</main>\n");
    out.push_str(&script);
    out.push_str("</body>\n</html>\n");
    out
}

/// Opens a section of the page.
fn open(out: &mut String, id: &str, title: &str) {
    put!(
        out,
        "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n"
    );
}

fn close(out: &mut String) {
    out.push_str("</section>\n");
}

/// Says why a part is missing, or not whole.
fn missing<T>(out: &mut String, part: &Part<T>) {
    if let Err(why) = part {
        note(out, why);
    }
}

fn note(out: &mut String, why: &str) {
    put!(out, "<p class=\"missing\" role=\"note\">{}</p>\n", Escaped(why));
}

fn over_time(out: &mut String, run: &Run) {
    open(out, "over-time", "Timeline");
    missing(out, &run.history);
    missing(out, &run.states);
    let damage = [
        run.history
            .as_ref()
            .ok()
            .and_then(|it| it.tally.note().map(|it| format!("history.jsonl: {it}"))),
        run.states
            .as_ref()
            .ok()
            .and_then(|it| it.tally.note().map(|it| format!("states.jsonl: {it}"))),
    ];
    for why in damage.into_iter().flatten() {
        note(out, &why);
    }
    if let Ok(history) = &run.history
        && 0 < history.outside
    {
        let outside = crate::text::counted(history.outside, "operation");
        note(
            out,
            &format!("{outside} ended outside the time of the run, and are not in the picture"),
        );
    }
    legend(out, run);
    out.push_str("<div class=\"wide\">\n");
    out.push_str(&timeline::draw(run));
    out.push_str(
        "<div id=\"reading\" hidden></div></div>\n<p class=\"hint only-script\">Drag across to zoom, double-click or press Esc \
         for all; a click on a fault in the table below zooms to it.</p>\n",
    );
    if run.history.is_ok() {
        out.push_str(
            "<p class=\"hint\">The clients of registers, whose every operation was recorded and judged. An operation counts when \
             its outcome is known, so those that waited through a gap stand at its end.</p>\n",
        );
    }
    events(out, run);
    close(out);
}

/// What the laboratory did and saw, folded away.
fn events(out: &mut String, run: &Run) {
    missing(out, &run.events);
    let Ok(events) = &run.events else { return };
    let (shown, count) = (events.shown.len() as u64, crate::text::counted(events.count, "event"));
    let first =
        if shown < events.count { format!(", the first {shown} of them") } else { String::new() };
    put!(
        out,
        "<details><summary>{count}{first}: what was done and seen, in order</summary>\n\
         <div class=\"wide\"><table class=\"events\">\n<tbody>\n"
    );
    for event in &events.shown {
        put!(
            out,
            "<tr><td class=\"number\">{}</td><td>{}</td><td class=\"said\">{}</td></tr>\n",
            crate::text::at(event.at_us),
            Escaped(&event.kind),
            Escaped(&event.words)
        );
    }
    out.push_str("</tbody></table></div></details>\n");
}

/// Colours with their letters and words.
fn legend(out: &mut String, run: &Run) {
    use crate::run::states::Mode;
    out.push_str("<p class=\"key\">");
    if let Ok(states) = &run.states {
        let seen = |mode: Mode| states.nodes.values().flatten().any(|it| it.mode == mode);
        for mode in Mode::ALL.into_iter().filter(|mode| seen(*mode)) {
            put!(
                out,
                "<span><svg width=\"22\" height=\"14\" aria-hidden=\"true\"><rect width=\"22\" height=\"14\" {}/>\
                 <text class=\"in {word} key-letter\" x=\"11\" y=\"11\">{}</text></svg>{word}</span>",
                palette::fill(mode, "c-"),
                mode.letter(),
                word = mode.word()
            );
        }
    }
    if run.history.is_ok() {
        for word in ["ok", "unknown", "failed"] {
            put!(
                out,
                "<span><svg width=\"22\" height=\"14\" aria-hidden=\"true\"><rect class=\"{word}\" y=\"2\" width=\"22\" height=\"10\"/></svg>{word}</span>"
            );
        }
    }
    out.push_str("</p>\n");
}

fn near(out: &mut String, run: &Run) {
    let Ok(history) = &run.history else { return };
    let Some(figures) = close_ups::draw(run) else { return };
    open(out, "near", "From near");
    put!(
        out,
        "<p class=\"lead\">{} Above, operations answered in each bin, by the clients of registers; below, the nodes. The line is the fault.</p>\n",
        close_ups::words(run, history)
    );
    put!(out, "<div class=\"figures\">\n{figures}</div>\n");
    close(out);
}

fn spreads(out: &mut String, run: &Run) {
    open(out, "spreads", "How long things took");
    out.push_str("<div class=\"pair\">\n<figure><figcaption><b>Latency by percentile</b><span>of the clients of registers, from the first call to the answer, retries included</span></figcaption>\n");
    match &run.percentiles {
        Ok(all) => out.push_str(&curves::percentiles(all)),
        Err(why) => note(out, why),
    }
    out.push_str("</figure>\n<figure><figcaption><b>Gaps by kind of fault</b><span>the part of the faults whose longest time without an acknowledged write was no longer</span></figcaption>\n");
    match curves::gaps(&run.results) {
        Some(plot) => out.push_str(&plot),
        None => note(out, "no fault bit, so there are no gaps to compare"),
    }
    out.push_str("</figure>\n</div>\n");
    close(out);
}
