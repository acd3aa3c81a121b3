//! The faults in a table: what was done, and what became of it.

use super::{close, open};
use crate::run::results::{Fault, Results};
use crate::text::{self, Escaped, micros, put, px, real};

/// Rows, at most: all that did not bite, and then those with the longest gaps.
const ROWS_MAX: usize = 300;

pub(super) fn table(out: &mut String, results: &Results) {
    open(out, "faults", "Faults and failovers");
    let shown = shown(&results.faults);
    if shown.is_empty() {
        super::note(out, "there was no fault");
        return close(out);
    }
    if shown.len() < results.faults.len() {
        let note = format!(
            "{} of {} faults: those that did not bite, and those with the longest gaps. All are in results.json.",
            shown.len(),
            results.faults.len()
        );
        super::note(out, &note);
    }
    out.push_str(
        "<p class=\"lead\">A gap is the longest time without an acknowledged write, by the clients of lists: from the fault to its \
         end, and later until the next fault. Whole again is when all nodes were up and caught up under one leader.</p>\n\
         <div class=\"wide\"><table class=\"faults\">\n<thead><tr><th>#</th><th>At</th><th>What</th><th>Leader</th><th>Term</th>\
         <th>Election</th><th>Gap</th><th>Later gap</th><th>Whole again</th><th>Outcome</th><th>Evidence</th></tr></thead>\n<tbody>\n",
    );
    let longest = results.gaps().last().copied().unwrap_or(1);
    for place in shown {
        row(out, results, &results.faults[place], longest);
    }
    out.push_str("</tbody></table></div>\n");
    close(out);
}

fn shown(faults: &[Fault]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..faults.len()).collect();
    places.sort_by_key(|place| {
        let fault = &faults[*place];
        (fault.bit(), std::cmp::Reverse(fault.gap_us))
    });
    places.truncate(ROWS_MAX);
    places.sort_unstable();
    places
}

fn row(out: &mut String, results: &Results, fault: &Fault, longest: u64) {
    let at_us = fault.at_mono_us.saturating_sub(results.begun_mono_us);
    let until =
        fault.until_mono_us.unwrap_or(fault.at_mono_us).saturating_sub(results.begun_mono_us);
    let end_us = until.max(at_us.saturating_add(fault.gap_us));
    put!(
        out,
        "<tr data-a=\"{}\" data-b=\"{}\"><td>{}</td><td class=\"number\">{}</td><td>{}{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td>{}</td>",
        px(real(at_us) / 1e3),
        px(real(end_us) / 1e3),
        fault.number,
        text::at(at_us),
        Escaped(&fault.what),
        if fault.leader_hit { "<br><small class=\"dim\">the leader was hit</small>" } else { "" },
        change(fault.leader_before, fault.leader_after, "n"),
        change(fault.term_before, fault.term_after, ""),
        Escaped(if fault.election.is_empty() { "–" } else { &fault.election })
    );
    let bar = real(fault.gap_us) / real(longest.max(1)) * 100.0;
    let later = fault.later_gap_us.map_or_else(|| "–".to_owned(), micros);
    let whole = match fault.whole_us {
        Some(whole_us) => micros(whole_us),
        None if !fault.bit() => "–".to_owned(),
        None if fault.overtaken => "overtaken".to_owned(),
        None => "not seen".to_owned(),
    };
    let gap = if fault.bit() { micros(fault.gap_us) } else { "–".to_owned() };
    let bar = if fault.bit() { bar.min(100.0) } else { 0.0 };
    let class = match fault.outcome.as_str() {
        "installed" => "pass",
        "skipped" => "harness",
        _ => "open",
    };
    let evidence = fault.shown();
    let (comma, reason) = if evidence.is_empty() || fault.reason.is_empty() {
        ("", &fault.reason)
    } else {
        ("; ", &fault.reason)
    };
    put!(
        out,
        "<td class=\"number gap\">{gap}<i style=\"width:{}%\"></i></td><td class=\"number\">{later}</td><td class=\"number\">{whole}</td>\
         <td><span class=\"mark {class}\">{}</span></td><td class=\"said\">{}{comma}{}</td></tr>\n",
        px(bar),
        Escaped(&fault.outcome),
        Escaped(evidence),
        Escaped(reason)
    );
}

/// Before and after, once if nothing has changed.
fn change(before: Option<u64>, after: Option<u64>, prefix: &str) -> String {
    let name = |it: Option<u64>| it.map_or_else(|| "?".to_owned(), |it| format!("{prefix}{it}"));
    match (before, after) {
        (None, None) => "–".to_owned(),
        (before, after) if before == after => name(before),
        (before, after) => format!("{} → {}", name(before), name(after)),
    }
}
