//! `chaos-ctl demo`.

use std::path::PathBuf;

use clap::Args;
use raft_api::units::HumanDuration;

use crate::exit::{Code, Failure};

/// Show what it is worth: load in calm, load while leaders are killed, and a verdict
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Where everything goes; what an earlier demo left there is removed
    #[arg(long, value_name = "DIR", default_value = ".raft/demo-run")]
    dir: PathBuf,
    /// How long the load lasts in calm
    #[arg(long, value_name = "TIME", default_value = "15s")]
    calm: HumanDuration,
    /// How long it lasts while leaders are killed
    #[arg(long, value_name = "TIME", default_value = "30s")]
    chaos: HumanDuration,
    /// Writes under way at any time
    #[arg(short, long, default_value_t = 10)]
    concurrency: usize,
    /// Repeats the delays and downtimes of another demo
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// The raft-server to run
    #[arg(long, value_name = "PATH")]
    bin: Option<PathBuf>,
}

impl Demo {
    pub(super) async fn run(self) -> Result<Code, Failure> {
        let demo = crate::demo::Demo {
            dir: self.dir,
            calm: self.calm.0,
            chaos: self.chaos.0,
            concurrency: self.concurrency,
            seed: self.seed.unwrap_or_else(|| rand::random_range(1..1_000_000)),
            bin: self.bin,
        };
        demo.run().await
    }
}
