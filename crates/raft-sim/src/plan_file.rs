//! Plans in files: the only place of the simulator that touches any.

use std::fs;
use std::io;
use std::path::Path;

use raft_sim::Plan;

/// Reads a plan. An error names the file.
pub(crate) fn read(path: &Path) -> io::Result<Plan> {
    let named = |fault: String| io::Error::other(format!("{}: {fault}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    text.parse().map_err(named)
}

/// Writes the text of a plan.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)
}

/// Removes a plan.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)
}
