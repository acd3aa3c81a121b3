//! A run of three seconds, made by hand: n1 leads term 1 and is killed after one second, n2 leads
//! term 2; n3 is paused, and killed later.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// Where the run of three seconds is kept.
pub(crate) fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run")
}

/// A copy of it, to be changed.
pub(crate) fn copy() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_into(&kept(), dir.path());
    dir
}

fn copy_into(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_into(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// The report of a run, as it was written.
pub(crate) fn report(dir: &Path) -> String {
    let path = chaos_report::write(dir).expect("there is enough for a report");
    assert_eq!(path, dir.join("report.html"));
    std::fs::read_to_string(path).unwrap()
}

/// The results of the run, to be changed.
pub(crate) fn results(dir: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(dir.join("results.json")).unwrap()).unwrap()
}

pub(crate) fn set_results(dir: &Path, results: &serde_json::Value) {
    std::fs::write(dir.join("results.json"), results.to_string()).unwrap();
}

/// What lies between two marks, the first time they come.
pub(crate) fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("no {from:?} on the page"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to:?} after {from:?}")).0
}
