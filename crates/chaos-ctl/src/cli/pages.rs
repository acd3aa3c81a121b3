//! `completions` and `man`: what the program says of itself to other programs.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::exit::{Code, Failure};
use crate::output::Output;

/// Print what a shell needs to complete this program's command lines
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// For which shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> Code {
        let mut data = Vec::new();
        clap_complete::generate(self.shell, &mut super::Cli::command(), "chaos-ctl", &mut data);
        Output::stdout().line(String::from_utf8_lossy(&data).trim_end());
        Code::Done
    }
}

/// Write a manual page for every command
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The directory, which is made if it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Man {
    pub(super) fn run(&self) -> Result<Code, Failure> {
        let dir = &self.dir;
        let written = std::fs::create_dir_all(dir);
        written.and_then(|()| clap_mangen::generate_to(super::Cli::command(), dir)).map_err(
            |error| {
                Failure::usage(format!("could not write the pages to {}: {error}", dir.display()))
                    .hint("name a directory in which you may write")
            },
        )?;
        Ok(Code::Done)
    }
}
