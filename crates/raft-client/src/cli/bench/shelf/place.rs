//! Whether a file can be written, before that for which it is to be written takes its time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde_json::Value;

/// A line of a history is not longer.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// No file system takes more than 255, and while a file is written its name has some more.
const NAME_BYTES_MAX: usize = 250;

/// Sees whether a file can be written there, in folders that may have to be made. Says why not.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let words = |error: io::Error| error.to_string();
    if path.components().any(|part| NAME_BYTES_MAX < part.as_os_str().len()) {
        return Err("a name in it is too long".to_owned());
    }
    match fs::metadata(path) {
        Ok(about) if about.is_dir() => return Err("it is a directory".to_owned()),
        Ok(about) if !about.is_file() => return Ok(()), // To open a pipe is to wait.
        Ok(_) => return OpenOptions::new().append(true).open(path).map(drop).map_err(words),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(words(error)),
        Err(_) => (),
    }
    let parents = path.ancestors().skip(1);
    let parents = parents.map(|dir| if dir == Path::new("") { Path::new(".") } else { dir });
    for dir in parents {
        match fs::metadata(dir) {
            Ok(about) if !about.is_dir() => {
                return Err(format!("{} is no directory", dir.display()));
            }
            Ok(_) => {
                let probe = dir.join(format!(".raft-bench-{}", std::process::id()));
                let made = OpenOptions::new().write(true).create_new(true).open(&probe);
                made.map_err(|error| format!("in {}: {error}", dir.display()))?;
                return fs::remove_file(&probe).map_err(words);
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(words(error)),
            Err(_) => (),
        }
    }
    Err("there is no folder above it".to_owned())
}

/// Why a history must not take this file's place: it holds something else.
pub(super) fn is_no_history(path: &Path) -> Option<&'static str> {
    let about = fs::metadata(path).ok()?;
    if !about.is_file() || about.len() == 0 {
        return None; // A pipe, say: nothing is lost.
    }
    let mut line = Vec::new();
    let read = File::open(path)
        .and_then(|file| BufReader::new(file.take(LINE_BYTES_MAX)).read_until(b'\n', &mut line));
    let entry: Value = serde_json::from_slice(&line).unwrap_or_default();
    let is_entry = read.is_ok() && ["process", "called_ns"].iter().all(|it| entry[it].is_u64());
    (!is_entry).then_some("the file is there, and it is no history")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c.json");
        assert_eq!(check(&path), Ok(()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
        fs::write(dir.path().join("a"), "").unwrap();
        assert!(check(&path).is_err(), "a file is in the way");
        assert_eq!(check(dir.path()), Err("it is a directory".to_owned()));
        assert!(check(&dir.path().join("x".repeat(300))).is_err(), "a name that is too long");
        assert!(check(Path::new("/proc/nothing/there")).is_err());
    }

    #[test]
    fn only_a_history_is_replaced_by_a_history() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ops.jsonl");
        let judged = |content: &str| {
            fs::write(&path, content).unwrap();
            is_no_history(&path).is_none()
        };
        assert!(is_no_history(&dir.path().join("none")).is_none());
        assert!(judged(""));
        assert!(judged("{\"process\":1,\"called_ns\":5}\nhalf"));
        assert!(!judged("a thesis"));
        assert!(!judged("{\"process\":1}\n"));
    }
}
