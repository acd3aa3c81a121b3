//! A run while it goes on: the same picture as the report's, drawn in the browser from what the
//! server of the page sends.

use crate::chart::palette;
use crate::page::STYLE;
use crate::text::{Escaped, put};

const SCRIPT: &str = include_str!("page/dashboard.js");

/// As strict as the report's, but for the server that the page came from.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'";

/// What can be done to all of a cluster: what is sent, to whom, and what the button says.
const WHOLE: [[&str; 3]; 5] = [
    ["kill", "leader", "kill the leader"],
    ["pause", "leader", "pause the leader"],
    ["partition", "leader", "cut off the leader"],
    ["partition", "minority", "cut off a minority"],
    ["heal", "all", "heal everything"],
];

/// A page that shows a cluster as it is, and has buttons to break and heal it.
///
/// It reads Server-Sent Events from `/events?token=…`, each with one JSON object as its data, told
/// apart by their fields:
///
/// * `{"mono_us":…,"node":1,"state":"up","role":"leader","term":3,"commit":…,"applied":…}`, as the
///   lines of `states.jsonl`;
/// * `{"mono_ns":…,"kind":"kill","node":1,…}`, as the lines of `events.jsonl`. After the kinds
///   `stopped` and `verdict` the page asks for no more; `verdict` may have `verdict` and `why`;
/// * `{"mono_us":…,"length_us":…,"ok":…,"failed":…,"unknown":…,"p50_us":…,"p99_us":…,"max_us":…}`,
///   what the clients saw in the time of that length which ended then; percentiles may be `null`.
///   Without any such line there is no picture of the load.
///
/// A button sends `POST /do?token=…` with `{"do":"kill","target":"n1"}` as JSON: `kill`, `pause`,
/// `resume`, `partition` or `heal`, of a node, `leader`, `minority` or `all`. The body of the answer
/// is shown if it is not a success.
///
/// The server is to listen on loopback only, to refuse whoever names another host or does not know
/// the token, and to send `Content-Security-Policy: frame-ancestors 'none'`, which no page can say
/// for itself.
pub fn dashboard_page(token: &str) -> String {
    let mut out = String::with_capacity(1 << 15);
    put!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\" data-token=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>A cluster, live</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>\n{STYLE}</style>\n</head>\n<body class=\"live\">\n\
         <svg class=\"defs\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs>",
        Escaped(token)
    );
    palette::patterns(&mut out, "c-", 1.0);
    out.push_str(
        "</defs></svg>\n<header class=\"harness\" id=\"strip\"><div class=\"inner\"><div class=\"badge\" id=\"sign\" \
         aria-hidden=\"true\">●</div><div class=\"words\"><h1><strong id=\"verdict\">LIVE</strong> <span id=\"name\"></span></h1>\
         <p class=\"why\" id=\"why\" role=\"status\">waiting for the first word</p></div></div></header>\n<main>\n\
         <ul class=\"tiles\" id=\"tiles\"></ul>\n\
         <section aria-label=\"Timeline\"><h2>The last minutes</h2><div class=\"wide\"><svg id=\"live\" class=\"chart\" \
         role=\"img\" aria-label=\"timeline of the last minutes\"></svg></div>\n\
         <p class=\"hint\">L leads, F follows, C is a candidate, N learns, x is down, P is paused, S says nothing</p></section>\n\
         <section aria-label=\"Faults\"><h2>Break it</h2>\n<p class=\"acts\">",
    );
    for [act, target, words] in WHOLE {
        put!(
            out,
            "<button type=\"button\" data-do=\"{act}\" data-target=\"{target}\">{words}</button> "
        );
    }
    put!(
        out,
        "</p>\n<table id=\"nodes\"><tbody></tbody></table>\n<p class=\"hint\" id=\"said\" role=\"status\"></p></section>\n\
         <section aria-label=\"Events\"><h2>Events</h2><table class=\"events\"><tbody id=\"log\"></tbody></table></section>\n\
         <noscript><p class=\"missing\">A live picture needs JavaScript. The report of the run will not.</p></noscript>\n\
         </main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    );
    out
}
