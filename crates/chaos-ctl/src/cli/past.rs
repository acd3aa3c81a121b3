//! `chaos-ctl report`: the page of a run that is over.

use std::path::PathBuf;

use clap::Args;

use crate::exit::{Code, Failure};
use crate::output::Output;

/// Write the report of a run as one HTML file
#[derive(Debug, Args)]
pub(super) struct Report {
    /// The directory of a run
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
}

impl Report {
    pub(super) fn run(&self) -> Result<Code, Failure> {
        let path = chaos_report::write(&self.run).map_err(|error| {
            let failure = Failure { error: error.into(), ..Failure::usage("") };
            failure.hint("RUN_DIR is a directory that `chaos-ctl run` has written")
        })?;
        Output::stdout().line(&path.display().to_string());
        Ok(Code::Done)
    }
}
