//! A run of an hour with a thousand faults stays a page that can be sent by mail.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::support::{between, copy, report, results, set_results};

const HOUR_US: u64 = 3_600_000_000;

fn fault(number: u64, begun_us: u64) -> Value {
    let kinds = ["kill", "pause", "partition", "link", "power_loss"];
    let at = begun_us + 2_000_000 + number * 3_500_000;
    let kind = kinds[usize::try_from(number).unwrap() % kinds.len()];
    json!({
        "number": number, "kind": kind, "what": format!("{kind} of n{} leader for 1.23s", number % 5 + 1),
        "nodes": [number % 5 + 1], "at_mono_us": at, "until_mono_us": at + 1_230_000,
        "leader_hit": number.is_multiple_of(2), "leader_before": 1, "term_before": number, "leader_after": 2,
        "term_after": number + 1, "election": "timeout", "gap_us": 20_000 + number * 977 % 900_000,
        "later_gap_us": 12_000, "whole_us": 1_500_000, "overtaken": false,
        "outcome": if number.is_multiple_of(50) { "skipped" } else { "installed" },
        "reason": "", "evidence": {"killed by SIGKILL": 1, "bytes held back": number},
    })
}

#[test]
fn an_hour_is_not_longer_than_a_megabyte() {
    let dir = copy();
    let mut results = results(dir.path());
    let begun_us = results["begun_mono_us"].as_u64().unwrap();
    results["ended_mono_us"] = (begun_us + HOUR_US).into();
    results["faults"] = (0..1000).map(|number| fault(number, begun_us)).collect::<Vec<_>>().into();
    set_results(dir.path(), &results);
    let (mut history, mut states) = (String::new(), String::new());
    for number in 0..60_000_u64 {
        let called_ns = number * 60_000_000;
        let took_ns = 900_000 + number * 7919 % 90_000_000;
        let outcome = ["{\"ok\":\"done\"}", "\"fail\"", "\"unknown\""]
            [usize::from(number % 7 == 0) + usize::from(number % 77 == 0)];
        writeln!(
            history,
            "{{\"process\":0,\"key\":\"k\",\"input\":\"get\",\"called_ns\":{called_ns},\"returned_ns\":{},\"outcome\":{outcome}}}",
            called_ns + took_ns
        )
        .unwrap();
    }
    for number in 0..30_000_u64 {
        // Five nodes that change at every look: more than any page can show.
        let role = ["leader", "follower", "candidate"][usize::try_from(number / 5 % 3).unwrap()];
        writeln!(
            states,
            "{{\"mono_us\":{},\"node\":{},\"state\":\"up\",\"role\":\"{role}\",\"term\":{}}}",
            begun_us + number / 5 * 600_000,
            number % 5 + 1,
            number / 15
        )
        .unwrap();
    }
    std::fs::write(dir.path().join("history.jsonl"), history).unwrap();
    std::fs::write(dir.path().join("states.jsonl"), states).unwrap();
    for number in 0..150 {
        std::fs::write(dir.path().join(format!("file{number:03}.log")), "x".repeat(40_000))
            .unwrap();
    }

    let page = report(dir.path());
    assert!(page.len() <= 1_000_000, "the page has {} bytes", page.len());
    let bins = between(&page, "id=\"bins\">", "</script>");
    let bins: Value = serde_json::from_str(bins).unwrap();
    assert_eq!(bins["ok"].as_array().unwrap().len(), 3600, "a bin for each second");
    let sum =
        |name: &str| bins[name].as_array().unwrap().iter().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!(sum("ok") + sum("failed") + sum("unknown"), 60_000);
    assert!(page.contains("300 of 1000 faults"));
    let rows = between(&page, "<table class=\"faults\">", "</table>").matches("<tr data-a").count();
    assert_eq!(rows, 300);
    let saved = page.matches(">save</a>").count();
    assert!(saved < 150, "what does not fit is not carried: {saved}");
    assert_eq!(page.matches("<a href=\"./file").count(), 150, "and yet is named");
}
