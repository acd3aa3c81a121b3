//! What came of it: the verdict, a violation in words, the run in numbers, the claims.

use super::{close, open};
use crate::account::{account, found, in_short};
use crate::run::Run;
use crate::run::history::History;
use crate::run::results::Results;
use crate::text::{self, Escaped, count, micros, put};

/// The class and the sign of a verdict of the run.
fn sign(verdict: &str) -> (&'static str, &'static str) {
    match verdict {
        "PASS" => ("pass", "✓"),
        "FAIL" => ("fail", "✗"),
        "INCONCLUSIVE" => ("open", "?"),
        _ => ("harness", "!"),
    }
}

/// The first thing that is seen.
pub(super) fn strip(out: &mut String, results: &Results) {
    let (class, sign) = sign(&results.verdict);
    put!(
        out,
        "<header class=\"{class}\">\n<div class=\"inner\">\n<div class=\"badge\" aria-hidden=\"true\">{sign}</div>\n\
         <div class=\"words\">\n<h1><strong>{}</strong> {}</h1>\n<p class=\"why\">{}</p>\n",
        Escaped(&results.verdict),
        Escaped(&results.scenario),
        Escaped(in_short(&results.why))
    );
    if !results.shows.is_empty() {
        put!(out, "<p class=\"shows\">What it shows: {}</p>\n", Escaped(&results.shows));
    }
    out.push_str("</div>\n<dl class=\"facts\">\n");
    let seed = results.seed.map(|seed| seed.to_string()).unwrap_or_default();
    let system = if results.system == "raft" { "" } else { &results.system };
    let nodes =
        if results.nodes.is_empty() { String::new() } else { results.nodes.len().to_string() };
    let facts = [("system", system), ("nodes", &nodes), ("seed", &seed), ("ended", &results.ended)];
    for (name, value) in facts.into_iter().filter(|(_, value)| !value.is_empty()) {
        put!(out, "<div><dt>{name}</dt><dd>{}</dd></div>\n", Escaped(value));
    }
    out.push_str("</dl>\n");
    if !results.command.is_empty() {
        put!(
            out,
            "<p class=\"again\"><span>again</span> <code id=\"command\">{}</code> \
             <button id=\"copy\" class=\"only-script\" type=\"button\">copy</button></p>\n",
            Escaped(&results.command)
        );
    }
    out.push_str("</div>\n</header>\n");
}

/// If a promise was broken: who wrote what, and who read what, before anything else.
pub(super) fn violation(out: &mut String, results: &Results) {
    let judgement = results.judgement.as_ref();
    let broken = judgement.filter(|it| it.verdict == "violation" || it.wrong_hint.is_some());
    let failed = results.claims.iter().filter(|it| it.verdict == "fail");
    let failed: Vec<_> = failed.collect();
    if broken.is_none() && failed.is_empty() {
        return;
    }
    out.push_str(
        "<section class=\"violation\" aria-label=\"What went wrong\">\n<h2>What went wrong</h2>\n",
    );
    if let Some(judgement) = broken {
        put!(
            out,
            "<pre class=\"account\">{}</pre>\n",
            Escaped(account(&judgement.words).join("\n"))
        );
        if let Some(hint) = &judgement.wrong_hint {
            put!(out, "<pre class=\"account\">{}</pre>\n", Escaped(hint));
        }
    }
    for claim in
        failed.into_iter().filter(|claim| judgement.is_none_or(|it| it.words != claim.evidence))
    {
        put!(
            out,
            "<p><b>{}</b>: {}</p>\n",
            Escaped(&claim.words),
            Escaped(found(&claim.words, &claim.evidence))
        );
    }
    for clients in [&results.registers, &results.lists].into_iter().flatten() {
        let findings = clients.verify.as_ref().and_then(|it| it.get("findings")?.as_array());
        for finding in findings.into_iter().flatten().take(20) {
            put!(
                out,
                "<pre class=\"account\">{}</pre>\n",
                Escaped(crate::run::results::words(finding))
            );
        }
    }
    out.push_str("</section>\n");
}

/// The run in numbers.
pub(super) fn tiles(out: &mut String, run: &Run) {
    let results = &run.results;
    let mut tiles: Vec<(String, &str)> = Vec::new();
    let clients = [&results.registers, &results.lists];
    let sum = |of: &dyn Fn(&crate::run::results::Clients) -> u64| {
        clients.iter().filter_map(|it| it.as_ref()).map(of).fold(0, u64::saturating_add)
    };
    if results.registers.is_some() || results.lists.is_some() {
        tiles.push((count(sum(&|it| it.ok)), "operations acknowledged"));
        let (failed, unknown) = (sum(&|it| it.failed), sum(&|it| it.unknown));
        tiles.push((format!("{} / {}", count(failed), count(unknown)), "failed / unknown"));
    }
    let bit = results.faults.iter().filter(|fault| fault.bit()).count();
    let all = results.faults.len();
    let faults = if bit == all { bit.to_string() } else { format!("{bit} of {all}") };
    tiles.push((faults, "faults that bit"));
    let gaps = results.gaps();
    if let (Some(median), Some(longest)) = (gaps.get(gaps.len() / 2), gaps.last()) {
        tiles.push((micros(*median), "median gap in writes"));
        tiles.push((micros(*longest), "longest gap in writes"));
    }
    if let Some((_, length_us)) = run.history.as_ref().ok().and_then(History::silence) {
        tiles.push((micros(length_us), "longest without any answer"));
    }
    if let Ok(states) = &run.states {
        tiles.push((states.reigns.len().to_string(), "leaders in turn"));
    }
    tiles.push((micros(run.span.length_us), "from start to end"));
    out.push_str("<ul class=\"tiles\">\n");
    for (value, name) in tiles {
        put!(out, "<li><b>{value}</b><span>{name}</span></li>\n");
    }
    out.push_str("</ul>\n");
}

/// What is claimed, and whether it holds.
pub(super) fn claims(out: &mut String, results: &Results) {
    open(out, "claims", "Claims");
    if results.claims.is_empty() {
        super::note(out, "the run came to no claims");
        return close(out);
    }
    let held = results.claims.iter().filter(|it| it.verdict == "pass").count() as u64;
    put!(
        out,
        "<p class=\"lead\">{held} of {} hold. Each with how it was looked at, and what was found.</p>\n\
         <div class=\"wide\"><table class=\"claims\">\n<thead><tr><th>Claim</th><th>Verdict</th><th>How it was looked at</th><th>Evidence</th></tr></thead>\n<tbody>\n",
        text::counted(results.claims.len() as u64, "claim")
    );
    for claim in &results.claims {
        let (class, sign) = match claim.verdict.as_str() {
            "pass" => ("pass", "✓ holds"),
            "fail" => ("fail", "✗ broken"),
            "not_exercised" => ("open", "– not exercised"),
            _ => ("open", "? open"),
        };
        put!(
            out,
            "<tr><th scope=\"row\">{}</th><td><span class=\"mark {class}\">{sign}</span></td><td class=\"dim\">{}</td><td class=\"said\">{}</td></tr>\n",
            Escaped(&claim.words),
            Escaped(&claim.how),
            Escaped(found(&claim.words, &claim.evidence))
        );
    }
    out.push_str("</tbody></table></div>\n");
    close(out);
}
