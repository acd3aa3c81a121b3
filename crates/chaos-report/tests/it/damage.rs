//! Files that are missing or damaged cost what they would have shown, and the page says so. Without
//! results there is no page, and one clear error.

use std::path::Path;

use chaos_report::ReportError;

use crate::support::{copy, report, results, set_results};

const CLAIM: &str = "<th scope=\"row\">no acknowledged write lost</th>";

#[test]
fn a_missing_file_costs_its_panel_and_no_more() {
    let parts = [
        ("history.jsonl", "history.jsonl cannot be read: ", ">Answered<"),
        ("states.jsonl", "states.jsonl cannot be read: ", ">Nodes<"),
        ("events.jsonl", "events.jsonl cannot be read: ", "the scenario is over"),
        ("load/bench", "load/bench cannot be read: ", "put (44)"),
    ];
    for (name, said, lost) in parts {
        let dir = copy();
        assert!(report(dir.path()).contains(lost), "{lost} belongs to the page");
        let path = dir.path().join(name);
        let removed = if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.unwrap();
        let page = report(dir.path());
        assert!(page.contains(said), "{name}");
        assert!(!page.contains(lost), "{name}");
        assert!(
            page.contains(CLAIM) && page.contains(">Faults<"),
            "{name} costs more than its panel"
        );
    }
}

#[test]
fn results_alone_are_enough() {
    let dir = copy();
    let alone = tempfile::tempdir().unwrap();
    std::fs::copy(dir.path().join("results.json"), alone.path().join("results.json")).unwrap();
    assert!(report(alone.path()).contains(CLAIM));
    // And the least that results can be.
    let least = serde_json::json!({"schema": "raft-chaos/1", "scenario": "s", "verdict": "FAIL", "why": "w"});
    set_results(alone.path(), &least);
    let page = report(alone.path());
    assert!(page.contains("there was no fault") && page.contains("the run came to no claims"));
}

#[test]
fn damaged_lines_are_left_out_and_counted() {
    let dir = copy();
    for name in ["history.jsonl", "states.jsonl"] {
        let path = dir.path().join(name);
        let mut text = std::fs::read(&path).unwrap();
        text.splice(0..0, *b"\xff\xfe\0\n{\"called_ns\":1\n[]\n");
        text.extend(b"{\"process\":1,\"key\":\"k\",\"cal");
        std::fs::write(path, text).unwrap();
    }
    let page = report(dir.path());
    assert!(page.contains("history.jsonl: 4 damaged lines left out, of 148"), "torn at both ends");
    assert!(page.contains("states.jsonl: 4 damaged lines left out, of 91"));
    assert!(page.contains(">Answered<") && page.contains(">Nodes<"));
}

#[test]
fn files_of_nothing_sensible_are_as_good_as_missing() {
    let dir = copy();
    for name in ["history.jsonl", "states.jsonl", "load/bench/put.hgrm", "load/bench/get.hgrm"] {
        std::fs::write(dir.path().join(name), [0, 159, 146, 150].repeat(1000)).unwrap();
    }
    let page = report(dir.path());
    for said in [
        "history.jsonl has no operation that can be read",
        "states.jsonl has no line that can be read",
        "load/bench has no .hgrm file that can be read",
    ] {
        assert!(page.contains(said), "{said}");
    }
}

/// Numbers at the ends of what can be written down must not stop the report.
#[test]
fn absurd_numbers_are_shown_somehow() {
    let dir = copy();
    let mut results = results(dir.path());
    let far = u64::MAX;
    results["faults"][0]["at_mono_us"] = far.into();
    results["faults"][0]["gap_us"] = far.into();
    results["faults"][1]["at_mono_us"] = 0.into();
    results["faults"][1]["until_mono_us"] = far.into();
    results["faults"][3]["whole_us"] = far.into();
    results["registers"]["started_mono_us"] = far.into();
    results["registers"]["ok"] = far.into();
    for (begun, ended) in [(0, 0), (0, far), (far, 0), (far, far), (5_000_000_000, 5_000_000_001)] {
        results["begun_mono_us"] = begun.into();
        results["ended_mono_us"] = ended.into();
        set_results(dir.path(), &results);
        let page = report(dir.path());
        assert!(
            page.contains(CLAIM) && page.len() <= 1_000_000,
            "{begun} to {ended}: {}",
            page.len()
        );
    }
}

#[test]
fn without_results_there_is_one_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let error = chaos_report::write(dir.path()).unwrap_err();
    assert!(matches!(error, ReportError::NoResults { .. }), "{error:?}");
    assert!(
        error.to_string().starts_with("could not read ")
            && error.to_string().ends_with("results.json")
    );

    let fails = |text: &str| {
        std::fs::write(dir.path().join("results.json"), text).unwrap();
        chaos_report::write(dir.path()).unwrap_err()
    };
    assert!(matches!(fails("{"), ReportError::Damaged { .. }));
    let schema = fails("{\"schema\":\"raft-chaos/2\"}").to_string();
    assert!(
        schema.ends_with("has schema \"raft-chaos/2\", and this reads \"raft-chaos/1\""),
        "{schema}"
    );
    assert!(matches!(
        fails("{\"schema\":\"raft-chaos/1\",\"scenario\":1}"),
        ReportError::Damaged { .. }
    ));
    assert!(!Path::new(&dir.path().join("report.html")).exists());
}

#[test]
fn a_directory_that_cannot_be_written_is_an_error() {
    let dir = copy();
    std::fs::create_dir_all(dir.path().join("report.html.unfinished")).unwrap();
    let error = chaos_report::write(dir.path()).unwrap_err();
    assert!(matches!(error, ReportError::NotWritten { .. }), "{error:?}");
}
