//! Names and messages come from processes that were being broken. None of them becomes markup.

use serde_json::Value;

use crate::support::{copy, report, results, set_results};

const HOSTILE: &str =
    "</title></pre></script><script>alert(1)</script><img src=x onerror=\"alert(2)\">'\u{202e}\0";

/// Every string and every name in the results, at any depth.
fn poison(value: &mut Value, keep: &[&str]) {
    match value {
        Value::String(text) => {
            if !keep.contains(&text.as_str()) {
                *text = format!("{text}{HOSTILE}");
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|it| poison(it, keep)),
        Value::Object(fields) => fields.values_mut().for_each(|it| poison(it, keep)),
        Value::Null | Value::Bool(_) | Value::Number(_) => (),
    }
}

#[test]
fn no_text_becomes_markup() {
    let dir = copy();
    let tags = |page: &str| page.matches("<script").count();
    let plain = report(dir.path());
    assert_eq!(tags(&plain), 2);
    let mut results = results(dir.path());
    results["judgement"]["verdict"] = "violation".into();
    results["judgement"]["wrong_hint"] = "hint".into();
    results["claims"][0]["verdict"] = "fail".into();
    results["lists"]["verify"]["findings"] = vec!["finding"].into();
    poison(&mut results, &["raft-chaos/1", "violation", "fail", "installed"]);
    results["faults"][0]["evidence"] = serde_json::json!({ HOSTILE: HOSTILE });
    results["environment"][HOSTILE] = HOSTILE.into();
    results["coverage"]["kinds"][HOSTILE] = serde_json::json!({"installed": 1});
    results["registers"]["errors"][HOSTILE] = 1.into();
    set_results(dir.path(), &results);
    let state = "{\"mono_us\":5000200000,\"node\":9,\"state\":\"</svg><script>\",\"role\":\"<img onerror=\"}\n";
    let path = dir.path().join("states.jsonl");
    let states = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{state}{states}")).unwrap();
    let bench = dir.path().join("load/bench");
    std::fs::rename(bench.join("put.hgrm"), bench.join("<img src=x onerror=alert(3)>.hgrm"))
        .unwrap();
    std::fs::write(dir.path().join("javascript:alert(4)"), "x").unwrap();
    std::fs::write(dir.path().join("scenario.yaml"), HOSTILE).unwrap();

    let page = report(dir.path());
    assert_eq!(tags(&page), 2, "a name has become a script");
    assert!(!page.contains("<img") && !page.contains('\0') && !page.contains('\u{202e}'));
    assert!(!page.contains("href=\"javascript:"));
    assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(1)"), "it is shown as what it is");
    assert!(page.contains("&lt;img src=x onerror=alert(3)&gt;"));
    assert!(page.contains("href=\"./javascript%3Aalert%284%29\""));
}

#[test]
fn a_violation_is_said_before_anything_else() {
    let dir = copy();
    let mut results = results(dir.path());
    let words =
        "client 3 wrote k7=812, acknowledged at 12.481s;\nclient 5 read k7=790 at 13.020s from n2";
    results["verdict"] = "FAIL".into();
    results["judgement"]["verdict"] = "violation".into();
    results["judgement"]["words"] = words.into();
    results["claims"][0]["verdict"] = "fail".into();
    results["claims"][0]["evidence"] = words.into();
    set_results(dir.path(), &results);
    let page = report(dir.path());
    let told = page.find(words).expect("the words of the judge");
    let claims = page.find("id=\"claims\"").expect("the claims");
    assert!(told < claims, "the account comes first");
    assert_eq!(page.matches(words).count(), 2, "in the account, and as evidence of the claim");
    assert!(page.contains("<header class=\"fail\">"));
}

#[test]
fn every_verdict_has_its_face() {
    let faces = [
        ("PASS", "pass"),
        ("FAIL", "fail"),
        ("INCONCLUSIVE", "open"),
        ("HARNESS ERROR", "harness"),
    ];
    for (verdict, class) in faces {
        let dir = copy();
        let mut results = results(dir.path());
        results["verdict"] = verdict.into();
        set_results(dir.path(), &results);
        let page = report(dir.path());
        assert!(page.contains(&format!("<header class=\"{class}\">")), "{verdict}");
        assert!(page.contains(&format!("<h1><strong>{verdict}</strong>")), "{verdict}");
    }
}
