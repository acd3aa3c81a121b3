//! The report of a chaos run: [`write()`] reads the directory of a run and leaves one `report.html`
//! there, which needs nothing beside itself.
//!
//! * The page can be sent by mail and opened anywhere: it loads nothing, and its policy forbids it
//!   to. Without JavaScript it shows everything; with it the timeline can be zoomed.
//! * `results.json` must be there. Any other file that is missing or damaged costs the panel that
//!   it fills, and the panel says so.
//! * Whatever is read is shown as text, never as markup: names and messages come from processes
//!   that were being broken.
//! * The same files make the same page, byte for byte. Memory and page are bounded however long the
//!   run was: long histories are counted into bins as they are read.

mod account;
mod chart;
mod dashboard;
mod page;
mod run;
mod text;

use std::path::{Path, PathBuf};

pub use account::{account, found, in_short};
pub use dashboard::dashboard_page;
use run::Run;

/// The name of the page in the directory of the run.
pub const FILE_NAME: &str = "report.html";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Without the results there is nothing to report.
    #[error("could not read {path}", path = path.display())]
    NoResults {
        /// Where they were looked for.
        path: PathBuf,
        /// Why they could not be read.
        source: std::io::Error,
    },
    /// The results are not what a run writes.
    #[error("{path} is damaged", path = path.display())]
    Damaged {
        /// Where they are.
        path: PathBuf,
        /// What is wrong with them.
        source: serde_json::Error,
    },
    /// The results are of another version of the laboratory.
    #[error("{path} has schema {found:?}, and this reads {expected:?}", path = path.display(), expected = run::SCHEMA)]
    Schema {
        /// Where they are.
        path: PathBuf,
        /// What they say they are.
        found: String,
    },
    /// The page could not be written.
    #[error("could not write {path}", path = path.display())]
    NotWritten {
        /// Where it was to be.
        path: PathBuf,
        /// Why it could not be written.
        source: std::io::Error,
    },
}

/// Writes `report.html` into the directory of a run, in place of an older one, and says where it is.
pub fn write(dir: &Path) -> Result<PathBuf, ReportError> {
    let run = Run::read(dir)?;
    let page = page::render(&run);
    let path = dir.join(FILE_NAME);
    // Under another name first: a reader never sees half a page.
    let unfinished = dir.join("report.html.unfinished");
    let written =
        std::fs::write(&unfinished, page).and_then(|()| std::fs::rename(&unfinished, &path));
    match written {
        Ok(()) => Ok(path),
        Err(source) => Err(ReportError::NotWritten { path, source }),
    }
}
