//! Shows the judgement on small histories that each tell one story: `histories/*.jsonl`, named good
//! or bad, with the verdict in words next to it. `UPDATE_GOLDEN=1` writes the verdicts anew.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use lin_check::{Budget, History, Verdict, check};

fn histories() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/histories");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    paths.sort();
    paths
}

fn load(path: &Path) -> History {
    History::read(BufReader::new(File::open(path).unwrap())).unwrap()
}

#[test]
fn histories_get_the_verdict_they_are_named_for() {
    let (mut good, mut bad) = (0, 0);
    for path in histories() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let verdict = check(&load(&path), Budget::default());
        match name.split_once('_').unwrap().0 {
            "good" => {
                assert!(verdict.is_pass(), "{name}: {verdict}");
                good += 1;
            }
            "bad" => {
                let Verdict::Violation(violation) = verdict else { panic!("{name}: {verdict}") };
                let said = format!("{}\n\n{violation}\n", violation.in_words());
                let expected = path.with_extension("verdict");
                if std::env::var_os("UPDATE_GOLDEN").is_some() {
                    fs::write(&expected, &said).unwrap();
                }
                assert_eq!(said, fs::read_to_string(expected).unwrap(), "{name}");
                bad += 1;
            }
            other => panic!("{name}: neither good nor bad but {other}"),
        }
    }
    assert!(7 <= good && 13 <= bad, "only {good} good and {bad} bad histories were found");
}

#[test]
fn writing_what_was_read_yields_the_same_text() {
    for path in histories() {
        let mut written = Vec::new();
        load(&path).write(&mut written).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), fs::read_to_string(&path).unwrap());
    }
}
