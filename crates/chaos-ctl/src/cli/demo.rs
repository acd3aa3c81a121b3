//! `chaos-ctl demo`.

use std::path::PathBuf;

use clap::Args;
use raft_api::units::HumanDuration;

use crate::exit::{Code, Failure};

/// Show what it is worth: load in calm, load while leaders are killed, and a verdict
///
/// A verdict needs three killed leaders at least: one is killed about every five seconds, so the
/// second load should last 20s or more.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// Where everything goes: a new or empty folder, or an earlier demo's, which is overwritten
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
        for (option, time) in [("--calm", self.calm), ("--chaos", self.chaos)] {
            if time.0.is_zero() {
                return Err(Failure::usage(format!("{option} must be longer than nothing")));
            }
        }
        if self.concurrency == 0 {
            return Err(Failure::usage("--concurrency must be 1 or more"));
        }
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
