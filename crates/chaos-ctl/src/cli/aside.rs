//! A run that failed is evidence: the next one of its name does not write over it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::exit::Failure;
use crate::home::Home;

#[derive(Deserialize)]
struct Earlier {
    verdict: String,
    ended: String,
}

/// Moves a run that failed out of the way, if one is in this directory, and says where it is now.
pub(super) fn put_aside(dir: &Path) -> Result<Option<PathBuf>, Failure> {
    let results = fs::read_to_string(dir.join("results.json")).unwrap_or_default();
    let Ok(earlier) = serde_json::from_str::<Earlier>(&results) else { return Ok(None) };
    // Whoever runs there now keeps it; this run is refused for it in a moment.
    let Ok(lock) = Home::at(dir).lock() else { return Ok(None) };
    if earlier.verdict != "FAIL" {
        return Ok(None);
    }
    let ended: String = earlier.ended.chars().filter(char::is_ascii_digit).collect();
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let free = |other: &PathBuf| !other.exists();
    let numbered = (2..).map(|number| format!("{name}-failed-{ended}-{number}"));
    let mut names = std::iter::once(format!("{name}-failed-{ended}")).chain(numbered);
    let other = names.find_map(|name| Some(dir.with_file_name(name)).filter(free));
    let other = other.expect("numbers do not end");
    fs::rename(dir, &other).with_context(|| {
        format!("could not put the failed run {} aside, to {}", dir.display(), other.display())
    })?;
    drop(lock);
    Ok(Some(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_that_failed_is_put_aside() {
        let above = tempfile::tempdir().unwrap();
        let dir = above.path().join("run-x");
        assert_eq!(put_aside(&dir).unwrap(), None);
        let wrote = |verdict: &str| {
            fs::create_dir_all(&dir).unwrap();
            let text = format!("{{\"verdict\":\"{verdict}\",\"ended\":\"2026-11-23T15:47:04Z\"}}");
            fs::write(dir.join("results.json"), text).unwrap();
        };
        for verdict in ["PASS", "INCONCLUSIVE"] {
            wrote(verdict);
            assert_eq!(put_aside(&dir).unwrap(), None, "{verdict}");
        }
        wrote("FAIL");
        let first = above.path().join("run-x-failed-20261123154704");
        assert_eq!(put_aside(&dir).unwrap(), Some(first.clone()));
        assert!(first.join("results.json").is_file() && !dir.exists());
        wrote("FAIL");
        let second = above.path().join("run-x-failed-20261123154704-2");
        assert_eq!(put_aside(&dir).unwrap(), Some(second));
        wrote("FAIL");
        let held = Home::at(&dir).lock().unwrap();
        assert_eq!(put_aside(&dir).unwrap(), None, "somebody runs there");
        drop(held);
    }
}
