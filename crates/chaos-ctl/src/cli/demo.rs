//! `chaos-ctl demo`.

use clap::Args;

use crate::exit::{Code, Failure};

/// Show what it is worth: load in calm, load while leaders are killed, and a verdict
#[derive(Debug, Args)]
pub(super) struct Demo {}

impl Demo {
    pub(super) async fn run(self) -> Result<Code, Failure> {
        crate::demo::run().await
    }
}
