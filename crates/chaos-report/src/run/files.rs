//! The files of the run: all as links beside the page, small ones also inside it.

use std::path::Path;

/// Files that are listed, at most.
const FILES_MAX: usize = 200;

/// Larger ones are not carried inside the page.
const EMBEDDED_BYTES_MAX: u64 = 48 << 10;

/// Where files of interest are, beside the data of the nodes.
const FOLDERS: [&str; 4] = ["", "load", "load/bench", "logs"];

/// A file of the run.
pub(crate) struct RawFile {
    /// Relative to the page.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    /// What is in it, if it is small.
    pub(crate) content: Option<Vec<u8>>,
}

/// Those of the run's folders, sorted, without what the nodes themselves keep.
pub(crate) fn list(dir: &Path) -> Vec<RawFile> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        let Ok(entries) = std::fs::read_dir(dir.join(folder)) else { continue };
        let mut names: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.starts_with("report.html") && name != "lock")
            .collect();
        names.sort();
        for name in names {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let bytes = std::fs::metadata(dir.join(&path)).map_or(0, |it| it.len());
            let small = bytes <= EMBEDDED_BYTES_MAX;
            let content = small.then(|| std::fs::read(dir.join(&path)).ok()).flatten();
            files.push(RawFile { path, bytes, content });
        }
    }
    files.truncate(FILES_MAX);
    files
}
