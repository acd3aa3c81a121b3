//! Whether the data is whole: what the judge and the clients counted.

use serde_json::Value;

use super::{close, open};
use crate::run::Run;
use crate::run::history::History;
use crate::run::results::{Clients, Judgement};
use crate::text::{Escaped, count, micros, put};

pub(super) fn section(out: &mut String, run: &Run) {
    open(out, "integrity", "Integrity");
    let results = &run.results;
    out.push_str("<div class=\"cards\">\n");
    match &results.judgement {
        Some(judgement) => card(out, "The judge of the history", &judged(judgement)),
        None => super::note(out, "the history was not judged"),
    }
    let clients =
        [("Clients of registers", &results.registers), ("Clients of lists", &results.lists)];
    for (name, clients) in clients {
        match clients {
            Some(clients) => card(out, name, &reported(clients)),
            None => super::note(out, &format!("{name}: nothing was reported")),
        }
    }
    let mut states = vec![("state hashes", results.hashes.clone())];
    if !results.summary.is_empty() {
        let lines: Vec<&str> = results.summary.lines().map(str::trim).collect();
        states.push(("cluster", lines.join("\n").replace("  ", "\n")));
    }
    card(out, "The nodes", &states);
    out.push_str("</div>\n");
    agreement(out, run);
    close(out);
}

/// A list of names and values.
fn card(out: &mut String, title: &str, lines: &[(&str, String)]) {
    put!(out, "<div class=\"card\"><h3>{title}</h3><dl>\n");
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        put!(out, "<dt>{}</dt><dd>{}</dd>\n", Escaped(name), Escaped(value));
    }
    out.push_str("</dl></div>\n");
}

fn judged(judgement: &Judgement) -> Vec<(&'static str, String)> {
    let took = judgement.took_effect.map_or_else(|| "not known".to_owned(), count);
    vec![
        ("verdict", judgement.verdict.clone()),
        ("found by", judgement.method.clone()),
        ("operations", count(judgement.operations)),
        ("keys", count(judgement.keys)),
        ("answered", count(judgement.answered)),
        ("failed", count(judgement.failed)),
        ("writes of unknown outcome", count(judgement.unknown_writes)),
        ("of which took effect", took),
    ]
}

fn reported(clients: &Clients) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("acknowledged", count(clients.ok)),
        ("failed", count(clients.failed)),
        ("unknown outcome", count(clients.unknown)),
        ("attempts repeated", count(clients.retries)),
        ("longest gap in writes", micros(clients.longest_gap_us)),
    ];
    for (name, us) in &clients.latency_us {
        let name = match name.as_str() {
            "p50" => "latency p50",
            "p99" => "latency p99",
            _ => continue,
        };
        lines.push((name, us.map(micros).unwrap_or_default()));
    }
    let errors: Vec<String> = clients
        .errors
        .iter()
        .map(|(kind, number)| format!("{} {}", kind.replace('_', " "), count(*number)))
        .collect();
    lines.push(("errors", errors.join(", ")));
    if let Some(verify) = &clients.verify {
        let number = |name: &str| verify.get(name).and_then(Value::as_u64);
        let named = [
            ("read back and looked for", "checked"),
            ("acknowledged and lost", "lost"),
            ("applied twice", "applied_twice"),
            ("found and never written", "unexpected"),
        ];
        for (name, key) in named {
            lines.push((name, number(key).map(count).unwrap_or_default()));
        }
    }
    lines
}

/// Numbers that come from two places must be one.
fn agreement(out: &mut String, run: &Run) {
    if let Some((at_us, length_us)) = run.history.as_ref().ok().and_then(History::silence) {
        put!(
            out,
            "<p class=\"hint\">By the clients of registers, reads included, no answer at all was seen for {} from {} on: the longest time of that kind.</p>\n",
            micros(length_us),
            crate::text::at(at_us)
        );
    }
    let (Ok(history), Some(clients)) = (&run.history, &run.results.registers) else { return };
    let seen = history.total;
    let told = [clients.ok, clients.failed, clients.unknown];
    let read = [seen.ok, seen.failed, seen.unknown];
    let [ok, failed, unknown] = read.map(count);
    let keys = run.results.judgement.as_ref().map_or(0, |it| it.keys);
    if read[0].checked_sub(told[0]) == Some(keys) && told[1..] == read[1..] && 0 < keys {
        put!(
            out,
            "<p class=\"hint\">Counted again for this page from history.jsonl: {ok} answered, {failed} failed, {unknown} of unknown outcome. The clients report the same, but for {} reads: of every key, when all was over.</p>\n",
            count(keys)
        );
    } else if told == read {
        put!(
            out,
            "<p class=\"hint\">Counted again for this page from history.jsonl: {ok} answered, {failed} failed, {unknown} of unknown outcome, as the clients report.</p>\n"
        );
    } else {
        let [their_ok, their_failed, their_unknown] = told.map(count);
        super::note(
            out,
            &format!(
                "history.jsonl holds {ok} answered, {failed} failed and {unknown} of unknown outcome; the clients report {their_ok}, {their_failed} and {their_unknown}"
            ),
        );
    }
}
