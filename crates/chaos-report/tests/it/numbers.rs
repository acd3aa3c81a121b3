//! Numbers on the page are those that the files give when they are counted another way.

use serde_json::Value;

use crate::support::{between, kept, report, results};

fn bins(page: &str) -> Value {
    let text = between(page, "<script type=\"application/json\" id=\"bins\">", "</script>");
    serde_json::from_str(text).expect("the page carries its bins as JSON")
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().expect("a list").iter().map(|it| it.as_u64().expect("a count")).collect()
}

fn history() -> Vec<Value> {
    let text = std::fs::read_to_string(kept().join("history.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_operation_is_in_one_bin() {
    let bins = bins(&report(crate::support::copy().path()));
    assert_eq!(bins["bin"], 100);
    let [ok, failed, unknown] = ["ok", "failed", "unknown"].map(|name| numbers(&bins[name]));
    assert_eq!([ok.len(), failed.len(), unknown.len()], [30; 3], "three seconds of 100 ms");
    let ends = |word: &str| history().iter().filter(|it| it["outcome"] == *word).count() as u64;
    let answered = history().iter().filter(|it| it["outcome"].is_object()).count() as u64;
    assert_eq!(ok.iter().sum::<u64>(), answered);
    assert_eq!(failed.iter().sum::<u64>(), ends("fail"));
    assert_eq!(unknown.iter().sum::<u64>(), ends("unknown"));
    // By hand: one operation every 20 ms, and none was answered from 1.00 s to 1.24 s.
    assert_eq!(ok[8..14], [5, 5, 0, 0, 3, 5], "by the time of return");
}

/// Within the 3 % that a bin's buckets may be off; the longest is exact.
#[test]
fn latencies_are_those_of_the_history() {
    let bins = bins(&report(crate::support::copy().path()));
    let [p50, longest] = ["p50", "max"].map(|name| numbers(&bins[name]));
    for bin in [0, 5, 13, 28] {
        let mut took: Vec<u64> = Vec::new();
        for operation in history().iter().filter(|it| it["outcome"].is_object()) {
            let time = |name: &str| operation[name].as_u64().unwrap() / 1000;
            if time("returned_ns") / 100_000 == bin as u64 {
                took.push(time("returned_ns") - time("called_ns"));
            }
        }
        took.sort_unstable();
        let middle = took[(took.len() - 1) / 2];
        assert!(p50[bin].abs_diff(middle) * 32 <= middle, "bin {bin}: {} for {middle}", p50[bin]);
        assert_eq!(longest[bin], *took.last().unwrap(), "bin {bin}");
    }
}

#[test]
fn the_median_gap_is_of_the_faults_that_bit() {
    let dir = crate::support::copy();
    let results = results(dir.path());
    let faults = results["faults"].as_array().unwrap();
    let bit = faults.iter().filter(|fault| fault["outcome"] == "installed");
    let mut gaps: Vec<u64> = bit.map(|fault| fault["gap_us"].as_u64().unwrap()).collect();
    gaps.sort_unstable();
    assert_eq!(gaps, [30_000, 50_000, 240_000]);
    assert_eq!(results["gaps"]["median_us"], gaps[1], "and as the run itself says");
    let page = report(dir.path());
    assert!(page.contains("<b>50.0 ms</b><span>median gap in writes</span>"));
    assert!(page.contains("<b>240 ms</b><span>longest gap in writes</span>"));
    assert!(page.contains("<b>3 of 4</b><span>faults that bit</span>"));
    assert!(page.contains("<b>2</b><span>leaders in turn</span>"));
}

/// Reads count here too: clients that all wait for a read write nothing, and no gap in writes shows.
#[test]
fn the_longest_silence_is_that_of_the_history() {
    let mut ends: Vec<u64> = Vec::new();
    for operation in history().iter().filter(|it| it["outcome"].is_object()) {
        ends.push(operation["returned_ns"].as_u64().unwrap() / 1000);
    }
    ends.sort_unstable();
    let exact = ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert_eq!(
        exact, 259_581,
        "between answers, of which the silence is what fills whole hundredths"
    );
    let page = report(crate::support::copy().path());
    assert!(page.contains("<b>250 ms</b><span>longest without any answer</span>"));
    assert!(page.contains("no answer at all was seen for 250 ms from 0.99 s on"));
}

#[test]
fn counts_that_disagree_are_said_to() {
    let dir = crate::support::copy();
    let mut results = results(dir.path());
    assert!(report(dir.path()).contains("as the clients report"));
    results["registers"]["ok"] = 7.into();
    crate::support::set_results(dir.path(), &results);
    let page = report(dir.path());
    assert!(page.contains(
        "129 answered, 10 failed and 5 of unknown outcome; the clients report 7, 10 and 5"
    ));
}

/// What the judge adds by itself is no disagreement.
#[test]
fn the_reads_at_the_end_are_told_apart() {
    let dir = crate::support::copy();
    let mut results = results(dir.path());
    results["registers"]["ok"] = 126.into();
    crate::support::set_results(dir.path(), &results);
    let page = report(dir.path());
    assert!(page.contains("The clients report the same, but for 3 reads"), "one for each key");
    assert!(!page.contains("; the clients report 126"));
}
