//! Where it ran, what it did not try, and the files that all of this comes from.

use super::{close, open};
use crate::run::Run;
use crate::run::files::RawFile;
use crate::run::results::words;
use crate::text::{Escaped, base64, count, link, put};

/// What the laboratory can do to a cluster.
const KINDS: [&str; 16] = [
    "bit_flip",
    "block_log",
    "clock",
    "disk_error",
    "disk_full",
    "fds",
    "kill",
    "link",
    "membership",
    "partition",
    "pause",
    "power_loss",
    "restart",
    "slow_disk",
    "swizzle",
    "transfer",
];

/// Files that are shown on the page as they are.
const SHOWN: [&str; 3] = ["scenario.yaml", "executed.yaml", "cluster.yaml"];

pub(super) fn environment(out: &mut String, run: &Run) {
    let results = &run.results;
    open(out, "environment", "Environment");
    out.push_str("<dl class=\"environment\">\n");
    let build =
        if results.debug_build { "debug build: its times say little" } else { "optimised build" };
    let client = |it: &crate::run::results::Clients| it.client_debug_build;
    let slow = [&results.registers, &results.lists].into_iter().flatten().any(client);
    let clients = if slow { "debug build: their times say little" } else { "optimised build" };
    let mut lines: Vec<(String, String)> = vec![
        ("server".to_owned(), results.program.clone()),
        ("server is a".to_owned(), build.to_owned()),
        ("clients are a".to_owned(), clients.to_owned()),
    ];
    let named = |name: &String| match name.as_str() {
        "load" => "load average at the end".to_owned(),
        other => other.replace('_', " "),
    };
    lines.extend(
        results.environment.iter().take(60).map(|(name, value)| (named(name), words(value))),
    );
    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        put!(out, "<dt>{}</dt><dd>{}</dd>\n", Escaped(name), Escaped(value));
    }
    out.push_str("</dl>\n");
    for name in SHOWN {
        let file = run.files.iter().find(|file| file.path == name);
        let Some(content) = file.and_then(|file| file.content.as_ref()) else { continue };
        // What was executed names every fault: it is for the machine that repeats it.
        let head: String = String::from_utf8_lossy(content).chars().take(8_000).collect();
        put!(out, "<details><summary>{name}</summary><pre>{}</pre></details>\n", Escaped(head));
    }
    close(out);
}

pub(super) fn not_exercised(out: &mut String, run: &Run) {
    let coverage = &run.results.coverage;
    open(out, "coverage", "What was exercised, and what was not");
    if !coverage.kinds.is_empty() {
        out.push_str(
            "<div class=\"wide\"><table class=\"kinds\">\n<thead><tr><th>Kind of fault</th><th>Bit</th><th>Skipped</th><th>In doubt</th></tr></thead>\n<tbody>\n",
        );
        for (kind, tally) in coverage.kinds.iter().take(60) {
            put!(
                out,
                "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>\n",
                Escaped(kind.replace('_', " ")),
                count(tally.installed),
                count(tally.skipped),
                count(tally.indeterminate)
            );
        }
        out.push_str("</tbody></table></div>\n");
    }
    out.push_str("<h3>Not exercised</h3>\n<ul class=\"gaps\">\n");
    for line in coverage.not_exercised.iter().take(100) {
        put!(out, "<li>planned, and did not come: {}</li>\n", Escaped(line));
    }
    let seen = run.results.kinds();
    let absent: Vec<String> = KINDS
        .iter()
        .filter(|kind| !seen.contains(*kind) && !coverage.kinds.contains_key(**kind))
        .map(|kind| kind.replace('_', " "))
        .collect();
    if !absent.is_empty() {
        put!(
            out,
            "<li>kinds of fault that this scenario does not have: {}</li>\n",
            absent.join(", ")
        );
    }
    out.push_str(
        "<li>more than one machine: all processes share one kernel, one clock and one disk</li>\n\
         <li>failing hardware, and an operating system that stops: whatever is lost here was dropped on purpose</li>\n\
         <li>processes that lie: nodes were stopped, cut off and slowed, and spoke the truth as they knew it</li>\n</ul>\n",
    );
    close(out);
}

/// All as links, and what is small also inside the page, as long as there is room.
pub(super) fn files(out: &mut String, files: &[RawFile], mut room: usize) {
    open(out, "files", "Files");
    out.push_str(
        "<p class=\"lead\">Beside this page, in the directory of the run. Small ones are also inside the page, so that they travel with it.</p>\n\
         <div class=\"wide\"><table class=\"files\">\n<thead><tr><th>File</th><th>Bytes</th><th>Inside</th></tr></thead>\n<tbody>\n",
    );
    for file in files {
        put!(
            out,
            "<tr><td><a href=\"{}\">{}</a></td><td class=\"number\">{}</td><td>",
            link(&file.path),
            Escaped(&file.path),
            count(file.bytes)
        );
        let encoded = file.content.as_ref().map(|it| it.len().div_ceil(3) * 4 + 200);
        if let (Some(content), Some(size)) = (&file.content, encoded)
            && size <= room
        {
            room -= size;
            let name = file.path.rsplit('/').next().unwrap_or_default();
            put!(
                out,
                "<a download=\"{}\" href=\"data:application/octet-stream;base64,{}\">save</a>",
                Escaped(name),
                base64(content)
            );
        }
        out.push_str("</td></tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    close(out);
}
