//! `docs/protocol.md` says which script shows which rule. It must not promise what is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One line of a table: the cells between its bars.
struct Row {
    id: String,
    functions: Vec<String>,
    scripts: BTreeSet<String>,
    /// Tests that are no scripts, of any crate.
    tests: BTreeSet<String>,
}

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `dir`, by its path from there.
fn files(dir: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            let inner = files(&path).into_iter();
            found.extend(inner.map(|(inner, path)| (format!("{name}/{inner}"), path)));
        } else {
            found.insert(name, path);
        }
    }
    found
}

fn scripts() -> BTreeMap<String, PathBuf> {
    files(&crate_dir().join("tests/scripts"))
}

/// What stands in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The lines of all tables of the document: a property has no id.
fn rows() -> Vec<Row> {
    let path = crate_dir().join("../../docs/protocol.md");
    let text = std::fs::read_to_string(path).expect("readable");
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [first, .., functions, shown] = cells.as_slice() else { panic!("no row: {line}") };
        if ["row", "property"].contains(first) {
            continue;
        }
        let is_script = |name: &&str| name.contains('/') && !name.contains('.');
        let is_test = |name: &&str| !name.contains(['/', '.', ' ']);
        rows.push(Row {
            id: if first.len() <= 3 { (*first).to_owned() } else { String::new() },
            functions: quoted(functions).map(str::to_owned).collect(),
            scripts: quoted(shown).filter(is_script).map(str::to_owned).collect(),
            tests: quoted(shown).filter(is_test).map(str::to_owned).collect(),
        });
    }
    rows
}

/// The ids before the colon of a script's first line.
fn claimed(script: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(script).expect("readable");
    let title = text.trim_start_matches("# ").lines().next().unwrap_or_default();
    let is_id = |word: &str| {
        let (letter, number) = word.split_at_checked(1).unwrap_or_default();
        ["E", "R", "D", "M", "P"].contains(&letter) && number.parse::<u8>().is_ok()
    };
    let (ids, _) = title.split_once(": ").unwrap_or_default();
    let ids: BTreeSet<String> = ids.split(", ").map(str::to_owned).collect();
    if ids.iter().all(|id| is_id(id)) { ids } else { BTreeSet::new() }
}

#[test]
fn every_script_that_is_named_shows_its_row() {
    let scripts = scripts();
    for Row { id, scripts: named, .. } in rows() {
        for name in named {
            let path = scripts.get(&name).unwrap_or_else(|| panic!("{id}: no script {name}"));
            assert!(id.is_empty() || claimed(path).contains(&id), "{name} does not claim {id}");
        }
    }
}

#[test]
fn every_row_is_shown_by_something() {
    let shown: BTreeMap<String, usize> =
        rows().into_iter().map(|row| (row.id, row.scripts.len() + row.tests.len())).collect();
    for (letter, last) in [("E", 15), ("R", 20), ("D", 8), ("M", 13), ("P", 13)] {
        for id in (1..=last).map(|number| format!("{letter}{number}")) {
            assert!(shown.get(&id).is_some_and(|&count| 0 < count), "nothing shows {id}");
        }
    }
}

#[test]
fn every_script_that_claims_a_row_is_listed_with_it() {
    let rows = rows();
    for (name, path) in scripts() {
        for id in claimed(&path) {
            let row = rows.iter().find(|row| row.id == id);
            let row = row.unwrap_or_else(|| panic!("{name}: no row {id}"));
            assert!(row.scripts.contains(&name), "{id} does not list {name}");
        }
    }
}

/// All of the workspace's Rust below `dir`.
fn source(dir: &Path) -> String {
    let is_rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    let paths = files(dir).into_values().filter(|path| is_rust(path));
    paths.map(|path| std::fs::read_to_string(path).expect("readable")).collect()
}

fn defines(source: &str, name: &str) -> bool {
    ["(", "<"].iter().any(|end| source.contains(&format!("fn {name}{end}")))
}

#[test]
fn every_function_and_test_that_is_named_exists() {
    let core = source(&crate_dir().join("src"));
    let all = source(&crate_dir().join(".."));
    for Row { id, functions, tests, .. } in rows() {
        for name in functions {
            assert!(defines(&core, &name), "{id}: no function {name}");
        }
        for name in tests {
            assert!(defines(&all, &name), "{id}: no test {name}");
        }
    }
}
